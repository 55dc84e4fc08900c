"""Batches that are made on a thread of their own while the one before is trained on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from miniDLF.datasets.batches import in_order, numbered
from miniDLF.datasets.checking import whole_number
from miniDLF.errors import ArgumentTypeError

__all__ = ["prefetch"]

_END = object()


def prefetch(batches: Any, ahead: int = 2) -> Iterable[Any]:
    """Go through `batches` on a thread of its own that is always a few of them ahead.

    For generators that read files or augment images: NumPy and file reads give the processor up, so the next batches
    are made while a step runs. Their order stays. An error in them is raised where the batch would have come, and
    leaving the loop early ends the thread.

    Parameters
    ----------
    batches
        An iterable of what ``fit`` takes, ``(x, y)`` or ``(x, y, sample_weight)``, or an object with ``__len__`` and
        ``__getitem__``. One that can be gone through again begins anew with every epoch, and is told the epoch if it
        has a ``set_epoch``; a generator goes on where it stopped.
    ahead
        How many finished batches may wait. Each takes memory.

    Raises
    ------
    ArgumentTypeError
        If `batches` is no iterable.

    Examples
    --------
    >>> from miniDLF.datasets import prefetch
    >>> list(prefetch([1, 2, 3]))
    [1, 2, 3]
    """
    if not isinstance(batches, Iterable) and not numbered(batches):
        raise ArgumentTypeError(
            f"prefetch: expected an iterable of batches, received {type(batches).__name__}. A generator function has "
            "to be called: prefetch(batches())."
        )
    count = whole_number(ahead, "prefetch: ahead", 1)
    if isinstance(batches, Iterator):
        return _ahead(batches, count)
    return _Sized(batches, count) if isinstance(batches, Sized) else _Again(batches, count)


class _Again:
    """Batches that can be iterated over again."""

    def __init__(self, batches: Any, ahead: int) -> None:
        self.batches, self.ahead = batches, ahead
        if hasattr(batches, "set_epoch"):
            self.set_epoch = batches.set_epoch

    def __iter__(self) -> Iterator[Any]:
        return _ahead(self.batches, self.ahead)


class _Sized(_Again):
    """The same, with a known number of them."""

    def __len__(self) -> int:
        return len(self.batches)


def _ahead(batches: Any, ahead: int) -> Iterator[Any]:
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: Any, error: BaseException | None = None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for batch in in_order(batches):
                if not put(batch):
                    return
            put(_END)
        except BaseException as error:  # noqa: BLE001 - raised again where the batch would have come
            put(_END, error)

    thread = threading.Thread(target=make, name="miniDLF-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is _END:
                return
            yield batch
    finally:
        stopped.set()
        thread.join()
