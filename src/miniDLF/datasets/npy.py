"""NumPy's own files, .npy and .npz: arrays of plain numbers, checked before memory is taken, and never pickles.

The format is that of `numpy.lib.format`, which also reads the header here. What it leaves open is checked: types that
are no numbers, negative and huge lengths, and that there are as many bytes as the header says.
"""

from __future__ import annotations

import math
import os
import struct
import warnings
import zipfile
import zlib
from copy import copy
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.files import HIGHEST_RATIO, LimitedReader
from miniDLF.errors import FileFormatError
from miniDLF.files import open_file

__all__ = ["RowsOnDisk", "read_npy", "read_npz"]

Array = NDArray[Any]

#: Arrays in an archive; `numpy.savez` writes a few.
MOST_ARRAYS = 1024
#: Bytes of a header: NumPy refuses longer ones.
_HEADER = 1 << 16
#: What NumPy and `zipfile` raise about bytes that they did not write.
_DAMAGED = (
    *(ValueError, TypeError, OverflowError, SyntaxError, TokenError, MemoryError, RecursionError, KeyError),
    *(struct.error, EOFError, IndexError, AttributeError),
)


def read_npy(file: IO[bytes], path: Path, size: int) -> Array:
    """Return the array in a .npy file, in the byte order of this machine.

    Parameters
    ----------
    file
        The opened file, or a file in an archive.
    path
        What the user calls it, for messages.
    size
        The bytes of the file.

    Raises
    ------
    FileFormatError
        If it is cut short, too long, damaged, or holds anything but an array of numbers.
    """
    shape, fortran, kind, start = _read_header(file, path)
    needed = math.prod(shape) * kind.itemsize
    if needed != size - start:
        refuse(path, f"its header says {needed:,} bytes of numbers {shape}, {max(size - start, 0):,} are there")
    flat = np.empty(math.prod(shape), kind)
    if LimitedReader(file, path, needed).readinto(flat.view(np.uint8).data) < needed:
        refuse(path, "it is cut short")
    if kind.kind == "b" and flat.size and flat.view(np.uint8).max() > 1:
        refuse(path, "it holds bytes that are neither true nor false")
    flat = flat.astype(kind.newbyteorder("="), copy=False)
    return flat.reshape(shape, order="F" if fortran else "C")


class RowsOnDisk:
    """The entries of a .npy file larger than memory, read where they are asked for: ``rows[start:stop]``.

    A mapped file would end the process where somebody cuts it in the meantime; here any change of it is an error.

    Raises
    ------
    FileFormatError
        As `read_npy`; also where the first axis runs fastest, so that an entry lies all over the file.
    """

    def __init__(self, file: IO[bytes], path: Path, size: int) -> None:
        self.shape, fortran, self.dtype, self._start = _read_header(file, path)
        self._path, self._seen = path, _identity(file)
        self.ndim, self.nbytes = len(self.shape), math.prod(self.shape) * self.dtype.itemsize
        if self.nbytes != size - self._start:
            refuse(path, f"its header says {self.nbytes:,} bytes of numbers, {size - self._start:,} are there")
        if fortran and self.ndim > 1:
            refuse(path, "so large an array is read entry by entry; save it in C order, np.ascontiguousarray(x)")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        """Return some entries that lie one behind the other, in the byte order of this machine."""
        start, stop, _ = rows.indices(len(self))
        array = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        try:
            with open_file(self._path) as file:
                file.seek(self._start + start * (self.nbytes // max(1, len(self))))
                count = file.readinto(array.reshape(-1).view(np.uint8).data)  # type: ignore[attr-defined]
                changed = _identity(file) != self._seen
        except OSError as error:
            refuse(self._path, f"it cannot be read any more ({error})")
        if changed or count < array.nbytes:
            refuse(self._path, "it was changed while it was read")
        return array.astype(self.dtype.newbyteorder("="), copy=False)

    def reshape(self, *shape: int) -> RowsOnDisk:
        """Return the same entries in another shape."""
        result = copy(self)
        result.shape, result.ndim = shape, len(shape)
        return result


def _identity(file: IO[bytes]) -> tuple[int, ...]:
    """Return what tells a file from another one, and from itself at another time."""
    state = os.fstat(file.fileno())
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def read_npz(file: IO[bytes], path: Path, size: int, limit: int) -> dict[str, Array]:
    """Return the arrays of a .npz archive by name.

    Parameters
    ----------
    limit
        The most bytes that they may take.

    Raises
    ------
    FileFormatError
        If the archive is damaged, unpacks to more than `limit` or than so few bytes can, or holds anything but arrays
        of numbers.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            _check_members(path, members, size, limit)
            return {m.filename.removesuffix(".npy"): _read_member(archive, m, path) for m in members}
    except FileFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, *_DAMAGED) as error:
        refuse(path, f"it is no whole .npz archive ({str(error)[:80]})")


def refuse(path: Path, problem: str) -> NoReturn:
    """Raise the one exception for a file that is none of NumPy's, or holds no numbers."""
    kind = ".npz" if path.suffix.lower() == ".npz" else ".npy"
    raise FileFormatError(
        f"{path}: expected a {kind} file of numbers, an entry a sample, as np.save{'z' * (kind == '.npz')} writes it: "
        f"{problem}."
    )


def _check_members(path: Path, members: list[zipfile.ZipInfo], size: int, limit: int) -> None:
    if not members or len(members) > MOST_ARRAYS:
        refuse(path, f"it holds {len(members)} arrays")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            refuse(path, f"{member.filename[:60]!r} is packed in a way that np.savez does not know")
    unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if packed > size or unpacked > min(limit, packed * HIGHEST_RATIO + 1024):
        refuse(path, f"its {size:,} bytes would unpack to {unpacked:,}; no more than {limit:,} are read")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Array:
    with archive.open(member) as stream:
        array = read_npy(stream, path, member.file_size)
        stream.read(1)  # compares the checksum
    return array


def _read_header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether the first axis runs fastest, type, and where the numbers begin."""
    stream: Any = LimitedReader(file, path, _HEADER)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in read:
                refuse(path, f"version {version} of the format is for arrays with named fields")
            shape, fortran, kind = read[version](stream)
    except FileFormatError:
        raise
    except _DAMAGED as error:
        refuse(path, f"its header is damaged ({(str(error).splitlines() or [''])[0][:80]})")
    if kind.kind not in "fiub" or kind.itemsize > 8:
        refuse(path, f"received an array {_shown(shape)} of {str(kind)[:60]}")
    if not shape or any(type(length) is not int or length < 0 for length in shape) or len(shape) > 32:
        refuse(path, f"received an array {_shown(shape)} of {kind}")
    if math.prod(max(length, 1) for length in shape) * kind.itemsize >= 2**62:
        refuse(path, f"it cannot hold {_shown(shape)} numbers")
    return shape, fortran, kind, stream.tell()


def _shown(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 80 else f"{text[:77]}..."
