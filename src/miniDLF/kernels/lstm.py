"""The long short-term memory cell over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.recurrent import Recurrence
from miniDLF.kernels.repeated import RepeatedProducts
from miniDLF.kernels.workspace import Array

__all__ = ["LSTMRecurrence"]


class LSTMRecurrence(Recurrence):
    """``c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t)`` (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    ``i, f, o = sigmoid(x_t W + h_{t-1} U + b)`` and ``g = tanh(...)``, each with its own columns of W, U and b, which
    come in the order i, f, g, o. Since ``sigmoid(z) = tanh(z / 2) / 2 + 1 / 2``, with the half under the `tanh` folded
    into the weights one `tanh` serves all gates; `np.exp` alone would take twice its time.

    A step keeps six arrays (N, H): o, i, f, g, c of the step before, tanh(c). Since they are neighbours,
    ``[i, f] * [g, c]`` is one product. Backward puts in their place f, dz_i, dz_f, dz_g, dz_o, and dh / dc.
    """

    gates: ClassVar = 4
    order: ClassVar = ((3, 0, 1, 2),)
    scales: ClassVar = ((0.5, 0.5, 0.5, 1.0),)

    def forward_views(self, *products: RepeatedProducts) -> Any:
        steps = self.shape[1]
        self.states, by_step = self.lend_steps("states", 6, steps + 1)
        self.parts, parts = self.lend_steps("parts", 2, steps)  # i * g, f * c
        views = [
            (products[0].put(joined), s[:4], s[:3], s[1:3], s[3:5], p, p[0], p[1], later[4], s[5], s[0], h)
            for joined, s, p, later, h in zip(self.joined, by_step, parts, by_step[1:], self.h, strict=False)
        ]
        return products[0].result, np.array(0.5, self.h.dtype), views

    def run(self, views: Any) -> None:
        z, half, steps = views
        self.states[4, 0].fill(0)  # c before the first step
        for multiply, gates, oif, i_f, g_c, parts, ig, fc, c, tanh_c, o, h in steps:
            multiply()  # z = [h, x, 1] @ W
            np.tanh(z, gates)
            np.multiply(oif, half, oif)
            np.add(oif, half, oif)
            np.multiply(i_f, g_c, parts)
            np.add(ig, fc, c)
            np.tanh(c, tanh_c)
            np.multiply(o, tanh_c, h)

    def backward_views(self, *products: RepeatedProducts) -> Any:
        rows, steps, _ = self.shape
        by_step = self.states.transpose(1, 0, 2, 3)[:steps]
        add = [products[0].add(later[1:5], dh) for later, dh in zip(by_step[1:], self.dh, strict=False)]
        views = [
            (add_products, s[4:], s[5], s[:4], s[0], dh)
            for add_products, s, dh in zip([*add, None], by_step, self.dh, strict=True)
        ]
        return self.scratch("dc", (rows, self.units)), views[::-1]

    def slopes(self) -> Array:
        """Put local derivatives in place of the states: f, those of c by z_i, z_f, z_g, that of h by z_o, that by c.

        With ``s (1 - s)`` for sigmoid and ``1 - t^2`` for tanh each is a difference of products that forward has kept:
        ``g i (1 - i) = ig - ig * i``,  ``i (1 - g^2) = i - ig * g``,  ``tanh(c) o (1 - o) = h - h * o``,
        ``o (1 - tanh(c)^2) = o - h * tanh(c)``.
        """
        slopes = self.states[:, :-1]
        o, i, f, g, _, tanh_c = slopes
        ig, fc = self.parts
        for slope, value, factor, whole in (
            (slopes[4], self.h, o, self.h),
            (slopes[5], self.h, tanh_c, o),
            (slopes[3], ig, g, i),
            (slopes[1], ig, i, ig),
        ):
            np.multiply(value, factor, out=slope)
            np.subtract(whole, slope, out=slope)
        np.copyto(slopes[0], f)
        np.multiply(fc, f, out=slopes[2])
        np.subtract(fc, slopes[2], out=slopes[2])
        return slopes

    def run_back(self, views: Any) -> Array:
        dc, steps = views
        slopes = self.slopes()
        dc.fill(0)
        for add_products, by_dh, dc_of_h, by_dc, dc_before, dh in steps:
            if add_products is not None:
                add_products()  # dh += dz of the step after @ U^T
            np.multiply(by_dh, dh, by_dh)  # dz_o, and the part of dc that comes through h
            np.add(dc, dc_of_h, dc)
            np.multiply(by_dc, dc, by_dc)  # dc of the step before, dz_i, dz_f, dz_g
            dc = dc_before
        return slopes[1:5]
