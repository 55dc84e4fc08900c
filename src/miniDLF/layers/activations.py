"""Activations: functions of one number (and softmax), each with its derivative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call
from miniDLF.core.configurable import from_config
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError, MiniDLFError, ShapeError, UnknownNameError, nearest
from miniDLF.kernels.elementwise import leaky, leaky_backward, sigmoid
from miniDLF.kernels.rows import softmax
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.layers.functions import Elementwise, check_function, known_derivative, name_of
from miniDLF.layers.in_tensors import Lambda
from miniDLF.layers.smooth import GELU, Softplus, Swish

__all__ = ["ELU", "GELU", "Activation", "Linear", "ReLU", "Sigmoid", "Softmax", "Softplus", "Swish", "Tanh"]


class ReLU(Layer):
    """Rectified linear: ``y = min(x, max_value)`` where ``x > 0``, ``alpha * x`` elsewhere; any shape.

    ``alpha > 0`` makes it leaky (Maas et al. 2013), a finite `max_value` clips it.
    """

    captures = True
    alpha: float = 0.0
    max_value: float = np.inf
    rises = True
    rectifies = None  # until the arguments are known

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ArgumentError(f"ReLU: alpha is the slope for x < 0, between 0 and 1; received {self.alpha}.")
        if not self.max_value > 0:
            raise ArgumentError(f"ReLU: max_value must be positive, received {self.max_value}.")
        self.rectifies = self.alpha if self.max_value == np.inf else None

    def call(self, x: Any) -> Any:
        y = ops.relu(x, self.alpha)
        return y if self.max_value == np.inf else np.minimum(y, self.max_value)

    def forward(self, x: Array, call: Call) -> Array:
        call.y = y = leaky(x, self.alpha, self.max_value, call.output_like(x), call.scratch)
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        return leaky_backward(dy, call.y, self.alpha, self.max_value, call.scratch)


class ELU(Layer):
    """Exponential linear: ``y = scale * x`` where ``x > 0``, ``scale * alpha * (exp(x) - 1)`` elsewhere.

    Clevert et al. 2016, equation 15. ``ELU(1.67326, scale=1.0507)`` is SELU (Klambauer et al. 2017). A finite
    `max_value` clips the output.
    """

    captures = True
    alpha: float = 1.0
    max_value: float = np.inf
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not -np.inf < self.alpha < np.inf or not 0 < self.scale < np.inf:
            raise ArgumentError(
                f"ELU: alpha and scale are finite, and scale is positive; received {self.alpha} and {self.scale}."
            )
        if not self.max_value > 0:
            raise ArgumentError(f"ELU: max_value must be positive, received {self.max_value}.")

    def call(self, x: Any) -> Any:
        y = self.scale * ops.elu(x, self.alpha)
        return y if self.max_value == np.inf else np.minimum(y, self.max_value)

    def forward(self, x: Array, call: Call) -> Array:
        y, low = call.empty_like("y", x), call.empty_like("low", x)
        np.clip(x, -np.inf, 0, out=low)
        np.expm1(low, out=low)
        np.multiply(low, self.alpha * self.scale, out=low)  # (scale alpha) (e^x - 1), 0 where x > 0
        np.clip(x, 0, np.inf, out=y)
        np.multiply(y, self.scale, out=y)
        np.add(y, low, out=y)
        if self.max_value < np.inf:
            np.minimum(y, self.max_value, out=y)
        call.x, call.y, call.low = x, y, low
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        y = call.y
        slope, mask = call.empty_like("slope", y), call.empty_like("mask", y, bool)
        np.less_equal(call.x, 0, out=mask)
        np.add(call.low, self.alpha * self.scale, out=slope)  # the derivative where x <= 0
        np.multiply(slope, mask, out=slope)
        np.multiply(dy, slope, out=slope)
        np.logical_not(mask, out=mask)
        np.multiply(dy, mask, out=dy)
        np.multiply(dy, self.scale, out=dy)
        np.add(dy, slope, out=dy)
        if self.max_value < np.inf:
            np.less(y, self.max_value, out=mask)
            np.multiply(dy, mask, out=dy)
        return dy


class Sigmoid(Layer):
    """Logistic: ``y = 1 / (1 + exp(-x))``; ``dx = dy y (1 - y)``."""

    captures = True
    absorbable = "Sigmoid"
    rises = True

    def call(self, x: Any) -> Any:
        return ops.sigmoid(x)

    def forward(self, x: Array, call: Call) -> Array:
        call.y = y = sigmoid(x, call.output_like(x))
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        y, local = call.y, call.empty_like("local", call.y)
        np.subtract(1.0, y, out=local)
        np.multiply(local, y, out=local)
        return np.multiply(dy, local, out=dy)


class Tanh(Layer):
    """Hyperbolic tangent: ``y = tanh(x)``; ``dx = dy (1 - y^2)``."""

    captures = True
    rises = True

    def call(self, x: Any) -> Any:
        return np.tanh(x)

    def forward(self, x: Array, call: Call) -> Array:
        call.y = y = np.tanh(x, out=call.output_like(x))
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        local = call.empty_like("local", call.y)
        np.multiply(call.y, call.y, out=local)
        np.subtract(1.0, local, out=local)
        return np.multiply(dy, local, out=dy)


class Softmax(Layer):
    """``y_i = exp(x_i) / sum_j exp(x_j)`` over the last axis, with its full Jacobian: ``dx = y (dy - sum(dy y))``."""

    captures = True
    absorbable = "Softmax"

    def call(self, x: Any) -> Any:
        return ops.softmax(x)

    def forward(self, x: Array, call: Call) -> Array:
        call.y = y = softmax(x, call.output_like(x), call.scratch)
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        y, product = call.y, call.empty_like("product", call.y)
        np.multiply(dy, y, out=product)
        np.subtract(dy, np.sum(product, axis=-1, keepdims=True), out=dy)
        return np.multiply(dy, y, out=dy)


class Linear(Layer):
    """``y = x``."""

    captures = True

    def call(self, x: Any) -> Any:
        return x

    def forward(self, x: Array, call: Call) -> Array:
        return x

    def backward(self, dy: Array, call: Call) -> Array:
        return dy


_DEFAULT_MAX = 2.5
_DEFAULT_ALPHA = 0.0001


class Activation(Layer):
    """An activation by name, or a function of your own with its derivative.

    Parameters
    ----------
    activation
        'relu', 'leaky_relu' (slope `alpha`), 'clipped_relu' (at `max_value`), 'elu' (`alpha`, `scale`), 'selu',
        'sigmoid', 'tanh', 'softmax', 'softplus', 'swish' ('silu'), 'gelu' or 'linear'. Or a function that takes an
        array and returns one of the same shape, number by number: ``Activation(np.cbrt, derivative=df)``. No file can
        hold it; for that derive a class from `Layer`.
    alpha
        Slope below zero of 'leaky_relu', and of 'clipped_relu' where it differs from its default (else 0); the `alpha`
        of 'elu'.
    max_value
        'clipped_relu' clips there; 'relu', 'leaky_relu' and 'elu' clip where it differs from its default.
    scale
        Factor of 'elu'.
    derivative
        Of a function: takes the array that the function took, and returns the derivative at each of its numbers.
        Without it the function's derivative follows from the operations that it is made of, if tensors have them.
    approximate
        Take the form of 'gelu' with `tanh` (see `GELU`).
    """

    captures = True
    absorbable = rectifies = None  # until the name is known
    rises = False
    activation: Any
    alpha: float = _DEFAULT_ALPHA
    max_value: float = _DEFAULT_MAX
    scale: float = 1.0
    derivative: Any = None
    approximate: bool = False

    def __post_init__(self) -> None:
        self.function = self._resolve()
        self.absorbable, self.rises = self.function.absorbable, self.function.rises
        self.rectifies = self.function.rectifies

    def _resolve(self) -> Layer:
        if not isinstance(self.activation, str):
            return self._own()
        if self.derivative is not None:
            raise ArgumentError(f"Activation: {self.activation!r} has its derivative; leave derivative out.")
        clip = np.inf if self.max_value == _DEFAULT_MAX else self.max_value
        choices: dict[str, Any] = {
            "relu": lambda: ReLU(0.0, clip),
            "leaky_relu": lambda: ReLU(self.alpha, clip),
            "clipped_relu": lambda: ReLU(self.alpha if self.alpha != _DEFAULT_ALPHA else 0.0, self.max_value),
            "elu": lambda: ELU(self.alpha, clip, self.scale),
            "selu": lambda: ELU(1.6732632423543772, scale=1.0507009873554805),
            "sigmoid": Sigmoid,
            "tanh": Tanh,
            "softmax": Softmax,
            "softplus": Softplus,
            "swish": Swish,
            "silu": Swish,
            "gelu": lambda: GELU(self.approximate),
            "linear": Linear,
        }
        if self.activation not in choices:
            raise UnknownNameError(
                f"unknown activation {self.activation!r}; choose from {', '.join(map(repr, choices))}."
                f"{nearest(str(self.activation), choices)}"
            )
        if self.scale != 1.0 and self.activation != "elu":
            raise ArgumentError(f"Activation({self.activation!r}): only 'elu' takes a scale; received {self.scale}.")
        if self.alpha != _DEFAULT_ALPHA and self.activation not in ("leaky_relu", "clipped_relu", "elu"):
            hint = " Write 'leaky_relu' for a slope." if self.activation == "relu" else ""
            raise ArgumentError(f"Activation({self.activation!r}) takes no alpha; received {self.alpha}.{hint}")
        if self.max_value != _DEFAULT_MAX and self.activation not in ("relu", "leaky_relu", "clipped_relu", "elu"):
            raise ArgumentError(f"Activation({self.activation!r}) takes no max_value; received {self.max_value}.")
        if self.approximate and self.activation != "gelu":
            raise ArgumentError(f"Activation({self.activation!r}): only 'gelu' can be approximate.")
        function: Layer = choices[self.activation]()
        return function

    def _own(self) -> Layer:
        if isinstance(self.activation, Layer | type) or not callable(self.activation):
            raise ArgumentTypeError(
                "Activation: activation is a name such as 'relu', or a function with derivative=...; received "
                f"{self.activation!r}." + (" A layer stands by itself." if isinstance(self.activation, Layer) else "")
            )
        derivative = self.derivative or known_derivative(self.activation)
        if derivative is None:
            self.captures = False
            check_function("Activation", self.activation)
            return Lambda(self.activation)
        if not callable(derivative):
            raise ArgumentTypeError(
                "Activation: derivative is a function that takes an array and returns one of the same shape; received "
                f"{self.derivative!r}."
            )
        self.captures = False  # nobody knows what a function of the user's own calls
        return Elementwise(self.activation, derivative)

    def build(self, input_shape: Shape) -> Shape:
        try:
            shape = tuple(self.function.shape_for(input_shape))
        except MiniDLFError as error:
            said, name = str(error).removeprefix("Lambda: "), name_of(self.activation)
            name = name if name.replace(".", "").isidentifier() else "f"
            raise type(error)(
                f"{self.described}: {said} Or give its derivative: Activation({name}, derivative=df)."
            ) from None
        if shape != tuple(input_shape):
            raise ShapeError(
                f"{self.described}: {name_of(self.activation)} gives the shape {shape} for {tuple(input_shape)}; an "
                "activation keeps it. Use Lambda for other functions."
            )
        self.mixes_samples = vars(self.function).get("mixes_samples", "")
        return shape

    def call(self, x: Any) -> Any:
        return self.function.call(x)  # type: ignore[attr-defined]  # every function has one

    def forward(self, x: Array, call: Call) -> Array:
        return self.function.forward(x, call)

    def backward(self, dy: Array, call: Call) -> Any:
        return self.function.backward(dy, call)

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return self.function.flops(input_shape, output_shape)


def with_activation(layer: Layer, activation: Any) -> tuple[Layer, ...]:
    """Return a layer and the one that its field ``activation=`` stands for: a name, a layer, or ``None``."""
    if activation is None:
        return (layer,)
    return layer, _resolved(activation, f"{layer.described}: activation")


def _resolved(activation: Any, where: str) -> Layer:
    """Return the activation that a name, a layer or the ``config()`` of one stands for."""
    from miniDLF.layers import CHOICES  # which knows the layers with an activation too, so it comes after this module

    if isinstance(activation, Layer):
        return activation
    if isinstance(activation, str):
        return Activation(activation)
    if isinstance(activation, Mapping) and isinstance(activation.get("class"), str):
        made: Layer = from_config(activation, CHOICES, "layer")
        return made
    if isinstance(activation, type) and issubclass(activation, Layer):
        name = activation.__name__
        raise ArgumentTypeError(f"{where}: received the class {name}; create it: {name}().")
    if callable(activation):
        return Activation(activation)
    raise ArgumentTypeError(
        f"{where}: expected a name such as 'relu' or a layer such as ReLU(0.1), received {activation!r}."
    )
