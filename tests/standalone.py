"""A layer on its own: built, filled and called without a model, and checked against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from miniDLF.core.call import Call, Shared
from miniDLF.core.layer import Layer
from miniDLF.kernels.workspace import Workspace

__all__ = ["Case", "Standalone", "directional_check"]


@dataclass
class Case:
    """One line of a layer's list of cases: how to make it, the input shape, and what is special about it."""

    make: Callable[[], Layer]
    input_shape: Any  # without the batch axis; a tuple of tuples for a layer of several inputs
    #: Distance that inputs keep from the points where the derivative jumps (0, a clip level), as (point, ...).
    kinks: tuple[float, ...] = ()
    modes: tuple[bool, ...] = (True, False)  # training, inference
    note: str = ""
    make_input: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None

    def __str__(self) -> str:
        return f"{self.make()!r} on {self.input_shape}" + (f" ({self.note})" if self.note else "")


class Standalone:
    """A built layer with its own parameters, in float64 unless told otherwise."""

    def __init__(self, layer: Layer, input_shape: Any, *, dtype: Any = np.float64, seed: int = 0) -> None:
        self.layer = layer
        self.dtype = np.dtype(dtype)
        self.output_shape = layer.shape_for(input_shape)
        rng = np.random.default_rng(seed)
        self.gradients = {}
        for parameter in layer.parameters:
            value = parameter.initializer(parameter.shape, rng, parameter.fans)
            if not np.any(value) and parameter.trainable:
                value = value + 0.1 * rng.normal(size=parameter.shape)  # a zero bias would hide mistakes
            parameter.value = value.astype(self.dtype)
            if parameter.trainable:
                parameter.grad = np.full(parameter.shape, np.nan, self.dtype)
                self.gradients[parameter] = parameter.grad
        self.workspace, self.scratch, self.common = (Workspace(self.dtype) for _ in range(3))
        self.call = Call(self.workspace, self.scratch, self.gradients)
        self.step = 0

    def forward(self, x: Any, *, training: bool = True, step: int = 1) -> np.ndarray:
        """Run the layer as the executor would, on one shard."""
        shared = Shared(self.common)
        shared.training = training
        self.layer.prepare(shared)
        self.call.shared = shared
        self.call.needs_dx = True
        self.call.begin(training, 7, step, 0, 0)
        if training and self.layer.synchronises:
            self.call.total = self.layer.partial(x, self.call)
        return self.layer.forward(x, self.call)

    def backward(self, dy: np.ndarray) -> Any:
        """Run backward after a forward; gradients are in ``self.gradients``."""
        if self.call.training and self.layer.synchronises:
            self.call.backward_total = self.layer.backward_partial(dy, self.call)
        return self.layer.backward(dy, self.call)


def directional_check(
    run: Callable[[], float], array: np.ndarray, gradient: np.ndarray, rng: np.random.Generator, *, eps: float = 1e-6
) -> None:
    """Compare a gradient with central differences along random directions (PyTorch's gradcheck tolerances).

    `run` returns the scalar for the present content of `array`, which is changed in place and put back.
    """
    original = array.copy()
    for _ in range(3):
        direction = rng.normal(size=array.shape)
        direction /= np.linalg.norm(direction)
        array[...] = original + eps * direction
        above = run()
        array[...] = original - eps * direction
        below = run()
        array[...] = original
        numeric = (above - below) / (2 * eps)
        np.testing.assert_allclose(float(np.sum(gradient * direction)), numeric, rtol=1e-3, atol=1e-5)
