"""Where the time of a step goes: milliseconds, arithmetic and memory of every layer, forward and backward."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniDLF.core.executor import Executor
from miniDLF.kernels.threads import single_threaded_blas

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


@dataclass(frozen=True, repr=False)
class Profile:
    """The costs of all layers; printed, it is the table.

    `pass_ms` is the whole way forward and back: the layers, the loss, and what hands values from one to the next.
    """

    layers: list[LayerProfile]
    rows: int
    gemm_gflops: float
    pass_ms: float

    def __repr__(self) -> str:
        width = max(26, *(len(layer.name) + 2 for layer in self.layers))
        lines = [
            f"batch of {self.rows}, one thread; GEMM of this machine: {self.gemm_gflops:.0f} GFLOP/s a thread",
            f"{'layer':<{width}}{'forward':>13}{'MFLOP':>9}{'of GEMM':>9}{'backward':>13}{'MFLOP':>9}{'of GEMM':>9}"
            f"{'activations':>14}",
        ]
        for layer in self.layers:
            lines.append(self._line(layer, width))
        total = LayerProfile(
            "all layers",
            *(
                sum(getattr(layer, name) for layer in self.layers)
                for name in ("forward_ms", "backward_ms", "forward_flops", "backward_flops", "activation_bytes")
            ),
        )
        return "\n".join(
            [*lines, self._line(total, width), f"forward, loss and backward together: {self.pass_ms:.3f} ms"]
        )

    def _line(self, layer: LayerProfile, width: int) -> str:
        directions = ((layer.forward_ms, layer.forward_flops), (layer.backward_ms, layer.backward_flops))
        cells = "".join(
            f"{milliseconds:>10.3f} ms{flops / 1e6:>9.1f}{self._share(milliseconds, flops):>9.0%}"
            for milliseconds, flops in directions
        )
        return f"{layer.name:<{width}}{cells}{layer.activation_bytes / 1024:>10.0f} KiB"

    def _share(self, milliseconds: float, flops: int) -> float:
        return flops / (milliseconds * 1e6 * self.gemm_gflops) if milliseconds else 0.0


class _Timed:
    """Stands for a layer in a program, and notes the seconds of its two directions in every pass."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.forward_seconds: list[float] = []
        self.backward_seconds: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def begin(self) -> None:
        """Begin a pass."""
        self.forward_seconds.append(0.0)
        self.backward_seconds.append(0.0)

    def forward(self, x: Any, call: Any) -> Any:
        return self._spend(self.forward_seconds, self._layer.forward, x, call)

    def partial(self, x: Any, call: Any) -> Any:
        return self._spend(self.forward_seconds, self._layer.partial, x, call)

    def backward(self, dy: Any, call: Any) -> Any:
        return self._spend(self.backward_seconds, self._layer.backward, dy, call)

    def backward_partial(self, dy: Any, call: Any) -> Any:
        return self._spend(self.backward_seconds, self._layer.backward_partial, dy, call)

    @staticmethod
    def _spend(seconds: list[float], function: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        result = function(*arguments)
        seconds[-1] += time.perf_counter() - began
        return result


@single_threaded_blas
def profile(model: Any, x: Any, y: Any, repeats: int = 10) -> Profile:
    """Time every layer of a compiled model, forward and backward, on the batch `x`, `y`; no weight changes.

    Whole passes are timed, forward through all layers and back, so that every layer finds the caches as in training.
    They run on one thread with one BLAS thread, as inside a shard; a training step with several threads gives each of
    them its part of the batch. The optimizer's update comes on top. The share of the machine's rate for matrix
    products (measured in the same call) says how much a faster kernel could still bring; flops are those of the
    formulas, so a kernel that needs fewer (Winograd's convolution) may pass 100 %. Layers that run as one
    ("up_sampling2d_1 + conv2d_4") have one line.

    Parameters
    ----------
    repeats
        Timed passes; the medians are reported.
    """
    engine = model.engine()
    batch = model.converter().batch(x, y)
    executor = Executor(engine.graph, engine.buffers, heads=engine.heads, seed=model.seed, shards=1)
    names = engine.graph.names
    passes = []
    rate = _gemm_rate(engine.buffers.dtype)
    executor.step(batch, engine.steps)
    shard = executor.active()[0]
    steps = list(shard.program.steps)
    timed = [_Timed(step.layer) for step in steps]
    shard.observe(timed)
    for _ in range(repeats):
        for layer in timed:
            layer.begin()
        began = time.perf_counter()
        executor.step(batch, engine.steps)
        passes.append(time.perf_counter() - began)
    result = []
    for step, call, layer in zip(steps, shard.calls, timed, strict=True):
        shapes = tuple(source.shape for source in step.node.inputs)
        received: Any = shapes if step.layer.takes_many else shapes[0]
        backward = step.layer.backward_flops(received, step.node.shape, any(step.needs_dx)) if step.learns else 0
        result.append(
            LayerProfile(
                " + ".join(names[part] for part in step.layers),
                _milliseconds(layer.forward_seconds),
                _milliseconds(layer.backward_seconds),
                len(batch) * step.layer.flops(received, step.node.shape),
                len(batch) * backward,
                call.workspace.nbytes,
            )
        )
    return Profile(result, len(batch), rate, _milliseconds(passes))


def _milliseconds(seconds: list[float]) -> float:
    return 1e3 * float(np.median(seconds))


def _gemm_rate(dtype: Any, side: int = 768) -> float:
    """Return the GFLOP/s of a square matrix product."""
    a = np.random.default_rng(0).normal(size=(side, side)).astype(dtype)
    out = np.empty_like(a)
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        np.matmul(a, a, out=out)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / (_milliseconds(seconds[1:]) * 1e6)
