"""Models whose class calls layers itself: `call` in tensors."""

from __future__ import annotations

import inspect
from typing import Any

from miniDLF.core.graph import snake_case
from miniDLF.core.held import held_parameters
from miniDLF.core.layer import Layer
from miniDLF.core.parameter import Parameter
from miniDLF.errors import ArgumentError
from miniDLF.tensor import recording

__all__ = ["Whole", "unpack", "writes_call"]


def writes_call(model: Any) -> bool:
    """Say whether the model's class says itself how it computes."""
    return callable(getattr(type(model), "call", None))


class Whole(Layer):
    """A model's ``call`` as one layer of a graph, with the parameters of all layers that the model holds."""

    def __init__(self, model: Any) -> None:
        super().__init__(name=model.name or snake_case(type(model).__name__))
        self.model = model

    def call(self, x: Any, training: bool = False) -> Any:
        """Call the model."""
        function = self.model.call
        takes = "training" in inspect.signature(function).parameters
        with recording.calling(training):
            return function(x, training=training) if takes else function(x)

    @property
    def described(self) -> str:
        """How messages call it: as the model."""
        return f"{type(self.model).__name__} {self.name!r}"

    @property
    def parameters(self) -> list[Parameter]:
        """Those of all layers, under the names of the layers."""
        return [parameter for _, parameter in held_parameters(self.model)]

    def trains(self, parameter: Parameter) -> bool:
        """Whether the layer that the parameter belongs to is to be trained."""
        return all(layer.trainable for layer, held in held_parameters(self.model) if held is parameter)


def unpack(data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) of what a step receives; what is not there is ``None``.

    `data` is ``x`` alone, or a tuple ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.
    """
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ArgumentError(f"a step receives (x, y, sample_weight) at the most; received {len(data)} values.")
    x, y, weight = (*data, None, None)[:3]
    return x, y, weight
