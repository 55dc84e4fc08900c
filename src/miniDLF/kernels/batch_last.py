"""Convolution of raw images: with one to four channels, patches are gathered with the batch as the last axis.

With few channels nothing in a patch is contiguous for long, so `im2col` spends its time on copying: 28x28, 6x6 window,
stride 2: 0.46 ms for 256 images, as much as the product. With the batch last every number of a patch is a line of as
many numbers as there are images: 0.13 ms, the transposition included. A patch also gets a last element, 1, whose
weights are the bias: no separate pass for the bias, nor for its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from miniDLF.kernels.products import PIECE
from miniDLF.kernels.windows import Scratch, Window, padded
from miniDLF.kernels.workspace import Array

__all__ = ["FEWEST_IMAGES", "batch_last", "batch_last_backward", "batch_last_weights"]

#: Below this the lines are too short, and `im2col` is as fast.
FEWEST_IMAGES = 8

#: Images of a block (a line of several AVX-512 registers), and bytes of patches worked on at once.
MOST_IMAGES = 64
BLOCK_BYTES = 2 << 20


def batch_last_weights(weight: Array, bias: Array, out: Array) -> Array:
    """Order kernels (F, C, kh, kw) and bias (F,) as the matrix of `batch_last`: `out` (C kh kw + 1, F)."""
    out[:-1] = weight.reshape(len(weight), -1).T
    out[-1] = bias
    return out


def batch_last(x: Array, matrix: Array, y: Array, window: Window, scratch: Scratch) -> None:
    """Convolve: x (N, H, W, C), matrix (C kh kw + 1, F), y (N, OH, OW, F) C-contiguous."""
    for images, rows in _blocks(y, len(matrix)):
        patches = _gather(x[images], rows, y.shape[2], window, scratch)  # (K, h, OW, n)
        depth, height, width, count = patches.shape
        lines = patches.reshape(depth, height * width, count).transpose(1, 2, 0)
        target = y[images, rows].reshape(count, height * width, -1).transpose(1, 0, 2)
        np.matmul(lines, matrix, out=target)  # (n, K) @ (K, F), for each position; BLAS writes the images apart


def batch_last_backward(x: Array, dy: Array, dweight: Array, dbias: Array, window: Window, scratch: Scratch) -> None:
    """Fill dweight (F, C, kh, kw) and dbias (F,) from dy (N, OH, OW, F)."""
    filters = len(dweight)
    depth = dweight[0].size + 1
    total = scratch("matrix gradient", (depth, filters))
    total.fill(0)
    for images, rows in _blocks(dy, depth):
        patches = _gather(x[images], rows, dy.shape[2], window, scratch)  # (K, h, OW, n)
        _, height, width, count = patches.shape
        moved = scratch("moved", (height, width, count, filters))  # the positions first, as in the patches
        moved[...] = dy[images, rows].transpose(1, 2, 0, 3)
        pieces = _pieces(height * width, depth * filters * count)
        parts = scratch("matrix parts", (pieces, depth, filters))
        np.matmul(
            patches.reshape(depth, pieces, -1).transpose(1, 0, 2),
            moved.reshape(pieces, -1, filters),
            out=parts,
        )  # (K, P) @ (P, F) -> (K, F), for each piece
        for part in parts:
            np.add(total, part, out=total)
    dweight.reshape(filters, -1)[...] = total[:-1].T
    dbias[...] = total[-1]


def _pieces(positions: int, size: int) -> int:
    """Return into how many equal pieces to cut the positions, so that OpenBLAS need not pack (see `products`)."""
    return next((n for n in range(1, positions + 1) if positions % n == 0 and positions // n * size <= PIECE), 1)


def _blocks(outputs: Array, depth: int) -> Iterator[tuple[slice, slice]]:
    """Cut the work into some images and some rows of their outputs."""
    count, height, width, _ = outputs.shape
    line = depth * width * outputs.itemsize
    step = min(count, MOST_IMAGES)
    rows = max(1, min(height, BLOCK_BYTES // (line * step)))
    for n in range(0, count, step):
        for first in range(0, height, rows):
            yield slice(n, min(n + step, count)), slice(first, min(first + rows, height))


def _gather(images: Array, rows: slice, columns: int, window: Window, scratch: Scratch) -> Array:
    """Return the patches (C kh kw + 1, h, OW, n) of the window positions in `rows` x `columns` of (n, H, W, C)."""
    (kh, kw), (down, across), (top, _, left, _) = window.kernel, window.stride, window.padding
    count, _, _, channels = images.shape
    height = rows.stop - rows.start
    cut = padded(
        images.transpose(3, 1, 2, 0),
        rows.start * down - top,
        (height - 1) * down + kh,
        -left,
        (columns - 1) * across + kw,
        scratch,
    )
    c, h, w, n = cut.strides
    source: Array = np.ndarray(
        (channels, kh, kw, height, columns, count), cut.dtype, cut, 0, (c, h, w, down * h, across * w, n)
    )
    patches = scratch("patches", (channels * kh * kw + 1, height, columns, count))
    np.copyto(patches[:-1].reshape(source.shape), source)
    patches[-1] = 1
    return patches
