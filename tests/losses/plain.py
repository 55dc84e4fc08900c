"""The formulas of the losses as they stand in a book, in double precision: what every other way is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF import losses

TINY = np.finfo(np.float64).tiny


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _signs(t):
    return np.where(t > 0, 1.0, -1.0)


def _unit(v):
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)


def _categorical_hinge(p, t):
    rows, labels = p.reshape(-1, p.shape[-1]), t.reshape(-1)
    others = [np.delete(row, label).max() for row, label in zip(rows, labels, strict=True)]
    right = rows[np.arange(len(rows)), labels]
    return np.maximum(0, 1 - right + np.maximum(others, 0)).reshape(t.shape)


ELEMENTWISE = {
    losses.MeanSquaredError: lambda loss, p, t: (p - t) ** 2,
    losses.MeanAbsoluteError: lambda loss, p, t: np.abs(p - t),
    losses.LogCosh: lambda loss, p, t: np.log(np.cosh(p - t)),
    losses.MeanAbsolutePercentageError: lambda loss, p, t: 100 * np.abs(p - t) / np.maximum(np.abs(t), 1e-7),
    losses.MeanSquaredLogarithmicError: lambda loss, p, t: (np.log1p(np.maximum(p, 1e-7)) - np.log1p(t)) ** 2,
    losses.Poisson: lambda loss, p, t: p - t * np.log(p + 1e-7),
    losses.Hinge: lambda loss, p, t: np.maximum(0, 1 - _signs(t) * p),
    losses.SquaredHinge: lambda loss, p, t: np.maximum(0, 1 - _signs(t) * p) ** 2,
    losses.CosineSimilarity: lambda loss, p, t: -np.sum(_unit(p) * _unit(t), axis=-1),
    losses.CategoricalHinge: lambda loss, p, t: _categorical_hinge(p, t),
    losses.KLDivergence: lambda loss, p, t: np.sum(
        np.maximum(t, 1e-7) * np.log(np.maximum(t, 1e-7) / np.clip(p, 1e-7, 1)), axis=-1
    ),
}


def _huber(loss, p, t):
    d = np.abs(p - t)
    return np.where(d <= loss.delta, d * d / 2, loss.delta * (d - loss.delta / 2))


def _binary(loss: Any, p: np.ndarray, t: np.ndarray) -> np.ndarray:
    p = sigmoid(p) if loss.from_logits else p
    t = t * (1 - loss.label_smoothing) + loss.label_smoothing / 2
    each = -t * np.log(np.maximum(p, TINY)) - (1 - t) * np.log(np.maximum(1 - p, TINY))
    if isinstance(loss, losses.BinaryFocalCrossentropy):
        each = each * (1 - t * p - (1 - t) * (1 - p)) ** loss.gamma
        if loss.apply_class_balancing:
            each = each * (t * loss.alpha + (1 - t) * (1 - loss.alpha))
    return each


def _categorical(loss: Any, p: np.ndarray, t: np.ndarray) -> np.ndarray:
    classes = p.shape[-1]
    p = softmax(p) if loss.from_logits else p
    t = np.eye(classes)[t] if t.ndim < p.ndim else t
    t = t * (1 - loss.label_smoothing) + loss.label_smoothing / classes
    logarithm = np.log(np.maximum(p, TINY))
    if isinstance(loss, losses.CategoricalFocalCrossentropy):
        logarithm = logarithm * loss.alpha * (1 - p) ** loss.gamma
    return -np.sum(t * logarithm, axis=-1)


def each_sample(loss: Any, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the loss of every sample (N,), from encoded targets."""
    if hasattr(loss, "over_time"):
        steps = _categorical(loss, prediction, target).reshape(len(prediction), -1)
        return steps.sum(axis=1) if loss.over_time == "sum" else steps.mean(axis=1)
    if isinstance(loss, losses.BinaryCrossentropy):
        terms = _binary(loss, prediction, target)
    elif isinstance(loss, losses.Huber):
        terms = _huber(loss, prediction, target)
    else:
        terms = ELEMENTWISE[type(loss)](loss, prediction, target)
    return terms.reshape(len(prediction), -1).mean(axis=1)
