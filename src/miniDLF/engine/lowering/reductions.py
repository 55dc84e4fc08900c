"""Sums, largest numbers, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.engine.lowering.base import Call, Scratch, lowers
from miniDLF.kernels.elementwise import ones
from miniDLF.kernels.workspace import Array
from miniDLF.ops import activations, reductions

__all__: list[str] = []


@lowers(reductions.Sum)
def _sum(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call] | None:
    """Rows are added up by a product with ones: for (256, 400) 6 us where ``sum(axis=0)`` takes 12."""
    x, axes = inputs[0], primitive.axes
    if x.dtype.kind != "f" or out.dtype != x.dtype:
        return None
    leading = axes == tuple(range(len(axes))) and 0 < len(axes) < x.ndim
    if leading and x.flags.c_contiguous and out.flags.c_contiguous and x.size:
        rows = x.reshape(-1, int(np.prod(x.shape[len(axes) :])))
        return [(rows.T.dot, (ones(len(rows), x.dtype), out.reshape(-1)))]
    return [(np.add.reduce, (x, axes, None, out, primitive.keepdims))]


@lowers(reductions.Max, reductions.Min)
def _extreme(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call]:
    return [(primitive.ufunc.reduce, (inputs[0], primitive.axes, None, out, primitive.keepdims))]


def _shift(x: Array, axis: int, top: Array, out: Array, scratch: Scratch) -> list[Call]:
    """Return the calls that write the largest to `top`, 0 where that is -inf, and x without it to `out`."""
    lowest = scratch(top.shape, np.dtype(bool))
    zero = np.zeros((), x.dtype)
    return [
        (np.maximum.reduce, (x, axis, None, top, True)),
        (np.isneginf, (top, lowest)),
        (_put_where, (top, zero, lowest)),
        (np.subtract, (x, top, out)),
    ]


def _put_where(out: Array, value: Array, condition: Array) -> None:
    np.copyto(out, value, where=condition)


def _thin(x: Array, axis: int) -> tuple[int, ...]:
    return (*x.shape[:axis], 1, *x.shape[axis + 1 :])


@lowers(activations.Softmax)
def _softmax(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call]:
    x, axis = inputs[0], primitive.axis
    top = scratch(_thin(x, axis), x.dtype)
    return [
        *_shift(x, axis, top, out, scratch),
        (np.exp, (out, out)),
        (np.add.reduce, (out, axis, None, top, True)),
        (np.divide, (out, top, out)),
    ]


@lowers(activations.LogSumExp)
def _log_sum_exp(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call]:
    x, axis = inputs[0], primitive.axis
    top, shifted = scratch(out.shape, x.dtype), scratch(x.shape, x.dtype)
    return [
        *_shift(x, axis, top, shifted, scratch),
        (np.exp, (shifted, shifted)),
        (np.add.reduce, (shifted, axis, None, out, True)),
        (np.log, (out, out)),
        (np.add, (out, top, out)),
    ]
