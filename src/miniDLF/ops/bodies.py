"""Functions of tensors that are recorded once, to be a part of an operation: the body of a loop, a branch."""

from __future__ import annotations

import random as python_random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError, MiniDLFError
from miniDLF.kernels.workspace import Array
from miniDLF.tensor import recording
from miniDLF.tensor.gradients import gradient, history, place
from miniDLF.tensor.primitive import Operation, Primitive
from miniDLF.tensor.recording import Recording
from miniDLF.tensor.tensor import Tensor, apply, as_tensor, placeholder
from miniDLF.tensor.variable import Variable

__all__ = ["Body", "Several", "recorded", "sum_of"]


class Body:
    """A recorded function.

    Attributes
    ----------
    inputs : list of Tensor
        Placeholders of its arguments, and after them of what it uses from outside.
    operations : list of Operation
        In order.
    outputs : list of Tensor
    """

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.operations = [operation for operation in history(outputs) if operation.arrays is None]

    @property
    def is_pure(self) -> bool:
        """Whether it draws no random numbers."""
        return all(operation.primitive.pure for operation in self.operations)

    @property
    def flops(self) -> int:
        """The floating-point operations of one call."""
        return sum(one.primitive.flops(*(x.shape for x in one.inputs)) for one in self.operations)

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for these inputs, operation by operation."""
        known = {place(tensor): array for tensor, array in zip(self.inputs, arrays, strict=True)}

        def of(tensor: Tensor) -> Array:
            found = known.get(place(tensor))
            return tensor.data if found is None else found

        for operation in self.operations:
            results = operation.primitive.evaluate(*map(of, operation.inputs))
            for number, result in enumerate(results if operation.primitive.outputs > 1 else (results,)):
                known[(id(operation), number)] = result
        return [of(tensor) for tensor in self.outputs]

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs for other tensors in the place of the inputs."""
        return _with(dict(zip(map(place, self.inputs), tensors, strict=True)), self.operations, self.outputs)

    def uses(self) -> list[bool]:
        """Return, for each input, whether anything depends on it."""
        read = {place(tensor) for operation in self.operations for tensor in operation.inputs}
        read |= {place(tensor) for tensor in self.outputs}
        return [place(tensor) in read for tensor in self.inputs]

    def gradients(
        self, tensors: Sequence[Tensor], weights: Sequence[Tensor | None], wanted: Sequence[int]
    ) -> list[Any]:
        """Return the gradients of the weighted outputs for the inputs of these numbers; ``None`` for no gradient."""
        outputs = self(tensors)
        pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if w is not None and y.dtype.kind == "f"]
        pairs = [(y, w) for y, w in pairs if y.is_symbolic or y.has_history]
        if not pairs or not wanted:
            return [None for _ in wanted]
        found: list[Any] = gradient([y for y, _ in pairs], [tensors[one] for one in wanted], [w for _, w in pairs])
        return found


def recorded(
    name: str, function: Callable[..., Sequence[Any]], arguments: Sequence[Tensor], *, hoists: bool
) -> tuple[Body, list[Tensor]]:
    """Record `function`, which takes tensors like `arguments` and returns several.

    With `hoists` what does not depend on the arguments stays outside, in the program around it.

    Returns
    -------
    The body, and what it uses from outside: variables, constants, values of the program around it.

    Raises
    ------
    MiniDLFError
        If it assigns variables, or adds to the loss.
    """
    inputs = [placeholder(one.shape, one.dtype) for one in arguments]
    around = recording.current()
    program = around or Recording(python_random.getrandbits(63))
    before = dict(program.assignments), len(program.losses), len(program.effects)
    with recording.recording(program), recording.noting() as made:
        outputs = [as_tensor(one) for one in function(*inputs)]
    if (dict(program.assignments), len(program.losses), len(program.effects)) != before:
        raise MiniDLFError(
            f"{name}: the function assigns a variable or adds to the loss, which can happen only once a step. Return "
            "the value, and assign it outside."
        )
    for one in outputs:
        if not isinstance(one, Tensor):
            raise ArgumentTypeError(f"{name}: the function returns tensors, received {type(one).__name__}.")
    inside = set() if hoists and around is not None else {id(operation) for operation in made}
    return _enclosed(inputs, outputs, inside)


def _enclosed(inputs: list[Tensor], outputs: list[Tensor], inside: set[int]) -> tuple[Body, list[Tensor]]:
    """Find what of the outputs' history depends on the inputs or is `inside`; the rest comes from outside."""
    inner: dict[Any, bool] = {place(tensor): True for tensor in inputs}
    order: list[Operation] = []
    stack = [(tensor.operation, False) for tensor in reversed(outputs) if tensor.operation is not None]
    seen: set[int] = set()
    while stack:
        operation, complete = stack.pop()
        if complete:
            depends = any(inner.get(place(one), False) for one in operation.inputs)
            depends = depends or id(operation) in inside
            for number in range(operation.primitive.outputs):
                inner[(id(operation), number)] = depends
            if depends:
                order.append(operation)
        elif id(operation) not in seen:
            seen.add(id(operation))
            stack.append((operation, True))
            stack += [(one.operation, False) for one in reversed(operation.inputs) if one.operation is not None]
    outside: dict[Any, Tensor] = {}
    for tensor in [*(one for operation in order for one in operation.inputs), *outputs]:
        if not inner.get(place(tensor), False) and not _is_number(tensor):
            outside.setdefault(place(tensor), tensor)
    used = list(outside.values())
    closed = [placeholder(tensor.shape, tensor.dtype) for tensor in used]
    with recording.recording(Recording()):
        outputs = _with(dict(zip(outside, closed, strict=True)), order, outputs)
    return Body([*inputs, *closed], outputs), used


def _with(known: dict[Any, Tensor], operations: Sequence[Operation], outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return `outputs` with other tensors in the place of some that `operations` use."""
    known = dict(known)
    for operation in operations:
        found = apply(operation.primitive, *(known.get(place(one), one) for one in operation.inputs))
        for number, result in enumerate(found if isinstance(found, tuple) else (found,)):
            known[(id(operation), number)] = result
    return [known.get(place(one), one) for one in outputs]


def _is_number(tensor: Tensor) -> bool:
    constant = tensor.operation is None and not tensor.is_symbolic and not tensor.has_history
    return constant and tensor.size == 1 and not isinstance(tensor, Variable)


class Several(Primitive):
    """A primitive with as many outputs as its attributes say, perhaps one."""

    def alone(self, values):
        """Return values as they are expected: the only one by itself."""
        return tuple(values) if self.outputs > 1 else next(iter(values))


def sum_of(one: Any, other: Any, like: Tensor) -> Any:
    """Return the sum of what is there, or zeros."""
    there = [part for part in (one, other) if part is not None]
    return there[0] + there[1] if len(there) == 2 else there[0] if there else np.zeros_like(like)
