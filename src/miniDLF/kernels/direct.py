"""Backward of a convolution by the direct method, in batch-last memory: the layer's side of `batch_last`."""

from __future__ import annotations

import numpy as np

from miniDLF.kernels.batch_last import BatchLastBackward
from miniDLF.kernels.enlarged import EnlargedBackward
from miniDLF.kernels.methods import Lend
from miniDLF.kernels.windows import Moves, Scratch, Window, carry_out
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["DirectBackward", "batch_last_moves", "sum_batch_last"]


class DirectBackward:
    """Backward between places in memory; the views it works on are made once.

    Parameters
    ----------
    dy, x
        (N, F, OH, OW) in any order of memory, and (N, C, H, W) in batch-last order.
    shape
        Of the weights, (F, C, kh, kw).
    empty
        Lends the memory of the result, "dx"; ``None`` where dx is not needed.
    factors
        How often every row and every column of x was repeated first.
    """

    def __init__(
        self,
        dy: Array,
        x: Array,
        shape: Shape,
        window: Window,
        empty: Lend | None,
        scratch: Scratch,
        factors: tuple[int, int] = (1, 1),
    ) -> None:
        self._moves, self._outputs = batch_last_moves(dy, scratch)
        self._scratch = scratch
        inputs = x.transpose(2, 3, 1, 0)
        dx = None if empty is None else empty("dx", inputs.shape)
        self._dx = None if dx is None else dx.transpose(3, 2, 0, 1)
        self._back: BatchLastBackward | EnlargedBackward
        if factors == (1, 1):
            self._back = BatchLastBackward(inputs, self._outputs, shape, dx, window, scratch)
        else:
            self._back = EnlargedBackward(inputs, self._outputs, shape, dx, factors, window, scratch)

    def run(self, weight: Array, dweight: Array, dbias: Array) -> Array | None:
        """Write dweight (F, C, kh, kw) and dbias (F,), return dx (N, C, H, W)."""
        carry_out(self._moves)
        sum_batch_last(self._outputs, dbias, self._scratch)
        self._back.run(weight, dweight)
        return self._dx


def batch_last_moves(x: Array, scratch: Scratch) -> tuple[Moves, Array]:
    """Return x (N, C, H, W) as (H, W, C, N), contiguous, and before it the copy that this takes, if any."""
    images = x.transpose(2, 3, 1, 0)
    if images.flags.c_contiguous:
        return [], images
    copy = scratch("batch last", images.shape)
    return [(copy, images)], copy


def sum_batch_last(images: Array, out: Array, scratch: Scratch) -> None:
    """Sum (H, W, F, N) over everything but the channels: first long lines, then those of the channels."""
    lines = np.add.reduce(images, axis=(0, 1), out=scratch("channel lines", images.shape[2:]))
    np.add.reduce(lines, axis=1, out=out)
