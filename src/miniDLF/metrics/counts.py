"""Metrics of which class was taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.metrics.base import Metric, check_same_shape, class_places, step_weights, threshold_of

__all__ = ["ConfusionMatrix", "F1Score", "Precision", "Recall"]

AVERAGES = ("binary", "micro", "macro", "weighted", None)


class Counts(Metric):
    """Base of the metrics made of true positives, false positives and false negatives of each class.

    Parameters
    ----------
    average
        'binary': of the class "yes" alone, for an output (N, ..., 1), or (N, ..., 2), whose second class it is.
        For several classes, or several answers a sample: 'macro', the mean over classes; 'weighted', the mean weighted
        by how often each class occurs; 'micro', over all together; ``None``, an array with one number a class.
    threshold
        Of a yes; ``None`` is 0.5, or 0 next to a loss with ``from_logits=True``.
    multi_label
        Whether the elements of an output (N, ..., C) are answers of their own; next to a binary loss they are.
    """

    average: str | None = "binary"
    threshold: float | None = None
    multi_label: bool = False

    sums = ("true_positives", "false_positives", "false_negatives")

    def __post_init__(self) -> None:
        if self.average not in AVERAGES:
            raise ArgumentError(
                f"{type(self).__name__}: average is 'binary', 'micro', 'macro', 'weighted' or None; received "
                f"{self.average!r}."
            )
        self.reset()

    def reset(self) -> None:
        self.true_positives: Any = None
        self.false_positives: Any = None
        self.false_negatives: Any = None

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        if prediction.ndim == 1 or prediction.shape[-1] == 1:
            check_same_shape(self, target, prediction)
            found = self._yes_and_no(target.reshape(-1, 1), prediction.reshape(-1, 1), weights, prediction.shape)
        elif (self.multi_label or self._several) and target.shape == prediction.shape:
            classes = prediction.shape[-1]
            shape = prediction.shape[:-1]
            found = self._yes_and_no(target.reshape(-1, classes), prediction.reshape(-1, classes), weights, shape)
        else:
            found = self._one_of_several(target, prediction, weights)
        if self.average == "binary" and found.shape[1] > 1:
            raise ArgumentError(
                f"{type(self).__name__}: average='binary' is for one output or two classes; there are "
                f"{found.shape[1]}. Choose average='macro', 'micro', 'weighted' or None."
            )
        if self.true_positives is None:
            self.true_positives, self.false_positives, self.false_negatives = (np.zeros(found.shape[1]) for _ in "123")
        if len(self.true_positives) != found.shape[1]:
            raise ShapeError(
                f"metric {self.name!r}: a batch with {found.shape[1]} classes after one with "
                f"{len(self.true_positives)}. Call reset() between models."
            )
        self.true_positives = self.true_positives + found[0]
        self.false_positives = self.false_positives + found[1]
        self.false_negatives = self.false_negatives + found[2]

    def _yes_and_no(self, target: Array, prediction: Array, weights: Array | None, shape: Shape) -> Array:
        yes, truth = prediction > threshold_of(self, self.threshold), target > 0.5
        w = step_weights(weights, shape)
        return np.stack([w @ (yes & truth), w @ (yes & ~truth), w @ (~yes & truth)])

    def _one_of_several(self, target: Array, prediction: Array, weights: Array | None) -> Array:
        classes = prediction.shape[-1]
        table = count_pairs(class_places(self, target, prediction), prediction.argmax(-1), classes, weights)
        right = np.diag(table)
        found = np.stack([right, table.sum(axis=0) - right, table.sum(axis=1) - right])
        return found[:, 1:] if classes == 2 and self.average == "binary" else found

    def score(self, true_positives: Array, false_positives: Array, false_negatives: Array) -> Array:
        """Return the number for each class, from the three counts of each."""
        raise NotImplementedError(f"{type(self).__name__} has no score()")

    def result(self) -> Any:
        if self.true_positives is None:
            return float("nan")
        counts = (self.true_positives, self.false_positives, self.false_negatives)
        if self.average == "micro":
            return float(self.score(*(count.sum(keepdims=True) for count in counts))[0])
        scores = self.score(*counts)
        if self.average is None:
            return scores
        if self.average == "weighted":
            support = self.true_positives + self.false_negatives
            return float(_ratio(scores @ support, support.sum()))
        return float(scores.mean())


class Precision(Counts):
    """Of what was called positive, the share that is: ``TP / (TP + FP)``; 0 where nothing was."""

    name: str = "precision"

    def score(self, true_positives: Array, false_positives: Array, false_negatives: Array) -> Array:
        return _ratio(true_positives, true_positives + false_positives)


class Recall(Counts):
    """Of what is positive, the share that was called so: ``TP / (TP + FN)``; 0 where nothing is."""

    name: str = "recall"

    def score(self, true_positives: Array, false_positives: Array, false_negatives: Array) -> Array:
        return _ratio(true_positives, true_positives + false_negatives)


class F1Score(Counts):
    """The harmonic mean of precision and recall: ``2 TP / (2 TP + FP + FN)``; 0 where all three are 0."""

    name: str = "f1_score"

    def score(self, true_positives: Array, false_positives: Array, false_negatives: Array) -> Array:
        return _ratio(2.0 * true_positives, 2.0 * true_positives + false_positives + false_negatives)


class ConfusionMatrix(Metric):
    """An array (C, C): row t, column p counts (by weight) the answers p for the true class t.

    An output (N, ..., 1) has the two classes no and yes, a yes being more than `threshold` (see `Precision`).

    Parameters
    ----------
    normalize
        'true' divides each row by its sum, 'pred' each column, 'all' everything by the total; ``None`` leaves counts.
    """

    normalize: str | None = None
    threshold: float | None = None
    name: str = "confusion_matrix"

    sums = ("table",)

    def __post_init__(self) -> None:
        if self.normalize not in (None, "true", "pred", "all"):
            raise ArgumentError(
                f"ConfusionMatrix: normalize is 'true', 'pred', 'all' or None; received {self.normalize!r}."
            )
        self.reset()

    def reset(self) -> None:
        self.table: Any = None

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        if prediction.ndim == 1 or prediction.shape[-1] == 1:
            check_same_shape(self, target, prediction)
            table = count_pairs(target > 0.5, prediction > threshold_of(self, self.threshold), 2, weights)
        else:
            labels = class_places(self, target, prediction)
            table = count_pairs(labels, prediction.argmax(-1), prediction.shape[-1], weights)
        if self.table is not None and self.table.shape != table.shape:
            raise ShapeError(
                f"metric {self.name!r}: a batch with {len(table)} classes after one with {len(self.table)}. Call "
                "reset() between models."
            )
        self.table = table if self.table is None else self.table + table

    def result(self) -> Any:
        if self.table is None:
            return float("nan")
        table: Array = self.table
        if self.normalize is None:
            return table.copy()
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return _ratio(table, table.sum(axis=axis, keepdims=True))


def count_pairs(truth: Array, answer: Array, classes: int, weights: Array | None) -> Array:
    """Return the table (classes, classes) of how often each true class met each answer."""
    places = truth.reshape(-1).astype(np.intp) * classes + answer.reshape(-1)
    w = None if weights is None else step_weights(weights, truth.shape)
    return np.bincount(places, w, classes * classes).reshape(classes, classes).astype(np.float64)


def _ratio(part: Any, whole: Any) -> Any:
    """Return ``part / whole``, and 0 where there is nothing."""
    whole = np.asarray(whole)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)
