"""The simple recurrent cell over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.recurrent import Recurrence
from miniDLF.kernels.workspace import Array

__all__ = ["SimpleRecurrence"]


class SimpleRecurrence(Recurrence):
    """``h_t = tanh(x_t W + h_{t-1} U + b)`` (Elman 1990)."""

    gates: ClassVar = 1
    order: ClassVar = (0,)
    scales: ClassVar = (1.0,)

    def forward_views(self) -> Any:
        z, z_blocks = self.lend_gates("z", 1, self.width)
        return z[0], z_blocks, list(zip(self.joined[:-1], self.h, strict=True))

    def run(self, weights: Array, views: Any) -> None:
        z, z_blocks, steps = views
        for joined, h in steps:
            np.matmul(joined, weights, z_blocks)  # (N, K) @ (H / width, K, width)
            np.tanh(z, h)

    def backward_views(self) -> Any:
        rows, steps, _ = self.shape
        dz = self.scratch("dz", (1, steps, rows, self.units))
        return dz, *self.lend_gates("dh later", 1, self.back_width), list(zip(dz[0], self.dh, strict=True))[::-1]

    def run_back(self, transposed: Array, views: Any) -> Array:
        dz, dh_later, later_blocks, steps = views
        np.square(self.h, out=dz[0])
        np.subtract(1.0, dz[0], out=dz[0])  # 1 - h^2, the derivative of tanh, for all steps
        later = None
        for dz_t, dh_t in steps:
            if later is not None:
                np.matmul(later, transposed, later_blocks)  # (N, H) @ (H / width, H, width)
                np.add(dh_t, dh_later[0], dh_t)
            np.multiply(dz_t, dh_t, dz_t)
            later = dz_t
        result: Array = dz
        return result
