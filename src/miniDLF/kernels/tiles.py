"""Windows that tile images, neither overlapping nor leaving cells out: their places are combined where they lie.

That is the fastest way where a pixel is a long run of memory, as in batch-last order (the channels of all images), or
where images are so small that the number of calls is what counts. Forward and backward of 64 images 28x28x16, 2x2:
maximum 0.7 ms, by lines (see `pooling`) 1.4; mean 0.35 and 0.6.

A leaky rectifier before the pooling can be applied on the way. On its own it writes and reads an array of the size of
the images; here a block is rectified and combined while it is in the cache, and backward takes the slopes from the
rectifier's input. The step of the specified CNN, where such a pair follows the first convolution, takes 6.5 ms for 256
images instead of 7.7.

Images have the axes (N, H, W, C), channels last, or (1, H, W, C N) (see `windows`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from miniDLF.kernels.elementwise import constant, tiny
from miniDLF.kernels.windows import Scratch, Window, blocks
from miniDLF.kernels.workspace import Array

__all__ = ["Pooling", "Tiles", "TilesBackward", "places", "tiles", "tiles_backward"]

#: Numbers of an input that are worked on at once: 1 MB, so that the passes find them in the cache. (A quarter of that
#: takes a third longer on 32 images 32x32x32: more calls.)
BLOCK = 256 << 10
#: The same with a rectifier on the way. A quarter would fit a cache of the second level, but see
#: `batch_last.BLOCK_BYTES`: the step of the specified CNN takes 8.3 ms with a quarter, 7.9 ms with this.
RECTIFIED_BLOCK = 512 << 10
#: Numbers of a pixel from which on it counts as a long run.
LONG = 256
#: Up to so many numbers of an input the number of calls is what counts.
SMALL = 16_384


def tiles(x: Array, y: Array, window: Window) -> bool:
    """Say whether windows cover x (N, H, W, C) without gap or overlap, and its pixels are long runs, or x is small."""
    (kh, kw), (_, height, width, _) = window.kernel, y.shape
    tiled = window.kernel == window.stride and x.shape[1:3] == (height * kh, width * kw)
    return tiled and x.strides[3] == x.itemsize and (x.shape[3] >= LONG or x.size <= SMALL)


def places(x: Array, window: Window) -> list[Array]:
    """Return for each place in a tiling window what lies there in all windows: views (N, OH, OW, C) of x."""
    kh, kw = window.kernel
    return [x[:, i::kh, j::kw] for i in range(kh) for j in range(kw)]


class Pooling(NamedTuple):
    """What becomes of every window: its largest value, or `scale` times its sum."""

    window: Window
    largest: bool
    scale: float = 1.0
    rectifies: float | None = None  # the slope below zero of a rectifier that comes first, if any


class Tiles:
    """Pooling from one place in memory to another; the views it works on are made once.

    Parameters
    ----------
    x, y
        Images (N, H, W, C), and where the result goes, (N, OH, OW, C).
    """

    def __init__(self, x: Array, y: Array, pooling: Pooling, scratch: Scratch) -> None:
        window, largest, self.scale, self.alpha = pooling
        self.combine = np.maximum if largest else np.add
        self.blocks: list[tuple[Array, Array, list[Array], Array]] = []
        height = window.kernel[0]
        limit = BLOCK if self.alpha is None else RECTIFIED_BLOCK
        for images, rows in blocks(len(y), y.shape[1], height * x.shape[2] * x.shape[3], limit):
            part = x[images, rows.start * height : rows.stop * height]
            source = part if self.alpha is None else scratch("rectified", part.shape)
            self.blocks.append((part, source, places(source, window), y[images, rows]))

    def run(self) -> None:
        """Write the largest value, or the scaled sum, of every window."""
        for part, source, members, out in self.blocks:
            if self.alpha is not None:
                rectify(part, self.alpha, source)
            first, *others = members
            if not others:
                np.copyto(out, first)
            for number, member in enumerate(others):
                self.combine(out if number else first, member, out=out)
            if self.scale != 1:
                np.multiply(out, self.scale, out=out)


def rectify(x: Array, alpha: float, out: Array) -> None:
    """Write ``max(x, alpha x)``."""
    if alpha:
        np.multiply(x, alpha, out=out)
        np.maximum(x, out, out=out)
    else:
        x.clip(constant(0.0, x.dtype), constant(np.inf, x.dtype), out)


def tiles_backward(x: Array, y: Array, dy: Array, pooling: Pooling, dx: Array, scratch: Scratch) -> None:
    """Write the gradient with respect to x to dx (N, H, W, C), which may be x itself, from dy (N, OH, OW, C).

    Parameters
    ----------
    x, y
        What `Tiles` had and gave.
    """
    TilesBackward(x, y, dy, pooling, dx, scratch).run()


class TilesBackward:
    """`tiles_backward` between places in memory; the views it works on are made once."""

    def __init__(self, x: Array, y: Array, dy: Array, pooling: Pooling, dx: Array, scratch: Scratch) -> None:
        self.pooling, self.scratch, self.small = pooling, scratch, tiny(x.dtype)
        window, height = pooling.window, pooling.window.kernel[0]
        limit = BLOCK if pooling.rectifies is None else RECTIFIED_BLOCK
        self.blocks: list[Any] = []
        for images, rows in blocks(len(dy), dy.shape[1], height * x.shape[2] * x.shape[3], limit):
            lines = slice(rows.start * height, rows.stop * height)
            part, target = x[images, lines], dx[images, lines]
            members = list(zip(places(part, window), places(target, window), strict=True))
            self.blocks.append((part, y[images, rows], dy[images, rows], target, members))

    def run(self) -> None:
        """Write dx."""
        largest, scale, alpha = self.pooling[1:]
        for x, y, dy, dx, members in self.blocks:
            if largest:
                self._to_the_largest(y, dy, members)
                continue
            if alpha is not None:  # the slope, 1 where x > 0 and alpha elsewhere (see `elementwise.leaky_backward`)
                x.clip(alpha * self.small, self.small, out=dx)
                np.multiply(dx, scale / self.small, out=dx)
            for _, target in members:
                np.multiply(dy, scale if alpha is None else target, out=target)

    def _to_the_largest(self, y: Array, dy: Array, members: list[tuple[Array, Array]]) -> None:
        """Offer the gradient of each window to one place after another: the first that has the maximum takes it.

        Booleans are a quarter of the numbers' bytes; only the product with the gradient converts them (one place of
        200 000 windows: comparison 23 us, what is still free 10, product 49; with masks of whole
        numbers 110).
        """
        takes, free = (self.scratch(name, dy.shape, np.bool_) for name in ("takes", "free"))
        free.fill(True)
        *others, last = members
        for values, target in others:
            np.equal(values, y, out=takes)
            np.logical_and(takes, free, out=takes)
            np.logical_xor(free, takes, out=free)
            np.multiply(dy, takes, out=target)
        np.multiply(dy, free, out=last[1])
