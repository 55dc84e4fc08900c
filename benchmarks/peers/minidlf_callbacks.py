"""miniDLF's training loop as users run it: accuracy measured at every step, and a typical set of callbacks.

Not a peer, but a second look at ourselves: what the ratios of the report are with metrics and callbacks on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.minidlf import (
    COMPILES,
    ENVIRONMENT,
    FIRST_STEPS,
    MODULES,
    PACKAGES,
    MiniProgram,
    set_way,
    start,
    variants,
)
from benchmarks.workloads.base import Data, Workload

__all__ = ["COMPILES", "ENVIRONMENT", "FIRST_STEPS", "MODULES", "PACKAGES", "TITLE", "build", "start", "variants"]

TITLE = "miniDLF with metrics and callbacks"


def build(workload: Workload, data: Data, variant: str) -> ObservedProgram:
    """Return the program."""
    set_way(variant)
    return ObservedProgram(workload, data)


class Feed:
    """An epoch of `count` batches, for the loop."""

    def __init__(self, program: MiniProgram, rows: Iterator[np.ndarray], count: int) -> None:
        self.program, self.rows, self.steps = program, rows, count

    def described(self) -> dict[str, Any]:
        """Return what a resumed run should find again: nothing resumes a benchmark."""
        return {}

    def epoch(self, epoch: int, start: int = 0, ahead: int | None = None) -> Iterator[Any]:
        """Yield the batches."""
        return map(self.program.batch, islice(self.rows, self.steps - start))


class ObservedProgram(MiniProgram):
    """A turn is one epoch of the loop, with its callbacks: a line in a file, early stopping, a look at every batch."""

    def __init__(self, workload: Workload, data: Data) -> None:
        super().__init__(workload, data, ("accuracy",))
        self.folder = tempfile.TemporaryDirectory()
        self.batches = 0

    def _seen(self, batch: int, logs: Any) -> None:
        self.batches += 1

    def steps(self, rows: Iterator[np.ndarray], count: int) -> None:
        """Do `count` steps as one epoch."""
        from miniDLF.callbacks import CSVLogger, EarlyStopping, LambdaCallback
        from miniDLF.training import loop

        callbacks = [
            CSVLogger(Path(self.folder.name) / "log.csv"),
            EarlyStopping("loss", patience=3),
            LambdaCallback(on_batch_end=self._seen),
        ]
        loop.run(self.model, self.engine, Feed(self, rows, count), epochs=1, callbacks=callbacks)
