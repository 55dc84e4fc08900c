"""Conditions on the values of parameters."""

from miniDLF.core.configurable import as_config
from miniDLF.core.constraints import (
    Constraint,
    MaxNorm,
    NonNeg,
    UnitNorm,
    get_constraint,
)
from miniDLF.names import names_of_keras

get = deserialize = get_constraint
serialize = as_config

__all__ = [
    "Constraint",
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "get_constraint",
    "serialize",
]

__getattr__ = names_of_keras(__name__)
