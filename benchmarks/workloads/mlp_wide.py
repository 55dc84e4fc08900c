"""A wide perceptron: 1024-2048-2048-10, batch 256."""

from benchmarks.networks import Activation, Dense
from benchmarks.workloads.base import Workload

LAYERS = (Dense(2048), Activation("relu"), Dense(2048), Activation("relu"), Dense(10))

WORKLOADS = (Workload("mlp_wide", "MLP 1024-2048-2048-10, batch 256", LAYERS, (1024,), 256, samples=4096),)
