"""Tensors and a JSON document in one safetensors file: written whole or not at all, checked before it is believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.errors import ArgumentError, ArgumentTypeError, FileFormatError
from miniDLF.storage.atomic import as_path, atomic_file
from miniDLF.storage.header import ITEM_SIZES, MAX_HEADER, Entry, Header, opened, read_json, refuse, shown

__all__ = ["inspect", "part", "read_tensors", "write_tensors"]

Array = NDArray[Any]

#: NumPy's types by those of safetensors, whose bytes are little-endian.
_TYPES = {name: "?" if name == "BOOL" else f"<{name[0].lower()}{size}" for name, size in ITEM_SIZES.items()}
FORMAT, VERSION = "miniDLF", 2  # the digests of version 1 cover the tensors alone


def write_tensors(path: Any, tensors: Mapping[str, Array], document: Mapping[str, Any] | None = None) -> None:
    """Write arrays and a document to `path`, so that there is always a whole file: the old one or the new one.

    Parameters
    ----------
    tensors
        Arrays of numbers or booleans by name; any order of memory or bytes.
    document
        Values that JSON can hold. A digest of them and the tensors (BLAKE2b) is added.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the file could not be read again.
    FileFormatError
        If the file cannot be written; what stood there before still does.
    """
    from safetensors.numpy import save

    path = as_path(path)
    if "__metadata__" in tensors:
        raise ArgumentError("tensor '__metadata__': safetensors keeps this name for itself; choose another.")
    plain = {name: _plain(name, tensors[name]) for name in sorted(tensors)}
    content = {**(document or {}), "format": FORMAT, "version": VERSION}
    try:
        content["digest"] = _digest(plain, _canonical(content))
        data = save(plain, {"miniDLF": _canonical(content)})
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"{path}: the document holds what JSON does not know ({error}).") from error
    if (length := int.from_bytes(data[:8], "little")) > MAX_HEADER:
        raise ArgumentError(
            f"{path}: names and document take {length} bytes, more than the {MAX_HEADER} that are read. Put large "
            "lists of numbers into tensors."
        )
    with atomic_file(path) as file:
        file.write(data)


def part(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the tensors whose names begin with `prefix`, by what follows it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def read_tensors(
    path: Any, *, max_bytes: int | None = None, names: Any = None
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the document of a file.

    Header, sizes and digest are checked first; nothing in the file is ever executed.

    Parameters
    ----------
    max_bytes
        Refuse a file with more data than this.
    names
        Return these arrays alone. All are read nevertheless, since the digest covers them.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, altered, hostile or of a newer format.
    """
    path = as_path(path)
    with opened(path) as (file, header):
        total = sum(entry.stop - entry.start for entry in header.entries.values())
        if max_bytes is not None and total > max_bytes:
            refuse(path, f"it holds {total} bytes, expected at most {max_bytes}")
        document = _document(path, header.metadata)
        tensors = _read(file, path, header)
    if "digest" in document:
        digest = document.pop("digest")
        if digest != _digest(tensors, _canonical(document) if document["version"] > 1 else ""):
            refuse(path, "the content is not what was saved: the digest differs")
    if names is not None:
        missing = set(names) - set(tensors)
        if missing:
            refuse(path, f"it lacks the tensors {sorted(missing)}")
        tensors = {name: tensors[name] for name in names}
    return tensors, document


def inspect(path: Any) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Return names, types and shapes of the tensors, and the document, reading only the header."""
    path = as_path(path)
    with opened(path) as (_, header):
        return header.entries, _document(path, header.metadata)


def _read(file: IO[bytes], path: Path, header: Header) -> dict[str, Array]:
    """Return the arrays that follow the header.

    They are read, not mapped: a mapped file that somebody cuts in the meantime ends the process (SIGBUS).
    """
    tensors = {}
    for name, entry in sorted(header.entries.items(), key=lambda pair: pair[1].start):
        try:
            array = np.empty(entry.shape, _TYPES[entry.dtype])
            whole = file.readinto(array.reshape(-1).view(np.uint8).data) == array.nbytes  # type: ignore[attr-defined]
        except (OSError, MemoryError, ValueError) as error:
            refuse(path, f"the tensors cannot be read ({error})")
        if not whole:
            refuse(path, f"the data end within the tensor {shown(name)}")
        if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
            refuse(path, f"tensor {shown(name)} holds bytes that are neither true nor false")
        tensors[name] = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return tensors


def _document(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the miniDLF document in a file's metadata; empty for files of other programs."""
    if "miniDLF" not in metadata:
        return {}
    try:
        document = read_json(metadata["miniDLF"])
        _canonical(document)  # which may find it too deep where reading did not
    except (ValueError, RecursionError) as error:
        refuse(path, f"the description in the header is no valid JSON ({error})")
    if not isinstance(document, dict) or type(document.get("version")) is not int or "digest" not in document:
        refuse(path, "the description in the header is incomplete")
    if document["version"] > VERSION:
        raise FileFormatError(
            f"{path}: written by a newer miniDLF (format {document['version']}, this one reads {VERSION}). Upgrade."
        )
    return document


def _plain(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise ArgumentTypeError(f"tensor {name!r}: expected numbers, received an array of {array.dtype}.")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array if array.flags.c_contiguous else np.array(array, order="C")


def _canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True, allow_nan=False)


def _digest(tensors: Mapping[str, Array], document: str) -> str:
    """Hash names, types, shapes, bytes and document: 100 MB take a tenth of a second (SHA-256: a third)."""
    state = hashlib.blake2b(document.encode(), digest_size=16)
    for name in sorted(tensors):
        array = tensors[name]
        state.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.hexdigest()
