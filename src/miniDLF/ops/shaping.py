"""Operations that move numbers without changing them: each beside its derivative, which moves them back."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axes_of, axis_of
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.rules import implements, rule_for
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "broadcast_to", "expand_dims", "moveaxis", "ravel", "reshape", "squeeze", "swapaxes", "transpose",
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
