"""Layers that shrink and enlarge images: pooling and upsampling."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ShapeError, nearest
from miniDLF.kernels.pool import Pool
from miniDLF.kernels.pooling import spread_windows, sum_windows
from miniDLF.kernels.tiles import Pooling
from miniDLF.kernels.windows import Window, from_lines, lines_like
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.layers.convolution import channels_first, image_shape, pair, warn_of_channels_last

__all__ = ["GlobalAveragePooling2D", "Pooling2D", "UpSampling2D"]


class Pooling2D(Layer):
    """Largest value or mean of every window: (N, C, H, W) -> (N, C, OH, OW), ``OH = (H - height) // stride + 1``.

    Windows may overlap; rows and columns that fill no whole window are left out, and their gradient is zero. The
    gradient of a maximum goes to the first of the largest values, row by row.

    Parameters
    ----------
    size
        Size of the window, one number or (height, width).
    stride
        Step of the window, one number or (down, right).
    mode
        ``"max"`` or ``"avg"``.

    Raises
    ------
    ArgumentError
        If a number is not positive, or `mode` is unknown.
    ShapeError
        If the input is no image, or the window does not fit.
    """

    size: Any = 2
    stride: Any = 2
    mode: str = "max"

    label: ClassVar = "Pooling"
    captures = True
    chooses = absorbs_rectifier = False  # until the arguments are known
    pools = None  # type: Any
    aliases: ClassVar = {"pool_size": "size", "strides": "stride"}

    def __post_init__(self) -> None:
        self._window = window = Window(pair(self.size, "Pooling2D: size"), pair(self.stride, "Pooling2D: stride"))
        self.chooses, self.absorbs_rectifier = self.mode == "max", self.mode == "avg"
        self.pools = Pooling(window, self.chooses, 1.0 if self.chooses else 1 / math.prod(window.kernel))
        if self.mode not in ("max", "avg"):
            hint = nearest(self.mode, ("max", "avg")) if isinstance(self.mode, str) else ""
            hint = " Did you mean 'avg'?" if self.mode in ("mean", "average") else hint
            raise ArgumentError(f"Pooling2D: mode is 'max' or 'avg', received {self.mode!r}.{hint}")

    def build(self, input_shape: Shape) -> Shape:
        channels, height, width = image_shape(self, input_shape)
        output = self._window.positions(height, width)
        if min(output) < 1:
            kh, kw = self._window.kernel
            raise ShapeError(
                f"{self.described} has a window of {kh} x {kw}, larger than its input of {height} x {width} "
                f"(input_shape {tuple(input_shape)}). Use a smaller size, or fewer layers that shrink the image "
                f"before it.{channels_first(input_shape)}"
            )
        warn_of_channels_last(self)
        return (channels, *output)

    def joins(self, input_shape: Shape) -> bool:
        (kh, kw), (_, height, width) = self._window.kernel, input_shape
        return self._window.kernel == self._window.stride and height % kh == width % kw == 0  # the windows tile it

    def call(self, x: Any) -> Any:  # x (N, C, H, W)
        pool = ops.max_pool if self.mode == "max" else ops.average_pool
        return pool(x, self._window.kernel, self._window.stride)

    def forward(self, x: Array, call: Call) -> Array:  # x (N, C, H, W)
        call.pool = call.once(x, self._pool)
        y: Array = call.pool.run()
        return y  # (N, C, OH, OW)

    def backward(self, dy: Array, call: Call) -> Array | None:  # dy (N, C, OH, OW)
        if not call.needs_dx:
            return None
        dx: Array = call.pool.backward(dy, overwrites=call.overwrites)
        return dx

    def _pool(self, x: Array, call: Call) -> Pool:
        return Pool(x, self.pools._replace(rectifies=call.rectifies), call.keeps, call.empty, call.scratch)

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return int(np.prod(output_shape)) * self._window.kernel[0] * self._window.kernel[1]


class UpSampling2D(Layer):
    """Repeat every row and column: (N, C, H, W) -> (N, C, H size[0], W size[1]).

    The gradient is the sum over the cells that repeat one.

    Parameters
    ----------
    size
        How often, one number or (rows, columns).
    """

    size: Any = 2

    label: ClassVar = "UpSampling"
    captures = True
    enlarges = None  # until `size` is known

    def __post_init__(self) -> None:
        size = pair(self.size, "UpSampling2D: size")
        self._window = Window(size, size)
        self.enlarges = size

    def build(self, input_shape: Shape) -> Shape:
        channels, height, width = image_shape(self, input_shape)
        down, across = self._window.kernel
        return (channels, height * down, width * across)

    def call(self, x: Any) -> Any:  # x (N, C, H, W)
        return ops.up_sampling(x, self._window.kernel)

    def forward(self, x: Array, call: Call) -> Array:  # x (N, C, H, W)
        images, (down, across) = lines_like(x, x, call.scratch), self._window.kernel
        count, height, width, channels = images.shape
        call.x = x
        y = call.empty("y", (count, height * down, width * across, channels))
        spread_windows(images, self._window, 1, y, call.scratch)
        return from_lines(y, x)

    def backward(self, dy: Array, call: Call) -> Array | None:  # dy (N, C, H down, W across)
        if not call.needs_dx:
            return None
        gradient, (down, across) = lines_like(dy, call.x, call.scratch), self._window.kernel
        count, height, width, channels = gradient.shape
        dx = call.empty("dx", (count, height // down, width // across, channels))
        sum_windows(gradient, self._window, 1, dx, call.scratch)
        return from_lines(dx, call.x)


class GlobalAveragePooling2D(Layer):
    """Mean over every image plane: (N, C, H, W) -> (N, C) (Lin et al. 2014, section 3.2)."""

    label: ClassVar = "Pooling"
    captures = True

    def build(self, input_shape: Shape) -> Shape:
        return image_shape(self, input_shape)[:1]

    def call(self, x: Any) -> Any:  # x (N, C, H, W)
        return np.mean(x, axis=(2, 3))

    def forward(self, x: Array, call: Call) -> Array:  # x (N, C, H, W)
        call.x = x
        y = np.add.reduce(x, axis=(2, 3), out=call.empty("y", x.shape[:2]))
        return np.divide(y, x.shape[2] * x.shape[3], out=y)

    def backward(self, dy: Array, call: Call) -> Array | None:  # dy (N, C)
        if not call.needs_dx:
            return None
        dx = call.empty_like("dx", call.x)
        np.divide(dy[:, :, None, None], dx.shape[2] * dx.shape[3], out=dx)
        return dx
