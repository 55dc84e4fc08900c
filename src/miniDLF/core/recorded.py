"""Functions of tensors as forward and backward: recorded once for every shape, planned, replayed on one thread.

So layers and losses that are written in tensors run where forward and backward are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from miniDLF.engine.batch_axis import Split
from miniDLF.engine.memory import ScratchSpace
from miniDLF.engine.passes import PASSES
from miniDLF.engine.plan import Plan
from miniDLF.engine.program import Program, leaves
from miniDLF.engine.shards import cut
from miniDLF.kernels.workspace import Array, Shape, lasting
from miniDLF.ops.choices import StopGradient
from miniDLF.tensor.gradients import gradient, history, place
from miniDLF.tensor.primitive import Operation
from miniDLF.tensor.recording import Recording, recording
from miniDLF.tensor.tensor import Tensor, output, placeholder
from miniDLF.tensor.variable import Variable

__all__ = ["Recorded", "crosses_samples"]


class Recorded:
    """A function ``y = f(*inputs)`` of tensors, and the gradients of ``sum(dy * y)``, on arrays that stay.

    Attributes
    ----------
    assigned : list of (Variable, array)
        What the function assigned, and where the new values lie after `forward`.
    extra_loss : array or None
        The sum of what the function added to the loss, after `forward`; its gradients are part of `backward`.

    Parameters
    ----------
    function
        It takes tensors and returns one; what it adds to ``recording.current().losses`` is a loss of its own.
    specifications
        Shape and type of each input.
    sources
        Variables whose gradients are wanted; then `backward` may follow `forward`.
    follows
        For each input, whether its gradient is wanted.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        specifications: Sequence[tuple[Shape, Any]],
        sources: Sequence[Variable] = (),
        follows: Sequence[bool] = (),
        *,
        seed: int = 0,
        shard: int = 0,
        clock: Any = None,
        backward: bool = True,
    ) -> None:
        inputs = [placeholder(shape, kind) for shape, kind in specifications]
        record = Recording(seed)
        with recording(record):
            y = function(*inputs)
            dy = placeholder(y.shape, y.dtype)
            wanted = [tensor for tensor, follow in zip(inputs, follows, strict=True) if follow] if follows else []
            extra = sum(record.losses[1:], record.losses[0]) if record.losses else None
            gradients: list[Any] = []
            if backward and (wanted or sources):
                targets, weights = [y], [dy]
                if extra is not None:
                    targets, weights = [y, extra], [dy, None]  # type: ignore[list-item]
                gradients = gradient(targets, [*wanted, *sources], weights, unconnected="zero")
        outputs = [y, *record.assignments.values(), *([] if extra is None else [extra])]
        program = Program([*inputs, dy], [*outputs, *gradients])
        for improve in PASSES:
            program = improve(program)
        program = _apart(program)
        self._inputs = [lasting(shape, kind) for shape, kind in specifications]
        self._dy = lasting(y.shape, y.dtype)
        arrays = {place(t): array for t, array in zip(program.inputs, [*self._inputs, self._dy], strict=True)}
        self._variables = [
            (leaf, leaf.data) for leaf in leaves(program.outputs) if isinstance(leaf, Variable) and not leaf.is_symbolic
        ]
        arrays.update({place(leaf): leaf.data for leaf in leaves(program.outputs) if not leaf.is_symbolic})
        operations = [one for one in history(program.outputs) if one.arrays is None]
        first = {id(one) for one in history(program.outputs[: len(outputs)])}
        order = sorted(operations, key=lambda one: id(one) not in first)
        levels = [int(id(one) not in first) for one in order]
        targets_ = [(tensor, None) for tensor in program.outputs]
        plan = Plan(order, levels, arrays, targets_, ScratchSpace(shard, clock))
        self._forward = plan.calls[0] if plan.calls else []
        self._backward = plan.calls[1] if len(plan.calls) > 1 else []
        found = [plan.array(tensor) for tensor in program.outputs]
        self.y = found[0]
        values = found[1 : 1 + len(record.assignments)]
        self.assigned = list(zip(record.assignments, values, strict=True))
        self.extra_loss = None if extra is None else found[1 + len(values)]
        made = found[len(outputs) :]
        self._dx, self.gradients = made[: len(wanted)], made[len(wanted) :]
        self._follows = list(follows)
        self.wanted: list[Any] = []  # whose gradients `gradients` are, for whoever asked for them

    @property
    def is_stale(self) -> bool:
        """Whether a variable has moved to other memory since."""
        return any(variable.data is not array for variable, array in self._variables)

    def forward(self, *inputs: Array) -> Array:
        """Return the result, which stays until the next call."""
        for own, given in zip(self._inputs, inputs, strict=True):
            np.copyto(own, given, casting="unsafe")
        for function, arguments in self._forward:
            function(*arguments)
        return self.y

    def backward(self, dy: Array) -> list[Array | None]:
        """Return the gradient of each input that is followed; those of the variables are in `gradients`."""
        np.copyto(self._dy, dy)
        for function, arguments in self._backward:
            function(*arguments)
        rest = iter(self._dx)
        return [next(rest) if follow else None for follow in self._follows]


def _apart(program: Program) -> Program:
    """Let no result be the same memory as another one or as an input: each is copied to a place of its own."""
    copied: list[Tensor] = []
    seen: set[Any] = set()
    with recording(Recording()):
        for tensor in program.outputs:
            if place(tensor) in seen or tensor.operation is None or tensor.operation.primitive.is_view:
                tensor = _copy(tensor)
            seen.add(place(tensor))
            copied.append(tensor)
    return Program(program.inputs, copied)


def _copy(tensor: Tensor) -> Tensor:
    return output(Operation(StopGradient(), (tensor,), (tensor.shape,), (tensor.dtype,)))


def crosses_samples(function: Callable[..., Any], specifications: Sequence[tuple[Shape, Any]]) -> str:
    """Return why a part of a batch would not do for `function`, or an empty string where samples stay apart.

    Sums over the samples, and whatever mixes them, are found by following the batch axis, here through a program for
    two samples that is cut into two.
    """
    inputs = [placeholder(shape, kind) for shape, kind in specifications]
    record = Recording()
    with recording(record):
        y = function(*inputs)
    targets = [y, *record.assignments.values(), *record.losses]
    parts = cut(Program(inputs, targets), [True] * len(inputs), specifications[0][0][0], [1])
    if parts.reason:
        return parts.reason
    if parts.meetings:
        return "a value of the whole batch is calculated"
    where, _ = parts.outputs[0]
    if not isinstance(where, Split) or where.axis != 0:
        return "the result is no value of each sample"
    if any(placed is not None for placed, _ in parts.outputs[1:]):
        return "a state or a loss is calculated of the whole batch"
    return ""
