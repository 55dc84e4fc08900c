"""Layers that are a function of tensors: their gradients are derived."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.core.layer import Layer
from miniDLF.core.own import check_call, misspelt
from miniDLF.errors import ArgumentTypeError
from miniDLF.layers.functions import check_function

__all__ = ["DerivedLayer", "Lambda"]


class Lambda(Layer):
    """A function of tensors as a layer, without weights: ``Lambda(lambda x: np.sin(x) * x)``.

    Parameters
    ----------
    function
        It takes the tensor (N, ...), or a list of them where the layer has several inputs, and returns one whose first
        axis is the samples. It is written with NumPy's functions or `miniDLF.ops`. No file can hold it; for that derive
        a class from `Layer`.
    """

    function: Any

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise ArgumentTypeError(f"Lambda: expected a function of tensors, received {self.function!r}.")
        check_function("Lambda", self.function)

    def call(self, x: Any) -> Any:
        """Return what the function returns."""
        return self.function(x)


class DerivedLayer(Layer):
    """Base of layers that give `compute`, with their parameters by name.

    Declare parameters in `build` as in any layer, and write ``compute(self, np, x, parameters)`` with NumPy, which is
    handed in, and the parameters by name. A layer with ``call(self, x)`` is shorter; this is the older way.

    >>> class Scale(DerivedLayer):
    ...     def build(self, input_shape):
    ...         self.parameter("factor", (), "ones")
    ...     def compute(self, np, x, parameters):
    ...         return parameters["factor"] * np.sin(x)
    """

    def compute(self, np: Any, x: Any, parameters: dict[str, Any]) -> Any:
        """Return the output for the inputs `x` (N, ...) in terms of `np`."""
        raise NotImplementedError(
            f"{type(self).__name__} has no compute(): define compute(self, np, x, parameters)"
            + misspelt(self, "compute")
        )

    def call(self, x: Any) -> Any:
        """Return what `compute` returns."""
        check_call(self.described, "compute", self.compute, ("np", "x", "parameters"))
        return self.compute(np, x, {parameter.name: parameter.__tensor__() for parameter in self.parameters})
