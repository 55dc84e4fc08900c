"""An optimizer's step on variables, for loops of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.update import Updater
from miniDLF.errors import ArgumentError, ArgumentTypeError, DivergedError
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.kernels.workspace import Array, Shape, lasting
from miniDLF.tensor import recording
from miniDLF.tensor.tensor import Tensor, as_tensor
from miniDLF.tensor.variable import Variable

__all__ = ["apply_gradients"]


class _Held:
    """A variable as a parameter of flat buffers."""

    regularizer = constraint = None
    trainable = True

    def __init__(self, variable: Variable) -> None:
        self.variable, self.name = variable, variable.name
        self.owner: Any = None
        self.grad: Array | None = None

    @property
    def value(self) -> Array:
        return self.variable.data

    @property
    def shape(self) -> Shape:
        return self.variable.shape

    @property
    def size(self) -> int:
        return self.variable.size

    def move(self, owner: Any, value: Array, grad: Array | None) -> None:
        self.owner, self.grad = owner, grad
        self.variable.move(value)


class _Applied:
    """The buffers in which the variables of an optimizer live, and how many steps it has made."""

    def __init__(self, optimizer: Any, variables: Sequence[Variable]) -> None:
        self.variables = list(variables)
        types = {variable.dtype for variable in variables}
        if len(types) != 1:
            raise ArgumentError(
                f"apply_gradients: the variables have the types {', '.join(map(str, types))}; one optimizer works in "
                "one type. Make them of one type, or use two optimizers."
            )
        held = [getattr(variable, "parameter", None) or _Held(variable) for variable in variables]
        known = _home_of(held)
        if known is None:
            entries = [[(f"{number}/{one.name}", one, True)] for number, one in enumerate(held)]
            known = Buffers(entries, types.pop())  # type: ignore[arg-type]  # what buffers need of a parameter
        self.buffers = known
        self.updater = Updater(optimizer, self.buffers)
        self.steps = 0
        self._parts = [self.buffers.gradients]

    def places(self, shards: int) -> list[list[Array]]:
        """Return, for each of so many shards, where its part of every gradient goes."""
        while len(self._parts) < shards:
            part = lasting(self.buffers.gradients.shape, self.buffers.dtype)
            part.fill(0)
            self._parts.append(part)
        slots = self.buffers.trained_slots()
        return [[part[slot.slice].reshape(slot.shape) for slot in slots] for part in self._parts[:shards]]

    @quiet_arithmetic
    def step(self, shards: int) -> None:
        """Update the variables by the sum of the parts of so many shards."""
        if not self.buffers.current:
            self.buffers.take()
        if not self.updater.apply(self.steps + 1, self._parts[:shards]):
            self.updater.restore()
            raise DivergedError(
                f"apply_gradients: a gradient of step {self.steps + 1} is not finite. The variables are those of a "
                "step shortly before. Lower the learning rate, clip the gradient (ClipGlobalNorm), or look at the data."
            )
        self.steps += 1
        for variable in self.variables:
            variable.touch()


def _home_of(held: Sequence[Any]) -> Buffers | None:
    """Return the buffers of a model whose trained parameters are exactly these: then they stay there."""
    home = held[0].owner
    if not isinstance(home, Buffers) or any(one.owner is not home for one in held):
        return None
    there = [slot.parameter for slot in home.trained_slots()]
    same = len(there) == len(held) and all(a is b for a, b in zip(there, held, strict=True))
    return home if same else None


class _Step:
    """The step as an effect of a program; see `miniDLF.tensor.recording.Effect`."""

    def __init__(self, applied: _Applied, gradients: Sequence[Tensor]) -> None:
        self.applied = applied
        self.tensors: Sequence[Tensor] = gradients

    def places(self, shards: int) -> list[list[Array]]:
        return self.applied.places(shards)

    def perform(self, shards: int) -> None:
        self.applied.step(shards)


def apply_gradients(optimizer: Any, pairs: Any) -> None:
    """Make one step of `optimizer`; see `Optimizer.apply_gradients`."""
    listed = list(pairs)
    twos = all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in listed)
    given = [(one, getattr(held, "__tensor__", lambda held=held: held)()) for one, held in listed] if twos else []
    if not given or any(not isinstance(held, Variable) for _, held in given):
        raise ArgumentTypeError(
            "apply_gradients: expected pairs (gradient, Variable), at least one: zip(gradients, variables)."
        )
    if all(one is None for one, _ in given):
        raise ArgumentError("apply_gradients: no variable has a gradient; the loss depends on none of them.")
    if optimizer.full_batch:
        raise ArgumentError(f"{type(optimizer).__name__} needs the loss as a function, not gradients; use fit().")
    variables = [variable for _, variable in given]
    applied: _Applied | None = vars(optimizer).get("_applied")
    if applied is None:
        with recording.recording(None):  # the variables move now, also while a program is recorded
            applied = vars(optimizer)["_applied"] = _Applied(optimizer, variables)
    same = len(variables) == len(applied.variables) and all(
        a is b for a, b in zip(variables, applied.variables, strict=True)
    )
    if not same:
        raise ArgumentError(
            f"apply_gradients: this optimizer steps {len(applied.variables)} variables since its first call, in that "
            f"order; received {len(variables)} others. Use one optimizer for each set of variables."
        )
    gradients = [as_tensor(np.zeros(v.shape, v.dtype) if one is None else one, v.dtype) for one, v in given]
    for one, variable in zip(gradients, variables, strict=True):
        if one.shape != variable.shape:
            raise ArgumentError(
                f"apply_gradients: {variable.name} has the shape {variable.shape}, its gradient {one.shape}."
            )
    program = recording.current()
    if program is not None:
        cast = [one.astype(variable.dtype) for one, variable in zip(gradients, variables, strict=True)]
        program.effects.append(_Step(applied, cast))
        return
    for place, one in zip(applied.places(1)[0], gradients, strict=True):
        np.copyto(place, one.numpy(), casting="same_kind")
    applied.step(1)
