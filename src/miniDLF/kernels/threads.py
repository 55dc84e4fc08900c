"""The threads that run shards, and the limit on BLAS' own threads while they do.

Threads and the BLAS library belong to the process, not to a model, so this module holds one pool for all. A model
that finds it taken (two models trained from two threads) runs its shards on the thread it was called from, and every
caller that computes takes the place of a helper: no more threads run than were asked for (or than call). The result is
the same, because shards define the arithmetic.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.kernels.blas import blas_libraries, thread_functions

__all__ = [
    "POOL",
    "ThreadPool",
    "get_threads",
    "quiet_arithmetic",
    "set_threads",
    "single_threaded_blas",
]

Task = Callable[[], None]

#: Seconds that a thread waits for the interpreter's lock before it asks the holder to give it up; Python's own 5 ms are
#: longer than most kernels. While another thread makes one short call of NumPy after another, the lock is free in
#: between, but taken again before the waiting one is awake. Shorter, in pairs in one process: a GRU's step takes 7 %
#: less, an autoencoder's 6 %, LSTM, MLP and a convolutional network for 3x32x32 2 %.
SWITCH_INTERVAL = 1e-4


def _default_threads() -> int:
    setting = os.environ.get("MINIDLF_NUM_THREADS", "")
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise ArgumentError(f"MINIDLF_NUM_THREADS: expected a whole number of at least 1, received {setting!r}.")
        return int(setting)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Round:
    """One call of `ThreadPool.run`: the tasks not yet begun, and the first error of any of them."""

    __slots__ = ("error", "pending")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.pending = deque(tasks)
        self.error: BaseException | None = None

    def work(self) -> None:
        pending = self.pending
        while self.error is None:
            try:
                task = pending.popleft()
            except IndexError:
                return
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - raised again on the caller's thread
                self.error = error


class ThreadPool:
    """Runs tasks on the caller's thread and on ``threads - 1`` helpers that wait for work between calls."""

    def __init__(self) -> None:
        self.threads = _default_threads()
        self._taken = threading.Lock()
        self._queue: SimpleQueue[tuple[_Round, Any] | None] = SimpleQueue()
        self._started = 0

    def run(self, tasks: Sequence[Task], at_most: int | None = None) -> None:
        """Run all `tasks`, in any order; return when the last one is done; raise the first error.

        `at_most` limits the threads, where the caller has memory for so many.

        An interrupt (Ctrl-C) is raised after the tasks that have begun are done, so buffers are never written to by a
        step that the caller believes to be over.
        """
        helpers = min(self.threads - single_threaded_blas.others(), len(tasks), at_most or len(tasks)) - 1
        if helpers < 1 or not self._taken.acquire(blocking=False):
            for task in tasks:
                task()
            return
        interval = sys.getswitchinterval()
        try:
            if interval > SWITCH_INTERVAL:
                sys.setswitchinterval(SWITCH_INTERVAL)
            self._start(helpers)
            work = _Round(tasks)
            locks = [threading.Lock() for _ in range(helpers)]
            for lock in locks:
                lock.acquire()
                self._queue.put((work, lock))
            interrupt: BaseException | None = None
            try:
                work.work()
            except BaseException as raised:  # noqa: BLE001 - a signal handler's, between two tasks
                interrupt = raised
            for lock in locks:
                while True:
                    try:
                        lock.acquire()
                        break
                    except BaseException as raised:  # noqa: BLE001 - a signal handler's; wait on, then raise
                        interrupt = raised
        finally:
            if interval > SWITCH_INTERVAL:
                sys.setswitchinterval(interval)
            self._taken.release()
        for error in (work.error, interrupt):
            if error is not None:
                raise error

    def _start(self, helpers: int) -> None:
        while self._started < helpers:
            self._started += 1
            threading.Thread(target=self._serve, name=f"miniDLF-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        with quiet_arithmetic():
            while True:
                order = self._queue.get()
                if order is None:
                    return
                work, lock = order
                work.work()
                del work, order
                lock.release()

    def resize(self, threads: int) -> None:
        """Use `threads` threads from now on; those too many end."""
        with self._taken:
            for _ in range(self._started - (threads - 1)):
                self._queue.put(None)
                self._started -= 1
            self.threads = threads

    def forget(self) -> None:
        """Start anew in a forked child, which has none of its parent's threads."""
        self._taken = threading.Lock()
        self._queue = SimpleQueue()
        self._started = 0


class _Quiet:
    """`np.errstate` with a setting that is made once: 0.4 us a step instead of 3.6. For one ``with``."""

    __slots__ = ("_setting", "_token", "_variable")

    def __init__(self, variable: contextvars.ContextVar[Any], setting: Any) -> None:
        self._variable, self._setting = variable, setting

    def __enter__(self) -> None:
        self._token = self._variable.set(self._setting)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)


@functools.cache
def _quiet_setting() -> tuple[contextvars.ContextVar[Any], Any] | None:
    """Return the context variable in which NumPy 2 keeps how it warns, with its value for never; else ``None``."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = [item for item in contextvars.copy_context().items() if item[0].name == "numpy.ufunc.extobj"]
    return found[0] if found else None


def quiet_arithmetic() -> Any:
    """Switch NumPy's warnings about overflow off: a loss that diverges is found and reported by the engine."""
    known = _quiet_setting()
    return _Quiet(*known) if known else np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _all_threads() -> tuple[Callable[[], Any], Callable[[Any], Any], Any]:
    """Return what reads and what sets the threads of the BLAS libraries, and what it takes to set each to one.

    There is one library as a rule. Its functions are used as they are: 3 us less a prediction than a loop over one.
    """
    functions = list(map(thread_functions, blas_libraries()))
    if len(functions) == 1:
        return (*functions[0], 1)

    def set_all(numbers: Sequence[int]) -> None:
        for (_, set_to), number in zip(functions, numbers, strict=True):
            set_to(number)

    return lambda: [get() for get, _ in functions], set_all, [1] * len(functions)


class _BlasLimit:
    """Holds BLAS to one thread while at least one caller is inside; gives the old number back after the last.

    Everybody who trains or predicts is inside, so it also knows how many threads do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: dict[int, int] = {}  # how often each thread has entered
        self._get: Callable[[], Any] | None = None
        self._set: Callable[[Any], Any] = int
        self._one: Any = 1
        self._before: Any = 1

    def __enter__(self) -> None:
        me = threading.get_ident()
        depth = self._inside.get(me)
        if depth:  # only this thread writes to its own count: without the lock 0.4 us a step instead of 0.8
            self._inside[me] = depth + 1
            return
        with self._lock:
            self._inside[me] = 1
            if len(self._inside) > 1:
                return
            if self._get is None:
                self._get, self._set, self._one = _all_threads()
            self._before = self._get()
            if self._before != self._one:
                self._set(self._one)

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        depth = self._inside[me] - 1
        if depth:
            self._inside[me] = depth
            return
        with self._lock:
            del self._inside[me]
            if not self._inside and self._before != self._one:  # setting costs a prediction 1 us
                self._set(self._before)

    def others(self) -> int:
        """Return how many threads are inside besides the one that asks."""
        return len(self._inside) - (threading.get_ident() in self._inside)

    def forget(self) -> None:
        """Start anew in a forked child: nobody is inside there, and nobody holds the lock."""
        self._lock = threading.Lock()
        if self._inside:
            self._inside = {}
            self._set(self._before)


POOL = ThreadPool()
single_threaded_blas = _BlasLimit()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
    os.register_at_fork(after_in_child=single_threaded_blas.forget)


def set_threads(n: int) -> None:
    """Use `n` threads for training and prediction.

    A model whose ``shards`` are not fixed cuts its batches into as many shards, so its results may differ in the last
    bits from those with another number of threads.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"set_threads: expected a whole number of at least 1, received {n!r}.")
    POOL.resize(n)


def get_threads() -> int:
    """Return the number of threads in use."""
    return POOL.threads
