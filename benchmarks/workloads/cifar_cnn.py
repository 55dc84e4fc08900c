"""A convolutional network for images of CIFAR's size: 3x3 'same', batch normalisation, batch 64 and 256."""

from benchmarks.networks import Activation, BatchNorm, Conv, Dense, Flatten, Layer, Pool
from benchmarks.workloads.base import Workload


def block(filters: int) -> tuple[Layer, ...]:
    """Convolution, normalisation, activation."""
    return (Conv(filters, (3, 3), padding=1), BatchNorm(), Activation("relu"))


LAYERS: tuple[Layer, ...] = (
    *block(32),
    *block(32),
    Pool(2),
    *block(64),
    *block(64),
    Pool(2),
    *block(128),
    Flatten(),
    Dense(10),
)

WORKLOADS = tuple(
    Workload(
        f"cifar_cnn_{batch}", f"CNN 32-32-64-64-128 on 3x32x32, batch {batch}", LAYERS, (3, 32, 32), batch, samples=2048
    )
    for batch in (64, 256)
)
