"""Two-dimensional convolution, forward and backward, by the method that suits its shape.

``y[n, f, i, j] = bias[f] + sum over c, a, b of weight[f, c, a, b] * x[n, c, i sy + a - py, j sx + b - px]``

(a cross-correlation, as in every framework). Arrays have the axes (N, C, H, W); results are transposed views, and lie
batch-last in memory, (H, W, C, N), or channels-last, (N, H, W, C): both give products and passes long contiguous lines
(see `arranged` and `batch_last`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np

from miniDLF.kernels.batch_last import FEWEST_IMAGES, batch_last, batch_last_backward, batch_last_weights
from miniDLF.kernels.enlarged import enlarged, enlarged_backward
from miniDLF.kernels.few_filters import few_filters, few_filters_weights
from miniDLF.kernels.im2col import im2col, im2col_backward, im2col_weights
from miniDLF.kernels.pooling import spread_windows, sum_windows
from miniDLF.kernels.windows import Scratch, Window, is_batch_last
from miniDLF.kernels.winograd import (
    TILE,
    winograd,
    winograd_backward,
    winograd_weights,
    winograd_weights_mirrored,
)
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["Matrices", "Method", "arranged", "choose_method", "conv2d", "conv2d_backward", "prepare_weights"]

#: Up to so many filters `few_filters` is faster than `batch_last`.
FEW_FILTERS = 4
#: Batches of raw images with so many channels become batch-last.
RAW_CHANNELS = 2
#: How much more Winograd's tiles may cover than the output: 4x4 tiles over 5x5 outputs (2.56) lose to im2col (0.92 and
#: 0.86 ms for 32 images of 64 channels), over 3x3 (1.78) they win (0.29 and 0.33), over 6x6 too (0.92 and 1.23).
MOST_WASTE = 2.4

Method = Literal["winograd", "few_filters", "direct"]


class Lend(Protocol):
    """Lends memory that stays: ``empty(name, shape)``."""

    def __call__(self, name: str, shape: Shape) -> Array: ...


class Matrices(NamedTuple):
    """The weights in the order that a method multiplies with; made once a step.

    `forward` serves batches in batch-last memory, `few` smaller ones in channels-last memory. (Winograd's serves both.)
    """

    method: Method
    forward: Array
    few: Array
    backward: Array | None


def choose_method(kernel: tuple[int, int], stride: tuple[int, int], channels: int, filters: int) -> Method:
    """Return the fastest method, a function of the shapes alone.

    Winograd's transforms are products with blocks of (6, channels), too small for BLAS below 16 channels: forward and
    backward of 64 images 28x28, 16 -> 16: 5.2 ms, im2col 5.9; 14x14, 16 -> 8: 1.34 and 0.87; 32 images 32 -> 32 at
    32x32: 5.7 and 10.5; 64 -> 128 at 8x8: 1.6 and 4.5.
    """
    if kernel == (3, 3) and stride == (1, 1) and min(channels, filters) >= 16:
        return "winograd"
    return "few_filters" if filters <= FEW_FILTERS and stride == (1, 1) and kernel != (1, 1) else "direct"


def prepare_weights(method: Method, weight: Array, training: bool, empty: Lend) -> Matrices:
    """Order the weights (F, C, kh, kw) as `method` needs them; those for backward only in training."""
    filters, channels, kh, kw = weight.shape
    if method == "winograd":
        forward = winograd_weights(weight, empty("forward", (36, channels, filters)), empty)
        if not training:
            return Matrices(method, forward, forward, None)
        backward = empty("backward", (36, filters, channels))
        return Matrices(method, forward, forward, winograd_weights_mirrored(weight, backward, empty))
    few = im2col_weights(weight, empty("few", (kh * kw * channels, filters)))
    if method == "few_filters":
        return Matrices(method, few_filters_weights(weight, empty("forward", (kh * kw * filters, channels))), few, None)
    return Matrices(method, batch_last_weights(weight, empty("forward", (filters, kw * kh * channels))), few, None)


def arranged(x: Array, empty: Lend) -> Array:
    """Return x (N, C, H, W), or a copy, in the order of memory in which `conv2d` works.

    Images stay in the order in which they come, so that a network has one order throughout. Batches of raw images with
    one or two channels become batch-last: `im2col` spends more time on copying such patches than on the product. From
    three channels on the two are even (32 images 32x32, 3 -> 32, 3x3, forward and backward: 2.7 and 2.9 ms), and in the
    layers behind, where channels are many and images per shard often few, channels-last memory gives the longer
    products (64 -> 64 at 16x16 with Winograd's method: 8.5 ms, batch-last 9.1).
    """
    if batched(x):
        return x
    images = x.transpose(2, 3, 1, 0)
    if len(x) < FEWEST_IMAGES or x.shape[1] > RAW_CHANNELS:
        return x
    copy = empty("batch last", images.shape)
    np.copyto(copy, images)
    return copy.transpose(3, 2, 0, 1)


def batched(x: Array) -> bool:
    """Say whether `conv2d` works on x (N, C, H, W) in batch-last order."""
    return len(x) >= FEWEST_IMAGES and is_batch_last(x)


def conv2d(
    x: Array,
    weight: Array,
    bias: Array,
    matrices: Matrices,
    window: Window,
    empty: Lend,
    scratch: Scratch,
    factors: tuple[int, int] = (1, 1),
) -> Array:
    """Convolve x (N, C, H, W), which `arranged` has ordered, with weight (F, C, kh, kw) and add bias (F,).

    Parameters
    ----------
    matrices
        Of the same weights, from `prepare_weights`.
    empty
        Lends the memory of the result, "y".
    factors
        How often every row and every column of x is repeated first; `window` is on the enlarged image.
    """
    if factors != (1, 1) and not batched(x):
        x = _enlarge(x, factors, scratch)
        factors = (1, 1)
    count, _, height, width = x.shape
    height, width = height * factors[0], width * factors[1]
    size = window.positions(height, width)
    filters = len(weight)
    fast = matrices.method == "winograd" and not _wasteful(size)
    if not batched(x):
        inputs, y = x.transpose(0, 2, 3, 1), empty("y", (count, *size, filters))
        if fast:
            winograd(inputs, matrices.forward, bias, y, window, scratch)
        else:
            matrix = matrices.few
            if matrices.method == "winograd":
                matrix = im2col_weights(weight, scratch("matrix", (weight[0].size, filters)))
            im2col(inputs, matrix, bias, y, window, scratch)
        return y.transpose(0, 3, 1, 2)
    inputs, y = x.transpose(2, 3, 1, 0), empty("y", (*size, filters, count))
    if factors != (1, 1):
        enlarged(inputs, weight, bias, y, factors, window, matrices.method == "few_filters", scratch)
    elif fast:
        winograd(_as_one(inputs), matrices.forward, bias, _as_one(y), window, scratch)
    elif matrices.method == "few_filters":
        few_filters(inputs, matrices.forward, bias, y, window, scratch)
    else:
        matrix = matrices.forward
        if matrices.method == "winograd":
            matrix = batch_last_weights(weight, scratch("matrix", (filters, weight[0].size)))
        batch_last(inputs, matrix, bias, y, window, scratch)
    return y.transpose(3, 2, 0, 1)


def conv2d_backward(
    x: Array,
    dy: Array,
    weight: Array,
    matrices: Matrices,
    window: Window,
    dweight: Array,
    dbias: Array,
    empty: Lend | None,
    scratch: Scratch,
    factors: tuple[int, int] = (1, 1),
) -> Array | None:
    """Write the gradients of `conv2d`, dweight (F, C, kh, kw) and dbias (F,), and return dx (N, C, H, W).

    Parameters
    ----------
    x
        As forward had it.
    dy
        (N, F, OH, OW), in any order of memory.
    empty
        Lends the memory of the result, "dx"; ``None`` where dx is not needed.
    """
    if factors != (1, 1) and not batched(x):
        large = _enlarge(x, factors, scratch)
        dx = conv2d_backward(large, dy, weight, matrices, window, dweight, dbias, empty and scratch, scratch)
        if dx is None or empty is None:
            return None
        small = empty("dx", (len(x), *x.shape[2:], x.shape[1]))
        sum_windows(dx.transpose(0, 2, 3, 1), Window(factors, factors), 1, small, scratch)
        return small.transpose(0, 3, 1, 2)
    if not batched(x):
        return _backward_channels_last(x, dy, weight, matrices, window, dweight, dbias, empty, scratch)
    count, channels, height, width = x.shape
    inputs, outputs = x.transpose(2, 3, 1, 0), dy.transpose(2, 3, 1, 0)
    if not outputs.flags.c_contiguous:
        outputs = scratch("batch last", outputs.shape)
        np.copyto(outputs, dy.transpose(2, 3, 1, 0))
    _sum_batch_last(outputs, dbias, scratch)
    dx = None if empty is None else empty("dx", (height, width, channels, count))
    if factors != (1, 1):
        enlarged_backward(inputs, outputs, weight, dweight, dx, factors, window, scratch)
    elif dx is None or matrices.backward is None or _wasteful((height, width)):
        batch_last_backward(inputs, outputs, weight, dweight, dx, window, scratch)
    else:
        images, gradient, target = _as_one(inputs), _as_one(outputs), _as_one(dx)
        winograd_backward(images, gradient, matrices.backward, dweight, target, window, scratch)
    return None if dx is None else dx.transpose(3, 2, 0, 1)


def _backward_channels_last(
    x: Array,
    dy: Array,
    weight: Array,
    matrices: Matrices,
    window: Window,
    dweight: Array,
    dbias: Array,
    empty: Lend | None,
    scratch: Scratch,
) -> Array | None:
    count, channels, height, width = x.shape
    inputs, outputs = x.transpose(0, 2, 3, 1), dy.transpose(0, 2, 3, 1)
    _sum_channels(outputs, dbias)
    dx = None if empty is None else empty("dx", (count, height, width, channels))
    if dx is None or matrices.backward is None or _wasteful((height, width)):
        im2col_backward(inputs, outputs, weight, dweight, dx, window, scratch)
    else:
        winograd_backward(inputs, outputs, matrices.backward, dweight, dx, window, scratch)
    return None if dx is None else dx.transpose(0, 3, 1, 2)


def _enlarge(x: Array, factors: tuple[int, int], scratch: Scratch) -> Array:
    """Repeat every row and column of x (N, C, H, W); the result is channels-last in memory."""
    count, channels, height, width = x.shape
    large = scratch("enlarged", (count, height * factors[0], width * factors[1], channels))
    spread_windows(x.transpose(0, 2, 3, 1), Window(factors, factors), 1, large, scratch)
    return large.transpose(0, 3, 1, 2)


def _as_one(images: Array) -> Array:
    """View (H, W, C, N) as one image of C N channels, (1, H, W, C N)."""
    return images.reshape(1, *images.shape[:2], -1)


def _wasteful(size: tuple[int, int]) -> bool:
    """Say whether Winograd's tiles would stick out of small images by more than they save."""
    height, width = size
    covered = -(-height // TILE) * -(-width // TILE) * TILE * TILE
    return covered > MOST_WASTE * height * width


def _sum_batch_last(images: Array, out: Array, scratch: Scratch) -> None:
    """Sum (H, W, F, N) over everything but the channels: first long lines, then those of the channels."""
    lines = np.add.reduce(images, axis=(0, 1), out=scratch("channel lines", images.shape[2:]))
    np.add.reduce(lines, axis=1, out=out)


def _sum_channels(images: Array, out: Array) -> None:
    """Sum (N, H, W, F) over everything but the channels.

    Long lines are added first: adding (R, 32) row by row costs NumPy as much for a row of 32 as for one of 100.
    """
    if not images.flags.c_contiguous:
        np.sum(images, axis=(0, 1, 2), out=out)
        return
    count, height, width, channels = images.shape
    lines = images.reshape(count * height if width * channels >= 512 else count, -1)
    np.sum(lines.sum(axis=0).reshape(-1, channels), axis=0, out=out)
