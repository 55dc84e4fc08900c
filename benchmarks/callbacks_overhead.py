"""What the loop costs a step: with nobody listening, and what metrics and a week's callbacks add to a network's epoch.

The first number compares `loop.run` without callbacks with bare `Engine.train` calls; the second the epochs of the
specification's perceptron with and without metrics, History, CSVLogger, EarlyStopping, ReduceLROnPlateau and a bar.

python benchmarks/callbacks_overhead.py
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from miniDLF.callbacks import CSVLogger, EarlyStopping, ProgressBar, ReduceLROnPlateau
from miniDLF.kernels.threads import single_threaded_blas
from miniDLF.layers import Activation, Dense, Dropout
from miniDLF.models import Sequential
from miniDLF.training import loop
from miniDLF.training.feeds import ArrayFeed


def main() -> None:
    empty_list()
    metrics_and_callbacks()


@single_threaded_blas
def epoch(engine: Any, feed: ArrayFeed) -> None:
    """Train for an epoch without the loop."""
    for batch in feed.epoch(0):
        engine.train(batch)


def empty_list() -> None:
    """Print what an empty list of callbacks costs a step; the limit is 20 us."""
    rng = np.random.default_rng(0)
    model = Sequential([Dense(4, input_shape=(4,))], seed=0)
    model.compile("mse", "sgd")
    data = model.converter().batch(rng.normal(size=(16_000, 4)), rng.normal(size=(16_000, 4)))
    engine, feed = model.engine(), ArrayFeed(data, 8)
    differences = []
    for _ in range(9):
        began = time.perf_counter()
        epoch(engine, feed)
        middle = time.perf_counter()
        loop.run(model, engine, feed, epochs=1)
        differences.append(((time.perf_counter() - middle) - (middle - began)) / len(feed.cuts))
    print(
        f"empty list: {1e6 * median(differences):.2f} us a step (median of {len(differences)} paired epochs, limit 20)"
    )


def metrics_and_callbacks() -> None:
    """Print how much longer an epoch of 784-400-400-400-10 takes with metrics and callbacks."""
    rng = np.random.default_rng(0)
    x, y = rng.random((10_240, 784), dtype=np.float32), rng.integers(0, 10, 10_240)

    def network(**measured: object) -> Sequential:
        layers = [Dense(400, input_shape=(784,)), Activation("leaky_relu"), Dropout(0.2)]
        for _ in range(2):
            layers += [Dense(400), Activation("leaky_relu"), Dropout(0.2)]
        model = Sequential([*layers, Dense(10), Activation("softmax")], seed=0)
        model.compile("cce", "adam", **measured)
        return model

    with tempfile.TemporaryDirectory() as folder:
        callbacks = [
            EarlyStopping("loss", patience=99),
            ReduceLROnPlateau("loss", patience=99),
            CSVLogger(Path(folder) / "log.csv"),
            ProgressBar(live=True, file=io.StringIO()),
        ]
        plain, watched = network(), network(metrics=["accuracy", "sparse_top_k_categorical_accuracy"])
        ratios = []
        for _ in range(8):  # the first pair warms up
            began = time.perf_counter()
            plain.fit(x, y, batch_size=512, verbose=0)
            middle = time.perf_counter()
            watched.fit(x, y, batch_size=512, verbose=0, callbacks=callbacks)
            ratios.append((time.perf_counter() - middle) / (middle - began))
    print(f"metrics and callbacks: {median(ratios[1:]):.3f} times the plain epoch (median of 7 pairs, MLP, batch 512)")


if __name__ == "__main__":
    main()
