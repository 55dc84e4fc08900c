"""The doctor in `compile` and `fit`: it looks at what it is given, and warns once of each thing that it finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.doctor.case import LEAST_ROWS, Case, Course, Data
from miniDLF.doctor.checks import COMPILE, COURSE, DATA, PASS, findings
from miniDLF.doctor.examining import TROUBLE, examined, sampled_weights, trained
from miniDLF.doctor.findings import said
from miniDLF.doctor.outputs import guess, outputs
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.kernels.workspace import Array
from miniDLF.training.callbacks import Callback
from miniDLF.training.feeds import ArrayFeed

__all__ = ["Doctor", "Observer", "case_of", "guesses_of", "moved"]

#: Rows and numbers of the data that are looked at, at the most, and rows with which the model is gone through.
ROWS, NUMBERS, PASS_ROWS = 256, 200_000, 32
#: A pass through the model waits until so many times its rows have been trained: then it is below 1 % of the time.
PATIENCE = 300
#: Epochs behind which a run is looked at; then every time that their number has doubled.
EPOCHS = (3, 5, 10)
#: Passes that a run of several epochs may have however little its data are.
PASSES = 3


class Doctor:
    """What `compile` leaves with a model: whether it wants to be looked after, and what it has been told already."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = bool(enabled)
        self.told: set[str] = set()
        self.seen: set[Any] = set()
        self.course = Course()
        self.start: Array | None = None
        self.passes = self.trained_rows = self.first_step = 0

    def __getstate__(self) -> dict[str, Any]:
        """What a copy of the model needs: it does not go on with the course of the run."""
        return {**self.__dict__, "start": None, "course": Course()}

    def compiled(self, engine: Any) -> None:
        """Warn of what contradicts itself in a compiled model."""
        if self.enabled:
            self.tell(case_of(engine), (COMPILE,), "compile")

    def tell(self, case: Case, moments: Iterable[str], where: str) -> None:
        """Warn of what the checks of some moments find and has not been told yet."""
        try:
            found = findings(case, moments, self.told)
        except TROUBLE:  # of a loss or layer of one's own that is like none of ours
            return
        found = [finding for finding in found if not finding.follows]  # who mends the cause mends them too
        self.told.update(finding.name for finding in found)
        said(found, where)


def case_of(engine: Any) -> Case:
    """Return the case of a compiled model, of whose data nothing is known yet."""
    return Case(engine.graph, outputs(engine.graph, engine.heads), engine.optimizer)


def guesses_of(case: Case, data: Data) -> list[float | None]:
    """Return the loss of guessing for every output; where rows are weighted it is not known."""
    weighted = any(weight is not None for weight in data.weights)
    return [None if weighted else guess(output, data.targets_of(output)) for output in case.outputs]


def moved(start: Array, now: Array) -> float | None:
    """Return the root mean square of the change of some weights over that of the weights."""
    size = float(np.sqrt(np.mean(start * start))) if start.size else 0.0
    if start.shape != now.shape or not size:
        return None
    return float(np.sqrt(np.mean((now - start) ** 2))) / size


class Observer(Callback):
    """Looks at the data before the first step, at the model then and behind some epochs, and at the losses.

    It has no hooks of batches, keeps nothing of a run behind its end, and reads the model only by `predict` and
    `gradients`: a run with it gives the same bits as one without.
    """

    essential = False

    def __init__(self, doctor: Doctor, engine: Any, feed: Any, validation: Any, *, split: bool) -> None:
        self.doctor, self.engine, self.feed, self.validation = doctor, engine, feed, validation
        self.split = split
        self.batch: Batch | None = None  # the data, or the first batch of an iterable

    def on_train_begin(self, logs: Any = None) -> None:
        if isinstance(self.feed, ArrayFeed):
            self._meet(self.feed.data)
        else:
            self.feed.convert = partial(self._convert, self.feed.convert)

    def _convert(self, convert: Any, *item: Any) -> Any:
        """Convert the first batch of an iterable, and look at it; the others go straight to `convert`."""
        self.feed.convert = convert
        batch = convert(*item)
        data = Data.of(batch, ROWS, NUMBERS)  # a copy: the iterable may fill the same arrays again
        self._meet(Batch(data.inputs, data.targets, data.weights))
        return batch

    def _meet(self, batch: Batch) -> None:
        """Look at the data, if such data have not been there, and at the model, if this is its first run."""
        self.batch = batch
        doctor, kind = self.doctor, (len(batch), self.split, *(array.shape[1:] for array in batch.inputs))
        moments = [COMPILE]
        if kind not in doctor.seen:
            doctor.seen.add(kind)
            moments.append(DATA)
        if not doctor.passes:
            moments.append(PASS)
        if moments != [COMPILE]:
            case = self._look(moments)
            if case is not None and case.passed is not None:
                doctor.course.first = case.passed.loss
        if doctor.start is None:
            doctor.start, doctor.first_step = sampled_weights(self.engine), self.engine.steps

    @quiet_arithmetic
    def _look(self, moments: list[str], count: int = 0) -> Case | None:
        """Make the case, and tell what the checks of some moments find in it."""
        doctor, feed, batch = self.doctor, self.feed, self.batch
        if batch is None:
            return None
        case = case_of(self.engine)
        data = case.data = Data.of(batch, ROWS, NUMBERS)
        if isinstance(feed, ArrayFeed):
            case.shuffle, case.batch_size = feed.shuffle, feed.cuts[0][1] - feed.cuts[0][0] if feed.cuts else None
        else:
            case.data = replace(data, whole=None)
        if isinstance(self.validation, ArrayFeed) and DATA in moments:
            case.validation, case.split = Data.of(self.validation.data, ROWS, NUMBERS), self.split
        if COURSE in moments:
            case.course, case.epoch = doctor.course, count
            case.course.moved = None if doctor.start is None else moved(doctor.start, sampled_weights(self.engine))
            case.course.steps = self.engine.steps - doctor.first_step
        try:
            case.guesses = guesses_of(case, data)
            if PASS in moments:
                case.passed = examined(self.engine, data.first(self._rows(batch)))
                case.weights = trained(self.engine)
                doctor.passes += 1
                doctor.trained_rows = 0
        except TROUBLE:  # layers and losses of one's own may want rows of another kind
            pass
        doctor.tell(case, moments, "fit")
        return case

    def _rows(self, batch: Batch) -> int:
        """Return how many rows a pass takes: few beside an epoch."""
        return max(LEAST_ROWS, min(PASS_ROWS, self._epoch_rows(batch) // PATIENCE))

    def _epoch_rows(self, batch: Batch) -> int:
        return len(batch) * (1 if isinstance(self.feed, ArrayFeed) else self.feed.steps or 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        doctor, batch = self.doctor, self.batch
        if batch is None:
            return
        losses = doctor.course.losses
        losses.append(float((logs or {}).get("loss", np.nan)))
        doctor.trained_rows += self._epoch_rows(batch)
        count = len(losses)
        if count not in EPOCHS and not _doubled(count):
            return
        passes = doctor.trained_rows >= PATIENCE * self._rows(batch) or (doctor.passes < PASSES)
        self._look([COURSE, PASS] if passes else [COURSE], count)

    def on_train_end(self, logs: Any = None) -> None:
        self.batch = self.engine = self.feed = self.validation = self.model = None
        self.peers = ()


def _doubled(count: int) -> bool:
    """Say whether a number is 10, 20, 40, 80, ..."""
    return count % 10 == 0 and (count // 10) & (count // 10 - 1) == 0
