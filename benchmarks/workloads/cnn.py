"""The specification's convolutional network on MNIST, batch 512."""

from benchmarks.networks import Activation, BatchNorm, Conv, Dense, Flatten, Layer, Pool
from benchmarks.workloads.base import Workload

LAYERS: tuple[Layer, ...] = (
    Conv(32, (6, 6), stride=2),
    Activation("leaky_relu"),
    Pool(2, "avg"),
    Conv(32, (3, 3), stride=2),
    Activation("leaky_relu"),
    Pool(2, "avg"),
    Flatten(),
    Dense(100),
    Activation("leaky_relu"),
    BatchNorm(),
    Dense(10),
)

WORKLOADS = (
    Workload("cnn", "CNN of the specification, batch 512", LAYERS, (1, 28, 28), 512, samples=10_000, specified=True),
)
