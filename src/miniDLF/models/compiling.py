"""What `compile` is given, spread over the outputs of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from miniDLF.core.configurable import canonical
from miniDLF.core.program import Head
from miniDLF.core.ranges import number
from miniDLF.errors import ArgumentError, MiniDLFError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.losses import CHOICES as LOSSES
from miniDLF.losses import Loss, get_loss
from miniDLF.losses.base import fresh
from miniDLF.metrics import CHOICES as METRICS
from miniDLF.metrics import get_metric
from miniDLF.metrics.base import Mean
from miniDLF.metrics.reading import comparable
from miniDLF.optimizers import CHOICES as OPTIMIZERS
from miniDLF.optimizers import Optimizer

__all__ = ["LossMetric", "arranged"]


class LossMetric(Mean):
    """The mean of a loss as a metric: ``compile(metrics=['mape'])``, by the formula with which it trains."""

    loss: Any
    name: str = ""
    better = "min"
    _fused = False

    def __post_init__(self) -> None:
        self.loss = get_loss(self.loss)
        self.name = self.name or type(self.loss).__name__
        self.reset()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        self._output_shape = output_shape
        self.reads_logits = self._fused = False
        if self._from_logits and not getattr(self.loss, "from_logits", True):
            kind = type(self.loss).__name__
            raise ArgumentError(
                f"metric {self.name!r}: the loss has from_logits=True, and the metric would take logits for "
                f"probabilities. Write metrics=[{kind}(from_logits=True)]."
            )

    def absorb(self, activation: str) -> None:
        self._fused = self.loss.absorbs == activation
        self.reads_logits = self._fused or bool(getattr(self.loss, "from_logits", False))

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        target = comparable(self.loss.encode(comparable(target, prediction), self._output_shape), prediction)
        ones = np.broadcast_to(prediction.dtype.type(1), (len(prediction),))
        weights = ones if weights is None else np.asarray(weights, prediction.dtype)
        total, *_ = Head(self.loss).take(prediction, target, weights, fresh(prediction), fused=self._fused)
        self.count(float(total), float(weights.sum(dtype=np.float64)) * (len(weights) / max(weights.size, 1)))


def _metric(value: Any) -> Any:
    """Return a metric that belongs to one output of one model; a loss, or its name, stands for its mean."""
    if isinstance(value, Loss) or (isinstance(value, type) and issubclass(value, Loss)):
        return LossMetric(deepcopy(value))
    if isinstance(value, str):
        metrics, losses = ({canonical(name) for name in choices} for choices in (METRICS, LOSSES))
        if canonical(value) in losses - metrics:
            return LossMetric(value, name=value)
    return deepcopy(get_metric(value))  # it learns its output and counts: what the user gave may stand elsewhere too


def arranged(
    loss: Any, metrics: Any, loss_weights: Any, weighted_metrics: Any, names: Sequence[str], count: int
) -> dict[str, Any]:
    """Return the losses, metrics, weighted metrics and loss weights, one entry an output."""
    return {
        "loss": [_loss(one) for one in _complete(_per_output(loss, names, count, "loss"), names)],
        "metrics": [[_metric(m) for m in _as_list(one)] for one in _per_output(metrics, names, count, "metrics", True)],
        "weighted": [
            [_weighted(_metric(m)) for m in _as_list(one)]
            for one in _per_output(weighted_metrics, names, count, "weighted_metrics", True)
        ],
        "loss_weights": [
            1.0 if weight is None else number("compile", "loss_weights", weight, "(-inf, inf)")
            for weight in _per_output(loss_weights, names, count, "loss_weights")
        ],
    }


def _complete(losses: list[Any], names: Sequence[str]) -> list[Any]:
    """Refuse outputs of which no loss is named."""
    without = [name for name, loss in zip(names, losses, strict=False) if loss is None]
    if without:
        raise ArgumentError(
            f"compile(loss=...): {', '.join(without)} has no loss. Name one for every output; loss_weights={{name: 0}} "
            "only measures it."
        )
    return losses


def _loss(value: Any) -> Any:
    """Return the loss; whoever gives the optimizer first, as Keras does, is told how it is here."""
    try:
        return get_loss(value)
    except MiniDLFError:
        known = isinstance(value, str) and canonical(value) in {canonical(name) for name in OPTIMIZERS}
        if known or isinstance(value, Optimizer):
            raise ArgumentError(
                f"compile: {value!r} is an optimizer, and the loss comes first: compile('mse', 'adam'), or by name: "
                "compile(optimizer='adam', loss='mse')."
            ) from None
        raise


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _weighted(metric: Any) -> Any:
    metric.weighted = True
    return metric


def _per_output(value: Any, names: Sequence[str], count: int, what: str, lists: bool = False) -> list[Any]:
    """Spread an argument of `compile` over the outputs: a list or dictionary with one entry each, or one for all.

    Metrics come in `lists`: one that names no output by its place is that of every output.
    """
    if isinstance(value, Mapping) and "class" not in value:
        unknown = set(value) - set(names)
        if unknown:
            raise ArgumentError(f"compile({what}=...): no output is called {sorted(unknown)}; there are {list(names)}.")
        return [value.get(name) for name in names]
    if not isinstance(value, list | tuple):
        return [value] * count
    by_place = any(isinstance(entry, list | tuple) or entry is None for entry in value)
    if lists and not by_place and (count == 1 or len(value) < count):
        return [value] * count
    if len(value) != count:
        outputs = f"{count} outputs ({', '.join(names)})" if count > 1 else "one output"
        raise ArgumentError(f"compile({what}=...): the model has {outputs}, received a list of {len(value)}.")
    return list(value)
