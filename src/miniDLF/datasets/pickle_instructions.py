"""The instructions of a pickle, one by one, with large texts and bytes put where an array can take them over.

`pickletools.genops` gives every argument as a Python object. Protocol 2 stores the bytes of an array as a text in
UTF-8, so the 157 MB of the MNIST images would lie in memory as UTF-8, as a text and as bytes, and the array could not
be written to. Here they are decoded in pieces that stay in the processor's cache, into memory that becomes the array:
MNIST takes 0.50 s instead of 0.90 s and 247 MB instead of 452 MB; unpacking alone is 0.32 s. (A thread that unpacks
ahead took as long or longer, 0.43 to 0.60 s against 0.44 s, on two processors: at every piece it waits for Python's
lock.)
"""

from __future__ import annotations

import codecs
import pickletools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.files import PIECE, LimitedReader

__all__ = ["LargeBytes", "instructions"]

INSTRUCTIONS = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}

#: Instructions whose argument may be large: how they give its length, and how its characters are stored.
COUNTED = {
    "BINUNICODE": (pickletools.read_uint4, "utf-8"),
    "BINUNICODE8": (pickletools.read_uint8, "utf-8"),
    "BINSTRING": (pickletools.read_uint4, "latin1"),
    "BINBYTES": (pickletools.read_uint4, None),
    "BINBYTES8": (pickletools.read_uint8, None),
    "BYTEARRAY8": (pickletools.read_uint8, None),
}


#: How pickles of arrays, tuples and lists begin; those of protocol 0 and 1 have no PROTO.
FIRST = ("PROTO", "MARK", "GLOBAL", "EMPTY_TUPLE", "EMPTY_LIST")


class LargeBytes:
    """Bytes, or a text of characters up to U+00FF as bytes, in memory that one array may have for itself."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory
        self._taken = False

    def __len__(self) -> int:
        return len(self._memory)

    def take(self) -> NDArray[np.uint8]:
        """Return the memory the first time, and copies of it from then on."""
        memory = self._memory.copy() if self._taken else self._memory
        self._taken = True
        return memory


def instructions(stream: LimitedReader) -> Iterator[tuple[str, Any]]:
    """Yield (name, argument) of every instruction up to STOP; texts and bytes of `PIECE` and more are `LargeBytes`.

    Raises
    ------
    ValueError
        If the data end before STOP, or are no pickle.
    """
    name = ""
    while name != "STOP":
        code = stream.read(1)
        if code not in INSTRUCTIONS:
            raise ValueError(f"at {stream.tell()}: unknown instruction {code!r}" if code else "it ends before its STOP")
        opcode = INSTRUCTIONS[code]
        if not name and opcode.name not in FIRST:  # a text, whose letters would ask for gigabytes
            raise ValueError(f"it begins with {code!r}")
        name = opcode.name
        if name in COUNTED:
            yield name, _counted(stream, *COUNTED[name])
        else:
            yield name, None if opcode.arg is None else _argument(stream, opcode.arg)


def _argument(stream: LimitedReader, kind: Any) -> Any:
    if kind.n != pickletools.UP_TO_NEWLINE:
        return kind.reader(stream)
    with warnings.catch_warnings():  # a line of text with a wrong escape sequence only warns
        warnings.simplefilter("error")
        try:
            return kind.reader(stream)
        except Warning as warning:
            raise ValueError(str(warning)) from None


def _counted(stream: LimitedReader, read_count: Any, coding: str | None) -> str | bytes | LargeBytes:
    count = read_count(stream)
    if count >= PIECE:
        return LargeBytes(_memory(stream, count, coding))
    data = stream.read(count)
    if len(data) < count:
        raise ValueError(f"{count:,} bytes were expected, {len(data):,} are there")
    return data if coding is None else data.decode(coding)


def _memory(stream: LimitedReader, count: int, coding: str | None) -> NDArray[np.uint8]:
    """Return `count` bytes of the stream, those of a text in UTF-8 as latin1, which is never longer."""
    pieces = stream.pieces(count)  # refuses what is over the limit, before memory is taken
    memory = np.empty(count, np.uint8)
    decoder = codecs.getincrementaldecoder("utf-8")()
    filled = read = 0
    for piece in pieces:
        data = decoder.decode(piece).encode("latin1") if coding == "utf-8" else piece
        memory.data[filled : filled + len(data)] = data
        filled += len(data)
        read += len(piece)
    if read < count:
        raise ValueError(f"{count:,} bytes were expected, {read:,} are there")
    decoder.decode(b"", final=True)  # an error if the text ends within a character
    return memory[:filled]
