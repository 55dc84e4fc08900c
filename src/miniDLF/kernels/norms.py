"""L2 norms that neither overflow nor vanish: squares of what is far from 1 leave the range of the type.

The square of 1e20 is infinite in single precision, that of 1e-23 is zero. So a norm comes as two factors: the largest
magnitude where squares would leave the range, and the norm of what has been divided by it. Elsewhere the first is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from miniDLF.kernels.blas import RUN
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.kernels.workspace import Array

__all__ = ["divide", "norm_of_all", "norms"]


@quiet_arithmetic
def norms(value: Array, axes: Sequence[int]) -> tuple[Array, Array]:
    """Return `scale` and `rest`, both with axes of length 1 in place of `axes`; the norms are ``scale * rest``.

    Nothing of the size of `value` is allocated where its squares are ordinary numbers. A norm of zeros is 0, with a
    scale of 1; `value` that holds NaN or infinity has NaN.

    Parameters
    ----------
    value
        Real numbers in single or double precision.
    axes
        Over which a norm is taken, from 0 to ``value.ndim - 1``.
    """
    letters = list(range(value.ndim))
    kept = [axis for axis in letters if axis not in axes]
    shape = tuple(1 if axis in axes else value.shape[axis] for axis in letters)
    squares = np.einsum(value, letters, value, letters, kept).reshape(shape)
    scale = np.ones(shape, value.dtype)
    far = ~_ordinary(squares)
    if far.any():
        over = tuple(axes)
        largest = np.maximum(value.max(axis=over, keepdims=True), -value.min(axis=over, keepdims=True))
        far &= largest > 0
        if far.any():
            np.copyto(scale, largest, where=far)
            part: Array = value / scale
            squares = np.where(far, np.einsum(part, letters, part, letters, kept).reshape(shape), squares)
    return scale, np.sqrt(squares)


@quiet_arithmetic
def norm_of_all(parts: Sequence[Array]) -> tuple[float, float]:
    """Return `scale` and `rest` of the norm ``scale * rest`` of vectors taken together; NaN if one is not finite."""
    total = sum(float(np.dot(run, run)) for part in parts for run in _runs(part))
    if not parts or _ordinary(np.array(total, parts[0].dtype)):
        return 1.0, math.sqrt(total)
    largest = max((float(max(part.max(), -part.min())) for part in parts if part.size), default=0.0)
    if largest == 0.0:
        return 1.0, 0.0
    if not math.isfinite(largest):
        return 1.0, math.nan
    scaled = (np.divide(run, largest, dtype=np.float64) for part in parts for run in _runs(part))
    return largest, math.sqrt(sum(float(np.dot(run, run)) for run in scaled))


def divide(value: Array, scale: Array | float, rest: Array | float) -> None:
    """Divide `value` in place by the norm ``scale * rest``, which need not be a number of its type."""
    if np.any(np.not_equal(scale, 1)):
        np.divide(value, scale, out=value)
    np.divide(value, rest, out=value)


def _ordinary(squares: Array) -> Array:
    """Return which sums of squares are what they should be: none too large, and none of which much was too small."""
    limits = np.finfo(squares.dtype)
    ordinary: Array = (squares <= limits.max) & (squares >= limits.tiny / limits.eps)
    return ordinary


def _runs(vector: Array) -> Iterator[Array]:
    return (vector[start : start + RUN] for start in range(0, vector.size, RUN))
