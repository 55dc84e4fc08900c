"""Formulas for means and variances that are used to put numbers on one scale, and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.errors import ShapeError
from miniDLF.ops.activations import softmax
from miniDLF.ops.arguments import axes_of, axis_of, floating
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = [
    "batch_normalization", "dot_product_attention", "layer_normalization", "moments", "normalize", "rms_normalization",
]  # fmt: skip

#: What Keras adds to a variance where nothing else is said.
EPSILON = 1e-7


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of `x` over `axes`.

    `synchronized` is there for Keras' sake: they are always those of the whole batch.
    """
    x = floating(x)
    return np.mean(x, axis=axes, keepdims=keepdims), np.var(x, axis=axes, keepdims=keepdims)


def normalize(x: Any, axis: Any = -1, order: Any = 2, epsilon: float | None = None) -> Tensor:
    """Return `x` divided by its norm along `axis`, which counts as `epsilon` (1e-7) at least.

    Raises
    ------
    ArgumentError
        If `order` is not above 0.
    """
    x = floating(x)
    norm = np.linalg.norm(x, ord=order, axis=axis, keepdims=True)
    return x / np.maximum(norm, EPSILON if epsilon is None else epsilon)


def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Tensor:
    """Return ``(x - mean) / sqrt(variance + epsilon) * scale + offset``, all of them vectors along `axis`."""
    x, mean, variance = floating(x, mean, variance)
    place = axis_of("batch_normalization", axis, x.ndim)
    factor = 1 / np.sqrt(_along(variance, place, x) + epsilon)
    if scale is not None:
        factor = factor * _along(scale, place, x)
    y = (x - _along(mean, place, x)) * factor
    return y if offset is None else y + _along(offset, place, x)


def _along(vector: Any, place: int, x: Tensor) -> Tensor:
    vector = as_tensor(vector, x.dtype)
    if vector.ndim != 1:
        return vector
    if vector.shape[0] != x.shape[place]:
        raise ShapeError(
            f"batch_normalization: axis {place} of the shape {x.shape} has the length {x.shape[place]}, a vector for "
            f"it {vector.shape[0]}."
        )
    return np.reshape(vector, tuple(-1 if i == place else 1 for i in range(x.ndim)))


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Tensor:
    """Return `x` with mean 0 and variance 1 along `axis`, times `gamma` plus `beta`; `epsilon` is 1e-7 by itself."""
    x = floating(x)
    centered = x - np.mean(x, axis=axis, keepdims=True)
    variance = np.mean(np.square(centered), axis=axis, keepdims=True)
    y = centered / np.sqrt(variance + (EPSILON if epsilon is None else epsilon))
    y = y if gamma is None else y * _of_axes(gamma, axis, x)
    return y if beta is None else y + _of_axes(beta, axis, x)


def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Tensor:
    """Return `x` divided by the root of its mean square along `axis`, times `scale` (arXiv:1910.07467)."""
    x = floating(x)
    mean_square = np.mean(np.square(x), axis=axis, keepdims=True)
    y = x / np.sqrt(mean_square + (EPSILON if epsilon is None else epsilon))
    return y if scale is None else y * _of_axes(scale, axis, x)


def _of_axes(factor: Any, axis: Any, x: Tensor) -> Tensor:
    """Return a factor with the lengths of `axis`, in a shape that broadcasts to that of `x`."""
    factor = as_tensor(factor, x.dtype)
    axes = axes_of("normalization", axis, x.ndim)
    if factor.shape != tuple(x.shape[i] for i in axes):
        return factor
    return np.reshape(factor, tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
) -> Tensor:
    """Return for every query the mean of the values, weighted by the softmax of its products with the keys.

    Parameters
    ----------
    query
        (N, T, heads, depth).
    key, value
        (N, S, groups, depth): as many groups as heads, or fewer, each for several heads (arXiv:2305.13245).
    bias
        Added to the scores (N, heads, T, S), or what broadcasts to them.
    mask
        Where scores count, broadcast to them. A query that may look nowhere looks everywhere alike.
    scale
        What products are multiplied by; ``1 / sqrt(depth)`` if nothing is said.
    is_causal
        Whether a query sees only keys up to its own place.

    Raises
    ------
    ShapeError
        If they have not four axes, or the heads are no multiple of the groups.
    """
    query, key, value = floating(query, key, value)
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ShapeError(
            "dot_product_attention: expected query, key and value (N, time, heads, depth), received the shapes "
            f"{query.shape}, {key.shape} and {value.shape}."
        )
    heads, groups, depth = query.shape[2], key.shape[2], query.shape[3]
    if not groups or heads % groups:
        raise ShapeError(f"dot_product_attention: {heads} heads of queries are no multiple of {groups} heads of keys.")
    if groups != heads:
        key, value = np.repeat(key, heads // groups, axis=2), np.repeat(value, heads // groups, axis=2)
    scale = 1 / math.sqrt(depth) if scale is None else scale
    scores = np.einsum("nthd,nshd->nhts", query, key) * scale
    if bias is not None:
        scores = scores + as_tensor(bias, scores.dtype)
    if is_causal:
        causal = np.tri(query.shape[1], key.shape[1], dtype=bool)
        mask = causal if mask is None else np.logical_and(as_tensor(mask), causal)
    if mask is not None:
        scores = np.where(as_tensor(mask), scores, 0.7 * float(np.finfo(scores.dtype).min))
    return np.einsum("nhts,nshd->nthd", softmax(scores), value)
