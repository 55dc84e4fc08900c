"""Sliding windows over images: their geometry, zero padding, and blocks of work that fit the cache.

Inside the kernels images have the axes (N, H, W, C), channels last. Layers hand over views of their (N, C, H, W)
arrays, so any order of memory is welcome. Memory in batch-last order, (H, W, C, N), as convolutions of batches leave
it, is seen as one image (1, H, W, C N): for all that treats channels alike the two are the same, but the lines are N
times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from miniDLF.kernels.workspace import Array

__all__ = [
    "Moves",
    "Padding",
    "Scratch",
    "Window",
    "as_one",
    "blocks",
    "carry_out",
    "from_lines",
    "inside",
    "is_batch_last",
    "lines_like",
    "padded",
    "padding_moves",
]

#: Lends memory until the kernel returns: ``scratch(name, shape)``, or with a third argument in another type.
Scratch = Callable[..., Array]
#: Copies that put numbers in place: pairs of where to and where from, views that can be made once and used every time.
Moves = list[tuple[Array, Any]]
#: Rows above, rows below, columns to the left, columns to the right.
Padding = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """A window of `kernel` = (height, width) that moves by `stride` = (down, right) over a padded image.

    A padding may be negative: then the image is cropped.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)

    def positions(self, height: int, width: int) -> tuple[int, int]:
        """Return how many windows fit down and across an image; what is left over at the end is dropped."""
        top, bottom, left, right = self.padding
        return (
            (height + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (width + left + right - self.kernel[1]) // self.stride[1] + 1,
        )

    def mirrored(self) -> Window:
        """Return the window that carries gradients back where the stride is 1.

        ``dx[q] = sum_k w[k] dy[q + p - k]``: a correlation of dy, padded by ``kernel - 1 - padding``, with the
        kernel turned by half a circle.
        """
        (kh, kw), (top, bottom, left, right) = self.kernel, self.padding
        return Window(self.kernel, (1, 1), (kh - 1 - top, kh - 1 - bottom, kw - 1 - left, kw - 1 - right))


def is_batch_last(x: Array) -> bool:
    """Say whether x (N, C, H, W) lies in memory as (H, W, C, N)."""
    return bool(x.transpose(2, 3, 1, 0).flags.c_contiguous)


def lines_like(x: Array, model: Array, scratch: Scratch) -> Array:
    """View x (N, C, H, W) as (N, H, W, C); as (1, H, W, C N) if `model` (N, C, ..) is batch-last, if need be a copy."""
    if not is_batch_last(model):
        return x.transpose(0, 2, 3, 1)
    lines = x.transpose(2, 3, 1, 0)
    if not lines.flags.c_contiguous:
        copy = scratch("batch last", lines.shape)
        copy[...] = lines
        lines = copy
    return as_one(lines)


def as_one(images: Array) -> Array:
    """View (H, W, C, N) as one image of C N channels, (1, H, W, C N)."""
    return images.reshape(1, *images.shape[:2], -1)


def from_lines(lines: Array, model: Array) -> Array:
    """View a result in the form of `lines_like` as (N, C, OH, OW)."""
    if not is_batch_last(model):
        return lines.transpose(0, 3, 1, 2)
    count, channels = model.shape[:2]
    return lines.reshape(*lines.shape[1:3], channels, count).transpose(3, 2, 0, 1)


def padded(images: Array, top: int, rows: int, left: int, columns: int, scratch: Scratch, *, axis: int = 1) -> Array:
    """Return a C-contiguous cut-out of `images` that starts at (top, left), zero where it leaves them.

    Rows and columns are the axes `axis` and ``axis + 1``. Where the cut-out lies contiguous in `images` it is a view.
    """
    moves, out = padding_moves(images, top, rows, left, columns, scratch, axis=axis)
    carry_out(moves)
    return out


def padding_moves(
    images: Array, top: int, rows: int, left: int, columns: int, scratch: Scratch, name: str = "padded", axis: int = 1
) -> tuple[Moves, Array]:
    """Return the copies that make the cut-out of `padded`, and the cut-out, in memory lent as `name`.

    The zeros come first, and the copy of what lies in the images last.
    """
    height, width = images.shape[axis : axis + 2]
    lead = (slice(None),) * axis
    if top >= 0 and top + rows <= height and left == 0 and columns == width:
        inside = images[(*lead, slice(top, top + rows))]
        if inside.flags.c_contiguous:
            return [], inside
    out = scratch(name, (*images.shape[:axis], rows, columns, *images.shape[axis + 2 :]))
    first, last = min(max(-top, 0), rows), max(min(height - top, rows), 0)
    start, stop = min(max(-left, 0), columns), max(min(width - left, columns), 0)
    if first >= last or start >= stop:
        return [(out, 0)], out
    moves: Moves = []
    if first:
        moves.append((out[(*lead, slice(first))], 0))
    if last < rows:
        moves.append((out[(*lead, slice(last, None))], 0))
    if start:
        moves.append((out[(*lead, slice(first, last), slice(start))], 0))
    if stop < columns:
        moves.append((out[(*lead, slice(first, last), slice(stop, None))], 0))
    source = (*lead, slice(top + first, top + last), slice(left + start, left + stop))
    moves.append((out[(*lead, slice(first, last), slice(start, stop))], images[source]))
    return moves, out


def carry_out(moves: Moves) -> None:
    """Do the copies."""
    for target, source in moves:
        target[...] = source


def blocks(count: int, rows: int, size: int, limit: int) -> Iterator[tuple[slice, slice]]:
    """Cut `count` images of `rows` rows, each row of `size` units, into blocks of about `limit` units.

    A block is several whole images, or some rows of one; the second slice of each pair selects the rows.
    """
    if rows * size >= limit:
        step = max(1, round(rows / -(-rows * size // limit)))
        for n in range(count):
            for first in range(0, rows, step):
                yield slice(n, n + 1), slice(first, min(first + step, rows))
        return
    step = limit // (rows * size)
    for n in range(0, count, step):
        yield slice(n, min(n + step, count)), slice(0, rows)


def inside(places: slice, offset: int, stride: int, length: int) -> tuple[slice, slice]:
    """Return which of the window positions `places` have their input ``position * stride + offset`` in the image.

    The first slice selects among the places, the second the inputs.
    """
    first = max(places.start, -(offset // stride))
    last = min(places.stop, (length - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    inputs = slice(first * stride + offset, (last - 1) * stride + offset + 1, stride)
    return slice(first - places.start, last - places.start), inputs
