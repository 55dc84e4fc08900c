"""A folder of numbered checkpoints of which the newest whole one counts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from miniDLF.errors import ArgumentError, FileFormatError
from miniDLF.storage.tensors import Array, read_tensors, write_tensors

__all__ = ["Checkpoints"]

#: The pattern of our files' names: others, such as ``checkpoint-best.safetensors``, are the user's.
OURS = f"checkpoint-{8 * '[0-9]'}.safetensors"


class Checkpoints:
    """Writes checkpoints to a folder and finds the newest that is whole.

    Parameters
    ----------
    directory
        Made if it does not exist.
    keep
        How many to keep; older ones go only when a newer one is safely there.
    """

    def __init__(self, directory: Any, keep: int = 2) -> None:
        if keep < 1:
            raise ArgumentError(f"Checkpoints: keep at least 1, received {keep}.")
        self.directory, self.keep = Path(directory), keep

    def paths(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(self.directory.glob(OURS))

    def save(self, tensors: Mapping[str, Array], document: Mapping[str, Any]) -> Path:
        """Write the next checkpoint; then remove those too old, and what an interrupted writing left behind."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(f"{self.directory}: the folder cannot be made ({error}).") from error
        known = self.paths()
        number = int(known[-1].stem.partition("-")[2]) + 1 if known else 1
        path = self.directory / f"checkpoint-{number:08d}.safetensors"
        write_tensors(path, tensors, {**document, "kind": "checkpoint"})
        for old in [*known[: max(len(known) + 1 - self.keep, 0)], *self.directory.glob(f".{OURS}.*.tmp")]:
            with suppress(OSError):
                old.unlink()
        return path

    def latest(self) -> tuple[tuple[Path, dict[str, Array], dict[str, Any]] | None, list[str]]:
        """Return the newest whole checkpoint as (path, tensors, document), and what was wrong with newer ones."""
        problems = []
        for path in reversed(self.paths()):
            try:
                tensors, document = read_tensors(path)
            except FileFormatError as error:
                problems.append(str(error))
            else:
                if document.get("kind") == "checkpoint":
                    return (path, tensors, document), problems
        return None, problems

    def clear(self) -> None:
        """Remove all checkpoints."""
        for path in [*self.paths(), *self.directory.glob(f".{OURS}.*.tmp")]:
            with suppress(OSError):
                path.unlink()
