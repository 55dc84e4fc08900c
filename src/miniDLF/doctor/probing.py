"""What inputs say about targets, by two models that need no training: a linear one, and the nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from miniDLF.doctor.case import Data
from miniDLF.doctor.outputs import Output
from miniDLF.kernels.workspace import Array

__all__ = ["Score", "explains"]

MOST_ROWS, MOST_COLUMNS, MOST_CLASSES, NEIGHBOURS = 600, 256, 100, 5


@dataclass(frozen=True)
class Score:
    """The share of the variance of held-back targets that is explained, at best 1; below 0 it is worse than guessing.

    Attributes
    ----------
    chance : float
        What numbers without a meaning reach by chance.
    """

    linear: float
    nearest: float
    rows: int
    chance: float

    @property
    def found(self) -> bool:
        """Whether the inputs say anything."""
        return max(self.linear, self.nearest) > self.chance


def explains(data: Data, output: Output) -> Score | None:
    """Compare the two models with guessing, on every second row; ``None`` where targets are too large for that."""
    target = _numbers(data.targets_of(output), output)
    if target is None:
        return None
    x = np.concatenate([a.reshape(len(a), -1).astype(np.float64) for a in data.inputs], axis=1)[:MOST_ROWS]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    x, target = x[order], target[:MOST_ROWS][order]
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    if x.shape[1] > MOST_COLUMNS:
        x = x @ (rng.normal(size=(x.shape[1], MOST_COLUMNS)) / np.sqrt(x.shape[1]))
    half = len(x) // 2
    learned, held, known, asked = x[:half], x[half:], target[:half], target[half:]
    mean = known.mean(axis=0)
    total = float(((asked - asked.mean(axis=0)) ** 2).sum())
    if not x.shape[1] or total == 0:
        return None

    def explained(answer: Array) -> float:
        # The best share of the answer, so that one that is too bold counts for what is right in it.
        step = answer - mean
        size = float((step * step).sum())
        share = max(0.0, float((step * (asked - mean)).sum()) / size) if size else 0.0
        return 1 - float(((asked - mean - share * step) ** 2).sum()) / total

    gram = learned.T @ learned + 0.1 * len(learned) * np.eye(x.shape[1])
    linear = mean + held @ np.linalg.solve(gram, learned.T @ (known - mean))
    far = (held * held).sum(axis=1)[:, None] + (learned * learned).sum(axis=1) - 2 * held @ learned.T
    near = np.argpartition(far, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return Score(explained(linear), explained(known[near].mean(axis=1)), len(held), 4.0 / len(held))


def _numbers(target: Array, output: Output) -> Array | None:
    if getattr(output.loss, "classifies", "") == "categorical" and target.ndim == 1:
        return np.eye(output.units)[target.astype(np.intp)] if output.units <= MOST_CLASSES else None
    if target.ndim > 2 or int(np.prod(target.shape[1:])) > MOST_CLASSES:
        return None
    return target.reshape(len(target), -1).astype(np.float64)
