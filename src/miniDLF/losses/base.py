"""The contract of losses, and the form that most of them share: a mean over elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.core.capture import Watched
from miniDLF.core.configurable import Configurable
from miniDLF.core.own import is_own
from miniDLF.kernels.workspace import Array, Shape, lend_like
from miniDLF.losses.targets import check_numbers, check_range, check_shape, with_last_axis

__all__ = ["ElementwiseLoss", "FunctionLoss", "Loss", "as_float", "fresh", "per_row", "weighted_sum"]

Empty = Callable[..., Array]


class Loss(Watched, Configurable):
    """A number for each sample that says how far a prediction is from its target.

    One's own loss derives from this class (or from `ElementwiseLoss`, which needs only one function) and gives
    `value_and_grad`; `encode` if its targets do not have the shape of the output. Or it gives ``call(y_true, y_pred)``
    in tensors, as a function does that stands for a loss: then the gradient is derived. It keeps nothing of a batch on
    itself, because shards run on several threads. Training and evaluation take the same function: there is one formula.
    """

    #: The activation that the loss can absorb: "Softmax" or "Sigmoid"; then it gives `fused_value_and_grad`.
    absorbs = None  # type: str | None
    #: Whether this very class does nothing but call NumPy on what it is lent (see `core.capture`). Not inherited.
    captures = False
    #: What the outputs are: "categorical" (one class of several), "binary" (each by itself yes or no), or "" (numbers).
    classifies = ""
    #: Above which output an answer is a yes, for the metrics beside the loss: in the middle between yes and no.
    decides_at = 0.5
    #: Whether the losses of the steps of a sequence are added up; else a sample's loss is their mean.
    sums_over_time = False
    #: The interval in which targets lie, both ends included.
    target_range = (-np.inf, np.inf)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if callable(cls.__dict__.get("call")) and "value_and_grad" not in cls.__dict__:
            cls.value_and_grad = _value_and_grad  # type: ignore[method-assign]
            cls.absorbs = None
            if cls.encode is Loss.encode:
                cls.encode = _encode  # type: ignore[method-assign]
        elif cls._is_left_out():
            cls.absorbs = None

    @classmethod
    def _is_left_out(cls) -> bool:
        """Say whether a formula of one's own would be passed by, because a base has one for the logits as well."""

        def place(name: str) -> int:
            return next((n for n, one in enumerate(cls.__mro__) if name in vars(one)), len(cls.__mro__))

        own = min(place("value_and_grad"), place("terms"))
        return own < min(place("fused_value_and_grad"), place("absorbs")) and is_own(cls.__mro__[own])

    def encode(self, target: Any, output_shape: Shape) -> Array:
        """Check targets for an output (N, *output_shape) and return them in the form that the loss works with.

        Targets (N,) fit an output of one, (N, 1).

        It runs once for arrays and once a batch for generators; arrays are read in blocks, and one that is fine already
        is returned as it is, so memory-mapped ones stay on the disk.

        Raises
        ------
        DataError
            If the targets do not fit the output, hold NaN or infinity, or lie outside the loss's range.
        """
        array = with_last_axis(check_numbers(self, target), output_shape)
        check_shape(self, array, output_shape)
        check_range(self, array, *self.target_range)
        return array

    def mixes_samples(self, output_shape: Shape, dtype: Any) -> bool:
        """Say whether the loss is no sum over samples, so that a part of a batch would not do."""
        if type(self).value_and_grad is not _value_and_grad:
            return False
        from miniDLF.losses import in_tensors  # what it needs is loaded with the first such loss

        return in_tensors.mixes_samples(self, output_shape, dtype)

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        """Return ``sum_i weights_i loss_i`` and its gradient with respect to `prediction`.

        Parameters
        ----------
        prediction : (N, *output_shape)
        target
            As `encode` gave it.
        weights : (N,)
            Sample weights over the size of the whole batch: the sum over all shards is the mean over the batch.
        empty
            ``empty(name, shape)`` lends memory; the gradient lies in such memory.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither call() nor value_and_grad()")

    def fused_value_and_grad(
        self, logits: Array, target: Array, weights: Array, empty: Empty
    ) -> tuple[float, Array, Array]:
        """Return value, gradient with respect to the logits, and prediction, taking the absorbed activation along."""
        raise NotImplementedError(f"{type(self).__name__} absorbs no activation")

    def per_sample(self, prediction: Array, target: Array) -> Array:
        """Return the loss of each sample, (N,), one after the other through `value_and_grad`."""
        one, empty = np.ones(1, prediction.dtype), fresh(prediction)
        rows = range(len(prediction))
        each = [self.value_and_grad(prediction[i : i + 1], target[i : i + 1], one, empty)[0] for i in rows]
        return np.array(each, prediction.dtype)


def _value_and_grad(self: Loss, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
    """What a loss that is written in tensors, by `call`, has instead of a formula and a derivative by hand."""
    from miniDLF.losses import in_tensors  # what it needs is loaded with the first such loss

    return in_tensors.value_and_grad(self, prediction, target, weights, empty)


def _encode(self: Loss, target: Any, output_shape: Shape) -> Array:
    """Targets of any shape, one entry a sample: what they mean is the function's."""
    array = with_last_axis(check_numbers(self, target), output_shape)
    check_range(self, array, -np.inf, np.inf)
    return array


class FunctionLoss(Loss):
    """A function ``f(y_true, y_pred)`` of tensors as a loss.

    It returns a number for each sample (N,), or several of which the mean is taken, or one number for the batch.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.title = getattr(function, "__name__", type(function).__name__)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return what the function returns."""
        return self.function(y_true, y_pred)

    def __repr__(self) -> str:
        return f"FunctionLoss({self.title})"


class ElementwiseLoss(Loss):
    """A loss that is the mean of one formula over all elements of a sample.

    A subclass gives `terms`.
    """

    def terms(self, prediction: Array, target: Array, grad: Array, empty: Empty) -> Array:
        """Return the loss of every element, and fill `grad` with the derivatives with respect to `prediction`."""
        raise NotImplementedError(f"{type(self).__name__} has no terms()")

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Empty) -> tuple[float, Array]:
        grad = lend_like(empty, "loss grad", prediction)
        each = self.terms(prediction, as_float(target, prediction, empty), grad, empty)
        return self.mean_and_scale(each, grad, weights), grad

    def mean_and_scale(self, each: Array, grad: Array, weights: Array) -> float:
        """Return the weighted sum over samples of the mean over elements; scale `grad` accordingly, in place."""
        count = each.size // max(len(each), 1)
        if count > 1:
            weights = weights * (1.0 / count)
        np.multiply(grad, per_row(weights, grad), out=grad)
        return weighted_sum(each, weights)


def fresh(like: Array) -> Empty:
    """Return a lender of fresh memory of `like`'s type, for the paths where memory does not matter."""

    def empty(name: str, shape: Shape, dtype: Any = None) -> Array:
        return np.empty(shape, like.dtype if dtype is None else dtype)

    return empty


def per_row(weights: Array, array: Array) -> Array:
    """Shape (N,) weights so that they multiply the rows of `array` (N, ...).

    Equal ones, as `Batch` makes them, come as one number: (32, 2) times a number takes 0.3 us, times a column 1 us.
    """
    if weights.strides == (0,) and weights.size:
        number: Array = weights[:1].reshape(())
        return number
    return weights.reshape((-1,) + (1,) * (array.ndim - 1))


def weighted_sum(each: Array, weights: Array) -> Any:
    """Return ``sum_i weights_i sum_j each_ij``; rows are summed pairwise, then all of them in double precision.

    The number stays NumPy's, which can be captured.
    """
    rows = each if each.ndim == 1 else np.add.reduce(each, axis=tuple(range(1, each.ndim)))
    return np.add.reduce(np.multiply(rows, weights), dtype=np.float64)


def as_float(target: Array, prediction: Array, empty: Empty) -> Array:
    """Return `target` in the type of `prediction`; whole numbers are converted a batch at a time, in lent memory."""
    if target.dtype == prediction.dtype:
        return target
    converted = empty("loss target", target.shape)
    np.copyto(converted, target, casting="unsafe")
    return converted
