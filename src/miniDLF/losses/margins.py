"""Losses that ask for a margin: hinges."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import DataError
from miniDLF.kernels.rows import label_index
from miniDLF.kernels.workspace import Array, Shape, lend_like
from miniDLF.losses.base import ElementwiseLoss, Empty, Loss, weighted_sum
from miniDLF.losses.targets import blocks, check_numbers, check_range, encode_classes

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


class Hinge(ElementwiseLoss):
    """``mean(max(0, 1 - s p))``, ``s`` = 1 or -1; targets are -1 and 1, or 0 and 1 (Vapnik's support vectors)."""

    classifies = "binary"
    decides_at = 0.0
    target_range = (-1.0, 1.0)

    def encode(self, target: Any, output_shape: Shape) -> Array:
        array = super().encode(target, output_shape)
        seen: set[float] = set()
        for start, block in blocks(array):
            wrong = (block != 0) & (np.abs(block) != 1)
            if wrong.any():
                place = tuple(np.argwhere(wrong)[0])
                raise DataError(
                    f"{type(self).__name__}: targets must be -1 and 1, or 0 and 1; received {block[place]:g} (sample "
                    f"{start + int(place[0])})."
                )
            seen.update(value for value in (-1.0, 0.0) if (block == value).any())
        if len(seen) == 2:
            raise DataError(
                f"{type(self).__name__}: the targets hold both -1 and 0, so neither convention fits. Use -1 and 1, or "
                "0 and 1."
            )
        return array

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        sign = _signs(target, grad)
        each = np.multiply(prediction, sign, out=empty("loss each", prediction.shape))
        np.subtract(1.0, each, out=each)
        np.maximum(each, 0.0, out=each)
        np.negative(sign, out=grad)
        short = np.greater(each, 0.0, out=lend_like(empty, "loss inside", each, np.bool_))
        np.multiply(grad, short, out=grad)
        return each


class SquaredHinge(Hinge):
    """``mean(max(0, 1 - s p)^2)``, ``s`` = 1 or -1; targets are -1 and 1, or 0 and 1."""

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        sign = _signs(target, grad)
        each = np.multiply(prediction, sign, out=empty("loss each", prediction.shape))
        np.subtract(1.0, each, out=each)
        np.maximum(each, 0.0, out=each)
        np.multiply(sign, each, out=grad)
        np.multiply(grad, -2.0, out=grad)
        return np.multiply(each, each, out=each)


class CategoricalHinge(Loss):
    """``max(0, 1 + max over the other classes of p - p of the right class)``, and the best other counts as at least 0.

    ``max(0, 1 - p_right + max(0, max_{c != right} p_c))`` (Keras' formula; Crammer & Singer 2001 without the inner 0).
    Targets are integer labels or one-hot rows; over further axes (time) it is the mean.
    """

    classifies = "categorical"

    def encode(self, target: Any, output_shape: Shape) -> Array:
        array = check_numbers(self, target)
        check_range(self, array)
        labels = encode_classes(self, array, output_shape)
        if labels.ndim > len(output_shape):
            raise DataError("CategoricalHinge: targets must name one class; received probabilities. Use 'cce'.")
        return labels

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        grad = empty("loss grad", prediction.shape)
        each, right, rival, rival_score = self._parts(prediction, target, empty)
        active = each > 0
        share = weights * (1.0 / (each.size // max(len(weights), 1)))
        spread = np.ascontiguousarray(np.broadcast_to(share[:, None], (len(share), each.size // max(len(share), 1))))
        step = spread.reshape(-1) * active.reshape(-1)
        grad.fill(0)
        flat = grad.reshape(-1)
        flat[rival] = step * (rival_score > 0)
        flat[right] = -step
        return weighted_sum(each.reshape(len(weights), -1), share), grad

    def _parts(self, prediction: Array, target: Array, empty: Empty) -> tuple[Array, Array, Array, Array]:
        """Return the loss of each row, where its right class and its best rival lie, and the rival's score."""
        classes = prediction.shape[-1]
        right = label_index(target, classes)
        lent = empty("loss others", prediction.shape)
        np.copyto(lent, prediction)
        others = lent.reshape(-1)
        score = others[right]
        others[right] = -np.inf
        rows = others.reshape(-1, classes)
        rival = label_index(rows.argmax(axis=1), classes)
        rival_score = others[rival]
        return np.maximum(0.0, 1.0 - score + np.maximum(rival_score, 0.0)), right, rival, rival_score


def _signs(target: Array, out: Array) -> Array:
    """Fill `out` with 1 where the target is positive and -1 elsewhere: both conventions in one."""
    np.greater(target, 0, out=out, casting="unsafe")
    np.multiply(out, 2.0, out=out)
    return np.subtract(out, 1.0, out=out)
