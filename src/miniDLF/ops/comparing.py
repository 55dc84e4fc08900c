"""Questions and choices that are made of simpler ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.ops.arguments import cast, floating, in_one_type
from miniDLF.ops.choices import where
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = [
    "allclose", "exp2", "heaviside", "hypot", "isclose", "isneginf", "isposinf", "logaddexp2",
    "saturate_cast", "select", "sinc", "trunc",
]  # fmt: skip


@implements(np.isclose)
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return whether ``|x1 - x2| <= atol + rtol |x2|``; infinities are close to themselves."""
    x1, x2 = floating(x1, x2)
    finite = np.logical_and(np.isfinite(x1), np.isfinite(x2))
    a, b = where(finite, x1, 0.0), where(finite, x2, 0.0)
    close = where(finite, np.abs(a - b) <= atol + rtol * np.abs(b), x1 == x2)
    return np.logical_or(close, np.logical_and(np.isnan(x1), np.isnan(x2))) if equal_nan else close


@implements(np.allclose)
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return whether all elements are close, as `isclose` says."""
    return np.all(isclose(x1, x2, rtol, atol, equal_nan))


@implements(np.isposinf)
def isposinf(x: Any) -> Tensor:
    """Return whether x is inf."""
    return floating(x) == np.inf


@implements(np.isneginf)
def isneginf(x: Any) -> Tensor:
    """Return whether x is -inf."""
    return floating(x) == -np.inf


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Return, element by element, the choice of the first condition that holds, or `default`.

    Raises
    ------
    ArgumentError
        If there is not one choice for each condition.
    """
    if not condlist or len(condlist) != len(choicelist):
        raise ArgumentError(
            f"select: expected a choice for each condition, received {len(condlist)} conditions and "
            f"{len(choicelist)} choices."
        )
    *choices, result = in_one_type(*choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = where(condition, choice, result)
    return result


def saturate_cast(x: Any, dtype: Any) -> Tensor:
    """Return `x` in another type; what that cannot hold becomes the nearest number that it can."""
    x, kind = as_tensor(x), np.dtype(dtype)
    if kind.kind in "iu" and x.dtype.kind != "b":
        limits = np.iinfo(kind)
        low, high = max(limits.min, _limits(x)[0]), min(limits.max, _limits(x)[1])
        x = np.clip(x, low, high)
    elif kind.kind == "f" and x.dtype.kind == "f" and kind.itemsize < x.dtype.itemsize:
        x = np.clip(x, float(np.finfo(kind).min), float(np.finfo(kind).max))
    return cast(x, kind)


def _limits(x: Tensor) -> tuple[Any, Any]:
    """Return the least and the largest number of the type of x that are whole, so that they round to no larger one."""
    if x.dtype.kind in "iu":
        return np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    most = 2.0**63 * (1 - 2.0 ** -(np.finfo(x.dtype).nmant + 1))
    return -(2.0**63), most


@implements(np.trunc)
def trunc(x: Any) -> Tensor:
    """Return `x` without what stands behind the point; no gradient."""
    x = as_tensor(x)
    return x if x.dtype.kind != "f" else np.sign(x) * np.floor(np.abs(x))


@implements(np.exp2)
def exp2(x: Any) -> Tensor:
    """Return ``2^x``."""
    return np.exp(floating(x) * math.log(2))


@implements(np.logaddexp2)
def logaddexp2(x1: Any, x2: Any) -> Tensor:
    """Return ``log2(2^x1 + 2^x2)`` without overflow."""
    x1, x2 = floating(x1, x2)
    return np.logaddexp(x1 * math.log(2), x2 * math.log(2)) * (1 / math.log(2))


@implements(np.hypot)
def hypot(x1: Any, x2: Any) -> Tensor:
    """Return ``sqrt(x1^2 + x2^2)`` without overflow; at (0, 0) the gradient is 0."""
    x1, x2 = floating(x1, x2)
    return np.linalg.norm(np.stack([x1 + 0 * x2, x2 + 0 * x1]), axis=0)


@implements(np.heaviside)
def heaviside(x1: Any, x2: Any) -> Tensor:
    """Return 0 below 0, 1 above 0, and `x2` at 0."""
    x1, x2 = floating(x1, x2)
    return where(x1 == 0, x2, where(x1 > 0, 1.0, 0.0 * x2))


@implements(np.sinc)
def sinc(x: Any) -> Tensor:
    """Return ``sin(pi x) / (pi x)``, 1 at 0."""
    x = floating(x) * math.pi
    safe = where(x == 0, 1.0, x)
    return where(x == 0, 1.0 - np.square(x) * (1 / 6), np.sin(safe) / safe)
