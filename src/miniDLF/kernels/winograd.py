"""Winograd's minimal filtering F(4x4, 3x3): 3x3 convolutions of stride 1 with a quarter of the multiplications.

Lavin & Gray, "Fast algorithms for convolutional neural networks", 2015 (arXiv:1509.09308). A tile of 4x4 outputs is

    y = A^T [(G w G^T) * (B^T d B)] A,        d: its 6x6 inputs, w: the 3x3 kernel, *: element by element,

and over channels and filters the element-wise product becomes 36 matrix products, one for each of the 6x6
"frequencies". The transforms are matrix products too: a 6x6 matrix times rows of many numbers runs at 100 Gflop/s
through BLAS (about 9 numbers a nanosecond on the machine of the benchmarks), where the 17 additions and
multiplications of the hand-written transform, each a pass through the cache, take two to three times as long.

Time of one thread forward / forward and backward, in ms, N = 32, float32, next to PyTorch 2.13 (channels-last):
32 -> 32 at 32x32: 2.1 / 5.5 (2.3 / 7.7); 64 -> 64 at 16x16: 1.25 / 3.6 (2.2 / 7.4); 64 -> 128 at 8x8: 0.54 / 1.6
(1.1 / 3.5). PyTorch runs at the peak of the processor there; fewer multiplications are the only way past it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from miniDLF.kernels.windows import Scratch, Window, blocks, carry_out, padded, padding_moves
from miniDLF.kernels.workspace import Array, constant_array, strided

__all__ = ["TILE", "winograd", "winograd_backward", "winograd_weights", "winograd_weights_mirrored"]

TILE = 4  # outputs of a tile, down and across
FIELD = TILE + 2  # inputs of a tile
FREQUENCIES = FIELD * FIELD

#: Where the polynomials are evaluated. The usual (0, 1, -1, 2, -2) lose 1.8e-6 of the output's standard deviation in
#: float32 (mean square; 64 channels), these 0.8e-6, a direct sum 0.2e-6: powers of 2 and 1/2 amplify rounding.
POINTS = (0.0, 0.625, -0.625, 1.375, -1.375)

#: Bytes of both transformed blocks (of inputs and outputs) that are worked on at once. Best of 0.2 to 8 MB on all
#: shapes measured: small blocks make short products, large ones leave the cache.
BLOCK_BYTES = 2 << 20
#: Kernels that are transformed at once.
KERNELS = 1024
#: With fewer tiles the products would be too flat to run at full speed.
FEWEST_TILES = 64


class Transforms(NamedTuple):
    """The matrices of the algorithm in one data type."""

    inputs: Array  # B^T (6, 6)
    outputs: Array  # A^T (4, 6)
    biased: Array  # (4, 7): A^T and a column of ones, for a bias that rides along as a seventh row
    tiles: Array  # A (6, 4)
    kernels: Array  # G kron G (36, 9): a whole 3x3 kernel to its 36 frequencies
    mirrored: Array  # the same for the kernel turned by half a circle


@functools.lru_cache(maxsize=4)
def transforms(dtype: str) -> Transforms:
    """Return the matrices, derived from `POINTS` by Toom and Cook's method (the last row is the point at infinity)."""
    points = np.array(POINTS)
    outputs, kernel, inputs = np.zeros((TILE, FIELD)), np.zeros((FIELD, 3)), np.zeros((FIELD, FIELD))
    for row, point in enumerate(points):
        others = np.delete(points, row)
        outputs[:, row] = point ** np.arange(TILE)
        kernel[row] = point ** np.arange(3) / np.prod(point - others)
        inputs[row, : FIELD - 1] = np.poly(others)[::-1]
    outputs[-1, -1] = kernel[-1, -1] = 1
    inputs[-1] = np.poly(points)[::-1]
    both = np.kron(kernel, kernel)
    matrices = (inputs, outputs, np.hstack([outputs, np.ones((TILE, 1))]), outputs.T, both, both[:, ::-1])
    return Transforms(*(constant_array(np.ascontiguousarray(matrix, dtype)) for matrix in matrices))


def winograd_weights(weight: Array, out: Array, scratch: Scratch) -> Array:
    """Transform kernels (F, C, 3, 3) for forward: `out` (36, C, F)."""
    filters, channels = weight.shape[:2]
    kernels = scratch("kernels", (9, channels, filters))
    np.copyto(kernels, weight.reshape(filters, channels, 9).transpose(2, 1, 0))
    return _transform_kernels(transforms(weight.dtype.str).kernels, kernels, out)


def winograd_weights_mirrored(weight: Array, out: Array, scratch: Scratch) -> Array:
    """Transform kernels (F, C, 3, 3), turned by half a circle, for backward: `out` (36, F, C)."""
    filters, channels = weight.shape[:2]
    kernels = scratch("kernels", (9, filters, channels))
    np.copyto(kernels, weight.reshape(filters, channels, 9).transpose(2, 0, 1))
    return _transform_kernels(transforms(weight.dtype.str).mirrored, kernels, out)


def _transform_kernels(matrix: Array, kernels: Array, out: Array) -> Array:
    """Multiply (36, 9) with kernels (9, a, b) in pieces that need no packing: 64 x 128 kernels 30 us, whole 124 us."""
    kernels, target = kernels.reshape(9, -1), out.reshape(FREQUENCIES, -1)
    pieces = kernels.shape[1] // KERNELS
    whole = pieces * KERNELS
    if pieces:
        parts = kernels[:, :whole].reshape(9, pieces, KERNELS).transpose(1, 0, 2)
        np.matmul(matrix, parts, out=target[:, :whole].reshape(FREQUENCIES, pieces, KERNELS).transpose(1, 0, 2))
    if whole < kernels.shape[1]:
        np.matmul(matrix, kernels[:, whole:], out=target[:, whole:])
    return out


def winograd(x: Array, weights: Array, bias: Array | None, y: Array, window: Window, scratch: Scratch) -> None:
    """Convolve: x (N, H, W, C), weights (36, C, F), bias (F,), y (N, OH, OW, F) C-contiguous.

    Images that lie batch-last, (H, W, C, N), come as one image of C N channels: x (1, H, W, C N), y (1, OH, OW, F N).
    The transforms are the same for both, only with longer lines; the products are then (F, C) @ (C, N) for each tile.
    """
    lines = x.shape[3] // weights.shape[1]
    if bias is not None and lines > 1:
        repeated = scratch("bias lines", (len(bias), lines))
        np.copyto(repeated, bias[:, np.newaxis])
        bias = repeated.reshape(-1)
    last = None
    for images, rows, columns in _blocks(x, y):
        size = images.stop - images.start, rows, columns
        frequencies = _transform_inputs(x[images], rows, columns, window, scratch, size != last)  # (36, P, C)
        products = scratch("products", (*frequencies.shape[:2], y.shape[3]))
        _multiply(frequencies, weights, lines, products)  # (36, P, C) @ (36, C, F) -> (36, P, F)
        _transform_outputs(products, bias, y[images], rows, columns, scratch)
        last = size


def winograd_backward(
    x: Array, dy: Array, weights: Array, dweight: Array, dx: Array, window: Window, scratch: Scratch
) -> None:
    """Fill dweight (F, C, 3, 3) and dx (N, H, W, C), C-contiguous, from dy (N, OH, OW, F); or batch-last, as forward.

    dx is the convolution of dy with the mirrored kernels: weights (36, F, C). The tiles of dy that it needs serve the
    gradient of the kernels as well: ``<x, dx(w)>`` is linear in w, so its gradient is, frequency by frequency,
    ``(B^T dy B)^T (A x A^T)``, and x need not be transformed as an input again.
    """
    filters, channels = weights.shape[1:]
    lines = x.shape[3] // channels
    back = window.mirrored()
    total = scratch("weight frequencies", (FREQUENCIES, filters, channels))
    part = scratch("weight part", total.shape)
    target = total
    last = None
    for images, rows, columns in _blocks(dy, dx):
        size = images.stop - images.start, rows, columns
        frequencies = _transform_inputs(dy[images], rows, columns, back, scratch, size != last)  # (36, P, F)
        products = scratch("products", (*frequencies.shape[:2], dx.shape[3]))
        _multiply(frequencies, weights, lines, products)  # (36, P, F) @ (36, F, C) -> (36, P, C)
        _transform_outputs(products, None, dx[images], rows, columns, scratch)
        tiles = _transform_tiles(x[images], rows, columns, scratch)  # (36, P, C)
        _gradient(frequencies, tiles, lines, target, scratch)  # (36, F, P) @ (36, P, C) -> (36, F, C)
        if target is part:
            np.add(total, part, out=total)
        target, last = part, size
    kernels = transforms(x.dtype.str).mirrored
    np.matmul(total.reshape(FREQUENCIES, -1).T, kernels, out=dweight.reshape(-1, 9))  # (F C, 36) @ (36, 9)


def _multiply(frequencies: Array, weights: Array, lines: int, out: Array) -> None:
    """Multiply each frequency (P, C) with its weights (C, F); batch-last (P, C, N): weights^T (F, C) @ (C, N)."""
    if lines == 1:
        np.matmul(frequencies, weights, out=out)
        return
    _, inner, outer = weights.shape
    tiles = frequencies.reshape(FREQUENCIES, -1, inner, lines)
    np.matmul(weights.transpose(0, 2, 1)[:, np.newaxis], tiles, out=out.reshape(FREQUENCIES, -1, outer, lines))


def _gradient(frequencies: Array, tiles: Array, lines: int, out: Array, scratch: Scratch) -> None:
    """Multiply frequencies^T (F, P) with tiles (P, C); batch-last a sum over the tiles of (F, N) @ (N, C)."""
    if lines == 1:
        np.matmul(frequencies.transpose(0, 2, 1), tiles, out=out)
        return
    _, filters, channels = out.shape
    outputs = frequencies.reshape(FREQUENCIES, -1, filters, lines)
    inputs = tiles.reshape(FREQUENCIES, -1, channels, lines)
    parts = scratch("tile gradients", (*outputs.shape[:2], filters, channels))
    np.matmul(outputs, inputs.transpose(0, 1, 3, 2), out=parts)
    np.add.reduce(parts, axis=1, out=out)


def _blocks(inputs: Array, outputs: Array) -> Iterator[tuple[slice, slice, slice]]:
    """Cut the work into blocks of tiles: some images, or some rows of tiles of one, or some tiles of one row."""
    count, height, width = len(outputs), -(-outputs.shape[1] // TILE), -(-outputs.shape[2] // TILE)
    tile = FREQUENCIES * (inputs.shape[3] + outputs.shape[3]) * outputs.itemsize
    most = max(FEWEST_TILES if len(outputs) > 1 else 1, BLOCK_BYTES // tile)
    step = width if most >= width else -(-width // -(-width // most))
    for images, rows in blocks(count, height, step, most):
        for first in range(0, width, step):
            yield images, rows, slice(first, min(first + step, width))


def _transform_inputs(
    images: Array, rows: slice, columns: slice, window: Window, scratch: Scratch, borders: bool
) -> Array:
    """Return ``B^T d B`` of the tiles of `images` (n, H, W, C) in `rows` x `columns`: (36, P, C).

    Without `borders` those zeros around the images are in place from the block before.
    """
    matrix = transforms(images.dtype.str).inputs
    count, channels, height, width = len(images), images.shape[-1], rows.stop - rows.start, columns.stop - columns.start
    top, _, left, _ = window.padding
    first = TILE * columns.start - left
    moves, cut = padding_moves(
        images, TILE * rows.start - top, TILE * height + 2, first, TILE * width + 2, scratch, "padded inputs"
    )
    carry_out(moves if borders else moves[-1:])
    line = cut.shape[2] * channels
    item = cut.itemsize
    # Down: neighbouring tiles share two of their six rows, so the windows overlap in memory.
    over, down = cut.strides[:2]
    fields = strided(cut, (count, height, FIELD, line), (over, TILE * down, down, item))
    half = scratch("half", fields.shape)
    np.matmul(matrix, fields, out=half)  # (6, 6) @ (6, columns C)
    # Across: the same on (6, C) blocks; BLAS writes each row where its frequency lies.
    over, down, row = half.strides[:3]
    strides = (over, down, row, TILE * channels * item, channels * item, item)
    fields = strided(half, (count, height, FIELD, width, FIELD, channels), strides)
    out = scratch("frequencies", (FIELD, FIELD, count, height, width, channels))
    np.matmul(matrix, fields, out=out.transpose(2, 3, 0, 4, 1, 5))  # (6, 6) @ (6, C)
    return out.reshape(FREQUENCIES, -1, channels)


def _transform_outputs(
    products: Array, bias: Array | None, out: Array, rows: slice, columns: slice, scratch: Scratch
) -> None:
    """Write ``A^T m A + bias`` of products (36, P, F) to the rows of `out` (n, OH, OW, F) that these tiles cover."""
    matrices = transforms(products.dtype.str)
    out = out[:, :, TILE * columns.start : TILE * columns.stop]
    count, length, across, filters = out.shape
    height, width = rows.stop - rows.start, columns.stop - columns.start
    parts = FIELD if bias is None else FIELD + 1
    half = scratch("half", (count, height, parts, width * TILE, filters))
    tiles = products.reshape(FIELD, FIELD, count, height, width, filters).transpose(2, 3, 0, 4, 1, 5)
    target = half[:, :, :FIELD].reshape(count, height, FIELD, width, TILE, filters)
    np.matmul(matrices.outputs, tiles, out=target)  # (4, 6) @ (6, F)
    if bias is not None:
        half[:, :, FIELD] = bias
    matrix = matrices.outputs if bias is None else matrices.biased
    lines = half.reshape(count, height, parts, -1)[..., : across * filters]  # columns beyond the image are left out
    first = TILE * rows.start
    whole = min(height, (length - first) // TILE)
    if whole:
        target = out[:, first : first + TILE * whole].reshape(count, whole, TILE, -1)
        np.matmul(matrix, lines[:, :whole], out=target)  # (4, 6) @ (6, columns F)
    if whole < height:  # the last tile sticks out below
        target = out[:, first + TILE * whole :].reshape(count, -1, across * filters)
        np.matmul(matrix[: target.shape[1]], lines[:, whole], out=target)


def _transform_tiles(images: Array, rows: slice, columns: slice, scratch: Scratch) -> Array:
    """Return ``A x A^T`` of the 4x4 tiles of `images` (n, H, W, C) in `rows` x `columns`: (36, P, C)."""
    matrix = transforms(images.dtype.str).tiles
    count, channels, height, width = len(images), images.shape[-1], rows.stop - rows.start, columns.stop - columns.start
    cut = padded(images, TILE * rows.start, TILE * height, TILE * columns.start, TILE * width, scratch)
    half = scratch("half", (count, height, FIELD, TILE * width * channels))
    np.matmul(matrix, cut.reshape(count, height, TILE, -1), out=half)  # (6, 4) @ (4, columns C)
    out = scratch("tile frequencies", (FIELD, FIELD, count, height, width, channels))
    fields = half.reshape(count, height, FIELD, width, TILE, channels)
    np.matmul(matrix, fields, out=out.transpose(2, 3, 0, 4, 1, 5))  # (6, 4) @ (4, C)
    return out.reshape(FREQUENCIES, -1, channels)
