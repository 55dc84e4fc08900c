"""JAX: one jitted step with donated buffers, images in (N, H, W, C), recurrent products hoisted out of `lax.scan`."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.base import Program
from benchmarks.workloads.base import Data, Workload

TITLE = "JAX jit"
PACKAGES = ("jax", "jaxlib")
MODULES = ("jax", "jax.numpy")
ENVIRONMENT = {"JAX_PLATFORMS": "cpu"}
COMPILES = True
FIRST_STEPS = 2

#: Rows at a time where a large prediction is cut.
CHUNK = 500


def start(threads: int) -> None:
    """XLA's CPU client takes as many threads as the process has cores; the worker has set those."""


def variants(workload: Workload) -> tuple[str, ...]:
    """Return where rows are gathered, and how far a scan is unrolled.

    Dropout draws with the default generator: 'rbg' costs a third more on the CPU.
    """
    if workload.mode == "predict":
        return ("whole", "chunks") if workload.batch > CHUNK else ("",)
    if workload.recurs:
        return ("unroll 1", "unroll 5", "unroll 20")
    return ("gather inside", "gather outside")


def build(workload: Workload, data: Data, variant: str) -> JaxProgram:
    """Return the program."""
    return JaxProgram(workload, data, variant)


class JaxProgram(Program):
    """Parameters, Adam's moments and running statistics as trees; every step gives them to XLA and takes new ones."""

    def __init__(self, workload: Workload, data: Data, variant: str) -> None:
        import jax
        import jax.numpy as jnp

        from benchmarks.peers import jax_network

        self.jax = jax
        self.images = len(workload.input_shape) == 3
        self.inside = "outside" not in variant
        self.chunk = CHUNK if "chunks" in variant else workload.batch
        unroll = int(variant.split()[1]) if variant.startswith("unroll") else 1
        x = np.ascontiguousarray(data.x.transpose(0, 2, 3, 1)) if self.images else data.x
        y = x if data.y is None else data.y.astype(np.int32)
        if self.inside and workload.mode != "predict":
            x, y = jnp.asarray(x), jnp.asarray(y)
        self.x, self.y = x, y
        self.parameters, self.statistics = jax_network.initial(workload.layers, workload.input_shape)
        zeros = jax.tree.map(jnp.zeros_like, self.parameters)
        self.state = (self.parameters, self.statistics, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.int32))
        key = jax.random.key(0)

        def loss(parameters: Any, statistics: Any, x: Any, y: Any, key: Any) -> Any:
            logits, new = jax_network.forward(workload.layers, parameters, statistics, x, key, unroll)
            return jax_network.loss_of(workload.loss, logits, y), new

        def step(state: Any, x: Any, y: Any, rows: Any) -> Any:
            parameters, statistics, first, second, count = state
            if self.inside:
                x = x.at[rows].get(mode="promise_in_bounds")
                y = y.at[rows].get(mode="promise_in_bounds")
            gradient, statistics = jax.grad(loss, has_aux=True)(
                parameters, statistics, x, y, jax.random.fold_in(key, count)
            )
            parameters, first, second = jax_network.adam(parameters, gradient, first, second, count + 1)
            return parameters, statistics, first, second, count + 1

        def predict(parameters: Any, statistics: Any, x: Any) -> Any:
            if self.images:
                x = x.transpose(0, 2, 3, 1)
            logits, _ = jax_network.forward(workload.layers, parameters, statistics, x, None, unroll)
            if self.images and logits.ndim == 4:
                logits = logits.transpose(0, 3, 1, 2)
            return jax.nn.sigmoid(logits) if workload.loss == "bce" else jax.nn.softmax(logits)

        self._step = jax.jit(step, donate_argnums=0)
        self._predict = jax.jit(predict)

    def step(self, rows: np.ndarray) -> None:
        """Do one training step; XLA may still be at it when this returns."""
        if self.inside:
            self.state = self._step(self.state, self.x, self.y, rows.astype(np.int32))
        else:
            x = self.x[rows]
            self.state = self._step(self.state, x, x if self.y is self.x else self.y[rows], None)

    def finish(self) -> None:
        """Wait for XLA."""
        self.jax.block_until_ready(self.state)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for a batch."""
        parameters, statistics = self.state[0], self.state[1]
        if len(x) <= self.chunk:
            return np.asarray(self._predict(parameters, statistics, x))
        parts = [self._predict(parameters, statistics, x[at : at + self.chunk]) for at in range(0, len(x), self.chunk)]
        return np.concatenate([np.asarray(part) for part in parts])
