"""Files that take their name only when they are complete and on the disk."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any

from miniDLF.errors import ArgumentTypeError, FileFormatError
from miniDLF.storage.locks import held_by_nobody, hold

__all__ = ["as_path", "atomic_file", "leftovers"]

#: Seconds after which nobody writes to a temporary file any more, where the system does not tell whether its owner has
#: ended: all that comes has been in memory from the start.
OLD = 3600


def as_path(path: Any) -> Path:
    """Return `path` as a `Path`, or say that it is none."""
    if not isinstance(path, str | os.PathLike) or not (name := os.fspath(path)) or "\0" in name:
        raise ArgumentTypeError(f"path: expected a file such as 'model.safetensors', received {path!r}.")
    return Path(path)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` only when it is complete and on the disk."""
    target = Path(os.path.realpath(path))  # a link stays a link
    temporary = guard = None
    prefix = _prefix(target.name)
    try:
        _check_target(path, target)
        handle, temporary = _make(target, prefix)
        with os.fdopen(handle, "wb") as file:
            guard = None if sys.platform == "win32" else os.dup(handle)  # holds the lock until the file has its name
            yield file
            file.flush()
            os.fsync(file.fileno())
        _remove_old(temporary, prefix)
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        temporary.replace(target)
        temporary = None
        _sync_folder(target.parent)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(
            f"{path}: the file cannot be written ({error.strerror or error}). Check the folder, its permissions "
            "and the free space; what was there before is untouched."
        ) from error
    finally:
        if guard is not None:
            os.close(guard)
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def _make(target: Path, prefix: str) -> tuple[int, Path]:
    """Make a temporary file that nobody removes as long as this process lives."""
    while True:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=target.parent)
        if sys.platform == "win32" or (hold(handle) and os.path.exists(name)):
            return handle, Path(name)
        os.close(handle)  # somebody who tidied up came between the two


def _check_target(path: Path, target: Path) -> None:
    """Refuse what a file could not be written to, or should not: a device that is replaced by a file is gone."""
    if not target.parent.exists():
        raise FileFormatError(f"{path}: the folder {target.parent} does not exist; create it.")
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "a device or a pipe"
        raise FileFormatError(f"{path}: expected the name of a file, but this is {what}. Choose another name.")


def _prefix(name: str) -> str:
    """Return how the temporary files for a target begin: short wherever the target's name is as long as may be."""
    return f".{name[:24]}.{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}."


def _remove_old(temporary: Path, prefix: str) -> None:
    """Remove what a killed process left when it wrote to the same target; both times come from the disk's own clock."""
    with suppress(OSError):
        now = temporary.stat().st_mtime
        for other in temporary.parent.glob(f"{escape(prefix)}????????.tmp"):
            with suppress(OSError):
                if other != temporary and (held_by_nobody(other) or now - other.stat().st_mtime > OLD):
                    other.unlink()


def leftovers(folder: Path, name: str) -> Iterator[Path]:
    """Yield the temporary files in a folder for targets whose names match the regular expression `name`.

    Long names are cut there (see `_prefix`), so it has to match their first 24 characters too.
    """
    pattern = re.compile(rf"\.{name}\.[0-9a-f]{{8}}\..{{8}}\.tmp")
    with suppress(OSError):
        yield from (path for path in folder.iterdir() if pattern.fullmatch(path.name))


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
