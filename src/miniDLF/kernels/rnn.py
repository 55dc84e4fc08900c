"""The simple recurrent cell over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.recurrent import Recurrence
from miniDLF.kernels.repeated import RepeatedProducts
from miniDLF.kernels.workspace import Array

__all__ = ["SimpleRecurrence"]


class SimpleRecurrence(Recurrence):
    """``h_t = tanh(x_t W + h_{t-1} U + b)`` (Elman 1990)."""

    gates: ClassVar = 1
    order: ClassVar = ((0,),)
    scales: ClassVar = ((1.0,),)

    def forward_views(self, *products: RepeatedProducts) -> Any:
        z = products[0].result[0]
        return [(products[0].put(joined), z, h) for joined, h in zip(self.joined[:-1], self.h, strict=True)]

    def run(self, views: Any) -> None:
        for multiply, z, h in views:
            multiply()  # z = [h, x, 1] @ W
            np.tanh(z, h)

    def backward_views(self, *products: RepeatedProducts) -> Any:
        rows, steps, _ = self.shape
        dz = self.empty("dz", (1, steps, rows, self.units))
        add = [products[0].add(dz[:, step + 1], self.dh[step]) for step in range(steps - 1)]
        return dz, list(zip([*add, None], dz[0], self.dh, strict=True))[::-1]

    def run_back(self, views: Any) -> Array:
        dz, steps = views
        np.square(self.h, out=dz[0])
        np.subtract(1.0, dz[0], out=dz[0])  # 1 - h^2, the derivative of tanh, for all steps
        for add_product, dz_t, dh in steps:
            if add_product is not None:
                add_product()  # dh += dz of the step after @ U^T
            np.multiply(dz_t, dh, dz_t)
        result: Array = dz
        return result
