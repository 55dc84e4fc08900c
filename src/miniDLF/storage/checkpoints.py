"""A folder of numbered checkpoints of which the newest whole one counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from miniDLF.errors import ArgumentError, FileFormatError, NotReadyError
from miniDLF.storage.atomic import leftovers
from miniDLF.storage.locks import Lock, held_by_nobody
from miniDLF.storage.tensors import Array, read_tensors, write_tensors

__all__ = ["Checkpoints"]

#: Our files' names: others, such as ``checkpoint-best.safetensors``, are the user's. Of temporary ones the end is cut.
NUMBER = r"[0-9]{8}|[1-9][0-9]{8,}"
OURS = re.compile(rf"checkpoint-({NUMBER})\.safetensors")
OURS_CUT = rf"checkpoint-({NUMBER})(\.[a-z]*)?"
#: The file that says that somebody writes here.
LOCK = ".checkpoints.lock"


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
        self._lock = Lock(self.directory / LOCK)

    def acquire(self, patience: float) -> None:
        """Take the folder for this run alone, waiting for at most so many seconds for another one to end.

        A run that was killed holds nothing any more.

        Raises
        ------
        NotReadyError
            If another run has it.
        FileFormatError
            If the folder cannot be made or written to.
        """
        self._make_folder()
        try:
            ours = self._lock.acquire(patience)
        except OSError as error:
            raise FileFormatError(f"{self.directory}: the folder cannot be written to ({error}).") from error
        if not ours:
            raise NotReadyError(
                f"another run (process {self._lock.owner()}) writes checkpoints to {self.directory}. Wait until it has "
                "ended, or give each run a folder of its own."
            )

    def release(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    def _make_folder(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(f"{self.directory}: the folder cannot be made ({error}).") from error

    def numbered(self) -> dict[int, Path]:
        """The checkpoints by number, oldest first."""
        try:
            found = [(OURS.fullmatch(path.name), path) for path in self.directory.iterdir()]
        except OSError:
            return {}
        return dict(sorted((int(match[1]), path) for match, path in found if match))

    def paths(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return list(self.numbered().values())

    def save(self, tensors: Mapping[str, Array], document: Mapping[str, Any]) -> Path:
        """Write the next checkpoint; then remove those too old, and what an interrupted writing left behind."""
        self._make_folder()
        known = self.numbered()
        path = self.directory / f"checkpoint-{max(known, default=0) + 1:08d}.safetensors"
        write_tensors(path, tensors, {**document, "kind": "checkpoint"})
        self._remove(self.paths()[: -self.keep])
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
        self._remove(self.paths())

    def _remove(self, old: list[Path]) -> None:
        """Remove checkpoints, and what killed runs were writing."""
        left = [path for path in leftovers(self.directory, OURS_CUT) if held_by_nobody(path) is not False]
        for path in [*old, *left]:
            with suppress(OSError):
                path.unlink()
