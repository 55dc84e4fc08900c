"""A convolution and the pooling behind it, some rows at a time, so that the pooling finds its input in the cache.

The result of a convolution is several times the size of the images and of the pooled result. Layer by layer it is
written to memory and read again, and so is its gradient; here a block of rows is convolved, pooled, and in inference
forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.kernels.batch_last import BatchLast, row_blocks, weight_gradient
from miniDLF.kernels.convolution import Convolution, batched
from miniDLF.kernels.direct import DirectBackward, batch_last_moves
from miniDLF.kernels.methods import Lend, Matrices, Method
from miniDLF.kernels.pool import Pool
from miniDLF.kernels.tiles import Pooling, Tiles, TilesBackward
from miniDLF.kernels.windows import Moves, Scratch, Window, as_one, carry_out
from miniDLF.kernels.workspace import Array, Once, Shape

__all__ = ["PooledConvolution"]

#: Bytes of window rows and results of a block. The specified CNN takes 3 % longer with 4 MB and 8 % with 8 MB; an
#: autoencoder, whose convolutions are smaller, a few per cent less.
BLOCK_BYTES = 2 << 20


class PooledConvolution:
    """`Convolution` by the direct method, and a pooling whose windows tile its result.

    Batches in batch-last memory are worked on in blocks of rows, others step by step.

    Parameters
    ----------
    x, shape, method, window
        As for `Convolution`.
    keeps
        Whether backward may come: then the result of the convolution is kept.

    Attributes
    ----------
    y : (N, F, OH, OW)
        The pooled result of `run`.
    """

    def __init__(
        self,
        x: Array,
        shape: Shape,
        method: Method,
        window: Window,
        pooling: Pooling,
        keeps: bool,
        empty: Lend,
        scratch: Scratch,
    ) -> None:
        self._window, self._pooling, self._empty, self._scratch = window, pooling, empty, scratch
        self.x = x
        self._once, self._back = Once(), Once()
        self._convolution: Convolution | None = None
        if not batched(x):
            self._convolution = Convolution(x, shape, method, window, empty, scratch)
            self._pool = Pool(self._convolution.y, pooling, keeps, self._lend_pooled, scratch)
            self.y = self._pool.y
            return
        inputs, unit = x.transpose(2, 3, 1, 0), pooling.window.kernel[0]
        height, width = window.positions(*x.shape[2:])
        size = (height, width, shape[0], len(x))
        pooled = empty("pooled", (height // unit, width // pooling.window.kernel[1], shape[0], len(x)))
        self._pooled, self._line, self.y = pooled, size[2:], pooled.transpose(3, 2, 0, 1)
        self._kept = empty("y", size) if keeps else None
        self._blocks: list[tuple[slice, BatchLast, Tiles, Array]] = []
        for rows in row_blocks(inputs, size, window, BLOCK_BYTES, unit):
            part = scratch("rows", (rows.stop - rows.start, *size[1:])) if self._kept is None else self._kept[rows]
            convolution = BatchLast(inputs, [(rows, part)], window, scratch)
            places = slice(rows.start // unit, rows.stop // unit)
            tiles = Tiles(as_one(part), as_one(pooled[places]), pooling, scratch)
            self._blocks.append((places, convolution, tiles, part))

    def _lend_pooled(self, name: str, *arguments: Any) -> Array:
        lent: Array = self._empty("pooled " + name, *arguments)
        return lent

    def run(self, weight: Array, bias: Array, matrices: Matrices) -> Array:
        """Convolve what x holds now and pool the result; return y."""
        if self._convolution is not None:
            self._convolution.run(weight, bias, matrices)
            return self._pool.run()
        for _, convolution, tiles, _ in self._blocks:
            convolution.run(matrices.forward, bias)
            tiles.run()
        return self.y

    def backward(
        self, dy: Array, weight: Array, matrices: Matrices, dweight: Array, dbias: Array, empty: Lend | None
    ) -> Array | None:
        """Write the gradients dweight (F, C, kh, kw) and dbias (F,); return dx unless `empty` is None (not needed)."""
        scratch, window = self._scratch, self._window
        if self._convolution is not None:
            gradient = self._pool.backward(dy, overwrites=True)
            return self._convolution.backward(gradient, weight, matrices, dweight, dbias, empty)
        moves, pools = self._once(dy, self._backward)
        carry_out(moves)
        if empty is not None and self._kept is not None:
            for pool in pools:
                pool.run()
            kept = self._kept.transpose(3, 2, 0, 1)
            back = self._back(kept, DirectBackward, self.x, weight.shape, window, empty, scratch)
            dx: Array = back.run(weight, dweight, dbias)
            return dx
        filters, channels, kh, kw = weight.shape
        total, lines = scratch("matrix gradient", (kw * kh * channels, filters)), scratch("lines", self._line)
        total.fill(0)
        lines.fill(0)
        for pool, (_, convolution, _, part) in zip(pools, self._blocks, strict=True):
            pool.run()
            convolution.add_gradient(total)
            np.add(lines, np.add.reduce(part, axis=(0, 1), out=scratch("lines of a block", self._line)), out=lines)
        weight_gradient(total, dweight)
        np.add.reduce(lines, axis=1, out=dbias)
        return None

    def _backward(self, dy: Array) -> tuple[Moves, list[TilesBackward]]:
        """Return the copy that brings dy (N, F, OH, OW) to batch-last memory, if need be, and the way through it.

        The gradient of a block of rows of the convolution takes the place of these rows.
        """
        moves, outputs = batch_last_moves(dy, self._scratch)
        pools = []
        for places, _, _, part in self._blocks:
            pooled, gradient, images = (as_one(array) for array in (self._pooled[places], outputs[places], part))
            pools.append(TilesBackward(images, pooled, gradient, self._pooling, images, self._scratch))
        return moves, pools
