"""What users pass as arrays, made plain: subclasses that compute otherwise, masks, numbers beyond the model's type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from miniDLF.errors import DataError

__all__ = ["ROWS", "plain_array", "refuse_beyond"]

#: Elements that are looked at in one go, so that an array larger than memory is never held whole.
ROWS = 1 << 20


def plain_array(value: Any, what: str) -> NDArray[Any]:
    """Return `value` as an array of NumPy's own class; nothing is copied that is an array already.

    A subclass such as ``np.matrix``, whose product is another one, becomes a plain view. A memory-mapped array stays
    one: it computes as any other, and whoever reads it should know that it lies on the disk.

    Parameters
    ----------
    value
        An array, or anything that ``np.asarray`` takes.
    what
        How messages call it: ``"y"``, ``"sample_weight"``.

    Raises
    ------
    DataError
        If it is a masked array, or a list of masked arrays: what lies under a mask is no data, and would be taken for
        some.
    ValueError
        If rows of different lengths form no array (NumPy's own error).
    """
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise DataError(
            f"{what}: received a masked array, and what lies under the mask would be taken for data. Leave the masked "
            "samples out, or give them a value and a weight of 0: y.filled(0) with sample_weight=~y.mask."
        )
    if type(value) is np.ndarray or isinstance(value, np.memmap):
        return value
    return np.asarray(value)


def refuse_beyond(array: NDArray[Any], dtype: DTypeLike, what: str) -> None:
    """Refuse finite numbers that `dtype`, the type in which the model computes, cannot hold; read block by block.

    Raises
    ------
    DataError
        Naming the sample, the number and the type.
    """
    narrow = np.finfo(np.dtype(dtype))
    if array.dtype.kind != "f" or not array.size or np.finfo(array.dtype).max <= narrow.max:
        return
    rows = max(1, ROWS * len(array) // array.size)
    for start in range(0, len(array), rows):
        block = np.abs(array[start : start + rows])
        beyond = (block > narrow.max) & np.isfinite(block)
        if beyond.any():
            place = tuple(np.argwhere(beyond)[0])
            number = array[start + place[0]][place[1:]]
            raise DataError(
                f"{what}: sample {start + int(place[0])} holds {number:g}, and {narrow.dtype} "
                f"ends at {narrow.max:.2g}. Scale the numbers, or make the model with dtype='float64'."
            )
