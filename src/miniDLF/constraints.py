"""Conditions on the values of parameters."""

from miniDLF.core.constraints import (
    Constraint,
    MaxNorm,
    NonNeg,
    UnitNorm,
    get_constraint,
)
from miniDLF.names import names_of_keras

__all__ = [
    "Constraint",
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "get_constraint",
]

__getattr__ = names_of_keras(__name__)
