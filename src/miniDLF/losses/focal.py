"""Focal loss of several classes."""

from __future__ import annotations

import numpy as np

from miniDLF.core.ranges import require
from miniDLF.kernels.rows import exp_rows, row_sums, shift_rows
from miniDLF.kernels.workspace import Array
from miniDLF.losses.base import Empty, per_row
from miniDLF.losses.crossentropy import ClassLoss, times_where_any, total_of

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
        total = empty("loss total", (count,))
        shift_rows(logits.reshape(count, classes), p, empty("loss best", (count,), np.intp), total)
        logarithm = empty("loss logarithm", p.shape)
        np.copyto(logarithm, p)
        exp_rows(p, total)
        np.divide(p, total[:, None], out=p)
        np.subtract(logarithm, np.log(total, out=total)[:, None], out=logarithm)
        soft = self.smoothed(target, logarithm.reshape(logits.shape), empty, logits=True).reshape(p.shape)
        factor, ratio = self._focus(p, empty)
        # h = p dL/dp, finite also where p is 0; through the softmax dL/dz = h - p sum(h).
        h = np.multiply(ratio, p, out=ratio)
        times_where_any(h, logarithm, h, empty)
        np.subtract(h, factor, out=h)
        np.multiply(h, soft, out=h)
        np.multiply(p, row_sums(h, total)[:, None], out=dz)
        np.subtract(h, dz, out=dz)
        np.multiply(grad, per_row(self.alpha * share, grad), out=grad)
        return self._value(factor, soft, logarithm, share, total, empty), grad, prediction

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        if self.from_logits:
            return self.fused_value_and_grad(prediction, target, weights, empty)[:2]
        shape = (prediction.size // prediction.shape[-1], prediction.shape[-1])
        share = self.shares(weights, shape[0] // max(len(weights), 1))
        p, grad = prediction.reshape(shape), empty("loss grad", prediction.shape)
        dp = grad.reshape(shape)
        soft = self.smoothed(target, prediction, empty).reshape(shape)
        tiny = np.finfo(prediction.dtype).tiny
        clipped = np.maximum(p, tiny, out=empty("loss clipped", shape))
        logarithm = np.log(clipped, out=empty("loss logarithm", shape))
        factor, ratio = self._focus(p, empty)
        np.divide(factor, clipped, out=dp)
        np.multiply(dp, np.greater_equal(p, tiny, out=empty("loss inside", shape, np.bool_)), out=dp)
        np.subtract(np.multiply(ratio, logarithm, out=ratio), dp, out=dp)
        np.multiply(dp, soft, out=dp)
        np.multiply(grad, per_row(self.alpha * share, grad), out=grad)
        return self._value(factor, soft, logarithm, share, empty("loss total", (shape[0],)), empty), grad

    def _focus(self, p: Array, empty: Empty) -> tuple[Array, Array]:
        """Return ``(1 - p)^gamma`` and ``gamma (1 - p)^(gamma - 1)``."""
        missed = np.subtract(1.0, p, out=empty("loss missed", p.shape))
        np.maximum(missed, np.finfo(p.dtype).tiny, out=missed)
        factor = np.power(missed, self.gamma, out=empty("loss factor", p.shape))
        ratio = np.divide(factor, missed, out=missed)
        return factor, np.multiply(ratio, self.gamma, out=ratio)

    def _value(self, factor: Array, soft: Array, logarithm: Array, share: Array, total: Array, empty: Empty) -> float:
        """Return the weighted sum of the losses, and overwrite `factor` and `total`."""
        np.multiply(factor, soft, out=factor)
        times_where_any(factor, logarithm, factor, empty)
        return -self.alpha * total_of(row_sums(factor, total), share)
