"""Numbers put into tensors: at places, into blocks, by segments; and blocks taken out."""

from __future__ import annotations

import builtins
from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.ops.arguments import cast
from miniDLF.ops.indexing import ARRAY, GetItem, PutBack, ScatterAdd, getitem, key_of
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = ["get_item", "scatter", "scatter_add", "scatter_update", "segment_sum", "slice", "slice_update"]


def scatter_add(x: Any, key: Any, values: Any) -> Tensor:
    """Return `x` with `values` added at ``x[key]``, also where an index comes several times."""
    return _scattered(x, key, values, False)


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Tensor:
    """Return `inputs` with elements replaced by `updates`; the places must be different.

    Parameters
    ----------
    indices
        As in Keras an array (M, k) of M places, each an index for the first k axes: then `updates` are (M, ...). Or
        what stands between brackets, ``inputs[indices]``: a slice, a number, a vector of indices, a tuple of these.
    reduction
        ``"add"`` adds to what is there, also where a place comes several times.

    Raises
    ------
    ArgumentError
        If `reduction` is another one.
    ShapeError
        If there are more indices for a place than axes.
    """
    if reduction not in (None, "add"):
        raise ArgumentError(f"scatter_update: reduction is None or 'add', received {reduction!r}.")
    inputs = as_tensor(inputs)
    is_key = isinstance(indices, (tuple, int, builtins.slice)) or indices is None or indices is Ellipsis
    if not is_key and (places := as_tensor(indices)).ndim >= 2 and places.dtype.kind in "iu":
        if places.shape[-1] > inputs.ndim:
            raise ShapeError(
                f"scatter_update: places of {places.shape[-1]} indices (the shape is {places.shape}) in a tensor of "
                f"shape {inputs.shape}."
            )
        indices = tuple(places[..., axis] for axis in range(places.shape[-1]))
    return _scattered(inputs, indices, updates, reduction is None)


def scatter(indices: Any, values: Any, shape: Any) -> Tensor:
    """Return zeros of `shape` with `values` added at `indices` (M, k), each an index for the first k axes."""
    values = as_tensor(values)
    return scatter_update(np.zeros(shape, values.dtype), indices, values, "add")


def get_item(x: Any, key: Any) -> Tensor:
    """Return ``x[key]``."""
    return getitem(x, key)


def slice(inputs: Any, start_indices: Any, shape: Any) -> Tensor:
    """Return the block of `inputs` of this shape that begins at `start_indices`, which tensors may say."""
    inputs = as_tensor(inputs)
    return getitem(inputs, _block("slice", inputs, start_indices, shape))


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Tensor:
    """Return `inputs` with the block that begins at `start_indices` replaced by `updates`."""
    inputs, updates = as_tensor(inputs), as_tensor(updates)
    return _scattered(inputs, _block("slice_update", inputs, start_indices, updates.shape), updates, True)


def _block(name: str, x: Tensor, start: Any, lengths: Any) -> tuple[Any, ...]:
    """Return the key of a block: slices where its place is known, else indices from the place on."""
    lengths = tuple(map(index, lengths))
    place = list(start)
    if not len(place) == len(lengths) == x.ndim:
        raise ShapeError(
            f"{name}: a tensor of shape {x.shape} needs a place and a length for each of its {x.ndim} axes, received "
            f"{len(place)} and {len(lengths)}."
        )
    if any(length > whole for length, whole in zip(lengths, x.shape, strict=True)):
        raise ShapeError(f"{name}: a block of shape {lengths} does not fit into the shape {x.shape}.")
    room = [whole - length for length, whole in zip(lengths, x.shape, strict=True)]
    # as in Keras what would reach beyond the end begins earlier
    if any(isinstance(one, Tensor) and one.is_symbolic for one in place):
        firsts = [np.clip(cast(as_tensor(one), np.intp), 0, most) for one, most in zip(place, room, strict=True)]
        grids = np.ix_(*map(np.arange, lengths))
        return tuple(first + grid.astype(np.intp) for first, grid in zip(firsts, grids, strict=True))
    starts = [min(max(int(one), 0), most) for one, most in zip(place, room, strict=True)]
    return tuple(builtins.slice(first, first + length) for first, length in zip(starts, lengths, strict=True))


def _scattered(x: Any, key: Any, values: Any, replaces: bool) -> Tensor:
    x = as_tensor(x)
    parts, indices = key_of(x, key)
    shape = GetItem(parts).shape(x.shape, *(tensor.shape for tensor in indices))
    values = np.broadcast_to(cast(as_tensor(values, x.dtype), x.dtype), shape)
    return apply(ScatterAdd(parts, replaces), x, values, *indices)


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Tensor:
    """Return, for every segment 0 to ``num_segments - 1``, the sum of the parts of `data` (N, ...) that belong to it.

    `segment_ids` (N,) says to which each belongs: what a graph network sums over neighbours. Without `num_segments`
    the largest of them is the last segment, which a recorded program cannot know. `sorted` changes nothing.

    Raises
    ------
    ArgumentTypeError
        If the number of segments is not given and not known.
    ShapeError
        If there is not one segment for each part.
    """
    data, segment_ids = as_tensor(data), cast(as_tensor(segment_ids), np.intp)
    if segment_ids.shape != data.shape[:1]:
        raise ShapeError(f"segment_sum: expected segments of shape {data.shape[:1]}, received {segment_ids.shape}.")
    if num_segments is None:
        if segment_ids.is_symbolic:
            raise ArgumentTypeError(
                "segment_sum has as many sums as the numbers say, which a recorded program cannot know; give "
                "num_segments."
            )
        num_segments = int(segment_ids.numpy().max(initial=-1)) + 1
    return apply(PutBack((ARRAY,), (index(num_segments), *data.shape[1:])), data, segment_ids)
