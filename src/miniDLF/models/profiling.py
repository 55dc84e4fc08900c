"""Where the time of a step goes: milliseconds, arithmetic and memory of every layer, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniDLF.core.executor import Executor
from miniDLF.core.program import Step
from miniDLF.kernels.threads import single_threaded_blas
from miniDLF.kernels.workspace import Array

__all__ = ["LayerProfile", "Profile", "profile"]


@dataclass(frozen=True)
class LayerProfile:
    """The cost of one layer for one batch, on one thread."""

    name: str
    forward_ms: float
    backward_ms: float
    forward_flops: int
    backward_flops: int
    activation_bytes: int


@dataclass(frozen=True)
class Profile:
    """The costs of all layers; ``str()`` of it is the table."""

    layers: list[LayerProfile]
    rows: int
    gemm_gflops: float

    def __str__(self) -> str:
        width = max(26, *(len(layer.name) + 2 for layer in self.layers))
        lines = [
            f"batch of {self.rows}, one thread; GEMM of this machine: {self.gemm_gflops:.0f} GFLOP/s a thread",
            f"{'layer':<{width}}{'forward':>10}{'backward':>10}{'MFLOP':>11}{'of GEMM':>9}{'activations':>13}",
        ]
        for layer in self.layers:
            lines.append(self._line(layer, width))
        total = LayerProfile(
            "total",
            *(
                sum(getattr(layer, name) for layer in self.layers)
                for name in ("forward_ms", "backward_ms", "forward_flops", "backward_flops", "activation_bytes")
            ),
        )
        return "\n".join([*lines, self._line(total, width)])

    def _line(self, layer: LayerProfile, width: int) -> str:
        flops = layer.forward_flops + layer.backward_flops
        milliseconds = layer.forward_ms + layer.backward_ms
        share = flops / (milliseconds * 1e6 * self.gemm_gflops) if milliseconds else 0.0
        return (
            f"{layer.name:<{width}}{layer.forward_ms:>7.3f} ms{layer.backward_ms:>7.3f} ms{flops / 1e6:>11.1f}"
            f"{share:>9.0%}{layer.activation_bytes / 1024:>9.0f} KiB"
        )


def profile(model: Any, x: Any, y: Any, repeats: int = 10) -> Profile:
    """Time every layer of a compiled model, forward and backward, on the batch `x`, `y`; no weight changes.

    Each layer runs on one thread with one BLAS thread, as it does inside a shard. The share of the machine's rate for
    matrix products (measured in the same call) says how much a faster kernel could still bring.

    Parameters
    ----------
    repeats
        Timed runs; the medians are reported.
    """
    engine = model.engine()
    batch = model.converter().batch(x, y)
    executor = Executor(engine.graph, engine.buffers, heads=engine.heads, seed=model.seed, shards=1)
    names = engine.graph.names
    with single_threaded_blas:
        rate = _gemm_rate(engine.buffers.dtype)
        executor.step(batch, engine.steps)
        shard = executor.active()[0]
        given = list(shard.values)
        result = []
        for step, call in zip(shard.program.steps, shard.calls, strict=True):
            sources = [given[source] for source in step.sources]
            forward = _forward_time(step, call, sources, repeats)
            backward = _backward_time(step, call, sources, repeats) if step.learns else 0.0
            shapes = [source.shape for source in step.node.inputs]
            flops = len(batch) * step.layer.flops(
                tuple(shapes) if step.layer.takes_many else shapes[0], step.node.shape
            )
            # A product costs one product of the same size for the input's gradient and one for the weight's.
            factor = (
                (any(step.needs_dx) + any(p.trainable for p in step.layer.parameters)) if step.layer.parameters else 1
            )
            memory = call.workspace.nbytes
            name = " + ".join(names[layer] for layer in (*step.joined, step.layer))
            result.append(LayerProfile(name, forward, backward, flops, flops * factor * step.learns, memory))
    return Profile(result, len(batch), rate)


def _forward(step: Step, call: Any, sources: list[Array]) -> Array:
    x: Any = tuple(sources) if step.layer.takes_many else sources[0]
    if step.layer.synchronises and call.training:
        call.total = step.layer.partial(x, call)
    return step.layer.forward(x, call)


def _forward_time(step: Step, call: Any, sources: list[Array], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        fresh = [source.copy(order="K") for source in sources]  # forward may overwrite its input
        began = time.perf_counter()
        _forward(step, call, fresh)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def _backward_time(step: Step, call: Any, sources: list[Array], repeats: int) -> float:
    dy = _forward(step, call, [source.copy(order="K") for source in sources]).copy(order="K")
    times = []
    for _ in range(repeats):
        _forward(step, call, [source.copy(order="K") for source in sources])
        fresh = dy.copy(order="K")
        began = time.perf_counter()
        if step.layer.synchronises and call.training:
            call.backward_total = step.layer.backward_partial(fresh, call)
        step.layer.backward(fresh, call)
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def _median(run: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def _gemm_rate(dtype: Any, side: int = 768) -> float:
    """Return the GFLOP/s of a square matrix product."""
    a = np.random.default_rng(0).normal(size=(side, side)).astype(dtype)
    out = np.empty_like(a)
    np.matmul(a, a, out=out)
    return 2 * side**3 / (_median(lambda: np.matmul(a, a, out=out), 7) * 1e6)
