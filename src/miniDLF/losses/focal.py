"""Focal loss of several classes."""

from __future__ import annotations

import numpy as np

from miniDLF.core.ranges import require
from miniDLF.kernels.workspace import Array
from miniDLF.losses.base import Empty, per_row
from miniDLF.losses.crossentropy import ClassLoss, total_of
from miniDLF.losses.indexing import exp_rows, row_sums, shift_rows

__all__ = ["CategoricalFocalCrossentropy"]


class CategoricalFocalCrossentropy(ClassLoss):
    """``-sum_c alpha (1 - p_c)^gamma t_c log p_c`` (Lin et al. 2017, equation 5, for a softmax), added up over time.

    Targets are integer labels or rows of probabilities, as for `CategoricalCrossentropy`.

    Parameters
    ----------
    alpha
        A factor on everything.
    gamma
        How much less is counted what is predicted well; 0 gives the cross-entropy.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    over_time: str = "sum"
    alpha: float = 0.25
    gamma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, alpha="[0, inf)", gamma="[0, inf)")

    def fused_value_and_grad(
        self, logits: Array, target: Array, weights: Array, empty: Empty
    ) -> tuple[float, Array, Array]:
        count, classes = logits.size // logits.shape[-1], logits.shape[-1]
        share = self.shares(weights, count // max(len(weights), 1))
        prediction, grad = empty("loss prediction", logits.shape), empty("loss grad", logits.shape)
        p, dz = prediction.reshape(count, classes), grad.reshape(count, classes)
        total = empty("loss total", (count, 1))
        shift_rows(logits.reshape(count, classes), p, empty("loss best", (count,), np.intp), total)
        logarithm = empty("loss logarithm", p.shape)
        np.copyto(logarithm, p)
        exp_rows(p, total)
        np.divide(p, total, out=p)
        np.subtract(logarithm, np.log(total), out=logarithm)
        soft = self.smoothed(target, prediction, empty).reshape(p.shape)
        missed, factor, each = self._focus(p, logarithm, soft)
        # h = p dL/dp, finite also where p is 0; through the softmax dL/dz = h - p sum(h).
        h = self.gamma * p * (factor / missed) * logarithm * soft - factor * soft
        np.multiply(h, self.alpha, out=h)
        np.multiply(p, row_sums(h, total), out=dz)
        np.subtract(h, dz, out=dz)
        np.multiply(grad, per_row(share, grad), out=grad)
        return total_of(each.sum(axis=1), share), grad, prediction

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        if self.from_logits:
            return self.fused_value_and_grad(prediction, target, weights, empty)[:2]
        tiny = np.finfo(prediction.dtype).tiny
        grad = empty("loss grad", prediction.shape)
        soft = self.smoothed(target, prediction, empty)
        clipped = np.maximum(prediction, tiny, out=empty("loss clipped", prediction.shape))
        logarithm = np.log(clipped)
        missed, factor, each = self._focus(prediction, logarithm, soft)
        np.divide(factor, clipped, out=grad)
        np.multiply(grad, prediction >= tiny, out=grad)
        np.subtract(self.gamma * (factor / missed) * logarithm, grad, out=grad)
        np.multiply(grad, soft, out=grad)
        rows = each.sum(axis=-1).reshape(-1)
        share = self.shares(weights, rows.size // max(len(weights), 1))
        np.multiply(grad, per_row(self.alpha * share, grad), out=grad)
        return total_of(rows, share), grad

    def row_losses(self, logarithms: Array, target: Array) -> Array:
        return self._focus(np.exp(logarithms), logarithms, target)[2].sum(axis=-1)

    def _focus(self, p: Array, logarithm: Array, soft: Array) -> tuple[Array, Array, Array]:
        """Return 1 - p, its power gamma, and the loss of every class."""
        missed = np.maximum(1.0 - p, np.finfo(p.dtype).tiny)
        factor = missed**self.gamma
        return missed, factor, -self.alpha * factor * soft * logarithm
