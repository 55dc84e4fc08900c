"""An unpickler for NumPy arrays in tuples and lists, and for nothing else.

A pickle is a program for a small stack machine; the standard library's machine may call any function that the file
names. This one knows only the instructions that describe arrays, and the names that arrays need stand for functions
of its own: nothing is imported, called or allocated on the word of the file. Sizes and counts are limited.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np

from miniDLF.datasets.files import LARGEST_FILE, opened
from miniDLF.datasets.pickle_instructions import LargeBytes, instructions
from miniDLF.errors import FileFormatError

__all__ = ["read_pickle"]

#: Instructions in the classic MNIST pickle: about 190.
MOST_INSTRUCTIONS = 4096
MOST_ARRAYS = 16
#: Types of numbers that are read: booleans, integers, floats.
KINDS = {f"{kind}{size}" for kind, sizes in {"u": "1248", "i": "1248", "f": "248", "b": "1"}.items() for size in sizes}

#: Names a file may use, as (module, name); NumPy moved its own between versions 1 and 2.
RECONSTRUCT, NDARRAY, DTYPE, FROM_BUFFER = "_reconstruct", "ndarray", "dtype", "_frombuffer"
ENCODE, NO_BYTES = "encode", "bytes"
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): DTYPE,
    ("numpy.core.numeric", "_frombuffer"): FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): FROM_BUFFER,
    ("_codecs", "encode"): ENCODE,
    ("__builtin__", "bytes"): NO_BYTES,  # called without arguments for an empty array
    ("builtins", "bytes"): NO_BYTES,
}

LITERALS = {
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "LONG", "LONG1", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "STRING", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Mark:
    """Where a tuple or list begins on the stack."""


class _Name:
    """A name of `ALLOWED` on the stack."""

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning


class _Type:
    """A type of numbers, while the file describes it."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        """Take the byte order: (version, order, no subtype, no names, no fields, -1, -1, flags)."""
        if not isinstance(state, tuple) or len(state) < 2 or any(part is not None for part in state[2:5]):
            raise _Refused("a type of numbers that is no plain one")
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise _Refused(f"the byte order {order[:8]!r}")
        self.dtype = self.dtype.newbyteorder(cast(Any, order))


class _Array:
    """An array, while the file describes it."""

    value: np.ndarray | None = None
    given = False  # whether it stands in the result already


class _Refused(Exception):
    """The file wants something that arrays do not need."""


def read_pickle(path: Path) -> Any:
    """Return the arrays in a pickle, compressed by gzip or not, in the tuples and lists it holds them in.

    The arrays can be written to, and no two of them share memory.

    Raises
    ------
    FileFormatError
        If the file is missing, cut short, too large, no pickle, or holds anything but arrays of numbers.
    """
    with opened(path) as stream:
        machine = _Machine()
        try:
            for count, (name, argument) in enumerate(instructions(stream)):
                if count == MOST_INSTRUCTIONS:
                    raise _Refused(f"more than {MOST_INSTRUCTIONS} instructions")
                machine.run(name, argument)
            result = machine.finished(machine.result)
            stream.read(1)  # lets gzip compare its checksum
        except _Refused as error:
            raise FileFormatError(
                f"{path}: refused: the pickle asks for {error}; only NumPy arrays of numbers, in tuples or lists, are "
                "read from a pickle."
            ) from None
        except FileFormatError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise FileFormatError(f"{path}: is cut short or no pickle ({str(error)[:80]}).") from None
    return result


class _Machine:
    """The stack, the memo, and the few instructions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.result: Any = None
        self.arrays = self.bytes = self.parts = 0

    def run(self, name: str, argument: Any) -> None:
        """Obey one instruction."""
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in LITERALS:
            stack.append(CONSTANTS.get(name, argument))
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in TUPLES:
            parts = [stack.pop() for _ in range(TUPLES[name])]
            stack.append(tuple(parts[::-1]))
        elif name == "MARK":
            stack.append(_Mark())
        elif name in ("TUPLE", "LIST"):
            stack.append((tuple if name == "TUPLE" else list)(self._since_mark()))
        elif name == "APPEND":
            item = stack.pop()
            self._list().append(item)
        elif name == "APPENDS":
            items = self._since_mark()
            self._list().extend(items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self._name(argument if name == "GLOBAL" else None))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(self._call(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name == "STOP":
            self.result = stack.pop()
        else:
            raise _Refused(f"the instruction {name}")

    def finished(self, value: Any, depth: int = 0) -> Any:
        """Replace the descriptions of arrays by the arrays; one that is there twice is copied, and counts again."""
        self.parts += 1
        if self.parts > MOST_INSTRUCTIONS:  # lists of lists that stand for one another grow as a power of their depth
            raise _Refused(f"more than {MOST_INSTRUCTIONS} parts")
        if isinstance(value, _Array) and value.value is not None:
            if not value.given:
                value.given = True
                return value.value
            self._count_array()
            self._count_bytes(value.value.nbytes)
            return value.value.copy()
        if isinstance(value, tuple | list) and depth < 4:
            return tuple(self.finished(item, depth + 1) for item in value)
        raise _Refused("something that is no array")

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]

    def _list(self) -> list[Any]:
        if not isinstance(self.stack[-1], list):
            raise _Refused("an addition to something that is no list")
        return self.stack[-1]

    def _name(self, argument: str | None) -> _Name:
        if argument is None:  # the two words lie on the stack
            name, module = self.stack.pop(), self.stack.pop()
        else:
            module, _, name = argument.partition(" ")
        meaning = ALLOWED.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if meaning is None:
            words = [word[:60] if isinstance(word, str) else "?" for word in (module, name)]
            raise _Refused(".".join(words))
        return _Name(meaning)

    def _call(self, name: Any, arguments: Any) -> Any:
        meaning = name.meaning if isinstance(name, _Name) else "something that is no function"
        if not isinstance(arguments, tuple):
            raise _Refused("a call without arguments")
        if meaning == RECONSTRUCT:  # (ndarray, (0,), b"b"): an array that a BUILD fills
            self._count_array()
            return _Array()
        if meaning == FROM_BUFFER and len(arguments) == 4:
            self._count_array()
            array, (data, kind, shape, order) = _Array(), arguments
            array.value = self._array(data, kind, shape, "F" if order == "F" else "C")
            return array
        if meaning == DTYPE and arguments:
            code = _text(arguments[0])
            if code not in KINDS:
                raise _Refused(f"numbers of the type {code[:20]!r}")
            return _Type(code)
        if meaning == ENCODE and len(arguments) == 2:  # how protocol 2 writes bytes
            text, coding = arguments
            if not isinstance(text, str | LargeBytes) or coding not in ("latin1", "latin-1"):
                raise _Refused("an encoding other than latin1")
            if isinstance(text, LargeBytes):  # decoded when it was read
                return text
            self._count_bytes(len(text))
            return text.encode("latin1")
        if meaning == NO_BYTES and not arguments:
            return b""
        raise _Refused(f"a call of {meaning}")

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Type):
            target.set_state(state)
            return
        if not isinstance(target, _Array):
            raise _Refused("a change of something that is no array")
        if not isinstance(state, tuple) or len(state) != 5 or target.value is not None:
            raise _Refused("an array without shape, type and bytes")
        _, shape, kind, fortran, data = state  # the first is a version
        target.value = self._array(data, kind, shape, "F" if fortran is True else "C")

    def _array(self, data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
        """Return an array of `data` for itself, with a copy only where they are few, swapped, or taken already."""
        if not isinstance(kind, _Type) or not isinstance(shape, tuple) or len(shape) > 4:
            raise _Refused("an array without a plain type and shape")
        if not all(type(length) is int and 0 <= length < 2**32 for length in shape):
            raise _Refused("an array with axes of odd lengths")
        data = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote bytes as text
        needed = math.prod(shape) * kind.dtype.itemsize
        if not isinstance(data, bytes | LargeBytes) or len(data) != needed:
            found = f"{len(data):,}" if isinstance(data, bytes | LargeBytes) else "no"
            raise _Refused(f"an array of shape {shape} and {needed:,} bytes, but gives {found} bytes")
        self._count_bytes(needed)
        memory = data.take() if isinstance(data, LargeBytes) else np.array(np.frombuffer(data, np.uint8))
        array = memory.view(kind.dtype).reshape(shape, order=order)
        return array.astype(kind.dtype.newbyteorder("="), copy=False)

    def _count_bytes(self, count: int) -> None:
        self.bytes += count
        if self.bytes > 2 * LARGEST_FILE:  # once encoded, once in an array
            raise _Refused(f"more than {LARGEST_FILE:,} bytes")

    def _count_array(self) -> None:
        self.arrays += 1
        if self.arrays > MOST_ARRAYS:
            raise _Refused(f"more than {MOST_ARRAYS} arrays")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise _Refused("a name that is no text")
    return value
