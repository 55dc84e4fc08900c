"""Operations that move numbers without changing them: each beside its derivative, which moves them back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axes_of, axis_of, in_one_type
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.rules import implements, rule_for
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "broadcast_to", "concatenate", "expand_dims", "flip", "moveaxis", "pad", "ravel", "repeat", "reshape", "roll",
    "split", "squeeze", "stack", "swapaxes", "tile", "transpose", "unstack",
]  # fmt: skip


class Reshape(Primitive):
    """The same numbers in another shape;  ``dx = dy`` in the shape of x."""

    target: Shape
    is_view = True

    def shape(self, x):
        return self.target

    def evaluate(self, x, out=None):
        return _filled(out, x.reshape(self.target))

    def derivative(self, dy, y, x):
        return reshape(dy, x.shape)

    def flops(self, x):
        return 0


class Transpose(Primitive):
    """``y[i_p1, i_p2, ...] = x[i_1, i_2, ...]``: the axes in the order `order`;  ``dx = dy`` in the opposite one."""

    order: Shape
    is_view = True

    def shape(self, x):
        return tuple(x[axis] for axis in self.order)

    def evaluate(self, x, out=None):
        return _filled(out, x.transpose(self.order))

    def derivative(self, dy, y, x):
        return transpose(dy, tuple(self.order.index(axis) for axis in range(len(self.order))))

    def flops(self, x):
        return 0


class BroadcastTo(Primitive):
    """x repeated along axes of length 1 and new ones in front;  ``dx = sum of dy`` over them."""

    target: Shape
    is_view = True

    def shape(self, x):
        return self.target

    def evaluate(self, x, out=None):
        return _filled(out, np.broadcast_to(x, self.target))

    def derivative(self, dy, y, x):
        return rule_for("sum_to")(dy, x.shape)

    def flops(self, x):
        return 0


class Concatenate(Primitive):
    """The inputs one after the other along `axis`;  each gets its part of dy."""

    axis: int

    def shape(self, *shapes):
        first = shapes[0]
        for other in shapes[1:]:
            same = len(other) == len(first) and all(
                a == b or axis == self.axis for axis, (a, b) in enumerate(zip(first, other, strict=True))
            )
            if not same:
                raise ShapeError(
                    f"concatenate: the shapes {first} and {other} differ in more than axis {self.axis}, along which "
                    "they are joined."
                )
        length = sum(shape[self.axis] for shape in shapes)
        return (*first[: self.axis], length, *first[self.axis + 1 :])

    def evaluate(self, *arrays, out=None):
        return np.concatenate(arrays, axis=self.axis, out=out)

    def derivative(self, dy, y, *inputs):
        result, start = [], 0
        for x in inputs:
            stop = start + x.shape[self.axis]
            result.append(dy[(slice(None),) * self.axis + (slice(start, stop),)])
            start = stop
        return tuple(result)

    def flops(self, *shapes):
        return 0


class Pad(Primitive):
    """x with `value` around it: ``widths`` are (before, after) for each axis;  ``dx = dy`` without the margin."""

    widths: tuple[tuple[int, int], ...]
    value: float

    def shape(self, x):
        return tuple(before + length + after for length, (before, after) in zip(x, self.widths, strict=True))

    def evaluate(self, x, out=None):
        if out is None:
            out = np.empty(self.shape(x.shape), x.dtype)
        out.fill(self.value)
        out[self._inside(x.shape)] = x
        return out

    def _inside(self, shape):
        return tuple(slice(before, before + n) for n, (before, _) in zip(shape, self.widths, strict=True))

    def derivative(self, dy, y, x):
        return dy[self._inside(x.shape)]


class Repeat(Primitive):
    """Each part along `axis` `count` times;  ``dx = sum of dy`` over the copies."""

    count: int
    axis: int

    def shape(self, x):
        return (*x[: self.axis], x[self.axis] * self.count, *x[self.axis + 1 :])

    def evaluate(self, x, out=None):
        return _filled(out, np.repeat(x, self.count, self.axis))

    def derivative(self, dy, y, x):
        parted = reshape(dy, (*x.shape[: self.axis + 1], self.count, *x.shape[self.axis + 1 :]))
        return np.sum(parted, axis=self.axis + 1)


class Flip(Primitive):
    """x backwards along `axes`;  ``dx = dy`` backwards."""

    axes: Shape
    is_view = True

    def shape(self, x):
        return x

    def evaluate(self, x, out=None):
        return _filled(out, np.flip(x, self.axes))

    def derivative(self, dy, y, x):
        return apply(Flip(self.axes), dy)


class Roll(Primitive):
    """x moved by `shifts` along `axes`, what falls off coming in at the other end;  ``dx = dy`` moved back."""

    shifts: tuple[int, ...]
    axes: Shape

    def shape(self, x):
        return x

    def evaluate(self, x, out=None):
        return _filled(out, np.roll(x, self.shifts, self.axes))

    def derivative(self, dy, y, x):
        return apply(Roll(tuple(-shift for shift in self.shifts), self.axes), dy)


def _filled(out: Any, array: Any) -> Any:
    if out is None:
        return array
    np.copyto(out, array)
    return out


@implements(np.reshape)
def reshape(x: Any, shape: Any = None, order: str = "C", *, newshape: Any = None) -> Tensor:
    """Return the same elements in the shape `shape`, in which one length may be -1."""
    x = as_tensor(x)
    wanted = newshape if shape is None else shape
    lengths = tuple(map(index, wanted)) if isinstance(wanted, (tuple, list)) else (index(wanted),)
    if order != "C":
        raise ArgumentError(f"reshape: only the order 'C' is supported, received {order!r}.")
    rest = math.prod(length for length in lengths if length != -1)
    if lengths.count(-1) > 1 or any(length < -1 for length in lengths):
        raise ShapeError(f"reshape: {lengths} has more than one unknown length; one may be -1.")
    if -1 in lengths and rest and x.size % rest == 0:
        lengths = tuple(x.size // rest if length == -1 else length for length in lengths)
    if math.prod(lengths) != x.size or -1 in lengths:
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which the shape {tuple(lengths)} does not hold.")
    return x if lengths == x.shape else apply(Reshape(lengths), x)


@implements(np.transpose)
def transpose(x: Any, axes: Any = None) -> Tensor:
    """Return `x` with its axes in the order `axes`, or in the opposite one."""
    x = as_tensor(x)
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(axis_of("transpose", a, x.ndim) for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: {order} is no order of the {x.ndim} axes of the shape {x.shape}.")
    return x if order == tuple(range(x.ndim)) else apply(Transpose(order), x)


@implements(np.swapaxes)
def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Return `x` with two axes exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = axis_of("swapaxes", axis1, x.ndim), axis_of("swapaxes", axis2, x.ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


@implements(np.moveaxis)
def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """Return `x` with the axes `source` at the places `destination`."""
    x = as_tensor(x)
    sources = source if isinstance(source, (tuple, list)) else (source,)
    places = destination if isinstance(destination, (tuple, list)) else (destination,)
    moved = {
        axis_of("moveaxis", place, x.ndim): axis_of("moveaxis", axis, x.ndim)
        for axis, place in zip(sources, places, strict=True)
    }
    rest = iter(axis for axis in range(x.ndim) if axis not in moved.values())
    return transpose(x, [moved[place] if place in moved else next(rest) for place in range(x.ndim)])


@implements(np.expand_dims)
def expand_dims(x: Any, axis: Any) -> Tensor:
    """Return `x` with axes of length 1 at the places `axis` of the result."""
    x = as_tensor(x)
    places = axis if isinstance(axis, (tuple, list)) else (axis,)
    ndim = x.ndim + len(places)
    new = {axis_of("expand_dims", place, ndim) for place in places}
    rest = iter(x.shape)
    return reshape(x, tuple(1 if place in new else next(rest) for place in range(ndim)))


@implements(np.squeeze)
def squeeze(x: Any, axis: Any = None) -> Tensor:
    """Return `x` without its axes of length 1, or without those that `axis` names."""
    x = as_tensor(x)
    gone = [i for i, n in enumerate(x.shape) if n == 1] if axis is None else axes_of("squeeze", axis, x.ndim)
    for place in gone:
        if x.shape[place] != 1:
            raise ShapeError(f"squeeze: axis {place} of the shape {x.shape} has the length {x.shape[place]}, not 1.")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


@implements(np.ravel)
def ravel(x: Any) -> Tensor:
    """Return all elements in one axis."""
    return reshape(x, -1)


@implements(np.atleast_1d)
def atleast_1d(x: Any) -> Tensor:
    """Return `x` with at least one axis."""
    x = as_tensor(x)
    return x if x.ndim else reshape(x, 1)


@implements(np.broadcast_to)
def broadcast_to(x: Any, shape: Any) -> Tensor:
    """Return `x` repeated to the shape `shape`, by NumPy's rules of broadcasting."""
    x = as_tensor(x)
    target = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if x.shape == target:
        return x
    fits = len(target) >= x.ndim and all(n in (1, m) for n, m in zip(reversed(x.shape), reversed(target), strict=False))
    if not fits:
        raise ShapeError(f"broadcast_to: the shape {x.shape} cannot be repeated to {target}.")
    return apply(BroadcastTo(target), x)


@implements(np.concatenate)
def concatenate(tensors: Sequence[Any], axis: Any = 0) -> Tensor:
    """Return the tensors one after the other along `axis` (``None``: all elements in one axis)."""
    made = in_one_type(*tensors)
    if axis is None:
        made, axis = tuple(reshape(x, -1) for x in made), 0
    if not made or not made[0].ndim:
        raise ShapeError("concatenate: expected at least one tensor, and tensors with axes; use stack for numbers.")
    return made[0] if len(made) == 1 else apply(Concatenate(axis_of("concatenate", axis, made[0].ndim)), *made)


@implements(np.stack)
def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return the tensors, all of one shape, along a new axis."""
    made = in_one_type(*tensors)
    shapes = {x.shape for x in made}
    if len(shapes) != 1:
        raise ShapeError(f"stack: expected tensors of one shape, received {', '.join(map(str, sorted(shapes)))}.")
    return concatenate([expand_dims(x, axis) for x in made], axis_of("stack", axis, made[0].ndim + 1))


@implements(np.vstack)
def vstack(tensors: Sequence[Any]) -> Tensor:
    """Return the tensors below each other."""
    return concatenate([reshape(x, (1, -1)) if as_tensor(x).ndim < 2 else x for x in tensors], 0)


@implements(np.hstack)
def hstack(tensors: Sequence[Any]) -> Tensor:
    """Return the tensors beside each other."""
    made = [atleast_1d(x) for x in tensors]
    return concatenate(made, 0 if made[0].ndim == 1 else 1)


@implements(np.split, np.array_split)
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Return parts of `x` along `axis`: so many of equal length, or cut before the indices given."""
    x = as_tensor(x)
    axis = axis_of("split", axis, x.ndim)
    length = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        parts = int(indices_or_sections)
        if parts < 1 or length % parts:
            raise ShapeError(f"split: the length {length} of axis {axis} does not divide into {parts} equal parts.")
        cuts = [length // parts * number for number in range(1, parts)]
    else:
        cuts = [index(cut) for cut in indices_or_sections]
    bounds = [0, *cuts, length]
    before = (slice(None),) * axis
    return [x[(*before, slice(start, stop))] for start, stop in pairwise(bounds)]


def unstack(x: Any, axis: int = 0) -> list[Tensor]:
    """Return the parts of `x` along `axis`, without it."""
    x = as_tensor(x)
    before = (slice(None),) * axis_of("unstack", axis, x.ndim)
    return [x[(*before, number)] for number in range(x.shape[axis])]


@implements(np.pad)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Tensor:
    """Return `x` with `pad_width` values around it, of `constant_values`, or its "edge", or "reflect"-ed.

    `pad_width` is one number, (before, after) for all axes, or such a pair for every axis.
    """
    x = as_tensor(x)
    widths = tuple((int(a), int(b)) for a, b in np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist())
    if min((width for pair in widths for width in pair), default=0) < 0:
        raise ArgumentError(f"pad: widths are at least 0, received {pad_width!r}.")
    if mode == "constant":
        return apply(Pad(widths, constant_values), x)
    if mode not in ("edge", "reflect"):
        raise ArgumentError(f"pad: mode is 'constant', 'edge' or 'reflect', received {mode!r}.")
    for axis, width in enumerate(widths):
        if any(width):
            x = np.take(x, np.pad(np.arange(x.shape[axis]), width, mode=mode), axis=axis)
    return x


@implements(np.repeat)
def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Return `x` with each part along `axis` `repeats` times (``None``: each element, in one axis)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    return apply(Repeat(index(repeats), axis_of("repeat", axis, x.ndim)), x)


@implements(np.tile)
def tile(x: Any, reps: Any) -> Tensor:
    """Return `x` repeated as a whole, so many times along each axis."""
    x = as_tensor(x)
    counts = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    counts = (1,) * (x.ndim - len(counts)) + counts
    lengths = (1,) * (len(counts) - x.ndim) + x.shape
    spread = tuple(part for count, length in zip(counts, lengths, strict=True) for part in (count, length))
    apart = tuple(part for length in lengths for part in (1, length))
    joined = tuple(count * length for count, length in zip(counts, lengths, strict=True))
    return reshape(broadcast_to(reshape(x, apart), spread), joined)


@implements(np.flip)
def flip(x: Any, axis: Any = None) -> Tensor:
    """Return `x` backwards along `axis` (``None``: along all)."""
    x = as_tensor(x)
    return apply(Flip(axes_of("flip", axis, x.ndim)), x)


@implements(np.roll)
def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """Return `x` moved by `shift` along `axis`; what falls off comes in at the other end."""
    x = as_tensor(x)
    if axis is None:
        return reshape(roll(reshape(x, -1), shift, 0), x.shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    return apply(Roll(tuple(map(index, shifts)), tuple(axis_of("roll", a, x.ndim) for a in axes)), x)
