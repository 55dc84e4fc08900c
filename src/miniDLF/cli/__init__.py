"""The command ``minidlf``: train, resume, predict, evaluate, summary, demo.

Progress goes to standard error and results to standard output; ``--json`` makes the results JSON for machines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from miniDLF.cli.parser import parse
from miniDLF.errors import DivergedError, MiniDLFError, MissingExtraError
from miniDLF.kernels.threads import get_threads

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 failed, 2 a mistake in words or files, 130 interrupted."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by whoever started the command and does not want to hear of it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open to the end
        elif hasattr(stream := getattr(sys, name), "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # names need not be such that the terminal knows
    try:
        try:
            return _status(arguments)
        finally:
            sys.stdout.flush()  # at its own end the interpreter would not say what is wrong in a sentence
    except OSError as error:
        unread = [_forget(stream) for stream in (sys.stderr, sys.stdout)]
        if isinstance(error, BrokenPipeError):
            return int(unread[0])  # who reads results and stops has seen enough; who reads progress may wait for more
        where = "the results cannot be written: " if unread[1] else ""
        sys.stderr.write(f"minidlf: {where}{error if error.filename else error.strerror or error}\n")
        return 1


def _status(arguments: Sequence[str] | None) -> int:
    options = parse(arguments)
    try:
        get_threads()  # what is wrong in the environment comes before any other word
        options.run(options)
    except MiniDLFError as error:
        sys.stderr.write(f"minidlf: {error}\n")
        return 1 if _is_failure(error) else 2
    except MemoryError as error:
        sys.stderr.write(f"minidlf: the memory does not suffice: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("minidlf: interrupted\n")
        return 130
    return 0


def _is_failure(error: MiniDLFError) -> bool:
    """Say whether all was right that the user gave: a full disk, a missing package, a training that diverged."""
    return isinstance(error, DivergedError | MissingExtraError) or isinstance(error.__cause__, OSError)


def _forget(stream: TextIO) -> bool:
    """Say whether a stream cannot be written to; if so, drop what it holds, which would fail again at the end."""
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
        return True
    return False
