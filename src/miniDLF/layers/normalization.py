"""Batch normalisation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.core.call import Call
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["BatchNormalization"]


class BatchNormalization(Layer):
    """``y = gamma (x - mean) / sqrt(var + epsilon) + beta`` (Ioffe & Szegedy 2015), over the batch.

    Per feature for vectors (N, D), per channel for images (N, C, H, W), per feature of the last axis for sequences
    (N, T, D). Training uses the mean and the biased variance of the whole batch, whatever its shards; inference uses
    running ones, ``running = momentum * running + (1 - momentum) * batch``.

    Parameters
    ----------
    momentum
        Share of the old running statistics that is kept, 0 to 1.
    scale, center
        Whether there is a gamma, a beta.
    epsilon
        Added to the variance.
    """

    momentum: float = 0.9
    scale: bool = True
    center: bool = True
    epsilon: float = 1e-5
    gamma_initializer: Any = "ones"
    beta_initializer: Any = "zeros"
    gamma_regularizer: Any = None
    beta_regularizer: Any = None
    gamma_constraint: Any = None
    beta_constraint: Any = None

    label: ClassVar = "BatchNorm"
    synchronises: ClassVar = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ArgumentError(f"BatchNormalization: momentum lies between 0 and 1, received {self.momentum}.")

    def build(self, input_shape: Shape) -> Shape:
        features = input_shape[0] if len(input_shape) == 3 else input_shape[-1]
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.parameter(
                "gamma",
                (features,),
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.parameter(
                "beta",
                (features,),
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.running_mean = self.parameter("running_mean", (features,), "zeros", trainable=False)
        self.running_var = self.parameter("running_var", (features,), "ones", trainable=False)
        return input_shape

    # Statistics of the whole batch: count, mean, sum of squared deviations (Chan et al. 1983) -------------------------

    def partial(self, x: Array, call: Call) -> Any:
        rows = _rows(x)
        count = rows.size // rows.shape[-1]
        mean = _sum(rows) / count
        centred = np.subtract(rows, mean, out=_rows(call.empty_like("centred", x)))
        return count, mean, _sum_product(centred, centred), mean

    def merge(self, a: Any, b: Any) -> Any:
        count = a[0] + b[0]
        delta = b[1] - a[1]
        mean = a[1] + delta * (b[0] / count)
        return count, mean, a[2] + b[2] + delta * delta * (a[0] * b[0] / count), mean

    def forward(self, x: Array, call: Call) -> Array:  # rows (R, F): every axis but the features'
        y = call.empty_like("y", x)
        if call.training:
            count, mean, squares, _ = call.total
            inverse = 1.0 / np.sqrt(squares / count + self.epsilon)
        else:
            mean, inverse = self.running_mean.value, 1.0 / np.sqrt(self.running_var.value + self.epsilon)
        call.inverse = inverse
        normal = call.normal = call.empty_like("normal", x)
        rows = np.subtract(_rows(x), mean, out=_rows(normal))
        np.multiply(rows, inverse, out=rows)
        out = _rows(y)
        np.multiply(rows, 1.0 if self.gamma is None else self.gamma.value, out=out)
        if self.beta is not None:
            np.add(out, self.beta.value, out=out)
        return y

    # dx = gamma / sqrt(var + eps) (dy - mean(dy) - normal mean(dy normal)) --------------------------------------------

    def backward_partial(self, dy: Array, call: Call) -> Any:
        rows = _rows(dy)
        call.sums = (_sum(rows), _sum_product(rows, _rows(call.normal)))
        return call.sums

    def backward(self, dy: Array, call: Call) -> Array:
        if not call.training:
            self.backward_partial(dy, call)
        if self.beta is not None:
            call.grad(self.beta)[...] = call.sums[0]
        if self.gamma is not None:
            call.grad(self.gamma)[...] = call.sums[1]
        rows = _rows(dy)
        if call.training:
            count = call.total[0]
            local = np.multiply(_rows(call.normal), call.backward_total[1] / count, out=_rows(call.normal))
            np.subtract(rows, local, out=rows)
            np.subtract(rows, call.backward_total[0] / count, out=rows)
        np.multiply(rows, call.inverse * (1.0 if self.gamma is None else self.gamma.value), out=rows)
        return dy

    def update_state(self, call: Call) -> None:
        count, mean, squares, _ = call.total
        for running, batch in ((self.running_mean.value, mean), (self.running_var.value, squares / count)):
            running *= self.momentum
            running += (1 - self.momentum) * batch

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return 8 * int(np.prod(input_shape))


def _rows(x: Array) -> Array:
    """View with the features last: (N, C, H, W) -> (N, H, W, C); everything else has them there."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def _sum(rows: Array) -> Array:
    return np.sum(rows, axis=tuple(range(rows.ndim - 1)))


def _sum_product(a: Array, b: Array) -> Array:
    axes = "abcdefgh"[: a.ndim - 1]
    return np.einsum(f"{axes}z,{axes}z->z", a, b)
