"""A convolutional autoencoder of 28x28 images: convolutions, pooling, upsampling, 'bce' against the input."""

from benchmarks.networks import Activation, Conv, Layer, Pool, UpSample
from benchmarks.workloads.base import Workload


def block(filters: int) -> tuple[Layer, ...]:
    """Convolution of the same size, and its activation."""
    return (Conv(filters, (3, 3), padding=1), Activation("relu"))


LAYERS: tuple[Layer, ...] = (
    *block(16),
    Pool(2),
    *block(8),
    Pool(2),
    *block(8),
    UpSample(2),
    *block(16),
    UpSample(2),
    Conv(1, (3, 3), padding=1),
)

WORKLOADS = (
    Workload("autoencoder", "conv. autoencoder 28x28, batch 128", LAYERS, (1, 28, 28), 128, "bce", samples=4096),
)
