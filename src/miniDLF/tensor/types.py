"""Which type a result has.

Tensors decide, constants follow: a Python number, a NumPy scalar or an array takes the type of the tensor that it
meets, so float32 stays float32. A floating type is never widened by whole numbers, and whole numbers become the
default floating type, float32, only where the result needs fractions. All this holds for NumPy 1 and 2 alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["DEFAULT", "common_type", "constant_type", "floating_type"]

#: What fractions are held in where nothing else says so.
DEFAULT = np.dtype(np.float32)

Type = np.dtype[Any]


def floating_type(dtype: Type) -> Type:
    """Return `dtype` if it holds fractions, else the default that does."""
    return dtype if dtype.kind == "f" else DEFAULT


def common_type(types: Iterable[Type]) -> Type:
    """Return the type in which tensors of these types are calculated together: floating before whole before boolean."""
    known = set(types)
    if len(known) == 1:
        return known.pop()
    fractions = [dtype for dtype in known if dtype.kind == "f"]
    return np.result_type(*(fractions or known))


def constant_type(value: Any, beside: Type | None) -> Type | None:
    """Return the type of a constant `value` beside tensors of the type `beside`; ``None`` for the one it has.

    ``True`` beside float32 is float32, 2 beside int32 is int32, 0.5 beside int32 is float32.
    """
    if isinstance(value, np.ndarray) and value.ndim:
        kind, own, weak = value.dtype.kind, value.dtype, False
    elif isinstance(value, (np.ndarray, np.generic)):
        kind, own, weak = value.dtype.kind, value.dtype, True
    elif isinstance(value, bool):
        kind, own, weak = "b", np.dtype(bool), True
    elif isinstance(value, int):
        kind, own, weak = "i", np.dtype(np.int64), True
    elif isinstance(value, float):
        kind, own, weak = "f", DEFAULT, True
    else:  # a list: what NumPy makes of it, but fractions are the default's
        try:
            found = np.asarray(value).dtype
        except ValueError:  # rows of different lengths: whoever makes an array of it says so
            return None
        kind, own, weak = found.kind, found, True
    if beside is None:
        return DEFAULT if weak and kind == "f" and not isinstance(value, (np.ndarray, np.generic)) else None
    ranks = "biuf"
    if kind not in ranks or beside.kind not in ranks:
        return None
    if kind == "f" and beside.kind != "f":
        return DEFAULT if weak else own
    if kind in "iu" and beside.kind == "b":
        return own
    return beside
