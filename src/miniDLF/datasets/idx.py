"""The IDX format of the MNIST files: a magic number, the lengths of the axes, and the numbers, all big-endian.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits" (the page's section on formats).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.files import HIGHEST_RATIO, LimitedReader, opened
from miniDLF.errors import FileFormatError

__all__ = ["read_idx"]

#: What the third byte says about the numbers.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: The most bytes of numbers: ten times as many images as MNIST has come to 550 MB.
LARGEST = 1 << 30


def read_idx(path: Path, axes: int | None = None) -> NDArray[Any]:
    """Return the array in an IDX file, compressed by gzip or not.

    Type, number of axes and size are checked before memory is taken.

    Parameters
    ----------
    axes
        How many the array must have: 3 for images, 1 for labels.

    Raises
    ------
    FileFormatError
        If the file is missing, of another format, cut short or too long.
    """
    with opened(path, LARGEST + 64) as stream:
        kind, count = _read_magic(stream, path)
        if axes is not None and count != axes:
            names = {1: "labels", 3: "images"}
            raise FileFormatError(
                f"{path}: holds an array of {count} axes ({names.get(count, 'neither labels nor images')}); "
                f"{axes} were expected ({names.get(axes, 'other data')}). Are the files' names mixed up?"
            )
        header = stream.read(4 * count)
        if len(header) < 4 * count:
            raise FileFormatError(f"{path}: is cut short: it ends within the header.")
        shape = tuple(int(length) for length in np.frombuffer(header, ">u4"))
        extent = math.prod(max(length, 1) for length in shape) * kind.itemsize  # NumPy counts it for no numbers, too
        if extent > LARGEST:
            raise FileFormatError(f"{path}: says it holds {shape} numbers, {extent:,} bytes; no more than "
                                  f"{LARGEST:,} are read.")  # fmt: skip
        size = math.prod(shape) * kind.itemsize
        stored = path.stat().st_size
        if size > stored * HIGHEST_RATIO:
            raise FileFormatError(f"{path}: says it holds {shape} numbers, but has only {stored:,} bytes.")
        array = np.empty(shape, kind)
        found = stream.readinto(array.reshape(-1).view(np.uint8).data)
        if found < size:
            raise FileFormatError(
                f"{path}: is cut short: {size:,} bytes of numbers were expected, {found:,} are there."
            )
        if stream.read(1):
            raise FileFormatError(f"{path}: is longer than its header says ({size:,} bytes of numbers).")
    return array.astype(kind.newbyteorder("="), copy=False)


def _read_magic(stream: LimitedReader, path: Path) -> tuple[np.dtype[Any], int]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise FileFormatError(f"{path}: is cut short: it has {len(magic)} bytes.")
    if magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= 4:
        raise FileFormatError(
            f"{path}: is no IDX file: it begins with {magic.hex(' ')}; images begin with 00 00 08 03, labels with "
            "00 00 08 01."
        )
    return np.dtype(TYPES[magic[2]]), magic[3]
