"""A tiny perceptron, 20-32-2, batch 32: what remains is overhead."""

from benchmarks.networks import Activation, Dense
from benchmarks.workloads.base import Workload

LAYERS = (Dense(32), Activation("relu"), Dense(2))

WORKLOADS = (Workload("mlp_tiny", "MLP 20-32-2, batch 32", LAYERS, (20,), 32, samples=4096),)
