"""Networks described once, for every framework: layers as plain data, with their shapes, parameters and flops.

A network ends at its logits; the workload's loss says which activation follows (softmax for 'cce', sigmoid for 'bce').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "Layer",
    "Pool",
    "Recurrent",
    "UpSample",
    "count_parameters",
    "forward_flops",
    "output_shape",
    "training_flops",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer; shapes have no batch axis, images are (channels, height, width), sequences (steps, features)."""

    def output(self, shape: Shape) -> Shape:
        """Return the output shape."""
        return shape

    def parameters(self, shape: Shape) -> int:
        """Return the number of trained parameters."""
        return 0

    def products(self, shape: Shape) -> tuple[int, int]:
        """Return the flops of the matrix products of one sample, 2 m n k each: those on the input, and the inner ones.

        Backward repeats each product twice (for the weight and for what it was multiplied with), except that the first
        layer of a network needs no gradient of its input.
        """
        return 0, 0


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected, with bias."""

    units: int

    def output(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> int:
        return (shape[-1] + 1) * self.units

    def products(self, shape: Shape) -> tuple[int, int]:
        return 2 * prod(shape) * self.units, 0


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution with bias; `padding` cells of zeros on every side."""

    filters: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: int = 0

    def output(self, shape: Shape) -> Shape:
        _, *sides = shape
        return (
            self.filters,
            *((n + 2 * self.padding - k) // self.stride + 1 for n, k in zip(sides, self.kernel, strict=True)),
        )

    def parameters(self, shape: Shape) -> int:
        return (shape[0] * prod(self.kernel) + 1) * self.filters

    def products(self, shape: Shape) -> tuple[int, int]:
        return 2 * prod(self.output(shape)) * shape[0] * prod(self.kernel), 0


@dataclass(frozen=True)
class Pool(Layer):
    """Pooling over windows that neither overlap nor leave a rest."""

    size: int = 2
    mode: str = "max"

    def output(self, shape: Shape) -> Shape:
        channels, *sides = shape
        return (channels, *(n // self.size for n in sides))


@dataclass(frozen=True)
class UpSample(Layer):
    """Every cell repeated `size` times along both sides."""

    size: int = 2

    def output(self, shape: Shape) -> Shape:
        channels, *sides = shape
        return (channels, *(n * self.size for n in sides))


@dataclass(frozen=True)
class Flatten(Layer):
    """An image as a vector."""

    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


@dataclass(frozen=True)
class Dropout(Layer):
    """Inverted dropout."""

    rate: float


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation with scale and shift: per feature on vectors, per channel on images."""

    def parameters(self, shape: Shape) -> int:
        return 2 * shape[0]


@dataclass(frozen=True)
class Activation(Layer):
    """'relu' or 'leaky_relu' (slope 0.0001, the specification's)."""

    kind: str


GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Recurrent(Layer):
    """'rnn', 'gru' or 'lstm' over (steps, features), followed by the projection back to as many features."""

    kind: str
    units: int

    def parameters(self, shape: Shape) -> int:
        features = shape[-1]
        return GATES[self.kind] * self.units * (features + self.units + 1) + (self.units + 1) * features

    def products(self, shape: Shape) -> tuple[int, int]:
        steps, features = shape
        width = GATES[self.kind] * self.units
        return 2 * steps * features * width, 2 * steps * self.units * (width + features)


def _walk(layers: Sequence[Layer], shape: Shape) -> list[tuple[Layer, Shape]]:
    result = []
    for layer in layers:
        result.append((layer, shape))
        shape = layer.output(shape)
    return result


def output_shape(layers: Sequence[Layer], shape: Shape) -> Shape:
    """Return the shape of the logits."""
    for layer in layers:
        shape = layer.output(shape)
    return shape


def count_parameters(layers: Sequence[Layer], shape: Shape) -> int:
    """Return the number of trained parameters."""
    return sum(layer.parameters(here) for layer, here in _walk(layers, shape))


def forward_flops(layers: Sequence[Layer], shape: Shape) -> int:
    """Return the flops of the products of one sample's forward pass."""
    return sum(sum(layer.products(here)) for layer, here in _walk(layers, shape))


def training_flops(layers: Sequence[Layer], shape: Shape) -> int:
    """Return the flops of the products of one sample's forward and backward pass."""
    total, first = 0, True
    for layer, here in _walk(layers, shape):
        on_input, inner = layer.products(here)
        total += (2 if first else 3) * on_input + 3 * inner
        first = first and not on_input
    return total
