"""Where the shards of a step meet: what they bring is merged, and threads take them on from there.

Shards are not equally fast: 25 rows are 12 and 13, and BLAS takes as long for 13 as for 16. So what nobody waits for is
not done at once but offered, and whoever has nothing else to do takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from miniDLF.kernels.threads import POOL, single_threaded_blas

__all__ = ["Drive", "Meeting", "Offer", "drive_all", "joined", "tree"]


class Offer(partial[None]):
    """Work that whoever is idle may do before the step is over."""


class Meeting(NamedTuple):
    """Where a shard waits for the others.

    Attributes
    ----------
    merge, statistics
        What joins two shards' statistics, and those of this shard; ``None`` where nothing is to be joined.
    alone
        Whether one thread is to take all shards from here on; ``None`` leaves it as it is.
    """

    merge: Any = None
    statistics: Any = None
    alone: bool | None = None


def tree(merge: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    """Join `values` pairwise in a fixed binary tree, so that the result does not depend on who was ready first."""
    level = list(values)
    while len(level) > 1:
        level = [merge(level[i], level[i + 1]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
    return level[0]


def joined(meetings: Sequence[Meeting]) -> Any:
    """Return what the statistics that all shards have brought to a meeting make together."""
    merge = meetings[0].merge
    return merge and tree(merge, [met.statistics for met in meetings])


def drive_all(small: bool, runs: Sequence[Any]) -> None:
    """Take the shards of a step through it: one after the other from meeting to meeting, or on the threads."""
    try:
        if len(runs) == 1:
            _drive_one(runs[0])
        else:
            _drive_together(small, runs)
    finally:
        for run in runs:
            run.close()


@single_threaded_blas
def _drive_together(small: bool, runs: Sequence[Any]) -> None:
    drive = Drive(runs)
    if small:
        drive.work()
    else:
        POOL.run([drive.work] * len(runs))


def _drive_one(run: Iterator[Any]) -> None:
    """Run the only shard: its statistics are those of the whole batch."""
    met = next(run, None)
    try:
        while met is not None:
            met = run.send(met.statistics)  # type: ignore[attr-defined]
    except StopIteration:
        return


class Drive:
    """Takes the shards of a step from one meeting to the next, on as many threads as call `work`.

    A thread goes on with its own shard, whose values are in that processor's cache. The last one to come to a meeting
    merges what all have brought and need not wait; the others take up shards that nobody runs, or what has been
    offered, or sleep.
    """

    def __init__(self, runs: Sequence[Any]) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._sleeping = 0  # threads that wait for the bell
        self._ready = list(range(len(runs)))  # shards that may go on, and that no thread has
        self._offers: list[Offer] = []  # that nobody has taken
        self._open = 0  # offers that are not done
        self._brought: list[Any] = [None] * len(runs)
        self._missing = len(runs)
        self._merged: Any = None
        self._alone: int | None = None  # the thread that takes all shards, where one does
        self._over = False

    def work(self) -> None:
        """Run shards, and do what they offer, until all is done."""
        own: int | None = None
        try:
            task = self._next(own)
            while task is not None:
                if isinstance(task, Offer):
                    task()
                    task = self._next(own, task)
                else:
                    own = task
                    task = self._next(own, task, self._advance(own))
        except BaseException:  # an interrupt as well: nobody may wait for this shard
            with self._lock:
                self._end()
            raise

    def _advance(self, number: int) -> Any:
        """Go on with a shard; return the meeting to which it comes, ``None`` where it is done."""
        run, received = self._runs[number], self._merged
        try:
            brought = run.send(received)
            while isinstance(brought, Offer):
                with self._lock:
                    self._offers.append(brought)
                    self._open += 1
                    self._wake()
                brought = run.send(None)
        except StopIteration:
            return None
        return brought

    def _next(self, own: int | None, done: int | Offer | None = None, met: Any = None) -> int | Offer | None:
        """Bring a shard that is `done` to the meeting where it has come; return what to do, ``None`` when all is over.

        No condition variable: `threading.Condition` is written in Python, and an interrupt in it leaves its lock taken.
        """
        me = threading.get_ident()
        while True:
            with self._lock:
                if isinstance(done, Offer):
                    self._open -= 1
                    self._end_if_done()
                elif done is not None:
                    self._arrive(done, met)
                done = None
                if self._over:
                    return None
                if self._ready and self._alone in (None, me):
                    number = own if own in self._ready else self._ready[0]
                    self._ready.remove(number)
                    return number
                if self._offers:
                    return self._offers.pop()
                self._sleeping += 1
            self._bell.get()

    def _arrive(self, number: int, met: Any) -> None:
        self._brought[number] = met
        self._missing -= 1
        if self._missing or self._over:  # over: another thread has failed
            return
        if met is None:
            self._end_if_done()
            return
        self._missing = len(self._runs)
        self._merged = joined(self._brought)
        self._ready = list(range(len(self._runs)))
        if met.alone is not None:
            self._alone = threading.get_ident() if met.alone else None
        if self._alone is None:
            self._wake()

    def _end_if_done(self) -> None:
        if not self._missing and not self._open:
            self._end()

    def _end(self) -> None:
        self._over = True
        self._wake()

    def _wake(self) -> None:
        for _ in range(self._sleeping):
            self._bell.put(None)
        self._sleeping = 0
