"""Captures the NumPy calls of a step, to make them again without the Python between them.

A step over small arrays spends more time in Python, between the calls, than in them; and two threads take turns at the
interpreter, so each waits while the other is there. The arrays of a step lie in the same memory every time, so its
calls are the same every time: they are noted once, with their arguments, and made again from the list. (CUDA graphs do
this for the kernels of a GPU.) What is noted is proved before it is used: twice, on new numbers, the list and the
ordinary way have to give the same bits. And it is noted twice: what a call reads must have been lent, or lie where it
lay the first time, as weights do. An array that is new every time was made from something that nobody has noted.

Only layers and losses that say so (`captures`) are captured: those that do nothing but call NumPy on what they are
lent, whatever the numbers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from miniDLF.core.tracing import Notes, NoteTaker, in_place, plain
from miniDLF.kernels.sharing import switched_on
from miniDLF.kernels.workspace import Array

__all__ = ["FIRST_RUNS", "Capture", "Watched", "use_notes"]

#: Runs before the one that is captured: they lend the memory.
WARM = 2
#: Runs that are noted.
TRACES = 2
#: Runs that are done both ways.
PROOFS = 2
#: Runs before notes alone are worked off.
FIRST_RUNS = WARM + TRACES + PROOFS


class Watched:
    """Base of objects whose fields go into what is noted: whoever sets one makes all notes void."""

    changes: ClassVar[int] = 0
    #: Whether anything is to be noted at all (see `use_notes`).
    noted: ClassVar[bool] = switched_on("MINIDLF_NOTES", True)

    def __setattr__(self, name: str, value: Any) -> None:
        Watched.changes += 1
        super().__setattr__(name, value)


def use_notes(wanted: bool = True) -> None:
    """Let steps and predictions be made again from notes, or, with ``False``, always run as the layers are written.

    Without notes every step comes by a breakpoint in a layer, and takes longer; the numbers are the same to the last
    bit. The environment variable ``MINIDLF_NOTES=0`` does the same. Notes are the default.
    """
    Watched.noted = bool(wanted)
    Watched.changes += 1


def _digest(result: Any) -> bytes:
    import hashlib  # loads OpenSSL, which importing the models should not

    return hashlib.blake2b(np.ascontiguousarray(result).data).digest()


class Capture:
    """Work on fixed memory: done as written at first, and from the notes once they are proved.

    Parameters
    ----------
    parts
        How many lists of notes the work fills: one for every shard, since they run on several threads.
    """

    def __init__(self, parts: int) -> None:
        self._count = parts
        self._runs = 0
        self._notes: list[Notes] | None = None
        self._results: list[Array] = []
        self._changes = Watched.changes
        self.ready = False

    @property
    def current(self) -> bool:
        """Whether every layer and loss is as it was."""
        return self._changes == Watched.changes

    def perform(
        self, work: Callable[[Sequence[NoteTaker] | None], Sequence[Any]], replay: Callable[[Sequence[Notes]], None]
    ) -> Sequence[Any]:
        """Do the work; return its results: arrays, and numbers as arrays without axes.

        Parameters
        ----------
        work
            Does it as written; with notes, lets them trace everything it lends.
        replay
            Does it from the notes.
        """
        if self.ready:
            replay(self._notes)  # type: ignore[arg-type]
            return self._results
        self._runs += 1
        if self._runs == WARM + 1 or (self._notes is not None and self._runs <= WARM + TRACES):
            return self._noted(work)
        return work(None) if self._notes is None else self._proved(self._notes, work, replay)

    def _noted(self, work: Callable[[Sequence[NoteTaker] | None], Sequence[Any]]) -> Sequence[Any]:
        earlier, runs = self._notes, self._runs
        self._notes, self._runs = None, 0  # an interrupt leaves it at that: then all begins anew
        notes = [Notes() for _ in range(self._count)]
        takers = [NoteTaker(own, offers=self._count > 1) for own in notes]
        try:
            self._results = list(map(plain, work(takers)))
        except Exception:  # noqa: BLE001 - whatever it was: if it is an error, the ordinary way raises it again
            failed = True
        else:
            failed = False
        finally:
            for taker in takers:
                taker.finish()
        self._runs = runs
        if failed:
            return work(None)
        lasting = earlier is None or all(map(in_place, [e.others for e in earlier], [own.others for own in notes]))
        if lasting and all(isinstance(result, np.ndarray) for result in self._results):
            self._notes = notes
        return self._results

    def _proved(
        self,
        notes: list[Notes],
        work: Callable[[Sequence[NoteTaker] | None], Sequence[Any]],
        replay: Callable[[Sequence[Notes]], None],
    ) -> Sequence[Any]:
        replay(notes)
        found = list(map(_digest, self._results))  # all gradients are among them: a copy would be large
        results = work(None)
        if found != list(map(_digest, results)):
            self._notes = None  # for good: the count of runs has passed
        self.ready = self._notes is not None and self._runs >= FIRST_RUNS
        return results
