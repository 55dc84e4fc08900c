"""Tensors with gradients: what graphs are made of, how they are recorded, and the chain rule over them."""

from miniDLF.tensor.gradients import GradientError, gradient
from miniDLF.tensor.primitive import Elementwise, Operation, Primitive
from miniDLF.tensor.tape import GradientTape
from miniDLF.tensor.tensor import SymbolicError, Tensor, apply, as_tensor, placeholder
from miniDLF.tensor.variable import Variable

__all__ = [
    "Elementwise",
    "GradientError",
    "GradientTape",
    "Operation",
    "Primitive",
    "SymbolicError",
    "Tensor",
    "Variable",
    "apply",
    "as_tensor",
    "gradient",
    "placeholder",
]
