"""Penalties on the values of parameters."""

from miniDLF.core.configurable import as_config
from miniDLF.core.regularizers import (
    L1,
    L1L2,
    L2,
    OrthogonalRegularizer,
    Regularizer,
    get_regularizer,
)
from miniDLF.names import names_of_keras

get = deserialize = get_regularizer
serialize = as_config

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "get_regularizer",
    "serialize",
]

__getattr__ = names_of_keras(__name__)
