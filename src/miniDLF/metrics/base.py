"""The contract of metrics, the mean that most of them are, and what outputs and targets mean to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from miniDLF.core.configurable import Configurable
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from miniDLF.kernels.workspace import Array, Shape

__all__ = [
    "Mean",
    "MeanMetric",
    "Metric",
    "check_same_shape",
    "class_labels",
    "class_places",
    "is_labels",
    "step_weights",
    "threshold_of",
]


class Metric(Configurable):
    """A number (or an array) that is measured over batches of any size, in any order of shards.

    One's own metric gives `reset`, `update` and `result`, and keeps its sums as the attributes that `sums` names: then
    a run that is interrupted in an epoch goes on with the same numbers. A mean over samples is quicker made from
    `MeanMetric`.
    """

    #: The key in the logs.
    name = "metric"  # type: str
    #: The attributes that hold what was measured since `reset`.
    sums = ()  # type: tuple[str, ...]

    _several = False  # whether every element is an answer of its own
    _from_logits = False

    def __post_init__(self) -> None:
        self.reset()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        """Learn, before any `update`, what output and loss the metric stands next to."""
        self._several = getattr(loss, "classifies", "") == "binary"
        self._from_logits = bool(getattr(loss, "from_logits", False))

    def reset(self) -> None:
        """Forget everything measured."""
        raise NotImplementedError(f"{type(self).__name__} has no reset()")

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        """Add a batch: targets as given or as the loss encoded them, predictions (N, ...), sample weights (N,)."""
        raise NotImplementedError(f"{type(self).__name__} has no update()")

    def result(self) -> Any:
        """Return what was measured since `reset`; NaN before the first batch."""
        raise NotImplementedError(f"{type(self).__name__} has no result()")

    def state(self) -> dict[str, Any]:
        """Return what was measured so far, as numbers and arrays, for `set_state`."""
        return {name: getattr(self, name) for name in self.sums if getattr(self, name) is not None}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave, exactly."""
        self.reset()
        for name in self.sums:
            if name in state:
                value = np.asarray(state[name])
                setattr(self, name, value.item() if value.ndim == 0 else np.array(value))


class Mean(Metric):
    """Base of the metrics that are the weighted mean of one number a sample, a step or an element.

    A subclass gives `values`.
    """

    sums = ("total", "weight")

    def reset(self) -> None:
        self.total = 0.0
        self.weight = 0.0

    def values(self, target: Array, prediction: Array) -> Array:
        """Return one number a sample, a step or an element; the first axis is that of samples."""
        raise NotImplementedError(f"{type(self).__name__} has no values()")

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        self.add(self.values(target, prediction), weights)

    def count(self, total: float, weight: float) -> None:
        """Add a sum of numbers, and the sum of their weights."""
        self.total += total
        self.weight += weight

    def add(self, values: Any, weights: Any = None) -> None:
        """Add numbers (N, ...), each with its sample's weight."""
        values = np.asarray(values)
        if weights is None:
            self.count(float(np.add.reduce(values, axis=None, dtype=np.float64)), values.size)
            return
        weights = np.asarray(weights, dtype=np.float64)
        if values.ndim > 1:
            values = values.reshape(len(values), -1)
            weight = float(weights.sum()) * values.shape[1]
            values = values.sum(axis=1, dtype=np.float64)
        else:
            weight = float(np.broadcast_to(weights, values.shape).sum())
        self.count(float((values * weights).sum()), weight)

    def result(self) -> Any:
        return self.total / self.weight if self.weight else float("nan")


class MeanMetric(Mean):
    """The weighted mean of ``function(target, prediction)``, one number a sample (N,) or one an element (N, ...).

    Without a function it is the running mean of the numbers given to `add` or `count`. A model file keeps the name of
    the function only; a model that was loaded from one must be compiled again before it measures.
    """

    function: Callable[[Array, Array], Any] | str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.function is not None and not callable(self.function) and not isinstance(self.function, str):
            raise ArgumentTypeError(
                "MeanMetric: function must be a function of (target, prediction), the value of every sample; received "
                f"{self.function!r}."
            )
        if not self.name:
            self.name = getattr(self.function, "__name__", "mean")
        self.reset()

    def config(self) -> dict[str, Any]:
        result = super().config()
        if callable(result.get("function")):
            result["function"] = getattr(self.function, "__name__", "function")
        return result

    def values(self, target: Array, prediction: Array) -> Array:
        if self.function is None:
            raise ArgumentTypeError("MeanMetric without a function has no update(); use add(values, weights).")
        if isinstance(self.function, str):
            raise ArgumentTypeError(
                f"metric {self.name!r}: a model file does not hold functions, and this model was loaded from one. "
                f"Compile it again with the function {self.function!r}."
            )
        try:
            result = self.function(target, prediction)
            values = np.asarray(result)
        except Exception as error:
            raise ArgumentError(
                f"metric {self.name!r} failed on target {target.shape}, prediction {prediction.shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if result is None:
            raise ArgumentTypeError(
                f"metric {self.name!r}: the function returned None, as it does without a return; return one value a "
                f"sample, ({len(prediction)}, ...)."
            )
        if values.ndim == 0 or len(values) != len(prediction):
            raise ShapeError(
                f"metric {self.name!r}: the function must return one value a sample, ({len(prediction)}, ...); it "
                f"returned shape {values.shape}. Leave the mean over samples to the metric."
            )
        return values


def is_labels(target: Array, prediction: Array) -> bool:
    """Say whether `target` holds class labels, (N, ...) or (N, ..., 1), for scores `prediction` (N, ..., C)."""
    return target.ndim < prediction.ndim or (target.shape[-1] == 1 and prediction.shape[-1] > 1)


def class_labels(metric: Metric, target: Array, prediction: Array) -> Array:
    """Return the labels that `target` (labels, or rows (N, ..., C)) holds, one for each row of `prediction`."""
    if is_labels(target, prediction):
        if target.ndim == prediction.ndim:
            target = target[..., 0]
        if target.shape == prediction.shape[:-1]:
            return target
    elif target.shape == prediction.shape:
        return target.argmax(-1)
    raise ShapeError(
        f"metric {metric.name!r}: predictions {prediction.shape} need labels {prediction.shape[:-1]} or one-hot rows "
        f"{prediction.shape}; received targets {target.shape}. Reshape the targets."
    )


def class_places(metric: Metric, target: Array, prediction: Array) -> Array:
    """Return `class_labels` as whole numbers that can index the classes of `prediction`."""
    labels = class_labels(metric, target, prediction)
    classes = prediction.shape[-1]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(
            f"metric {metric.name!r}: class labels must lie in 0 to {classes - 1}, because the predictions have "
            f"{classes} classes; received {labels.min()} to {labels.max()}. Count the classes from 0."
        )
    return labels.astype(np.intp, copy=False)


def threshold_of(metric: Metric, threshold: float | None) -> float:
    """Return above which output an answer is a yes: as given, or in the middle between yes and no."""
    if threshold is None:
        return 0.0 if metric._from_logits else 0.5
    return threshold


def check_same_shape(metric: Metric, target: Array, prediction: Array) -> None:
    """Refuse shapes that would broadcast."""
    if target.shape != prediction.shape:
        raise ShapeError(
            f"metric {metric.name!r}: predictions {prediction.shape} and targets {target.shape} must have the same "
            "shape. Reshape the targets, or choose a metric of classes."
        )


def step_weights(weights: Array | None, shape: Shape) -> Array:
    """Return the weight of every entry of an array of `shape` (N, ...), flat, in double precision."""
    if weights is None:
        return np.ones(int(np.prod(shape)))
    column = np.asarray(weights, dtype=np.float64).reshape(-1, *(1,) * (len(shape) - 1))
    return np.broadcast_to(column, shape).reshape(-1)
