"""Convolution of images, and what slides windows over them: each operation beside its derivative."""

from __future__ import annotations

import math
from collections.abc import Iterator
from operator import index
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.ops.arguments import floating
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.tensor import Tensor, apply

__all__ = ["conv", "conv2d"]


def places(window: Window, size: tuple[int, int]) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield, for every cell (a, b) of the window, which rows and columns of the padded image lie under it."""
    (kh, kw), (down, across), (height, width) = window.kernel, window.stride, size
    for a in range(kh):
        for b in range(kw):
            rows, columns = slice(a, a + (height - 1) * down + 1, down), slice(b, b + (width - 1) * across + 1, across)
            yield a, b, rows, columns


class Sliding(Primitive):
    """What slides a window over images (N, C, H, W)."""

    window: Window

    def size(self, x: Shape) -> tuple[int, int]:
        """Return how many windows there are down and across images of the shape `x`."""
        return self.window.positions(x[2], x[3])

    def padded(self, x: Array) -> Array:
        """Return the images with zeros around them."""
        top, bottom, left, right = self.window.padding
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))

    def cropped(self, x: Array, shape: Shape, out: Array | None) -> Array:
        """Return padded images without what is around them."""
        top, _, left, _ = self.window.padding
        inner = x[:, :, top : top + shape[2], left : left + shape[3]]
        if out is None:
            return np.ascontiguousarray(inner)
        np.copyto(out, inner)
        return out


class Convolution(Sliding):
    """``y[n, f, i, j] = sum over c, a, b of w[f, c, a, b] x[n, c, i sy + a - top, j sx + b - left]``.

    x (N, C, H, W), w (F, C, kh, kw);  both gradients are convolutions again.
    """

    def shape(self, x, w):
        return (x[0], w[0], *self.size(x))

    def evaluate(self, x, w, out=None):
        result = np.empty(self.shape(x.shape, w.shape), x.dtype) if out is None else out
        result.fill(0)
        padded = self.padded(x)
        for a, b, rows, columns in places(self.window, result.shape[2:]):
            result += np.einsum("nchw,fc->nfhw", padded[:, :, rows, columns], w[:, :, a, b], optimize=True)
        return result

    def derivative(self, dy, y, x, w):
        return (
            lambda: apply(ConvolutionInputGradient(self.window, x.shape[2:]), dy, w),
            lambda: apply(ConvolutionKernelGradient(self.window), x, dy),
        )

    def flops(self, x, w):
        return 2 * math.prod(self.shape(x, w)) * math.prod(w[1:])


class ConvolutionInputGradient(Sliding):
    """``dx`` of a convolution, from dy (N, F, OH, OW) and w (F, C, kh, kw), for images of `image` rows and columns."""

    image: tuple[int, int]

    def shape(self, dy, w):
        return (dy[0], w[1], *self.image)

    def evaluate(self, dy, w, out=None):
        shape = self.shape(dy.shape, w.shape)
        top, bottom, left, right = self.window.padding
        padded = np.zeros((*shape[:2], shape[2] + top + bottom, shape[3] + left + right), dy.dtype)
        for a, b, rows, columns in places(self.window, dy.shape[2:]):
            padded[:, :, rows, columns] += np.einsum("nfhw,fc->nchw", dy, w[:, :, a, b], optimize=True)
        return self.cropped(padded, shape, out)

    def derivative(self, g, y, dy, w):
        return (
            lambda: apply(Convolution(self.window), g, w),
            lambda: apply(ConvolutionKernelGradient(self.window), g, dy),
        )

    def flops(self, dy, w):
        return 2 * math.prod(dy) * math.prod(w[1:])


class ConvolutionKernelGradient(Sliding):
    """``dw`` of a convolution, from x (N, C, H, W) and dy (N, F, OH, OW)."""

    def shape(self, x, dy):
        return (dy[1], x[1], *self.window.kernel)

    def evaluate(self, x, dy, out=None):
        result = np.empty(self.shape(x.shape, dy.shape), x.dtype) if out is None else out
        padded = self.padded(x)
        for a, b, rows, columns in places(self.window, dy.shape[2:]):
            result[:, :, a, b] = np.einsum("nfhw,nchw->fc", dy, padded[:, :, rows, columns], optimize=True)
        return result

    def derivative(self, g, y, x, dy):
        return (
            lambda: apply(ConvolutionInputGradient(self.window, x.shape[2:]), dy, g),
            lambda: apply(Convolution(self.window), x, g),
        )

    def flops(self, x, dy):
        return 2 * math.prod(dy) * x[1] * math.prod(self.window.kernel)


def conv2d(inputs: Any, kernel: Any, strides: Any = 1, padding: Any = 0) -> Tensor:
    """Return the convolution of images (N, C, H, W) with kernels (F, C, kh, kw): (N, F, OH, OW).

    Parameters
    ----------
    strides
        Step of the window, one number or (down, right).
    padding
        Rows and columns of zeros on each side, one number or (rows, columns); ``"valid"`` is 0, and ``"same"`` pads so
        that the output has ``ceil(size / stride)`` rows and columns.

    Raises
    ------
    ShapeError
        If the window is larger than the padded images, or the channels differ.
    """
    x, w = floating(inputs, kernel)
    if x.ndim != 4 or w.ndim != 4 or x.shape[1] != w.shape[1]:
        raise ShapeError(
            f"conv2d: images are (N, C, H, W) and kernels (F, C, kh, kw) with one C; received {x.shape} and {w.shape}."
        )
    window = window_on("conv2d", x, w.shape[2:], strides, padding)
    return apply(Convolution(window), x, w)


def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: Any = "valid", data_format: Any = None, dilation_rate: Any = 1
) -> Tensor:
    """Return the convolution of images with a kernel (kh, kw, C, F), as Keras lays it out; see `conv2d`.

    Images are (N, C, H, W), as everywhere here, or (N, H, W, C) with ``data_format="channels_last"``.
    """
    if dilation_rate not in (1, (1, 1), [1, 1]):
        raise ArgumentError(f"conv: dilation_rate is 1, received {dilation_rate!r}.")
    x, last = channels_first("conv", inputs, data_format)
    y = conv2d(x, np.transpose(floating(kernel), (3, 2, 0, 1)), strides, padding)
    return np.transpose(y, (0, 2, 3, 1)) if last else y


def channels_first(name: str, inputs: Any, data_format: Any) -> tuple[Tensor, bool]:
    """Return images as (N, C, H, W), and whether they came with their channels last."""
    x = floating(inputs)
    if x.ndim != 4:
        raise ShapeError(f"{name}: expected images (N, C, H, W), received the shape {x.shape}.")
    if data_format not in (None, "channels_first", "channels_last"):
        raise ArgumentError(f"{name}: data_format is 'channels_first' or 'channels_last', received {data_format!r}.")
    last = data_format == "channels_last"
    return (np.transpose(x, (0, 3, 1, 2)) if last else x), last


def window_on(name: str, x: Tensor, kernel: tuple[int, int], strides: Any, padding: Any) -> Window:
    """Return the window with its padding on the images x."""
    stride, (height, width) = pair(f"{name}: strides", strides), x.shape[2:]
    if not isinstance(padding, str):
        rows, columns = pair(f"{name}: padding", padding, least=0)
        sides = (rows, rows, columns, columns)
    elif padding == "valid":
        sides = (0, 0, 0, 0)
    elif padding == "same":
        sides = (*_same(height, kernel[0], stride[0]), *_same(width, kernel[1], stride[1]))
    else:
        raise ArgumentError(f"{name}: padding is a number, a pair of them, 'valid' or 'same'; received {padding!r}.")
    window = Window(tuple(kernel), stride, sides)
    if min(window.positions(height, width)) < 1:
        raise ShapeError(
            f"{name}: a window of {kernel[0]} x {kernel[1]} is larger than the padded images of "
            f"{height + sides[0] + sides[1]} x {width + sides[2] + sides[3]}."
        )
    return window


def _same(length: int, reach: int, step: int) -> tuple[int, int]:
    total = max((-(-length // step) - 1) * step + reach - length, 0)
    return total // 2, total - total // 2


def pair(where: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Return a whole number, or two of them, as two."""
    items = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    try:
        first, second = map(index, items)
    except TypeError:
        raise ArgumentTypeError(f"{where} is a whole number or a pair of them, received {value!r}.") from None
    if min(first, second) < least:
        raise ArgumentError(f"{where} is at least {least}, received {value!r}.")
    return first, second
