"""The second engine next to the first, in turns: the training step of whole networks, in one process.

``python -m benchmarks.engines [names...] [--turns N]``. The first engine is what `fit` uses for built-in layers; the
second runs the same model as a step of one's own: recorded in tensors, differentiated, planned, replayed. The ratio is
the median of those of the turns; above 1 the second engine is faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.layers import (
    GRU,
    LSTM,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Pooling2D,
    ReLU,
    Softmax,
)
from miniDLF.models import Sequential
from miniDLF.models.own_steps import OwnSteps
from miniDLF.optimizers import Adam

RNG = np.random.default_rng(0)


def labels(rows: int, classes: int) -> np.ndarray:
    return np.eye(classes, dtype="float32")[RNG.integers(0, classes, rows)]


def mlp() -> tuple[list[Any], tuple[np.ndarray, np.ndarray]]:
    """The specification's perceptron, 784-400-400-400-10, batch 512."""
    layers: list[Any] = []
    for number in range(3):
        layers += [
            Dense(400, input_shape=(784,)) if number == 0 else Dense(400),
            Activation("leaky_relu"),
            Dropout(0.2),
        ]
    return [*layers, Dense(10), Softmax()], (RNG.random((512, 784), dtype="float32"), labels(512, 10))


def tiny() -> tuple[list[Any], tuple[np.ndarray, np.ndarray]]:
    """20-32-2, batch 32."""
    layers = [Dense(32, activation="relu", input_shape=(20,)), Dense(2, activation="softmax")]
    return layers, (RNG.random((32, 20), dtype="float32"), labels(32, 2))


def normalised() -> tuple[list[Any], tuple[np.ndarray, np.ndarray]]:
    """32-64-64-3 with batch normalisation, batch 256."""
    layers = [Dense(64, input_shape=(32,)), BatchNormalization(), ReLU(), Dense(64), BatchNormalization(), ReLU()]
    return [*layers, Dense(3), Softmax()], (RNG.random((256, 32), dtype="float32"), labels(256, 3))


def cnn() -> tuple[list[Any], tuple[np.ndarray, np.ndarray]]:
    """Two convolutions with pooling on 28x28, batch 512."""
    layers = [Conv2D(16, 3, padding=1, input_shape=(1, 28, 28)), ReLU(), Pooling2D(2), Conv2D(8, 3, padding=1), ReLU()]
    layers = [*layers, Pooling2D(2), Flatten(), Dense(10), Softmax()]
    return layers, (RNG.random((512, 1, 28, 28), dtype="float32"), labels(512, 10))


def recurrent(kind: Any) -> Callable[[], tuple[list[Any], tuple[np.ndarray, np.ndarray]]]:
    def make() -> tuple[list[Any], tuple[np.ndarray, np.ndarray]]:
        y = labels(25 * 60, 43).reshape(25, 60, 43)
        return [kind(256, input_shape=(60, 43)), Softmax()], (RNG.random((25, 60, 43), dtype="float32"), y)

    return make


NETWORKS = {
    "mlp": mlp,
    "tiny": tiny,
    "normalised": normalised,
    "cnn": cnn,
    "lstm": recurrent(LSTM),
    "gru": recurrent(GRU),
}


def compare(name: str, turns: int) -> str:
    """Return a line about one network."""
    models = []
    for _ in range(2):
        layers, data = NETWORKS[name]()
        model = Sequential(layers, seed=1)
        model.compile("cce", Adam(), doctor=False)
        models.append(model)
    first, second = models[0], OwnSteps(models[1], False)
    began = time.perf_counter()
    second.train(data)
    recording = time.perf_counter() - began
    first.train_on_batch(*data)
    spent: list[tuple[float, float]] = []
    for _ in range(turns):
        marks = [time.perf_counter()]
        first.train_on_batch(*data)
        marks.append(time.perf_counter())
        second.train(data)
        marks.append(time.perf_counter())
        spent.append((marks[1] - marks[0], marks[2] - marks[1]))
    times = np.array(spent)
    ratio = np.median(times[:, 0] / times[:, 1])
    of_first, of_second = np.median(times, axis=0) * 1e3
    return (
        f"{name:<12}{of_first:9.2f} ms{of_second:9.2f} ms   {ratio:5.2f}   first step {recording * 1e3:5.0f} ms, "
        f"{second._train.plan_report(data).shards} shards"
    )


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NETWORKS], help="networks; all without any")
    parser.add_argument("--turns", type=int, default=40)
    given = parser.parse_args()
    print(f"{'network':<12}{'first':>12}{'second':>12}   ratio")
    for name in given.names or NETWORKS:
        print(compare(name, given.turns), flush=True)


if __name__ == "__main__":
    main()
