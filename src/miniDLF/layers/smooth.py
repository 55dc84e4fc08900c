"""Smooth relatives of the rectifier: softplus, swish and GELU."""

from __future__ import annotations

from typing import Any

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call
from miniDLF.core.layer import Layer
from miniDLF.kernels.elementwise import sigmoid
from miniDLF.kernels.gaussian import gelu
from miniDLF.kernels.workspace import Array

__all__ = ["GELU", "Softplus", "Swish"]


class Softplus(Layer):
    """``y = log(1 + exp(x))``; ``dx = dy sigmoid(x)``."""

    captures = True

    def call(self, x: Any) -> Any:
        return ops.softplus(x)

    def forward(self, x: Array, call: Call) -> Array:
        call.x = x
        return np.logaddexp(x, 0, out=call.empty_like("y", x))

    def backward(self, dy: Array, call: Call) -> Array:
        return np.multiply(dy, sigmoid(call.x, call.empty_like("local", call.x)), out=dy)


class Swish(Layer):
    """``y = x sigmoid(x)``, also called SiLU (Elfwing et al. 2018); ``dx = dy (s + y (1 - s))``, s = sigmoid(x)."""

    captures = True

    def call(self, x: Any) -> Any:
        return ops.silu(x)

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

    def call(self, x: Any) -> Any:
        return ops.gelu(x, self.approximate)

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
