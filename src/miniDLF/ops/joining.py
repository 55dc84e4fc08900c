"""Tensors joined, cut into parts, repeated and turned; what does that beside its derivative is in `shaping`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.ops.arguments import axes_of, axis_of, in_one_type
from miniDLF.ops.shaping import Concatenate, Flip, Pad, Repeat, Roll, atleast_1d, broadcast_to, expand_dims, reshape
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "append", "array_split", "concatenate", "dsplit", "dstack", "flip", "fliplr", "flipud", "hsplit", "hstack",
    "meshgrid", "pad", "repeat", "roll", "rot90", "split", "stack", "tile", "unstack", "vsplit", "vstack",
]  # fmt: skip


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


@implements(np.split)
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


@implements(np.array_split)
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Return parts of `x` as `split` does; of a length that so many do not divide the first are one longer."""
    x = as_tensor(x)
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(x, indices_or_sections, axis)
    count = int(indices_or_sections)
    if count < 1:
        raise ArgumentError(f"array_split: expected at least one part, received {count}.")
    each, longer = divmod(x.shape[axis_of("array_split", axis, x.ndim)], count)
    return split(x, np.cumsum([each + (part < longer) for part in range(count - 1)]).tolist(), axis)


@implements(np.vsplit)
def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """Return parts of `x` along its first axis."""
    return split(x, indices_or_sections, 0)


@implements(np.hsplit)
def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """Return parts of `x` along its second axis, or the only one."""
    return split(x, indices_or_sections, min(1, as_tensor(x).ndim - 1))


@implements(np.dsplit)
def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    """Return parts of `x` along its third axis."""
    return split(x, indices_or_sections, 2)


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


@implements(np.dstack)
def dstack(tensors: Sequence[Any]) -> Tensor:
    """Return the tensors behind each other, along a third axis."""
    made = [as_tensor(x) for x in tensors]
    made = [reshape(x, (1, -1)) if x.ndim < 2 else x for x in made]
    return concatenate([expand_dims(x, 2) if x.ndim == 2 else x for x in made], 2)


@implements(np.append)
def append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    """Return `x2` behind `x1` along `axis` (``None``: the elements of both in one axis)."""
    return concatenate([x1, x2], axis)


@implements(np.fliplr)
def fliplr(x: Any) -> Tensor:
    """Return `x` backwards along its second axis."""
    return flip(x, 1)


@implements(np.flipud)
def flipud(x: Any) -> Tensor:
    """Return `x` backwards along its first axis."""
    return flip(x, 0)


@implements(np.rot90)
def rot90(array: Any, k: int = 1, axes: Any = (0, 1)) -> Tensor:
    """Return `array` turned by `k` right angles, from the first of two `axes` to the second."""
    array = as_tensor(array)
    first, second = (axis_of("rot90", axis, array.ndim) for axis in axes)
    if first == second:
        raise ArgumentError(f"rot90: a plane has two different axes, received {axes!r}.")
    for _ in range(k % 4):
        array = flip(np.swapaxes(array, first, second), first)
    return array


@implements(np.meshgrid)
def meshgrid(*x: Any, indexing: str = "xy") -> list[Tensor]:
    """Return the coordinates of a grid, of vectors of what stands on its axes; "xy" has that of the first second.

    Raises
    ------
    ArgumentError
        If `indexing` is neither "xy" nor "ij".
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', received {indexing!r}.")
    lines = [reshape(as_tensor(one), -1) for one in x]
    order = list(range(len(lines)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = 1, 0
    shape = tuple(lines[number].size for number in order)
    return [
        broadcast_to(reshape(line, tuple(-1 if number == axis else 1 for axis in order)), shape)
        for number, line in enumerate(lines)
    ]
