"""Exponentials and trigonometry: each function beside its derivative."""

from __future__ import annotations

import numpy as np

from miniDLF.kernels.error_function import error_function
from miniDLF.ops.arguments import of_fractions
from miniDLF.tensor.primitive import Elementwise

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cos",
    "cosh",
    "erf",
    "exp",
    "expm1",
        "log1p",
    "logaddexp",
    "sigmoid",
    "sin",
    "sinh",
    "tan",
    "tanh",
]  # fmt: skip


class Exp(Elementwise):
    """``y = e^x``;  ``dx = dy y``."""

    ufunc = np.exp

    def derivative(self, dy, y, x):
        return dy * y


class Expm1(Elementwise):
    """``y = e^x - 1``;  ``dx = dy (y + 1)``."""

    ufunc = np.expm1

    def derivative(self, dy, y, x):
        return dy * (y + 1)


class Log(Elementwise):
    """``y = log x``;  ``dx = dy / x``."""

    ufunc = np.log

    def derivative(self, dy, y, x):
        return dy / x


class Log1p(Elementwise):
    """``y = log(1 + x)``;  ``dx = dy / (1 + x)``."""

    ufunc = np.log1p

    def derivative(self, dy, y, x):
        return dy / (x + 1)


class LogAddExp(Elementwise):
    """``y = log(e^a + e^b)``;  ``da = dy e^(a - y)``, ``db = dy e^(b - y)``."""

    ufunc = np.logaddexp

    def derivative(self, dy, y, a, b):
        return lambda: dy * np.exp(a - y), lambda: dy * np.exp(b - y)


# Trigonometry -------------------------------------------------------------------------------------------------------


class Sin(Elementwise):
    """``y = sin x``;  ``dx = dy cos x``."""

    ufunc = np.sin

    def derivative(self, dy, y, x):
        return dy * np.cos(x)


class Cos(Elementwise):
    """``y = cos x``;  ``dx = -dy sin x``."""

    ufunc = np.cos

    def derivative(self, dy, y, x):
        return -dy * np.sin(x)


class Tan(Elementwise):
    """``y = tan x``;  ``dx = dy (1 + y^2)``."""

    ufunc = np.tan

    def derivative(self, dy, y, x):
        return dy * (np.square(y) + 1)


class Arcsin(Elementwise):
    """``y = arcsin x``;  ``dx = dy / sqrt(1 - x^2)``."""

    ufunc = np.arcsin

    def derivative(self, dy, y, x):
        return dy / np.sqrt(1 - np.square(x))


class Arccos(Elementwise):
    """``y = arccos x``;  ``dx = -dy / sqrt(1 - x^2)``."""

    ufunc = np.arccos

    def derivative(self, dy, y, x):
        return -dy / np.sqrt(1 - np.square(x))


class Arctan(Elementwise):
    """``y = arctan x``;  ``dx = dy / (1 + x^2)``."""

    ufunc = np.arctan

    def derivative(self, dy, y, x):
        return dy / (np.square(x) + 1)


class Arctan2(Elementwise):
    """``y`` = the angle of the point (b, a);  ``da = dy b / (a^2 + b^2)``, ``db = -dy a / (a^2 + b^2)``."""

    ufunc = np.arctan2

    def derivative(self, dy, y, a, b):
        return lambda: dy * b / (np.square(a) + np.square(b)), lambda: -dy * a / (np.square(a) + np.square(b))


class Sinh(Elementwise):
    """``y = sinh x``;  ``dx = dy cosh x``."""

    ufunc = np.sinh

    def derivative(self, dy, y, x):
        return dy * np.cosh(x)


class Cosh(Elementwise):
    """``y = cosh x``;  ``dx = dy sinh x``."""

    ufunc = np.cosh

    def derivative(self, dy, y, x):
        return dy * np.sinh(x)


class Tanh(Elementwise):
    """``y = tanh x``;  ``dx = dy (1 - y^2)``."""

    ufunc = np.tanh

    def derivative(self, dy, y, x):
        return dy * (1 - np.square(y))


class Arcsinh(Elementwise):
    """``y = arsinh x``;  ``dx = dy / sqrt(x^2 + 1)``."""

    ufunc = np.arcsinh

    def derivative(self, dy, y, x):
        return dy / np.sqrt(np.square(x) + 1)


class Arccosh(Elementwise):
    """``y = arcosh x``;  ``dx = dy / sqrt(x^2 - 1)``."""

    ufunc = np.arccosh

    def derivative(self, dy, y, x):
        return dy / np.sqrt(np.square(x) - 1)


class Arctanh(Elementwise):
    """``y = artanh x``;  ``dx = dy / (1 - x^2)``."""

    ufunc = np.arctanh

    def derivative(self, dy, y, x):
        return dy / (1 - np.square(x))


class Sigmoid(Elementwise):
    """``y = 1 / (1 + e^-x)``;  ``dx = dy y (1 - y)``."""

    def evaluate(self, x, out=None):
        y = np.negative(x, out=out)
        with np.errstate(over="ignore"):  # e^-x may be infinite; then y is 0, as it should be
            y = np.exp(y, out=out)
        y = np.add(y, 1, out=out)
        return np.reciprocal(y, out=out)

    def derivative(self, dy, y, x):
        return dy * y * (1 - y)


class Erf(Elementwise):
    """``y = 2 / sqrt(pi) * integral from 0 to x of e^(-t^2) dt``;  ``dx = dy 2 / sqrt(pi) e^(-x^2)``."""

    def evaluate(self, x, out=None):
        return error_function(x, out)

    def derivative(self, dy, y, x):
        return dy * np.exp(-np.square(x)) * float(2 / np.sqrt(np.pi))


exp, expm1, log1p = of_fractions(Exp), of_fractions(Expm1), of_fractions(Log1p)
logaddexp, sigmoid, erf = of_fractions(LogAddExp), of_fractions(Sigmoid), of_fractions(Erf)
sin, cos, tan = of_fractions(Sin), of_fractions(Cos), of_fractions(Tan)
arcsin, arccos, arctan, arctan2 = map(of_fractions, (Arcsin, Arccos, Arctan, Arctan2))
sinh, cosh, tanh = of_fractions(Sinh), of_fractions(Cosh), of_fractions(Tanh)
arcsinh, arccosh, arctanh = of_fractions(Arcsinh), of_fractions(Arccosh), of_fractions(Arctanh)
