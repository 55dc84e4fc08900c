"""Locks on files that the system takes back when their owner ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    try:
        import fcntl
    except ImportError:  # a system with one process, such as a browser
        fcntl = None  # type: ignore[assignment]

__all__ = ["Lock", "held_by_nobody", "hold"]

#: Seconds between two tries.
PAUSE = 0.05
#: The byte that is locked on Windows, where nobody else can read what is locked: far behind the owner's number.
PLACE = 1 << 30


def hold(handle: int) -> bool:
    """Lock an open file for this process, without waiting; say whether nobody else holds it.

    Where the file system has no locks nobody is ever said to hold one.
    """
    if sys.platform == "win32":
        os.lseek(handle, PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    return _locked(handle) is not False


def _locked(handle: int) -> bool | None:
    """Lock a file for this process; ``False`` where another one holds it, ``None`` where there are no locks."""
    if sys.platform == "win32" or fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def held_by_nobody(path: Path) -> bool | None:
    """Say whether the process that held a file has ended; ``None`` where the system does not tell."""
    if sys.platform == "win32" or fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return _locked(handle)
    finally:
        os.close(handle)


class Lock:
    """A file that one process at a time holds; it is there only as long, unless its owner is killed.

    Then the system lets the lock go, and the next one takes the file over. Children that are forked do not hold it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, patience: float) -> bool:
        """Take the lock, waiting for at most so many seconds; say whether it was to be had.

        Raises
        ------
        OSError
            If the file cannot be made.
        """
        end = time.monotonic() + patience
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if hold(handle) and self._is_there(handle):
                    self._handle = handle
                    _HELD.add(self)
                    os.ftruncate(handle, 0)
                    os.lseek(handle, 0, os.SEEK_SET)
                    os.write(handle, str(os.getpid()).encode())
                    break
            finally:
                if self._handle != handle:
                    os.close(handle)
            if time.monotonic() >= end:
                return False
            time.sleep(PAUSE)
        return True

    def _is_there(self, handle: int) -> bool:
        """Say whether the open file still has its name: who held it before may have removed it."""
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except OSError:
            return False

    def owner(self) -> str:
        """Return the number of the process that holds the lock, as far as that can be told."""
        try:
            with self.path.open("rb") as file:
                text = file.read(20).decode("ascii", "replace")
        except OSError:
            return "unknown"
        return text if text.isdecimal() else "unknown"

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        if self._handle is None:
            return
        if sys.platform != "win32":  # while it is held, so that nobody's file is removed but this one
            with suppress(OSError):
                self.path.unlink()
        self.forget()
        if sys.platform == "win32":
            with suppress(OSError):
                self.path.unlink()

    def forget(self) -> None:
        """Close the file; in a child that was forked its parent goes on to hold it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __del__(self) -> None:
        self.release()


#: The locks of this process, which are its own and not those of children that it forks.
_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
