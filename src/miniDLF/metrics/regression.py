"""Metrics of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.kernels.workspace import Array
from miniDLF.metrics.base import Mean, Metric
from miniDLF.metrics.reading import lined_up, numbers, step_weights

__all__ = ["CosineSimilarity", "MeanAbsoluteError", "MeanSquaredError", "R2Score", "RootMeanSquaredError"]


class MeanAbsoluteError(Mean):
    """``mean(|p - t|)`` over all elements."""

    name: str = "mean_absolute_error"
    better = "min"

    def values(self, target: Array, prediction: Array) -> Array:
        target, prediction = numbers(self, target, prediction)
        return np.abs(prediction - target)


class MeanSquaredError(Mean):
    """``mean((p - t)^2)`` over all elements."""

    name: str = "mean_squared_error"
    better = "min"

    def values(self, target: Array, prediction: Array) -> Array:
        target, prediction = numbers(self, target, prediction)
        difference = prediction - target
        return np.multiply(difference, difference)


class RootMeanSquaredError(MeanSquaredError):
    """``sqrt(mean((p - t)^2))`` over all elements of all batches."""

    name: str = "root_mean_squared_error"

    def result(self) -> Any:
        return math.sqrt(self.total / self.weight) if self.weight else float("nan")


class CosineSimilarity(Mean):
    """The mean cosine between prediction and target along the last axis: 1 where they point the same way."""

    name: str = "cosine_similarity"
    better = "max"

    def values(self, target: Array, prediction: Array) -> Array:
        target, prediction = numbers(self, target, prediction)
        return np.sum(_directions(prediction) * _directions(target), axis=-1)


class R2Score(Metric):
    """``1 - sum (p - t)^2 / sum (t - mean t)^2``, the explained share of the variance; the mean over output elements.

    Mean and squared deviations of the targets are merged batch by batch (Chan et al. 1983), so large offsets are fine.
    A constant target counts 1 where it is met exactly, else 0 (scikit-learn's rule).
    """

    name: str = "r2_score"
    better = "max"

    sums = ("weight", "mean", "deviations", "errors")

    def reset(self) -> None:
        self.weight: Any = 0.0
        self.mean: Any = None
        self.deviations: Any = None
        self.errors: Any = None

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        target, prediction = numbers(self, target, prediction)
        t = target.reshape(len(target), -1).astype(np.float64)
        p = prediction.reshape(len(target), -1).astype(np.float64)
        if weights is None or np.ndim(weights) == 1:
            w = step_weights(weights, (len(t), 1))[:, np.newaxis]
        else:
            w = step_weights(lined_up(self, np.asarray(weights), target.shape), target.shape).reshape(t.shape)
        total = w.sum(axis=0)  # of each element of an output, or one number where they share it
        mean = np.sum(w * t, axis=0) / np.where(total > 0, total, 1.0)
        deviations, errors = np.sum(w * (t - mean) ** 2, axis=0), np.sum(w * (p - t) ** 2, axis=0)
        if self.mean is None:
            self.mean, self.deviations, self.errors, self.weight = mean, deviations, errors, total
            return
        shift, both = mean - self.mean, self.weight + total
        share = total / np.where(both > 0, both, 1.0)
        self.mean = self.mean + shift * share
        self.deviations = self.deviations + deviations + shift * shift * (self.weight * share)
        self.errors = self.errors + errors
        self.weight = both

    def result(self) -> float:
        if self.mean is None or not np.all(self.weight):
            return float("nan")
        rounding = 16 * np.finfo(np.float64).eps * self.mean
        varies = self.deviations > self.weight * rounding * rounding
        shares = self.errors / np.where(varies, self.deviations, 1.0)
        return float(np.mean(1.0 - np.where(varies, shares, self.errors > 0)))


def _directions(vectors: Array) -> Array:
    """Return the vectors at length 1; one shorter than 1e-6 stays shorter.

    They are divided by their largest component first, so that no square overflows.
    """
    size = np.maximum(np.abs(vectors).max(axis=-1, keepdims=True), 1e-6)
    vectors = vectors / size
    return vectors / np.maximum(np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True)), 1e-6 / size)
