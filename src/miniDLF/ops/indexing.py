"""Picking numbers out, and the derivative of that: putting them back."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axis_of, cast
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "argsort", "diagonal", "getitem", "one_hot", "scatter_add", "scatter_update", "segment_sum", "sort", "take",
    "take_along_axis", "top_k", "tril", "triu",
]  # fmt: skip

#: Where an array of indices stands among the parts of a key.
ARRAY = "array"


class Indexed(Primitive):
    """What works at a key: a tuple of slices, numbers, ``None`` and places for arrays of indices, the last inputs."""

    parts: tuple[Any, ...]

    def key(self):
        shown = ((p.start, p.stop, p.step) if isinstance(p, slice) else p for p in self.parts)
        return (type(self), tuple(shown), *(getattr(self, name) for name in self.attributes[1:]))

    def of(self, indices):
        """Return the key with `indices` at their places."""
        rest = iter(indices)
        return tuple(next(rest) if part is ARRAY else part for part in self.parts)


class GetItem(Indexed):
    """``y = x[key]``;  ``dx`` = dy where it was taken from, summed where it was taken several times."""

    @property
    def is_view(self):
        return ARRAY not in self.parts

    def shape(self, x, *indices):
        probe = np.broadcast_to(np.empty((), np.int8), x)
        try:
            return probe[self.of(np.zeros(shape, np.intp) for shape in indices)].shape
        except IndexError as error:
            raise ShapeError(f"indexing a tensor of shape {x}: {error}.") from None

    def evaluate(self, x, *indices, out=None):
        found = x[self.of(indices)]
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def derivative(self, dy, y, x, *indices):
        return (lambda: apply(PutBack(self.parts, x.shape), dy, *indices), *(None for _ in indices))


class PutBack(Indexed):
    """Zeros of the shape `target`, with ``y[key] += x``;  ``dx = dy[key]``."""

    target: Shape

    def shape(self, x, *indices):
        return self.target

    def evaluate(self, x, *indices, out=None):
        if out is None:
            out = np.empty(self.target, x.dtype)
        out.fill(0)
        if indices:
            np.add.at(out, self.of(indices), x)
        else:
            out[self.parts] = x
        return out

    def derivative(self, dy, y, x, *indices):
        return (lambda: apply(GetItem(self.parts), dy, *indices), *(None for _ in indices))


class ScatterAdd(Indexed):
    """``y = x`` with ``y[key] += values``;  ``dx = dy``, ``dvalues = dy[key]``."""

    replaces: bool

    def shape(self, x, values, *indices):
        return x

    def evaluate(self, x, values, *indices, out=None):
        if out is None:
            out = x.copy()
        elif out is not x:
            np.copyto(out, x)
        if self.replaces:
            out[self.of(indices)] = values
        else:
            np.add.at(out, self.of(indices), values)
        return out

    def derivative(self, dy, y, x, values, *indices):
        def kept():
            if not self.replaces:
                return dy
            zeros = np.zeros_like(values)
            return apply(ScatterAdd(self.parts, True), dy, zeros, *indices)

        return (kept, lambda: apply(GetItem(self.parts), dy, *indices), *(None for _ in indices))


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


class OneHot(Primitive):
    """1 at the index, 0 elsewhere, along a new last axis of the length `size`; zeros for indices outside."""

    size: int
    type: np.dtype[Any]

    def shape(self, x):
        return (*x, self.size)

    def dtype(self, x):
        return self.type

    def evaluate(self, x, out=None):
        found = np.equal(x[..., None], np.arange(self.size))
        if out is None:
            return found.astype(self.type)
        np.copyto(out, found)
        return out


@implements("getitem")
def getitem(x: Any, key: Any) -> Tensor:
    """Return ``x[key]``: slices, numbers, ``None``, ``...``, arrays of indices, and masks whose values are known."""
    x = as_tensor(x)
    parts, indices = _key(x, key)
    return apply(GetItem(parts), x, *indices)


def _key(x: Tensor, key: Any) -> tuple[tuple[Any, ...], list[Tensor]]:
    """Return the parts of `key`, and the arrays of indices among them."""
    parts: list[Any] = []
    indices: list[Tensor] = []
    for part in key if isinstance(key, tuple) else (key,):
        if part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
            continue
        if isinstance(part, (int, np.integer)) and not isinstance(part, bool):
            parts.append(int(part))
            continue
        given = as_tensor(part)
        if given.dtype.kind == "b":
            if given.is_symbolic:
                raise ArgumentTypeError(
                    "indexing with a mask has as many results as the numbers say, which a recorded program cannot "
                    "know. Use ops.where(mask, x, 0), or multiply by the mask."
                )
            place = sum(1 if part is not None else 0 for part in parts)
            covered = x.shape[place : place + given.ndim]
            if Ellipsis not in parts and covered != given.shape:
                raise ShapeError(f"the mask has the shape {given.shape}, the axes that it covers {covered}.")
            for where in np.nonzero(given.numpy()):
                parts.append(ARRAY)
                indices.append(as_tensor(where.astype(np.intp)))
            continue
        if given.dtype.kind not in "iu":
            raise ArgumentTypeError(f"indices are whole numbers or booleans, received {given.dtype}; use astype(int).")
        parts.append(ARRAY)
        indices.append(cast(given, np.intp))
    return tuple(parts), indices


@implements(np.take)
def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Return the parts of `x` at `indices` along `axis` (``None``: the elements at these places in order)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    return getitem(x, (slice(None),) * axis_of("take", axis, x.ndim) + (as_tensor(indices),))


@implements(np.take_along_axis)
def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """Return, for every line along `axis`, its elements at the indices that `indices` has there."""
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    if indices.ndim != x.ndim:
        raise ShapeError(f"take_along_axis: indices of shape {indices.shape} for a tensor of shape {x.shape}.")
    place = axis_of("take_along_axis", axis, x.ndim)
    grids = np.ix_(*(range(length) for i, length in enumerate(x.shape) if i != place)) if x.ndim > 1 else ()
    rest = iter(grids)
    key: list[Any] = []
    for i in range(x.ndim):
        key.append(indices if i == place else np.expand_dims(next(rest), place).astype(np.intp))
    return getitem(x, tuple(key))


def scatter_add(x: Any, key: Any, values: Any) -> Tensor:
    """Return `x` with `values` added at ``x[key]``, also where an index comes several times."""
    return _scattered(x, key, values, False)


def scatter_update(x: Any, key: Any, values: Any) -> Tensor:
    """Return `x` with ``x[key]`` replaced by `values`; the indices must be different."""
    return _scattered(x, key, values, True)


def _scattered(x: Any, key: Any, values: Any, replaces: bool) -> Tensor:
    x = as_tensor(x)
    parts, indices = _key(x, key)
    shape = GetItem(parts).shape(x.shape, *(tensor.shape for tensor in indices))
    values = np.broadcast_to(cast(as_tensor(values, x.dtype), x.dtype), shape)
    return apply(ScatterAdd(parts, replaces), x, values, *indices)


def segment_sum(x: Any, segments: Any, count: int) -> Tensor:
    """Return, for every segment 0 to ``count - 1``, the sum of the parts of `x` (N, ...) that belong to it.

    `segments` (N,) says to which each belongs: what a graph network sums over neighbours.
    """
    x, segments = as_tensor(x), cast(as_tensor(segments), np.intp)
    if segments.shape != x.shape[:1]:
        raise ShapeError(f"segment_sum: expected segments of shape {x.shape[:1]}, received {segments.shape}.")
    return apply(PutBack((ARRAY,), (index(count), *x.shape[1:])), x, segments)


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = "float32") -> Tensor:
    """Return 1 at the index `x` and 0 elsewhere along a new `axis` of the length `num_classes`."""
    x = as_tensor(x)
    if x.dtype.kind not in "iu":
        raise ArgumentTypeError(f"one_hot: expected whole numbers, received {x.dtype}; use astype('int64').")
    hot = apply(OneHot(index(num_classes), np.dtype(dtype)), x)
    return hot if axis in (-1, x.ndim) else np.moveaxis(hot, -1, axis)


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


def top_k(x: Any, k: int) -> tuple[Tensor, Tensor]:
    """Return the `k` largest along the last axis, the largest first, and where they are."""
    x = as_tensor(x)
    if not 1 <= k <= x.shape[-1]:
        raise ArgumentError(f"top_k: k is 1 to {x.shape[-1]} for the shape {x.shape}, received {k}.")
    places = argsort(-x)[..., :k]
    return take_along_axis(x, places, -1), places


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
