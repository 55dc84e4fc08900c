"""Gradients of large matrices that all shards make together, out of the rows of the whole batch.

A shard of few rows makes the gradient of a large matrix, x^T dy, at the speed of the memory and not of the arithmetic:
BLAS writes zeros and then sums, and with two shards there are two such matrices to be added up at last. So the shards
hand in their rows of x and dy, and each multiplies some columns with the rows of all: half as much is written.
Two threads, time of a step jointly / apart, for batches of 32, 64, 128, 256, 512 rows and three square matrices:
512 wide 1.01, 0.92, 0.99, 1.03, 1.03; 1024 wide 0.88, 0.91, 0.94, 0.98, 1.01; 2048 wide 0.74, 0.81, 0.90, 0.93, 0.99.
Cut into rows instead, a matrix of 2048 x 2048 takes 0.88 of its time, cut into columns 0.73 to 0.83.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from miniDLF.core.batch import bounds
from miniDLF.kernels.workspace import Array, Shape, lasting

__all__ = ["JointProduct", "pays_jointly"]

#: Rows of a shard, at the most, and weights of a matrix, at the least.
FEW_ROWS = 128
MANY_WEIGHTS = 524_288
#: Columns for each shard, at the least: with five and 65 536 rows a product takes 1.5 to 1.9 times as long.
COLUMNS = 32


def pays_jointly(shape: Shape, rows: int, shards: int) -> bool:
    """Say whether shards of `rows` rows altogether make the gradient of a matrix of this shape faster together."""
    inputs, units = shape
    return 1 < shards <= units // COLUMNS and rows <= FEW_ROWS * shards and inputs * units >= MANY_WEIGHTS


class JointProduct:
    """x^T dy over the rows of all shards: (N, D), (N, U) -> (D, U).

    Parameters
    ----------
    cuts
        Which rows of the batch each shard has.
    out
        Where the product goes.
    """

    def __init__(self, cuts: Sequence[tuple[int, int]], out: Array) -> None:
        (_, rows), (inputs, units) = cuts[-1], out.shape
        x, dy = lasting((rows, inputs), out.dtype), lasting((rows, units), out.dtype)
        self._rows = [(x[start:stop], dy[start:stop]) for start, stop in cuts]
        self._products = [(x.T, dy[:, first:last], out[:, first:last]) for first, last in bounds(units, len(cuts))]

    def hand_in(self, shard: int, x: Array, dy: Array, lent: Callable[[Array], Any]) -> None:
        """Put the rows of a shard where all may read them; `lent` lets an array be noted (see `core.capture`)."""
        for place, rows in zip(self._rows[shard], (x, dy), strict=True):
            np.copyto(lent(place), rows)

    def multiply(self, shard: int, lent: Callable[[Array], Any]) -> None:
        """Make the columns that are a shard's, once all have handed in."""
        x, dy, out = map(lent, self._products[shard])
        np.matmul(x, dy, out=out)  # (D, N) @ (N, some of U)
