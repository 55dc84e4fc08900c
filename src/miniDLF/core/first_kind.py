"""Layers with a forward and a backward by hand, as operations on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from miniDLF.core.call import Call, Shared
from miniDLF.errors import MiniDLFError
from miniDLF.kernels.workspace import Array, Shape, Workspace
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.tensor import apply

if TYPE_CHECKING:
    from miniDLF.core.layer import Layer

__all__ = ["apply_first_kind"]


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
        return (shapes[0][0], *self.layer.built(received if self.layer.takes_many else received[0]))

    def dtype(self, *types: np.dtype[Any]) -> np.dtype[Any]:
        return types[0]

    def evaluate(self, *arrays: Array, out: Array | None = None) -> Array:
        y = self.forward(arrays[: self.inputs])[0]
        if out is None:
            return np.array(y)
        np.copyto(out, y)
        return out

    def forward(self, inputs: Sequence[Array]) -> tuple[Array, Call, dict[Any, Array]]:
        """Run forward on memory of its own; return the output, the record, and where gradients go."""
        kind = inputs[0].dtype
        gradients = {p: np.zeros(p.shape, kind) for p in self.layer.parameters if p.trainable}
        call = Call(Workspace(kind), Workspace(kind), gradients)
        call.shared = Shared(Workspace(kind))
        call.shared.training = self.training
        self.layer.prepare(call.shared)
        call.begin(self.training, self.stream[0] & 0x7FFF_FFFF, 1, self.stream[-1] & 0x7FFF_FFFF, 0)
        x: Any = tuple(inputs) if self.layer.takes_many else inputs[0]
        if self.training and self.layer.synchronises:
            call.total = self.layer.partial(x, call)
        return self.layer.forward(x, call), call, gradients

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
        forward = self.forward
        layer, count = forward.layer, forward.inputs
        _, call, gradients = forward.forward(arrays[:count])
        call.needs_dx = True
        sent = np.array(dy)
        if forward.training and layer.synchronises:
            call.backward_total = layer.backward_partial(sent, call)
        dx = layer.backward(sent, call)
        of_inputs = list(dx) if layer.takes_many else [dx]
        every = [*of_inputs, *(gradients.get(parameter) for parameter in layer.parameters)]
        found = [
            np.zeros_like(arrays[number]) if every[number] is None else np.array(every[number])
            for number in self.wanted
        ]
        if out is not None:
            for target, array in zip(out if isinstance(out, tuple) else (out,), found, strict=True):
                np.copyto(target, array)
        return tuple(found) if len(found) > 1 else found[0]

    def derivative(self, dy: Any, y: Any, *tensors: Any) -> Any:
        raise MiniDLFError(
            f"{self.forward.name}: a gradient of a gradient goes through backward(), which is written by hand. It "
            "exists for layers that are written in tensors, by call()."
        )


def apply_first_kind(layer: Layer, inputs: Sequence[Any], training: bool, stream: tuple[int, ...]) -> Any:
    """Use a layer with forward and backward on tensors."""
    primitive = FirstKind(layer, training, len(inputs), stream)
    return apply(primitive, *inputs, *(parameter.__tensor__() for parameter in layer.parameters))
