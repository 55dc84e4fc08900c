"""Times the recurrent layers, forward and backward, next to PyTorch's.

Run ``python benchmarks/kernels_recurrent.py [--repetitions 30] [--only lstm]``. Every workload runs in two ways:

- ``one``: the larger shard alone on one thread, against PyTorch with one thread on as many rows;
- ``two``: both shards on two threads, against PyTorch with two threads on the whole batch.

Both sides do the forward pass, the output projection and the backward pass with the gradients of all weights; the first
layer's inputs need none. Loss and optimizer are left out on both sides. The sides take turns, a few runs each,
and the table gives the minimum and the median in milliseconds, and PyTorch's median over ours.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from miniDLF.core.call import Call, Shared
from miniDLF.core.executor import bounds
from miniDLF.kernels.threads import ThreadPool
from miniDLF.kernels.workspace import Workspace
from miniDLF.layers.recurrent import GRU, LSTM, RNN

#: name: (layer, number of layers, batch, timesteps, features, units)
WORKLOADS = {
    "3 x rnn": (RNN, 3, 25, 60, 43, 256),
    "lstm": (LSTM, 1, 25, 60, 43, 256),
    "gru": (GRU, 1, 25, 60, 43, 256),
    "lstm 512": (LSTM, 1, 64, 100, 64, 512),
}


class Shard:
    """A stack of layers with memory of its own, called as the executor calls it."""

    def __init__(self, layers: list, rows: int, shape: tuple[int, int]) -> None:
        rng = np.random.default_rng(0)
        self.x, self.dy = rng.normal(size=(2, rows, *shape)).astype(np.float32)
        scratch = Workspace(np.float32)
        self.layers = layers
        self.calls = []
        for position, layer in enumerate(layers):
            gradients = {p: np.empty(p.shape, np.float32) for p in layer.parameters}
            call = Call(Workspace(np.float32), scratch, gradients)
            call.shared = Shared(Workspace(np.float32))
            call.training, call.needs_dx = True, position > 0
            self.calls.append(call)

    def forward(self) -> None:
        """Run all layers."""
        value = self.x
        for layer, call in zip(self.layers, self.calls, strict=True):
            value = layer.forward(value, call)

    def backward(self) -> None:
        """Run all layers back."""
        gradient = self.dy
        for layer, call in zip(self.layers[::-1], self.calls[::-1], strict=True):
            gradient = layer.backward(gradient, call)

    def step(self) -> None:
        """Forward and backward."""
        self.forward()
        self.backward()


def build(layer_class: type, count: int, shape: tuple[int, int], units: int) -> list:
    """Make layers with initial values."""
    rng = np.random.default_rng(0)
    layers = [layer_class(units) for _ in range(count)]
    for layer in layers:
        layer.build(shape)
        for parameter in layer.parameters:
            parameter.value = parameter.initializer(parameter.shape, rng, parameter.fans).astype(np.float32)
    return layers


class Peer(torch.nn.Module):
    """The same stack in PyTorch."""

    def __init__(self, name: str, count: int, features: int, units: int) -> None:
        super().__init__()
        cell = getattr(torch.nn, name)
        self.cells = torch.nn.ModuleList([cell(features, units, batch_first=True) for _ in range(count)])
        self.projections = torch.nn.ModuleList([torch.nn.Linear(units, features) for _ in range(count)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run all layers."""
        for cell, projection in zip(self.cells, self.projections, strict=True):
            x = projection(cell(x)[0])
        return x

    def step(self, x: torch.Tensor, dy: torch.Tensor) -> None:
        """Forward and backward."""
        self.zero_grad(set_to_none=True)
        self(x).backward(dy)


def milliseconds(run: Callable[[], None]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def compare(ours: Callable[[], None], theirs: Callable[[], None], threads: int, repetitions: int) -> list[list[float]]:
    """Let both take turns, five runs each after a warm one; return the times of each.

    PyTorch's own threads go on spinning for a while after their work is done and would take the core of our second
    thread, so there is a pause before every turn.
    """
    times: list[list[float]] = [[], []]
    torch.set_num_threads(threads)
    for _ in range(-(-repetitions // 5)):
        for side, run in zip(times, (ours, theirs), strict=True):
            time.sleep(0.3)
            run()
            side.extend(milliseconds(run) for _ in range(5))
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    arguments = parser.parse_args()
    pool = ThreadPool()
    pool.threads = 2
    print(f"{'workload':10} {'way':4} {'ours min':>9} {'median':>8} {'torch min':>10} {'median':>8} {'ratio':>6}")
    for name, (layer_class, count, rows, steps, features, units) in WORKLOADS.items():
        if arguments.only not in (None, name):
            continue
        shape = (steps, features)
        layers = build(layer_class, count, shape, units)
        shards = [Shard(layers, stop - start, shape) for start, stop in bounds(rows, 2)]
        larger = shards[-1]
        peer = Peer(layer_class.__name__, count, features, units)

        for way, runs, threads, peer_rows in (("one", [larger], 1, len(larger.x)), ("two", shards, 2, rows)):
            x, dy = torch.randn(2, peer_rows, *shape)
            ours = partial(pool.run, [shard.step for shard in runs])
            a, b = compare(ours, partial(peer.step, x, dy), threads, arguments.repetitions)
            ours_median, peer_median = statistics.median(a), statistics.median(b)
            row = f"{name:10} {way:4} {min(a):9.2f} {ours_median:8.2f} {min(b):10.2f} {peer_median:8.2f}"
            print(f"{row} {peer_median / ours_median:6.2f}")
        parts = [[milliseconds(run) for run in (larger.forward, larger.backward)] for _ in range(arguments.repetitions)]
        forward, backward = (statistics.median(part) for part in zip(*parts, strict=True))
        print(f"{name:10} one shard of {len(larger.x)}: forward {forward:.2f} ms, backward {backward:.2f} ms")


if __name__ == "__main__":
    with threadpool_limits(1, user_api="blas"):
        main()
