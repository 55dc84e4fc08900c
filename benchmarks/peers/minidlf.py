"""miniDLF through its public interface; a step is what `fit` does for every batch of arrays it holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import networks as n
from benchmarks.workloads.base import Data, Workload

TITLE = "miniDLF"
PACKAGES = ("miniDLF", "numpy")
ENVIRONMENT: dict[str, str] = {}


def start(threads: int) -> None:
    """Import miniDLF and set its threads."""
    import miniDLF

    miniDLF.set_threads(threads)


def variants(workload: Workload) -> tuple[str, ...]:
    """Return the one way: miniDLF chooses by itself."""
    return ("",)


def build(workload: Workload, data: Data, variant: str) -> MiniProgram:
    """Return the program."""
    return MiniProgram(workload, data)


def network(workload: Workload) -> Any:
    """Return the compiled model."""
    from miniDLF import layers, models

    parts: list[Any] = []
    for layer in workload.layers:
        match layer:
            case n.Dense(units):
                parts.append(layers.Dense(units))
            case n.Conv(filters, kernel, stride, padding):
                parts.append(layers.Conv2D(filters, kernel, stride, padding))
            case n.Pool(size, mode):
                parts.append(layers.Pooling2D(size, size, mode))
            case n.UpSample(size):
                parts.append(layers.UpSampling2D((size, size)))
            case n.Flatten():
                parts.append(layers.Flatten())
            case n.Dropout(rate):
                parts.append(layers.Dropout(rate))
            case n.BatchNorm():
                parts.append(layers.BatchNormalization())
            case n.Activation(kind):
                parts.append(layers.Activation(kind))
            case n.Recurrent(kind, units):
                cell = {"rnn": layers.RNN, "gru": layers.GRU, "lstm": layers.LSTM}[kind]
                parts.append(cell(units))
            case _:
                raise TypeError(f"no layer for {layer}")
    parts.append(layers.Activation("sigmoid" if workload.loss == "bce" else "softmax"))
    model = models.Sequential(parts, seed=0)
    model.compile(workload.loss, "adam")
    model.build(workload.input_shape)
    return model


class MiniProgram:
    """The model, and its data set as `fit` holds it: checked once, gathered by the shards."""

    def __init__(self, workload: Workload, data: Data) -> None:
        from miniDLF.core.executor import Batch

        self.model = network(workload)
        self.Batch = Batch
        if workload.mode != "predict":
            self.engine = self.model.engine()
            self.data = self.model.converter().batch(data.x, data.x if data.y is None else data.y)

    def step(self, rows: np.ndarray) -> None:
        """Do one training step."""
        data = self.data
        self.engine.train(self.Batch(data.inputs, data.targets, data.weights, rows))

    def finish(self) -> None:
        """A step is done when it returns."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for a batch."""
        return self.model.predict(x)

    def evaluating(self, on: bool) -> None:
        """Nothing to switch: prediction is another method."""
