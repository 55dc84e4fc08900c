"""Tensors like others: of the same shape, or the part of one on a side of its diagonal; and what shape they have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from miniDLF.errors import ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axis_of, cast
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = [
    "copy", "diag", "diagflat", "diagonal", "dtype", "empty_like", "full_like", "ndim", "ones_like", "shape", "size",
    "trace", "tril", "triu", "zeros_like",
]  # fmt: skip


def _triangle(x: Any, k: int, upper: bool) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"a triangle is taken of the last two axes; received the shape {x.shape}.")
    inside = np.tri(*x.shape[-2:], k - 1 if upper else k, dtype=bool)
    return np.where(~inside if upper else inside, x, 0)


@implements(np.tril)
def tril(x: Any, k: int = 0) -> Tensor:
    """Return `x` with zeros above the diagonal `k` of its last two axes."""
    return _triangle(x, k, False)


@implements(np.triu)
def triu(x: Any, k: int = 0) -> Tensor:
    """Return `x` with zeros below the diagonal `k` of its last two axes."""
    return _triangle(x, k, True)


@implements(np.diagonal)
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the elements whose indices along two axes are equal (shifted by `offset`), along a new last axis."""
    x = as_tensor(x)
    a, b = axis_of("diagonal", axis1, x.ndim), axis_of("diagonal", axis2, x.ndim)
    x = np.moveaxis(x, (a, b), (-2, -1))
    rows, columns = x.shape[-2:]
    start = max(-offset, 0), max(offset, 0)
    count = max(min(rows - start[0], columns - start[1]), 0)
    steps = np.arange(count)
    return x[..., steps + start[0], steps + start[1]]


@implements(np.trace)
def trace(x: Any) -> Tensor:
    """Return the sum of the diagonal of the first two axes."""
    return np.sum(diagonal(x), axis=-1)


@implements(np.zeros_like)
def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Return zeros of the shape of `x`."""
    return full_like(x, 0, dtype)


@implements(np.ones_like)
def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Return ones of the shape of `x`."""
    return full_like(x, 1, dtype)


@implements(np.full_like)
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of the shape of `x` whose elements all are `fill_value`."""
    x = as_tensor(x)
    kind = x.dtype if dtype is None else np.dtype(dtype)
    return np.broadcast_to(cast(as_tensor(fill_value, kind), kind), x.shape)


@implements(np.size)
def size(x: Any) -> int:
    """Return the number of elements."""
    return math.prod(as_tensor(x).shape)


@implements(np.shape)
def shape(x: Any) -> Shape:
    """Return the shape, a tuple of numbers."""
    return as_tensor(x).shape


@implements(np.ndim)
def ndim(x: Any) -> int:
    """Return the number of axes."""
    return as_tensor(x).ndim


@implements(np.empty_like)
def empty_like(x: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of the shape of `x` with any numbers: zeros."""
    return zeros_like(x, dtype)


@implements(np.copy)
def copy(x: Any) -> Tensor:
    """Return `x`: tensors are not changed in place, so they need no copies."""
    return as_tensor(x)


def dtype(x: Any) -> str:
    """Return the name of the type, ``"float32"``."""
    return str(as_tensor(x).dtype.name)


@implements(np.diag)
def diag(x: Any, k: int = 0) -> Tensor:
    """Return the matrix with the vector `x` on its diagonal `k`, or the diagonal of the matrix `x`."""
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: expected a vector or a matrix, received the shape {x.shape}.")
    below, above = max(-k, 0), max(k, 0)
    square = np.where(np.eye(x.shape[0], dtype=bool), np.expand_dims(x, 0), 0)
    return np.pad(square, ((below, above), (above, below)))


@implements(np.diagflat)
def diagflat(x: Any, k: int = 0) -> Tensor:
    """Return the matrix with all elements of `x` on its diagonal `k`."""
    return diag(np.reshape(as_tensor(x), -1), k)
