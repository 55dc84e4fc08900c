"""Pooling of images that lie in one place, forward and backward, by the way that suits their order and the window."""

from __future__ import annotations

import numpy as np

from miniDLF.kernels.elementwise import leaky, leaky_backward
from miniDLF.kernels.pooling import lend_beats, max_windows, max_windows_backward, spread_windows, sum_windows
from miniDLF.kernels.tiles import Pooling, Tiles, tiles, tiles_backward
from miniDLF.kernels.windows import Scratch, from_lines, lines_like
from miniDLF.kernels.workspace import Array

__all__ = ["Pool"]


class Pool:
    """Pooling of x (N, C, H, W) to y (N, C, OH, OW); the views it works on are made once.

    Parameters
    ----------
    keeps
        Whether backward may come.
    empty
        Lends the memory of the results, "y" and "dx", and of what backward needs.
    """

    def __init__(self, x: Array, pooling: Pooling, keeps: bool, empty: Scratch, scratch: Scratch) -> None:
        self.x, self.pooling, self._empty, self._scratch = x, pooling, empty, scratch
        images = self._images = lines_like(x, x, scratch)
        count, height, width, channels = images.shape
        self._lines = empty("y", (count, *pooling.window.positions(height, width), channels))
        self.y = from_lines(self._lines, x)
        self._tiled = (
            Tiles(images, self._lines, pooling, scratch) if tiles(images, self._lines, pooling.window) else None
        )
        self._beats = None
        if pooling.largest and keeps and self._tiled is None:
            self._beats = lend_beats(images, self._lines, pooling.window, empty)

    def run(self) -> Array:
        """Pool what x holds now; return y."""
        images, (window, largest, scale, alpha) = self._images, self.pooling
        if self._tiled is not None:
            self._tiled.run()
        elif largest:
            max_windows(images, window, self._lines, self._scratch, self._beats)
        else:
            if alpha is not None:
                images = leaky(images, alpha, np.inf, self._empty("rectified", images.shape), self._scratch)
            sum_windows(images, window, scale, self._lines, self._scratch)
        return self.y

    def backward(self, dy: Array, *, overwrites: bool) -> Array:
        """Return the gradient with respect to x, from that with respect to y; perhaps in place of x."""
        images, scratch, (window, _, scale, alpha) = self._images, self._scratch, self.pooling
        gradient = lines_like(dy, self.x, scratch)
        dx = images if overwrites and self._tiled is not None else self._empty("dx", images.shape)
        if self._tiled is not None:
            tiles_backward(images, self._lines, gradient, self.pooling, dx, scratch)
        elif self._beats is not None:
            max_windows_backward(gradient, self._beats, window, dx, scratch)
        else:
            spread_windows(gradient, window, scale, dx, scratch)
            if alpha is not None:
                leaky_backward(dx, images, alpha, np.inf, scratch)
        return from_lines(dx, self.x)
