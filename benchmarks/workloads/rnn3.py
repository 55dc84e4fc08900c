"""The specification's three stacked RNNs of 256 units on text: 25 windows of 60 steps of 43 characters."""

from benchmarks.networks import Recurrent
from benchmarks.workloads.base import Workload

LAYERS = (Recurrent("rnn", 256),) * 3

WORKLOADS = (Workload("rnn3", "3 x RNN 256, 25 x 60 x 43", LAYERS, (60, 43), 25, samples=2000, specified=True),)
