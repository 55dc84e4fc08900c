"""Workloads along one axis (batch, width, length, image), named ``axis@value``."""

from __future__ import annotations

from benchmarks.networks import Activation, BatchNorm, Conv, Dense, Flatten, Layer, Pool, Recurrent
from benchmarks.workloads import mlp
from benchmarks.workloads.base import Workload

#: The points of each axis: evenly spaced on a logarithmic scale, and not only powers of two.
AXES: dict[str, tuple[int, ...]] = {
    "batch": (1, 2, 4, 8, 16, 32, 64, 100, 128, 256, 512, 1000, 1024, 2048, 4096),
    "width": (64, 96, 128, 192, 256, 384, 512, 768, 1000, 1024, 1536, 2048, 3072, 4096),
    "length": (10, 18, 32, 56, 60, 100, 178, 316, 562, 1000),
    "image": (8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 224),
}

TITLES = {
    "batch": "MLP 784-400-400-400-10 against the batch",
    "width": "MLP 256-width-width-10, batch 128, against the width",
    "length": "LSTM 128, batch 25, 43 features, against the steps",
    "image": "CNN 16-32 with batch norm, batch 16, against the side of the image",
}


def scaled(axis: str, value: int) -> Workload:
    """Return the workload at one point of an axis."""
    name = f"{axis}@{value}"
    if axis == "batch":
        return Workload(name, name, mlp.LAYERS, (784,), value, samples=8192)
    if axis == "width":
        layers: tuple[Layer, ...] = (Dense(value), Activation("relu"), Dense(value), Activation("relu"), Dense(10))
        return Workload(name, name, layers, (256,), 128, samples=2048)
    if axis == "length":
        return Workload(name, name, (Recurrent("lstm", 128),), (value, 43), 25, samples=200)
    if axis == "image":
        block = (BatchNorm(), Activation("relu"), Pool(2))
        layers = (Conv(16, padding=1), *block, Conv(32, padding=1), *block, Flatten(), Dense(10))
        return Workload(name, name, layers, (3, value, value), 16, samples=64)
    raise KeyError(f"unknown axis {axis!r}; there are {', '.join(AXES)}")
