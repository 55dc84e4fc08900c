"""Rows of class scores: where the label of each row lies, the softmax of rows, the sums of rows.

Results are given by position: for a few rows NumPy takes 0.2 us of 1.2 to read ``out=``.

Measured on rows (780, 43) / (256, 10), float32, one core with AVX-512, in microseconds. The largest of each row by
`np.max` 37 / 11, by `argmax` and a gather 16 / 2. Row sums by `np.sum` 15 / 4, by a product with ones 3 / 1.
"""

from __future__ import annotations

import functools

import numpy as np

from miniDLF.kernels.elementwise import ones
from miniDLF.kernels.workspace import Array, Lend, constant_array

__all__ = ["exp_rows", "label_index", "row_sums", "shift_rows", "softmax"]


@functools.lru_cache(maxsize=32)
def _starts(rows: int, classes: int) -> Array:
    """Return where each row begins in the flat array."""
    return constant_array(np.arange(rows, dtype=np.intp) * classes)


def label_index(labels: Array, classes: int, out: Array | None = None) -> Array:
    """Return the places of the labels (any shape) in the flat array of scores (rows, classes)."""
    flat = labels.ravel()
    places: Array = np.add(_starts(flat.size, classes), flat, out=out)
    return places if out is not None else places.astype(np.intp, copy=False)


def row_sums(rows: Array, out: Array) -> Array:
    """Return the sum of each row: (R, C) -> (R,)."""
    return rows.dot(ones(rows.shape[1], rows.dtype), out)  # (R, C) @ (C,) -> (R,)


def shift_rows(scores: Array, out: Array, best: Array, largest: Array) -> Array:
    """Take the largest of each row off, so that `exp` cannot overflow.

    Parameters
    ----------
    scores, out : (R, C)
    best : (R,), of type intp
        Memory for the place of the largest.
    largest : (R,)
        Memory for the largest.
    """
    rows, classes = scores.shape
    np.add(scores.argmax(1, best), _starts(rows, classes), best)
    scores.take(best, None, largest, "clip")  # from the flat array; "clip" writes straight to `largest`
    return np.subtract(scores, largest[:, None], out)


def exp_rows(shifted: Array, total: Array) -> Array:
    """Take the exponential in place; `total` (R,) receives the sum of each row."""
    np.exp(shifted, shifted)
    return row_sums(shifted, total)


def softmax(x: Array, out: Array, lend: Lend) -> Array:
    """Return ``exp(x) / sum(exp(x))`` over the last axis; the largest is taken off first, so nothing overflows.

    `lend` lends memory until the call is over; `out` may be `x` itself.
    """
    if not (x.flags.c_contiguous and out.flags.c_contiguous):
        np.subtract(x, np.maximum.reduce(x, -1, keepdims=True), out)
        np.exp(out, out)
        return np.divide(out, np.add.reduce(out, -1, keepdims=True), out)
    classes = x.shape[-1]
    count = x.size // classes
    if count == 1:  # plain numbers: 2 us less than columns
        np.subtract(x, x.take(x.argmax()), out)
        np.exp(out, out)
        return np.multiply(out, 1.0 / out.ravel().dot(ones(classes, out.dtype)), out)
    scores, rows, total = x.reshape(count, classes), out.reshape(count, classes), lend("row totals", (count,))
    shift_rows(scores, rows, lend("row places", (count,), np.intp), total)
    exp_rows(rows, total)
    np.divide(rows, total[:, None], rows)
    return out
