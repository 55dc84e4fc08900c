"""A larger LSTM: 512 units, batch 64, 100 steps of 64 features."""

from benchmarks.networks import Recurrent
from benchmarks.workloads.base import Workload

WORKLOADS = (Workload("lstm_large", "LSTM 512, 64 x 100 x 64", (Recurrent("lstm", 512),), (100, 64), 64, samples=1024),)
