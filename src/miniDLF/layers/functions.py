"""An activation that is a function of the user's own, with its derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call
from miniDLF.core.layer import Layer
from miniDLF.core.own import check_call, shown
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["DERIVATIVES", "Elementwise", "check_function", "known_derivative", "name_of"]

#: NumPy's functions of one number whose derivatives are known here.
DERIVATIVES: Mapping[Any, Callable[[Array], Array]] = {
    np.abs: np.sign,
    np.arctan: lambda x: 1 / (1 + x * x),
    np.cos: lambda x: -np.sin(x),
    np.exp: np.exp,
    np.sin: np.cos,
    np.square: lambda x: 2 * x,
    np.tanh: lambda x: 1 - np.tanh(x) ** 2,
}


class Elementwise(Layer):
    """``y = function(x)``, number by number; ``dx = dy derivative(x)``.

    Both take and return an array; what they return becomes the type of `x`. They are called for parts of a batch and on
    several threads, so they must not keep anything, nor write to `x`.
    """

    function: Any
    derivative: Any

    def __post_init__(self) -> None:
        for what, function in (("function", self.function), ("derivative", self.derivative)):
            if callable(function):
                name = name_of(function)
                _try(function, f"Activation: {what}" + ("" if name == "the function" else f" {name}"))

    def call(self, x: Any) -> Any:
        function = ops.custom(partial(self._of, self.function), lambda dy, y, x: dy * self._of(self.derivative, x))
        return function(x)

    def forward(self, x: Array, call: Call) -> Array:
        call.x = x
        return self._of(self.function, x)

    def backward(self, dy: Array, call: Call) -> Array:
        return np.multiply(dy, self._of(self.derivative, call.x), out=dy)

    def _of(self, function: Callable[[Array], Any], x: Array) -> Array:
        y: Array = np.asarray(function(x), x.dtype)
        if y.shape != x.shape:
            if y.shape == () and function is self.derivative:  # of a line
                return np.full(x.shape, y)
            raise ShapeError(
                f"{self.described}: {name_of(function)} received an array of shape {x.shape} and returned one of shape "
                f"{y.shape}. An activation works number by number; for anything else derive a class from Layer."
            )
        return y

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return int(np.prod(output_shape))


def _try(function: Callable[[Array], Any], who: str) -> None:
    """Call a function on a few numbers; refuse what it returns or writes to, if that is wrong."""
    check_call(who, "f", function, ("x",), bound=False)
    points = np.linspace(-2.1, 2.3, 24).reshape(4, 6)
    given = points.copy()
    with np.errstate(all="ignore"):
        result = function(given)
    if result is None or np.asarray(result).dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{who} returned {shown(result)}; return an array of the shape that it is given.")
    if not np.array_equal(given, points):
        raise ArgumentError(f"{who} writes to the array that it is given. Let it return a new one.")


def known_derivative(function: Any) -> Callable[[Array], Array] | None:
    """Return the derivative of a function of NumPy's, where it is known."""
    return DERIVATIVES.get(function) if isinstance(function, np.ufunc) else None


def check_function(who: str, function: Any) -> None:
    """Refuse a function that cannot be called with one tensor (or one list of them)."""
    name = getattr(function, "__name__", "")
    check_call(who, name if name.isidentifier() else "f", function, ("x",), bound=False)


def name_of(function: Any) -> str:
    """Return what a function is called."""
    name = getattr(function, "__name__", type(function).__name__)
    return "the function" if name == "<lambda>" else f"np.{name}" if isinstance(function, np.ufunc) else str(name)
