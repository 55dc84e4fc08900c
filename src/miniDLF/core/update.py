"""Applies an optimizer to the flat buffers, in slices that fit the cache, shared over the threads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.executor import bounds, tree
from miniDLF.kernels.threads import POOL
from miniDLF.kernels.workspace import Array, Workspace, aligned_empty

__all__ = ["Updater"]

#: Elements of a slice, at the most. Smaller ones would stay in a cache of the second level, but two threads that make
#: short NumPy calls hinder each other at the interpreter's lock. Adam over 6.3 million values on one and two threads:
#: slices of 16 384 9.4 and 10.5 ms, of 65 536 7.6 and 5.2 ms, of 262 144 8.2 and 5.8 ms.
SLICE = 65_536


class Updater:
    """Joins the shards' gradients, checks them, and steps the optimizer.

    Attributes
    ----------
    state : dict of str to array
        The optimizer's flat state, laid out like ``buffers.values``.
    previous : array
        The values before the last update: the last ones known to give a finite loss.
    """

    def __init__(self, optimizer: Any, buffers: Buffers) -> None:
        self.optimizer, self.buffers = optimizer, buffers
        size = buffers.values.size
        # An optimizer over the whole data set works by `Engine.minimize` and keeps no state between epochs.
        self.state: dict[str, Array] = {} if optimizer.full_batch else optimizer.init_state(size, buffers.dtype)
        self.previous = aligned_empty(size, buffers.dtype)
        np.copyto(self.previous, buffers.values)
        self._regularized = [s for s in buffers.slots if s.trained and s.parameter.regularizer is not None]
        self._constrained = [s for s in buffers.slots if s.trained and s.parameter.constraint is not None]
        count = max(-(-size // SLICE), 1)
        self._cuts = slices = [slice(*cut) for cut in bounds(size, count + (count % 2 if count > 1 else 0))]
        self._scratch: list[Workspace] = []
        self._sums: list[float] = [0.0] * len(slices)
        self._local: list[dict[str, Array]] = [
            {name: array if name.startswith("_") else array[cut] for name, array in self.state.items()}
            for cut in slices
        ]

    def join(self, parts: list[Array]) -> bool:
        """Sum the shards' gradients into ``buffers.gradients`` (a fixed tree); return whether they are all finite."""
        self._share(partial(self._join, parts))
        if np.isfinite(sum(self._sums)):
            return True
        return bool(np.isfinite(self.buffers.gradients).all())  # a square may overflow where the gradient does not

    def _join(self, parts: list[Array], numbers: range, _: Workspace) -> None:
        for number in numbers:
            cut = self._cuts[number]
            total = tree(_add_to, [part[cut] for part in parts])
            self._sums[number] = float(np.dot(total, total))

    def penalties(self) -> float:
        """Add the gradients of the regularizers; return what they add to the loss."""
        total = 0.0
        for slot in self._regularized:
            total += slot.parameter.regularizer.value_and_grad(slot.parameter.value, slot.parameter.grad)
        return total

    def apply(self, step: int) -> None:
        """Update the values. `step` counts from 1."""
        optimizer = self.optimizer
        if not optimizer.before(self.buffers, self.state, step):
            return
        self._share(partial(self._apply, float(optimizer.rate(step - 1)), step))
        optimizer.after(self.buffers, self.state, step)
        for slot in self._constrained:
            slot.parameter.constraint.apply(slot.parameter.value)

    def _apply(self, rate: float, step: int, numbers: range, workspace: Workspace) -> None:
        values, gradients, update, lend = (
            self.buffers.values,
            self.buffers.gradients,
            self.optimizer.update,
            workspace.empty,
        )

        def scratch(name: str, size: int) -> Array:
            return lend(name, (size,))

        for number in numbers:
            cut = self._cuts[number]
            value = values[cut]
            np.copyto(self.previous[cut], value)
            update(value, gradients[cut], self._local[number], rate, step, scratch)

    def restore(self) -> None:
        """Put back the values before the last update."""
        np.copyto(self.buffers.values, self.previous)

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Fill the optimizer's state from saved arrays of the same names and sizes."""
        for name, array in self.state.items():
            np.copyto(array, np.asarray(state[name], dtype=array.dtype).reshape(array.shape))

    def _share(self, work: Any) -> None:
        """Run `work` over all slices: consecutive runs of them on the threads."""
        threads = min(POOL.threads, len(self._cuts))
        while len(self._scratch) < max(threads, 1):
            self._scratch.append(Workspace(self.buffers.dtype))
        cuts = bounds(len(self._cuts), max(threads, 1))
        if len(cuts) <= 1:
            if self._cuts:
                work(range(len(self._cuts)), self._scratch[0])
            return
        POOL.run([partial(work, range(*cut), self._scratch[number]) for number, cut in enumerate(cuts)])


def _add_to(a: Array, b: Array) -> Array:
    return np.add(a, b, out=a)
