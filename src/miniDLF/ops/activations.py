"""Activations: formulas of a few lines, under Keras' names."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axis_of, floating, of_fractions
from miniDLF.ops.arithmetic import Subtract
from miniDLF.ops.exponentials import Log, Sigmoid, erf, sigmoid
from miniDLF.tensor.primitive import Elementwise, Primitive
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply
from miniDLF.tensor.variable import Variable

__all__ = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "leaky_relu",
    "linear",
    "log",
    "log2",
    "log10",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "relu",
    "selu",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "squareplus",
    "swish",
]  # fmt: skip


class Relu(Elementwise):
    """``y = max(x, 0)``;  ``dx = dy`` where x > 0."""

    def evaluate(self, x, out=None):
        return np.maximum(x, 0, out=out)

    def derivative(self, dy, y, x):
        return apply(RectifierGradient(0.0), dy, y)


class LeakyRelu(Elementwise):
    """``y = x`` where x > 0, else ``slope x``;  ``dx = dy`` or ``slope dy``."""

    slope: float

    def evaluate(self, x, out=None):
        y = np.multiply(x, x.dtype.type(self.slope), out=None if out is x else out)
        return (np.maximum if self.slope <= 1 else np.minimum)(x, y, out=y if out is None else out)

    def derivative(self, dy, y, x):
        return apply(RectifierGradient(self.slope), dy, y if self.slope > 0 else x)


class RectifierGradient(Elementwise):
    """``y = dy`` where x > 0, else ``slope dy``: what a rectifier hands back; x may be its input or its output."""

    slope: float

    def evaluate(self, dy, x, out=None):
        kind = dy.dtype.type
        return np.multiply(dy, np.where(x > 0, kind(1), kind(self.slope)), out=out)

    def derivative(self, dy, y, *inputs):
        return apply(RectifierGradient(self.slope), dy, inputs[1]), None


class Softplus(Elementwise):
    """``y = log(1 + e^x)``;  ``dx = dy / (1 + e^-x)``."""

    def evaluate(self, x, out=None):
        return np.logaddexp(x, x.dtype.type(0), out=out)

    def derivative(self, dy, y, x):
        return dy * sigmoid(x)


class Silu(Elementwise):
    """``y = x s`` with ``s = 1 / (1 + e^-x)``, 0 also at -inf;  ``dx = dy (s + y (1 - s))`` (arXiv:1702.03118)."""

    def evaluate(self, x, out=None):
        with np.errstate(over="ignore"):  # e^-x may be infinite: then x / (1 + e^-x) is 0, whatever x
            divisor = np.exp(-x)
        divisor += 1
        lowest = np.maximum(x, np.finfo(x.dtype).min)
        return np.divide(lowest, divisor, out=out)

    def derivative(self, dy, y, x):
        s = sigmoid(x)
        return dy * (s + y * (1 - s))


class Softmax(Primitive):
    """``y_i = e^x_i / (e^x_1 + ... + e^x_n)`` along `axis`;  ``dx = y (dy - sum of dy y)``."""

    axis: int

    def shape(self, x):
        return x

    def evaluate(self, x, out=None):
        y = np.subtract(x, _finite_top(x, self.axis), out=out)
        np.exp(y, out=y)
        return np.divide(y, np.add.reduce(y, axis=self.axis, keepdims=True), out=y)

    def derivative(self, dy, y, x):
        return y * (dy - np.sum(dy * y, axis=self.axis, keepdims=True))


class LogSumExp(Primitive):
    """``y = log(e^x_1 + ... + e^x_n)`` along `axis`, kept with length 1;  ``dx = dy e^(x - y)``, the softmax."""

    axis: int

    def shape(self, x):
        return (*x[: self.axis], 1, *x[self.axis + 1 :])

    def evaluate(self, x, out=None):
        top = _finite_top(x, self.axis)
        shifted = np.subtract(x, top)
        np.exp(shifted, out=shifted)
        total = np.add.reduce(shifted, axis=self.axis, keepdims=True, out=out)
        with np.errstate(divide="ignore"):  # the logarithm of nothing is -inf, as it should be
            total = np.log(total, out=total)
        return np.add(total, top, out=total)

    def derivative(self, dy, y, x):
        return dy * apply(Softmax(self.axis), x)


def _finite_top(x: Any, axis: int) -> Any:
    """Return the largest along `axis`, or 0 where that is -inf: there is nothing to shift."""
    top = np.maximum.reduce(x, axis=axis, keepdims=True)
    return np.where(np.isneginf(top), 0, top).astype(x.dtype, copy=False)


silu = of_fractions(Silu)
_relu, softplus = of_fractions(Relu), of_fractions(Softplus)


@implements(np.log)
def log(x: Any) -> Tensor:
    """Return the natural logarithm.

    That of a `softmax`, of a `sigmoid` or of 1 minus a sigmoid is taken of their inputs, so it is exact, and has exact
    gradients, also where the probability is too small for its type.
    """
    x = floating(x)
    made = x.operation
    if made is not None and isinstance(made.primitive, Softmax):
        return log_softmax(made.inputs[0], made.primitive.axis)
    if made is not None and isinstance(made.primitive, Sigmoid):
        return log_sigmoid(made.inputs[0])
    if made is not None and isinstance(made.primitive, Subtract):
        one, probability = made.inputs
        if isinstance(getattr(probability.operation, "primitive", None), Sigmoid) and _is_one(one):
            return -softplus(probability.operation.inputs[0])
    return apply(Log(), x)


def _is_one(x: Tensor) -> bool:
    return x.operation is None and not x.is_symbolic and not isinstance(x, Variable) and bool(np.all(x.numpy() == 1))


@implements(np.log2)
def log2(x: Any) -> Tensor:
    """Return the logarithm to base 2."""
    return log(x) * (1 / float(np.log(2)))


@implements(np.log10)
def log10(x: Any) -> Tensor:
    """Return the logarithm to base 10."""
    return log(x) * (1 / float(np.log(10)))


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """Return ``max(x, 0)``; below `threshold` ``negative_slope (x - threshold)``, and `max_value` at the most."""
    x = floating(x)
    if threshold:
        y = np.where(x >= threshold, x, negative_slope * (x - threshold))
    else:
        y = leaky_relu(x, negative_slope) if negative_slope else _relu(x)
    return y if max_value is None else np.minimum(y, max_value)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """Return `x` where it is above 0, else ``negative_slope x``."""
    return apply(LeakyRelu(float(negative_slope)), floating(x))


def linear(x: Any) -> Tensor:
    """Return `x`."""
    return floating(x)


def exponential(x: Any) -> Tensor:
    """Return ``e^x``."""
    return np.exp(floating(x))


def swish(x: Any) -> Tensor:
    """Return ``x / (1 + e^-x)``: `silu`, by its other name."""
    return silu(x)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return `x` where it is above 0, else ``alpha (e^x - 1)`` (arXiv:1511.07289)."""
    x = floating(x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def selu(x: Any) -> Tensor:
    """Return ``1.0507 elu(x, 1.6733)``, which keeps mean and variance (arXiv:1706.02515)."""
    return elu(x, 1.6732632423543772) * 1.0507009873554805


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return ``max(x, 0) + min(0, alpha (e^(x / alpha) - 1))`` (arXiv:1704.07483)."""
    x = floating(x)
    return np.maximum(x, 0.0) + alpha * np.expm1(np.minimum(x, 0.0) / alpha)


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """Return ``x`` times the probability that a normal number is below it (arXiv:1606.08415); or nearly, by tanh."""
    x = floating(x)
    if approximate:
        return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + erf(x * 0.7071067811865476))


def mish(x: Any) -> Tensor:
    """Return ``x tanh(softplus(x))`` (arXiv:1908.08681)."""
    x = floating(x)
    return x * np.tanh(softplus(x))


def softsign(x: Any) -> Tensor:
    """Return ``x / (1 + |x|)``."""
    x = floating(x)
    return x / (1 + np.abs(x))


def squareplus(x: Any, b: float = 4.0) -> Tensor:
    """Return ``(x + sqrt(x^2 + b)) / 2`` (arXiv:2112.11687)."""
    x = floating(x)
    return (x + np.sqrt(x * x + b)) * 0.5


def log_sigmoid(x: Any) -> Tensor:
    """Return ``log(1 / (1 + e^-x))``, exact also far from 0."""
    return -softplus(-floating(x))


def softmax(x: Any, axis: int = -1) -> Tensor:
    """Return ``e^x`` divided by its sum along `axis`; 0 where x is -inf."""
    x = floating(x)
    return apply(Softmax(axis_of("softmax", axis, x.ndim)), x)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, exact also where that is nearly 0."""
    x = floating(x)
    return x - apply(LogSumExp(axis_of("log_softmax", axis, x.ndim)), x)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return ``log(sum of e^x)`` along `axis` (one, several, ``None`` for all), without overflow."""
    x = floating(x)
    axes: Shape = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(axis_of("logsumexp", one, x.ndim) for one in axes)
    for one in axes:  # the logarithm of a sum of sums
        x = apply(LogSumExp(one), x)
    return x if keepdims else np.squeeze(x, axes)
