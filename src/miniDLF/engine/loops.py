"""Loops and branches in a program: how the batch runs through their bodies, and which calls they become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.engine.batch_axis import (
    RULES,
    WHOLE,
    Mixes,
    Partial,
    Placed,
    Placement,
    Split,
    keeps_sums,
    rule_of,
    with_length,
)  # fmt: skip
from miniDLF.engine.lowering import Call
from miniDLF.engine.lowering.base import Scratch, lowers
from miniDLF.engine.memory import ScratchSpace
from miniDLF.engine.passes import PASSES
from miniDLF.engine.plan import Plan
from miniDLF.engine.program import Program
from miniDLF.kernels.workspace import Array, lasting
from miniDLF.ops.bodies import Body
from miniDLF.ops.branches import Cond
from miniDLF.ops.choices import StopGradient
from miniDLF.ops.loops import Scan
from miniDLF.tensor.gradients import place
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.recording import Recording, recording
from miniDLF.tensor.tensor import Tensor, apply, output, placeholder
from miniDLF.tensor.variable import Variable

__all__: list[str] = []


class _Needs(Exception):
    """An input that is the same for all is needed in parts."""

    def __init__(self, number: int, split: Split) -> None:
        self.number, self.split = number, split


def _placed_body(body: Body, places: Sequence[Placement], rows: int) -> tuple[Body, list[Placement]]:
    """Return the body for a shard of `rows` samples, and where its outputs are, for inputs that are at `places`."""
    inputs = [
        placeholder(with_length(one.shape, where, rows) if isinstance(where, Split) else one.shape, one.dtype)
        for one, where in zip(body.inputs, places, strict=True)
    ]
    numbers = {place(one): number for number, one in enumerate(body.inputs)}
    where = dict(zip(map(place, body.inputs), places, strict=True))
    local = dict(zip(map(place, body.inputs), inputs, strict=True))
    with recording(Recording()):
        for operation in body.operations:
            found = [where.get(place(one), WHOLE) for one in operation.inputs]
            primitive, result = _locally(operation, found, rows, numbers)
            made = apply(primitive, *(local.get(place(one), one) for one in operation.inputs))
            made = made if isinstance(made, tuple) else (made,)
            results = result if isinstance(result, tuple) else (result,) * len(made)
            for index, (tensor, its) in enumerate(zip(made, results, strict=True)):
                local[(id(operation), index)], where[(id(operation), index)] = tensor, its
    outputs = [local.get(place(one), one) for one in body.outputs]
    return Body(inputs, outputs), [where.get(place(one), WHOLE) for one in body.outputs]


def _locally(operation: Operation, found: list[Placement], rows: int, numbers: dict[Any, int]) -> tuple[Any, Any]:
    if any(isinstance(one, Partial) for one in found):
        if not keeps_sums(operation, found):
            raise Mixes
        return operation.primitive, Partial()
    if all(one is WHOLE for one in found):
        return operation.primitive, WHOLE
    placed = rule_of(operation.primitive)(operation, found, rows)  # type: ignore[arg-type]
    for tensor, own, need in zip(operation.inputs, found, placed.inputs, strict=True):
        if own == need:
            continue
        if own is WHOLE and isinstance(need, Split) and place(tensor) in numbers:
            raise _Needs(numbers[place(tensor)], need)
        raise Mixes
    return placed.primitive, placed.result


def _outside(where: Placement) -> Placement:
    """Return where a value is that shards have: the same in all of them is the largest of all."""
    return Partial("max") if where is WHOLE else where


def _scan(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    scan = operation.primitive
    assert isinstance(scan, Scan)
    carries, stop = scan.carries, scan.carries + scan.sequences
    places: list[Placement] = list(splits)
    for number in range(carries, stop):
        places[number] = _of_step(splits[number])
    _guess_carries(scan, places, rows)
    while True:
        try:
            body, results = _placed_body(scan.body, places, rows)
        except _Needs as needs:
            places[needs.number] = needs.split
            continue
        changed = [number for number in range(carries) if results[number] != places[number]]
        if not changed:
            break
        for number in changed:
            if places[number] is not WHOLE or (isinstance(results[number], Partial) and not _zero(operation, number)):
                raise Mixes
            places[number] = results[number]
    needed = [
        _of_all(where) if carries <= number < stop else where if isinstance(where, Split) else None
        for number, where in enumerate(places)
    ]
    stacked = [*results[carries:], *(places[:carries] if scan.keeps else [])]
    placed = [*map(_outside, places[:carries]), *(_of_all(_outside(one)) for one in stacked)]
    local = Scan(body, carries, scan.sequences, scan.length, scan.reverse, scan.keeps)
    return Placed(tuple(placed) if len(placed) > 1 else placed[0], local, tuple(needed))  # type: ignore[arg-type]


_UNKNOWN = Partial("unknown")


def _guess_carries(scan: Scan, places: list[Placement], rows: int) -> None:
    """Say where carries will be that begin the same for all: where the values are with which they are joined."""
    for number in range(scan.carries):
        places[number] = _UNKNOWN if places[number] is WHOLE else places[number]
    for _ in range(scan.carries):
        where = dict(zip(map(place, scan.body.inputs), places, strict=True))
        for operation in scan.body.operations:
            found = [where.get(place(one), WHOLE) for one in operation.inputs]
            result = _guess(operation, found, rows)
            results = result if isinstance(result, tuple) else (result,) * operation.primitive.outputs
            where.update({(id(operation), index): its for index, its in enumerate(results)})
        for number, one in enumerate(scan.body.outputs[: scan.carries]):
            places[number] = where.get(place(one), WHOLE) if places[number] is _UNKNOWN else places[number]
    for number in range(scan.carries):
        places[number] = WHOLE if places[number] is _UNKNOWN else places[number]


def _guess(operation: Operation, found: list[Placement], rows: int) -> Any:
    known = [one for one in found if one is not _UNKNOWN]
    if len(known) < len(found) and all(one is WHOLE for one in known):
        return _UNKNOWN
    try:
        if any(isinstance(one, Partial) for one in known):
            return _locally(operation, [Partial() if one is _UNKNOWN else one for one in found], rows, {})[1]
        if all(one is WHOLE for one in found):
            return WHOLE
        return rule_of(operation.primitive)(operation, [_split(one) for one in found], rows).result
    except (Mixes, StopIteration, ValueError):
        return _UNKNOWN


def _split(where: Placement) -> Split | None:
    return where if isinstance(where, Split) else None


def _of_step(split: Split | None) -> Split | None:
    if split is not None and split.axis == 0:
        raise Mixes  # the steps are the samples
    return None if split is None else Split(split.axis - 1, split.per)


def _of_all(where: Placement) -> Placement:
    return Split(where.axis + 1, where.per) if isinstance(where, Split) else where


def _zero(operation: Operation, number: int) -> bool:
    tensor = operation.inputs[number]
    return not tensor.is_symbolic and not isinstance(tensor, Variable) and not tensor.numpy().any()


def _cond(operation: Operation, splits: Sequence[Split | None], rows: int) -> Placed:
    cond = operation.primitive
    assert isinstance(cond, Cond)
    if splits[0] is not None:
        raise Mixes
    places: list[Placement] = list(splits[1:])
    while True:
        try:
            first, of_first = _placed_body(cond.on_true, places, rows)
            second, of_second = _placed_body(cond.on_false, places, rows)
            break
        except _Needs as needs:
            places[needs.number] = needs.split
    if of_first != of_second:
        raise Mixes
    placed = tuple(map(_outside, of_first))
    return Placed(placed if len(placed) > 1 else placed[0], Cond(first, second), (None, *places))  # type: ignore[arg-type]


RULES.update({Scan: _scan, Cond: _cond})


# Calls --------------------------------------------------------------------------------------------------------------


@lowers(Scan)
def _scan_calls(primitive: Any, inputs: Sequence[Array], out: Any, scratch: Scratch) -> list[Call]:
    """The body is planned once, and its calls come again for every step, with copies to and from its places between."""
    out = out if isinstance(out, tuple) else (out,)
    carries, stop = primitive.carries, primitive.carries + primitive.sequences
    count = len(primitive.body.outputs)
    own = [lasting(x.shape, x.dtype) for x in inputs[:carries]]
    steps = [lasting(x.shape[1:], x.dtype) for x in inputs[carries:stop]]
    calls, found = _planned(primitive.body, [*own, *steps, *inputs[stop:]], scratch)
    moves: list[Call] = [(np.copyto, (array, x)) for array, x in zip(own, inputs, strict=False)]
    for t in primitive.steps():
        moves += [(np.copyto, (array, x[t, ...])) for array, x in zip(steps, inputs[carries:stop], strict=True)]
        if primitive.keeps:
            moves += [(np.copyto, (began[t, ...], array)) for began, array in zip(out[count:], own, strict=True)]
        moves += calls
        moves += [(np.copyto, (y[t, ...], array)) for y, array in zip(out[carries:count], found[carries:], strict=True)]
        moves += [(np.copyto, (array, new)) for array, new in zip(own, found, strict=False)]
    return moves + [(np.copyto, (last, array)) for last, array in zip(out, own, strict=False)]


@lowers(Cond)
def _cond_calls(primitive: Any, inputs: Sequence[Array], out: Any, scratch: Scratch) -> list[Call]:
    out = out if isinstance(out, tuple) else (out,)
    branches = []
    for body in (primitive.on_true, primitive.on_false):
        calls, found = _planned(body, inputs[1:], scratch)
        branches.append([*calls, *((np.copyto, (target, array)) for target, array in zip(out, found, strict=True))])
    return [(_run_one, (inputs[0].reshape(()), *branches))]


def _run_one(condition: Array, on_true: list[Call], on_false: list[Call]) -> None:
    for function, arguments in on_true if condition else on_false:
        function(*arguments)


def _planned(body: Body, arrays: Sequence[Array], scratch: Any) -> tuple[list[Call], list[Array]]:
    """Return the calls of a body on these arrays, and where its outputs are then: in places of their own."""
    program = Program(body.inputs, body.outputs)
    for improve in PASSES:
        program = improve(program)
    with recording(Recording()):
        outputs = [_apart(tensor) for tensor in program.outputs]
    program = Program(program.inputs, outputs)
    known = {place(tensor): array for tensor, array in zip(program.inputs, arrays, strict=True)}
    operations = program.operations
    space = ScratchSpace(scratch.shard, scratch.clock)
    plan = Plan(operations, [0] * len(operations), known, [(tensor, None) for tensor in outputs], space)
    return plan.calls[0], [plan.array(tensor) for tensor in outputs]


def _apart(tensor: Tensor) -> Tensor:
    """Let a result that is an input, a constant or a view lie in memory of its own."""
    if tensor.operation is not None and not tensor.operation.primitive.is_view:
        return tensor
    return output(Operation(StopGradient(), (tensor,), (tensor.shape,), (tensor.dtype,)))
