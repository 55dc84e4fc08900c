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
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.kernels.blas import blas_libraries, thread_functions
from miniDLF.whole import whole_number

__all__ = [
    "POOL",
    "ThreadPool",
    "get_threads",
    "quiet_arithmetic",
    "set_threads",
    "single_threaded_blas",
]

Task = Callable[[], None]
P = ParamSpec("P")
R = TypeVar("R")

#: Seconds that a thread waits for the interpreter's lock before it asks the holder to give it up; Python's own 5 ms are
#: longer than most kernels. While another thread makes one short call of NumPy after another, the lock is free in
#: between, but taken again before the waiting one is awake. Shorter, in pairs in one process: a GRU's step takes 7 %
#: less, an autoencoder's 6 %, LSTM, MLP and a convolutional network for 3x32x32 2 %.
SWITCH_INTERVAL = 1e-4


def _default_threads() -> int:
    """Return what the environment asks for: by our own variable, or by that of OpenMP; else one a processor."""
    setting = os.environ.get("MINIDLF_NUM_THREADS", "")
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise ArgumentError(f"MINIDLF_NUM_THREADS: expected a whole number of at least 1, received {setting!r}.")
        return int(setting)
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is one for nested threads
    if outermost.isdecimal() and int(outermost) > 0:  # OpenMP too passes over what is no number
        return int(outermost)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Round:
    """One call of `ThreadPool.run`: the tasks not yet begun, who works on them, and the first error of any of them."""

    __slots__ = ("_begun", "_bell", "_done", "error", "pending")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.pending = deque(tasks)
        self.error: BaseException | None = None
        self._begun: list[None] = []  # an item for each helper: threads may append at once
        self._done: list[None] = []
        self._bell: SimpleQueue[None] = SimpleQueue()

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

    def help(self) -> None:
        """Work on a helper's thread."""
        self._begun.append(None)
        self.work()
        self._done.append(None)
        self._bell.put(None)

    def finish(self) -> None:
        """Let nobody begin a task any more; return when those are done that have begun."""
        self.pending.clear()
        while len(self._done) < len(self._begun):  # counts: an interrupt may come anywhere, and this be called again
            self._bell.get()


class ThreadPool:
    """Runs tasks on the caller's thread and on ``threads - 1`` helpers that wait for work between calls."""

    threads: int

    def __init__(self, later: bool = False) -> None:
        if not later:
            self.threads = _default_threads()
        self.forget()

    def __getattr__(self, name: str) -> Any:
        """Look up how many threads there are to be `later`, when that is first asked: no import can fail by it."""
        if name != "threads":
            raise AttributeError(name)
        self.threads = _default_threads()
        return self.threads

    def forget(self) -> None:
        """Start anew in a forked child, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._user: _Round | None = None  # whom the helpers work for
        self._queue: SimpleQueue[_Round | None] = SimpleQueue()
        self._started = 0

    def run(self, tasks: Sequence[Task], at_most: int | None = None) -> None:
        """Run all `tasks`, in any order; return when the last one is done; raise the first error.

        `at_most` limits the threads, where the caller has memory for so many.

        An interrupt (Ctrl-C) is raised after the tasks that have begun are done, so buffers are never written to by a
        step that the caller believes to be over.
        """
        helpers = min(self.threads - single_threaded_blas.others(), len(tasks), at_most or len(tasks)) - 1
        if helpers < 1 or self._user is not None:
            for task in tasks:
                task()
            return
        work, interval, interrupt = _Round(tasks), sys.getswitchinterval(), None
        try:
            with self._lock:
                if self._user is None:
                    self._user = work
                    self._call(work, helpers)
            if self._user is work and interval > SWITCH_INTERVAL:
                sys.setswitchinterval(SWITCH_INTERVAL)
            work.work()
        except BaseException as raised:  # noqa: BLE001 - a signal handler's
            interrupt = raised
        finished = False
        while not finished:
            try:
                work.finish()
                if self._user is work and interval > SWITCH_INTERVAL:
                    sys.setswitchinterval(interval)
                finished = True
            except BaseException as raised:  # noqa: BLE001 - a signal handler's; wait on, then raise
                interrupt = raised
        if self._user is work:
            self._user = None
        for error in (work.error, interrupt):
            if error is not None:
                raise error

    def _call(self, work: _Round, helpers: int) -> None:
        """Have so many helpers work; one that comes late finds nothing to do."""
        while self._started < helpers:
            threading.Thread(target=self._serve, name=f"miniDLF-{self._started + 1}", daemon=True).start()
            self._started += 1
        for _ in range(helpers):
            self._queue.put(work)

    def _serve(self) -> None:
        queue = self._queue
        work_off = quiet_arithmetic(_Round.help)
        while (work := queue.get()) is not None:
            work_off(work)
            del work

    def resize(self, threads: int) -> None:
        """Use `threads` threads from now on; those too many end."""
        with self._lock:
            for _ in range(self._started - (threads - 1)):
                self._queue.put(None)
                self._started -= 1
            self.threads = threads


@functools.cache
def _quiet_setting() -> tuple[Callable[[], Any], Callable[[Any], Any], Any] | None:
    """Return what reads and what sets how NumPy warns, with the value for never; ``None`` where neither is known.

    NumPy 1 has functions for it, NumPy 2 keeps it in a context variable.
    """
    with np.errstate(all="ignore"):
        if (read := getattr(np, "geterrobj", None)) is not None:
            return read, getattr(np, "seterrobj"), list(read())  # noqa: B009 - NumPy 2 does not have it
        for variable, value in contextvars.copy_context().items():
            if variable.name == "numpy.ufunc.extobj":
                return variable.get, variable.set, value
    return None


def quiet_arithmetic(function: Callable[P, R]) -> Callable[P, R]:
    """Switch NumPy's warnings about numbers off in `function`, whatever the caller has set.

    A loss that diverges is found by the engine, and that `exp` of a score far below the largest becomes 0 is meant.
    """

    @functools.wraps(function)
    def quiet(*arguments: P.args, **keywords: P.kwargs) -> R:
        known = _quiet_setting()
        if known is None:
            with np.errstate(all="ignore"):
                return function(*arguments, **keywords)
        # With a setting that is made once: 0.4 us a step instead of 3.6. And no interrupt comes before the end of C's
        # functions, as it may in Python's `errstate`.
        read, write, setting = known
        before = read()
        try:
            write([*setting] if type(setting) is list else setting)  # NumPy 1 changes the list that is in force
            return function(*arguments, **keywords)
        finally:
            write(before)

    return quiet


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
    """Holds BLAS to one thread while at least one decorated function runs; gives the old number back after the last.

    All that trains or predicts is decorated, so this also knows how many threads do. A decorator and no context
    manager: an interrupt (Ctrl-C) in the very instruction at which a ``with`` is left is raised before its ``__exit__``
    has done anything, and the thread would count as one that computes for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: dict[int, bool] = {}  # the threads that are in such a function; false on the way out
        self._get: Callable[[], Any] | None = None
        self._set: Callable[[Any], Any] = int
        self._one: Any = 1
        self._before: Any = None  # the number of threads to give back; nothing while there is no limit

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function`, with BLAS held to one thread while it runs."""

        @functools.wraps(function)
        def limited(*arguments: P.args, **keywords: P.kwargs) -> R:
            me, inside = get_ident(), self._inside
            if inside.get(me):
                return function(*arguments, **keywords)
            try:
                inside[me] = True  # only this thread writes to its own place
                self._begin()
                return function(*arguments, **keywords)
            finally:
                inside[me] = False  # before any call, where an interrupt could come
                try:
                    self._end(me)
                except BaseException:  # an interrupt
                    self._end(me)
                    raise

        return limited

    def _begin(self) -> None:
        with self._lock:
            if self._before is None:  # else somebody is inside, or an interrupt came before the last one's `_end`
                if self._get is None:
                    self._get, self._set, self._one = _all_threads()
                self._before = self._get()
                if self._before != self._one:
                    self._set(self._one)

    def _end(self, me: int) -> None:
        with self._lock:
            self._inside.pop(me, None)  # a child that was forked meanwhile counts nobody
            if self._before is not None and not self._count():
                if self._before != self._one:  # setting costs a prediction 1 us
                    self._set(self._before)
                self._before = None  # last: after an interrupt all this is done again

    def _count(self) -> int:
        """Return how many threads are inside; one that has been interrupted on its way out is not."""
        return list(self._inside.values()).count(True)

    def others(self) -> int:
        """Return how many threads are inside besides the one that asks."""
        return self._count() - self._inside.get(get_ident(), False)

    def forget(self) -> None:
        """Start anew in a forked child: nobody is inside there, and nobody holds the lock."""
        self._lock = threading.Lock()
        self._inside = {}
        before, self._before = self._before, None
        if before is not None:
            self._set(before)


POOL = ThreadPool(later=True)
single_threaded_blas = _BlasLimit()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
    os.register_at_fork(after_in_child=single_threaded_blas.forget)


def set_threads(n: int) -> None:
    """Use `n` threads for training and prediction.

    A model whose ``shards`` are not fixed cuts its batches into as many shards, so its results may differ in the last
    bits from those with another number of threads.
    """
    POOL.resize(whole_number(n, "set_threads", 1))


def get_threads() -> int:
    """Return the number of threads in use."""
    return POOL.threads
