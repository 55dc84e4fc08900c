"""The flat buffers that hold a model's numbers: names and shapes are only their map."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.core.parameter import Parameter
from miniDLF.kernels.sharing import MEMORY, is_shared
from miniDLF.kernels.workspace import ALIGNMENT, Array, Shape, aligned_empty

__all__ = ["Buffers", "Slot"]

#: Models that share layers may be used from several threads: only one at a time moves parameters, so that the one that
#: is `current` owns all of its own.
_MOVING = threading.Lock()


@dataclass(frozen=True)
class Slot:
    """Where a parameter lies: ``values[slice]`` if it is trained, ``state[slice]`` if not."""

    path: str
    parameter: Parameter
    slice: slice
    trained: bool

    @property
    def shape(self) -> Shape:
        """The parameter's shape."""
        return self.parameter.shape


class Buffers:
    """Three vectors for a whole model: trained values, their gradients, and state that is not trained.

    An optimizer step, a clip by global norm, a sum over machines or a snapshot is one pass over one of them. The
    parameters of a layer lie next to each other; every layer begins on a cache line.

    Attributes
    ----------
    written : bool
        Whether values have been set from outside since the last update, as far as is known (not by ``value[...] =``).

    Parameters
    ----------
    entries
        For every layer of the model its (path, parameter, trained) triples.
    dtype
        Type of the numbers; a parameter that already has values keeps them.
    """

    def __init__(self, entries: Sequence[Sequence[tuple[str, Parameter, bool]]], dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.slots: list[Slot] = []
        unit = ALIGNMENT // self.dtype.itemsize
        sizes = {True: 0, False: 0}
        for layer in entries:
            for trained in (True, False):
                sizes[trained] += -sizes[trained] % unit
            for path, parameter, trained in layer:
                start = sizes[trained]
                sizes[trained] = start + parameter.size
                self.slots.append(Slot(path, parameter, slice(start, start + parameter.size), trained))
        self.values, self.gradients, self.state = (
            self._zeros(sizes[True]),
            self._zeros(sizes[True]),
            self._zeros(sizes[False]),
        )
        self._process = MEMORY.process
        self.current = False
        self.written = True
        self.take()

    def _zeros(self, size: int) -> Array:
        vector = aligned_empty(size, self.dtype)
        vector.fill(0)
        return vector

    def take(self) -> None:
        """Make this model the owner of its parameters: copy their values here and point them here.

        Another model that shares some of them notices that it is no longer `current` and takes them back before its
        next step.
        """
        self.settle()
        with _MOVING:
            for slot in self.slots:
                parameter, home = slot.parameter, self.values if slot.trained else self.state
                view = home[slot.slice].reshape(slot.shape)
                if parameter.value is not None:
                    view[...] = parameter.value
                if parameter.owner is not None and parameter.owner is not self:
                    parameter.owner.current = False
                gradient = self.gradients[slot.slice].reshape(slot.shape) if slot.trained else None
                parameter.move(self, view, gradient)
            self.current = self.written = True

    def settle(self) -> None:
        """In a fork of the process that made this, move to memory of its own, where forks share it with their parent.

        What a child sets would else be set in its parent and in its siblings, too. It takes the weights as it finds
        them: those of the moment when it first uses the model.
        """
        if self._process == MEMORY.process:
            return
        with _MOVING:
            if self._process != MEMORY.process and is_shared(self.values):
                self.values, self.gradients, self.state = map(self._copied, (self.values, self.gradients, self.state))
                for slot in self.slots if self.current else ():
                    home = self.values if slot.trained else self.state
                    gradient = self.gradients[slot.slice].reshape(slot.shape) if slot.trained else None
                    slot.parameter.move(self, home[slot.slice].reshape(slot.shape), gradient)
            self._process = MEMORY.process

    def _copied(self, vector: Array) -> Array:
        copy = aligned_empty(vector.size, self.dtype)
        np.copyto(copy, vector)
        return copy

    def trained_slots(self) -> list[Slot]:
        """The slots of what the optimizer trains."""
        return [slot for slot in self.slots if slot.trained]

    def views(self, vector: Array) -> dict[Parameter, Array]:
        """Cut a vector laid out like `gradients` into arrays of the trained parameters' shapes."""
        return {slot.parameter: vector[slot.slice].reshape(slot.shape) for slot in self.slots if slot.trained}

    def named(self, vector: Array) -> dict[str, Any]:
        """Cut a vector laid out like `gradients` into named arrays."""
        return {slot.path: vector[slot.slice].reshape(slot.shape) for slot in self.slots if slot.trained}
