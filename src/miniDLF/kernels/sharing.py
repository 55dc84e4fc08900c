"""Memory that processes share, where shards are to run in processes (see `core.helpers`)."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError

__all__ = ["MEMORY", "Memory", "is_shared", "switched_on", "use_processes"]

#: Small arrays lie in blocks of this size, in bytes; a larger one has a block of its own.
BLOCK = 1 << 20


class Memory:
    """Where arrays that last come to lie: in memory of this process, or in such that forks share with it.

    Attributes
    ----------
    process : int
        The number of this process, which is another one in a fork.
    """

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self.forget()

    def forget(self) -> None:
        """Begin a new block, also in a forked child: its parent goes on with the one that both see."""
        self.process = os.getpid()
        self._lock = threading.Lock()
        self._block = np.empty(0, np.uint8)

    def empty(self, size: int) -> Any:
        """Return `size` bytes of undefined content."""
        if not self.shared:
            return np.empty(size, np.uint8)
        if size > BLOCK // 8:
            return _block(size)
        with self._lock:
            free = self._block if len(self._block) >= size else _block(BLOCK)
            self._block = free[size:]
        return free[:size]


def _block(size: int) -> Any:
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)


def is_shared(array: Any) -> bool:
    """Say whether forked processes see what is written to an array."""
    while array is not None and not isinstance(array, mmap.mmap):  # a view of a view of ... of the block
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array is not None


def switched_on(variable: str, default: bool) -> bool:
    """Return what a variable of the environment says, 0 or 1; `default` where it is not set."""
    setting = os.environ.get(variable, "")
    if setting not in ("", "0", "1"):
        raise ArgumentError(f"{variable}: expected 0 or 1, received {setting!r}.")
    return setting == "1" if setting else default


MEMORY = Memory(switched_on("MINIDLF_PROCESSES", False) and sys.platform == "linux")


def use_processes(wanted: bool = True) -> None:
    """Let processes take the shards of a training step, where threads would: for models made from now on.

    The numbers are the same to the last bit. On Linux only; the environment variable ``MINIDLF_PROCESSES=1`` does the
    same, and nothing elsewhere. What it brings and what to heed: `docs/speed.md`.

    Raises
    ------
    ArgumentError
        If the system cannot fork processes safely.
    """
    if wanted and sys.platform != "linux":
        raise ArgumentError("use_processes: only Linux can fork processes safely; shards run on threads here.")
    MEMORY.shared = bool(wanted)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=MEMORY.forget)
