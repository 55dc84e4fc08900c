"""Where the shards of a step meet: what they bring is merged, and threads take them on from there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from miniDLF.kernels.threads import POOL, single_threaded_blas

__all__ = ["Drive", "Meeting", "drive_all", "joined", "tree"]


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
            return
        drive = Drive(runs)
        with single_threaded_blas:
            if small:
                drive.work()
            else:
                POOL.run([drive.work] * len(runs))
    finally:
        for run in runs:
            run.close()


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
    merges what all have brought and need not wait; the others take up shards that nobody runs, or sleep.
    """

    def __init__(self, runs: Sequence[Any]) -> None:
        self._runs = runs
        self._changed = threading.Condition()
        self._ready = list(range(len(runs)))  # shards that may go on, and that no thread has
        self._brought: list[Any] = [None] * len(runs)
        self._missing = len(runs)
        self._merged: Any = None
        self._alone: int | None = None  # the thread that takes all shards, where one does
        self._over = False

    def work(self) -> None:
        """Run shards until all are done."""
        try:
            with self._changed:
                number = self._take(None)
            while number is not None:
                met = self._advance(number)
                with self._changed:
                    self._arrive(number, met)
                    number = self._take(number)
        except BaseException:  # an interrupt as well: nobody may wait for this shard
            with self._changed:
                self._over = True
                self._changed.notify_all()
            raise

    def _advance(self, number: int) -> Any:
        try:
            return self._runs[number].send(self._merged)
        except StopIteration:
            return None

    def _arrive(self, number: int, met: Any) -> None:
        self._brought[number] = met
        self._missing -= 1
        if self._missing or self._over:  # over: another thread has failed
            return
        self._missing = len(self._runs)
        self._over = met is None
        if not self._over:
            self._merged = joined(self._brought)
            self._ready = list(range(len(self._runs)))
            if met.alone is not None:
                self._alone = threading.get_ident() if met.alone else None
        if self._alone is None or self._over:
            self._changed.notify_all()

    def _take(self, own: int | None) -> int | None:
        me = threading.get_ident()
        while not self._over and not (self._ready and self._alone in (None, me)):
            self._changed.wait()
        if self._over:
            return None
        number = own if own in self._ready else self._ready[0]
        self._ready.remove(number)
        return number
