"""Losses and metrics of one's own, tried before the first step: a mistake is named where it was made."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from miniDLF.core.batch import Batch
from miniDLF.core.executor import Executor
from miniDLF.core.own import check_call, check_methods, is_own, shown
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.losses import ElementwiseLoss, Loss
from miniDLF.losses.base import Empty, as_float
from miniDLF.metrics import MeanMetric, Metric
from miniDLF.metrics.base import Mean
from miniDLF.metrics.reading import comparable

__all__ = ["check_heads", "try_heads"]

#: Rows that are tried at the most.
ROWS = 32
#: How far the slope of a loss may be from its differences, by itself and as a share.
SLOPE = (1e-4, 1e-2)


def check_heads(heads: Iterable[Any]) -> bool:
    """Check how losses and metrics of one's own are written; return whether any should be tried on a batch."""
    found = False
    for head in heads:
        if callable(formula := getattr(head.loss, "function", None)):
            name = getattr(formula, "__name__", "function")
            check_call(f"loss {name!r}", name, formula, ("y_true", "y_pred"), bound=False)
        if is_own(type(head.loss)):
            check_methods(head.loss, _loss(head.loss), "terms" if _is_elementwise(head.loss) else "value_and_grad")
            if callable(getattr(head.loss, "call", None)):  # a formula in tensors
                check_call(_loss(head.loss), "call", head.loss.call, ("y_true", "y_pred"))
            found = True
        for metric in head.metrics:
            function = getattr(metric, "function", None)
            if is_own(type(metric)):
                needed = ["values"] if _is_mean(metric) else ["reset", "update", "result"]
                check_methods(metric, _metric(metric), *needed)
                found = True
            if isinstance(metric, MeanMetric) and callable(function):
                name = getattr(function, "__name__", "function")
                check_call(_metric(metric), name, function, ("target", "prediction"), bound=False)
                found = True
    return found


@quiet_arithmetic
def try_heads(heads: Sequence[Any], batch: Batch, executor: Executor) -> bool:
    """Try losses and metrics of one's own on the first rows of a batch; return that there is nothing left to try."""
    rows, dtype = min(len(batch), ROWS), executor.buffers.dtype

    def first(array: Array) -> Array:
        part = np.array(array[:rows] if batch.rows is None else array[batch.rows[:rows]])
        return part.astype(dtype, copy=False) if part.dtype.kind == "f" else part

    outputs = executor.infer([np.asarray(first(array), dtype) for array in batch.inputs])
    for number, (head, target, prediction) in enumerate(zip(heads, batch.targets, outputs, strict=True)):
        given = batch.target_given(number, 0, rows)
        _try_head(head, first(target), np.ascontiguousarray(prediction), given)
    return False


def _try_head(head: Any, target: Array, prediction: Array, given: Array | None) -> None:
    if is_own(type(head.loss)):
        try_loss(head.loss, prediction, target)
    target = comparable(target if given is None else given, prediction)
    for metric in head.metrics:
        if is_own(type(metric)) or callable(getattr(metric, "function", None)):
            weights = np.ones(len(prediction)) if getattr(metric, "weighted", False) else None
            try_metric(metric, target, prediction, weights)


def _is_elementwise(loss: Loss) -> bool:
    return isinstance(loss, ElementwiseLoss) and type(loss).value_and_grad is ElementwiseLoss.value_and_grad


def _is_mean(metric: Metric) -> bool:
    return isinstance(metric, Mean) and type(metric).update is Mean.update


def _loss(loss: Loss) -> str:
    return f"loss {type(loss).__name__}"


def _metric(metric: Metric) -> str:
    return f"metric {metric.name!r}"


# Losses ---------------------------------------------------------------------------------------------------------------


def try_loss(loss: Loss, prediction: Array, target: Array) -> None:
    """Take a loss of one's own of a few predictions; refuse what does not fit the contract.

    Raises
    ------
    ArgumentTypeError, ShapeError
        If it returns something else than it should.
    ArgumentError
        If it writes to what it is given, does not fill the gradient, is not finite, or leaves out the weights.
    """
    who, before = _loss(loss), (prediction.copy(), target.copy())
    finite = bool(np.isfinite(prediction).all() and np.isfinite(target).all())
    if _is_elementwise(loss):
        _try_terms(loss, who, prediction, target, finite)  # type: ignore[arg-type]
    weights = np.full(len(prediction), 1.0 / len(prediction), prediction.dtype)
    value, grad = _value_and_grad(loss, who, prediction, target, weights)
    for what, given, was in (("predictions", prediction, before[0]), ("targets", target, before[1])):
        if not np.array_equal(given, was, equal_nan=given.dtype.kind == "f"):
            raise ArgumentError(f"{who}: value_and_grad writes to the {what} that it is given. Work on a copy of them.")
    if not finite:
        return
    for what, result in (("the value", value), ("the gradient", grad)):
        if not np.isfinite(result).all():
            raise ArgumentError(
                f"{who}: {what} is not finite for predictions from {prediction.min():g} to {prediction.max():g} and "
                f"targets from {target.min():g} to {target.max():g}. Fill the whole gradient, and keep logarithms, "
                "roots and quotients off zero, as with np.clip(prediction, 1e-7, 1)."
            )
    twice, _ = _value_and_grad(loss, who, prediction, target, 2 * weights)
    if not np.isclose(twice, 2 * value, rtol=1e-3, atol=1e-6):
        raise ArgumentError(
            f"{who}: value_and_grad gives {value:g}, and {twice:g} for weights twice as large. It has to return "
            "sum(weights * loss of each sample), and the gradient of that: the weights carry the size of the batch."
        )
    _compare_slope(loss, who, prediction, target, weights)


def _try_terms(loss: ElementwiseLoss, who: str, prediction: Array, target: Array, finite: bool) -> None:
    grad = np.full_like(prediction, np.nan)
    each = loss.terms(prediction, as_float(target, prediction, _lender(prediction)), grad, _lender(prediction))
    rows = len(prediction)
    if not isinstance(each, np.ndarray):
        raise ArgumentTypeError(
            f"{who}: terms returned {shown(each)}; return the loss of every element, an array of shape "
            f"{prediction.shape}."
        )
    if not each.ndim or len(each) != rows:
        raise ShapeError(
            f"{who}: terms returned {shown(each)}; expected the loss of every element, {prediction.shape}. Leave the "
            "mean to ElementwiseLoss."
        )
    if finite and np.isnan(grad).all():
        raise ArgumentError(
            f"{who}: terms did not fill grad, the derivatives with respect to the prediction. Write into it: "
            "grad[...] = ..., or np.multiply(a, b, out=grad)."
        )


def _value_and_grad(loss: Loss, who: str, prediction: Array, target: Array, weights: Array) -> tuple[float, Array]:
    result = loss.value_and_grad(prediction, target, weights, _lender(prediction))
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ArgumentTypeError(
            f"{who}: value_and_grad returned {shown(result)}; return two things, the number sum(weights * loss of each "
            "sample) and its gradient."
        )
    value, grad = result
    if np.ndim(value) or value is None or np.asarray(value).dtype.kind not in "fiu":
        raise ArgumentTypeError(
            f"{who}: the value that value_and_grad returned is {shown(value)}; expected one number, sum(weights * loss "
            "of each sample)."
        )
    if not isinstance(grad, np.ndarray):
        raise ArgumentTypeError(
            f"{who}: the gradient that value_and_grad returned is {shown(grad)}; expected an array of shape "
            f"{prediction.shape}."
        )
    if grad.shape != prediction.shape:
        raise ShapeError(
            f"{who}: the gradient that value_and_grad returned has the shape {grad.shape}; expected that of the "
            f"predictions, {prediction.shape}."
        )
    if grad.dtype != prediction.dtype:
        raise ArgumentTypeError(
            f"{who}: the gradient that value_and_grad returned is of {grad.dtype}, the model computes in "
            f"{prediction.dtype}. Write it to empty(name, prediction.shape), or convert it: "
            ".astype(prediction.dtype)."
        )
    return float(value), grad


def _compare_slope(loss: Loss, who: str, prediction: Array, target: Array, weights: Array) -> None:
    """Warn if the gradient is not that of the value: compared along a random direction, twice, since one may be a kink.

    A warning only, because a gradient of another function can be meant.
    """
    rng = np.random.default_rng(0)
    exactly = prediction.astype(np.float64)
    if loss.value_and_grad(exactly, target, weights, _lender(exactly))[1].dtype != np.float64:
        return  # it computes in a type of its own, too coarse for differences
    exact = target.astype(np.float64) if target.dtype.kind == "f" else target
    wrong = []
    for moved in (0.0, 1e-3):
        point = exactly + moved * rng.normal(size=prediction.shape)
        direction = rng.normal(size=point.shape)
        direction *= 1e-5 / np.linalg.norm(direction)
        w = weights.astype(np.float64)
        _, grad = _value_and_grad(loss, who, point, exact, w)
        slope = float(np.sum(grad * direction)) / 1e-5
        ends = [_value_and_grad(loss, who, point + side * direction, exact, w)[0] for side in (1, -1)]
        difference = (ends[0] - ends[1]) / 2e-5
        if not np.isfinite(slope - difference) or abs(slope - difference) <= SLOPE[0] + SLOPE[1] * abs(difference):
            return
        wrong.append((slope, difference))
    slope, difference = wrong[0]
    warnings.warn(
        f"{who}: the gradient of value_and_grad does not fit its value: {slope:.4g} along a random direction, where "
        f"differences give {difference:.4g}. Compare the two formulas; model.check_gradients(x, y) goes on from there.",
        stacklevel=2,
    )


def _lender(like: Array) -> Empty:
    """Return a lender of memory in which whatever a method does not fill stays NaN."""

    def empty(name: str, shape: Shape, dtype: Any = None) -> Array:
        memory = np.empty(shape, like.dtype if dtype is None else dtype)
        if memory.dtype.kind == "f":
            memory.fill(np.nan)
        return memory

    return empty


# Metrics --------------------------------------------------------------------------------------------------------------


def try_metric(metric: Metric, target: Array, prediction: Array, weights: Array | None) -> None:
    """Measure a few predictions by a copy of a metric of one's own; refuse what does not fit the contract."""
    tried, who, rows = deepcopy(metric), _metric(metric), len(prediction)
    tried.reset()
    if _is_mean(tried):
        values = tried.values(target, prediction)  # type: ignore[attr-defined]
        method = "the function" if isinstance(metric, MeanMetric) else "values"
        if values is None or np.asarray(values).dtype.kind not in "fiub":
            raise ArgumentTypeError(f"{who}: {method} returned {shown(values)}; return one number a sample, ({rows},).")
        if np.ndim(values) == 0 or len(values) != rows:
            raise ShapeError(
                f"{who}: {method} returned {shown(np.asarray(values))}; expected one number a sample, ({rows},), or "
                f"one an element, ({rows}, ...). Leave the mean over samples to the metric."
            )
    lost = [name for name in tried.sums if not hasattr(tried, name)]
    if lost:
        raise ArgumentError(f"{who}: sums names {lost[0]!r}, which reset() does not set. Set self.{lost[0]} there.")
    tried.update(target, prediction, weights)
    result = deepcopy(tried.result())
    if result is None or np.asarray(result).dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{who}: result returned {shown(result)}; return a number, or an array of numbers.")
    tried.reset()
    tried.update(target, prediction, weights)
    again = tried.result()
    if not np.allclose(result, again, equal_nan=True):
        raise ArgumentError(
            f"{who}: the same batch gives {result} at first and {again} after reset(), so an epoch would go on with "
            "the numbers of the last one. Set everything back in reset()."
        )
    finite = all(np.isfinite(array).all() for array in (target, prediction))
    if finite and np.isnan(result).any():
        warnings.warn(
            f"{who} is NaN for finite targets and predictions ({rows} samples). Keep quotients off zero, and give "
            "samples that have no value the weight 0.",
            stacklevel=2,
        )
