"""Reading files that may be compressed, missing, cut short or hostile, with limits on what they may unpack to."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from miniDLF.errors import ArgumentTypeError, FileFormatError
from miniDLF.files import open_file, size_of

__all__ = ["HIGHEST_RATIO", "LARGEST_FILE", "PIECE", "LimitedReader", "as_path", "opened"]

#: The most bytes a file may unpack to unless the reader says otherwise; the classic MNIST pickle unpacks to 222 MB.
LARGEST_FILE = 1 << 28
#: Bytes that are unpacked and handed on in one go. They stay in the second-level cache: MNIST takes 0.43 s with these
#: and with half as many, 0.47 s with twice as many.
PIECE = 1 << 17
#: No byte that deflate stores unpacks to more than this.
HIGHEST_RATIO = 1032


class LimitedReader:
    """A readable stream that refuses to give more than `limit` bytes, and says so before it makes room for them.

    Nor does it make room for more than the `possible` bytes that the file can hold, whatever the file says.
    """

    def __init__(self, stream: IO[bytes], path: Path, limit: int, possible: int | None = None) -> None:
        self._stream, self.path, self.limit = stream, path, limit
        self._possible = limit if possible is None else possible
        self.position = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        self._charge(size)
        data = self._stream.read(size)
        self.position += len(data)
        return data

    def readline(self) -> bytes:
        """Return a line of up to 256 bytes; longer ones are no part of the formats read here."""
        data = self._stream.readline(257)
        if len(data) > 256:
            raise FileFormatError(
                f"{self.path}: holds a line of more than 256 bytes where a name was expected. Of pickles, those of "
                "protocol 1 and later are read: pickle.dump(..., protocol=4)."
            )
        self.position += len(data)
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        """Return an iterator over the next `size` bytes in pieces of up to `PIECE`; fewer bytes where the data end."""
        self._charge(size)
        return self._pieces(size)

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size and (piece := cast(Any, self._stream).read1(min(size, PIECE))):
            size -= len(piece)
            self.position += len(piece)
            yield piece

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer`; return how many bytes there were."""
        filled = 0
        for piece in self.pieces(len(buffer)):
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self.position

    def _charge(self, size: int) -> None:
        if size < 0 or self.position + size > self.limit:
            raise FileFormatError(
                f"{self.path}: unpacks to more than {self.limit:,} bytes, the most that is read. Is it the right file?"
            )
        if self.position + size > self._possible:
            raise FileFormatError(
                f"{self.path}: is cut short: it announces {self.position + size:,} bytes and cannot hold more than "
                f"{self._possible:,}. Copy it again."
            )


@contextmanager
def opened(path: Path, limit: int | None = None) -> Iterator[LimitedReader]:
    """Open a file, compressed by gzip or not, for reading; turn what may go wrong into one clear sentence.

    Raises
    ------
    FileFormatError
        If the file is missing, cannot be read, is cut short, or unpacks to more than `limit` bytes.
    """
    limit = LARGEST_FILE if limit is None else limit
    try:
        with open_file(path) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            possible = size_of(raw) * (HIGHEST_RATIO if packed else 1) + PIECE
            if packed:
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield LimitedReader(cast(IO[bytes], stream), path, limit, possible)
            else:
                yield LimitedReader(raw, path, limit, possible)
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"{path}: there is no such file (looked in {Path.cwd()}).") from None
    except IsADirectoryError:
        raise FileFormatError(f"{path}: is a folder, a file was expected.") from None
    except EOFError:
        raise FileFormatError(f"{path}: is cut short: its compressed data end too early. Copy it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(f"{path}: its compressed data are damaged ({error}). Copy it again.") from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error.strerror or error}).") from None


def as_path(value: Any, where: str) -> Path:
    """Return `value` as a path, with ``~`` expanded."""
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise ArgumentTypeError(f"{where}: path must be a file or folder name, received {value!r}.")
    return Path(os.path.expanduser(cast("str | os.PathLike[str]", value)))  # Path's own raises for an unknown user
