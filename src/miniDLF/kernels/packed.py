"""Products of a few rows with a matrix that is packed once, where BLAS would pack it before each product.

OpenBLAS brings both factors into an order of its own before it multiplies, and has no function that keeps the result.
With a dozen rows that costs as much as the product. So the weights are packed once before the loop over time, by the
same kernels that OpenBLAS calls, and each step packs its rows and multiplies; the kernel adds to what lies in the
output, so that a gradient needs no second pass to be added to.
Measured with AVX2 on one core, NumPy's product / this one, in turns: (13, 300) @ (300, 1024) 167 us / 133 us,
(12, 300) 118 / 85, (32, 577) @ (577, 2048) 1076 / 840, (128, 300) @ (300, 1024) 963 / 864.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from miniDLF.kernels.blas import PackingKernels
from miniDLF.kernels.repeated import SPARE, Multiply, RepeatedProducts, stack
from miniDLF.kernels.workspace import Array, Lend, as_one_call

__all__ = ["PackedProducts", "packing_pays"]

#: One row is a product with a vector, which BLAS does not pack; for many rows packing costs little.
FEWEST_ROWS, MOST_ROWS = 2, 256
#: Numbers behind packed matrices that a kernel may read, though it does not use them.
SLACK = 256

Call = tuple[Callable[..., None], tuple[Any, ...]]


def packing_pays(rows: int, dtype: np.dtype[Any]) -> bool:
    """Say whether products of so many rows of this type are faster with packed weights."""
    return dtype == np.float32 and FEWEST_ROWS <= rows <= MOST_ROWS


class PackedProducts(RepeatedProducts):
    """Products with packed weights; see `RepeatedProducts`.

    The gates of a row lie side by side for BLAS: then one product serves all of them. The rows are filled up to a
    multiple of four: with (300, 1024) 13 rows take 131 us, 15 take 199 us, and 16 take 121 us.

    Parameters
    ----------
    kernels
        The functions of BLAS.
    """

    def __init__(
        self, name: str, gates: int, rows: int, inner: int, units: int, lend: Lend, kernels: PackingKernels
    ) -> None:
        super().__init__(name, gates, rows, inner, units, lend)
        self.kernels = kernels
        self.filled = -(-rows // (SPARE + 1)) * (SPARE + 1)
        self.weights = lend(name, (gates * inner * units + SLACK,))

    def load(self, weights: Sequence[Array], order: Sequence[int], scales: Sequence[float]) -> None:
        stacked = self.lend("stacked", (self.inner, self.gates, self.units))
        stack(weights, order, scales, stacked.transpose(1, 0, 2)[:, np.newaxis])
        matrix = stacked.reshape(self.inner, -1)
        _pack(self.weights, matrix, self.kernels.pack_right, *matrix.shape)

    def load_transposed(self, weight: Array) -> None:
        _pack(self.weights, weight, self.kernels.pack_right_transposed, *weight.shape[::-1])

    @cached_property
    def result(self) -> Array:
        return self._filled_result[: self.rows].transpose(1, 0, 2)

    @cached_property
    def _filled_result(self) -> Array:
        return self.lend(f"result of {self.gates}", (self.filled, self.gates, self.units))

    def put(self, a: Array) -> Multiply:
        beside = self._filled_result.reshape(self.filled, -1)  # (N or more, G * H)
        calls = self._multiply(a, beside)

        def multiply() -> None:
            beside.fill(0)
            _run(beside, calls)

        return multiply

    def add(self, a: Array, out: Array) -> Multiply:
        beside = self.lend("beside each other", (self.filled, self.gates, self.inner))
        np.asarray(beside)[self.rows :] = 0  # whatever lies there may be slow to multiply
        calls = self._multiply(beside.reshape(self.filled, -1), out)
        gates = beside[: self.rows].transpose(1, 0, 2)

        def multiply() -> None:
            np.copyto(gates, a)
            _run(out, calls)

        return multiply

    def _multiply(self, a: Array, out: Array) -> list[Call]:
        """Return the calls that add the product of `a` (N, all rows of W) and W to `out` (N, all columns of W)."""
        _check_room(a, self.filled)
        _check_room(out, self.filled)
        rows, columns, inner = map(ctypes.c_int64, (self.filled, out.shape[1], a.shape[1]))
        left = _Pointer(self.lend("packed rows", (self.filled * a.shape[1] + SLACK,)))
        sizes = columns, rows, inner, ctypes.c_float(1.0)
        return [
            (self.kernels.pack_left, (inner, rows, _Pointer(a), _distance(a), left)),
            (self.kernels.multiply, (*sizes, _Pointer(self.weights), left, _Pointer(out), _distance(out))),
        ]


@as_one_call
def _run(_out: Array, calls: list[Call]) -> None:
    for function, arguments in calls:
        function(*arguments)


@as_one_call
def _pack(packed: Array, matrix: Array, pack: Callable[..., None], inner: int, columns: int) -> None:
    pack(ctypes.c_int64(inner), ctypes.c_int64(columns), _Pointer(matrix), _distance(matrix), _Pointer(packed))


class _Pointer(ctypes.c_void_p):
    """The address of an array, as an argument for C; its memory lives as long as this does."""

    def __init__(self, array: Array) -> None:
        super().__init__(array.ctypes.data)
        self.array = np.asarray(array)


def _check_room(matrix: Array, rows: int) -> None:
    """Make sure that `rows` rows from the first one of `matrix` on lie within memory that it is a view of."""
    whole = matrix
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    behind = whole.ctypes.data + whole.nbytes - matrix.ctypes.data
    if behind < (rows - 1) * matrix.strides[0] + matrix.shape[1] * matrix.itemsize or matrix.strides[0] < 0:
        raise ValueError(f"memory ends before {rows} rows of a matrix of shape {matrix.shape}")


def _distance(matrix: Array) -> ctypes.c_int64:
    """Return how many numbers lie from one row to the next."""
    return ctypes.c_int64(matrix.strides[0] // matrix.itemsize)
