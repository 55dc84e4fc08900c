"""What data sets of small grey images have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.arrays import plain_array
from miniDLF.datasets.checking import whole_number
from miniDLF.datasets.dataset import Dataset
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError
from miniDLF.whole import is_whole

__all__ = ["ImageDataset", "check_image_shape", "contact_sheet", "scaled"]

Array = NDArray[Any]

#: By what bytes are multiplied; a power of two, so that every byte has its own exact number.
SCALE = 1 / 256


class ImageDataset(Dataset):
    """A data set of square grey images."""

    scale = SCALE

    def contact_sheet(self, rows: int = 10, columns: int = 10, *, split: str = "train") -> Array:
        """Return one picture of the first images of a split, class by class where there is a row for each.

        Parameters
        ----------
        rows, columns
            Images along each side. With as many rows as classes, each row shows one class.
        split
            'train', 'validation' or 'test'.
        """
        part = self.parts.get(split)
        if part is None:
            raise ArgumentError(f"contact_sheet: there is no split {split!r}; choose from {', '.join(self.parts)}.")
        labels = part.y if part.y.ndim == 1 else part.y.argmax(axis=-1)
        chosen: Array = np.arange(min(rows * columns, len(part)))
        if rows == self.n_classes:
            found = [np.flatnonzero(labels == label)[:columns] for label in range(rows)]
            if all(len(indices) == columns for indices in found):
                chosen = np.concatenate(found)
        return contact_sheet(part.x[chosen], columns)


def contact_sheet(images: Any, columns: int = 10) -> Array:
    """Put images side by side on one sheet, with a line between them.

    Parameters
    ----------
    images : (N, ...)
        Square grey images in any of the shapes a data set gives them.
    columns
        Images in a row.

    Returns
    -------
    sheet : (H, W)
        0 is paper, 1 is ink; ``matplotlib.pyplot.imshow(sheet, cmap='gray_r')`` shows it.
    """
    array = plain_array(images, "contact_sheet", DataError)
    columns = whole_number(columns, "columns", 1)
    side = math.isqrt(math.prod(array.shape[1:]))
    if array.ndim < 2 or side * side != math.prod(array.shape[1:]) or not len(array):
        raise ArgumentError(f"contact_sheet: expected square grey images (N, ...), received {array.shape}.")
    rows = -(-len(array) // columns)
    sheet = np.zeros((rows, columns, side + 1, side + 1), array.dtype)
    sheet.reshape(rows * columns, side + 1, side + 1)[: len(array), :-1, :-1] = array.reshape(-1, side, side)
    return sheet.transpose(0, 2, 1, 3).reshape(rows * (side + 1), columns * (side + 1))[:-1, :-1]


def check_image_shape(value: Any, size: int, where: str) -> tuple[int, ...]:
    """Return the shape an image of `size` pixels shall have, or say what is wrong with it."""
    if is_whole(value):
        value = (int(value),)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        raise ArgumentTypeError(
            f"{where}: input_shape must be a tuple such as (784,) or (1, 28, 28), received {value!r}."
        )
    shape = tuple(whole_number(length, f"{where}: input_shape", 1) for length in value)
    if math.prod(shape) != size:
        side = math.isqrt(size)
        square = f", or (1, {side}, {side}) for Conv2D" if side * side == size else ""
        raise ArgumentError(
            f"{where}: input_shape={shape} has room for {math.prod(shape)} pixels, an image has {size}; "
            f"use ({size},) for Dense{square}."
        )
    return shape


def scaled(images: Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return bytes (N, ...) as float32 in 0 <= x < 1, (N, *shape)."""
    result = np.multiply(images, np.float32(SCALE), dtype=np.float32)
    return result.reshape(len(images), *shape)
