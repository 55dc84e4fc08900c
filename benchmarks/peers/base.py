"""The small interface behind which every framework stands."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from benchmarks.workloads.base import Data, Workload

__all__ = ["Peer", "Program"]


class Program(Protocol):
    """A network, its data set and its optimizer, ready to run."""

    def step(self, rows: np.ndarray) -> None:
        """Do one training step on these rows of the data set: gather, forward, loss, backward, Adam."""

    def finish(self) -> None:
        """Return when all steps that were begun are done (frameworks that run ahead of Python)."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs (probabilities) for a batch, in inference mode, as an array of NumPy."""


class Peer(Protocol):
    """A module of this package."""

    TITLE: str
    #: Distributions whose versions stand in the report.
    PACKAGES: tuple[str, ...]
    #: Environment variables that must be set before the framework is imported.
    ENVIRONMENT: dict[str, str]

    def start(self, threads: int) -> None:
        """Import the framework and set its threads."""

    def variants(self, workload: Workload) -> tuple[str, ...]:
        """Return the ways worth trying; the fastest on this machine is measured."""

    def build(self, workload: Workload, data: Data, variant: str) -> Program:
        """Make the program. `data` may be given up for a copy of the framework's own."""
