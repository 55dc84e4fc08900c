"""Takes the shards of a noted step through it in processes of their own, where the user asks for that.

Two threads take turns at the interpreter, and one that finds it taken sleeps until it is woken; two processes do not.
But a process cannot be handed layers, closures and losses. So the helpers are forked when the notes of a step are
there: a helper has the lists of its shards, which hold nothing but functions of NumPy and arrays, and those lie in
memory that all share (`kernels.sharing`). What it is told is which part of a list to work off, and in which step. All
else stays where it was: rows are gathered, weights prepared and updated in the process that trains, and it takes over
all shards where one thread would.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from miniDLF.core.call import Clock
from miniDLF.core.exchange import ROOM, Exchange, Work, between_meetings, close
from miniDLF.core.meetings import joined
from miniDLF.core.tracing import Notes, fill, repeat
from miniDLF.errors import MiniDLFError, NotReadyError
from miniDLF.kernels.sharing import is_shared
from miniDLF.kernels.threads import quiet_arithmetic, single_threaded_blas
from miniDLF.kernels.workspace import Array, lasting

__all__ = ["Team", "can_help"]

#: What is at which place of the memory by which orders are given.
ORDERED, DONE, NUMBER, STEP = range(4)
#: Milliseconds after which a helper that has not answered is woken again.
PATIENCE = 1000


def can_help(notes: Sequence[Notes]) -> bool:
    """Say whether processes can work off these notes: all memory that is read or written has to be shared.

    That which was lent before the user asked for processes is not, nor is that of weights which came from elsewhere.
    """
    return all(
        is_shared(array) or not array.flags.writeable
        for own in notes
        for calls, *_ in between_meetings(own)
        for array in _memory(calls)
    )


def _memory(value: Any) -> Iterator[Array]:
    """Yield the arrays in calls, or in what they are given; numbers that are arrays without axes do not change."""
    if isinstance(value, np.ndarray):
        if value.ndim or value.base is not None:
            yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _memory(part)
    elif isinstance(value, partial):
        yield from _memory((value.func, value.args, tuple(value.keywords.values())))
    else:  # a method of an array, or an address in one
        for name in ("__self__", "array"):
            if isinstance(array := getattr(value, name, None), np.ndarray):
                yield from _memory(array)


class LostHelperError(MiniDLFError, RuntimeError):
    """A process that computed a part of every batch is no longer there."""


class Team:
    """This process and its helpers, for one step.

    Parameters
    ----------
    notes
        Those of every shard.
    clock
        Of the random streams.
    threads
        How many processes there are to be, this one among them.
    """

    def __init__(self, notes: Sequence[Notes], clock: Clock, threads: int) -> None:
        size = min(threads, len(notes))
        self._clock = clock
        self._count = 0  # how often all have worked off a part
        self.lost = False  # a helper has ended
        self._parts = list(zip(*map(between_meetings, notes), strict=True))
        self._exchange = Exchange(size)
        works = [[Work(part, self._exchange, number) for part in self._parts] for number in range(size)]
        self._own = works[0]
        self._helpers = [_Helper(works[number], self._exchange.files(number), clock) for number in range(1, size)]
        self._exchange.leave_to_others()

    def run(self, begin: Sequence[Callable[[], None]]) -> None:
        """Go through the step; `begin` brings the rows of each shard to their places.

        Those of the helpers go first: while the others are brought, the helpers work. So a step of the specified CNN
        takes 1 to 2 % less.
        """
        for helper in self._helpers:
            helper.check_owner()
        size = self._exchange.size
        for number, shard in enumerate(begin):
            if number % size:
                shard()
        own, alone = begin[::size], False
        for number, shards in enumerate(self._parts):
            if alone:
                for calls, *_ in shards:
                    repeat(calls)
            else:
                self._together(number, own if number == 0 else ())
            meeting = shards[0][1]
            if meeting is None:
                continue
            merged = joined([met for _, met, _ in shards])
            for _, _, places in shards:
                fill(places, merged)
            if meeting.alone is not None:
                alone = meeting.alone

    def _together(self, number: int, begin: Sequence[Callable[[], None]]) -> None:
        error: BaseException | None = None
        self._count += 1
        try:
            self._order(number)
            for shard in begin:
                shard()
            self._own[number].do()
        except BaseException as raised:  # noqa: BLE001 - an interrupt as well: nobody may work on when the step is over
            error = raised
        done = False
        while not done:
            try:
                if error is not None:  # it may have come in the middle of anything, but nobody may wait for this shard
                    self._order(number)
                    self._own[number].end()
                for helper in self._helpers:
                    helper.wait()
                if error is not None:
                    self._exchange.forget()
                done = True
            except BaseException as raised:  # noqa: BLE001 - a signal handler's; wait on, then raise
                error = error or raised
        for helper in self._helpers:
            if helper.lost:
                self.lost, error = True, error or helper.loss()
        if error is not None:
            raise error

    def _order(self, number: int) -> None:
        for helper in self._helpers:
            helper.order(self._count, number, self._clock.step)


class _Helper:
    """A forked process that works off the notes of some shards.

    Orders are written to memory that both see: the number of a part of the notes, that of the step, and a count that
    the helper repeats when it is done. The pipes only wake who sleeps, and say when the other process has ended. So it
    does not matter what an interrupt leaves undone: whoever finds the counts unequal wakes the other again.
    """

    def __init__(self, works: Sequence[Work], files: set[int], clock: Clock) -> None:
        self._box = lasting((4,), np.int64)
        self._box.fill(0)
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        os.set_blocking(self._answers, False)
        self._readable = select.poll()
        self._readable.register(self._answers, select.POLLIN)
        self.lost = False  # it has ended
        self._words = b""
        self._owner = os.getpid()
        try:
            with warnings.catch_warnings():
                # Forks of processes with threads are warned of, since a lock may be held for ever. This one takes none.
                warnings.simplefilter("ignore")
                self._process = os.fork()
            if self._process == 0:
                _serve(orders, answers, files, self._box, works, clock)
        except OSError:  # no more processes, or no memory
            for file in (orders, self._orders, self._answers, answers):
                os.close(file)
            raise
        finally:
            if os.getpid() != self._owner:  # an interrupt: nothing else of the program may run in the child
                os._exit(1)
        os.close(orders)
        os.close(answers)
        weakref.finalize(self, _dismiss, self._owner, self._process, self._orders, self._answers)

    def check_owner(self) -> None:
        """Refuse to work for a fork of the process that made this."""
        if os.getpid() != self._owner:
            raise NotReadyError(
                "this model belongs to the process that this one was forked from, and shares its memory with it "
                "(see use_processes). Make a model of its own here, or start processes by spawn instead of fork."
            )

    def order(self, count: int, number: int, step: int) -> None:
        """Have part `number` of the notes worked off, as the `count`-th order; nothing happens if that is done."""
        self._listen()  # wake-up calls that nobody needed
        self._box[NUMBER], self._box[STEP] = number, step
        self._box[ORDERED] = count
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, as `wait` finds
            os.write(self._orders, b"\0")

    def wait(self) -> None:
        """Wait until all is done that was ordered, or the process has ended; may be called again after an interrupt."""
        while not self.lost and self._box[DONE] != self._box[ORDERED]:
            if not self._readable.poll(PATIENCE):
                self._wake()  # an interrupt may have come between an order and its wake-up call
                continue
            self._listen()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            answer = os.read(self._answers, ROOM)
            self._words += answer.strip(b"\0")
            self.lost = not answer

    def loss(self) -> LostHelperError:
        """Return what to say where the process has ended."""
        return LostHelperError(
            f"process {self._process}, which computes a part of every batch (see use_processes), has ended; its last "
            f"word was: {self._words.decode() or 'nothing'}. The system may have killed it for want of memory. No "
            "weight has changed in this step; call fit again to go on with a new process, or use threads: "
            "use_processes(False) before the model is made."
        )


def _serve(orders: int, answers: int, files: set[int], box: Array, works: Sequence[Work], clock: Clock) -> NoReturn:
    """Work off orders until the other end of the pipe is closed; what the process that forked would do is left out."""
    try:
        _leave_signals()
        _close_all_but({0, 1, 2, orders, answers, *files})
        _obey(orders, answers, box, works, clock)
    except BaseException as error:  # noqa: BLE001 - told to whoever waits
        os.write(answers, f"{type(error).__name__}: {error}".encode()[:900])
    finally:
        os._exit(0)


@single_threaded_blas
@quiet_arithmetic
def _obey(orders: int, answers: int, box: Array, works: Sequence[Work], clock: Clock) -> None:
    while os.read(orders, ROOM):
        count = int(box[ORDERED])
        if count == box[DONE]:
            continue
        number = int(box[NUMBER])
        if number == 0:
            clock.begin(int(box[STEP]))
        works[number].do()
        box[DONE] = count
        os.write(answers, b"\0")


def _leave_signals() -> None:
    """Run no handlers of the process that forked, and stay when Ctrl-C reaches all processes of a terminal."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _close_all_but(needed: set[int]) -> None:
    """Close files and sockets of the process that forked: whoever waits for their end would wait for this one, too."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in needed:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(int(name))


def _dismiss(owner: int, process: int, *pipes: int) -> None:
    close(pipes)
    if os.getpid() == owner:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # somebody else has waited for it
            os.kill(process, signal.SIGKILL)  # it has nothing to lose, and other forks may hold its pipe open
            os.waitpid(process, 0)
