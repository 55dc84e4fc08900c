"""Two-dimensional convolution, forward and backward, by the method that suits its shape.

``y[n, f, i, j] = bias[f] + sum over c, a, b of weight[f, c, a, b] * x[n, c, i sy + a - py, j sx + b - px]``

(a cross-correlation, as in every framework). Arrays have the axes (N, C, H, W); results are transposed views, and lie
batch-last in memory, (H, W, C, N), or channels-last, (N, H, W, C): both give products and passes long contiguous lines
(see `arranged` and `batch_last`).
"""

from __future__ import annotations

import numpy as np

from miniDLF.kernels.batch_last import FEWEST_IMAGES, BatchLast, batch_last_weights, row_blocks
from miniDLF.kernels.blas import multiplies_in_place
from miniDLF.kernels.direct import DirectBackward, batch_last_moves, sum_batch_last
from miniDLF.kernels.enlarged import Enlarged
from miniDLF.kernels.few_filters import FewFilters
from miniDLF.kernels.im2col import Im2col, im2col_backward, im2col_weights
from miniDLF.kernels.methods import Lend, Matrices, Method
from miniDLF.kernels.pooling import spread_windows, sum_windows
from miniDLF.kernels.windows import Scratch, Window, as_one, carry_out, is_batch_last
from miniDLF.kernels.winograd import TILE, winograd, winograd_backward
from miniDLF.kernels.workspace import Array, Once, Shape

__all__ = ["Convolution", "arranged", "batched", "conv2d", "conv2d_backward"]

#: Batches of raw images with so many channels become batch-last; and where BLAS packs small matrices.
RAW_CHANNELS, RAW_CHANNELS_PACKED = 2, 4
#: How much more Winograd's tiles may cover than the output: 4x4 tiles over 5x5 outputs (2.56) lose to im2col (0.92 and
#: 0.86 ms for 32 images of 64 channels), over 3x3 (1.78) they win (0.29 and 0.33), over 6x6 too (0.92 and 1.23).
MOST_WASTE = 2.4


def arranged(x: Array, empty: Lend) -> Array:
    """Return x (N, C, H, W), or a copy, in the order of memory in which a `Convolution` works best.

    Images stay in the order in which they come, so that a network has one order throughout. Batches of raw images with
    one or two channels become batch-last: `im2col` spends more time on copying such patches than on the product. From
    three channels on the two are even (32 images 32x32, 3 -> 32, 3x3, forward and backward: 2.7 and 2.9 ms), and in the
    layers behind, where channels are many and images per shard often few, channels-last memory gives the longer
    products (64 -> 64 at 16x16 with Winograd's method: 8.5 ms, batch-last 9.1). Where BLAS packs, the longer lines of
    batch-last memory are worth more: a network 3-32-32-64-64-128 on 32x32 takes 9 % less with 32 images a thread, 17 %
    less with 128.
    """
    most = RAW_CHANNELS if multiplies_in_place() else RAW_CHANNELS_PACKED
    if len(x) < FEWEST_IMAGES or x.shape[1] > most or is_batch_last(x):
        return x
    images = x.transpose(2, 3, 1, 0)
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
    """Convolve x (N, C, H, W), `arranged` or not, with weight (F, C, kh, kw) and add bias (F,): (N, F, OH, OW)."""
    return Convolution(x, weight.shape, matrices.method, window, empty, scratch, factors).run(weight, bias, matrices)


class Convolution:
    """`conv2d` of images that lie in one place: what depends on the shapes alone is done once.

    For a single small image that is half of the time.

    Parameters
    ----------
    x
        (N, C, H, W), in any order of memory; see `arranged`.
    shape
        Of the weights, (F, C, kh, kw).
    method
        That of the matrices which `run` will be given.
    window
        On the image, enlarged by `factors`.
    empty
        Lends the memory of the result, "y".
    factors
        How often every row and every column of x is repeated first.

    Attributes
    ----------
    y : (N, F, OH, OW)
        The result of `run`.
    """

    def __init__(
        self,
        x: Array,
        shape: Shape,
        method: Method,
        window: Window,
        empty: Lend,
        scratch: Scratch,
        factors: tuple[int, int] = (1, 1),
    ) -> None:
        self.x = x
        self._with_dx, self._without_dx = Once(), Once()
        self._batched = batched(self.x)
        self._window, self._scratch, self._factors = window, scratch, factors
        count, _, height, width = x.shape
        size = window.positions(height * factors[0], width * factors[1])
        filters, depth = shape[0], shape[1] * shape[2] * shape[3]
        if self._batched:
            self._inputs, self._outputs = self.x.transpose(2, 3, 1, 0), empty("y", (*size, filters, count))
            self.y = self._outputs.transpose(3, 2, 0, 1)
        else:
            images = self.x if factors == (1, 1) else _enlarge(self.x, factors, scratch)
            self._inputs, self._outputs = images.transpose(0, 2, 3, 1), empty("y", (count, *size, filters))
            self.y = self._outputs.transpose(0, 3, 1, 2)
        self._tiled = method == "winograd" and not _wasteful(size)
        x, y, few = self._inputs, self._outputs, method == "few_filters"
        self._enlarged: Enlarged | None = None
        self._direct: BatchLast | FewFilters | Im2col | None = None
        if not self._batched and not self._tiled:
            self._direct = Im2col(x, y, window, depth, scratch)
        elif factors != (1, 1):
            self._enlarged = Enlarged(x, y, shape, factors, window, few, scratch)
        elif few:
            self._direct = FewFilters(x, y, window, filters * shape[2] * shape[3], scratch)
        elif not self._tiled:
            self._direct = BatchLast(x, [(rows, y[rows]) for rows in row_blocks(x, y.shape, window)], window, scratch)

    def run(self, weight: Array, bias: Array, matrices: Matrices) -> Array:
        """Convolve what x holds now with weight (F, C, kh, kw), ordered in `matrices`, and add bias (F,)."""
        x, y, window, scratch, factors = self._inputs, self._outputs, self._window, self._scratch, self._factors
        if factors != (1, 1) and not self._batched:  # to where the rest looks for it: scratch may lie elsewhere by now
            spread_windows(self.x.transpose(0, 2, 3, 1), Window(factors, factors), 1, x, scratch)
        if self._direct is not None:
            self._direct.run(self._matrix(weight, matrices), bias)
        elif self._enlarged is not None:
            self._enlarged.run(weight, bias)
        elif self._batched:
            winograd(as_one(x), matrices.forward, bias, as_one(y), window, scratch)
        else:
            winograd(x, matrices.forward, bias, y, window, scratch)
        return self.y

    def backward(
        self, dy: Array, weight: Array, matrices: Matrices, dweight: Array, dbias: Array, empty: Lend | None
    ) -> Array | None:
        """Write the gradients dweight (F, C, kh, kw) and dbias (F,); return dx unless `empty` is None (not needed)."""
        window, scratch, factors = self._window, self._scratch, self._factors
        if not _directly_back(self.x, matrices, empty):
            return conv2d_backward(self.x, dy, weight, matrices, window, dweight, dbias, empty, scratch, factors)
        once = self._without_dx if empty is None else self._with_dx
        back = once(dy, DirectBackward, self.x, weight.shape, window, empty, scratch, factors)
        dx: Array | None = back.run(weight, dweight, dbias)
        return dx

    def _matrix(self, weight: Array, matrices: Matrices) -> Array:
        """Return the weights in the order of a plain product, which is not there yet where tiles were expected."""
        if matrices.method != "winograd":
            return matrices.forward if self._batched else matrices.few
        filters, depth = len(weight), weight[0].size
        if self._batched:
            return batch_last_weights(weight, self._scratch("matrix", (filters, depth)))
        return im2col_weights(weight, self._scratch("matrix", (depth, filters)))


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
    if empty is None or matrices.backward is None or _directly_back(x, matrices, empty):
        return DirectBackward(dy, x, weight.shape, window, empty, scratch, factors).run(weight, dweight, dbias)
    inputs, (moves, outputs) = x.transpose(2, 3, 1, 0), batch_last_moves(dy, scratch)
    carry_out(moves)
    sum_batch_last(outputs, dbias, scratch)
    dx = empty("dx", inputs.shape)
    images, gradient, target = as_one(inputs), as_one(outputs), as_one(dx)
    winograd_backward(images, gradient, matrices.backward, dweight, target, window, scratch)
    return dx.transpose(3, 2, 0, 1)


def _directly_back(x: Array, matrices: Matrices, empty: Lend | None) -> bool:
    """Say whether backward goes by the direct method, in batch-last memory."""
    return batched(x) and (empty is None or matrices.backward is None or _wasteful(x.shape[2:]))


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


def _wasteful(size: Shape) -> bool:
    """Say whether Winograd's tiles would stick out of small images by more than they save."""
    height, width = size
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
