"""Matrix products of flat and deep matrices, cut into pieces that OpenBLAS multiplies without packing.

Below about m n k = 10^6 OpenBLAS works on the operands where they lie; above, it first copies them into its own order,
which costs a fifth to a third of the time when one side is only 8 to 128 wide, as in convolutions. Measured on one
thread (AVX-512), Gflop/s whole / in pieces: (1024, 288) @ (288, 32) 211 / 256; (1024, 576) @ (576, 64) 225 / 252;
(288, 1024) @ (1024, 32) 184 / 250; (576, 1024) @ (1024, 64) 218 / 264. A batched `np.matmul` runs over the pieces.

Where BLAS packs always, products stay whole: convolutions of 8 to 32 channels take up to 10 % less that way.
"""

from __future__ import annotations

import sys

import numpy as np

from miniDLF.kernels.blas import multiplies_in_place
from miniDLF.kernels.workspace import Array

__all__ = ["PIECE", "gradient_product", "largest_piece", "multiply", "parts_of_product", "product"]

#: m n k of a piece.
PIECE = 1_000_000
#: Pieces with fewer rows are no faster than the whole.
FEWEST_ROWS = 24


def largest_piece() -> int:
    """Return the largest m n k that is not to be cut."""
    return PIECE if multiplies_in_place() else sys.maxsize


def multiply(a: Array, b: Array, out: Array) -> None:
    """Write a @ b, matrices or stacks of them, to `out`, C-contiguous. `np.matmul` takes 2 us more to begin with."""
    if a.ndim == 2:
        a.dot(b, out)
    else:
        np.matmul(a, b, out=out)


def product(a: Array, b: Array, out: Array) -> None:
    """Write a @ b: (P, K) @ (K, F) -> (P, F), with P the long side; a and out C-contiguous, or a a transposed view."""
    for part, result in parts_of_product(a, out):
        multiply(part, b, result)


def parts_of_product(a: Array, out: Array) -> list[tuple[Array, Array]]:
    """Return views of `a` (P, K) and `out` (P, F) whose products with one (K, F) make up the whole product."""
    length, depth = a.shape
    width = out.shape[1]
    most = largest_piece() // (depth * width)
    if length <= most or most < FEWEST_ROWS:
        return [(a, out)]
    pieces = -(-length // most)
    rows = length // pieces
    whole = pieces * rows
    parts = [(_split(a[:whole], pieces), out[:whole].reshape(pieces, rows, width))]
    return parts if whole == length else [*parts, (a[whole:], out[whole:])]


def gradient_product(a: Array, b: Array, out: Array) -> None:
    """Write a^T @ b: (P, K)^T @ (P, F) -> (K, F), with P the long side; the pieces are rows of the result."""
    length, depth = a.shape
    width = b.shape[1]
    pieces = -(-depth * width * length // largest_piece())
    while depth % pieces and pieces < depth:
        pieces += 1
    if pieces == 1 or depth // pieces < 8:
        multiply(a.T, b, out)
        return
    np.matmul(_split(a.T, pieces), b, out=out.reshape(pieces, -1, width))


def _split(a: Array, pieces: int) -> Array:
    """View (R, K) as (pieces, R / pieces, K); a reshape would copy a transposed view."""
    rows, depth = a.shape
    if a.strides[1] <= a.strides[0]:
        return a.reshape(pieces, rows // pieces, depth)
    return a.T.reshape(depth, pieces, rows // pieces).transpose(1, 2, 0)
