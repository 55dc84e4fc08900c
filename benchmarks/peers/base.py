"""The small interface behind which every framework stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from benchmarks.workloads.base import Data, Workload

__all__ = ["Peer", "Program"]


class Program:
    """A network, its data set and its optimizer, ready to run."""

    def step(self, rows: np.ndarray) -> None:
        """Do one training step on these rows of the data set: gather, forward, loss, backward, Adam."""
        raise NotImplementedError

    def finish(self) -> None:
        """Return when all steps that were begun are done: for frameworks that run ahead of Python."""

    def steps(self, rows: Iterator[np.ndarray], count: int) -> None:
        """Do `count` training steps; return when they are done."""
        for _ in range(count):
            self.step(next(rows))
        self.finish()

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs (probabilities) for a batch, in inference mode, as an array of NumPy."""
        raise NotImplementedError

    def evaluating(self, on: bool) -> None:
        """Switch between training and inference: for frameworks whose prediction depends on a mode."""


class Peer(Protocol):
    """A module of this package."""

    TITLE: str
    #: Distributions whose versions stand in the report.
    PACKAGES: tuple[str, ...]
    #: Modules that a worker imports before it forks; none of them may start threads when it is imported.
    MODULES: tuple[str, ...]
    #: Environment variables that must be set before the framework is imported.
    ENVIRONMENT: dict[str, str]
    #: Whether programs are compiled, which takes seconds: then the variant that was chosen is not built again.
    COMPILES: bool
    #: The first steps, in which a framework compiles, or notes what it will make again: no time counts before them.
    FIRST_STEPS: int

    def start(self, threads: int) -> None:
        """Set the threads."""

    def variants(self, workload: Workload) -> tuple[str, ...]:
        """Return the ways worth trying; the fastest on this machine is measured."""

    def build(self, workload: Workload, data: Data, variant: str) -> Program:
        """Make the program. `data` may be given up for a copy of the framework's own."""
