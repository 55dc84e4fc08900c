"""Layers whose backward pass is derived from the forward pass, by the autograd library (an extra)."""

from __future__ import annotations

from typing import Any

from miniDLF.core.call import Call
from miniDLF.core.layer import Layer
from miniDLF.errors import import_extra
from miniDLF.kernels.workspace import Array

__all__ = ["DerivedLayer"]


class DerivedLayer(Layer):
    """Base of layers that give only `compute`: their gradients come from the autograd library.

    Declare parameters in `build` as in any layer, and write ``compute(self, np, x, parameters)`` with the `np` that is
    handed in (autograd's NumPy) and the parameters' values by name. It must not write to arrays in place.

    >>> class Scale(DerivedLayer):
    ...     def build(self, input_shape):
    ...         self.parameter("factor", (), "ones")
    ...         return input_shape
    ...     def compute(self, np, x, parameters):
    ...         return parameters["factor"] * np.sin(x)

    This is slower than a backward pass written by hand: fine for trying out a formula.
    """

    def compute(self, np: Any, x: Any, parameters: dict[str, Any]) -> Any:
        """Return the output for the inputs `x` (N, ...) in terms of `np`."""
        raise NotImplementedError(f"{type(self).__name__} has no compute()")

    def forward(self, x: Any, call: Call) -> Array:
        autograd = import_extra("autograd", "autograd", f"the layer {type(self).__name__}")
        numpy = import_extra("autograd.numpy", "autograd", f"the layer {type(self).__name__}")
        names = [parameter.name for parameter in self.parameters]

        def function(inputs: Any, values: Any) -> Any:
            return self.compute(numpy, inputs, dict(zip(names, values, strict=True)))

        values = tuple(parameter.value for parameter in self.parameters)
        call.derivative, y = autograd.make_vjp(function, argnum=(0, 1))(x, values)
        result = call.empty("y", y.shape)
        result[...] = y
        return result

    def backward(self, dy: Array, call: Call) -> Any:
        dx, gradients = call.derivative(dy.copy())
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            call.grad(parameter)[...] = gradient
        return dx if not self.takes_many else tuple(dx)
