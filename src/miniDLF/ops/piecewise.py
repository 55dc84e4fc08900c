"""Activations made of pieces: limited, shrunk, sparse and gated ones, under Keras' names."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.ops.activations import relu
from miniDLF.ops.arguments import axis_of, floating
from miniDLF.ops.exponentials import sigmoid
from miniDLF.tensor.tensor import Tensor

__all__ = [
    "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "relu6", "soft_shrink", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "tanh_shrink", "threshold",
]  # fmt: skip


def relu6(x: Any) -> Tensor:
    """Return ``min(max(x, 0), 6)``."""
    return relu(x, max_value=6.0)


def hard_sigmoid(x: Any) -> Tensor:
    """Return ``x / 6 + 1/2``, between 0 and 1."""
    return np.clip(floating(x) * (1 / 6) + 0.5, 0.0, 1.0)


def hard_silu(x: Any) -> Tensor:
    """Return ``x hard_sigmoid(x)``."""
    x = floating(x)
    return x * hard_sigmoid(x)


def hard_swish(x: Any) -> Tensor:
    """Return `hard_silu`, by its other name."""
    return hard_silu(x)


def glu(x: Any, axis: int = -1) -> Tensor:
    """Return the first half of `x` along `axis` times the sigmoid of the second (arXiv:1612.08083)."""
    first, second = np.split(floating(x), 2, axis=axis)
    return first * sigmoid(second)


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """Return `x` where its amount is above `threshold`, else 0."""
    x = floating(x)
    return np.where(np.abs(x) > threshold, x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """Return `x`, `threshold` nearer to 0, and 0 within."""
    x = floating(x)
    return np.where(x > threshold, x - threshold, np.where(x < -threshold, x + threshold, 0.0))


def sparse_plus(x: Any) -> Tensor:
    """Return 0 below -1, `x` above 1, and ``(x + 1)^2 / 4`` between."""
    x = floating(x)
    return np.where(x <= -1, 0.0, np.where(x < 1, np.square(x + 1) * 0.25, x))


def sparse_sigmoid(x: Any) -> Tensor:
    """Return ``(x + 1) / 2``, between 0 and 1: the slope of `sparse_plus`."""
    return np.clip(floating(x) * 0.5 + 0.5, 0.0, 1.0)


def sparsemax(x: Any, axis: int = -1) -> Tensor:
    """Return the distribution nearest to `x` along `axis`, in which small scores have 0 (arXiv:1602.02068)."""
    x = floating(x)
    place = axis_of("sparsemax", axis, x.ndim)
    falling = -np.sort(-x, axis=place)
    sums = np.cumsum(falling, axis=place)
    counts = np.arange(1, x.shape[place] + 1, dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 1 - place))
    inside = falling * counts > sums - 1
    count = np.sum(np.where(inside, 1.0, np.zeros((), x.dtype)), axis=place, keepdims=True)
    threshold = (np.sum(np.where(inside, falling, 0.0), axis=place, keepdims=True) - 1) / count
    return np.maximum(x - threshold, 0.0)


def hard_tanh(x: Any) -> Tensor:
    """Return `x` between -1 and 1."""
    return np.clip(floating(x), -1.0, 1.0)


def tanh_shrink(x: Any) -> Tensor:
    """Return ``x - tanh(x)``."""
    x = floating(x)
    return x - np.tanh(x)


def threshold(x: Any, threshold: float, default_value: float) -> Tensor:
    """Return `x` where it is above `threshold`, else `default_value`."""
    x = floating(x)
    return np.where(x > threshold, x, default_value)
