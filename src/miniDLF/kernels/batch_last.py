"""Convolution of batches, with the images' number as the last axis: memory (H, W, C, N) under the shape (N, C, H, W).

What lies under a window row, ``kw C`` numbers of N images, is then one run of memory, and a matrix (kw C, N) that BLAS
can multiply where it lies. Only the ``kh`` rows of a window have to be put next to each other, a copy of long lines
that grows the images ``kh / stride`` times; `im2col` copies ``kh kw`` numbers for every position, in runs as short as
a pixel. The products, one for each position, are (F, K) @ (K, N): small enough to run where the operands lie.
Everything after it gains as well: a pass, a pooling, a normalisation have lines of ``C N`` numbers.

Milliseconds of one thread at 105 Gflop/s, float32, for forward and backward; with channels-last memory (im2col); and
those of the bare products at that rate: 256 images 28x28, 1 -> 32, 6x6, stride 2 (no dx) 1.9, 3.8, 1.6;
64 images 14x14, 16 -> 8, 3x3: 1.2, 2.2, 0.8; 8 -> 16: 1.2, 2.2, 0.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from miniDLF.kernels.products import largest_piece
from miniDLF.kernels.windows import Moves, Scratch, Window, carry_out, inside
from miniDLF.kernels.workspace import Array, Shape, strided

__all__ = [
    "FEWEST_IMAGES",
    "BatchLast",
    "BatchLastBackward",
    "batch_last_weights",
    "row_blocks",
    "weight_gradient",
]

#: Below this the lines are shorter than a register of AVX-512, and channels-last memory is faster.
FEWEST_IMAGES = 16

#: Bytes of window rows and of their results that are worked on at once. A quarter would fit a cache of the second
#: level, but two threads that make short calls hinder each other at the interpreter's lock: 10 000 predictions of the
#: specified CNN take 58 ms with 1 MB, 56 with 2, 53 with 4.
BLOCK_BYTES = 4 << 20
#: Bytes of the gradients of single positions before they are summed.
PARTS_BYTES = 1 << 19


def batch_last_weights(weight: Array, out: Array) -> Array:
    """Order kernels (F, C, kh, kw) as the matrix of `BatchLast`: `out` (F, kw kh C)."""
    filters, channels, kh, kw = weight.shape
    out.reshape(filters, kw, kh, channels)[...] = weight.transpose(0, 3, 2, 1)
    return out


class BatchLast:
    """Convolution between two places in memory; the views it works on are made once.

    Parameters
    ----------
    x
        Images (H, W, C, N).
    outputs
        Some rows of the result, and where they go, (h, OW, F, N); perhaps several such pairs.
    """

    def __init__(self, x: Array, outputs: Sequence[tuple[slice, Array]], window: Window, scratch: Scratch) -> None:
        self._scratch = scratch
        self._gradients: list[tuple[Moves, list[tuple[Array, Array]]]] = []
        self.blocks: list[tuple[Moves, Array, Array, Array, Array]] = []
        for rows, out in outputs:
            _, columns, filters, count = out.shape
            moves, patches = _gathering(x, rows, columns, window, scratch)
            cut = _cut_for(filters * patches.shape[2] * count, patches, out)
            self.blocks.append((moves, patches, out, *cut))
        #: The bias of every image, (F, N): a pass over one position is then one loop.
        self.line = scratch("line", (filters, count))

    def run(self, matrix: Array, bias: Array | None) -> None:
        """Multiply matrix (F, kw kh C) with the patches and add bias (F,)."""
        if bias is not None:
            self.line[...] = bias[:, np.newaxis]
        for moves, _, out, patches, results in self.blocks:
            carry_out(moves)
            np.matmul(matrix, patches, out=results)  # (F, K) @ (K, N) -> (F, N) for each position
            if bias is not None:
                np.add(out, self.line, out=out)

    def add_gradient(self, total: Array) -> None:
        """Add the gradient of the matrix, transposed, (K, F), where the outputs hold that of the result."""
        if not self._gradients:
            self._gradients = [
                (moves, _products_of(patches, out, total.nbytes)) for moves, patches, out, _, _ in self.blocks
            ]
        for moves, products in self._gradients:
            carry_out(moves)
            _add_products(products, total, self._scratch)


class BatchLastBackward:
    """Gradients of weights and images, between places in memory; the views it works on are made once.

    Parameters
    ----------
    x, dy
        (H, W, C, N), and (OH, OW, F, N) with contiguous positions.
    dx
        (H, W, C, N), C-contiguous, or ``None`` where it is not needed.
    shape
        Of the weights, (F, C, kh, kw).
    """

    def __init__(self, x: Array, dy: Array, shape: Shape, dx: Array | None, window: Window, scratch: Scratch) -> None:
        self._scratch, self._dx, self._shape = scratch, dx, shape
        self._forward: BatchLast | None = None
        self._mirrored: list[tuple[Moves, Array, Array, list[tuple[Array, Array]]]] = []
        self._scattered: list[tuple[Array, Array, Moves]] = []
        if dx is not None and window.stride == (1, 1):
            self._mirror(x, dy, dx, window)
            return
        self._forward = BatchLast(x, [(rows, dy[rows]) for rows in row_blocks(x, dy.shape, window)], window, scratch)
        if dx is not None:
            self._scatter(dy, dx, window)

    def run(self, weight: Array, dweight: Array) -> None:
        """Write both gradients for what x and dy hold now."""
        filters, channels, kh, kw = self._shape
        if self._forward is None:
            self._run_mirrored(weight, dweight)
            return
        total = self._scratch("matrix gradient", (kw * kh * channels, filters))
        total.fill(0)
        self._forward.add_gradient(total)
        weight_gradient(total, dweight)
        if self._dx is not None:
            self._run_scattered(weight, self._dx)

    # Stride 1: patches of dy are gathered once for both gradients ---------------------------------------------------

    def _mirror(self, x: Array, dy: Array, dx: Array, window: Window) -> None:
        filters, channels, kh, kw = self._shape
        back = window.mirrored()
        size = kw * kh * filters * channels
        for rows in row_blocks(dy, dx.shape, back):
            moves, patches = _gathering(dy, rows, dx.shape[1], back, self._scratch)
            products = _products_of(patches, x[rows], size * dx.itemsize)
            self._mirrored.append((moves, *_cut_for(size * dx.shape[3], patches, dx[rows]), products))

    def _run_mirrored(self, weight: Array, dweight: Array) -> None:
        """dx = mirrored kernels @ patch, dweight = sum of patch @ x^T."""
        filters, channels, kh, kw = self._shape
        matrix = self._scratch("mirrored", (channels, kw * kh * filters))
        matrix.reshape(channels, kw, kh, filters)[...] = weight[:, :, ::-1, ::-1].transpose(1, 3, 2, 0)
        total = self._scratch("matrix gradient", (kw * kh * filters, channels))
        total.fill(0)
        for moves, patches, out, products in self._mirrored:
            carry_out(moves)
            np.matmul(matrix, patches, out=out)
            _add_products(products, total, self._scratch)
        dweight[:, :, ::-1, ::-1] = total.reshape(kw, kh, filters, channels).transpose(2, 3, 1, 0)

    # Other strides: ``weight^T @ dy`` of every place in the kernel is added to the inputs it touched (col2im) ---------

    def _scatter(self, dy: Array, dx: Array, window: Window) -> None:
        _, channels, kh, kw = self._shape
        (down, across), (top, _, left, _) = window.stride, window.padding
        height, width, _, count = dx.shape
        for rows in row_blocks(dx, dy.shape, window):
            patches = self._scratch("patches", (rows.stop - rows.start, dy.shape[1], kh, kw, channels, count))
            flat = patches.reshape(*patches.shape[:2], -1, count)
            touched: Moves = []
            for i in range(kh):
                lines, to_rows = inside(rows, i - top, down, height)
                for j in range(kw):
                    columns, to_columns = inside(slice(0, dy.shape[1]), j - left, across, width)
                    touched.append((dx[to_rows, to_columns], patches[lines, columns, i, j]))
            self._scattered.append((*_cut_for(kh * kw * channels * dy.shape[2] * count, dy[rows], flat), touched))

    def _run_scattered(self, weight: Array, dx: Array) -> None:
        filters, channels, kh, kw = self._shape
        matrix = self._scratch("places", (kh * kw * channels, filters))
        matrix.reshape(kh, kw, channels, filters)[...] = weight.transpose(2, 3, 1, 0)
        dx.fill(0)
        for outputs, patches, touched in self._scattered:
            np.matmul(matrix, outputs, out=patches)
            for target, source in touched:
                np.add(target, source, out=target)


def weight_gradient(total: Array, dweight: Array) -> None:
    """Bring the gradient (kw kh C, F) that `add_gradient` sums up to the shape of the weights (F, C, kh, kw)."""
    filters, channels, kh, kw = dweight.shape
    dweight[...] = total.reshape(kw, kh, channels, filters).transpose(3, 2, 1, 0)


def row_blocks(x: Array, shape: Shape, window: Window, limit: int | None = None, unit: int = 1) -> Iterator[slice]:
    """Cut the rows of a result (OH, OW, F, N) into blocks whose window rows and results fit the cache.

    Parameters
    ----------
    limit
        Bytes of a block; `BLOCK_BYTES` by default.
    unit
        Blocks are so many rows, or a multiple of it.
    """
    height, width, filters, count = shape
    limit = BLOCK_BYTES if limit is None else limit
    line = (x.shape[1] * window.kernel[0] * x.shape[2] + width * filters) * count * x.itemsize * unit
    units = -(-height // unit)
    step = unit * (-(-units // -(-units * line // limit)) if line < limit else 1)
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))


def _gathering(x: Array, rows: slice, columns: int, window: Window, scratch: Scratch) -> tuple[Moves, Array]:
    """Return the copies that gather the patches of the window positions in `rows` x `columns` of x, and the patches.

    x (H, W, C, N); patches (h, OW, kw kh C, N). The rows of a window are put next to each other, (h, W, kh, C, N); the
    columns of neighbours overlap there.
    """
    (kh, kw), (down, across), (top, _, left, _) = window.kernel, window.stride, window.padding
    height, width, channels, count = x.shape
    cut = (columns - 1) * across + kw
    stacked = scratch("stacked", (rows.stop - rows.start, cut, kh, channels, count))
    line, column, _, depth, item = stacked.strides
    shape = (len(stacked), columns, kw * kh * channels, count)
    patches = strided(stacked, shape, (line, across * column, depth, item))
    first, last = rows.start * down - top, (rows.stop - 1) * down - top + kh
    if first >= 0 and last <= height and left <= 0 and cut - left <= width:  # all windows lie in the image
        inner = x[first:last, -left : cut - left]
        row, *rest = inner.strides
        return [(stacked, strided(inner, stacked.shape, (down * row, rest[0], row, *rest[1:])))], patches
    moves: Moves = []
    within, from_columns = inside(slice(0, cut), -left, 1, width)
    if within.start:
        moves.append((stacked[:, : within.start], 0))
    if within.stop < cut:
        moves.append((stacked[:, within.stop :], 0))
    for i in range(kh):
        lines, from_rows = inside(rows, i - top, down, height)
        target = stacked[:, within, i]
        if lines.start:
            moves.append((target[: lines.start], 0))
        if lines.stop < len(target):
            moves.append((target[lines.stop :], 0))
        moves.append((target[lines], x[from_rows, from_columns]))
    return moves, patches


def _cut_for(size: int, patches: Array, out: Array) -> tuple[Array, Array]:
    """View patches and results so that OpenBLAS need not pack for a product of m n k = `size` a position."""
    pieces = _pieces(patches.shape[3], size)
    return (patches, out) if pieces == 1 else (_cut(patches, pieces), _cut(out, pieces))


def _products_of(patches: Array, outputs: Array, size: int) -> list[tuple[Array, Array]]:
    """Cut patches (h, OW, K, N) and outputs (h, OW, F, N), transposed, so that the products of a cut fit the cache."""
    step = max(1, PARTS_BYTES // (len(patches) * size))
    columns = [slice(first, first + step) for first in range(0, patches.shape[1], step)]
    return [(patches[:, c], outputs[:, c].transpose(0, 1, 3, 2)) for c in columns]


def _add_products(products: list[tuple[Array, Array]], total: Array, scratch: Scratch) -> None:
    """Add the sum of the products at all positions to `total`."""
    part = scratch("matrix part", total.shape)
    for patches, outputs in products:
        parts = scratch("matrix parts", (*patches.shape[:2], *total.shape))
        np.matmul(patches, outputs, out=parts)
        np.add(total, np.add.reduce(parts, axis=(0, 1), out=part), out=total)


def _pieces(length: int, size: int) -> int:
    """Return into how many equal pieces to cut `length`, so that OpenBLAS need not pack (see `products`)."""
    largest, most = largest_piece(), range(2, length // FEWEST_IMAGES + 1)
    return 1 if size <= largest else next((n for n in most if length % n == 0 and size <= n * largest), 1)


def _cut(array: Array, pieces: int) -> Array:
    """View (h, w, K, N) as (h, w, pieces, K, N / pieces)."""
    return array.reshape(*array.shape[:3], pieces, -1).transpose(0, 1, 3, 2, 4)
