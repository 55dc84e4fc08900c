"""Tensors and a JSON document in one safetensors file: written whole or not at all, checked before it is believed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.errors import ArgumentTypeError, FileFormatError
from miniDLF.storage.header import Entry, read_header, refuse

__all__ = ["atomic_file", "inspect", "read_tensors", "write_tensors"]

Array = NDArray[Any]

FORMAT, VERSION = "miniDLF", 1


def write_tensors(path: Any, tensors: Mapping[str, Array], document: Mapping[str, Any] | None = None) -> None:
    """Write arrays and a document to `path`, so that there is always a whole file: the old one or the new one.

    Parameters
    ----------
    tensors
        Arrays of numbers or booleans by name; any order of memory or bytes.
    document
        Values that JSON can hold. A digest of the tensors (BLAKE2b) is added to them.

    Raises
    ------
    FileFormatError
        If the file cannot be written; what stood there before still does.
    """
    from safetensors.numpy import save

    path = Path(path)
    plain = {name: _plain(name, tensors[name]) for name in sorted(tensors)}
    content = {**(document or {}), "format": FORMAT, "version": VERSION, "digest": _digest(plain)}
    data = save(plain, {"miniDLF": json.dumps(content, sort_keys=True, allow_nan=False)})
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` only when it is complete and on the disk."""
    target = Path(os.path.realpath(path))  # a link stays a link
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        temporary.replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise FileFormatError(
            f"{path}: the file cannot be written ({error.strerror or error}). Check the folder, its permissions "
            "and the free space; what was there before is untouched."
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the platform lets folders be synchronised."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
        Read these arrays alone (the digest is then not checked).

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, altered, hostile or of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(path)
    header = read_header(path)
    total = sum(entry.stop - entry.start for entry in header.entries.values())
    if max_bytes is not None and total > max_bytes:
        refuse(path, f"it holds {total} bytes, expected at most {max_bytes}")
    document = _document(path, header.metadata)
    try:
        tensors = {name: np.array(value) for name, value in load_file(str(path)).items()}
    except (SafetensorError, OSError, ValueError, KeyError, MemoryError) as error:
        refuse(path, f"the tensors cannot be read ({error})")
    if "digest" in document and document.pop("digest") != _digest(tensors):
        refuse(path, "the tensors are not those that were saved: the digest differs")
    if names is not None:
        missing = set(names) - set(tensors)
        if missing:
            refuse(path, f"it lacks the tensors {sorted(missing)}")
        tensors = {name: tensors[name] for name in names}
    return tensors, document


def inspect(path: Any) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Return names, types and shapes of the tensors, and the document, reading only the header."""
    header = read_header(Path(path))
    return header.entries, _document(Path(path), header.metadata)


def _document(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the miniDLF document in a file's metadata; empty for files of other programs."""
    if "miniDLF" not in metadata:
        return {}
    try:
        document = json.loads(metadata["miniDLF"])
    except (ValueError, RecursionError) as error:
        refuse(path, f"the description in the header is no valid JSON ({error})")
    if not isinstance(document, dict) or not isinstance(document.get("version"), int) or "digest" not in document:
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


def _digest(tensors: Mapping[str, Array]) -> str:
    """Hash names, types, shapes and bytes: 100 MB take a tenth of a second (SHA-256: a third)."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        array = tensors[name]
        state.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.hexdigest()
