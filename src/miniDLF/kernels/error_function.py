"""The error function."""

from __future__ import annotations

import math

import numpy as np

from miniDLF.kernels.workspace import Array

__all__ = ["error_function"]

_each = np.frompyfunc(math.erf, 1, 1)


def error_function(x: Array, out: Array | None = None) -> Array:
    """Return erf(x)."""
    found = np.asarray(_each(x)).astype(x.dtype)
    if out is None:
        return found
    np.copyto(out, found)
    return out
