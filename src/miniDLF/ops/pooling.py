"""Pooling and enlarging of images: each operation beside its derivative."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Array
from miniDLF.ops.arguments import floating
from miniDLF.ops.images import Sliding, channels_first, pair, places, window_on
from miniDLF.tensor.tensor import Tensor, apply

__all__ = ["average_pool", "global_average_pool", "global_max_pool", "max_pool", "up_sampling"]


class WindowSum(Sliding):
    """``y`` = the sum of every window of x (N, C, H, W);  each number gets dy of all windows it lies in."""

    def shape(self, x):
        return (*x[:2], *self.size(x))

    def evaluate(self, x, out=None):
        result = np.empty(self.shape(x.shape), x.dtype) if out is None else out
        result.fill(0)
        for _, _, rows, columns in places(self.window, result.shape[2:]):
            result += x[:, :, rows, columns]
        return result

    def derivative(self, dy, y, x):
        return apply(WindowSpread(self.window, x.shape[2:]), dy)

    def flops(self, x):
        return math.prod(self.shape(x)) * math.prod(self.window.kernel)


class WindowSpread(Sliding):
    """``dx`` of the sums of windows: dy (N, C, OH, OW) added to all that lies in its window."""

    image: tuple[int, int]

    def shape(self, dy):
        return (*dy[:2], *self.image)

    def evaluate(self, dy, out=None):
        result = np.empty(self.shape(dy.shape), dy.dtype) if out is None else out
        result.fill(0)
        for _, _, rows, columns in places(self.window, dy.shape[2:]):
            result[:, :, rows, columns] += dy
        return result

    def derivative(self, g, y, dy):
        return apply(WindowSum(self.window), g)

    def flops(self, dy):
        return math.prod(dy) * math.prod(self.window.kernel)


class MaxPool(Sliding):
    """``y`` = the largest of every window of x (N, C, H, W);  dy goes to the first of them, row by row."""

    def shape(self, x):
        return (*x[:2], *self.size(x))

    def evaluate(self, x, out=None):
        result = np.empty(self.shape(x.shape), x.dtype) if out is None else out
        result.fill(-np.inf)
        for _, _, rows, columns in places(self.window, result.shape[2:]):
            np.maximum(result, x[:, :, rows, columns], out=result)
        return result

    def derivative(self, dy, y, x):
        return apply(MaxPoolGradient(self.window), dy, x, y)

    def flops(self, x):
        return math.prod(self.shape(x)) * math.prod(self.window.kernel)


class MaxPoolGradient(Sliding):
    """``dx`` of the largest of windows: each dy is added where x is first equal to y, the largest of the window."""

    def shape(self, dy, x, y):
        return x

    def evaluate(self, dy, x, y, out=None):
        result = np.empty(x.shape, dy.dtype) if out is None else out
        result.fill(0)
        for wins, rows, columns in _winners(self.window, x, y):
            result[:, :, rows, columns] += dy * wins
        return result

    def derivative(self, g, dx, dy, x, y):
        return apply(MaxPoolChoice(self.window), g, x, y), None, None

    def flops(self, dy, x, y):
        return 2 * math.prod(dy) * math.prod(self.window.kernel)


class MaxPoolChoice(Sliding):
    """What `g` holds where x is first equal to y, the largest of the window: the derivative of `MaxPoolGradient`."""

    def shape(self, g, x, y):
        return y

    def evaluate(self, g, x, y, out=None):
        result = np.empty(y.shape, g.dtype) if out is None else out
        result.fill(0)
        for wins, rows, columns in _winners(self.window, x, y):
            result += g[:, :, rows, columns] * wins
        return result

    def derivative(self, dy, chosen, g, x, y):
        return apply(MaxPoolGradient(self.window), dy, x, y), None, None

    def flops(self, g, x, y):
        return 2 * math.prod(y) * math.prod(self.window.kernel)


def _winners(window: Window, x: Array, y: Array) -> Iterator[tuple[Array, slice, slice]]:
    """Yield, for every cell of the windows, where it is the first that holds the largest."""
    free = np.ones(y.shape, bool)
    for _, _, rows, columns in places(window, y.shape[2:]):
        wins = free & (x[:, :, rows, columns] == y)
        free ^= wins
        yield wins, rows, columns


def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Tensor:
    """Return the largest of every window of images (N, C, H, W): (N, C, OH, OW).

    Parameters
    ----------
    pool_size
        Size of the window, one number or (height, width).
    strides
        Step of the window; that of its size if nothing is given.
    padding
        ``"valid"`` leaves out what fills no whole window; ``"same"`` has ``ceil(size / stride)`` windows, and those at
        the border are smaller.
    data_format
        ``"channels_last"`` for images (N, H, W, C).
    """
    x, last = channels_first("max_pool", inputs, data_format)
    window = _pooling("max_pool", x, pool_size, strides, padding)
    top, bottom, left, right = window.padding
    if any(window.padding):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=-np.inf)
    y = apply(MaxPool(Window(window.kernel, window.stride)), x)
    return np.transpose(y, (0, 2, 3, 1)) if last else y


def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Tensor:
    """Return the mean of every window of images (N, C, H, W): (N, C, OH, OW); see `max_pool` for the arguments."""
    x, last = channels_first("average_pool", inputs, data_format)
    window = _pooling("average_pool", x, pool_size, strides, padding)
    plain, count = Window(window.kernel, window.stride), float(math.prod(window.kernel))
    if any(window.padding):
        top, bottom, left, right = window.padding
        widths = ((0, 0), (0, 0), (top, bottom), (left, right))
        counts = WindowSum(plain).evaluate(np.pad(np.ones((1, 1, *x.shape[2:]), x.dtype), widths))
        y = apply(WindowSum(plain), np.pad(x, widths)) * (1 / counts)
    else:
        y = apply(WindowSum(plain), x) * (1 / count)
    return np.transpose(y, (0, 2, 3, 1)) if last else y


def global_average_pool(inputs: Any) -> Tensor:
    """Return the mean of every image plane: (N, C, H, W) -> (N, C)."""
    return np.mean(floating(inputs), axis=(2, 3))


def global_max_pool(inputs: Any) -> Tensor:
    """Return the largest of every image plane: (N, C, H, W) -> (N, C)."""
    return np.max(floating(inputs), axis=(2, 3))


def up_sampling(inputs: Any, size: Any = 2) -> Tensor:
    """Return images (N, C, H, W) with every row and column repeated: `size` times, or (rows, columns) times."""
    down, across = pair("up_sampling: size", size)
    x = floating(inputs)
    if down > 1:
        x = np.repeat(x, down, axis=2)
    return np.repeat(x, across, axis=3) if across > 1 else x


def _pooling(name: str, x: Tensor, size: Any, strides: Any, padding: Any) -> Window:
    if not isinstance(padding, str):
        raise ArgumentError(f"{name}: padding is 'valid' or 'same', received {padding!r}.")
    kernel = pair(f"{name}: pool_size", size)
    return window_on(name, x, kernel, kernel if strides is None else strides, padding)
