"""The contract of metrics, and the mean that most of them are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.core.configurable import Configurable
from miniDLF.core.own import check_methods, is_own
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.metrics.reading import comparable, lined_up

__all__ = ["Mean", "MeanMetric", "Metric"]


class Metric(Configurable):
    """A number (or an array) that is measured over batches of any size, in any order of shards.

    One's own metric gives `reset`, `update` and `result`, and keeps its sums as the attributes that `sums` names: then
    a run that is interrupted in an epoch goes on with the same numbers. A mean over samples is quicker made from
    `MeanMetric`. Which way is better it says in `better`, for the callbacks that watch it.
    """

    #: The key in the logs.
    name = "metric"  # type: str
    #: The attributes that hold what was measured since `reset`.
    sums = ()  # type: tuple[str, ...]
    #: Which way is better: "max", "min", "" where nobody knows, ``None`` where the result is no number.
    better = ""  # type: str | None
    #: Whether `update` wants the logits where the loss absorbs the activation behind them (see `absorb`).
    reads_logits = False  # type: bool
    #: Whether samples count by their weights: those of ``compile(weighted_metrics=...)`` do.
    weighted = False  # type: bool

    _several = False  # whether every element is an answer of its own
    _from_logits = False
    _decides_at = 0.5  # above which output an answer is a yes

    def __post_init__(self) -> None:
        if is_own(type(self)):
            check_methods(self, f"metric {self.name!r}", "reset")
        self.reset()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        """Learn, before any `update`, what output and loss the metric stands next to."""
        self._several = getattr(loss, "classifies", "") == "binary"
        self._from_logits = bool(getattr(loss, "from_logits", False))
        self._decides_at = float(getattr(loss, "decides_at", 0.5))

    def absorb(self, activation: str) -> None:
        """Learn, after `bind`, that the loss takes the activation behind the logits along: "Softmax" or "Sigmoid".

        A metric of logarithms of probabilities sets `reads_logits` then, and is given what does not underflow.
        """

    def reset(self) -> None:
        """Forget everything measured."""
        raise NotImplementedError(f"{type(self).__name__} has no reset()")

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        """Add a batch.

        Parameters
        ----------
        target
            As it was given to `fit` or `evaluate`. Of the shape and type of the prediction where it holds a number for
            each of its numbers; class labels are whole numbers.
        prediction : (N, ...)
        weights : (N,) or (N, T)
            Of the samples, or of the steps of each.
        """
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
        """Add numbers (N, ...), each with its sample's weight, or its step's."""
        values = plain_array(values, f"metric {self.name!r}: the values")
        if weights is None:
            self.count(float(np.add.reduce(values, axis=None, dtype=np.float64)), values.size)
            return
        weights = lined_up(self, plain_array(weights, "weights").astype(np.float64, copy=False), values.shape)
        weight = float(weights.sum()) * (values.size / max(weights.size, 1))
        summed = values.sum(axis=tuple(range(weights.ndim, values.ndim)), dtype=np.float64)
        self.count(float((summed * weights).sum()), weight)

    def result(self) -> Any:
        return self.total / self.weight if self.weight else float("nan")


class MeanMetric(Mean):
    """The weighted mean of ``function(target, prediction)``, one number a sample (N,) or one an element (N, ...).

    The function receives what `Metric.update` does. Whether more or less is better, 'max' or 'min', only `better` can
    tell. Without a function it is the running mean of the numbers given to `add` or `count`. A model file keeps the
    name of the function only; a model that was loaded from one must be compiled again before it measures.
    """

    function: Callable[[Array, Array], Any] | str | None = None
    name: str = ""
    better: str = ""

    def __post_init__(self) -> None:
        if self.better not in ("", "max", "min"):
            raise ArgumentError(f"MeanMetric: better is 'max', 'min' or ''; received {self.better!r}.")
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
        target = comparable(target, prediction)
        try:
            result = self.function(target, prediction)
            values = plain_array(result, "what the function returns")
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
