"""The gated recurrent unit over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.recurrent import Recurrence, put_inputs
from miniDLF.kernels.repeated import RepeatedProducts
from miniDLF.kernels.workspace import Array

__all__ = ["GRURecurrence"]


class GRURecurrence(Recurrence):
    """``h_t = z * h_{t-1} + (1 - z) * n`` with ``n = tanh(x_t W + (r * h_{t-1}) U + b)`` (Cho et al. 2014).

    ``z, r = sigmoid(x_t W + h_{t-1} U + b)``; the columns of W, U and b come in the order z, r, n. The candidate n is
    a product of ``[r * h, x, 1]``, so the inputs lie in a second array with room for ``r * h`` as well.
    The sigmoid is a `tanh`, as in the LSTM.

    A step keeps five arrays (N, H): z, r, n, h - n, z * (h - n), with h of the step before. Backward puts in their
    place z, r, dz_n, dz_r, dz_z.
    """

    gates: ClassVar = 3
    order: ClassVar = ((0, 1), (2,))
    scales: ClassVar = ((0.5, 0.5), (1.0,))

    def forward_views(self, *products: RepeatedProducts) -> Any:
        steps, units = self.shape[1], self.units
        self.reset = self.empty("reset", self.joined.shape)[:steps]  # [r * h of the step before, x, 1]
        self.states, by_step = self.lend_steps("states", 5, steps)
        of_joined, of_reset = products
        views = [
            (
                (of_joined.put(joined), joined[:, :units], of_reset.put(reset), reset[:, :units], h),
                (s[:2], s[1], s[2], s[3], s[0], s[4]),
            )
            for joined, reset, s, h in zip(self.joined, self.reset, by_step, self.h, strict=False)
        ]
        return of_joined.result, of_reset.result[0], np.array(0.5, self.h.dtype), views

    def load(self, x: Array) -> None:
        super().load(x)
        put_inputs(x, self.reset)

    def run(self, views: Any) -> None:
        z_r, n_in, half, steps = views
        for (multiply, h_before, multiply_reset, r_h, h), (zr, r, n, change, z, part) in steps:
            multiply()  # z_r = [h, x, 1] @ W
            np.tanh(z_r, zr)
            np.multiply(zr, half, zr)
            np.add(zr, half, zr)
            np.multiply(r, h_before, r_h)
            multiply_reset()  # n_in = [r * h, x, 1] @ W
            np.tanh(n_in, n)
            np.subtract(h_before, n, change)
            np.multiply(z, change, part)
            np.add(n, part, h)

    def backward_views(self, *products: RepeatedProducts) -> Any:
        past = self.scratch("past the products", (self.shape[0], self.units))
        of_zr, of_n = products
        by_step = self.states.transpose(1, 0, 2, 3)
        add = [of_zr.add(later[:2:-1], dh) for later, dh in zip(by_step[1:], self.dh, strict=False)]
        views = [
            (add_products, of_n.put(s[2]), s[::2], s[1::2], s[1], s[0], dh)
            for add_products, s, dh in zip([*add, None], by_step, self.dh, strict=True)
        ]
        return of_n.result, past, views[::-1]

    def slopes(self) -> Array:
        """Put in place of the states z, r, and the local derivatives of h by z_n, of r * h by z_r, of h by z_z."""
        z, r, n, change, part = self.states
        r_h = self.reset[:, :, : self.units]
        np.multiply(part, z, out=change)
        np.subtract(part, change, out=part)  # (h - n) z (1 - z)
        np.multiply(n, n, out=n)
        np.subtract(1.0, n, out=n)
        np.multiply(z, n, out=change)
        np.subtract(n, change, out=n)  # (1 - z) (1 - n^2)
        np.multiply(r_h, r, out=change)
        np.subtract(r_h, change, out=change)  # h r (1 - r)
        return self.states

    def run_back(self, views: Any) -> Array:
        d_reset, past, steps = views
        slopes = self.slopes()
        for add_products, multiply_reset, by_dh, by_reset, from_reset, from_h, dh in steps:
            if add_products is not None:
                np.add(dh, past, dh)
                add_products()  # dh += dz_z, dz_r of the step after @ U^T
            np.multiply(by_dh, dh, by_dh)  # dz_z, dz_n, and the part of dh of the step before that z lets through
            multiply_reset()  # d_reset = dz_n @ U^T
            np.multiply(by_reset, d_reset, by_reset)  # dz_r, and the part of dh that comes through r * h
            np.add(from_reset, from_h, past)  # what reaches the step before past its products
        return slopes[:1:-1]

    def factors(self, gate: int) -> Array:
        return self.reset if gate == 2 else super().factors(gate)
