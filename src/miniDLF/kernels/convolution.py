"""Two-dimensional convolution, forward and backward, by the method that suits its shape.

``y[n, f, i, j] = bias[f] + sum over c, a, b of weight[f, c, a, b] * x[n, c, i sy + a - py, j sx + b - px]``

(a cross-correlation, as in every framework). Arrays have the axes (N, C, H, W); results are channels-last in memory, a
transposed view, because both the products and the patches then read and write long contiguous lines.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np

from miniDLF.kernels.batch_last import FEWEST_IMAGES, batch_last, batch_last_backward, batch_last_weights
from miniDLF.kernels.few_filters import few_filters, few_filters_weights
from miniDLF.kernels.im2col import FEW_CHANNELS, im2col, im2col_backward, im2col_weights
from miniDLF.kernels.windows import Scratch, Window
from miniDLF.kernels.winograd import TILE, winograd, winograd_backward, winograd_weights, winograd_weights_mirrored
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["Matrices", "Method", "choose_method", "conv2d", "conv2d_backward", "prepare_weights"]

#: Up to so many filters `few_filters` is faster than `im2col`.
FEW_FILTERS = 4
#: How much more Winograd's tiles may cover than the output: 4x4 tiles over 5x5 outputs (2.56) lose to im2col (0.92 and
#: 0.86 ms for 32 images of 64 channels), over 3x3 (1.78) they win (0.29 and 0.33), over 6x6 too (0.92 and 1.23).
MOST_WASTE = 2.4

Method = Literal["winograd", "batch_last", "few_filters", "im2col"]


class Lend(Protocol):
    """Lends memory that stays: ``empty(name, shape)``."""

    def __call__(self, name: str, shape: Shape) -> Array: ...


class Matrices(NamedTuple):
    """The weights in the order that a method multiplies with; made once a step."""

    method: Method
    forward: Array
    backward: Array | None


def choose_method(kernel: tuple[int, int], stride: tuple[int, int], channels: int, filters: int) -> Method:
    """Return the fastest method, a function of the shapes alone.

    Winograd's transforms are products with blocks of (6, channels), too small for BLAS below 16 channels: forward and
    backward of 64 images 28x28, 16 -> 16: 5.2 ms, im2col 5.9; 14x14, 16 -> 8: 1.34 and 0.87; 32 images 32 -> 32 at
    32x32: 5.7 and 10.5; 64 -> 128 at 8x8: 1.6 and 4.5.
    """
    if kernel == (3, 3) and stride == (1, 1) and min(channels, filters) >= 16:
        return "winograd"
    if channels <= FEW_CHANNELS:
        return "batch_last"
    return "few_filters" if filters <= FEW_FILTERS and stride == (1, 1) and kernel != (1, 1) else "im2col"


def prepare_weights(method: Method, weight: Array, bias: Array, training: bool, empty: Lend) -> Matrices:
    """Order the weights (F, C, kh, kw) as `method` needs them; those for backward only in training."""
    filters, channels, kh, kw = weight.shape
    if method == "winograd":
        forward = winograd_weights(weight, empty("forward", (36, channels, filters)), empty)
        if not training:
            return Matrices(method, forward, None)
        backward = empty("backward", (36, filters, channels))
        return Matrices(method, forward, winograd_weights_mirrored(weight, backward, empty))
    if method == "batch_last":
        forward = empty("forward", (channels * kh * kw + 1, filters))
        return Matrices(method, batch_last_weights(weight, bias, forward), None)
    if method == "few_filters":
        return Matrices(method, few_filters_weights(weight, empty("forward", (kh * kw * filters, channels))), None)
    return Matrices(method, im2col_weights(weight, empty("forward", (kh * kw * channels, filters))), None)


def conv2d(
    x: Array, weight: Array, bias: Array, matrices: Matrices, window: Window, y: Array, scratch: Scratch
) -> Array:
    """Convolve x (N, C, H, W) with weight (F, C, kh, kw) and add bias (F,).

    Parameters
    ----------
    matrices
        Of the same weights, from `prepare_weights`.
    y
        The result as (N, OH, OW, F), C-contiguous; its (N, F, OH, OW) view is returned.
    """
    inputs = x.transpose(0, 2, 3, 1)
    method, forward, _ = matrices
    if method == "winograd" and not _wasteful(y):
        winograd(inputs, forward, bias, y, window, scratch)
    elif method == "batch_last" and len(x) >= FEWEST_IMAGES:
        batch_last(inputs, forward, y, window, scratch)
    elif method == "few_filters":
        few_filters(inputs, forward, bias, y, window, scratch)
    else:
        if method == "winograd":
            forward = im2col_weights(weight, scratch("matrix", (weight[0].size, len(weight))))
        elif method == "batch_last":
            forward = forward[:-1]  # without the bias
        im2col(inputs, forward, bias, y, window, scratch)
    return y.transpose(0, 3, 1, 2)


def conv2d_backward(
    x: Array,
    dy: Array,
    weight: Array,
    matrices: Matrices,
    window: Window,
    dweight: Array,
    dbias: Array,
    dx: Array | None,
    scratch: Scratch,
) -> Array | None:
    """Write the gradients of `conv2d`: dweight (F, C, kh, kw), dbias (F,), and dx unless it is None.

    Parameters
    ----------
    dy
        (N, F, OH, OW), in either order of memory.
    dx
        The result as (N, H, W, C), C-contiguous; its (N, C, H, W) view is returned.
    """
    inputs, outputs = x.transpose(0, 2, 3, 1), dy.transpose(0, 2, 3, 1)
    if matrices.method == "batch_last" and dx is None and len(x) >= FEWEST_IMAGES:
        batch_last_backward(inputs, outputs, dweight, dbias, window, scratch)
        return None
    _sum_channels(outputs, dbias)
    if matrices.backward is not None and dx is not None and not _wasteful(dx):
        winograd_backward(inputs, outputs, matrices.backward, dweight, dx, window, scratch)
    else:
        im2col_backward(inputs, outputs, weight, dweight, dx, window, scratch)
    return None if dx is None else dx.transpose(0, 3, 1, 2)


def _wasteful(outputs: Array) -> bool:
    """Say whether Winograd's tiles would stick out of small images (N, H, W, F) by more than they save."""
    _, height, width, _ = outputs.shape
    covered = -(-height // TILE) * -(-width // TILE) * TILE * TILE
    return covered > MOST_WASTE * height * width


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
