"""Windows over images that add, average or choose the largest; and their adjoints, which also upsample.

Sums and maxima over a rectangle are taken first along one side, then along the other: ``kh + kw`` passes instead of
``kh kw``. Lines that lie under each other are long runs of memory, and NumPy combines them at full speed (13 numbers a
nanosecond). Pixels side by side are only as long as their channels (32 numbers: 3 a nanosecond); so every j-th pixel is
first moved to a line of its own, each pixel as one opaque item (11 a nanosecond), and lines are combined again.

In batch-last memory a pixel has the channels of all images, and is a long run itself: see `tiles`.

Images have the axes (N, H, W, C), channels last, or (1, H, W, C N) (see `windows`); results are C-contiguous.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from miniDLF.kernels.tiles import BLOCK, Pooling, Tiles, tiles, tiles_backward
from miniDLF.kernels.windows import Scratch, Window, blocks
from miniDLF.kernels.workspace import Array

__all__ = ["max_windows", "max_windows_backward", "spread_windows", "sum_windows"]


def sum_windows(x: Array, window: Window, scale: float, y: Array, scratch: Scratch) -> None:
    """Write ``scale`` times the sum over every window: x (N, H, W, C) -> y (N, OH, OW, C)."""
    (kh, kw), (down, across) = window.kernel, window.stride
    if tiles(x, y, window):
        Tiles(x, y, Pooling(window, False, scale), scratch).run()
        return
    for images, rows in _blocks(x, y, window):
        part = _lines(x, images, rows, window, scratch)
        height = rows.stop - rows.start
        lines = part[:, _every(0, down, height)]
        if kh > 1:
            total = scratch("lines", lines.shape)
            for i in range(1, kh):
                np.add(lines if i == 1 else total, part[:, _every(i, down, height)], out=total)
            lines = total
        out = y[images, rows]
        _add_pixels(lines, kw, across, out, scratch)
        if scale != 1:
            np.multiply(out, scale, out=out)


def spread_windows(dy: Array, window: Window, scale: float, dx: Array, scratch: Scratch) -> None:
    """Add ``scale * dy`` to every input of its window: the adjoint of `sum_windows`; dx outside of windows is zero."""
    (kh, kw), (down, across) = window.kernel, window.stride
    if tiles(dx, dy, window):
        tiles_backward(dx, dy, dy, Pooling(window, False, scale), dx, scratch)
        return
    _clear_rest(dx, dy, window)
    for images, rows in _blocks(dx, dy, window, backward=True):
        height = rows.stop - rows.start
        source = scratch("scaled", dy[images, rows].shape)
        np.multiply(dy[images, rows], scale, out=source)
        target = dx[images, rows.start * down : (rows.stop - 1) * down + kh]
        lines = source
        if kw > 1 or across > 1:
            lines = scratch("lines", (*source.shape[:2], *dx.shape[2:]))
            _clear_rest(lines, source, Window((1, kw), (1, across)))
            for j in range(kw):
                _put(source, lines[:, :, _every(j, across, dy.shape[2])], adds=across < kw)
        for i in range(kh):
            places = target[:, _every(i, down, height)]
            if down < kh:
                np.add(places, lines, out=places)
            else:
                np.copyto(places, lines)


def max_windows(x: Array, window: Window, y: Array, empty: Scratch, scratch: Scratch) -> Array:
    """Write the largest of every window: x (N, H, W, C) -> y (N, OH, OW, C).

    The largest within each line of a window is returned for backward, (N, H, OW, C), in memory that `empty` lends as
    "largest".
    """
    (kh, kw), (down, across) = window.kernel, window.stride
    largest = empty("largest", (*x.shape[:2], *y.shape[2:]))
    for images, rows in _blocks(x, y, window):
        part = _lines(x, images, rows, window, scratch)
        height = rows.stop - rows.start
        lines = largest[images, rows.start * down : (rows.stop - 1) * down + kh]
        for j in range(kw):
            pixels = part[:, :, _every(j, across, y.shape[2])]
            if j == 0:
                _put(pixels, lines)
                continue
            moved = scratch("moved", lines.shape)
            _put(pixels, moved)
            np.maximum(lines, moved, out=lines)
        out = y[images, rows]
        if kh == 1:
            np.copyto(out, lines[:, _every(0, down, height)])
        for i in range(1, kh):
            np.maximum(lines[:, _every(0, down, height)] if i == 1 else out, lines[:, _every(i, down, height)], out=out)
    return largest


def max_windows_backward(
    x: Array, y: Array, largest: Array, dy: Array, window: Window, dx: Array, scratch: Scratch
) -> None:
    """Give each gradient to the first of the largest inputs of its window, line by line (as PyTorch does)."""
    (kh, kw), (down, across) = window.kernel, window.stride
    _clear_rest(dx, dy, window)
    for images, rows in _blocks(dx, dy, window, backward=True):
        height = rows.stop - rows.start
        first, last = rows.start * down, (rows.stop - 1) * down + kh
        lines = largest[images, first:last]
        # Down: the gradient of each window to the first of its lines that holds the maximum ...
        gradient = scratch("line gradient", lines.shape)
        rest, spare = (scratch(name, dy[images, rows].shape) for name in ("rest", "spare"))
        np.copyto(rest, dy[images, rows])
        _clear_rest(gradient, rest, Window((kh, 1), (down, 1)))
        for i in range(kh):
            values = lines[:, _every(i, down, height)]
            taken = rest
            if i < kh - 1:
                _take(rest, values, y[images, rows], spare)
                rest, spare = spare, rest
            target = gradient[:, _every(i, down, height)]
            if down < kh:
                np.add(target, taken, out=target)
            else:
                np.copyto(target, taken)
        # ... and across: from there to the first of its pixels.
        part = _lines(x, images, rows, window, scratch)
        moved, spare = (scratch(name, lines.shape) for name in ("moved", "spare"))
        for j in range(kw):
            taken, places = gradient, _every(j, across, y.shape[2])
            if j < kw - 1:
                _put(part[:, :, places], moved)
                _take(gradient, moved, lines, spare)
                gradient, spare = spare, gradient
            _put(taken, dx[images, first:last, places], adds=across < kw or down < kh)


def _take(rest: Array, values: Array, largest: Array, kept: Array) -> None:
    """Split `rest`: where ``values == largest`` it stays in `rest`, elsewhere it goes to `kept`; the others are 0.

    ``values - largest`` is negative wherever the value is not the largest; its sign bit, smeared over the number, is
    the mask. Five passes over plain vectors; a boolean mask would be converted number by number.
    """
    integer = np.dtype(f"i{rest.itemsize}")
    np.subtract(values, largest, out=kept)
    np.add(kept, 0.0, out=kept)  # -0.0 becomes 0.0: both zeros are equal
    mask, bits = kept.view(integer), rest.view(integer)
    np.right_shift(mask, 8 * rest.itemsize - 1, out=mask)
    np.bitwise_and(mask, bits, out=mask)
    np.bitwise_xor(mask, bits, out=bits)


def _add_pixels(lines: Array, kw: int, across: int, out: Array, scratch: Scratch) -> None:
    """Add `kw` neighbouring pixels, every `across`: (n, h, W, C) -> (n, h, OW, C)."""
    for j in range(kw):
        pixels = lines[:, :, _every(j, across, out.shape[2])]
        if j == 0:
            _put(pixels, out)
            continue
        moved = scratch("moved", out.shape)
        _put(pixels, moved)
        np.add(out, moved, out=out)


def _put(source: Array, target: Array, *, adds: bool = False) -> None:
    """Copy (n, h, w, C) to the same shape, each pixel as one item; or add it."""
    if adds:
        np.add(target, source, out=target)
        return
    pixel = np.dtype((np.void, source.shape[3] * source.itemsize))
    target.view(pixel)[...] = source.view(pixel)


def _every(first: int, step: int, count: int) -> slice:
    """Select `count` places, `step` apart, from `first` on."""
    return slice(first, first + (count - 1) * step + 1, step)


def _lines(x: Array, images: slice, rows: slice, window: Window, scratch: Scratch) -> Array:
    """Return the lines of x (N, H, W, C) that the windows in `rows` cover, with the channels of a pixel together."""
    down = window.stride[0]
    part = x[images, rows.start * down : (rows.stop - 1) * down + window.kernel[0]]
    if part.strides[3] != part.itemsize or part.strides[2] != part.itemsize * part.shape[3]:
        copy = scratch("channels last", part.shape)
        np.copyto(copy, part)
        return copy
    return part


def _blocks(x: Array, y: Array, window: Window, *, backward: bool = False) -> Iterable[tuple[slice, slice]]:
    """Cut the work into some images, or some rows of one; backward only where windows do not share rows."""
    count, rows = y.shape[:2]
    line = x.shape[2] * x.shape[3] * window.stride[0]
    if backward and window.stride[0] < window.kernel[0]:
        step = max(1, BLOCK // (rows * line))
        return [(slice(n, min(n + step, count)), slice(0, rows)) for n in range(0, count, step)]
    return blocks(count, rows, line, BLOCK)


def _clear_rest(dx: Array, dy: Array, window: Window) -> None:
    """Put zeros where windows overlap, so that they can be added up, or leave cells uncovered."""
    (kh, kw), (down, across) = window.kernel, window.stride
    if (kh, kw) != (down, across) or dx.shape[1:3] != (dy.shape[1] * down, dy.shape[2] * across):
        dx.fill(0)
