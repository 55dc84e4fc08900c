"""Products with the same matrix in every time step, brought once into the form that BLAS multiplies fastest.

A recurrent layer multiplies a dozen rows with the same weights in each step. Where OpenBLAS multiplies small matrices
in place, blocks of columns are fastest (`miniDLF.kernels.blocked`); where it packs the weights before every product,
packing them once for all steps is (`miniDLF.kernels.packed`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from miniDLF.kernels.workspace import Array, Lend

__all__ = ["SPARE", "Multiply", "RepeatedProducts", "stack"]

#: How many rows behind the given ones may be touched.
SPARE = 3
#: A product with both factors and the result in their places.
Multiply = Callable[[], object]


class RepeatedProducts(ABC):
    """Products of N rows with the matrices of G gates.

    The products of each step are bound to their places once, when the memory of a sequence is lent, and called once a
    step; the weights are loaded before the first step. `put` is for weights that were loaded as they are, `add` for
    transposes; with one gate there is no difference.

    BLAS multiplies four rows as fast as one. So up to `SPARE` rows may be read behind the left factors of `put`, and
    written behind the results of `add`: memory has to go on there, and what it holds must not be needed any more.

    Parameters
    ----------
    name
        The weights lie in memory lent under this name.
    gates, rows, inner, units
        G gates; the sizes of the product of each: (rows, inner) @ (inner, units).
    lend
        Lends memory that others may use between two sequences.
    """

    def __init__(self, name: str, gates: int, rows: int, inner: int, units: int, lend: Lend) -> None:
        self.gates, self.rows, self.inner, self.units = gates, rows, inner, units
        self.lend = lend

    @abstractmethod
    def load(self, weights: Sequence[Array], order: Sequence[int], scales: Sequence[float]) -> None:
        """Take as W (G, K, H) the `weights` (k, all gates * H) under each other, K the sum of the k.

        One product of ``[h, x, 1]`` with the recurrent weight, the input weight and the bias does the work of two
        products and two sums. ``W[g]`` is gate ``order[g]`` of the weights times ``scales[g]``.
        """

    @abstractmethod
    def load_transposed(self, weight: Array) -> None:
        """Take as W (G, H, H) the transposes of the gates of `weight` (H, G * H)."""

    @property
    @abstractmethod
    def result(self) -> Array:
        """Where `put` leaves its results (G, N, H); between two steps others may use that memory as well."""

    @abstractmethod
    def put(self, a: Array) -> Multiply:
        """Bind ``result[g] = a @ W[g]`` for all gates: (N, K) @ (K, H) -> (N, H)."""

    @abstractmethod
    def add(self, a: Array, out: Array) -> Multiply:
        """Bind ``out += sum over g of a[g] @ W[g]``: (G, N, H) @ (G, H, H) -> (N, H)."""


def stack(weights: Sequence[Array], order: Sequence[int], scales: Sequence[float], out: Array) -> None:
    """Put weights (k, all gates * H) under each other, cut into blocks: `out` (G, H / width, K, width).

    K is the sum of the k. Block g of `out` is gate ``order[g]`` times ``scales[g]``.
    """
    _, blocks, _, width = out.shape
    start = 0
    for weight in weights:
        stop = start + len(weight)
        cut = weight.reshape(len(weight), -1, blocks, width).transpose(1, 2, 0, 3)  # (all, H / width, k, width)
        for slot, (gate, scale) in enumerate(zip(order, scales, strict=True)):
            np.multiply(cut[gate], scale, out=out[slot, :, start:stop])
        start = stop
