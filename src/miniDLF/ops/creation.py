"""Tensors from nothing, and between tensors and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.kernels.workspace import Array, Shape
from miniDLF.tensor.tensor import Tensor, as_tensor
from miniDLF.tensor.types import DEFAULT

__all__ = [
    "arange", "convert_to_numpy", "convert_to_tensor", "empty", "eye", "full", "identity", "is_tensor", "linspace",
    "ones", "tri", "zeros",
]  # fmt: skip


def convert_to_tensor(x: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Return `x` as a tensor, in the type `dtype` if one is given."""
    tensor = as_tensor(x)
    return tensor if dtype is None else tensor.astype(dtype)


def convert_to_numpy(x: Any) -> Array:
    """Return the array of a tensor, or an array of anything else."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def is_tensor(x: Any) -> bool:
    """Say whether `x` is a tensor."""
    return isinstance(x, Tensor)


def zeros(shape: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Return zeros, of float32 if nothing else is said."""
    return Tensor(np.zeros(_lengths(shape), dtype or DEFAULT))


def ones(shape: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Return ones, of float32 if nothing else is said."""
    return Tensor(np.ones(_lengths(shape), dtype or DEFAULT))


def full(shape: Any, fill_value: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor whose elements all are `fill_value` (a number or a tensor that is broadcast)."""
    value = as_tensor(fill_value)
    return np.broadcast_to(value if dtype is None else value.astype(dtype), _lengths(shape))


def empty(shape: Any, dtype: DTypeLike | None = None) -> Tensor:
    """Return a tensor with any numbers: zeros."""
    return zeros(shape, dtype)


def eye(n: int, m: int | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """Return a matrix with ones on the diagonal `k`."""
    return Tensor(np.eye(n, m, k, dtype or DEFAULT))


def identity(n: int, dtype: DTypeLike | None = None) -> Tensor:
    """Return the matrix that changes nothing."""
    return eye(n, dtype=dtype)


def tri(n: int, m: int | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """Return a matrix with ones at and below the diagonal `k`."""
    return Tensor(np.tri(n, m, k, dtype or DEFAULT))


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: DTypeLike | None = None) -> Tensor:
    """Return ``start, start + step, ...`` below `stop`; whole numbers are int64 or as wide as an index."""
    first, end = (0, start) if stop is None else (start, stop)
    return Tensor(np.arange(first, end, step), dtype or _type_of(first, end, step))


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: DTypeLike | None = None) -> Tensor:
    """Return `num` numbers at equal distances from `start` to `stop`."""
    return Tensor(np.linspace(start, stop, num, endpoint), dtype or DEFAULT)


def _type_of(*values: Any) -> DTypeLike:
    return DEFAULT if any(isinstance(value, float) for value in values) else np.intp


def _lengths(shape: Any) -> Shape:
    return tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
