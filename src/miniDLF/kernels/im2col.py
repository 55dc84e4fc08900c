"""Convolution as a matrix product with patches: for every kernel, stride and padding.

``y[n, i, j] = patch(n, i, j) @ matrix``, where a patch holds the inputs under the window. Patches are gathered for a
few images (or rows of one) at a time, so that they are still in the cache when BLAS reads them; backward gathers them
again instead of keeping kernel-size copies of every input.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from miniDLF.kernels.products import gradient_product, multiply, parts_of_product, product
from miniDLF.kernels.windows import Moves, Scratch, Window, blocks, carry_out, inside, padding_moves
from miniDLF.kernels.workspace import Array, strided

__all__ = ["Im2col", "im2col_backward", "im2col_weights"]

#: Up to so many channels a patch runs over (channel, row, column) instead of (row, column, channel): the few first
#: channels of raw images come channels-first, and whole lines are longer runs than the pixels of a patch row.
#: (3 channels, 3x3 window, 32x32: 4.3 us an image against 7.5; 1 channel: 1.3 against 5.4.)
FEW_CHANNELS = 4

#: Bytes of patches that are worked on at once. (64 images 8 -> 16 at 14x14, 3x3, forward: 0.41 ms with 256 KB, 0.34
#: with 1 MB; 32 -> 32 at 32x32: 4.8 and 3.9 ms. Smaller blocks mean more calls, larger ones leave the cache.)
BLOCK_BYTES = 1 << 20
#: With fewer patches the products would be too flat to run at full speed.
FEWEST_POSITIONS = 64


def im2col_weights(weight: Array, out: Array) -> Array:
    """Order kernels (F, C, kh, kw) as the matrix of `im2col`: `out` (kh kw C, F)."""
    filters, channels, kh, kw = weight.shape
    if channels <= FEW_CHANNELS:
        out[...] = weight.reshape(filters, -1).T
    else:
        out.reshape(kh, kw, channels, filters)[...] = weight.transpose(2, 3, 1, 0)
    return out


class Im2col:
    """Convolution from one place in memory to another; the views it works on are made once.

    Parameters
    ----------
    x, y
        Images (N, H, W, C), and where the result goes, (N, OH, OW, F) C-contiguous.
    size
        Numbers of a patch, kh kw C.
    """

    def __init__(self, x: Array, y: Array, window: Window, size: int, scratch: Scratch) -> None:
        _, _, columns, filters = y.shape
        # As long as a row of y: adding (F,) to (P, F) would cost a loop of its own for every pixel.
        self.line = scratch("line", (columns, filters))
        self.flat_line = self.line.reshape(-1)
        self.blocks: list[tuple[Moves, list[tuple[Array, Array]], Array]] = []
        last = None
        for images, rows in _blocks(y, size):
            moves, patches = _gathering(x[images], rows, columns, window, scratch)
            block = images.stop - images.start, rows
            if block == last:  # the zeros around the images are in place from the block before
                moves = [(target, source) for target, source in moves if isinstance(source, np.ndarray)]
            out = y[images, rows]
            products = parts_of_product(patches, out.reshape(-1, filters))
            self.blocks.append((moves, products, out.reshape(-1, self.line.size)))
            last = block

    def run(self, matrix: Array, bias: Array | None) -> None:
        """Multiply the patches with matrix (kh kw C, F) and add bias (F,)."""
        if bias is not None:
            self.line[...] = bias
        for moves, products, out in self.blocks:
            carry_out(moves)
            for patches, result in products:
                multiply(patches, matrix, result)  # (P, K) @ (K, F) -> (P, F)
            if bias is not None:
                np.add(out, self.flat_line, out=out)


def im2col_backward(
    x: Array, dy: Array, weight: Array, dweight: Array, dx: Array | None, window: Window, scratch: Scratch
) -> None:
    """Fill dweight (F, C, kh, kw) and dx (N, H, W, C), C-contiguous, unless it is None, from dy (N, OH, OW, F)."""
    if dx is None:
        _backward_weight(x, dy, dweight, window, scratch)
    elif window.stride == (1, 1):
        _backward_mirrored(x, dy, weight, dweight, dx, window, scratch)
    else:
        _backward_weight(x, dy, dweight, window, scratch)
        _backward_scattered(dy, weight, dx, window, scratch)


def _backward_weight(x: Array, dy: Array, dweight: Array, window: Window, scratch: Scratch) -> None:
    """Sum patches^T dy over the blocks."""
    filters, channels, kh, kw = dweight.shape
    total = scratch("matrix gradient", (kh * kw * channels, filters))
    part = scratch("matrix part", total.shape)
    target = total
    for images, rows in _blocks(dy, total.shape[0]):
        patches = _gather(x[images], rows, dy.shape[2], window, scratch)
        gradient_product(patches, _rows(dy[images, rows], scratch), target)  # (K, P) @ (P, F) -> (K, F)
        if target is part:
            np.add(total, part, out=total)
        target = part
    if channels <= FEW_CHANNELS:
        dweight.reshape(filters, -1)[...] = total.T
    else:
        dweight[...] = total.reshape(kh, kw, channels, filters).transpose(3, 2, 0, 1)


def _backward_mirrored(
    x: Array, dy: Array, weight: Array, dweight: Array, dx: Array, window: Window, scratch: Scratch
) -> None:
    """Gather patches of dy once for both gradients: dx = patches @ mirrored kernels, dweight = patches^T @ x."""
    filters, channels, kh, kw = weight.shape
    back = window.mirrored()
    matrix = scratch("mirrored", (kh * kw * filters, channels))
    total = scratch("matrix gradient", matrix.shape)
    part = scratch("matrix part", matrix.shape)
    if filters <= FEW_CHANNELS:
        axes, shape = (0, 2, 3, 1), (filters, kh, kw, channels)
    else:
        axes, shape = (2, 3, 0, 1), (kh, kw, filters, channels)
    matrix.reshape(shape)[...] = weight[:, :, ::-1, ::-1].transpose(axes)
    target = total
    for images, rows in _blocks(dx, len(matrix)):
        patches = _gather(dy[images], rows, dx.shape[2], back, scratch)
        product(patches, matrix, dx[images, rows].reshape(-1, channels))  # (P, K) @ (K, C) -> (P, C)
        gradient_product(patches, _rows(x[images, rows], scratch), target)  # (K, P) @ (P, C) -> (K, C)
        if target is part:
            np.add(total, part, out=total)
        target = part
    dweight[:, :, ::-1, ::-1].transpose(axes)[...] = total.reshape(shape)


def _backward_scattered(dy: Array, weight: Array, dx: Array, window: Window, scratch: Scratch) -> None:
    """Add ``dy @ weight^T`` of every place in the kernel to the inputs it touched (col2im)."""
    filters, channels, kh, kw = weight.shape
    (down, across), (top, _, left, _) = window.stride, window.padding
    _, height, width, _ = dx.shape
    matrix = scratch("places", (kh, kw, filters, channels))
    matrix[...] = weight.transpose(2, 3, 0, 1)
    dx.fill(0)
    for images, rows in _blocks(dy, kh * kw * channels):
        part = _rows(dy[images, rows], scratch)
        patches = scratch("patches", (kh, kw, len(part), channels))
        np.matmul(part, matrix, out=patches)  # (P, F) @ (kh, kw, F, C) -> (kh, kw, P, C)
        patches = patches.reshape(kh, kw, -1, rows.stop - rows.start, dy.shape[2], channels)
        for i in range(kh):
            lines, to_rows = inside(rows, i - top, down, height)
            for j in range(kw):
                columns, to_columns = inside(slice(0, dy.shape[2]), j - left, across, width)
                target = dx[images, to_rows, to_columns]
                np.add(target, patches[i, j][:, lines, columns], out=target)


def _blocks(outputs: Array, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut the work into blocks of positions of `outputs` (N, OH, OW, F) with patches of `size` numbers."""
    count, rows, columns, _ = outputs.shape
    return blocks(count, rows, columns, max(FEWEST_POSITIONS, BLOCK_BYTES // (size * outputs.itemsize)))


def _rows(images: Array, scratch: Scratch) -> Array:
    """Return (n, h, w, C) as (n h w, C), without a copy where memory allows."""
    if not images.flags.c_contiguous:
        copy = scratch("rows", images.shape)
        copy[...] = images
        images = copy
    return images.reshape(-1, images.shape[-1])


def _gather(images: Array, rows: slice, columns: int, window: Window, scratch: Scratch) -> Array:
    """Return the patches (P, kh kw C) of the window positions in `rows` x `columns` of every image (n, H, W, C)."""
    moves, patches = _gathering(images, rows, columns, window, scratch)
    carry_out(moves)
    return patches


def _gathering(images: Array, rows: slice, columns: int, window: Window, scratch: Scratch) -> tuple[Moves, Array]:
    """Return the copies that gather the patches of `_gather`, and the patches.

    What is contiguous in a patch is moved as one opaque item: 2 to 4 ns each, where NumPy's loop over its numbers
    takes twice as long.
    """
    (kh, kw), (down, across), (top, _, left, _) = window.kernel, window.stride, window.padding
    count, full_height, full_width, channels = images.shape
    height = rows.stop - rows.start
    top, cut_height = rows.start * down - top, (height - 1) * down + kh
    left, cut_width = -left, (columns - 1) * across + kw
    if left == 0 and cut_width <= full_width:
        cut_width = full_width  # a few columns too many, and perhaps no copy
    if top == 0 and cut_height <= full_height:
        cut_height = full_height
    few = channels <= FEW_CHANNELS
    if few:
        images = images.transpose(0, 3, 1, 2)
    moves, cut = padding_moves(images, top, cut_height, left, cut_width, scratch, axis=2 if few else 1)
    if few:
        n, c, h, w = cut.strides
        shape = channels, kh, kw, count, height, columns
        source = strided(cut, shape, (c, h, w, n, down * h, across * w))
        patches = scratch("patches", source.shape)
        return [*moves, (patches, source)], patches.reshape(channels * kh * kw, -1).T
    if kh == kw == down == across == 1 and cut_width == columns and cut_height == height:
        return moves, cut.reshape(-1, channels)
    n, h, w, item = cut.strides
    piece = np.dtype((np.void, kw * channels * item))
    patches = scratch("patches", (count, height, columns, kh, kw * channels))
    source = strided(cut, (count, height, columns, kh), (n, down * h, across * w, h), piece)
    return [*moves, (patches.view(piece)[..., 0], source)], patches.reshape(-1, kh * kw * channels)
