"""Applies an optimizer to the flat buffers, in slices that fit the cache, shared over the threads."""

from __future__ import annotations

import math
import zlib
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
#: All that moves together (values, statistics, the optimizer's arrays) is copied before every so many updates: 4 % of
#: the memory that the updates of Adam move in between.
SNAPSHOT = 32
#: Values whose loss is so many times that with which the run began are on their way to infinity: no step to go back to.
RISE = 100.0


class Updater:
    """Joins the shards' gradients and steps the optimizer.

    Attributes
    ----------
    state : dict of str to array
        The optimizer's flat state, laid out like ``buffers.values``; an array whose name begins with an underscore is
        no such vector, and whole in every slice.
    previous_step : int or None
        How many updates had been done when all was copied to which `restore` goes back.
    reference : float
        The size of the loss with which the run began.
    raw : array or None
        What the optimizer goes on with, where `finish` has left other values in the buffers.
    running : bool
        Whether a run is on its way (see `begin` and `finish`).
    """

    def __init__(self, optimizer: Any, buffers: Buffers) -> None:
        self.optimizer, self.buffers = optimizer, buffers
        size = buffers.values.size
        # An optimizer over the whole data set works by `Engine.minimize` and keeps no state between epochs.
        self.state: dict[str, Array] = {} if optimizer.full_batch else optimizer.init_state(size, buffers.dtype)
        self.previous_step: int | None = None
        self.reference = 0.0
        self.raw: Array | None = None
        self.running = False
        self._mark: int | None = None  # of the values with which the last run ended
        self._due = True
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
        self._previous: dict[str, Array] = {}
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

    def apply(
        self,
        step: int,
        parts: Sequence[Array] | None = None,
        alone: Sequence[slice] = (),
        loss: float | None = None,
    ) -> bool:
        """Update the values by the shards' gradients (without any, by ``buffers.gradients``). `step` counts from 1.

        Where the first part is `alone`, the others are zeros (see `core.joint`). `loss` is that of the values before.
        Gradients that nobody looks at before the update are summed slice by slice on the way: one wait for the threads
        less, and they need not be written and read again. There they are also checked. Returns whether all were finite;
        where they were not the update is not complete, and `restore` has to follow.
        """
        optimizer, slices = self.optimizer, self._parts_of(parts or [self.buffers.gradients], alone)
        if self._due or (step - 1) % SNAPSHOT == 0 or self.buffers.written:
            self._keep(step - 1, loss)
        if optimizer.uses_before:
            if not self._share(self._join, slices, True):
                return False
            slices = [parts[:1] for parts in slices]
        if not optimizer.before(self.buffers, self.state, step):
            return True
        rate = float(optimizer.rate(step - 1))
        if len(self._cuts) == 1:  # nothing to share: 2 % of a tiny step
            good = self._apply((0,), self._scratch[0], slices, rate, step)
        else:
            good = self._share(self._apply, slices, rate, step)
        if not good:
            return False
        optimizer.after(self.buffers, self.state, step)
        for slot in self._constrained:
            slot.parameter.constraint.apply(slot.parameter.value)
        return True

    def _apply(
        self, numbers: Sequence[int], scratch: Scratch, slices: Sequence[Sequence[Array]], rate: float, step: int
    ) -> bool:
        finite = True
        for number in numbers:
            value, gradient, parts = self._values[number], self._gradients[number], slices[number]
            if len(parts) == 2:  # the sum stays in the cache, and the gradient need not be written to memory again
                gradient = np.add(gradient, parts[1][self._cuts[number]], out=scratch("gradient", value.size))
            elif len(parts) > 2:
                gradient = _sum_of(parts, self._cuts[number])
            if _finite(gradient):
                self.optimizer.update(value, gradient, self._local[number], rate, step, scratch)
            else:
                finite = False
        return finite

    # Going back -----------------------------------------------------------------------------------------------------

    def moving(self) -> dict[str, Array]:
        """Return all arrays that change together in a step: to go back with some of them alone is to go nowhere."""
        optimizer = {f"optimizer/{name}": array for name, array in self.state.items()}
        return {"values": self.buffers.values, "state": self.buffers.state, **optimizer}

    def keep_soon(self) -> None:
        """Copy all before the next update, so that a run which is resumed here goes back to the same step."""
        self._due = True

    def _keep(self, step: int, loss: float | None) -> None:
        """Copy all that moves, unless the loss tells that the run is diverging already."""
        if self.buffers.written:  # there is nothing before these values to which anybody would want to go back
            self.reference, self.buffers.written = 0.0, False
        elif (
            loss is not None and self.reference and abs(loss) > RISE * self.reference and self.previous_step is not None
        ):
            return
        if loss is not None and not self.reference:
            self.reference = abs(loss)
        moving = self.moving()
        if not self._previous:
            self._previous = {name: aligned_empty(array.size, array.dtype) for name, array in moving.items()}
        whole = [name for name, array in moving.items() if array.size != self.buffers.values.size]
        for name in whole:
            np.copyto(self._previous[name], moving[name])
        pairs = [(self._previous[name], array) for name, array in moving.items() if name not in whole]
        self._share(self._copy, pairs)
        self.previous_step, self._due = step, False

    def _copy(self, numbers: Sequence[int], _: Scratch, pairs: Sequence[tuple[Array, Array]]) -> bool:
        for number in numbers:
            for kept, array in pairs:
                np.copyto(kept[self._cuts[number]], array[self._cuts[number]])
        return True

    def restore(self) -> int | None:
        """Put back all that moves as it was when the loss was finite; return after how many updates that was.

        Values that somebody has set since the last update are left as they are, and nothing else has changed since:
        there ``None`` is returned.
        """
        if self.buffers.written or self.previous_step is None:
            return None
        for name, array in self.moving().items():
            np.copyto(array, self._previous[name])
        return self.previous_step

    # Runs -----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A run begins: go on where the last one ended, unless the values have been changed since."""
        if self._mark is not None and self._mark == _mark(self.buffers.values):
            self.go_on()
        else:
            if self._mark is not None:
                self.optimizer.restart(self.state)
            self.buffers.written, self.raw = True, None
        self._mark = None
        self.running = self._due = True

    def go_on(self) -> None:
        """Take back the values that `finish` has replaced."""
        if self.raw is not None:
            np.copyto(self.buffers.values, self.raw)
            self.raw = None

    def finish(self) -> None:
        """A run is over: leave in the buffers the values that the optimizer wants a model to have, an average."""
        finished = self.optimizer.finished(self.state)
        if finished is not None:
            self.raw = self.buffers.values.copy()
            np.copyto(self.buffers.values, finished)
        self._mark, self.running = _mark(self.buffers.values), False

    def load_state(self, state: Mapping[str, Array], reference: float = 0.0, raw: Array | None = None) -> None:
        """Fill the optimizer's state from saved arrays of the same names and sizes; go on as the run that saved it."""
        for name, array in self.state.items():
            np.copyto(array, np.asarray(state[name], dtype=array.dtype).reshape(array.shape))
        self.reference, self.raw, self.previous_step, self._due = reference, raw, None, True
        self.buffers.written, self._mark = False, _mark(self.buffers.values)

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


def _mark(values: Array) -> int:
    """Return a number by which a change of `values` is noticed, whoever made it: 1 ms for a million of them."""
    return zlib.crc32(values.data)


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
