"""What predictions are made with: prepared weights, and a shard for every thread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.call import Clock
from miniDLF.core.capture import Watched
from miniDLF.core.noted import NotedPredictions
from miniDLF.core.program import Program
from miniDLF.core.shard import Shard
from miniDLF.core.tracing import arrays_in, in_place
from miniDLF.kernels.workspace import Workspace, comparison

__all__ = ["FEW_WEIGHTS", "Inference"]

#: Models of at most so many weights keep what they have prepared from one prediction to the next, and combine weights
#: of neighbours where that saves a layer.
FEW_WEIGHTS = 65_536


class Inference:
    """What one caller of `Executor.infer` works with: nobody else uses it meanwhile."""

    def __init__(self, program: Program, buffers: Buffers) -> None:
        self._program, self._buffers = program, buffers
        self._shared = program.share(lambda: Workspace(buffers.dtype), False)
        self._workers: list[NotedPredictions] = []
        weights = [array for array in (buffers.values, buffers.state) if array.size]
        few = sum(array.size for array in weights) <= FEW_WEIGHTS
        self._kept = [(array, array.copy()) for array in weights] if few else []  # and how they were when prepared
        self._changed: list[Callable[[], object]] = []
        self._seen = -1  # the changes of arguments when they were prepared

    def prepare(self) -> None:
        """Let the layers order their weights, unless these, and all arguments, are what they were when they last did.

        Anybody may write to the weights at any time, so they are compared: 3 us for those of the specified CNN, whose
        preparation takes 17.
        """
        known = self._changed and self._seen == Watched.changes
        if not self._shared or (known and not any([changed() for changed in self._changed])):  # noqa: C419
            return
        for layer, shared in self._shared.items():
            before = arrays_in(vars(shared).values())
            layer.prepare(shared)
            if before and not in_place(before, arrays_in(vars(shared).values())):
                Watched.changes += 1  # what is noted reads the arrays that were there
        for array, copy in self._kept:
            np.copyto(copy, array)
        if not self._changed:
            self._changed = [comparison(*pair) for pair in self._kept]
        self._seen = Watched.changes

    def worker(self, number: int) -> NotedPredictions:
        """What predicts on one thread."""
        while len(self._workers) <= number:
            shard = Shard(self._program, self._buffers, None, self._shared, Clock(0, 0), len(self._workers))
            self._workers.append(NotedPredictions(shard))
        return self._workers[number]
