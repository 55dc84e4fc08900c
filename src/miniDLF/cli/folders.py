"""The folder that a run leaves its results in."""

from __future__ import annotations

from pathlib import Path

from miniDLF.cli.config import Run, read_run
from miniDLF.errors import ArgumentError, MiniDLFError
from miniDLF.storage import Checkpoints

__all__ = ["HISTORY", "MODEL", "RUN", "is_repeated", "make_room"]

RUN, MODEL, HISTORY = "run.json", "model.safetensors", "history.csv"


def make_room(out: Path, force: bool) -> None:
    """Refuse a folder that holds another run's results, which `force` overwrites."""
    backup = out / "backup"
    unfinished = (out / RUN).exists() and backup.is_dir() and any(backup.iterdir())
    there = [name for name in (RUN, MODEL, HISTORY) if (out / name).exists()]
    if unfinished and not force:
        raise ArgumentError(
            f"{out} holds an unfinished run: go on with `minidlf resume {out}`, choose another --out, or overwrite it "
            "with --force."
        )
    if there and not force:
        raise ArgumentError(
            f"{out} holds the results of another run ({', '.join(there)}): choose another --out, or overwrite them "
            "with --force."
        )
    if there:
        Checkpoints(backup).clear()


def is_repeated(run: Run, out: Path) -> bool:
    """Say whether a folder holds an earlier run of the same model on the same data."""
    try:
        earlier = read_run(out / RUN)
    except MiniDLFError:
        return False
    return (earlier.data, earlier.model) == (run.data, run.model)
