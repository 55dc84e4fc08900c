"""Order: sorting and the indices that sort, beside their derivatives; what is largest, and where things would stand."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.ops.arguments import axis_of, cast, in_one_type
from miniDLF.ops.indexing import take_along_axis
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = ["argsort", "digitize", "in_top_k", "isin", "searchsorted", "sort", "top_k"]


class Sort(Primitive):
    """x in ascending order along `axis`;  dy goes back to where each number came from."""

    axis: int

    def shape(self, x):
        return x

    def evaluate(self, x, out=None):
        found = np.sort(x, axis=self.axis, kind="stable")
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def derivative(self, dy, y, x):
        back = argsort(argsort(x, self.axis), self.axis)
        return take_along_axis(dy, back, self.axis)


class Argsort(Primitive):
    """The indices that sort x along `axis`, equal ones in their order; no gradient."""

    axis: int

    def shape(self, x):
        return x

    def dtype(self, x):
        return np.dtype(np.intp)

    def evaluate(self, x, out=None):
        found = np.argsort(x, axis=self.axis, kind="stable")
        if out is None:
            return found
        np.copyto(out, found)
        return out


@implements(np.sort)
def sort(x: Any, axis: Any = -1) -> Tensor:
    """Return `x` in ascending order along `axis` (``None``: all elements in one axis)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    return apply(Sort(axis_of("sort", axis, x.ndim)), x)


@implements(np.argsort)
def argsort(x: Any, axis: Any = -1) -> Tensor:
    """Return the indices that sort `x` along `axis`; equal ones stay in their order."""
    x = as_tensor(x)
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    return apply(Argsort(axis_of("argsort", axis, x.ndim)), x)


def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Return the `k` largest along the last axis, the largest first (whatever `sorted` says), and where they are."""
    x = as_tensor(x)
    if not 1 <= k <= x.shape[-1]:
        raise ArgumentError(f"top_k: k is 1 to {x.shape[-1]} for the shape {x.shape}, received {k}.")
    places = argsort(-x)[..., :k]
    return take_along_axis(x, places, -1), places


def in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    """Return whether each class in `targets` (N,) is among the `k` with the largest `predictions` (N, C).

    One is among them if fewer than `k` others are larger. False where a target is no class or its prediction no number.

    Raises
    ------
    ShapeError
        If there is not one target for each row.
    """
    targets, predictions = as_tensor(targets), as_tensor(predictions)
    if targets.shape != predictions.shape[:-1]:
        raise ShapeError(
            f"in_top_k: expected targets of shape {predictions.shape[:-1]} for predictions of shape "
            f"{predictions.shape}, received {targets.shape}."
        )
    classes = predictions.shape[-1]
    known = np.logical_and(targets >= 0, targets < classes)
    places = np.expand_dims(np.where(known, cast(targets, np.intp), 0), -1)
    own = take_along_axis(predictions, places, -1)
    return np.logical_and(
        np.logical_and(known, np.isfinite(np.squeeze(own, -1))), np.sum(cast(predictions > own, np.intp), axis=-1) < k
    )


@implements(np.searchsorted)
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    """Return before which element of an ascending vector each value belongs: before equal ones, or "right" of them.

    Raises
    ------
    ArgumentError
        If `side` is neither.
    ShapeError
        If the sequence is no vector.
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', received {side!r}.")
    line, values = in_one_type(sorted_sequence, values)
    if line.ndim != 1:
        raise ShapeError(f"searchsorted: expected a vector to search, received the shape {line.shape}.")
    compared = np.expand_dims(values, -1)
    return np.sum(cast(line < compared if side == "left" else line <= compared, np.intp), axis=-1)


@implements(np.digitize)
def digitize(x: Any, bins: Any) -> Tensor:
    """Return in which bin each number lies: 0 below the first of the ascending edges `bins`, then 1, ..."""
    return searchsorted(bins, x, "right")


@implements(np.isin)
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Return whether each element of `x1` is among those of `x2` (not, where `invert`)."""
    x1, x2 = in_one_type(x1, x2)
    found = np.any(np.expand_dims(x1, -1) == np.reshape(x2, -1), axis=-1)
    return np.logical_not(found) if invert else found
