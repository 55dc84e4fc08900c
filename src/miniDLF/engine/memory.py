"""Memory of a plan: values that are never needed at the same time share it."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from miniDLF.kernels.workspace import ALIGNMENT, Array, Shape, aligned_empty

__all__ = ["Arena", "Clock", "ScratchSpace", "Storage"]


class Storage:
    """The memory of one value, and of its views: needed from operation `start` to operation `end`.

    Attributes
    ----------
    offset : int
        Where it begins in the arena, in bytes; known after `Arena.place`.
    """

    __slots__ = ("dtype", "end", "offset", "shape", "start")

    def __init__(self, shape: Shape, dtype: np.dtype[Any], start: int, end: int) -> None:
        self.shape, self.dtype, self.start, self.end, self.offset = shape, dtype, start, end, 0

    @property
    def nbytes(self) -> int:
        """Its size, rounded up to cache lines."""
        size = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        return -(-size // ALIGNMENT) * ALIGNMENT


class Arena:
    """One piece of memory for all storages of a plan.

    Attributes
    ----------
    nbytes : int
        What it takes.
    asked : int
        What the storages would take without sharing.
    """

    def __init__(self, storages: list[Storage]) -> None:
        self.asked = sum(storage.nbytes for storage in storages)
        self.nbytes = self._place(storages)
        self._memory = aligned_empty(self.nbytes, np.uint8)

    @staticmethod
    def _place(storages: list[Storage]) -> int:
        """Give each storage, in the order of their starts, the smallest gap that holds it; return the total."""
        free: list[tuple[int, int]] = []  # (offset, size), in the order of offsets, no two next to each other
        ending: list[tuple[int, int, int]] = []  # (end, offset, size) of those in use
        top = 0
        for storage in sorted(storages, key=lambda one: one.start):
            while ending and ending[0][0] < storage.start:
                _, offset, size = ending.pop(0)
                _give_back(free, offset, size)
            size = storage.nbytes
            fitting = [(length, offset) for offset, length in free if length >= size]
            if fitting:
                length, offset = min(fitting)
                free.remove((offset, length))
                if length > size:
                    bisect.insort(free, (offset + size, length - size))
            elif free and free[-1][0] + free[-1][1] == top:
                offset, _ = free.pop()
                top = offset + size
            else:
                offset, top = top, top + size
            storage.offset = offset
            bisect.insort(ending, (storage.end, offset, size))
        return top

    def array(self, storage: Storage) -> Array:
        """Return the memory of a storage as an array."""
        size = int(np.prod(storage.shape, dtype=np.int64)) * storage.dtype.itemsize
        flat = self._memory[storage.offset : storage.offset + size]
        return flat.view(storage.dtype).reshape(storage.shape)


def _give_back(free: list[tuple[int, int]], offset: int, size: int) -> None:
    place = bisect.bisect(free, (offset, 0))
    if place < len(free) and offset + size == free[place][0]:
        size += free.pop(place)[1]
    if place and sum(free[place - 1]) == offset:
        before, length = free.pop(place - 1)
        offset, size = before, length + size
    bisect.insort(free, (offset, size))


class Clock:
    """The number of the present run, which random streams begin with; all plans of a program read the same one."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = 0


class ScratchSpace:
    """Memory that every operation of a plan may use while it runs, one after the other; and where it runs.

    Attributes
    ----------
    shard : int
        The number of the shard.
    clock : Clock
    contexts : dict
        What an operation leaves for a later one of the plan, by whatever both know.
    """

    def __init__(self, shard: int = 0, clock: Clock | None = None) -> None:
        self.shard, self.clock = shard, clock or Clock()
        self.contexts: dict[int, Any] = {}
        self._slots: list[Array] = []
        self._used = 0

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return sum(slot.nbytes for slot in self._slots)

    def begin(self) -> None:
        """All is free again: the next operation begins."""
        self._used = 0

    def __call__(self, shape: Shape, dtype: Any) -> Array:
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        number, self._used = self._used, self._used + 1
        if number == len(self._slots):
            self._slots.append(aligned_empty(0, np.uint8))
        if self._slots[number].nbytes < size:
            self._slots[number] = aligned_empty(size, np.uint8)
        return self._slots[number][:size].view(kind).reshape(shape)
