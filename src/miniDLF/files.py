"""Opening files that others made: only those that have an end, and no more of them than a reader can use."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from miniDLF.errors import FileFormatError

__all__ = ["open_file", "read_all", "read_bytes", "read_text", "size_of"]

#: Bytes that are read at a time.
_PIECE = 1 << 20
#: What the kinds of files are called that may keep a reader waiting, or never end.
_ENDLESS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading; anything else is refused at once, a pipe that nobody writes to as well.

    Raises
    ------
    FileFormatError
        If it is a pipe, a socket or a device.
    OSError
        As `open` does: if it is missing, a folder, or not to be read.
    """
    # Without O_NONBLOCK opening a pipe waits for whoever writes to it. On regular files it changes nothing.
    more = getattr(os, "O_NONBLOCK", 0)
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))  # noqa: SIM115 - closed by callers
    except OSError:
        _refuse_endless(path, path)
        raise
    try:
        _refuse_endless(path, file.fileno())
    except FileFormatError:
        file.close()
        raise
    return file


def size_of(file: IO[bytes]) -> int:
    """Return the bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises
    ------
    FileFormatError
        If it is longer, or no regular file.
    OSError
        As `open_file`.
    """
    with open_file(path) as file:
        return read_all(file, path, limit)


def read_all(file: IO[bytes], path: Path, limit: int) -> bytes:
    """Return what is left of a stream, in memory that grows with what comes; it is refused if it is over `limit`."""
    content = bytearray()
    while piece := file.read(min(_PIECE, limit + 1 - len(content))):
        content += piece
    if len(content) > limit:
        raise FileFormatError(f"{path}: expected at most {limit:,} bytes, received more. Is it the right file?")
    return bytes(content)


def read_text(path: Path, encoding: str, limit: int) -> str:
    """Return the text in a regular file of at most `limit` bytes, its line ends as ``\\n``.

    Raises
    ------
    FileFormatError, OSError
        As `read_bytes`.
    UnicodeError, LookupError
        If it is no text in `encoding`, or there is no such encoding.
    """
    return read_bytes(path, limit).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _refuse_endless(path: Path, opened: Path | int) -> None:
    try:
        mode = os.stat(opened).st_mode
    except (OSError, ValueError):
        return
    for is_kind, name in _ENDLESS:
        if is_kind(mode):
            raise FileFormatError(f"{path}: expected a file, but this is {name}. Save its content to a file first.")
