"""How well scores order what is and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array
from miniDLF.metrics.base import Metric
from miniDLF.metrics.reading import class_places, comparable, numbers, step_weights

__all__ = ["AUC", "average_precision", "roc_area"]


class AUC(Metric):
    """The area under the receiver operating characteristic: the chance that a positive outranks a negative, ties half.

    Exact, as scikit-learn's: all scores since `reset` are kept (9 to 24 bytes each) and sorted when the result is asked
    for. An output (N, ..., 1) is one ranking. With several classes, or several answers a sample, it is the mean over
    classes, each against the rest. NaN where a class does not occur, or nothing else does, or a score is NaN.

    Parameters
    ----------
    curve
        'ROC', or 'PR' for the area under precision over recall, as average precision: ``sum (R_k - R_{k-1}) P_k``.
    """

    curve: str = "ROC"
    name: str = "auc"
    better = "max"

    sums = ("scores", "truths", "weights")

    def __post_init__(self) -> None:
        if self.curve not in ("ROC", "PR"):
            raise ArgumentError(f"AUC: curve is 'ROC' or 'PR'; received {self.curve!r}.")
        self.reset()

    def reset(self) -> None:
        self._scores: list[Array] = []
        self._truths: list[Array] = []
        self._weights: list[Array] = []

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        if prediction.ndim == 1 or prediction.shape[-1] == 1:
            target, prediction = numbers(self, target, prediction)
            scores, truths, shape = prediction.reshape(-1, 1), target.reshape(-1, 1) > 0.5, prediction.shape
        else:
            classes, shape = prediction.shape[-1], prediction.shape[:-1]
            scores, target = prediction.reshape(-1, classes), comparable(target, prediction)
            if target.shape == prediction.shape:  # rows of one-hot targets, or of several answers
                truths = target.reshape(-1, classes) > 0.5
            else:
                truths = class_places(self, target, prediction).reshape(-1, 1) == np.arange(classes)
        self._scores.append(np.array(scores))  # the executor lends its predictions: they change with the next step
        self._truths.append(np.array(truths))
        self._weights.append(np.array(step_weights(weights, shape)))

    def result(self) -> float:
        if not self._scores:
            return float("nan")
        scores, truths, weights = self._joined()
        area = roc_area if self.curve == "ROC" else average_precision
        return float(np.mean([area(scores[:, c], truths[:, c], weights) for c in range(scores.shape[1])]))

    def state(self) -> dict[str, Any]:
        return dict(zip(self.sums, self._joined(), strict=True)) if self._scores else {}

    def set_state(self, state: Any) -> None:
        self.reset()
        if "scores" in state:
            self._scores, self._truths, self._weights = ([np.array(state[name])] for name in self.sums)
            self._truths[0] = self._truths[0].astype(bool)

    def _joined(self) -> tuple[Array, Array, Array]:
        """Join what was collected, once: many small arrays become one."""
        if len(self._scores) > 1:
            for kept in (self._scores, self._truths, self._weights):
                kept[:] = [np.concatenate(kept)]
        return self._scores[0], self._truths[0], self._weights[0]


def roc_area(scores: Array, truths: Array, weights: Array) -> float:
    """Return the chance that a positive has the larger score, ties counting half; NaN without both kinds."""
    if np.isnan(scores).any():
        return float("nan")  # no score: neither above nor below any other
    positives, negatives = _by_score(scores, truths, weights)
    total = positives.sum() * negatives.sum()
    if not total:
        return float("nan")
    below = np.cumsum(negatives) - negatives
    return float(positives @ (below + 0.5 * negatives) / total)


def average_precision(scores: Array, truths: Array, weights: Array) -> float:
    """Return the precision at every threshold, weighted by the recall that it adds; NaN without positives."""
    if np.isnan(scores).any():
        return float("nan")
    positives, negatives = _by_score(scores, truths, weights)
    if not positives.sum():
        return float("nan")
    found, wrong = np.cumsum(positives[::-1]), np.cumsum(negatives[::-1])
    called = found + wrong
    precision = found / np.where(called > 0, called, 1.0)
    return float(positives[::-1] @ precision / found[-1])


def _by_score(scores: Array, truths: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weight of positives and of negatives at each distinct score, in rising order."""
    _, group = np.unique(scores, return_inverse=True)
    group = group.reshape(-1)
    return np.bincount(group, weights * truths), np.bincount(group, weights * ~truths)
