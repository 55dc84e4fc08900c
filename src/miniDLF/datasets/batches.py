"""In which order, and in which pieces, an epoch goes through the samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miniDLF.datasets.checking import whole_number

__all__ = ["batch_bounds", "epoch_order", "in_order", "numbered", "seeded"]


def numbered(batches: Any) -> bool:
    """Say whether batches can be had by number, as those of Keras' PyDataset; it need not have an ``__iter__``."""
    return isinstance(batches, Sized) and hasattr(batches, "__getitem__")


def in_order(batches: Any) -> Iterator[Any]:
    """Go through `batches`; those that cannot be iterated over, by number."""
    if isinstance(batches, Iterable):
        return iter(batches)
    return (batches[number] for number in range(len(batches)))


def seeded(purpose: str, *key: int) -> np.random.Generator:
    """Return the random stream for `purpose`: a pure function of the key.

    The purpose keeps streams of the same seed apart, so that the order of an epoch tells nothing about the split.

    Raises
    ------
    ArgumentError
        If a part of the key (a seed) is not a whole number of at least 0.
    """
    numbers = [whole_number(part, "seed", 0) for part in key]
    return np.random.Generator(np.random.SFC64([int.from_bytes(purpose.encode(), "big"), *numbers]))


def epoch_order(n: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.intp]:
    """Return the indices of all `n` samples in the order in which epoch number `epoch` sees them.

    A pure function of its arguments, so that a resumed run goes on in the same order.
    """
    if not shuffle:
        return np.arange(n, dtype=np.intp)
    return seeded("order", seed, epoch).permutation(n).astype(np.intp, copy=False)


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each batch of an epoch; the last one may be smaller, and it is used.

    Raises
    ------
    ArgumentError
        If `batch_size` is not a whole number of at least 1.
    """
    size = whole_number(batch_size, "batch_size", 1)
    return [(start, min(start + size, n)) for start in range(0, n, size)]
