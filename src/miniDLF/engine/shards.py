"""A program for the whole batch becomes one for each shard, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import miniDLF.engine.loops  # noqa: F401 - which adds the rules of loops and branches
from miniDLF.engine.batch_axis import WHOLE, Mixes, Partial, Placement, Split, keeps_sums, rule_of, with_length
from miniDLF.engine.program import Program
from miniDLF.tensor.gradients import place
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.recording import Recording, recording
from miniDLF.tensor.tensor import Tensor, apply, output, placeholder

__all__ = ["Meeting", "Parts", "cut"]


@dataclass
class Meeting:
    """Where shards meet: what each has is joined to one value, which is the same for all.

    Attributes
    ----------
    local : list of Tensor
        The part of a shard, in the program of every size of shard.
    joined : Tensor
        The place of the result in the common program.
    how : str
        "sum", "max" or "min".
    """

    local: list[Tensor]
    joined: Tensor
    how: str


@dataclass
class Import:
    """A value of the common program that shards read: the whole of it, or their rows."""

    common: Tensor
    local: list[Tensor]
    split: Split | None


@dataclass
class Parts:
    """A program cut into shards.

    Attributes
    ----------
    sizes : list of int
        The different numbers of samples that a shard may have; ``local`` lists are in this order.
    inputs : list
        For every input of the program, the placeholders of the shards' parts and how it is split, or ``None``.
    imports, meetings : list
    outputs : list
        For every output of the program: its placement, and the tensor in the common program or those of the shards.
    reason : str
        Why everything runs in one piece, if it does.
    """

    sizes: list[int]
    inputs: list[tuple[list[Tensor], Split] | None] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    meetings: list[Meeting] = field(default_factory=list)
    outputs: list[tuple[Placement, Any]] = field(default_factory=list)
    reason: str = ""


def cut(program: Program, batch: Sequence[bool], samples: int, sizes: Sequence[int]) -> Parts:
    """Cut `program` along the first axis of those inputs for which `batch` says so.

    Returns
    -------
    Parts
        With ``reason`` where an operation mixes samples: then the program is left in one piece.
    """
    try:
        return _Cutter(program, batch, samples, list(sizes)).run()
    except _InOnePiece as found:
        parts = Parts([samples], reason=str(found))
        parts.inputs = [None for _ in program.inputs]
        parts.outputs = [(WHOLE, tensor) for tensor in program.outputs]
        return parts


class _InOnePiece(Exception):
    pass


class _Cutter:
    def __init__(self, program: Program, batch: Sequence[bool], samples: int, sizes: list[int]) -> None:
        self.program, self.sizes = program, sizes
        self.parts = Parts(sizes)
        self.placement: dict[Any, Placement] = {}
        self.common: dict[Any, Tensor] = {}
        self.local: dict[Any, list[Tensor]] = {}
        self.imported: dict[Any, list[Tensor]] = {}
        for tensor, split in zip(program.inputs, batch, strict=True):
            if not split:
                self.parts.inputs.append(None)
                continue
            own = Split(0, tensor.shape[0] // samples)
            locals_ = [placeholder(with_length(tensor.shape, own, size), tensor.dtype) for size in sizes]
            self.placement[place(tensor)], self.local[place(tensor)] = own, locals_
            self.parts.inputs.append((locals_, own))

    def run(self) -> Parts:
        with recording(Recording()):
            for operation in self.program.operations:
                self._place(operation)
            for tensor in self.program.outputs:
                where = self.placement.get(place(tensor))
                value = self._whole(tensor) if where is WHOLE else self.local[place(tensor)]
                self.parts.outputs.append((where, value))
        return self.parts

    def _place(self, operation: Operation) -> None:
        places = [self.placement.get(place(tensor)) for tensor in operation.inputs]
        if any(isinstance(where, Partial) for where in places) and self._linear(operation, places):
            return
        for tensor, where in zip(operation.inputs, places, strict=True):
            if isinstance(where, Partial):
                self._join(tensor, where)
        splits = [self.placement.get(place(tensor)) for tensor in operation.inputs]
        if all(where is WHOLE for where in splits):
            self._apply_common(operation)
            return
        made: list[Any] = []
        for number, size in enumerate(self.sizes):
            try:
                placed = rule_of(operation.primitive)(operation, splits, size)  # type: ignore[arg-type]
            except (Mixes, StopIteration, ValueError):
                raise _InOnePiece(f"{operation.primitive.name} mixes samples{_in(operation)}") from None
            inputs = [
                self._local(tensor, need, number) for tensor, need in zip(operation.inputs, placed.inputs, strict=True)
            ]
            found = apply(placed.primitive, *inputs)
            made.append(found if isinstance(found, tuple) else (found,))
        for index in range(operation.primitive.outputs):
            key = (id(operation), index)
            self.placement[key] = placed.of(index)
            self.local[key] = [one[index] for one in made]

    def _linear(self, operation: Operation, places: Sequence[Placement]) -> bool:
        """Apply a linear operation to the parts of a sum, so that fewer and smaller things are joined."""
        if not keeps_sums(operation, places):
            return False
        sums = [isinstance(where, Partial) for where in places]
        made = []
        for number in range(len(self.sizes)):
            inputs = [
                self.local[place(tensor)][number] if is_sum else self._import(tensor, None)[number]
                for tensor, is_sum in zip(operation.inputs, sums, strict=True)
            ]
            made.append(apply(operation.primitive, *inputs))
        self.placement[(id(operation), 0)], self.local[(id(operation), 0)] = Partial(), made
        return True

    def _apply_common(self, operation: Operation) -> None:
        inputs = tuple(map(self._whole, operation.inputs))
        found = apply(operation.primitive, *inputs) if operation.primitive.pure else None
        if found is None or not isinstance(found, (Tensor, tuple)):
            same = Operation(operation.primitive, inputs, operation.shapes, operation.dtypes, None, operation.scope)
            found = tuple(output(same, index) for index in range(operation.primitive.outputs))
        for index, tensor in enumerate(found if isinstance(found, tuple) else (found,)):
            self.common[(id(operation), index)] = tensor

    def _whole(self, tensor: Tensor) -> Tensor:
        where = self.placement.get(place(tensor))
        if isinstance(where, Partial):
            self._join(tensor, where)
        return self.common.get(place(tensor), tensor)

    def _join(self, tensor: Tensor, where: Partial) -> None:
        key = place(tensor)
        joined = placeholder(tensor.shape, tensor.dtype)
        self.parts.meetings.append(Meeting(self.local[key], joined, where.how))
        self.placement[key], self.common[key] = WHOLE, joined

    def _local(self, tensor: Tensor, need: Split | None, number: int) -> Tensor:
        where = self.placement.get(place(tensor))
        if isinstance(where, Split):
            if where != need:
                raise _InOnePiece("samples would have to change their places")
            return self.local[place(tensor)][number]
        return self._import(tensor, need)[number]

    def _import(self, tensor: Tensor, need: Split | None) -> list[Tensor]:
        whole = self._whole(tensor)
        if need is not None and whole.operation is None and not whole.is_symbolic and whole.size == 1:
            need = None
        key = (place(whole), need)
        known = self.imported.get(key)
        if known is None:
            shapes = [whole.shape if need is None else with_length(whole.shape, need, size) for size in self.sizes]
            known = self.imported[key] = [placeholder(shape, whole.dtype) for shape in shapes]
            self.parts.imports.append(Import(whole, known, need))
        return known


def _in(operation: Operation) -> str:
    return f" (in layer {operation.scope!r})" if operation.scope else ""


def join(how: str, arrays: Sequence[Any], out: Any) -> None:
    """Join the parts of shards into `out`, in a fixed tree, so that the result does not depend on who comes first."""
    ufunc = {"sum": np.add, "max": np.maximum, "min": np.minimum}[how]
    parts = list(arrays)
    if len(parts) == 1:
        np.copyto(out, parts[0])
        return
    while len(parts) > 2:
        pairs = [ufunc(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(pairs) * 2 :]
    ufunc(parts[0], parts[1], out=out)
