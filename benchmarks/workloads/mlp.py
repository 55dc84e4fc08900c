"""The specification's multilayer perceptron on MNIST: 784-400-400-400-10, dropout, batch 512."""

from benchmarks.networks import Activation, Dense, Dropout, Layer
from benchmarks.workloads.base import Workload

HIDDEN: tuple[Layer, ...] = (Dense(400), Activation("leaky_relu"), Dropout(0.2))
LAYERS: tuple[Layer, ...] = (*HIDDEN, *HIDDEN, *HIDDEN, Dense(10))

WORKLOADS = (Workload("mlp", "MLP 784-400-400-400-10, batch 512", LAYERS, (784,), 512, samples=10_000, specified=True),)
