"""Takes a shard that is the only one through its program: nobody has to be waited for, so its calls can be captured."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from miniDLF.core.batch import Batch
from miniDLF.core.call import Call
from miniDLF.core.capture import Capture, Notes, TracingWorkspace, Watched, plain
from miniDLF.core.meetings import drive_one
from miniDLF.core.shard import Shard
from miniDLF.kernels.workspace import Array

__all__ = ["Alone"]

_WorkType = TypeVar("_WorkType", bound="_Work")

#: Numbers of rows for which notes are kept; the oldest make room.
KEPT = 8


class _Work(Capture):
    """A way through the program for numbers in these places."""

    def __init__(self, places: Sequence[Array], work: Callable[[Notes | None], Sequence[Any]]) -> None:
        super().__init__(work)
        self.places, self._changes = places, Watched.changes

    def fits(self, places: Sequence[Array]) -> bool:
        """Say whether these are the very same places, and every layer and loss is as it was."""
        return self._changes == Watched.changes and _same(self.places, places)


class _Step(_Work):
    """A training step for the rows that the shard has gathered.

    Attributes
    ----------
    values, totals
        Where the notes leave the values of the steps, and the statistics of the calls that have any.
    """

    def __init__(self, shard: Shard, work: Callable[[_Step, Notes | None], Sequence[Any]]) -> None:
        self.inputs = shard.values[: len(shard.program.graph.inputs)]
        self.targets, self.weights = shard.targets, shard.weights
        self.values: list[Any] = []
        self.totals: list[tuple[Call, Any]] = []
        super().__init__((*self.inputs, *self.targets, *self.weights), partial(work, self))

    def gathers(self, batch: Batch, rows: Array) -> bool:
        """Gather the rows of a batch straight into the places, where every layer and loss is as it was and types fit.

        `Batch.part`, which lends the places, takes twice as long.
        """
        if self._changes != Watched.changes:
            return False
        pairs = list(zip((*batch.inputs, *batch.targets), self.places, strict=False))
        for array, place in pairs:
            if array.dtype != place.dtype or array.shape[1:] != place.shape[1:]:
                return False
        for array, place in pairs:
            array.take(rows, 0, place, "clip")
        return True


class Alone:
    """The way of the only shard; for a program that `captures`, its NumPy calls are noted and made again."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._no_weights = [None] * len(shard.program.heads)
        self._known: dict[Any, Any] = {}

    def train(self, batch: Batch, start: int, stop: int, backward: bool = True) -> None:
        """Gather the rows from `start` to `stop`, go forward, take the losses, and go back."""
        shard, heads, rows = self._shard, len(self._no_weights), batch.rows
        # Rows that are gathered come to lie in the same place every time; arrays that are handed in need not.
        if rows is None or not shard.program.captures or not _same(batch.weights, self._no_weights):
            shard.gather(batch, start, stop)
            drive_one(shard.run_gathered(len(shard.program.steps), backward))
            return
        key = (stop - start, len(rows), backward, shard.training)
        step: _Step | None = self._known.get(key)
        if step is None or not step.ready or not step.gathers(batch, rows[start:stop]):
            shard.gather(batch, start, stop)
            new = _Step(shard, partial(self._train, backward))
            if step is None or not step.fits(new.places):
                step = self._keep(key, new)
        if step.ready:
            shard.values[:], shard.targets, shard.weights = step.values, step.targets, step.weights
            for call, total in step.totals:
                call.total = total
        results = step.run()
        shard.losses, shard.predictions = list(results[:heads]), list(results[heads : 2 * heads])

    def _train(self, backward: bool, step: _Step, notes: Notes | None) -> Sequence[Any]:
        shard = self._shard
        for call in shard.calls:
            call.draw_again()  # the notes and the ordinary way draw the same numbers
        shard.values[: len(step.inputs)] = _traced(step.inputs, notes)
        shard.targets = _traced(step.targets, notes)
        try:
            with self._tracing(notes):
                drive_one(shard.run_gathered(len(shard.program.steps), backward))
        finally:
            shard.targets = step.targets
        if notes is not None:
            shard.values[:] = step.values = list(map(plain, shard.values))
            step.totals = [(call, call.total) for call in shard.calls if "total" in vars(call)]
        return [*shard.losses, *shard.predictions, *([shard.gradients] if backward else [])]

    def predict(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Return the outputs for a few rows, in memory that the next prediction overwrites.

        Inputs are copied where something is made for the place where they lie: layers keep their views of images.
        """
        shard, captures, own = self._shard, self._shard.program.captures, []
        for number, array in enumerate(inputs):
            if captures or array.ndim > 3:
                copy = shard.workspace.empty(f"x{number}", array.shape)
                np.copyto(copy, array)
                array = copy
            own.append(array)
        if not captures:
            return shard.forward(own)
        known = self._known.get(len(own[0]))
        if known is None or not known.fits(own):
            known = self._keep(len(own[0]), _Work(own, partial(self._predict, own)))
        return known.run()

    def _predict(self, inputs: Sequence[Array], notes: Notes | None) -> Sequence[Array]:
        with self._tracing(notes):
            return self._shard.forward(_traced(inputs, notes))

    def _keep(self, key: Any, work: _WorkType) -> _WorkType:
        self._known.pop(key, None)
        if len(self._known) == KEPT:
            del self._known[next(iter(self._known))]
        self._known[key] = work
        return work

    @contextmanager
    def _tracing(self, notes: Notes | None) -> Iterator[None]:
        """Let everything that the shard lends note what is done with it."""
        shard = self._shard
        if notes is None:
            yield
            return
        shard.lender = TracingWorkspace(shard.workspace, notes)
        for call in shard.calls:
            call.trace(notes)
        try:
            yield
        finally:
            shard.lender = shard.workspace
            for call in shard.calls:
                call.trace(None)


def _traced(arrays: Sequence[Array], notes: Notes | None) -> list[Array]:
    return list(arrays if notes is None else map(notes.traced, arrays))


def _same(known: Sequence[Any], places: Sequence[Any]) -> bool:
    """Say whether these are the very same arrays."""
    return all(map(operator.is_, known, places))
