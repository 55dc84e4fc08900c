"""Conditions on the values of parameters."""

from miniDLF.core.constraints import (
    Constraint,
    MaxNorm,
    NonNeg,
    UnitNorm,
    get_constraint,
)

__all__ = [
    "Constraint",
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "get_constraint",
]
