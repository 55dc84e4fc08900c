"""Training steps and predictions made again from notes (see `core.capture`): what is noted, and where it lies."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

import numpy as np

from miniDLF.core.batch import Batch
from miniDLF.core.capture import Capture, Watched
from miniDLF.core.helpers import Team, can_help
from miniDLF.core.meetings import Meeting, drive_all
from miniDLF.core.shard import Shard
from miniDLF.core.tracing import Notes, NoteTaker, plain, repeat
from miniDLF.kernels.sharing import MEMORY
from miniDLF.kernels.threads import POOL, single_threaded_blas
from miniDLF.kernels.workspace import Array

__all__ = ["NotedPredictions", "NotedStep", "keep"]

#: A shard's way through a step, from one meeting with the others to the next.
Run = Generator[Meeting, Any, None]
#: Numbers of rows for which notes of predictions are kept; the oldest make room.
KEPT = 8


class NotedStep(Capture):
    """A training step for batches of one size: done as written at first, later from notes of every shard.

    Parameters
    ----------
    batch
        One of those; its samples say of what kind they are.
    cuts
        Which rows of a batch each shard takes.
    tail
        From which step on one thread takes all shards (see `Program.tail`).
    small
        Whether one thread is to take all shards.
    """

    def __init__(
        self,
        batch: Batch,
        shards: Sequence[Shard],
        cuts: Sequence[tuple[int, int]],
        tail: int,
        backward: bool,
        small: bool,
    ) -> None:
        super().__init__(len(shards))
        self._small, self._clock = small, shards[0].clock
        self._team: Team | None = None
        self._can_help: bool | None = None  # not known yet
        self._parts = [_Part(shard, *cut, tail, backward) for shard, cut in zip(shards, cuts, strict=True)]
        self._rows, self._kinds = len(batch), _kinds(batch)
        # Weak: nobody needs a data set that nobody trains on any more.
        self._source = weakref.ref(batch if batch.source is None else batch.source)

    def fits(self, batch: Batch) -> bool:
        """Say whether the samples are as many and of the same kind as at first, and every layer and loss as it was."""
        if self._changes != Watched.changes or len(batch) != self._rows:
            return False
        source = batch.source
        if source is not None and source is self._source():
            return True
        if _kinds(batch) != self._kinds:
            return False
        if source is not None:
            self._source = weakref.ref(source)
        return True

    def run(self, batch: Batch) -> None:
        """Take all shards through the step."""
        if self.ready:
            self._replay(batch, self._notes)  # type: ignore[arg-type]
            return
        self.perform(partial(self._work, batch), partial(self._replay, batch))
        if self._team is not None and self._notes is None:  # they did not prove right
            self._team = None

    def _work(self, batch: Batch, takers: Sequence[NoteTaker] | None) -> list[Any]:
        drive_all(
            self._small,
            [part.as_written(batch, takers[number] if takers else None) for number, part in enumerate(self._parts)],
        )
        return [result for part in self._parts for result in part.results()]

    def _replay(self, batch: Batch, notes: Sequence[Notes]) -> None:
        if len(notes) == 1 and not notes[0].meets:  # nobody to wait for: no generators, no drive
            part = self._parts[0]
            part.begin(batch)
            repeat(notes[0].calls)
            part.end()
        elif (team := self._helped(notes)) is not None:
            team.run([partial(part.begin, batch) for part in self._parts])
            for part in self._parts:
                part.end()
        else:
            drive_all(self._small, [part.from_notes(batch, own) for part, own in zip(self._parts, notes, strict=True)])

    def _helped(self, notes: Sequence[Notes]) -> Team | None:
        """Return this process and its helpers, where there are to be some and nobody else computes."""
        if not MEMORY.shared or self._small or POOL.threads < 2 or single_threaded_blas.others():
            return None
        if self._can_help is None:
            self._can_help = can_help(notes)
        if self._can_help and (self._team is None or self._team.lost):
            try:
                self._team = Team(notes, self._clock, POOL.threads)
            except OSError as error:
                self._team, self._can_help = None, False
                warnings.warn(
                    f"use_processes: no process can be started ({error.strerror or error}); shards run on threads.",
                    stacklevel=2,
                )
        return self._team


class _Part:
    """A shard's part of a step, and the places in which its notes work."""

    def __init__(self, shard: Shard, start: int, stop: int, tail: int, backward: bool) -> None:
        self._shard, self._start, self._stop, self._tail, self._backward = shard, start, stop, tail, backward
        self._inputs = len(shard.program.graph.inputs)

    def results(self) -> list[Any]:
        """What proves that two ways have done the same."""
        shard = self._shard
        return [*shard.losses, *shard.predictions, *([shard.gradients] if self._backward else [])]

    def as_written(self, batch: Batch, taker: NoteTaker | None) -> Run:
        """Do what the layers say; with a `taker`, note it."""
        shard = self._shard
        shard.untrace()
        shard.gather(batch, self._start, self._stop, True)
        for call in shard.calls:
            call.draw_again()  # also behind a run from notes in the same step, which has drawn these numbers
        if taker is None:
            yield from shard.run_gathered(self._tail, self._backward)
            return
        targets, weights, inputs = shard.targets, shard.weights, shard.values[: self._inputs]
        self._places = [*inputs, *targets, *_own(weights)]
        arrays = (*batch.inputs, *batch.targets)
        self._straight = all(given is None for given in batch.weights) and all(
            array.dtype == place.dtype for array, place in zip(arrays, self._places, strict=True)
        )
        try:
            shard.trace(taker)
            shard.values[: self._inputs], shard.targets = _traced(inputs, taker), _traced(targets, taker)
            shard.weights = _traced(weights, taker)
            yield from _noted(shard.run_gathered(self._tail, self._backward), taker)
        finally:
            shard.untrace()
        self._left = list(shard.values), targets, weights, list(shard.losses), list(shard.predictions)
        self._totals = [(call, call.total) for call in shard.calls if "total" in vars(call)]

    def from_notes(self, batch: Batch, notes: Notes) -> Run:
        """Gather the rows to the places that are known, and make the calls that are noted."""
        self.begin(batch)
        yield from notes.replay()
        self.end()

    def begin(self, batch: Batch) -> None:
        """Bring rows to the places: straight, which takes a third of the time of `Batch.part`, where types fit."""
        if self._straight:
            rows, start, stop = batch.rows, self._start, self._stop
            if rows is not None and stop - start < len(rows):
                rows = rows[start:stop]
            for array, place in zip((*batch.inputs, *batch.targets), self._places, strict=True):
                if rows is None:
                    np.copyto(place, array[start:stop])
                else:
                    array.take(rows, 0, place, "clip")
        else:
            shard = self._shard
            shard.gather(batch, self._start, self._stop, True)
            found = (*shard.values[: self._inputs], *shard.targets, *_own(shard.weights))
            for gathered, place in zip(found, self._places, strict=True):
                if gathered is not place:
                    np.copyto(place, gathered)
        for call, total in self._totals:
            call.total = total

    def end(self) -> None:
        """Put back what the step leaves: steps for batches of other sizes may have come between."""
        shard = self._shard
        values, shard.targets, shard.weights, losses, predictions = self._left
        shard.values[:], shard.losses, shard.predictions = values, list(losses), list(predictions)


class NotedPredictions:
    """Predictions by one shard, from notes where its program can be noted."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._known: dict[int, _Prediction] = {}

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Return the outputs, in memory that the next prediction overwrites.

        Inputs are copied where something is made for the place where they lie: layers keep their views of images.
        """
        shard = self._shard
        if not (shard.program.captures and Watched.noted):
            shard.untrace()
            return shard.forward(
                [_copied(x, self._place(number, x)) if x.ndim > 3 else x for number, x in enumerate(inputs)]
            )
        known = self._known.get(len(inputs[0]))
        if known is None or not known.current:
            known = _Prediction(shard, list(map(self._place, range(len(inputs)), inputs)))
            keep(self._known, len(inputs[0]), known, KEPT)
        return known.run(inputs)

    @property
    def calls(self) -> Sequence[Any]:
        """What the layers have left."""
        return self._shard.calls

    def _place(self, number: int, array: Array) -> Array:
        return self._shard.workspace.empty(f"x{number}", array.shape)


class _Prediction(Capture):
    """A prediction for inputs in these places."""

    def __init__(self, shard: Shard, places: Sequence[Array]) -> None:
        super().__init__(1)
        self._shard, self._places = shard, places

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Return the outputs for these inputs."""
        for array, place in zip(inputs, self._places, strict=True):
            _copied(array, place)
        return self.perform(self._work, _repeated)

    def _work(self, takers: Sequence[NoteTaker] | None) -> Sequence[Array]:
        shard = self._shard
        shard.untrace()
        if takers is None:
            return shard.forward(self._places)
        try:
            shard.trace(takers[0])
            return shard.forward(_traced(self._places, takers[0]))
        finally:
            shard.untrace()


def _own(weights: Sequence[Array]) -> list[Array]:
    """Return the weights that a batch brought; those that are even are constants that all batches share."""
    return [given for given in weights if given.flags.writeable]


def _kinds(batch: Batch) -> list[Any]:
    """Return what notes rely on: types and shapes of samples, and whether they have weights."""
    kinds: list[Any] = [(array.dtype, array.shape[1:]) for array in (*batch.inputs, *batch.targets)]
    return kinds + [None if given is None else given.shape[1:] for given in batch.weights]


def keep(known: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Put `value` among those that are known, `most` of them; the oldest makes room."""
    known.pop(key, None)
    if len(known) == most:
        del known[next(iter(known))]
    known[key] = value


def _copied(array: Array, place: Array) -> Array:
    np.copyto(place, array)
    return place


def _repeated(notes: Sequence[Notes]) -> None:
    for own in notes:  # a prediction meets nobody
        own.repeat()


def _noted(run: Run, taker: NoteTaker) -> Run:
    """Go on with `run`, whose arrays are traced; give the taker what it brings to meetings and receives there."""
    received = None
    while True:
        try:
            meeting = run.send(received)
        except StopIteration:
            return
        meeting = meeting._replace(statistics=plain(meeting.statistics))
        received = taker.meet(meeting, (yield meeting))


def _traced(arrays: Sequence[Array], taker: NoteTaker) -> list[Array]:
    return list(map(taker.traced, arrays))
