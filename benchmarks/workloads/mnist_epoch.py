"""An epoch of the specification's MLP and CNN on MNIST: from the start of the process to the first epoch's line.

The program that is timed is `benchmarks.epoch`; where its data comes from stands here.
"""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import numpy as np

from benchmarks.workloads import cnn, mlp
from benchmarks.workloads.base import Workload

WORKLOADS = tuple(
    Workload(
        f"mnist_epoch_{name}",
        f"first MNIST epoch of the {name.upper()}, from process start",
        layers,
        shape,
        512,
        samples=50_000,
        mode="epoch",
    )
    for name, layers, shape in (("mlp", mlp.LAYERS, (784,)), ("cnn", cnn.LAYERS, (1, 28, 28)))
)


def find() -> Path | None:
    """Return the classic ``mnist.pkl.gz`` (MINIDLF_MNIST, or beside the checkout), or ``None``."""
    beside = Path(__file__).resolve().parents[2].parent / "shared/data/MNIST/mnist.pkl.gz"
    for path in (os.environ.get("MINIDLF_MNIST"), beside):
        if path and Path(path).is_file():
            return Path(path)
    return None


def stand_in(folder: Path) -> Path:
    """Write the embedded digits in the format of the classic file, so that every framework reads the same data."""
    from miniDLF.datasets import Digits

    digits = Digits(n_train=50_000, n_test=10_000)
    splits = [(digits.train.x, digits.train.y), (digits.test.x, digits.test.y), (digits.test.x, digits.test.y)]
    path = folder / "mnist.pkl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        flat = [(x.reshape(len(x), -1).astype(np.float32), _labels(y)) for x, y in splits]
        pickle.dump(tuple(flat), file, protocol=2)
    return path


def _labels(y: np.ndarray) -> np.ndarray:
    return np.asarray(y.argmax(1) if y.ndim == 2 else y, np.int64)


def read(path: Path) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the training and test splits, for the peers. The file is the user's own, so a plain unpickler will do."""
    with gzip.open(path, "rb") as file:
        train, _, test = pickle.load(file, encoding="latin1")  # noqa: S301
    return train, test
