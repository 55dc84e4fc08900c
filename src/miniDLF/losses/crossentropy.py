"""Cross-entropy between one class of several and a softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.core.ranges import require
from miniDLF.errors import ArgumentError
from miniDLF.kernels.rows import exp_rows, label_index, row_sums, shift_rows
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.losses.base import Empty, Loss, as_float, per_row
from miniDLF.losses.targets import check_numbers, encode_classes

__all__ = [
    "CategoricalCrossentropy",
    "ClassLoss",
    "KLDivergence",
    "SparseCategoricalCrossentropy",
    "times_where_any",
    "total_of",
]


class ClassLoss(Loss):
    """Base of the losses of probabilities of classes, (N, ..., C), that come from a softmax or (`from_logits`) will.

    Parameters
    ----------
    from_logits
        Whether the model ends in logits; then the softmax is part of the loss.
    label_smoothing
        The share of a target's certainty that is spread evenly over all classes, from 0 to 1.
    over_time
        Whether the losses of the steps of a sequence (or the pixels of an image) are added up, as the specification
        prints them, or averaged, as Keras does: 'sum' or 'mean'.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    over_time: str = "sum"

    absorbs = "Softmax"
    classifies = "categorical"

    def __post_init__(self) -> None:
        require(self, label_smoothing="[0, 1)")
        if self.over_time not in ("sum", "mean"):
            raise ArgumentError(f"{type(self).__name__}: over_time is 'sum' or 'mean'; received {self.over_time!r}.")
        if self.from_logits:
            self.absorbs = None  # type: ignore[assignment]  # a softmax before it is then a mistake, or meant

    def encode(self, target: Any, output_shape: Shape) -> Array:
        array = check_numbers(self, target)
        return encode_classes(self, array, output_shape)

    @property
    def sums_over_time(self) -> bool:  # type: ignore[override]
        """Whether the losses of the steps of a sequence are added up."""
        return self.over_time == "sum"

    def smoothed(self, target: Array, scores: Array, empty: Empty, *, logits: bool = False) -> Array:
        """Return the target as probabilities (N, ..., C), with the smoothing; labels become rows.

        What is smoothed is spread evenly over the classes that can be: a logit of -inf forbids one.
        """
        classes, a = scores.shape[-1], self.label_smoothing
        if not a and target.ndim == scores.ndim:
            return as_float(target, scores, empty)
        soft = empty("loss soft", scores.shape)
        if a and logits:
            np.greater(scores, -np.inf, out=soft, casting="unsafe")
            rows = soft.reshape(-1, classes)
            possible = row_sums(rows, empty("loss even", (len(rows),)))
            np.multiply(rows, np.divide(a, possible, out=possible)[:, None], out=rows)
        else:
            soft.fill(a / classes)
        if target.ndim == scores.ndim:
            given = np.multiply(target, 1.0 - a, out=empty("loss given", scores.shape), casting="unsafe")
            return np.add(soft, given, out=soft)
        np.add.at(soft.reshape(-1), label_index(target, classes), 1.0 - a)
        return soft

    def shares(self, weights: Array, steps: int) -> Array:
        """Return the weight of each step of a sample."""
        return weights if self.over_time == "sum" or steps == 1 else weights * (1.0 / steps)


class CategoricalCrossentropy(ClassLoss):
    """``-sum_c t_c log p_c``, added up over time, for probabilities p (N, ..., C).

    Targets are integer labels (N, ...), one-hot rows or probabilities (N, ..., C). After a `Softmax` the two
    are computed as one from the logits z: ``log sum_c exp(z_c) - sum_c t_c z_c``, with the gradient ``softmax(z) - t``.
    A class whose logit is -inf cannot be; it counts nothing unless it is the right one.
    On its own the logarithm's argument is taken as at least the smallest normal number. Keras takes 1e-7 there, and
    divides rows by their sum first, which is 1 after a softmax anyway.
    """

    captures = True

    def fused_value_and_grad(
        self, logits: Array, target: Array, weights: Array, empty: Empty
    ) -> tuple[float, Array, Array]:
        shape = logits.shape
        count, classes = logits.size // shape[-1], shape[-1]
        samples = len(weights)
        share = self.shares(weights, count // max(samples, 1))
        prediction, grad = empty("loss prediction", shape), empty("loss grad", shape)
        rows = prediction.reshape(count, classes)
        total = empty("loss total", (count,))
        places = empty("loss places", (count,), np.intp)
        shift_rows(logits.reshape(count, classes), rows, places, total)
        if target.ndim == logits.ndim or self.label_smoothing:
            return self._fused_soft(rows, target, share, prediction, grad, total, empty)
        index = label_index(target, classes, places)
        score = rows.take(index, None, empty("loss score", (count,)), "clip")
        exp_rows(rows, total)
        np.divide(rows, total[:, None], rows)  # softmax
        np.log(total, total)
        np.subtract(total, score, score)  # log sum exp(z) - z_label
        np.multiply(prediction, per_row(share, grad), grad)
        np.subtract.at(grad.reshape(-1), index, spread_over(share, count, empty))
        return total_of(score, share), grad, prediction

    def _fused_soft(
        self, rows: Array, target: Array, share: Array, prediction: Array, grad: Array, total: Array, empty: Empty
    ) -> tuple[float, Array, Array]:
        count = len(rows)
        soft = self.smoothed(target, prediction, empty, logits=True)
        times_where_any(soft, prediction, grad, empty)
        score = row_sums(grad.reshape(rows.shape), empty("loss score", (count,)))
        mass = row_sums(soft.reshape(rows.shape), empty("loss even", (count,)))
        exp_rows(rows, total)
        np.divide(rows, total[:, None], out=rows)
        np.multiply(rows, mass[:, None], out=grad.reshape(rows.shape))  # targets sum to 1 only up to rounding
        np.subtract(grad, soft, out=grad)
        np.multiply(grad, per_row(share, grad), out=grad)
        np.log(total, out=total)
        np.multiply(total, mass, out=total)
        np.subtract(total, score, out=score)
        return total_of(score, share), grad, prediction

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        if self.from_logits:
            return self.fused_value_and_grad(prediction, target, weights, empty)[:2]
        count, classes = prediction.size // prediction.shape[-1], prediction.shape[-1]
        share = self.shares(weights, count // max(len(weights), 1))
        tiny = np.finfo(prediction.dtype).tiny
        grad = empty("loss grad", prediction.shape)
        if target.ndim < prediction.ndim and not self.label_smoothing:
            index = label_index(target, classes, empty("loss index", (count,), np.intp))
            right = prediction.take(index, out=empty("loss score", (count,)), mode="clip")
            grad.fill(0)
            slope = spread_over(share, count, empty) * (right >= tiny)
            np.maximum(right, tiny, out=right)
            grad.reshape(-1)[index] = -slope / right
            np.log(right, out=right)
            return -total_of(right, share), grad
        soft = self.smoothed(target, prediction, empty)
        clipped = np.maximum(prediction, tiny, out=empty("loss clipped", prediction.shape))
        np.divide(soft, clipped, out=grad)
        inside = np.greater_equal(prediction, tiny, out=empty("loss inside", prediction.shape, np.bool_))
        np.multiply(grad, inside, out=grad)
        np.multiply(grad, per_row(-share, grad), out=grad)
        np.log(clipped, out=clipped)
        np.multiply(clipped, soft, out=clipped)
        return -total_of(row_sums(clipped.reshape(count, classes), empty("loss total", (count,))), share), grad


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """`CategoricalCrossentropy` for integer labels (N, ...) only: one-hot targets are refused."""

    captures = True

    def encode(self, target: Any, output_shape: Shape) -> Array:
        return encode_classes(self, check_numbers(self, target), output_shape, one_hot=False)


class KLDivergence(Loss):
    """``sum_c t_c log(t_c / p_c)`` over the last axis, the mean over others: how far p is from the distribution t.

    Targets are probabilities of the output's shape (Kullback & Leibler 1951). Both are taken as at least 1e-7 (as Keras
    does), and ``p`` as at most 1.
    """

    target_range = (0.0, 1.0)

    LEAST = 1e-7

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        target = np.maximum(as_float(target, prediction, empty), self.LEAST, out=empty("loss soft", prediction.shape))
        grad = empty("loss grad", prediction.shape)
        share = weights * (len(weights) * prediction.shape[-1] / max(prediction.size, 1))
        clipped = np.clip(prediction, self.LEAST, 1.0, out=empty("loss clipped", prediction.shape))
        each = np.divide(target, clipped, out=grad)
        logarithm = np.log(each, out=empty("loss each", prediction.shape))
        np.multiply(logarithm, target, out=logarithm)
        rows = logarithm.reshape(-1, prediction.shape[-1])
        value = total_of(row_sums(rows, empty("loss total", (len(rows),))), share)
        np.multiply(grad, np.equal(prediction, clipped, out=empty("loss inside", prediction.shape, np.bool_)), out=grad)
        return value, np.multiply(grad, per_row(-share, grad), out=grad)


def times_where_any(soft: Array, logarithm: Array, out: Array, empty: Empty) -> Array:
    """Write ``soft * logarithm`` to `out`, and 0 where `soft` is 0: what cannot be has the logarithm -inf."""
    counts = np.not_equal(soft, 0.0, out=empty("loss counts", soft.shape, np.bool_))
    if out is not soft:
        np.copyto(out, soft)
    return np.multiply(out, logarithm, out=out, where=counts)


def spread_over(share: Array, count: int, empty: Empty) -> Array:
    """Return the weight of every row: each sample's, repeated for its steps."""
    samples = len(share)
    if count == samples:
        return share
    spread = empty("loss shares", (samples, count // max(samples, 1)))
    np.copyto(spread, share[:, None])
    return spread.reshape(-1)


def total_of(rows: Array, share: Array) -> Any:
    """Return the weighted sum of the rows' losses, in double precision (as NumPy's number, which can be captured)."""
    if rows.size == share.size:
        samples = rows.astype(np.float64)
    else:
        samples = np.add.reduce(rows.reshape(len(share), -1), axis=1, dtype=np.float64)
    return samples.dot(share)
