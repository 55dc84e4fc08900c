"""`fit` and `evaluate` for models with a `train_step` of their own: it is compiled, and the loop is the usual one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.core.held import held_parameters
from miniDLF.core.own import check_call
from miniDLF.engine.function import function
from miniDLF.errors import ArgumentError, ArgumentTypeError, DivergedError, NotReadyError, ShapeError
from miniDLF.kernels.workspace import Array
from miniDLF.metrics import MeanMetric
from miniDLF.models.subclassing import unpack, writes_call
from miniDLF.tensor.tensor import Tensor
from miniDLF.training import loop

__all__ = ["OwnSteps"]


class OwnSteps:
    """What the loop calls: compiled steps, and the means of what they return.

    Attributes
    ----------
    steps : int
        Training steps done so far.
    """

    def __init__(self, model: Any, run_eagerly: bool) -> None:
        self.model = model
        for name in ("train_step", "test_step"):
            check_call(type(model).__name__, name, getattr(model, name), ("data",))
        self._train = function(model.train_step, shards=model.shards, run_eagerly=run_eagerly)
        self._test = function(model.test_step, shards=model.shards, run_eagerly=run_eagerly)
        self.steps = 0
        self._means: dict[str, MeanMetric] = {}

    def begin(self) -> None:
        """A run begins."""

    def finish(self) -> None:
        """A run is over."""

    def reset(self) -> None:
        """Forget the means."""
        self._means = {}

    def set_aside(self) -> dict[str, MeanMetric]:
        """Return the means, and go on with fresh ones."""
        kept, self._means = self._means, {}
        return kept

    def put_back(self, kept: dict[str, MeanMetric]) -> None:
        """Take over what `set_aside` gave."""
        self._means = kept

    def logs(self) -> dict[str, Any]:
        """Return the means by name."""
        return {name: mean.result() for name, mean in self._means.items()}

    def directions(self) -> dict[str, str | None]:
        """Return which way each log is better: losses are better lower, of others nobody knows."""
        return {name: "min" if name == "loss" or name.endswith("_loss") else "" for name in self._means}

    def held(self) -> dict[str, Any]:
        """Return the weights that the end of a run would leave, where they are others: none."""
        return {}

    def moment(self) -> dict[str, Any]:
        """Return copies of all that moves together in training, for `go_back`."""
        states = [(one, {k: v.copy() for k, v in one.updater.state.items()}, one.steps) for one in self._rules()]
        return {"weights": [(p, p.numpy()) for p in self._parameters()], "states": states, "steps": self.steps}

    def go_back(self, moment: Mapping[str, Any]) -> None:
        """Go back to a `moment`: the weights, what the optimizers keep, and the number of steps."""
        for parameter, value in moment["weights"]:
            parameter.value = value
        for applied, state, steps in moment["states"]:
            applied.updater.load_state(state)
            applied.steps = steps
        self.steps = moment["steps"]

    def training_state(self) -> dict[str, Any]:
        """Say that runs of one's own steps cannot be resumed: what they keep besides the weights, nobody knows."""
        raise NotReadyError(
            f"{self.model.described} has a train_step of its own: a run of it cannot be resumed in the midst. Save "
            "its weights (ModelCheckpoint, save_weights), and begin another run with them."
        )

    def _parameters(self) -> list[Any]:
        if self.model._graph is not None:
            return [parameter for layer in self.model.graph.layers for parameter in layer.parameters]
        return [parameter for _, parameter in held_parameters(self.model)]

    def _rules(self) -> list[Any]:
        """Return what the optimizers among the model's attributes keep."""
        found: list[Any] = []
        for value in vars(self.model).values():
            for one in value if isinstance(value, (list, tuple)) else (value,):
                applied = vars(one).get("_applied") if hasattr(one, "apply_gradients") else None
                if applied is not None and all(applied is not other for other in found):
                    found.append(applied)
        return found

    def train(self, data: tuple[Any, ...]) -> None:
        """Make a step."""
        self._build(data)
        self.steps += 1
        self._count(self._train(data), data, "train_step")

    def test(self, data: tuple[Any, ...]) -> None:
        """Measure a batch."""
        self._build(data)
        self._count(self._test(data), data, "test_step")

    def _build(self, data: tuple[Any, ...]) -> None:
        """Let a model that waits for its inputs see the first of them."""
        if self.model._graph is None and writes_call(self.model):
            self.model._build_from(unpack(data)[0])
            self.model.ready()

    def _count(self, found: Any, data: Any, what: str) -> None:
        if isinstance(found, (Tensor, float)):
            found = {"loss": found}
        if not isinstance(found, Mapping):
            raise ArgumentTypeError(
                f"{what} returned {type(found).__name__}; return a dictionary of numbers by name, such as "
                '{"loss": loss}.'
            )
        rows = _rows(data)
        for name, value in found.items():
            number = np.asarray(value)
            if number.size != 1:
                raise ShapeError(f"{what}: {name!r} has the shape {number.shape}; return one number for each name.")
            if not math.isfinite(float(number)):
                raise DivergedError(
                    f"step {self.steps}: {name!r} is {float(number)}. Training has stopped. Lower the learning rate, "
                    "clip the gradient, or look at the data; then make the model anew."
                )
            self._means.setdefault(name, MeanMetric()).count(float(number) * rows, rows)

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        sample_weight: Any,
        batch_size: int | None,
        epochs: int,
        callbacks: Sequence[Any],
        validation_split: float,
        validation_data: Any,
        shuffle: bool,
        initial_epoch: int,
        steps_per_epoch: int | None,
        validation_freq: Any,
        verbose: int,
    ) -> Any:
        """Train by the model's own step; return the history of the means of what it returns."""
        if x is None:
            raise ArgumentError("fit: there is nothing to learn from: pass fit(x) or fit(x, y).")
        validation = None
        if validation_split:
            arrays = _converted(self.model, tuple(one for one in (x, y, sample_weight) if one is not None), "fit")
            rows = _rows(arrays)
            held = int(rows * (1 - validation_split))
            if not 0 < held < rows:
                raise ArgumentError(
                    f"fit: validation_split={validation_split} of {rows} samples leaves one side empty."
                )
            validation_data = _map(lambda array: array[held:], arrays)
            x, y, sample_weight = unpack(_map(lambda array: array[:held], arrays))
        if validation_data is not None:
            given = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            validation = _batches(
                self.model, *unpack(given), batch_size, shuffle=False, steps=None, what="validation_data"
            )
        feed = _batches(self.model, x, y, sample_weight, batch_size, shuffle=shuffle, steps=steps_per_epoch, what="fit")
        return loop.run(
            self.model,
            self,  # type: ignore[arg-type]  # the loop asks no more of an engine than this has
            feed,
            epochs=epochs,
            callbacks=callbacks,
            initial_epoch=initial_epoch,
            validation=validation,
            validation_freq=validation_freq,
            verbose=verbose,
        )

    def evaluate(self, x: Any, y: Any, sample_weight: Any, batch_size: int | None) -> dict[str, Any]:
        """Return the means of what the model's own `test_step` returns."""
        feed = _batches(self.model, x, y, sample_weight, batch_size, shuffle=False, steps=None, what="evaluate")
        return loop.evaluate(self, feed)  # type: ignore[arg-type]


class Batches:
    """Batches of arrays, in a new order every epoch; or those of an iterable."""

    def __init__(
        self, data: Any, size: int | None, *, shuffle: bool, seed: int, steps: int | None, convert: Callable[[Any], Any]
    ) -> None:
        self.data, self.size, self.shuffle, self.seed, self._convert = data, size or 32, shuffle, seed, convert
        self._arrays = isinstance(data, tuple)
        self.steps = steps
        if self._arrays:
            count = -(-_rows(data) // self.size)
            self.steps = count if steps is None else min(steps, count)
        self._running: Iterator[Any] | None = None

    def described(self) -> dict[str, Any]:
        """Return what a resumed run should find again."""
        known = {"samples": _rows(self.data), "batch_size": self.size} if self._arrays else {}
        return {**known, "steps": self.steps, "shuffle": self.shuffle}

    def epoch(self, number: int, start: int = 0, ahead: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch from number `start` on."""
        if not self._arrays:
            source = self.data if self._running is None else self._running
            if self.steps is not None and self._running is None:
                self._running = source = iter(self.data)
            for place, batch in enumerate(source):
                yield self._convert(batch)
                if self.steps is not None and place + 1 >= self.steps:
                    return
            return
        rows = _rows(self.data)
        order = np.arange(rows)
        if self.shuffle:
            np.random.default_rng([self.seed, number + ahead]).shuffle(order)
        for place in range(start, self.steps or 0):
            chosen = order[place * self.size : (place + 1) * self.size]
            yield _map(_taking(chosen), self.data)


def _taking(rows: Array) -> Callable[[Array], Array]:
    def take(array: Array) -> Array:
        return array[rows]

    return take


def _map(function_: Callable[[Array], Any], data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _map(function_, one) for key, one in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(_map(function_, one) for one in data)
    return data if data is None else function_(data)


def _flat(data: Any) -> list[Array]:
    found: list[Array] = []
    _map(found.append, data)
    return found


def _rows(data: Any) -> int:
    arrays = _flat(data)
    return len(arrays[0]) if arrays and np.ndim(arrays[0]) else 1


def _converted(model: Any, data: Any, what: str) -> Any:
    """Return arrays in the model's type; whole numbers stay."""

    def convert(value: Any) -> Array:
        array = plain_array(value, what)
        return array.astype(model.dtype, copy=False) if array.dtype.kind == "f" else array

    made = _map(convert, data)
    lengths = {len(array) for array in _flat(made)}
    if len(lengths) > 1:
        raise ShapeError(f"{what}: the arrays have different numbers of samples: {', '.join(map(str, lengths))}.")
    return made


def _batches(
    model: Any, x: Any, y: Any, weight: Any, size: int | None, *, shuffle: bool, steps: int | None, what: str
) -> Batches:
    def convert(batch: Any) -> Any:
        return _converted(model, batch if isinstance(batch, tuple) else (batch,), what)

    arrays = hasattr(x, "shape") or isinstance(x, (list, tuple, Mapping))
    if not arrays and isinstance(x, Iterable):
        return Batches(x, size, shuffle=False, seed=model.seed, steps=steps, convert=convert)
    given = tuple(one for one in (x, y, weight) if one is not None)
    return Batches(convert(given), size, shuffle=shuffle, seed=model.seed, steps=steps, convert=convert)
