"""The plan: operations become calls of NumPy on fixed arrays, in memory that is shared where lifetimes allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.engine.lowering import Call, lower, overwrites
from miniDLF.engine.memory import Arena, ScratchSpace, Storage
from miniDLF.kernels.workspace import Array
from miniDLF.tensor.gradients import place
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.tensor import Tensor

__all__ = ["Plan"]

FOREVER = 2**60


class Plan:
    """Calls for a list of operations.

    Attributes
    ----------
    calls : list of list of Call
        The calls of every level, which run between two meetings.
    nbytes : int
        Memory of the values within and of scratch.

    Parameters
    ----------
    operations
        In order; `levels` says to which level each belongs, and never falls.
    arrays
        For inputs, variables and constants the arrays where they are, by `place`.
    targets
        The results, each with the array to write it to, or ``None`` for an array of its own that stays.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        levels: Sequence[int],
        arrays: dict[Any, Array],
        targets: Sequence[tuple[Tensor, Array | None]],
        scratch: ScratchSpace,
    ) -> None:
        self.operations, self.levels = list(operations), list(levels)
        self._arrays = dict(arrays)
        for tensor, _ in targets:
            if tensor.operation is None and place(tensor) not in self._arrays:  # a constant
                self._arrays[place(tensor)] = tensor.data
        self._given = {place(tensor): array for tensor, array in targets if array is not None}
        self._kept = {place(tensor) for tensor, _ in targets}
        self._roots: dict[Any, Any] = {}  # the value whose memory a view shows
        self._storages: dict[Any, Storage] = {}
        self._targets = list(targets)
        self._lives()
        self._in_place()
        storages = list({id(storage): storage for storage in self._storages.values()}.values())
        self.arena, self.scratch = Arena(storages), scratch
        self.calls = self._bind()
        self.nbytes = self.arena.nbytes + self.scratch.nbytes
        self._arrays = {key: self._arrays[key] for key in (place(tensor) for tensor, _ in targets)}

    def array(self, tensor: Tensor) -> Array:
        """Return where a target is written."""
        return self._arrays[place(tensor)]

    def _lives(self) -> None:
        """Find, for every value that needs memory, from when to when."""
        shown: dict[Any, Array] = {}  # arrays without numbers, to see which views there are
        for key, array in self._arrays.items():
            shown[key] = array
        last: dict[Any, int] = {}
        for number, operation in enumerate(self.operations):
            for tensor in operation.inputs:
                key = place(tensor)
                if key not in shown:  # a constant of the program
                    shown[key] = self._arrays[key] = tensor.data
                last[self._root(key)] = number
            view = self._view(operation, [shown[place(tensor)] for tensor in operation.inputs])
            if view is not None:
                shown[(id(operation), 0)] = view
                self._roots[(id(operation), 0)] = self._root(place(operation.inputs[0]))
                continue
            for index, (shape, dtype) in enumerate(zip(operation.shapes, operation.dtypes, strict=True)):
                key = (id(operation), index)
                shown[key] = self._given[key] if key in self._given else np.empty(shape, dtype)
                last[key] = number
                if key not in self._given:
                    self._storages[key] = Storage(shape, dtype, number, number)
        for key in self._kept:
            last[self._root(key)] = FOREVER
        for key, storage in self._storages.items():
            storage.end = last[key]
        self._last = last

    def _view(self, operation: Operation, inputs: Sequence[Array]) -> Array | None:
        """Return the view that the operation is of its input, if it is one and need not lie somewhere else."""
        if not operation.primitive.is_view or (id(operation), 0) in self._given:
            return None
        found = operation.primitive.evaluate(*inputs)
        return found if np.may_share_memory(found, inputs[0]) or not found.size else None

    def _root(self, key: Any) -> Any:
        return self._roots.get(key, key)

    def _in_place(self) -> None:
        """Let results take over the memory of inputs that end there."""
        for number, operation in enumerate(self.operations):
            key = (id(operation), 0)
            own = self._storages.get(key)
            if own is None or operation.primitive.outputs > 1 or not overwrites(operation.primitive):
                continue
            roots = [self._root(place(tensor)) for tensor in operation.inputs]
            for tensor, root in zip(operation.inputs, roots, strict=True):
                source, storage = place(tensor), self._storages.get(root)
                if (
                    storage is not None
                    and roots.count(root) == 1  # another view of it may be read after a part was written
                    and self._last[root] == number
                    and storage.end == number
                    and (source == root or self._same_order(tensor))
                    and tensor.shape == operation.shapes[0]
                    and tensor.dtype == operation.dtypes[0]
                ):
                    storage.end = own.end
                    self._storages[key] = storage
                    break

    def _same_order(self, tensor: Tensor) -> bool:
        """Say whether a view shows all of its memory in order: a reshape."""
        while tensor.operation is not None and type(tensor.operation.primitive).__name__ == "Reshape":
            tensor = tensor.operation.inputs[0]
        return place(tensor) == self._root(place(tensor))

    def _bind(self) -> list[list[Call]]:
        levels = max(self.levels, default=0) + 1
        calls: list[list[Call]] = [[] for _ in range(levels)]
        arrays = self._arrays
        for operation, level in zip(self.operations, self.levels, strict=True):
            inputs = [arrays[place(tensor)] for tensor in operation.inputs]
            keys = [(id(operation), index) for index in range(operation.primitive.outputs)]
            if keys[0] in self._roots:
                arrays[keys[0]] = operation.primitive.evaluate(*inputs)
                continue
            for index, key in enumerate(keys):
                given = self._given.get(key)
                if given is None:
                    found = self.arena.array(self._storages[key])
                    given = found.reshape(operation.shapes[index])
                arrays[key] = given
            out = arrays[keys[0]] if len(keys) == 1 else tuple(arrays[key] for key in keys)
            self.scratch.begin()
            inputs = [out if out is not array and _is(array, out) else array for array in inputs]
            calls[level] += lower(operation.primitive, inputs, out, self.scratch)
        for tensor, array in self._targets:
            found = arrays[place(tensor)]
            if array is not None and found is not array:  # what is wanted in two places, or is no result of its own
                calls[-1].append((np.copyto, (array, found)))
        return calls


def _is(array: Array, out: Any) -> bool:
    """Say whether two arrays are the same numbers in the same place: the same one, for a lowering that asks."""
    return (
        isinstance(out, np.ndarray)
        and array.__array_interface__["data"] == out.__array_interface__["data"]
        and array.shape == out.shape
        and array.strides == out.strides
        and array.dtype == out.dtype
        and out.size > 0
    )
