"""What the recurrences have in common: memory cut into views of single steps, and the products outside the loop.

Only the product with the previous state and the gates are sequential. Everything else is done for all steps at once:
the bias and the input's product ride along in one matrix (see `RepeatedProducts`), the derivatives of the gates are a
few passes over whole arrays before the loop backward, and the gradients of the weights are one large product a gate
after it.

Arrays are time-major, ``(T, N, ...)``, with gates outside the rows: a gate of one step is contiguous. A pass over four
gates of (13, 256) takes 0.9 us that way, and 3 us where the gates lie side by side in a row.

Two shards on two threads take turns at the interpreter, so what Python does between two calls of NumPy is kept
short: the views of every step are made once for a shape, not in each training step. For the LSTM of 256 units on two
threads (12 + 13 rows, 60 steps) that took the step from 10.2 ms to 9.8 ms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.blas import packing_kernels
from miniDLF.kernels.blocked import BlockedProducts
from miniDLF.kernels.packed import PackedProducts, packing_pays
from miniDLF.kernels.repeated import RepeatedProducts
from miniDLF.kernels.workspace import Array, Lend, Shape

__all__ = ["Recurrence", "flat", "put_inputs"]


class Recurrence(ABC):
    """A recurrent cell unrolled over one shape of input: its memory, and the loops forward and backward.

    Parameters
    ----------
    shape
        Shape (N, T, D) of the input.
    units
        Number H of hidden units.
    keep
        Whether forward keeps what backward needs; without it a step overwrites the one before.
    empty, scratch
        Lend memory that lasts from forward to backward, and memory that other layers use as well in between.
    """

    #: Number G of gates.
    gates: ClassVar[int]
    #: The gates that each product of a step serves, in the order of its results, and the factors folded into them.
    order: ClassVar[tuple[tuple[int, ...], ...]]
    scales: ClassVar[tuple[tuple[float, ...], ...]]

    def __init__(self, shape: Shape, units: int, keep: bool, empty: Lend, scratch: Lend) -> None:
        rows, steps, features = shape
        inner = units + features + 1
        self.shape, self.units, self.keep = shape, units, keep
        self.empty, self.scratch = empty, scratch
        self.joined = empty("joined", (steps + 1, rows, inner))  # [h of the step before, x, 1]
        self.h = self.joined[1:, :, :units]  # (T, N, H)
        self._forward_products = self._repeated("weights", inner)
        self._forward_views = self.forward_views(*self._forward_products)
        self._backward_products: list[RepeatedProducts] = []
        self._backward_views: Any = None
        self._dh: Array | None = None

    # What a cell gives ----------------------------------------------------------------------------------------------

    @abstractmethod
    def forward_views(self, *products: RepeatedProducts) -> Any:
        """Make the views of each step that the loop forward works on; bind the `products`, one for each `order`."""

    @abstractmethod
    def backward_views(self, *products: RepeatedProducts) -> Any:
        """Make the views of each step that the loop backward works on; bind the `products` with the transposes."""

    @abstractmethod
    def run(self, views: Any) -> None:
        """Go through time; leave the states in ``self.h``."""

    @abstractmethod
    def run_back(self, views: Any) -> Array:
        """Go back through time, given ``self.dh``; return the gradients (G, T, N, H) of what enters the gates."""

    def factors(self, gate: int) -> Array:
        """Return what the stacked weights of a gate have been multiplied with: (T, N, K)."""
        return self.joined[:-1]

    # What every cell has --------------------------------------------------------------------------------------------

    def forward(self, x: Array, input_weight: Array, recurrent_weight: Array, bias: Array) -> Array:
        """Return the states h (T, N, H) for the inputs `x` (N, T, D)."""
        self.load(x)
        self.joined[0, :, : self.units] = 0
        weights = recurrent_weight, input_weight, bias[np.newaxis]
        for products, order, scales in zip(self._forward_products, self.order, self.scales, strict=True):
            products.load(weights, order, scales)
        self.run(self._forward_views)
        return self.h

    def load(self, x: Array) -> None:
        """Write the inputs to their places."""
        put_inputs(x, self.joined)

    @property
    def dh(self) -> Array:
        """Where the gradient (T, N, H) of the states has to be before `backward`; it is overwritten."""
        rows, steps, _ = self.shape
        if self._dh is None:  # once, since the views of its steps are kept too
            self._dh = self.scratch("dh", (steps, rows, self.units))
        return self._dh

    def backward(self, recurrent_weight: Array) -> Array:
        """Return the gradients (G, T, N, H) of what enters the gates, given ``self.dh``."""
        if not self._backward_products:
            new = self._repeated("transposes", self.units)
            self._backward_views = self.backward_views(*new)
            self._backward_products = new  # last: an interrupt may come between
        for products, gates in zip(self._backward_products, self.order, strict=True):  # gates that are neighbours
            columns = slice(min(gates) * self.units, (max(gates) + 1) * self.units)
            products.load_transposed(recurrent_weight[:, columns])
        return self.run_back(self._backward_views)

    def weight_gradients(self, gate: int, dz: Array, input_weight: Array, recurrent_weight: Array, bias: Array) -> None:
        """Fill the columns of one gate with the gradients of the weights of these names."""
        units = self.units
        columns = slice(gate * units, (gate + 1) * units)
        out = self.empty(f"products {gate}", (self.joined.shape[2], units))
        np.matmul(flat(self.factors(gate)).T, flat(dz[gate]), out=out)  # (K, T N) @ (T N, H)
        np.copyto(recurrent_weight[:, columns], out[:units])
        np.copyto(input_weight[:, columns], out[units:-1])
        np.copyto(bias[columns], out[-1])

    def input_gradient(self, dz: Array, input_weight: Array, out: Array) -> Array:
        """Write the gradient (N, T, D) of the inputs to `out`."""
        rows, steps, features = self.shape
        weight = input_weight.reshape(features, self.gates, self.units).transpose(1, 2, 0)  # (G, H, D)
        parts = self.scratch("dx of gates", (self.gates, steps, rows, features))
        np.matmul(flat(dz), weight, out=flat(parts))  # (G, T N, H) @ (G, H, D)
        np.add.reduce(parts.transpose(0, 2, 1, 3), axis=0, out=out)
        return out

    def lend_steps(self, name: str, count: int, steps: int) -> tuple[Array, Sequence[Array]]:
        """Lend `count` arrays (N, H) for each of `steps` steps: all of them, (count, T, N, H), and those of each step.

        If nothing is kept, they are the same ones in all steps.
        """
        array = self.empty(name, (count, steps if self.keep else 1, self.shape[0], self.units))
        return array, [array[:, step if self.keep else 0] for step in range(steps)]

    def _repeated(self, name: str, inner: int) -> list[RepeatedProducts]:
        """Return the products of a step with matrices (inner, H), for each of the groups of gates in `order`."""
        rows = self.shape[0]
        kernels = packing_kernels() if packing_pays(rows, self.h.dtype) else None
        products: list[RepeatedProducts] = []
        for gates in self.order:
            sizes = f"{name} {gates}", len(gates), rows, inner, self.units, self.scratch
            products.append(BlockedProducts(*sizes) if kernels is None else PackedProducts(*sizes, kernels))
        return products


def put_inputs(x: Array, joined: Array) -> None:
    """Write to `joined` (T or more, N, H + D + 1) the inputs (N, T, D), and the ones that meet the bias."""
    _, steps, features = x.shape
    np.copyto(joined[:steps, :, -1 - features : -1], x.transpose(1, 0, 2))
    joined[:, :, -1] = 1


def flat(array: Array) -> Array:
    """View (..., T, N, H) as (..., T * N, H)."""
    return array.reshape(*array.shape[:-3], array.shape[-3] * array.shape[-2], array.shape[-1])
