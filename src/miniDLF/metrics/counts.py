"""Metrics of which class was taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.metrics.base import Metric
from miniDLF.metrics.reading import (
    NO_ANSWER,
    answers,
    class_places,
    comparable,
    need_two,
    numbers,
    require_threshold,
    step_weights,
    yes_or_no,
)
from miniDLF.metrics.tables import ConfusionTable

__all__ = ["ConfusionMatrix", "F1Score", "Precision", "Recall"]

AVERAGES = ("binary", "micro", "macro", "weighted", None)


class Counts(Metric):
    """Base of the metrics made of true positives, false positives and false negatives of each class.

    Where there is no answer, because a score is NaN or two share the largest, the right class has been missed.

    Parameters
    ----------
    average
        'binary': of the class "yes" alone, for an output (N, ..., 1), or (N, ..., 2), whose second class it is.
        Of all classes: 'macro', the mean over them; 'weighted', the mean weighted by how often each occurs; 'micro',
        over all together; ``None``, an array with one number a class. An output of one has the classes no and yes; of
        several answers a sample each is a class.
    threshold
        Of a yes, from 0 to 1; ``None`` is 0.5, or 0 next to a loss with ``from_logits=True`` and to a hinge. Of several
        classes the largest score is the answer; with a threshold each is one whose score is above it.
    multi_label
        Whether the elements of an output (N, ..., C) are answers of their own, with a target each; next to a binary
        loss they are.
    """

    better = "max"
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
        require_threshold(self)
        self.reset()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        several = self.multi_label or self._several
        if output_shape and output_shape[-1] > (1 if several else 2):
            self._need_average(output_shape[-1])

    def _need_average(self, classes: int) -> None:
        if self.average == "binary":
            raise ArgumentError(
                f"{type(self).__name__}: average='binary' is for one output or two classes; there are {classes}. "
                "Choose average='macro', 'micro', 'weighted' or None."
            )

    def reset(self) -> None:
        self.true_positives: Any = None
        self.false_positives: Any = None
        self.false_negatives: Any = None

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        target = comparable(target, prediction)
        several, classes = self.multi_label or self._several, prediction.shape[-1]
        if prediction.ndim == 1 or classes == 1:
            target, prediction = numbers(self, target, prediction)
            column = (*prediction.shape[: max(prediction.ndim - 1, 1)], 1)
            both = self.average != "binary" and not self.multi_label
            found = self._yes_and_no(target.reshape(column), prediction.reshape(column), weights, both)
        elif several and target.shape == prediction.shape:
            found = self._yes_and_no(target, prediction, weights)
        elif self.multi_label:
            raise ShapeError(
                f"metric {self.name!r}: multi_label=True needs a target for each answer, {prediction.shape}, received "
                f"{target.shape}. Give rows of 0 and 1, or leave multi_label out."
            )
        elif self.threshold is None:
            found = self._one_of_several(target, prediction, weights)
        else:
            truth = class_places(self, target, prediction)[..., np.newaxis] == np.arange(classes)
            found = self._yes_and_no(truth, prediction, weights)
        if found.shape[1] == 2 and self.average == "binary" and not several:
            found = found[:, 1:]
        if found.shape[1] > 1:
            self._need_average(found.shape[1])
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

    def _yes_and_no(self, target: Array, scores: Array, weights: Array | None, both: bool = False) -> Array:
        """Count the yeses of each column; of `both` answers of a single one also the noes, which come first."""
        yes, answered = yes_or_no(self, self.threshold, scores)
        truth, w = target > 0.5, step_weights(weights, scores.shape[:-1])
        if both:
            yes, truth = np.concatenate([answered & ~yes, yes], -1), np.concatenate([~truth, truth], -1)
        yes, truth = (array.reshape(-1, array.shape[-1]) for array in (yes, truth))
        return np.stack([w @ (yes & truth), w @ (yes & ~truth), w @ (~yes & truth)])

    def _one_of_several(self, target: Array, prediction: Array, weights: Array | None) -> Array:
        labels, classes = class_places(self, target, prediction), prediction.shape[-1]
        table = count_pairs(labels, answers(prediction), classes, weights)
        right = np.diag(table)
        truth = np.bincount(labels.reshape(-1), step_weights(weights, labels.shape), classes)
        return np.stack([right, table.sum(axis=0) - right, truth - right])

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

    An output (N, ..., 1) has the two classes no and yes, a yes being more than `threshold` (see `Precision`); of two
    classes the second one is the yes, if there is a threshold. A row without an answer (a score is NaN, or two share
    the largest) is in no column.

    Parameters
    ----------
    normalize
        'true' divides each row by its sum, 'pred' each column, 'all' everything by the total; ``None`` leaves counts.
    """

    normalize: str | None = None
    threshold: float | None = None
    name: str = "confusion_matrix"
    better = None

    sums = ("table",)

    def __post_init__(self) -> None:
        if self.normalize not in (None, "true", "pred", "all"):
            raise ArgumentError(
                f"ConfusionMatrix: normalize is 'true', 'pred', 'all' or None; received {self.normalize!r}."
            )
        require_threshold(self)
        self.reset()

    def bind(self, output_shape: Shape, loss: Any) -> None:
        super().bind(output_shape, loss)
        if self.threshold is not None and output_shape[-1:] > (1,):
            need_two(self, output_shape)

    def reset(self) -> None:
        self.table: Any = None

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        if prediction.ndim == 1 or prediction.shape[-1] == 1:
            truth, scores = numbers(self, target, prediction)
            table = self._pairs(truth > 0.5, scores, weights)
        else:
            labels = class_places(self, target, prediction)
            if self.threshold is None:
                table = count_pairs(labels, answers(prediction), prediction.shape[-1], weights)
            else:
                need_two(self, prediction.shape[1:])
                table = self._pairs(labels, prediction[..., 1], weights)
        if self.table is not None and self.table.shape != table.shape:
            raise ShapeError(
                f"metric {self.name!r}: a batch with {len(table)} classes after one with {len(self.table)}. Call "
                "reset() between models."
            )
        self.table = table if self.table is None else self.table + table

    def _pairs(self, truth: Array, scores: Array, weights: Array | None) -> Array:
        yes, answered = yes_or_no(self, self.threshold, scores)
        return count_pairs(truth, np.where(answered, yes, NO_ANSWER), 2, weights)

    def result(self) -> Any:
        if self.table is None:
            return float("nan")
        table: Array = self.table
        if self.normalize is None:
            return table.copy().view(ConfusionTable)
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return _ratio(table, table.sum(axis=axis, keepdims=True)).view(ConfusionTable)


def count_pairs(truth: Array, answer: Array, classes: int, weights: Array | None) -> Array:
    """Return the table (classes, classes) of how often each true class met each answer, where there is one."""
    answered = answer.reshape(-1) >= 0
    places = (truth.reshape(-1).astype(np.intp) * classes + answer.reshape(-1))[answered]
    w = None if weights is None else step_weights(weights, truth.shape)[answered]
    return np.bincount(places, w, classes * classes).reshape(classes, classes).astype(np.float64)


def _ratio(part: Any, whole: Any) -> Any:
    """Return ``part / whole``, and 0 where there is nothing."""
    whole = np.asarray(whole)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)
