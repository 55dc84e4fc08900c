"""Picking numbers out, and the derivative of that: putting them back."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axis_of, cast
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor
from miniDLF.tensor.types import DEFAULT

__all__ = ["getitem", "multi_hot", "one_hot", "take", "take_along_axis"]

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
    parts, indices = key_of(x, key)
    return apply(GetItem(parts), x, *indices)


def key_of(x: Tensor, key: Any) -> tuple[tuple[Any, ...], list[Tensor]]:
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


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None) -> Tensor:
    """Return 1 (of float32 by itself) at the index `x` and 0 elsewhere along a new `axis` of length `num_classes`."""
    x = as_tensor(x)
    if x.dtype.kind not in "iu":
        raise ArgumentTypeError(f"one_hot: expected whole numbers, received {x.dtype}; use astype('int64').")
    hot = apply(OneHot(index(num_classes), np.dtype(dtype or DEFAULT)), x)
    return hot if axis in (-1, x.ndim) else np.moveaxis(hot, -1, axis)


def multi_hot(inputs: Any, num_classes: int, axis: int = -1, dtype: Any = None) -> Tensor:
    """Return 1 at every class that a sample of `inputs` (N, n), or (n,), names, and 0 elsewhere: (N, num_classes)."""
    inputs = as_tensor(inputs)
    return np.max(one_hot(inputs, num_classes, axis, dtype), axis=1 if inputs.ndim > 1 else 0)
