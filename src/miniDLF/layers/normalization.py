"""Batch normalisation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call, Shared
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError
from miniDLF.kernels.normalization import Channels, regular
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["BatchNormalization"]


class BatchNormalization(Layer):
    """``y = gamma (x - mean) / sqrt(var + epsilon) + beta`` (Ioffe & Szegedy 2015), over the batch.

    Per feature for vectors (N, D), per channel for images (N, C, H, W), per feature of the last axis for sequences
    (N, T, D). Training uses the mean and the biased variance of the whole batch, whatever its shards; inference uses
    running ones, ``running = momentum * running + (1 - momentum) * batch``; so does a layer with ``trainable=False`` in
    training, as in Keras, and its running statistics stay as they are.

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
    freezes: ClassVar = True
    captures = True
    gives_away = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ArgumentError(f"BatchNormalization: momentum lies between 0 and 1, received {self.momentum}.")
        if not 0 <= self.epsilon < np.inf:
            raise ArgumentError(f"BatchNormalization: epsilon is finite and not negative, received {self.epsilon}.")

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

    def call(self, x: Any, training: bool = False) -> Any:
        axes = (0, 2, 3) if x.ndim == 4 else tuple(range(x.ndim - 1))
        shape = (-1, 1, 1) if x.ndim == 4 else (-1,)
        mean, variance = self.running_mean, self.running_var
        if training and self.trainable:
            mean, variance = np.mean(x, axes), np.var(x, axes)
            for running, batch in ((self.running_mean, mean), (self.running_var, variance)):
                running.assign(self.momentum * running + (1 - self.momentum) * ops.stop_gradient(batch))
        scale = 1 / np.sqrt(variance + self.epsilon)
        if self.gamma is not None:
            scale = scale * self.gamma
        y = (x - np.reshape(mean, shape)) * np.reshape(scale, shape)
        return y if self.beta is None else y + np.reshape(self.beta, shape)

    # Statistics of the whole batch: count, mean, sum of squared deviations (Chan et al. 1983) -------------------------

    def partial(self, x: Array, call: Call) -> Any:
        x = _regular(x, call)
        channels = self._channels(x, call)
        call.centred = call.empty_like("centred", x)
        call.mean, squares = channels.centre(x, call.centred, call.scratch)
        return channels.count, call.mean, squares

    def merge(self, a: Any, b: Any) -> Any:
        count = a[0] + b[0]
        delta = b[1] - a[1]
        return count, a[1] + delta * (b[0] / count), a[2] + b[2] + delta * delta * (a[0] * b[0] / count)

    def prepare(self, shared: Shared) -> None:
        if not shared.training:
            self._use_running(shared)

    def forward(self, x: Array, call: Call) -> Array:
        x = _regular(x, call)
        if call.training:
            count, mean, squares = call.total
            call.inverse = 1.0 / np.sqrt(squares / count + self.epsilon)
            source, call.offset = call.centred, call.mean - mean  # centred + offset = x - mean of the whole batch
            call.scale, shift = self._scale_shift(call.inverse, call.offset)
        else:
            known: Any = call.shared
            if known.training:  # inference in the middle of training: nothing is prepared for it
                known = call
                self._use_running(call)
            call.inverse, call.offset, call.scale, shift = known.inverse, known.offset, known.scale, known.shift
            source = call.centred = x
        y = call.output_like(x) if call.training else call.empty_like("y", x)  # else backward may read x
        self._channels(x, call).scale_shift(source, call.scale, shift, y, call.scratch)
        return y

    def _use_running(self, record: Any) -> None:
        """Leave what the running statistics, gamma and beta come to, ``x * scale + shift``, on `record`."""
        mean, variance = self.running_mean.value, self.running_var.value
        record.offset = np.negative(mean, out=record.empty("offset", mean.shape))
        inverse = record.inverse = np.add(variance, self.epsilon, out=record.empty("inverse", mean.shape))
        np.divide(1.0, np.sqrt(inverse, out=inverse), out=inverse)
        scale, shift = self._scale_shift(inverse, record.offset)
        record.scale, record.shift = record.empty("scale", mean.shape), record.empty("shift", mean.shape)
        np.copyto(record.scale, scale)
        np.copyto(record.shift, shift)

    def _scale_shift(self, inverse: Array, offset: Array) -> tuple[Array, Array]:
        """Return scale and shift of ``(x + offset) * inverse * gamma + beta = x * scale + shift``."""
        scale = inverse if self.gamma is None else inverse * self.gamma.value
        shift = offset * scale
        return scale, shift if self.beta is None else shift + self.beta.value

    # With normal = (centred + offset) inverse:  dx = scale (dy - mean(dy) - normal mean(dy normal)) -------------------

    def backward_partial(self, dy: Array, call: Call) -> Any:
        centred = call.centred
        if dy.strides != centred.strides:
            dy = _like(dy, centred, call)
        sums, products = self._channels(centred, call).products(dy, centred, call.scratch)
        call.sums = sums, (products + call.offset * sums) * call.inverse  # sum of dy, sum of dy * normal
        return call.sums

    def backward(self, dy: Array, call: Call) -> Array:
        wanted = [(p, number) for number, p in enumerate((self.beta, self.gamma)) if p is not None and call.wants(p)]
        if wanted and not call.training:
            self.backward_partial(dy, call)
        for parameter, number in wanted:
            call.grad(parameter)[...] = call.sums[number]
        if dy.strides != call.centred.strides:
            dy = _like(dy, call.centred, call)
        channels = self._channels(call.centred, call)
        if not call.training:
            channels.scale_shift(dy, call.scale, call.zeros("no shift", call.scale.shape), dy, call.scratch)
            return dy
        count, (sums, products) = call.total[0], call.backward_total
        by_centred = call.scale * call.inverse * products / -count
        constant = by_centred * call.offset - call.scale * sums / count
        channels.combine(dy, call.scale, call.centred, by_centred, constant, call.scratch)
        return dy

    def _channels(self, x: Array, call: Call) -> Channels:
        known: Channels | None = call.__dict__.get("channels")
        if known is None or not known.fits(x):
            known = call.channels = Channels(x)
        return known

    def update_state(self, call: Call) -> None:
        self._move_statistics(call, self.momentum)

    def settle_state(self, call: Call) -> None:
        self._move_statistics(call, 0.0 if self.momentum < 1 else 1.0)

    def _move_statistics(self, call: Call, kept: float) -> None:
        count, mean, squares = call.total
        for running, batch in ((self.running_mean.value, mean), (self.running_var.value, squares / count)):
            running *= kept
            running += (1 - kept) * batch

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return 8 * int(np.prod(input_shape))


def _regular(x: Array, call: Call) -> Array:
    """Return `x`, or a copy in lent memory where it is contiguous in no order that the kernels know."""
    if regular(x):
        return x
    copy = call.empty("copy", x.shape)
    np.copyto(copy, x)
    return copy


def _like(dy: Array, x: Array, call: Call) -> Array:
    """Copy `dy` to the order of axes in memory that `x` has."""
    result = call.empty_like("dy", x)
    np.copyto(result, dy)
    return result
