"""Keras on JAX: its own layers and Adam in one jitted stateless step, as its guide to custom loops on JAX has it.

That is faster than `fit`, which pays for its data pipeline and its metrics. Images are (N, H, W, C), Keras' default.
Its GRU has the `reset_after` form (see `torch_network`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import networks as n
from benchmarks.peers.base import Program
from benchmarks.workloads.base import Data, Workload

TITLE = "Keras on JAX"
PACKAGES = ("keras", "jax")
MODULES = ("keras", "jax")
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
COMPILES = True
FIRST_STEPS = 2

#: Rows at a time where a large prediction is cut.
CHUNK = 500


def start(threads: int) -> None:
    """The threads are XLA's (see `jax_jit`)."""


def variants(workload: Workload) -> tuple[str, ...]:
    """Return whether large predictions are cut."""
    if workload.mode == "predict" and workload.batch > CHUNK:
        return ("whole", "chunks")
    return ("",)


def build(workload: Workload, data: Data, variant: str) -> KerasProgram:
    """Return the program."""
    return KerasProgram(workload, data, variant)


def network(workload: Workload) -> Any:
    """Return the model; it gives logits."""
    from keras import Sequential, layers

    shape = workload.input_shape
    images = len(shape) == 3
    parts: list[Any] = [layers.Input((*shape[1:], shape[0]) if images else shape)]
    for layer in workload.layers:
        match layer:
            case n.Dense(units):
                parts.append(layers.Dense(units))
            case n.Conv(filters, kernel, stride, padding):
                if padding and (stride, kernel) != (1, (2 * padding + 1, 2 * padding + 1)):
                    parts.append(layers.ZeroPadding2D(padding))
                    padding = 0
                parts.append(layers.Conv2D(filters, kernel, stride, padding="same" if padding else "valid"))
            case n.Pool(size, mode):
                parts.append(layers.MaxPooling2D(size) if mode == "max" else layers.AveragePooling2D(size))
            case n.UpSample(size):
                parts.append(layers.UpSampling2D(size))
            case n.Flatten():
                parts.append(layers.Flatten())
            case n.Dropout(rate):
                parts.append(layers.Dropout(rate))
            case n.BatchNorm():
                parts.append(layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
            case n.Activation(kind):
                parts.append(layers.ReLU() if kind == "relu" else layers.LeakyReLU(negative_slope=1e-4))
            case n.Recurrent(kind, units):
                cell = {"rnn": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}[kind]
                parts += [cell(units, return_sequences=True), layers.Dense(shape[-1])]
            case _:
                raise TypeError(f"no layer for {layer}")
        shape = layer.output(shape)
    return Sequential(parts)


class KerasProgram(Program):
    """Model, loss and optimizer of Keras as one pure function of their variables."""

    def __init__(self, workload: Workload, data: Data, variant: str) -> None:
        import jax
        import keras
        from keras import ops

        keras.utils.set_random_seed(0)
        self.jax = jax
        self.chunk = CHUNK if variant == "chunks" else workload.batch
        self.images = len(workload.input_shape) == 3
        x = np.ascontiguousarray(data.x.transpose(0, 2, 3, 1)) if self.images else data.x
        self.x, self.y = x, x if data.y is None else data.y.astype(np.int32)
        model = network(workload)
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)

        def loss(trainable: Any, fixed: Any, x: Any, y: Any) -> Any:
            logits, fixed = model.stateless_call(trainable, fixed, x, training=True)
            if workload.loss == "bce":
                each = ops.binary_crossentropy(y, logits, from_logits=True)
                return ops.mean(each), fixed
            each = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
            return ops.sum(each) / len(logits), fixed

        def step(state: Any, x: Any, y: Any) -> Any:
            trainable, fixed, moments = state
            gradient, fixed = jax.grad(loss, has_aux=True)(trainable, fixed, x, y)
            trainable, moments = optimizer.stateless_apply(moments, gradient, trainable)
            return trainable, fixed, moments

        def predict(trainable: Any, fixed: Any, x: Any) -> Any:
            if self.images:
                x = x.transpose(0, 2, 3, 1)
            logits, _ = model.stateless_call(trainable, fixed, x, training=False)
            return ops.sigmoid(logits) if workload.loss == "bce" else ops.softmax(logits)

        self._step = jax.jit(step, donate_argnums=0)
        self._predict = jax.jit(predict)
        self.state: Any = jax.tree.map(
            jax.numpy.copy,  # donated buffers must not be those that the model still holds
            tuple(
                [variable.value for variable in variables]
                for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
            ),
        )

    def step(self, rows: np.ndarray) -> None:
        """Do one training step; XLA may still be at it when this returns."""
        x = self.x[rows]
        self.state = self._step(self.state, x, x if self.y is self.x else self.y[rows])

    def finish(self) -> None:
        """Wait for XLA."""
        self.jax.block_until_ready(self.state)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for a batch."""
        trainable, fixed, _ = self.state
        if len(x) <= self.chunk:
            return np.asarray(self._predict(trainable, fixed, x))
        parts = [self._predict(trainable, fixed, x[at : at + self.chunk]) for at in range(0, len(x), self.chunk)]
        return np.concatenate([np.asarray(part) for part in parts])
