"""One training step: forward, loss, backward, check, update, measure."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.executor import Batch, Executor
from miniDLF.core.graph import Graph
from miniDLF.core.program import Head
from miniDLF.core.update import Updater
from miniDLF.errors import ArgumentError, DataError, DivergedError
from miniDLF.kernels.threads import quiet_arithmetic, single_threaded_blas
from miniDLF.kernels.workspace import Array
from miniDLF.metrics import MeanMetric
from miniDLF.training.own_measures import check_heads, try_heads
from miniDLF.training.own_rules import check_rules

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
        for head, node in zip(self.heads, graph.outputs, strict=True):
            for metric in head.metrics:
                metric.bind(node.shape, head.loss)
        self.steps = 0
        self.loss_mean = MeanMetric()
        self.head_means = [MeanMetric() for _ in heads] if len(self.heads) > 1 else []

    def reset(self) -> None:
        """Forget the running loss and metrics (a new epoch, a new evaluation)."""
        for metric in self._means():
            metric.reset()

    def _means(self) -> list[Any]:
        return [self.loss_mean, *self.head_means, *(metric for head in self.heads for metric in head.metrics)]

    def set_aside(self) -> list[Any]:
        """Return the running loss and metrics, and go on with fresh ones (an evaluation within an epoch)."""
        kept = [metric.state() for metric in self._means()]
        self.reset()
        return kept

    def put_back(self, kept: list[Any]) -> None:
        """Take over what `set_aside` gave."""
        for metric, state in zip(self._means(), kept, strict=True):
            metric.set_state(state)

    def logs(self) -> dict[str, Any]:
        """Return the running loss and metrics by name."""
        result = {"loss": float(self.loss_mean.result())}
        many = len(self.heads) > 1
        for number, head in enumerate(self.heads):
            start = f"{head.name}_" if many else ""
            if many:
                result[start + "loss"] = float(self.head_means[number].result())
            for metric in head.metrics:
                name = start + metric.name
                if name in result and getattr(metric, "weighted", False):
                    name = f"{start}weighted_{metric.name}"
                result[_free(name, result)] = metric.result()
        return result

    def train(self, batch: Batch) -> float:
        """Do one step on `batch`; return its loss, with penalties.

        Raises
        ------
        DivergedError
            If the loss or a gradient is not finite. The weights are then those of a step shortly before whose loss was
            finite; or as they were set, if they were set after it.
        """
        if self._untried:
            self._untried = try_heads(self.heads, batch, self.executor)
        if self.optimizer.full_batch:
            return self._minimize(batch)
        losses, total = self._train(batch)
        self._measure(losses, total, len(batch))
        return total

    @single_threaded_blas
    @quiet_arithmetic
    def _train(self, batch: Batch) -> tuple[list[float], float]:
        executor, updater = self.executor, self.updater
        losses = executor.step(batch, self.steps)
        parts = executor.gradient_parts()
        if not math.isfinite(sum(losses)):
            raise self._diverged(losses, parts)
        total = sum(losses) + updater.penalties()
        if not updater.apply(self.steps + 1, *parts):
            raise self._diverged(losses, parts)
        self.steps += 1
        executor.update_states()
        return losses, total

    @single_threaded_blas
    @quiet_arithmetic
    def _minimize(self, batch: Batch) -> float:
        """Let an optimizer over the whole data set run: `batch` is that set, and a step is all its iterations."""
        executor, updater, values = self.executor, self.updater, self.buffers.values

        def function(point: Array) -> tuple[float, Array]:
            np.copyto(values, point)
            losses = executor.step(batch, self.steps)
            updater.join(*executor.gradient_parts())
            return sum(losses) + updater.penalties(), self.buffers.gradients.copy()

        found = self.optimizer.minimize(function, values.copy())
        np.copyto(values, found.values)
        losses = executor.step(batch, self.steps, backward=False)
        self.steps += 1
        executor.update_states()
        self._measure(losses, found.loss, len(batch))
        return float(found.loss)

    @single_threaded_blas
    @quiet_arithmetic
    def gradients(self, batch: Batch, *, training: bool = True) -> tuple[float, dict[str, Array]]:
        """Return the loss and a copy of the gradients by path; no weight changes."""
        losses = self.executor.step(batch, self.steps, training=training)
        self.updater.join(*self.executor.gradient_parts())
        total = sum(losses) + self.updater.penalties()
        return total, {path: array.copy() for path, array in self.buffers.named(self.buffers.gradients).items()}

    def _measure(self, losses: Sequence[float], total: float, rows: int) -> None:
        self.loss_mean.count(total * rows, rows)
        for number, head in enumerate(self.heads):
            if self.head_means:
                self.head_means[number].count(losses[number] / head.weight * rows if head.weight else 0.0, rows)
            for metric in head.metrics:
                for shard in self.executor.active():
                    weights = None
                    if getattr(metric, "weighted", False):
                        weights = shard.weights[number] * rows
                    metric.update(shard.targets[number], shard.predictions[number], weights)

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
        def block(array: Array) -> Array:
            return array[start:stop] if batch.rows is None else array[batch.rows[start:stop]]

        inputs = [np.asarray(block(array), dtype=self.buffers.dtype) for array in batch.inputs]
        outputs = self.executor.infer(inputs)
        total = 0.0
        for number, (head, prediction) in enumerate(zip(self.heads, outputs, strict=True)):
            target = block(batch.targets[number])
            if target.dtype.kind == "f":
                target = target.astype(self.buffers.dtype, copy=False)
            each = head.loss.per_sample(prediction, target)
            weights = batch.weights[number]
            if weights is not None:
                weights = block(weights)
                each = each * weights
            mean = float(np.mean(each, dtype=np.float64))
            total += head.weight * mean
            if self.head_means:
                self.head_means[number].count(mean * (stop - start), stop - start)
            for metric in head.metrics:
                metric.update(target, prediction, weights if getattr(metric, "weighted", False) else None)
        for slot in self.buffers.slots:
            if slot.trained and slot.parameter.regularizer is not None:
                total += slot.parameter.regularizer.value_and_grad(
                    slot.parameter.value, np.zeros_like(slot.parameter.value)
                )
        self.loss_mean.count(total * (stop - start), stop - start)

    def _diverged(self, losses: Sequence[float], parts: Any) -> DivergedError:
        """Find where the trouble began, and put good weights back."""
        self.updater.join(*parts)
        where = self._first_not_finite()
        what = "a gradient is not finite" if math.isfinite(sum(losses)) else f"the loss is {sum(losses)}"
        good = self.updater.restore()
        held = "weights that it began with" if good is None else f"weights after step {good}, whose loss was finite"
        self.buffers.gradients.fill(0)
        return DivergedError(
            f"step {self.steps + 1}: {what}; it began in {where}. Training has stopped and the model holds the "
            f"{held}. Lower the learning rate, clip the gradient (ClipGlobalNorm), or look at the data."
        )

    def _first_not_finite(self) -> str:
        shards = self.executor.active()
        program = shards[0].program
        for number in range(len(self.graph.inputs)):
            if not all(np.isfinite(shard.values[number]).all() for shard in shards):
                return "the input of this batch, which holds NaN or infinity"
        for step in program.steps:
            if not all(np.isfinite(shard.values[step.target]).all() for shard in shards):
                return f"the output of layer {self.graph.names[step.layer]!r}"
        for slot in reversed(self.buffers.trained_slots()):
            if not np.isfinite(self.buffers.gradients[slot.slice]).all():
                return f"the gradient of {slot.path!r}"
        return "the loss itself"

    # Resuming -------------------------------------------------------------------------------------------------------

    def _trained(self) -> Array:
        return np.array([slot.trained for slot in self.buffers.slots], np.uint8)

    def training_state(self) -> dict[str, Any]:
        """Return what a resumed run needs besides the weights: the optimizer's arrays, the step, the running means.

        The learning rate too, which callbacks may have set; a schedule is a function of the step.
        """
        state: dict[str, Any] = {f"optimizer/{name}": array for name, array in self.updater.state.items()}
        state["steps"] = np.asarray(self.steps)
        state["previous"] = self.updater.previous
        state["previous_step"] = np.asarray(self.updater.previous_step)
        state["trained"] = self._trained()
        rate = self._constant_rate()
        if rate is not None:
            state["learning_rate"] = np.asarray(rate)
        for number, metric in enumerate(self._means()):
            for name, value in metric.state().items():
                state[f"mean/{number}/{name}"] = np.asarray(value)
        return state

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take over a state that `training_state` gave.

        Raises
        ------
        ArgumentError
            If it is of another optimizer, or of other trained parameters.
        DataError
            If it lacks something, or something has another shape or type.
        """
        saved = {key.partition("/")[2]: value for key, value in state.items() if key.startswith("optimizer/")}
        if set(saved) != set(self.updater.state):
            raise ArgumentError(
                f"the saved optimizer state has {sorted(saved)}, this optimizer "
                f"({type(self.optimizer).__name__}) needs {sorted(self.updater.state)}. Compile with the optimizer "
                "that the run began with."
            )
        now = self._constant_rate()
        later = {"previous_step": 0, "trained": self._trained(), "learning_rate": now}
        state = {**{key: np.asarray(value) for key, value in later.items()}, **state}  # older files lack these
        if not np.array_equal(state["trained"], self._trained()):
            raise ArgumentError(
                "the saved state is of a run that trained other parameters than this model does. Set `trainable` of "
                "the layers as it was there, and compile."
            )
        for key, value in self.training_state().items():
            found = np.shape(state[key]) if key in state else "nothing"
            if not key.startswith("mean/") and found != np.shape(value):
                raise DataError(f"{key}: expected an array of shape {np.shape(value)}, received {found}.")
        for key in ("steps", "previous_step"):
            count = np.asarray(state[key])
            if count.dtype.kind not in "iu" or count < 0:
                raise DataError(f"{key}: expected a whole number of at least 0, received {count}.")
        self.updater.load_state(saved)
        np.copyto(self.updater.previous, state["previous"])
        self.updater.previous_step, self.buffers.written = int(state["previous_step"]), False
        self.steps = int(state["steps"])
        if now is not None and now != state["learning_rate"]:
            self.optimizer.learning_rate = float(state["learning_rate"])
        for number, metric in enumerate(self._means()):
            prefix = f"mean/{number}/"
            values = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            metric.set_state(values)

    def _constant_rate(self) -> float | None:
        """Return the learning rate where it is a number; an optimizer of one's own need not have any."""
        try:
            rate = self.optimizer.learning_rate
        except NotImplementedError:
            return None
        return float(rate) if isinstance(rate, int | float) else None


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
