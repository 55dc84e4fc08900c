"""The doctor: says what keeps a model from learning, and what to write instead."""

from __future__ import annotations

from miniDLF.doctor.diagnosing import diagnose
from miniDLF.doctor.findings import Diagnosis, Finding
from miniDLF.doctor.observer import Doctor, Observer
from miniDLF.errors import DoctorWarning

__all__ = ["Diagnosis", "Doctor", "DoctorWarning", "Finding", "Observer", "diagnose"]
