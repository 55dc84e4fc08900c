"""Where batches come from: arrays, or anything that can be iterated over."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.datasets import batch_bounds, epoch_order
from miniDLF.datasets.batches import numbered
from miniDLF.errors import ArgumentTypeError, DataError
from miniDLF.training.converting import described
from miniDLF.whole import whole_number

__all__ = ["ArrayFeed", "IterableFeed"]


class ArrayFeed:
    """Batches of arrays that hold the whole data set, shuffled anew every time they have been gone through.

    The order is a function of the seed and of how often the data have been gone through, so any epoch can begin at any
    batch. The seed is asked for when an epoch begins, since a resumed run takes over that of the run before.

    Parameters
    ----------
    steps
        Batches an epoch; fewer than there are: the next epoch of a training goes on behind them.
    """

    def __init__(
        self,
        data: Batch,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: Callable[[], int] = lambda: 0,
        steps: int | None = None,
    ) -> None:
        size = whole_number(batch_size, "batch_size", 1)
        self.data, self.shuffle, self.seed, self.batch_size = data, shuffle, seed, size
        self.cuts = batch_bounds(len(data), size)
        if steps is not None:
            _warn_if_short(steps, len(self.cuts), "the arrays hold")
        self.steps: int | None = len(self.cuts) if steps is None else min(steps, len(self.cuts))

    def whole(self) -> ArrayFeed:
        """Return a feed of the same data in one piece and in its own order, for evaluation."""
        return ArrayFeed(self.data, len(self.data))

    def described(self) -> dict[str, Any]:
        """Return what a resumed run should find again."""
        sums = ["even" if given is None else f"of sum {given.sum(dtype=np.float64):.9g}" for given in self.data.weights]
        return {
            "samples": len(self.data),
            "batch_size": self.batch_size,
            "steps": self.steps,
            "shuffle": self.shuffle,
            "weights of samples and classes": ", ".join(sums),
        }

    def epoch(self, epoch: int, start: int = 0, ahead: int | None = None) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch number `start` on.

        Parameters
        ----------
        ahead
            Epochs that earlier runs have been through besides; ``None`` in an evaluation, of which each begins anew.
        """
        data, count, steps = self.data, len(self.cuts), self.steps or 0
        place = start if ahead is None else (epoch + ahead) * steps + start
        order, held = None, -1
        mapped = any(isinstance(array, np.memmap) for array in (*data.inputs, *data.targets))
        for number in range(place, place - start + steps):
            first, last = self.cuts[number % count]
            if not self.shuffle:
                yield data.between(first, last)
                continue
            if order is None or held != number // count:
                held = number // count
                order = epoch_order(len(data), self.seed(), held, True)
            rows = order[first:last]
            if mapped:  # read the rows in the order they lie on the disk
                rows = np.sort(rows)
            yield data.select(rows)


class IterableFeed:
    """Batches from an iterable of ``(x, y)`` or ``(x, y, sample_weight)``.

    A run that is resumed goes on at the batch at which it stopped. How it gets there depends on the source:

    - one with ``__len__`` and ``__getitem__`` (a list, or a class of one's own) is entered there; where an epoch has
      fewer steps than it has batches, the next epoch goes on behind them;
    - one that can be iterated over again starts anew each epoch, and what was done of the epoch is passed over;
    - an iterator (a generator) goes on over the epochs, `steps` batches each; all batches since the run's first epoch
      are passed over. Where it has a method ``skip(count)`` this is called, else the batches are read and dropped.

    A source with a method ``set_epoch(epoch)`` is told the epoch, counted from 0 over all runs of the model, before its
    batches are taken: what it makes (an order, an augmentation) may depend on it, and a resumed run meets the same.

    Parameters
    ----------
    steps
        Batches an epoch; ``None`` where the source ends an epoch by itself.
    first_epoch
        The epoch with which the run begins, also where it is resumed later.
    argument
        How the user's argument for `steps` is called, for messages.
    """

    def __init__(
        self,
        source: Iterable[Any],
        convert: Callable[..., Batch],
        steps: int | None,
        *,
        first_epoch: int = 0,
        argument: str = "steps_per_epoch",
    ) -> None:
        self.source, self.convert, self.first_epoch, self.argument = source, convert, first_epoch, argument
        self.steps = len(source) if steps is None and isinstance(source, Sized) else steps
        self._asked = steps or 0
        self._taken = 0  # batches that were taken from an iterator
        self._runs_on = isinstance(source, Iterator)

    def described(self) -> dict[str, Any]:
        """Return what a resumed run should find again."""
        return {"steps": self.steps}

    def epoch(self, epoch: int, start: int = 0, ahead: int | None = None) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch number `start` on; `ahead` is that of `ArrayFeed.epoch`."""
        set_epoch = getattr(self.source, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch + (ahead or 0))
        number = start
        for item in self._items(epoch, start, ahead):
            yield self._batch(item)
            number += 1
        if number == 0 and self._runs_on:
            raise DataError(
                f"epoch {epoch + 1}: the generator is exhausted. Give {self.argument}, or an object that can be "
                "iterated over again."
            )
        if number == 0:
            raise DataError("the iterable gave no batch; expected (x, y) or (x, y, sample_weight) at least once.")
        _warn_if_short(self._asked, number, "the iterable gave")

    def _items(self, epoch: int, start: int, ahead: int | None) -> Iterator[Any]:
        source: Any = self.source
        left = None if self.steps is None else max(self.steps - start, 0)
        if self._runs_on:
            target = (epoch - self.first_epoch) * (self.steps or 0) + start
            _skip(source, target - self._taken)
            self._taken = max(self._taken, target)
            for item in islice(source, left):
                self._taken += 1
                yield item
        elif numbered(source):
            length = len(source)
            steps = length if self.steps is None else min(self.steps, length)
            before = 0 if ahead is None else (epoch + ahead) * steps
            for number in range(start, steps):
                yield source[(before + number) % length]
        else:
            stream = iter(source)
            _skip(stream, start)
            yield from islice(stream, left)

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, tuple) or len(item) not in (2, 3):
            raise ArgumentTypeError(
                f"a generator must yield (x, y) or (x, y, sample_weight); received {described(item)}."
            )
        return self.convert(*item)


def _warn_if_short(asked: int, found: int, where: str) -> None:
    if found < asked:
        warnings.warn(
            f"{where} {found} batches, {asked} were asked for; the epoch ends after {found}. Ask for fewer steps, or "
            "give an iterable without an end.",
            stacklevel=2,
        )


def _skip(stream: Any, count: int) -> None:
    """Pass over batches: by the stream's own ``skip(count)``, else by reading them."""
    if count <= 0:
        return
    skip = getattr(stream, "skip", None)
    if skip is not None:
        skip(count)
    else:
        next(islice(stream, count, count), None)
