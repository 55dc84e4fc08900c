"""One training step: forward, loss, backward, check, update, measure."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.executor import Batch, Executor
from miniDLF.core.graph import Graph
from miniDLF.core.program import Head, total_loss
from miniDLF.core.update import Updater
from miniDLF.errors import ArgumentError
from miniDLF.kernels.threads import quiet_arithmetic, single_threaded_blas
from miniDLF.kernels.workspace import Array
from miniDLF.losses.base import fresh
from miniDLF.metrics import MeanMetric
from miniDLF.metrics.reading import comparable
from miniDLF.training.divergence import diverged
from miniDLF.training.own_measures import check_heads, try_heads
from miniDLF.training.own_rules import check_rules
from miniDLF.training.resuming import load_training_state, training_state

__all__ = ["Engine"]

#: Rows of a data set that are predicted before their losses and metrics are taken.
EVALUATION_ROWS = 4096


class Engine:
    """Trains and evaluates a graph: what `compile` makes of a model.

    Attributes
    ----------
    steps : int
        Updates done so far; the number of the step is a part of every random stream's key.
    loss_mean : MeanMetric
        The mean loss since `reset`, weighted by batch size.
    """

    def __init__(
        self, graph: Graph, buffers: Buffers, heads: Sequence[Head], optimizer: Any, *, seed: int, shards: int | None
    ) -> None:
        self.graph, self.buffers, self.heads, self.optimizer = graph, buffers, list(heads), optimizer
        check_rules(optimizer, buffers.slots, buffers.dtype)
        self._untried = check_heads(self.heads)
        self.executor = Executor(graph, buffers, heads=heads, seed=seed, shards=shards)
        self.updater = Updater(optimizer, buffers)
        _refuse_constraints(optimizer, buffers)
        for number, head in enumerate(self.heads):
            for metric in head.metrics:
                self.bind(metric, number)
        self.steps = 0
        self.loss_mean = MeanMetric(better="min")
        self.head_means = [MeanMetric(better="min") for _ in heads] if len(self.heads) > 1 else []

    def bind(self, metric: Any, number: int) -> None:
        """Let a metric learn next to which output and loss it stands."""
        head = self.heads[number]
        metric.bind(self.graph.outputs[number].shape, head.loss)
        if self.executor.fused[number]:
            metric.absorb(head.loss.absorbs)

    def reset(self) -> None:
        """Forget the running loss and metrics (a new epoch, a new evaluation)."""
        for metric in self.means():
            metric.reset()

    def means(self) -> list[Any]:
        """Return all that is measured: the loss, those of several outputs, the metrics."""
        return [self.loss_mean, *self.head_means, *(metric for head in self.heads for metric in head.metrics)]

    def set_aside(self) -> list[Any]:
        """Return the running loss and metrics, and go on with fresh ones (an evaluation within an epoch)."""
        kept = [metric.state() for metric in self.means()]
        self.reset()
        return kept

    def put_back(self, kept: list[Any]) -> None:
        """Take over what `set_aside` gave."""
        for metric, state in zip(self.means(), kept, strict=True):
            metric.set_state(state)

    def logs(self) -> dict[str, Any]:
        """Return the running loss and metrics by name."""
        results = {name: metric.result() for name, metric in self._named().items()}
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in results.items()}

    def directions(self) -> dict[str, str | None]:
        """Return which way each log is better: 'max', 'min', or '' where the metric does not know."""
        return {name: getattr(metric, "better", "") for name, metric in self._named().items()}

    def _named(self) -> dict[str, Any]:
        """Return the running loss and metrics by the names of their logs."""
        result: dict[str, Any] = {"loss": self.loss_mean}
        many = len(self.heads) > 1
        for number, head in enumerate(self.heads):
            start = f"{head.name}_" if many else ""
            if many:
                result[start + "loss"] = self.head_means[number]
            for metric in head.metrics:
                name = start + metric.name
                if name in result and getattr(metric, "weighted", False):
                    name = f"{start}weighted_{metric.name}"
                result[_free(name, result)] = metric
        return result

    def train(self, batch: Batch) -> float:
        """Do one step on `batch`; return its loss, with penalties.

        Raises
        ------
        DivergedError
            If the loss or a gradient is not finite. Weights, running statistics, the optimizer's state and the number
            of steps are then those of a step shortly before, whose loss was finite; or as they were set, if they were
            set after it.
        """
        self.executor.leave_parent()
        if self._untried:
            self._untried = try_heads(self.heads, batch, self.executor)
        if self.updater.raw is not None and not self.updater.running:  # an average stands in the model since `fit`
            self.updater.begin()
            self.updater.running = False
        if self.optimizer.full_batch:
            return self._minimize(batch)
        losses, total = self._train(batch)
        self._measure(batch, losses, total)
        return total

    @single_threaded_blas
    @quiet_arithmetic
    def _train(self, batch: Batch) -> tuple[list[float], float]:
        executor, updater = self.executor, self.updater
        losses = executor.step(batch, self.steps)
        parts = executor.gradient_parts()
        total = total_loss(self.heads, losses)
        if not math.isfinite(total):
            raise diverged(self, losses, parts)
        total += executor.added_loss() + updater.penalties()
        if not updater.apply(self.steps + 1, *parts, loss=total):
            raise diverged(self, losses, parts)
        self.steps += 1
        executor.update_states()
        return losses, total

    @single_threaded_blas
    @quiet_arithmetic
    def _minimize(self, batch: Batch) -> float:
        """Let an optimizer over the whole data set run: `batch` is that set, and a step is all its iterations."""
        executor, updater, values = self.executor, self.updater, self.buffers.values
        before = values.copy()

        def function(point: Array) -> tuple[float, Array]:
            np.copyto(values, point)
            losses = executor.step(batch, self.steps)
            updater.join(*executor.gradient_parts())
            total = total_loss(self.heads, losses) + executor.added_loss() + updater.penalties()
            return total, self.buffers.gradients.copy()

        try:
            found = self.optimizer.minimize(function, before)
        except BaseException:  # an interrupt as well: the values are those of some trial
            np.copyto(values, before)
            raise
        np.copyto(values, found.values)
        losses = executor.step(batch, self.steps, backward=False)
        self.steps += 1
        executor.settle_states()
        self._measure(batch, losses, found.loss)
        return float(found.loss)

    @single_threaded_blas
    @quiet_arithmetic
    def gradients(self, batch: Batch, *, training: bool = True) -> tuple[float, dict[str, Array]]:
        """Return the loss and a copy of the gradients by path; no weight changes."""
        if self._untried:
            self._untried = try_heads(self.heads, batch, self.executor)
        losses = self.executor.step(batch, self.steps, training=training)
        self.updater.join(*self.executor.gradient_parts())
        total = total_loss(self.heads, losses) + self.executor.added_loss() + self.updater.penalties()
        return total, {path: array.copy() for path, array in self.buffers.named(self.buffers.gradients).items()}

    def _measure(self, batch: Batch, losses: Sequence[float], total: float) -> None:
        rows = len(batch)
        self.loss_mean.count(total * rows, rows)
        for number, head in enumerate(self.heads):
            if self.head_means:
                self.head_means[number].count(losses[number] * rows, rows)
            if not head.metrics:
                continue
            for shard, cut in zip(self.executor.active(), self.executor.cuts, strict=True):
                target = batch.target_given(number, *cut)
                output = shard.values[shard.program.outputs[number]]
                weights = None if batch.weights[number] is None else shard.weights[number] * rows
                target = shard.targets[number] if target is None else target
                self._update(head, output, shard.predictions[number], target, weights)

    def _update(self, head: Head, output: Array, prediction: Array, target: Array, weights: Array | None) -> None:
        """Let the metrics of a head see rows: targets as they were given, as numbers that can be calculated with."""
        target = comparable(target, prediction)
        for metric in head.metrics:
            seen = output if metric.reads_logits else prediction
            metric.update(target, seen, weights if getattr(metric, "weighted", False) else None)

    def test(self, batch: Batch) -> None:
        """Add a batch to the running loss and metrics, in inference mode."""
        if self._untried:
            self._untried = try_heads(self.heads, batch, self.executor)
        rows = len(batch)
        for start in range(0, rows, EVALUATION_ROWS):
            self._test_block(batch, start, min(start + EVALUATION_ROWS, rows))

    @single_threaded_blas
    @quiet_arithmetic
    def _test_block(self, batch: Batch, start: int, stop: int) -> None:
        inputs = [np.asarray(batch.block(array, start, stop), dtype=self.buffers.dtype) for array in batch.inputs]
        outputs = self.executor.infer(inputs, for_losses=True)
        rows, losses, dtype = stop - start, [], self.buffers.dtype
        for number, (head, output) in enumerate(zip(self.heads, outputs, strict=True)):
            encoded = batch.block(batch.targets[number], start, stop)
            if encoded.dtype.kind == "f":
                encoded = encoded.astype(dtype, copy=False)
            given = batch.weights[number]
            weights = None if given is None else batch.block(given, start, stop).astype(dtype)
            shares = np.broadcast_to(dtype.type(1), (rows,)) if weights is None else weights
            fused = self.executor.fused[number]
            output = np.ascontiguousarray(output)
            loss, _, prediction = head.take(output, encoded, shares, fresh(output), fused=fused)
            losses.append(float(loss) / rows)
            if self.head_means:
                self.head_means[number].count(float(loss), rows)
            if head.metrics:
                seen = batch.target_given(number, start, stop)
                self._update(head, output, prediction, encoded if seen is None else seen, weights)
        total = total_loss(self.heads, losses) + outputs.added
        for slot in self.buffers.slots:
            if slot.trained and slot.parameter.regularizer is not None:
                total += slot.parameter.regularizer.value_and_grad(
                    slot.parameter.value, np.zeros_like(slot.parameter.value)
                )
        self.loss_mean.count(total * rows, rows)

    # Runs -----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A run begins."""
        self.executor.leave_parent()
        self.updater.begin()

    def finish(self) -> None:
        """A run is over: the model gets the weights that its optimizer wants it to have, such as an average."""
        if not self.buffers.current:
            self.buffers.take()
        self.updater.finish()

    def held(self) -> dict[str, Array]:
        """Return the weights that the end of the run would leave in the model, by path, where they are others."""
        values = self.optimizer.finished(self.updater.state) if self.updater.running else None
        return {} if values is None else self.buffers.named(values)

    def moment(self) -> dict[str, Array]:
        """Return copies of all that moves together in training, for `go_back`."""
        return {**{k: v.copy() for k, v in self.updater.moving().items()}, "steps": np.asarray(self.steps)}

    def go_back(self, moment: Mapping[str, Any]) -> None:
        """Go back to a `moment`: weights, running statistics, the optimizer's state and the number of steps.

        The learning rate stays, and so does the order of the samples: both go on from where they are.
        """
        if not self.buffers.current:
            self.buffers.take()
        for name, array in self.updater.moving().items():
            np.copyto(array, moment[name])
        self.updater.raw = None
        self.steps = int(moment["steps"])
        if not self.updater.running:
            self.updater.finish()

    def training_state(self) -> dict[str, Any]:
        """Return what a resumed run needs besides the weights; see `miniDLF.training.resuming`."""
        return training_state(self)

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `training_state` gave; it is checked before anything changes."""
        load_training_state(self, state)


def _refuse_constraints(optimizer: Any, buffers: Buffers) -> None:
    """Refuse constraints beside an optimizer that makes all its steps by itself."""
    held = [slot.path for slot in buffers.slots if slot.trained and slot.parameter.constraint is not None]
    if optimizer.full_batch and held:
        raise ArgumentError(
            f"{type(optimizer).__name__} cannot keep the constraints of {', '.join(held)}. Leave them out, or use a "
            "stochastic optimizer, for example Adam()."
        )


def _free(name: str, taken: Container[str]) -> str:
    """Return `name`, with a number where it is taken: Keras' names of metrics that are there twice."""
    number, result = 0, name
    while result in taken:
        number += 1
        result = f"{name}_{number}"
    return result
