"""miniDLF through its public interface; a step is what `fit` does for every batch of arrays it holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import networks as n
from benchmarks.peers.base import Program
from benchmarks.workloads.base import Data, Workload
from miniDLF.core.capture import FIRST_RUNS

TITLE = "miniDLF"
PACKAGES = ("miniDLF", "numpy")
MODULES = ("miniDLF", "miniDLF.layers", "miniDLF.models")
ENVIRONMENT: dict[str, str] = {}
COMPILES = False
FIRST_STEPS = FIRST_RUNS
#: A step that is too small for two threads is no step for two processes either.
PROCESSES = "use_processes"
#: The wide MLP, of 6.3 million weights, takes 1.02 to 1.04 of its time in processes: see `docs/speed.md`.
MANY_WEIGHTS = 4_000_000


def start(threads: int) -> None:
    """Set the threads."""
    import miniDLF

    miniDLF.set_threads(threads)


def variants(workload: Workload) -> tuple[str, ...]:
    """Return the one way: miniDLF chooses by itself, but has to be told that it may train in several processes."""
    pays = workload.mode == "train" and workload.parameters < MANY_WEIGHTS
    return (PROCESSES if pays and sys.platform == "linux" else "",)


def build(workload: Workload, data: Data, variant: str) -> MiniProgram:
    """Return the program."""
    set_way(variant)
    return MiniProgram(workload, data)


def set_way(variant: str) -> None:
    """Let shards run in processes, or on threads."""
    import miniDLF

    miniDLF.use_processes(variant == PROCESSES)


def network(workload: Workload, metrics: tuple[str, ...] = ()) -> Any:
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
    model.compile(workload.loss, "adam", metrics=list(metrics))
    model.build(workload.input_shape)
    return model


class MiniProgram(Program):
    """The model, and its data set as `fit` holds it: checked once, gathered by the shards."""

    def __init__(self, workload: Workload, data: Data, metrics: tuple[str, ...] = ()) -> None:
        self.model = network(workload, metrics)
        if workload.mode != "predict":
            self.engine = self.model.engine()
            self.data = self.model.converter().batch(data.x, data.x if data.y is None else data.y)

    def batch(self, rows: np.ndarray) -> Any:
        """Return what `fit` hands to a step: the data set, and the rows that the shards will gather."""
        return self.data.select(rows)

    def step(self, rows: np.ndarray) -> None:
        """Do one training step."""
        self.engine.train(self.batch(rows))

    def steps(self, rows: Iterator[np.ndarray], count: int) -> None:
        """Do `count` training steps with BLAS held to one thread around all of them, as `fit` does."""
        from miniDLF.kernels.threads import single_threaded_blas

        single_threaded_blas(super().steps)(rows, count)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for a batch."""
        return self.model.predict(x)
