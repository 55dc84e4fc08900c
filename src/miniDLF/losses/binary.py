"""Cross-entropy between yes or no and a sigmoid."""

from __future__ import annotations

import numpy as np

from miniDLF.core.ranges import require
from miniDLF.kernels.elementwise import sigmoid
from miniDLF.kernels.workspace import Array, lend_like
from miniDLF.losses.base import ElementwiseLoss, Empty, as_float

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy"]


class BinaryCrossentropy(ElementwiseLoss):
    """``mean(-t log p - (1 - t) log(1 - p))`` over the elements of a sample, each yes (1) or no (0), or between.

    Targets have the output's shape. After a `Sigmoid` the two are computed as one from the logits z:
    ``max(z, 0) - z t + log(1 + exp(-|z|))``, with the gradient ``sigmoid(z) - t``. On its own the arguments of the
    logarithms are taken as at least the smallest numbers that p and 1 - p can be.

    Parameters
    ----------
    from_logits
        Whether the model ends in logits; then the sigmoid is part of the loss.
    label_smoothing
        Targets t become ``t (1 - label_smoothing) + label_smoothing / 2``.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    absorbs = "Sigmoid"
    classifies = "binary"
    target_range = (0.0, 1.0)
    captures = True

    def __post_init__(self) -> None:
        require(self, label_smoothing="[0, 1)")
        if self.from_logits:
            self.absorbs = None  # type: ignore[assignment]  # a sigmoid before it is then a mistake, or meant

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        if self.from_logits:
            return self.fused_value_and_grad(prediction, target, weights, empty)[:2]
        return super().value_and_grad(prediction, target, weights, empty)

    def fused_value_and_grad(
        self, logits: Array, target: Array, weights: Array, empty: Empty
    ) -> tuple[float, Array, Array]:
        prediction = sigmoid(logits, lend_like(empty, "loss prediction", logits))
        grad = lend_like(empty, "loss grad", logits)
        target = self.smoothed(as_float(target, logits, empty), empty)
        each = self.logit_terms(logits, prediction, target, grad, empty)
        return self.mean_and_scale(each, grad, weights), grad, prediction

    @property
    def decides_at(self) -> float:  # type: ignore[override]
        """Above which output an answer is a yes: a probability of 1/2, a logit of 0."""
        return 0.0 if self.from_logits else 0.5

    def smoothed(self, target: Array, empty: Empty) -> Array:
        """Return the targets, moved towards 1/2 by the label smoothing."""
        a = self.label_smoothing
        if not a:
            return target
        soft = np.multiply(target, 1.0 - a, out=lend_like(empty, "loss soft", target))
        return np.add(soft, 0.5 * a, out=soft)

    def logit_terms(self, logits: Array, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        """Return the loss of every element, and fill `grad` with the derivatives with respect to the logits."""
        each = cross_entropy_of_logits(logits, target, lend_like(empty, "loss each", logits), grad)
        np.subtract(prediction, target, out=grad)
        return each

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        least, closest = _limits(prediction)
        target = self.smoothed(target, empty)
        yes = np.maximum(prediction, least, out=lend_like(empty, "loss yes", prediction))
        no = np.subtract(1.0, prediction, out=lend_like(empty, "loss no", prediction))
        np.maximum(no, closest, out=no)
        against = np.subtract(1.0, target, out=lend_like(empty, "loss against", prediction))
        each = np.divide(target, yes, out=lend_like(empty, "loss each", prediction))
        np.divide(against, no, out=grad)
        inside = lend_like(empty, "loss inside", prediction, np.bool_)
        np.multiply(grad, np.less(prediction, 1.0, out=inside), out=grad)
        np.multiply(each, np.greater_equal(prediction, least, out=inside), out=each)
        np.subtract(grad, each, out=grad)
        np.multiply(np.log(yes, out=yes), target, out=yes)
        np.multiply(np.log(no, out=no), against, out=no)
        np.add(yes, no, out=each)
        return np.negative(each, out=each)


class BinaryFocalCrossentropy(BinaryCrossentropy):
    """``mean(a_t (1 - p_t)^gamma CE(t, p))``: what is predicted well counts little (Lin et al. 2017, equation 5).

    ``p_t = t p + (1 - t) (1 - p)`` is the probability of what is true, CE the binary cross-entropy.

    Parameters
    ----------
    apply_class_balancing
        Whether the factor ``a_t = t alpha + (1 - t) (1 - alpha)`` is there; else it is 1.
    alpha
        The weight of the class 1.
    gamma
        How much less is counted what is predicted well; 0 gives the cross-entropy.
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, alpha="[0, 1]", gamma="[0, inf)")

    def logit_terms(self, logits: Array, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        each = cross_entropy_of_logits(logits, target, lend_like(empty, "loss each", logits), grad)
        against = np.negative(logits, out=lend_like(empty, "loss against", logits))
        sigmoid(against, against)  # 1 - p without cancellation
        factor, slope = self._focus(prediction, against, target, empty)
        np.multiply(slope, prediction, out=slope)
        np.multiply(slope, against, out=slope)  # times dp/dz = p (1 - p)
        np.multiply(each, slope, out=grad)
        np.subtract(prediction, target, out=slope)  # dCE/dz
        np.multiply(slope, factor, out=slope)
        np.add(grad, slope, out=grad)
        return np.multiply(each, factor, out=each)

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        each = super().terms(prediction, target, grad, empty)
        against = np.subtract(1.0, prediction, out=lend_like(empty, "loss against", prediction))
        factor, slope = self._focus(prediction, against, self.smoothed(target, empty), empty)
        np.multiply(grad, factor, out=grad)
        np.add(grad, np.multiply(slope, each, out=slope), out=grad)
        return np.multiply(each, factor, out=each)

    def _focus(self, p: Array, q: Array, target: Array, empty: Empty) -> tuple[Array, Array]:
        """Return the factor before the cross-entropy, and its derivative with respect to p (q is 1 - p)."""
        missed, spare = lend_like(empty, "loss missed", p), lend_like(empty, "loss spare", p)
        np.subtract(1.0, target, out=spare)
        np.multiply(spare, p, out=spare)
        np.multiply(target, q, out=missed)
        np.add(missed, spare, out=missed)
        np.maximum(missed, np.finfo(p.dtype).tiny, out=missed)  # 1 - p_t
        factor = np.power(missed, self.gamma, out=lend_like(empty, "loss factor", p))
        slope = np.divide(factor, missed, out=missed)
        np.multiply(slope, -self.gamma, out=slope)
        np.multiply(target, 2.0, out=spare)
        np.subtract(spare, 1.0, out=spare)
        np.multiply(slope, spare, out=slope)
        if self.apply_class_balancing:
            np.multiply(target, 2.0 * self.alpha - 1.0, out=spare)
            np.add(spare, 1.0 - self.alpha, out=spare)  # t alpha + (1 - t) (1 - alpha)
            np.multiply(factor, spare, out=factor)
            np.multiply(slope, spare, out=slope)
        return factor, slope


def cross_entropy_of_logits(logits: Array, target: Array, each: Array, spare: Array) -> Array:
    """Return ``max(z, 0) - z t + log(1 + exp(-|z|))`` in `each`; no term of it can overflow.

    An infinite logit, which forbids an answer or asks for it, counts as a very large number: so times a target of 0 it
    is 0. The logarithm is added last: where the answer is right and certain, it alone is left.
    """
    most = 0.5 * float(np.finfo(logits.dtype).max)  # NumPy 1 would take the very largest for double precision
    np.clip(logits, -most, most, out=spare)
    np.multiply(spare, target, out=spare)
    np.clip(logits, 0, most, out=each)  # faster than np.maximum(z, 0)
    np.subtract(each, spare, out=each)
    np.abs(logits, out=spare)
    np.negative(spare, out=spare)
    np.exp(spare, out=spare)
    np.log1p(spare, out=spare)
    return np.add(each, spare, out=each)


def _limits(prediction: Array) -> tuple[float, float]:
    """Return the smallest normal number, and the distance from 1 of the number below it."""
    info = np.finfo(prediction.dtype)
    return float(info.tiny), 0.5 * float(info.eps)
