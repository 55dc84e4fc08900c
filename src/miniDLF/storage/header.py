"""The header of a safetensors file, read and checked before anything is allocated."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from miniDLF.errors import FileFormatError
from miniDLF.files import open_file, size_of

__all__ = ["ITEM_SIZES", "MAX_HEADER", "Entry", "Header", "opened", "read_json", "refuse", "shown"]

MAX_HEADER = 16 << 20  # bytes; a model of ten thousand layers needs a tenth of it
ITEM_SIZES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
}
ITEM_SIZES["BOOL"] = 1


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies in the data that follow the header, and what it is."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """All tensors of a file, and its metadata."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def refuse(path: Path, problem: str) -> NoReturn:
    """Raise the one exception for a bad file."""
    raise FileFormatError(f"{path}: {problem}. The file is damaged or no safetensors file; take another copy.")


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], Header]]:
    """Open a file and check its header: sizes, types, shapes and offsets agree with each other and with the file.

    The stream stands at the first byte of the data. Header and data are read through one handle, so that a file that
    takes the other's name in the meantime does no harm.
    """
    try:
        with open_file(path) as file:
            yield file, _read_header(file, path)
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"{path}: there is no such file. Check the path, or save the model first.") from None
    except OSError as error:
        raise FileFormatError(f"{path}: the file cannot be read ({error.strerror or error}).") from None


def _read_header(file: IO[bytes], path: Path) -> Header:
    size = size_of(file)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        if file.read(1) != b"{":
            raise FileFormatError(
                f"{path} is not a safetensors file, or its beginning is damaged. Give a file that save or save_weights "
                "wrote, or take another copy."
            )
        refuse(path, f"expected a header that fits {size} bytes, received a header length of {length}")
    raw = file.read(length)
    if len(raw) != length:
        refuse(path, "the header is cut off")
    try:
        document = read_json(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        refuse(path, f"the header is no valid JSON ({error})")
    if not isinstance(document, dict):
        refuse(path, "the header is no JSON object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        refuse(path, "the header's metadata is no table of texts")
    entries = {name: _entry(path, name, value) for name, value in document.items()}
    place = 0
    for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].start, pair[1].stop)):
        if entry.start != place:
            refuse(path, f"tensor {shown(name)} begins at byte {entry.start} of the data, expected {place}")
        place = entry.stop
    if 8 + length + place != size:
        refuse(path, f"expected {8 + length + place} bytes in all, received {size}")
    return Header(entries, metadata)


def _entry(path: Path, name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        refuse(path, f"tensor {shown(name)} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        refuse(path, f"tensor {shown(name)} has the type {shown(dtype)}, which NumPy does not know")
    if not _whole_numbers(shape) or len(shape) > 32:
        refuse(path, f"tensor {shown(name)} has the shape {shown(shape)}")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        refuse(path, f"tensor {shown(name)} has the offsets {shown(offsets)}")
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_SIZES[dtype]:
        refuse(path, f"tensor {shown(name)} of shape {shape} and type {dtype} does not fill its bytes {offsets}")
    if math.prod(max(length, 1) for length in shape) >= 2**62:  # NumPy makes no such array, not even without numbers
        refuse(path, f"tensor {shown(name)} has the shape {shape}")
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def shown(value: Any) -> str:
    """Return a value out of a file for a message: a damaged file may hold megabytes where a name belongs."""
    text = repr(value[:100] if isinstance(value, str | list) else value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**62 for item in value)


def read_json(text: str) -> Any:
    """Parse JSON as its standard has it: no NaN, no infinity, no name twice.

    Raises
    ------
    ValueError, RecursionError
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands there twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(number: str) -> float:
    result = float(number)
    if not math.isfinite(result):
        raise ValueError(f"{number} is too large")
    return result
