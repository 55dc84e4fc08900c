"""What the checks look at: the model, samples of the data, one pass through it, the course of the loss, a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.core.graph import Graph, Node
from miniDLF.doctor.outputs import Output
from miniDLF.kernels.workspace import Array

__all__ = ["Case", "Course", "Data", "Pass", "Trial"]

#: Rows that are looked at however large they are.
LEAST_ROWS = 16


@dataclass(frozen=True)
class Data:
    """A sample of the rows of some data, in their order.

    Attributes
    ----------
    total : int
        How many rows there are.
    whole : Batch or None
        All of the data, where they are arrays.
    """

    inputs: Sequence[Array]
    targets: Sequence[Array]
    weights: Sequence[Array | None]
    total: int
    whole: Batch | None = None

    @classmethod
    def of(cls, batch: Batch, most: int, numbers: int = 1 << 22, keeps: bool = True) -> Data:
        """Take at most so many rows and numbers of a batch.

        They are one of every stretch, at a place drawn anew, since data may repeat in some rhythm.
        """
        total = len(batch)
        width = sum(int(np.prod(array.shape[1:])) for array in (*batch.inputs, *batch.targets))
        count = min(most, total, max(LEAST_ROWS, numbers // max(width, 1)))
        rows = np.arange(total)
        if count < total:
            rows = ((np.arange(count) + np.random.default_rng(0).random(count)) * (total / count)).astype(np.intp)
        if batch.rows is not None:
            rows = batch.rows[rows]
        return cls(
            [np.asarray(array[rows]) for array in batch.inputs],
            [np.asarray(array[rows]) for array in batch.targets],
            [None if weight is None else weight[rows] for weight in batch.weights],
            total,
            batch if keeps and batch.rows is None else None,
        )

    def first(self, rows: int) -> Batch:
        """Return a batch of about so many of the rows, evenly spread."""
        step = max(1, len(self) // max(rows, 1))
        cut = slice(0, step * rows, step)
        return Batch(
            [array[cut] for array in self.inputs],
            [array[cut] for array in self.targets],
            [None if weight is None else weight[cut] for weight in self.weights],
        )

    def __len__(self) -> int:
        return len(self.inputs[0])

    def targets_of(self, output: Output) -> Array:
        """Return the sampled targets of an output, as its loss encoded them."""
        return self.targets[output.number]

    def all_targets_of(self, output: Output) -> Array:
        """Return all targets of an output, where they are arrays that are not too large; else the sampled ones."""
        if self.whole is None or self.whole.targets[output.number].size > 4_000_000:
            return self.targets_of(output)
        return self.whole.targets[output.number]


@dataclass(frozen=True)
class Pass:
    """One pass through the model, forward and back, on a few rows.

    Attributes
    ----------
    loss : float
        The mean loss in training mode, without penalties.
    penalty : float
        What regularizers add to it.
    gradients : mapping
        Of the trained parameters, by path.
    values : mapping
        What the nodes gave (N, ...), the outputs among them.
    """

    loss: float
    penalty: float
    gradients: Mapping[str, Array]
    values: Mapping[Node, Array]
    rows: int


@dataclass
class Course:
    """How a run goes: the loss of every epoch, and how far the weights have moved in how many steps since it began."""

    losses: list[float] = field(default_factory=list)
    #: The root mean square of the change of the weights over that of the weights; ``None`` if it is not known.
    moved: float | None = None
    steps: int = 0
    first: float | None = None


@dataclass(frozen=True)
class Trial:
    """What a copy of the model did in some steps on the same few rows."""

    first: float
    last: float
    mean: float
    steps: int
    rows: int
    moved: float
    diverged: bool = False


@dataclass
class Case:
    """All that is known at a moment; a check looks at what it needs, and is called only where that is there."""

    graph: Graph
    outputs: Sequence[Output]
    optimizer: Any
    weights: Mapping[str, Array] = field(default_factory=dict)
    data: Data | None = None
    validation: Data | None = None
    #: Whether the validation rows are the end of the data that the training rows are the beginning of.
    split: bool = False
    shuffle: bool = True
    batch_size: int | None = None
    passed: Pass | None = None
    #: The loss of guessing, an entry an output; ``None`` where it is not known.
    guesses: Sequence[float | None] = ()
    course: Course | None = None
    trial: Trial | None = None
    epoch: int = 0

    def learned(self, loss: float) -> bool:
        """Say whether a loss is far below that of guessing: then it may stand still, and units may be dead."""
        return self.guessed is not None and loss < 0.8 * self.guessed

    @property
    def guessed(self) -> float | None:
        """The loss of guessing where there is one output (and so one loss)."""
        return self.guesses[0] if len(self.guesses) == 1 else None
