"""Skinny products cut into column blocks: the product that a recurrent layer makes once a time step.

OpenBLAS copies ("packs") the whole right-hand matrix before it multiplies, which for a batch of a dozen rows costs as
much as the product. Up to ``m * n * k`` of a million it takes another path that does not. So the weights are stored as
column blocks, each small enough, and one `np.matmul` multiplies with all of them.
Measured for (13, 300) @ (300, 1024), float32, one core of 236 GFLOP/s: plain 67 us, blocks of 256 columns 43 us, of 64
columns 36 us (222 GFLOP/s), of 16 columns 55 us.

Where BLAS packs always (see `multiplies_in_place`) the widest blocks are as good or better: on one core with AVX2 an
LSTM of 512 units takes 7 to 10 % less with blocks of a gate's 256 columns than with 64, one of 256 units 2 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from miniDLF.kernels.blas import multiplies_in_place
from miniDLF.kernels.repeated import Multiply, RepeatedProducts, stack
from miniDLF.kernels.workspace import Array, Lend

__all__ = ["BlockedProducts", "block_width", "blocked", "blocked_transpose"]

#: The largest m * n * k that OpenBLAS multiplies without packing.
SMALL_PRODUCT = 1_000_000
#: Widths to try, the fastest first: 64 columns fill the registers of the AVX-512 kernel, 32 half of them.
WIDTHS = (64, 32, *range(63, 23, -1))
#: Where no small block fits, panels of this width pack best: (64, 577) @ (577, 2048) 744 us, plain 907 us.
PANEL = 256
#: Rows that lie a power of two apart share few cache sets; so many elements between them spread them out.
PADDING = 16


class BlockedProducts(RepeatedProducts):
    """Products with the weights as blocks (G, H / width, K, width); see `RepeatedProducts`."""

    def __init__(self, name: str, gates: int, rows: int, inner: int, units: int, lend: Lend) -> None:
        super().__init__(name, gates, rows, inner, units, lend)
        self.width = block_width(rows, inner, units)
        self.blocks = lend(name, (gates, units // self.width, inner, self.width))

    def load(self, weights: Sequence[Array], order: Sequence[int], scales: Sequence[float]) -> None:
        stack(weights, order, scales, self.blocks)

    def load_transposed(self, weight: Array) -> None:
        padded = self.lend("padded", (len(weight), weight.shape[1] + PADDING))
        blocked_transpose(weight, padded, self.blocks)

    @cached_property
    def result(self) -> Array:
        return self.lend(f"result of {self.gates}", (self.gates, self.rows, self.units))

    def put(self, a: Array) -> Multiply:
        return partial(np.matmul, a, self.blocks, blocked(self.result, self.width))

    def add(self, a: Array, out: Array) -> Multiply:
        parts = self.result
        product = a[:, np.newaxis], self.blocks, blocked(parts, self.width)
        total: Any = parts[0] if len(parts) == 1 else self.lend("sum", parts.shape[1:])

        def multiply() -> None:
            np.matmul(*product)  # (G, 1, N, H) @ (G, H / width, H, width)
            if len(parts) > 1:
                np.add.reduce(parts, 0, None, total)
            np.add(out, total, out)

        return multiply


def block_width(rows: int, inner: int, units: int) -> int:
    """Return how wide to cut `units` columns for products (rows, inner) @ (inner, width): a divisor of `units`."""
    for width in WIDTHS if multiplies_in_place() else ():
        if units % width == 0 and rows * inner * width <= SMALL_PRODUCT:
            return width
    return PANEL if units % PANEL == 0 else units


def blocked(gates: Array, width: int) -> Array:
    """Return a view of (G, N, H) as (G, H / width, N, width), for `np.matmul` to write blocks to their places."""
    count, rows, units = gates.shape
    return gates.reshape(count, rows, units // width, width).transpose(0, 2, 1, 3)


def blocked_transpose(recurrent: Array, padded: Array, out: Array) -> Array:
    """Write the transposes of the gates of `recurrent` (H, G * H) to `out` (G, H / width, H, width), cut into blocks.

    `padded` (H, G * H + PADDING) takes a copy whose rows do not fall on the same cache sets: with it a transpose of
    256 x 1024 costs 0.08 ms, without 0.42 ms. OpenBLAS can multiply with a transposed view instead, but takes 38 us a
    step for 13 rows, against 32 us; sixty steps earn the copy back four times.
    """
    count, blocks, units, width = out.shape
    columns = count * units
    np.copyto(padded[:, :columns], recurrent)
    np.copyto(out, padded[:, :columns].reshape(blocks, width, count, units).transpose(2, 0, 3, 1))
    return out
