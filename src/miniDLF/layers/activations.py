"""Activations: functions of one number (and softmax), each with its derivative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.core.call import Call
from miniDLF.core.configurable import from_config
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError, UnknownNameError, nearest
from miniDLF.kernels.elementwise import leaky, leaky_backward, sigmoid
from miniDLF.kernels.gaussian import gelu
from miniDLF.kernels.rows import softmax
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.layers.functions import Elementwise, known_derivative, without_derivative

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

    def forward(self, x: Array, call: Call) -> Array:
        call.y = y = softmax(x, call.output_like(x), call.scratch)
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        y, product = call.y, call.empty_like("product", call.y)
        np.multiply(dy, y, out=product)
        np.subtract(dy, np.sum(product, axis=-1, keepdims=True), out=dy)
        return np.multiply(dy, y, out=dy)


class Softplus(Layer):
    """``y = log(1 + exp(x))``; ``dx = dy sigmoid(x)``."""

    captures = True

    def forward(self, x: Array, call: Call) -> Array:
        call.x = x
        return np.logaddexp(x, 0, out=call.empty_like("y", x))

    def backward(self, dy: Array, call: Call) -> Array:
        return np.multiply(dy, sigmoid(call.x, call.empty_like("local", call.x)), out=dy)


class Swish(Layer):
    """``y = x sigmoid(x)``, also called SiLU (Elfwing et al. 2018); ``dx = dy (s + y (1 - s))``, s = sigmoid(x)."""

    captures = True

    def forward(self, x: Array, call: Call) -> Array:
        s = call.s = call.empty_like("s", x)
        np.exp(np.negative(x, out=s), out=s)  # infinite far below zero: then s is 0 and not the smallest number
        np.reciprocal(np.add(s, 1.0, out=s), out=s)
        call.y = y = np.multiply(x, s, out=call.empty_like("y", x))
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        local = np.subtract(1.0, call.s, out=call.empty_like("local", call.s))
        np.multiply(local, call.y, out=local)
        np.add(local, call.s, out=local)
        return np.multiply(dy, local, out=dy)


class GELU(Layer):
    """``y = x Phi(x) = x (1 + erf(x / sqrt(2))) / 2``, Phi being the normal distribution (Hendrycks & Gimpel 2016).

    ``dx = dy (Phi(x) + x phi(x))``. As in PyTorch and Keras this is the default.

    Parameters
    ----------
    approximate
        Take ``Phi(x) = (1 + tanh(u)) / 2``, ``u = sqrt(2/pi) (x + 0.044715 x^3)``, instead, as BERT and GPT-2 do:
        within 5e-4 of the exact form, in little more than half its time.
    """

    captures = True
    approximate: bool = False

    def forward(self, x: Array, call: Call) -> Array:
        if self.approximate:
            return self._approximation(x, call)
        y, slope = call.output_like(x), call.empty_like("slope", x) if call.keeps else None
        gelu(x, y, slope, call.scratch)
        call.slope = slope
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        return np.multiply(dy, call.slope, out=dy)

    def _approximation(self, x: Array, call: Call) -> Array:
        t, du = call.scratch("t", x.shape), call.scratch("du", x.shape)
        near = np.clip(x, -_GELU_FAR, _GELU_FAR, out=call.scratch("near", x.shape))  # beyond, the cube overflows
        square = np.multiply(near, near, out=du)
        np.multiply(square, 0.044715, out=t)
        np.add(t, 1.0, out=t)
        np.multiply(t, near, out=t)
        np.multiply(t, _GELU_SCALE, out=t)
        np.tanh(t, out=t)
        if call.keeps:  # (1 + t)/2 + x (1 - t^2) du/dx / 2
            slope = call.slope = call.empty_like("slope", x)
            np.multiply(square, 3 * 0.044715 * _GELU_SCALE, out=du)
            np.add(du, _GELU_SCALE, out=du)  # du/dx
            np.multiply(du, near, out=du)
            np.multiply(t, t, out=slope)
            np.subtract(1.0, slope, out=slope)
            np.multiply(slope, du, out=slope)
            np.add(slope, t, out=slope)
            np.add(slope, 1.0, out=slope)
            np.multiply(slope, 0.5, out=slope)
        np.add(t, 1.0, out=t)
        np.multiply(t, 0.5, out=t)
        return np.multiply(x, t, out=call.output_like(x))


_GELU_SCALE = float(np.sqrt(2 / np.pi))
_GELU_FAR = 30.0  # there tanh(u) is 1 to the last bit


class Linear(Layer):
    """``y = x``."""

    captures = True

    def forward(self, x: Array, call: Call) -> Array:
        return x

    def backward(self, dy: Array, call: Call) -> Array:
        return dy


_DEFAULT_MAX = 2.5


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
        NumPy's abs, arctan, cos, exp, sin, square and tanh need none.
    approximate
        Take the form of 'gelu' with `tanh` (see `GELU`).
    """

    captures = True
    absorbable = rectifies = None  # until the name is known
    rises = False
    activation: Any
    alpha: float = 0.0001
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
            "clipped_relu": lambda: ReLU(self.alpha if self.alpha != 0.0001 else 0.0, self.max_value),
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
            raise without_derivative(self.activation, "Activation")
        if not callable(derivative):
            raise ArgumentTypeError(
                "Activation: derivative is a function that takes an array and returns one of the same shape; received "
                f"{self.derivative!r}."
            )
        self.captures = False  # nobody knows what a function of the user's own calls
        return Elementwise(self.activation, derivative)

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
        if known_derivative(activation) is None:
            raise without_derivative(activation, where)
        return Activation(activation)
    raise ArgumentTypeError(
        f"{where}: expected a name such as 'relu' or a layer such as ReLU(0.1), received {activation!r}."
    )
