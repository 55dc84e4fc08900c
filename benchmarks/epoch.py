"""The first MNIST epoch of one network in one framework, as a program: ``benchmarks.epoch PEER NETWORK FILE``.

It reads the data, trains one epoch with batches of 512, measures the accuracy on the whole training and test splits (as
the specification's epoch line does) and prints that line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.allocation import keep_freed_memory


def main() -> None:
    peer, name, file = sys.argv[1:4]
    keep_freed_memory()
    if peer == "minidlf":
        ours(name, file)
    else:
        theirs(peer, name, Path(file))


def ours(name: str, file: str) -> None:
    """Do what the specification's example does; the network is described as for the peers."""
    from benchmarks import workloads
    from benchmarks.peers.minidlf import network
    from miniDLF.datasets import MNIST

    workload = workloads.find(f"mnist_epoch_{name}")
    data = MNIST(file, n_classes=10, input_shape=workload.input_shape)
    network(workload).fit(data, epochs=1, minibatch_size=512, early_stop_after=10)


def theirs(peer: str, name: str, file: Path) -> None:
    """The same with a peer's program."""
    from benchmarks import peers, workloads
    from benchmarks.workloads.base import Data
    from benchmarks.workloads.mnist_epoch import read

    workload = workloads.find(f"mnist_epoch_{name}")
    (x, y), (x_test, y_test) = read(file)
    x, x_test = (part.reshape(-1, *workload.input_shape) for part in (x, x_test))
    module = peers.load(peer)
    module.start(_threads())
    program: Any = module.build(workload, Data(x, y), module.variants(workload)[-1])
    order = np.random.default_rng(0).permutation(len(x))
    for start in range(0, len(x), 512):
        program.step(order[start : start + 512])
    program.finish()
    program.evaluating(True)
    shares = []
    for inputs, labels in ((x, y), (x_test, y_test)):
        right = 0
        for start in range(0, len(inputs), 500):
            outputs = np.asarray(program.predict(inputs[start : start + 500]))
            right += int(np.sum(outputs.argmax(-1) == labels[start : start + 500]))
        shares.append(right / len(inputs))
    print(f"Epoch 01: train_acc = {shares[0]:.2%} test_acc = {shares[1]:.2%}", flush=True)


def _threads() -> int:
    import os

    return int(os.environ.get("OMP_NUM_THREADS", "0")) or (os.cpu_count() or 1)


if __name__ == "__main__":
    main()
