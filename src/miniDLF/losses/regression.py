"""Losses of numbers: squared, absolute, relative and counted errors, and the angle between vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.core.ranges import require
from miniDLF.errors import DataError
from miniDLF.kernels.workspace import Array, Shape, lend_like
from miniDLF.losses.base import ElementwiseLoss, Empty, Loss, as_float, per_row, weighted_sum

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
]

#: What keeps a quotient or a logarithm finite where the number under it is zero (Keras' value).
EPSILON = 1e-7


class MeanSquaredError(ElementwiseLoss):
    """``mean((p - t)^2)`` over the elements of a sample; any shape."""

    captures = True

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        np.subtract(prediction, target, out=grad)
        each = np.multiply(grad, grad, out=lend_like(empty, "loss each", grad))
        np.add(grad, grad, out=grad)  # 2 (p - t)
        return each


class MeanAbsoluteError(ElementwiseLoss):
    """``mean(|p - t|)``; the derivative is 0 where both are equal."""

    captures = True

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        np.subtract(prediction, target, out=grad)
        each = np.abs(grad, out=lend_like(empty, "loss each", grad))
        np.sign(grad, out=grad)
        return each


class Huber(ElementwiseLoss):
    """``mean(d^2 / 2)`` where ``d = |p - t| <= delta``, ``delta (d - delta / 2)`` beyond (Huber 1964).

    With ``c = clip(p - t, -delta, delta)`` both are ``c (p - t - c / 2)``, and the derivative is c.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        require(self, delta="(0, inf)")

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        each = np.subtract(prediction, target, out=lend_like(empty, "loss each", grad))
        np.clip(each, -self.delta, self.delta, out=grad)
        half = np.multiply(grad, 0.5, out=lend_like(empty, "loss half", grad))
        np.subtract(each, half, out=each)
        return np.multiply(each, grad, out=each)


class LogCosh(ElementwiseLoss):
    """``mean(log(cosh(d)))``, ``d = p - t``, as ``|d| + log(1 + exp(-2 |d|)) - log 2``, which cannot overflow.

    Below ``|d| = 1`` these would cancel, and it is ``log(1 + 2 sinh(d / 2)^2)``, which is right down to ``d^2 / 2``.
    """

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        np.subtract(prediction, target, out=grad)
        distance = np.abs(grad, out=lend_like(empty, "loss half", grad))
        each = np.multiply(distance, -2.0, out=lend_like(empty, "loss each", grad))
        np.exp(each, out=each)
        np.log1p(each, out=each)
        np.add(each, distance, out=each)
        np.subtract(each, float(np.log(2.0)), out=each)
        near = np.less(distance, 1.0, out=lend_like(empty, "loss inside", grad, np.bool_))
        np.minimum(distance, 1.0, out=distance)
        np.sinh(np.multiply(distance, 0.5, out=distance), out=distance)
        np.multiply(distance, distance, out=distance)
        np.log1p(np.multiply(distance, 2.0, out=distance), out=distance)
        np.copyto(each, distance, where=near)
        np.tanh(grad, out=grad)
        return each


class MeanAbsolutePercentageError(ElementwiseLoss):
    """``100 mean(|p - t| / max(|t|, 1e-7))``, in percent; targets near zero dominate it."""

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        size = np.abs(target, out=lend_like(empty, "loss half", grad))
        np.maximum(size, EPSILON, out=size)
        np.divide(100.0, size, out=size)
        np.subtract(prediction, target, out=grad)
        each = np.abs(grad, out=lend_like(empty, "loss each", grad))
        np.multiply(each, size, out=each)
        np.sign(grad, out=grad)
        np.multiply(grad, size, out=grad)
        return each


class MeanSquaredLogarithmicError(ElementwiseLoss):
    """``mean((log(1 + p) - log(1 + t))^2)`` for targets of at least 0; predictions are clipped to at least 1e-7."""

    target_range = (0.0, np.inf)

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        clipped = np.maximum(prediction, EPSILON, out=lend_like(empty, "loss half", grad))
        # log of a quotient, not a difference of logarithms, of which little is left where both are alike
        each = np.minimum(clipped, target, out=lend_like(empty, "loss each", grad))
        np.add(each, 1.0, out=each)
        np.subtract(clipped, target, out=grad)
        quotient = np.abs(grad, out=lend_like(empty, "loss quotient", grad))
        np.log1p(np.divide(quotient, each, out=quotient), out=quotient)
        np.multiply(np.sign(grad, out=grad), quotient, out=grad)
        np.multiply(quotient, quotient, out=each)
        np.add(clipped, 1.0, out=clipped)
        np.divide(grad, clipped, out=grad)
        np.multiply(grad, 2.0, out=grad)
        inside = np.greater_equal(prediction, EPSILON, out=lend_like(empty, "loss inside", grad, np.bool_))
        np.multiply(grad, inside, out=grad)
        return each


class Poisson(ElementwiseLoss):
    """``mean(p - t log(p + 1e-7))``: the negative log-likelihood of counts t of expectation p, without its constant.

    Predictions must be positive: end the model with 'softplus' or another positive activation.
    """

    target_range = (0.0, np.inf)

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        rate = np.add(prediction, EPSILON, out=lend_like(empty, "loss half", grad))
        each = np.log(rate, out=lend_like(empty, "loss each", grad))
        np.multiply(each, target, out=each)
        np.subtract(prediction, each, out=each)
        np.divide(target, rate, out=grad)
        np.subtract(1.0, grad, out=grad)
        return each


class CosineSimilarity(Loss):
    """``-cos(p, t)`` of the vectors along the last axis, -1 where they point the same way; the mean over other axes.

    A length is taken as at least 1e-6, so a zero vector gives 0. Vectors are divided by their largest component first:
    the squares of components beyond 1e19 would overflow in single precision.
    """

    #: Lengths below this are taken as this (the root of Keras' 1e-12).
    SHORTEST = 1e-6

    def encode(self, target: Any, output_shape: Shape) -> Array:
        if not output_shape or output_shape[-1] < 2:
            raise DataError(
                f"CosineSimilarity: the output (N{', ' + str(output_shape[-1]) if output_shape else ''}) holds no "
                "vectors; numbers have no angle. Use 'mse', or give the last layer more units."
            )
        return super().encode(target, output_shape)

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        target = as_float(target, prediction, empty)
        grad = lend_like(empty, "loss grad", prediction)
        p = lend_like(empty, "loss each", prediction)
        t = lend_like(empty, "loss half", prediction)
        size, length, moves = self._directions(prediction, p, grad)
        self._directions(target, t, grad)
        cosine = np.add.reduce(np.multiply(p, t, out=grad), axis=-1, keepdims=True)
        # d(-cos)/dp = (cos p / |p| - t / |t|) / |p|; the first term falls away where |p| is the constant 1e-6.
        np.multiply(p, cosine * moves, out=grad)
        np.subtract(grad, t, out=grad)
        np.divide(np.divide(grad, length, out=grad), size, out=grad)
        share = weights * (len(weights) / max(cosine.size, 1))
        np.multiply(grad, per_row(share, grad), out=grad)
        return -weighted_sum(cosine, share), grad

    def _directions(self, vectors: Array, out: Array, spare: Array) -> tuple[Array, Array, Array]:
        """Write the vectors at length 1 to `out`; return what they were divided by, and whether that moves with them.

        Their largest components, and then their lengths in units of these; the product of the two is at least 1e-6.
        """
        size = np.maximum.reduce(np.abs(vectors, out=spare), axis=-1, keepdims=True)
        np.maximum(size, self.SHORTEST, out=size)
        np.divide(vectors, size, out=out)
        squared = np.add.reduce(np.multiply(out, out, out=spare), axis=-1, keepdims=True)
        length, least = np.sqrt(squared), self.SHORTEST / size
        moves = length >= least
        np.maximum(length, least, out=length)
        np.divide(out, length, out=out)
        return size, length, moves
