"""A program: what was recorded when a function ran on symbolic tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError, MiniDLFError
from miniDLF.kernels.workspace import Shape
from miniDLF.tensor.gradients import history, place
from miniDLF.tensor.nested import flatten, unflatten
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.recording import Effect, Recording, recording
from miniDLF.tensor.tensor import Tensor, apply, as_tensor, output, placeholder
from miniDLF.tensor.variable import Variable

__all__ = ["Program", "Rule", "flatten", "leaves", "rewrite", "trace", "unflatten"]

#: What a pass does to an operation, given its inputs after the pass: a tensor for each output that stands for it, or
#: ``None`` to keep the operation.
Rule = Callable[[Operation, tuple[Tensor, ...]], Any]


class Program:
    """Operations in order, between inputs and results.

    Attributes
    ----------
    inputs : list of Tensor
        Placeholders, in the order of the arguments.
    outputs : list of Tensor
        The results, after them the new values of `assigned`, and after those what the effects need.
    assigned : list of Variable
        The variables that are set when the program is over.
    effects : list of Effect
        What is done then, with the last outputs.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        assigned: Sequence[Variable] = (),
        effects: Sequence[Effect] = (),
    ) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.assigned, self.effects = list(assigned), list(effects)

    @property
    def operations(self) -> list[Operation]:
        """The operations that the outputs need, each after those whose results it uses."""
        return [operation for operation in history(self.outputs) if operation.arrays is None]

    @property
    def n_results(self) -> int:
        """How many of the outputs are results of the function."""
        return len(self.outputs) - len(self.assigned) - sum(len(effect.tensors) for effect in self.effects)

    @property
    def variables(self) -> list[Variable]:
        """The variables that it reads or sets, in the order of their first use."""
        found = {id(leaf): leaf for leaf in leaves(self.outputs) if isinstance(leaf, Variable)}
        return list({**found, **{id(variable): variable for variable in self.assigned}}.values())


def leaves(targets: Sequence[Tensor]) -> list[Tensor]:
    """Return what `targets` are made of in the end: placeholders, variables and constants, in order of use."""
    found: dict[int, Tensor] = {}
    for operation in history(targets):
        for tensor in operation.inputs:
            if tensor.operation is None:
                found.setdefault(id(tensor), tensor)
    for tensor in targets:
        if tensor.operation is None:
            found.setdefault(id(tensor), tensor)
    return list(found.values())


def trace(
    function: Callable[..., Any], specifications: Sequence[tuple[Shape, Any]], seed: int = 0
) -> tuple[Program, Any]:
    """Run `function` once with symbolic tensors of these shapes and types.

    Returns
    -------
    The program, and the structure of what the function returned, for `unflatten`.

    Raises
    ------
    SymbolicError
        If its flow depends on numbers; the message names the line and the remedies.
    """
    inputs = [placeholder(shape, dtype) for shape, dtype in specifications]
    record = Recording(seed, will_run=True)
    with recording(record):
        returned = function(*inputs)
    flat, structure = flatten(returned)
    outputs = []
    for value in flat:
        if not isinstance(value, (Tensor, np.ndarray, np.generic, int, float)):
            raise ArgumentTypeError(
                f"a compiled function returns tensors, in tuples, lists or dicts; received {type(value).__name__}."
            )
        outputs.append(as_tensor(value))
    assigned = list(record.assignments)
    needed = [tensor for effect in record.effects for tensor in effect.tensors]
    program = Program(inputs, [*outputs, *record.assignments.values(), *needed], assigned, record.effects)
    known = {id(tensor) for tensor in inputs}
    for leaf in leaves(program.outputs):
        if leaf.is_symbolic and id(leaf) not in known:
            raise MiniDLFError(
                f"a symbolic tensor of shape {leaf.shape} comes from another program: something kept it from an "
                "earlier call, on a layer or in a list. Return such values, or keep them in a Variable."
            )
    return program, structure


def rewrite(program: Program, rule: Rule) -> Program:
    """Return the program in which `rule` has had its say about every operation, from the inputs on."""
    made: dict[Any, Tensor] = {}

    def now(tensor: Tensor) -> Tensor:
        return made.get(place(tensor), tensor)

    with recording(Recording()):
        for operation in program.operations:
            inputs = tuple(map(now, operation.inputs))
            found = rule(operation, inputs)
            if found is None:
                if all(new is old for new, old in zip(inputs, operation.inputs, strict=True)):
                    continue
                found = again(operation, inputs)
            results = found if isinstance(found, tuple) else (found,)
            for index, result in enumerate(results):
                made[(id(operation), index)] = result
    outputs = [now(tensor) for tensor in program.outputs]
    return Program(program.inputs, outputs, program.assigned, program.effects)


def again(operation: Operation, inputs: tuple[Tensor, ...]) -> Any:
    """Return what the operation gives for other inputs of the same shapes."""
    if all(not tensor.is_symbolic and not isinstance(tensor, Variable) for tensor in inputs):
        return apply(operation.primitive, *inputs)
    same = Operation(operation.primitive, inputs, operation.shapes, operation.dtypes, None, operation.scope)
    results = tuple(output(same, index) for index in range(operation.primitive.outputs))
    return results if len(results) > 1 else results[0]
