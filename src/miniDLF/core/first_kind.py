"""Layers with a forward and a backward by hand, as operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from miniDLF.core.call import Call, Shared
from miniDLF.engine.batch_axis import Mixes, Partial, Placed, Split, follows_samples
from miniDLF.engine.lowering.base import lowers
from miniDLF.errors import MiniDLFError
from miniDLF.kernels.workspace import Array, Shape, Workspace
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.tensor import apply

if TYPE_CHECKING:
    from miniDLF.core.layer import Layer

__all__ = ["apply_first_kind"]


class _Run:
    """One use of a layer: its memory, and what forward leaves for backward."""

    def __init__(self, primitive: FirstKind, kind: np.dtype[Any]) -> None:
        self.primitive, layer = primitive, primitive.layer
        self.gradients = {p: np.zeros(p.shape, kind) for p in layer.parameters if p.trainable}
        self.call = Call(Workspace(kind), Workspace(kind), self.gradients)
        self.call.shared = Shared(Workspace(kind))
        self.call.shared.training = primitive.training

    def forward(self, inputs: Sequence[Array], step: int, shard: int = 0) -> Array:
        """Run forward, with the random numbers of this step and this shard."""
        primitive, call = self.primitive, self.call
        layer = primitive.layer
        layer.prepare(call.shared)
        first, *rest = primitive.stream
        call.begin(primitive.training, first & 0x7FFF_FFFF, step, (rest[-1] if rest else 0) & 0x7FFF_FFFF, shard)
        x: Any = tuple(inputs) if layer.takes_many else inputs[0]
        if primitive.training and layer.synchronises:
            call.total = layer.partial(x, call)
        y: Array = layer.forward(x, call)
        return y

    def backward(self, dy: Array) -> list[Array | None]:
        """Return the gradients of the inputs and the parameters."""
        layer, call = self.primitive.layer, self.call
        call.needs_dx = True
        sent = np.array(dy)  # which backward may overwrite
        if self.primitive.training and layer.synchronises:
            call.backward_total = layer.backward_partial(sent, call)
        dx = layer.backward(sent, call)
        of_inputs = list(dx) if layer.takes_many else [dx]
        return [*of_inputs, *(self.gradients.get(parameter) for parameter in layer.parameters)]


class FirstKind(Primitive):
    """What ``forward`` of a layer gives for its inputs; its parameters are inputs as well, so gradients find them."""

    layer: Any
    training: bool
    inputs: int
    stream: tuple[int, ...]
    pure = False

    @property
    def name(self) -> str:
        return type(self.layer).__name__

    def shape(self, *shapes: Shape) -> Shape:
        received = tuple(shape[1:] for shape in shapes[: self.inputs])
        return (shapes[0][0], *self.layer.shape_for(received if self.layer.takes_many else received[0]))

    def dtype(self, *types: np.dtype[Any]) -> np.dtype[Any]:
        return types[0]

    def evaluate(self, *arrays: Array, out: Array | None = None) -> Array:
        y, _ = self.forward(arrays[: self.inputs])
        if out is None:
            return np.array(y)
        np.copyto(out, y)
        return out

    def forward(self, inputs: Sequence[Array]) -> tuple[Array, _Run]:
        """Run forward on memory of its own; return the output, and what backward needs."""
        run = _Run(self, inputs[0].dtype)
        return run.forward(inputs, 0), run

    def derivative(self, dy: Any, y: Any, *tensors: Any) -> Any:
        wanted = tuple(n for n, tensor in enumerate(tensors) if tensor.dtype.kind == "f")
        found = apply(FirstKindGradient(self, wanted), dy, *tensors)
        result: list[Any] = [None] * len(tensors)
        for number, one in zip(wanted, found if isinstance(found, tuple) else (found,), strict=True):
            result[number] = one
        return tuple(result)

    def flops(self, *shapes: Shape) -> int:
        received = tuple(shape[1:] for shape in shapes[: self.inputs])
        given = received if self.layer.takes_many else received[0]
        return shapes[0][0] * int(self.layer.flops(given, self.shape(*shapes)[1:]))


class FirstKindGradient(Primitive):
    """What ``backward`` of a layer gives, after its forward once more; it has no derivative of its own."""

    forward: FirstKind
    wanted: tuple[int, ...]
    pure = False

    @property
    def name(self) -> str:
        return f"gradient of {self.forward.name}"

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return len(self.wanted)

    def shape(self, *shapes: Shape) -> Any:
        found = tuple(shapes[1 + number] for number in self.wanted)
        return found if len(found) > 1 else found[0]

    def dtype(self, *types: np.dtype[Any]) -> Any:
        found = tuple(types[1 + number] for number in self.wanted)
        return found if len(found) > 1 else found[0]

    def evaluate(self, *given: Array, out: Any = None) -> Any:
        dy, *arrays = given
        _, run = self.forward.forward(arrays[: self.forward.inputs])
        found = self.of(run, dy, arrays)
        if out is not None:
            for target, array in zip(out if isinstance(out, tuple) else (out,), found, strict=True):
                np.copyto(target, array)
        return tuple(found) if len(found) > 1 else found[0]

    def of(self, run: _Run, dy: Array, arrays: Sequence[Array]) -> list[Array]:
        """Return the wanted gradients, after a forward in `run`."""
        every = run.backward(dy)
        return [
            np.zeros_like(arrays[number]) if every[number] is None else np.array(every[number])
            for number in self.wanted
        ]

    def derivative(self, dy: Any, y: Any, *tensors: Any) -> Any:
        raise MiniDLFError(
            f"{self.forward.name}: a gradient of a gradient goes through backward(), which is written by hand. It "
            "exists for layers that are written in tensors, by call()."
        )


def _alone(primitive: FirstKind, splits: Sequence[Split | None]) -> tuple[Split | None, ...]:
    """Return how the inputs must lie where forward may see a part of the batch, as it does in the first engine."""
    own = {split for split in splits[: primitive.inputs] if split is not None}
    if own != {Split(0)} or (primitive.training and primitive.layer.synchronises):
        raise Mixes
    return (Split(0),) * primitive.inputs + (None,) * (len(splits) - primitive.inputs)


@follows_samples(FirstKind)
def _forward_of_samples(operation: Any, splits: Sequence[Split | None], rows: int) -> Placed:
    return Placed(Split(0), operation.primitive, _alone(operation.primitive, splits))


@follows_samples(FirstKindGradient)
def _backward_of_samples(operation: Any, splits: Sequence[Split | None], rows: int) -> Placed:
    primitive, (of_dy, *rest) = operation.primitive, splits
    if of_dy not in (Split(0), None):
        raise Mixes
    count = primitive.forward.inputs
    places = tuple(Split(0) if number < count else Partial() for number in primitive.wanted)
    return Placed(places, primitive, (Split(0), *_alone(primitive.forward, rest)))


@lowers(FirstKind)
def _lower_forward(primitive: FirstKind, inputs: Sequence[Array], out: Array, scratch: Any) -> list[Any]:
    """One record for the plan, which the gradient's operation finds again: forward runs once a step."""
    run = scratch.contexts[id(primitive)] = _Run(primitive, inputs[0].dtype)
    given, clock, shard = inputs[: primitive.inputs], scratch.clock, scratch.shard

    def forward(target: Array) -> None:
        np.copyto(target, run.forward(given, clock.step, shard))

    return [(forward, (out,))]


@lowers(FirstKindGradient)
def _lower_backward(primitive: FirstKindGradient, inputs: Sequence[Array], out: Any, scratch: Any) -> list[Any] | None:
    dy, *arrays = inputs
    known: _Run | None = scratch.contexts.get(id(primitive.forward))
    run = known or _Run(primitive.forward, dy.dtype)
    clock, shard = scratch.clock, scratch.shard

    def backward(targets: Sequence[Array]) -> None:
        if known is None:  # forward ran elsewhere
            run.forward(arrays[: primitive.forward.inputs], clock.step, shard)
        for target, array in zip(targets, primitive.of(run, dy, arrays), strict=True):
            np.copyto(target, array)

    return [(backward, (out if isinstance(out, tuple) else (out,),))]


def apply_first_kind(layer: Layer, inputs: Sequence[Any], training: bool, stream: tuple[int, ...]) -> Any:
    """Use a layer with forward and backward on tensors."""
    primitive = FirstKind(layer, training, len(inputs), stream)
    return apply(primitive, *inputs, *(parameter.__tensor__() for parameter in layer.parameters))
