"""Arithmetic: each operation beside its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.ops.arguments import floating, in_one_type, of_fractions, of_numbers
from miniDLF.tensor.primitive import Elementwise
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "abs", "absolute", "add", "cbrt", "deg2rad", "divide", "divide_no_nan", "fabs", "floor_divide", "mod", "multiply",
    "negative", "positive", "power", "rad2deg", "reciprocal", "rsqrt", "sqrt", "square", "subtract", "true_divide",
]  # fmt: skip


class Add(Elementwise):
    """``y = a + b``;  ``da = dy``, ``db = dy``."""

    ufunc = np.add

    def derivative(self, dy, y, a, b):
        return dy, dy


class Subtract(Elementwise):
    """``y = a - b``;  ``da = dy``, ``db = -dy``."""

    ufunc = np.subtract

    def derivative(self, dy, y, a, b):
        return dy, lambda: -dy


class Multiply(Elementwise):
    """``y = a b``;  ``da = dy b``, ``db = dy a``."""

    ufunc = np.multiply

    def derivative(self, dy, y, a, b):
        return lambda: dy * b, lambda: dy * a


class Divide(Elementwise):
    """``y = a / b``;  ``da = dy / b``, ``db = -dy y / b``."""

    ufunc = np.divide

    def derivative(self, dy, y, a, b):
        return lambda: dy / b, lambda: -dy * y / b


class Power(Elementwise):
    """``y = a^b``;  ``da = dy b a^(b - 1)``, ``db = dy y log a``, which counts as 0 where a = 0."""

    ufunc = np.power

    def derivative(self, dy, y, a, b):
        # b a^(b - 1) at b = 0 is 0, also at a = 0, where the power alone is infinite
        safe = np.where(b == 0, 1.0, b)
        return lambda: dy * np.where(b == 0, 0.0, b * a ** (safe - 1)), lambda: dy * y * np.log(np.where(a > 0, a, 1.0))


class Negative(Elementwise):
    """``y = -x``;  ``dx = -dy``."""

    ufunc = np.negative

    def derivative(self, dy, y, x):
        return -dy


class Square(Elementwise):
    """``y = x^2``;  ``dx = 2 x dy``."""

    ufunc = np.square

    def derivative(self, dy, y, x):
        return dy * x * 2


class Reciprocal(Elementwise):
    """``y = 1 / x``;  ``dx = -dy y^2``."""

    ufunc = np.reciprocal

    def derivative(self, dy, y, x):
        return -dy * np.square(y)


class Sqrt(Elementwise):
    """``y = sqrt x``;  ``dx = dy / (2 y)``."""

    ufunc = np.sqrt

    def derivative(self, dy, y, x):
        return dy / (y * 2)


class Absolute(Elementwise):
    """``y = |x|``;  ``dx = dy sign x``, 0 at 0."""

    ufunc = np.absolute

    def derivative(self, dy, y, x):
        return dy * np.sign(x)


class FloorDivide(Elementwise):
    """``y = floor(a / b)``, which is flat: no gradient."""

    ufunc = np.floor_divide


class Remainder(Elementwise):
    """``y = a - b floor(a / b)``;  ``da = dy``, ``db = -dy floor(a / b)``."""

    ufunc = np.remainder

    def derivative(self, dy, y, a, b):
        return dy, lambda: -dy * np.floor_divide(a, b)


add, subtract, multiply = of_numbers(Add), of_numbers(Subtract), of_numbers(Multiply)
divide, reciprocal = of_fractions(Divide), of_fractions(Reciprocal)
floor_divide, mod = of_numbers(FloorDivide), of_numbers(Remainder)
negative, absolute, square = of_numbers(Negative), of_numbers(Absolute), of_numbers(Square)
sqrt = of_fractions(Sqrt)
implements(np.fabs)(absolute)
abs = fabs = absolute
true_divide = divide


@implements(np.power, np.float_power)
def power(a: Any, b: Any) -> Tensor:
    """Return ``a ** b``; the powers 2, 1, 1/2 and -1 by the functions that are made for them."""
    if isinstance(b, (int, float)) and not isinstance(b, bool):
        simple = {2: square, 1: as_tensor, 0.5: sqrt, -1: reciprocal}.get(b)
        if simple is not None:
            return simple(a)
    a, b = in_one_type(a, b)
    if a.dtype.kind != "f" and not b.is_symbolic and np.any(b.numpy() < 0):
        a, b = floating(a, b)
    return apply(Power(), a, b)


def rsqrt(x: Any) -> Tensor:
    """Return ``1 / sqrt(x)``."""
    return reciprocal(sqrt(x))


@implements(np.positive)
def positive(x: Any) -> Tensor:
    """Return `x`."""
    return as_tensor(x)


def divide_no_nan(x1: Any, x2: Any) -> Tensor:
    """Return ``x1 / x2``, and 0 where x2 is 0."""
    x1, x2 = floating(x1, x2)
    return np.where(x2 == 0, 0.0, x1 / np.where(x2 == 0, 1.0, x2))


@implements(np.cbrt)
def cbrt(x: Any) -> Tensor:
    """Return the cube root, that of a negative number too."""
    x = floating(x)
    return np.sign(x) * power(absolute(x), 1 / 3)


@implements(np.deg2rad, np.radians)
def deg2rad(x: Any) -> Tensor:
    """Return degrees as radians."""
    return floating(x) * (np.pi / 180)


@implements(np.rad2deg, np.degrees)
def rad2deg(x: Any) -> Tensor:
    """Return radians as degrees."""
    return floating(x) * (180 / np.pi)
