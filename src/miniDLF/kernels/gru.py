"""The gated recurrent unit over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.recurrent import Recurrence, flat, put_inputs
from miniDLF.kernels.workspace import Array

__all__ = ["GRURecurrence"]


class GRURecurrence(Recurrence):
    """``h_t = z * h_{t-1} + (1 - z) * n`` with ``n = tanh(x_t W + (r * h_{t-1}) U + b)`` (Cho et al. 2014).

    ``z, r = sigmoid(x_t W + h_{t-1} U + b)``; the columns of W, U and b come in the order z, r, n. The candidate n is
    a product of ``[r * h, x, 1]``, so the inputs lie in a second array with room for ``r * h`` as well.
    The sigmoid is a `tanh`, as in the LSTM.
    """

    gates: ClassVar = 3
    order: ClassVar = (0, 1, 2)
    scales: ClassVar = (0.5, 0.5, 1.0)

    def forward_views(self) -> Any:
        rows, steps, _ = self.shape
        units = self.units
        self.reset = self.empty("reset", (steps, *self.joined.shape[1:]))  # [r * h of the step before, x, 1]
        self.states = self.lend_steps("states", (5, rows, units), steps)  # z, r, n, h_{t-1} - n, z * (h_{t-1} - n)
        half = np.array(0.5, self.h.dtype)
        return (
            *self.lend_gates("z, r", 2, self.width),
            *self.lend_gates("n", 1, self.width),
            half,
            [
                (joined, joined[:, :units], reset, reset[:, :units], s[:2], s[1], s[2], s[3], s[0], s[4], h)
                for joined, reset, s, h in zip(self.joined, self.reset, self.states, self.h, strict=False)
            ],
        )

    def load(self, x: Array) -> None:
        super().load(x)
        put_inputs(x, self.reset)

    def run(self, weights: Array, views: Any) -> None:
        z_r, z_r_blocks, n_in, n_blocks, half, steps = views
        weights_z_r, weights_n = weights[:2], weights[2:]
        for joined, h_before, reset, r_h, zr, r, n, change, z, part, h in steps:
            np.matmul(joined, weights_z_r, z_r_blocks)  # (N, K) @ (2, H / width, K, width)
            np.tanh(z_r, zr)
            np.multiply(zr, half, zr)
            np.add(zr, half, zr)
            np.multiply(r, h_before, r_h)
            np.matmul(reset, weights_n, n_blocks)  # (N, K) @ (1, H / width, K, width)
            np.tanh(n_in[0], n)
            np.subtract(h_before, n, change)
            np.multiply(z, change, part)
            np.add(n, part, h)

    def backward_views(self) -> Any:
        rows, steps, _ = self.shape
        slopes = self.scratch("slopes", (5, steps, rows, self.units))
        dh_gates, dh_blocks = self.lend_gates("dh of gates", 3, self.back_width)
        d_reset, reset_blocks = self.lend_gates("d reset", 1, self.back_width)
        dh_later = self.scratch("dh later", (rows, self.units))
        by_step = slopes.transpose(1, 0, 2, 3)
        views = [
            (s[::2], s[1::2], s[2:3, np.newaxis], s[:2, np.newaxis], s[3], s[4], dh)
            for s, dh in zip(by_step, self.dh, strict=True)
        ]
        return slopes, dh_gates, d_reset[0], dh_later, dh_blocks[:2], reset_blocks, views[::-1]

    def slopes(self, out: Array) -> None:
        """Write the local derivatives of all steps: those of h by z_z, of r * h by z_r, of h by z_n; then r, and z."""
        z, r, n, _, part = self.states.transpose(1, 0, 2, 3)
        by_z, by_r, by_n, direct_r, direct_z = out
        r_h = self.reset[:, :, : self.units]
        np.multiply(part, z, out=by_z)
        np.subtract(part, by_z, out=by_z)  # (h - n) z (1 - z)
        np.multiply(r_h, r, out=by_r)
        np.subtract(r_h, by_r, out=by_r)  # h r (1 - r)
        np.multiply(n, n, out=by_n)
        np.subtract(1.0, by_n, out=by_n)
        np.multiply(z, by_n, out=direct_z)
        np.subtract(by_n, direct_z, out=by_n)  # (1 - z) (1 - n^2)
        np.copyto(direct_r, r)
        np.copyto(direct_z, z)

    def run_back(self, transposed: Array, views: Any) -> Array:
        slopes, dh_gates, d_reset, dh_later, dh_blocks, reset_blocks, steps = views
        self.slopes(slopes)
        transposed_z_r, transposed_n = transposed[:2], transposed[2:]
        later = None
        for by_dh, by_reset, dn, d_zr, from_reset, from_h, dh in steps:
            if later is not None:
                np.matmul(later, transposed_z_r, dh_blocks)  # (2, N, H) @ (2, H / width, H, width)
                np.add.reduce(dh_gates, 0, None, dh_later)
                np.add(dh, dh_later, dh)
            np.multiply(by_dh, dh, by_dh)  # dz_z, dz_n, and the part of dh of the step before that z lets through
            np.matmul(dn, transposed_n, reset_blocks)  # (1, N, H) @ (1, H / width, H, width)
            np.multiply(by_reset, d_reset, by_reset)  # dz_r, and the part of dh that comes through r * h
            np.add(from_reset, from_h, dh_gates[2])
            later = d_zr
        result: Array = slopes[:3]
        return result

    def products(self, dz: Array, out: Array) -> None:
        np.matmul(flat(self.joined[:-1]).T, flat(dz[:2]), out=out[:2])  # (K, T N) @ (2, T N, H)
        np.matmul(flat(self.reset).T, flat(dz[2:]), out=out[2:])
