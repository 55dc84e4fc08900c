"""Applies an optimizer to the flat buffers, in slices that fit the cache, shared over the threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from miniDLF.core.batch import bounds
from miniDLF.core.buffers import Buffers
from miniDLF.core.meetings import tree
from miniDLF.kernels.threads import POOL
from miniDLF.kernels.workspace import Array, Workspace, aligned_empty

__all__ = ["Scratch", "Updater"]

#: ``scratch(name, size)`` lends a vector that is an optimizer's until its `update` returns.
Scratch = Callable[[str, int], Array]

#: Elements of a slice, at the most. Smaller ones would stay in a cache of the second level, but two threads that make
#: short NumPy calls hinder each other at the interpreter's lock. Adam over 6.3 million values on one and two threads:
#: slices of 32 768 13.2 and 12.5 ms, of 65 536 12.3 and 9.4 ms, of 131 072 11.7 and 8.3 ms, of 262 144 11.5 and 7.9 ms
#: (another processor: 65 536 7.6 and 5.2 ms, 262 144 8.2 and 5.8 ms).
SLICE = 131_072
#: The values are copied before every so many updates. A copy each time would be a fifth of the memory that an update of
#: Adam moves.
SNAPSHOT = 8


class Updater:
    """Joins the shards' gradients and steps the optimizer.

    Attributes
    ----------
    state : dict of str to array
        The optimizer's flat state, laid out like ``buffers.values``.
    previous : array
        The values before one of the last `SNAPSHOT` updates: they are known to give a finite loss.
    previous_step : int
        How many updates had been done then.
    """

    def __init__(self, optimizer: Any, buffers: Buffers) -> None:
        self.optimizer, self.buffers = optimizer, buffers
        size = buffers.values.size
        # An optimizer over the whole data set works by `Engine.minimize` and keeps no state between epochs.
        self.state: dict[str, Array] = {} if optimizer.full_batch else optimizer.init_state(size, buffers.dtype)
        self.previous = aligned_empty(size, buffers.dtype)
        np.copyto(self.previous, buffers.values)
        self.previous_step = 0
        self._regularized = [s for s in buffers.slots if s.trained and s.parameter.regularizer is not None]
        self._constrained = [s for s in buffers.slots if s.trained and s.parameter.constraint is not None]
        count = max(-(-size // SLICE), 1)
        self._cuts = [slice(*cut) for cut in bounds(size, count + (count % 2 if count > 1 else 0))]
        self._scratch = [_lender(buffers.dtype)]
        self._values = [buffers.values[cut] for cut in self._cuts]
        self._gradients = [buffers.gradients[cut] for cut in self._cuts]
        self._local: list[dict[str, Array]] = [
            {name: array if name.startswith("_") else array[cut] for name, array in self.state.items()}
            for cut in self._cuts
        ]
        self._known: tuple[Any, Any, Sequence[Sequence[Array]]] = None, None, ()

    def join(self, parts: Sequence[Array], alone: Sequence[slice] = ()) -> None:
        """Sum the shards' gradients into the first of them, ``buffers.gradients``, in a fixed tree.

        Where the first one is `alone`, the others are zeros.
        """
        if len(parts) > 1:
            self._share(self._join, self._parts_of(parts, alone), False)

    def _join(self, numbers: range, _: Scratch, parts: Sequence[Sequence[Array]], checks: bool) -> bool:
        sums = [_sum_of(parts[number], self._cuts[number]) for number in numbers]
        return not checks or all(map(_finite, sums))

    def _parts_of(self, parts: Sequence[Array], alone: Sequence[slice]) -> Sequence[Sequence[Array]]:
        """Return, for every slice, the gradients of which it is the sum: zeros need not be read and added.

        That takes 1 to 3 % off a step of three layers of 2048 units with batches of 32 to 256 rows, on two threads.
        """
        if parts is not self._known[0] or alone is not self._known[1]:  # most steps are cut like the last one
            first = [any(a.start <= cut.start and cut.stop <= a.stop for a in alone) for cut in self._cuts]
            self._known = parts, alone, [parts[:1] if only else parts for only in first]
        return self._known[2]

    def penalties(self) -> float:
        """Add the gradients of the regularizers; return what they add to the loss."""
        total = 0.0
        for slot in self._regularized:
            total += slot.parameter.regularizer.value_and_grad(slot.parameter.value, slot.parameter.grad)
        return total

    def apply(self, step: int, parts: Sequence[Array] | None = None, alone: Sequence[slice] = ()) -> bool:
        """Update the values by the shards' gradients (without any, by ``buffers.gradients``). `step` counts from 1.

        Where the first part is `alone`, the others are zeros (see `core.joint`).
        Gradients that nobody looks at before the update are summed slice by slice on the way: one wait for the threads
        less, and they need not be written and read again. There they are also checked. Returns whether all were finite;
        where they were not the update is not complete, and `restore` has to follow.
        """
        optimizer, slices = self.optimizer, self._parts_of(parts or [self.buffers.gradients], alone)
        keeps = (step - 1) % SNAPSHOT == 0 or self.buffers.written
        if keeps:
            self.previous_step = step - 1
        if optimizer.uses_before:
            if keeps:  # here, because `before` may skip the update
                np.copyto(self.previous, self.buffers.values)
                keeps = False
            if not self._share(self._join, slices, True):
                self.buffers.written = False
                return False
            slices = [parts[:1] for parts in slices]
        if not optimizer.before(self.buffers, self.state, step):
            self.buffers.written = False
            return True
        rate = float(optimizer.rate(step - 1))
        if len(self._cuts) == 1:  # nothing to share: 2 % of a tiny step
            good = self._apply((0,), self._scratch[0], slices, rate, step, keeps)
        else:
            good = self._share(self._apply, slices, rate, step, keeps)
        self.buffers.written = False
        if not good:
            return False
        optimizer.after(self.buffers, self.state, step)
        for slot in self._constrained:
            slot.parameter.constraint.apply(slot.parameter.value)
        return True

    def _apply(
        self,
        numbers: Sequence[int],
        scratch: Scratch,
        slices: Sequence[Sequence[Array]],
        rate: float,
        step: int,
        keeps: bool,
    ) -> bool:
        finite = True
        for number in numbers:
            value, gradient, parts = self._values[number], self._gradients[number], slices[number]
            if keeps:
                np.copyto(self.previous[self._cuts[number]], value)
            if len(parts) == 2:  # the sum stays in the cache, and the gradient need not be written to memory again
                gradient = np.add(gradient, parts[1][self._cuts[number]], out=scratch("gradient", value.size))
            elif len(parts) > 2:
                gradient = _sum_of(parts, self._cuts[number])
            if _finite(gradient):
                self.optimizer.update(value, gradient, self._local[number], rate, step, scratch)
            else:
                finite = False
        return finite

    def restore(self) -> int | None:
        """Put back values that are known to give a finite loss; return after how many updates they were there.

        Values that somebody has set since the last update are left as they are: there ``None`` is returned.
        """
        if self.buffers.written:
            return None
        np.copyto(self.buffers.values, self.previous)
        return self.previous_step

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Fill the optimizer's state from saved arrays of the same names and sizes."""
        for name, array in self.state.items():
            np.copyto(array, np.asarray(state[name], dtype=array.dtype).reshape(array.shape))

    def _share(self, work: Callable[..., bool], *arguments: Any) -> bool:
        """Run ``work(numbers, scratch, *arguments)`` over all slices, consecutive runs of them on the threads.

        Returns whether it was true of all.
        """
        count = len(self._cuts)  # none without weights
        threads = min(POOL.threads, count)
        if threads <= 1:
            return work(range(count), self._scratch[0], *arguments)
        while len(self._scratch) < threads:
            self._scratch.append(_lender(self.buffers.dtype))
        cuts, good = bounds(count, threads), [True] * threads

        def run(number: int) -> None:
            good[number] = work(range(*cuts[number]), self._scratch[number], *arguments)

        POOL.run([partial(run, number) for number in range(threads)])
        return all(good)


def _finite(gradient: Array) -> bool:
    """Say whether all of `gradient`, which is in the cache, is finite."""
    # The sum of the squares is one pass, but may overflow where the gradient does not.
    return math.isfinite(gradient.dot(gradient)) or bool(np.isfinite(gradient).all())


def _lender(dtype: np.dtype[Any]) -> Scratch:
    empty = Workspace(dtype).empty

    def scratch(name: str, size: int) -> Array:
        return empty(name, (size,))

    return scratch


def _sum_of(parts: Sequence[Array], cut: slice) -> Array:
    """Add a slice of all `parts` up in the first of them; return it."""
    total: Array = tree(_add_to, [part[cut] for part in parts])
    return total


def _add_to(a: Array, b: Array) -> Array:
    return np.add(a, b, out=a)
