"""The specification's GRU of 256 units on text: 25 windows of 60 steps of 43 characters."""

from benchmarks.networks import Recurrent
from benchmarks.workloads.base import Workload

LAYERS = (Recurrent("gru", 256),)

WORKLOADS = (Workload("gru", "GRU 256, 25 x 60 x 43", LAYERS, (60, 43), 25, samples=2000, specified=True),)
