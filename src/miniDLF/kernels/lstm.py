"""The long short-term memory cell over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.recurrent import Recurrence
from miniDLF.kernels.workspace import Array

__all__ = ["LSTMRecurrence"]


class LSTMRecurrence(Recurrence):
    """``c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t)`` (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    ``i, f, o = sigmoid(x_t W + h_{t-1} U + b)`` and ``g = tanh(...)``, each with its own columns of W, U and b, which
    come in the order i, f, g, o. Since ``sigmoid(z) = tanh(z / 2) / 2 + 1 / 2``, with the half under the `tanh` folded
    into the weights one `tanh` serves all gates; `np.exp` alone would take twice its time.

    A step keeps six arrays (N, H) next to each other: i, f, o, g, c of the step before, tanh(c). So ``[i, f] * [g, c]``
    is one product.
    """

    gates: ClassVar = 4
    order: ClassVar = (0, 1, 3, 2)
    scales: ClassVar = (0.5, 0.5, 0.5, 1.0)

    def forward_views(self) -> Any:
        rows, steps, _ = self.shape
        self.states = states = self.lend_steps("states", (6, rows, self.units), steps + 1)
        self.parts = parts = self.lend_steps("parts", (2, rows, self.units), steps)  # i * g, f * c
        half = np.array(0.5, self.h.dtype)
        return (
            *self.lend_gates("z", 4, self.width),
            half,
            [
                (joined, s[:4], s[:3], s[:2], s[3:5], p, p[0], p[1], later[4], s[5], s[2], h)
                for joined, s, p, later, h in zip(self.joined, states, parts, states[1:], self.h, strict=False)
            ],
        )

    def run(self, weights: Array, views: Any) -> None:
        z, z_blocks, half, steps = views
        self.states[0][4] = 0
        for joined, gates, ifo, i_f, g_c, parts, ig, fc, c, tanh_c, o, h in steps:
            np.matmul(joined, weights, z_blocks)  # (N, K) @ (4, H / width, K, width)
            np.tanh(z, gates)
            np.multiply(ifo, half, ifo)
            np.add(ifo, half, ifo)
            np.multiply(i_f, g_c, parts)
            np.add(ig, fc, c)
            np.tanh(c, tanh_c)
            np.multiply(o, tanh_c, h)

    def backward_views(self) -> Any:
        rows, steps, _ = self.shape
        slopes = self.scratch("slopes", (6, steps, rows, self.units))
        dh_gates = self.lend_gates("dh of gates", 4, self.back_width)
        dc, dh_later = (self.scratch(name, (rows, self.units)) for name in ("dc", "dh later"))
        by_step = slopes.transpose(1, 0, 2, 3)
        views = [(s[4:], s[5], s[:4], s[0], s[1:5, np.newaxis], dh) for s, dh in zip(by_step, self.dh, strict=True)]
        return slopes, *dh_gates, dh_later, dc, views[::-1]

    def slopes(self, out: Array) -> None:
        """Write the local derivatives of all steps: f, those of c by z_i, z_f, z_g, that of h by z_o, that of h by c.

        With ``s (1 - s)`` for sigmoid and ``1 - t^2`` for tanh each is a difference of products that forward has kept:
        ``g i (1 - i) = ig - ig * i``,  ``i (1 - g^2) = i - ig * g``,  ``tanh(c) o (1 - o) = h - h * o``,
        ``o (1 - tanh(c)^2) = o - h * tanh(c)``.
        """
        i, f, o, g, _, tanh_c = self.states[:-1].transpose(1, 0, 2, 3)
        ig, fc = self.parts.transpose(1, 0, 2, 3)
        np.copyto(out[0], f)
        for slope, value, factor, whole in (
            (out[1], ig, i, ig),
            (out[2], fc, f, fc),
            (out[3], ig, g, i),
            (out[4], self.h, o, self.h),
            (out[5], self.h, tanh_c, o),
        ):
            np.multiply(value, factor, out=slope)
            np.subtract(whole, slope, out=slope)

    def run_back(self, transposed: Array, views: Any) -> Array:
        slopes, dh_gates, dh_blocks, dh_later, dc, steps = views
        self.slopes(slopes)
        dc.fill(0)
        later = None
        for by_dh, dc_of_h, by_dc, dc_before, dz, dh in steps:
            if later is not None:
                np.matmul(later, transposed, dh_blocks)  # (4, N, H) @ (4, H / width, H, width)
                np.add.reduce(dh_gates, 0, None, dh_later)
                np.add(dh, dh_later, dh)
            np.multiply(by_dh, dh, by_dh)  # dz_o, and the part of dc that comes through h
            np.add(dc, dc_of_h, dc)
            np.multiply(by_dc, dc, by_dc)  # dc of the step before, dz_i, dz_f, dz_g
            dc, later = dc_before, dz
        result: Array = slopes[1:5]
        return result
