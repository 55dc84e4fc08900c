"""What the loop costs a step when nobody listens: `loop.run` with no callbacks against bare `Engine.train` calls.

python benchmarks/callbacks_overhead.py
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from miniDLF.kernels.threads import single_threaded_blas
from miniDLF.layers import Dense
from miniDLF.models import Sequential
from miniDLF.training import loop
from miniDLF.training.feeds import ArrayFeed


def main() -> None:
    rng = np.random.default_rng(0)
    model = Sequential([Dense(4, input_shape=(4,))], seed=0)
    model.compile("mse", "sgd")
    data = model.converter().batch(rng.normal(size=(16_000, 4)), rng.normal(size=(16_000, 4)))
    engine, feed = model.engine(), ArrayFeed(data, 8)
    differences = []
    for _ in range(9):
        began = time.perf_counter()
        with single_threaded_blas:
            for batch in feed.epoch(0):
                engine.train(batch)
        middle = time.perf_counter()
        loop.run(model, engine, feed, epochs=1)
        differences.append(((time.perf_counter() - middle) - (middle - began)) / len(feed.cuts))
    print(f"{1e6 * median(differences):.2f} us a step (median of {len(differences)} paired epochs of 2000 steps)")


if __name__ == "__main__":
    main()
