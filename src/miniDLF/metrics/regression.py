"""Metrics of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.kernels.workspace import Array
from miniDLF.metrics.base import Mean, Metric, check_same_shape

__all__ = ["CosineSimilarity", "MeanAbsoluteError", "MeanSquaredError", "R2Score", "RootMeanSquaredError"]


class MeanAbsoluteError(Mean):
    """``mean(|p - t|)`` over all elements."""

    name: str = "mean_absolute_error"

    def values(self, target: Array, prediction: Array) -> Array:
        check_same_shape(self, target, prediction)
        return np.abs(prediction - target)


class MeanSquaredError(Mean):
    """``mean((p - t)^2)`` over all elements."""

    name: str = "mean_squared_error"

    def values(self, target: Array, prediction: Array) -> Array:
        check_same_shape(self, target, prediction)
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

    def values(self, target: Array, prediction: Array) -> Array:
        check_same_shape(self, target, prediction)
        product = np.sum(prediction * target, axis=-1)
        squares = [np.maximum(np.sum(one * one, axis=-1), 1e-12) for one in (prediction, target)]
        return product / np.sqrt(squares[0] * squares[1])


class R2Score(Metric):
    """``1 - sum (p - t)^2 / sum (t - mean t)^2``, the explained share of the variance; the mean over output elements.

    Mean and squared deviations of the targets are merged batch by batch (Chan et al. 1983), so large offsets are fine.
    A constant target counts 1 where it is met exactly, else 0 (scikit-learn's rule).
    """

    name: str = "r2_score"

    sums = ("weight", "mean", "deviations", "errors")

    def reset(self) -> None:
        self.weight = 0.0
        self.mean: Any = None
        self.deviations: Any = None
        self.errors: Any = None

    def update(self, target: Array, prediction: Array, weights: Array | None = None) -> None:
        check_same_shape(self, target, prediction)
        t = target.reshape(len(target), -1).astype(np.float64)
        p = prediction.reshape(len(target), -1).astype(np.float64)
        w = np.ones(len(t)) if weights is None else np.asarray(weights, dtype=np.float64)
        total = float(w.sum())
        if total <= 0:
            return
        mean = w @ t / total
        deviations, errors = w @ (t - mean) ** 2, w @ (p - t) ** 2
        if self.mean is None:
            self.mean, self.deviations, self.errors = mean, deviations, errors
        else:
            shift, both = mean - self.mean, self.weight + total
            self.mean = self.mean + shift * (total / both)
            self.deviations = self.deviations + deviations + shift * shift * (self.weight * total / both)
            self.errors = self.errors + errors
        self.weight += total

    def result(self) -> float:
        if self.mean is None:
            return float("nan")
        rounding = 16 * np.finfo(np.float64).eps * self.mean
        varies = self.deviations > self.weight * rounding * rounding
        shares = self.errors / np.where(varies, self.deviations, 1.0)
        return float(np.mean(1.0 - np.where(varies, shares, self.errors > 0)))
