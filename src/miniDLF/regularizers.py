"""Penalties on the values of parameters."""

from miniDLF.core.regularizers import (
    L1,
    L1L2,
    L2,
    OrthogonalRegularizer,
    Regularizer,
    get_regularizer,
)
from miniDLF.names import names_of_keras

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "get_regularizer",
]

__getattr__ = names_of_keras(__name__)
