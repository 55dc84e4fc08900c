"""Files: safetensors with a JSON document in the header, written atomically, checked before use; never pickle."""

from __future__ import annotations

from miniDLF.storage.checkpoints import Checkpoints
from miniDLF.storage.mismatch import MismatchReport, report_mismatch
from miniDLF.storage.tensors import inspect, part, read_tensors, write_tensors

__all__ = ["Checkpoints", "MismatchReport", "inspect", "part", "read_tensors", "report_mismatch", "write_tensors"]
