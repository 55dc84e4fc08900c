"""Statistics along axes: weighted means, lengths, quantiles, differences, running products, and sums without NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.ops.arguments import axes_of, axis_of, cast, floating, refuse
from miniDLF.ops.sorting import sort
from miniDLF.tensor.rules import implements, rule_for
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = [
    "average", "corrcoef", "cumprod", "diff", "median", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum",
    "nanvar", "norm", "percentile", "ptp", "quantile", "trapezoid",
]  # fmt: skip


@implements(np.average)
def average(x: Any, axis: Any = None, weights: Any = None, returned: Any = None, *, keepdims: Any = False) -> Tensor:
    """Return the mean over `axis`, weighted by `weights` (of the shape of `x`, or broadcast to it)."""
    refuse("average", returned=returned or None)
    if weights is None:
        return np.mean(x, axis, keepdims=keepdims)
    x, weights = floating(x, weights)
    if weights.ndim == 1 and x.ndim > 1 and isinstance(axis, int):
        place = axis_of("average", axis, x.ndim)
        weights = np.reshape(weights, tuple(-1 if i == place else 1 for i in range(x.ndim)))
    weights = np.broadcast_to(weights, x.shape)
    return np.sum(x * weights, axis, keepdims=keepdims) / np.sum(weights, axis, keepdims=keepdims)


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the length of the vectors along `axis`: of order 1, 2 (also ``None`` and "fro"), inf, or any p > 0.

    The largest number is divided out first, so squares do not overflow. At 0 the gradient is 0.
    """
    x = floating(x)
    if ord in (1,):
        return np.sum(np.abs(x), axis, keepdims=keepdims)
    if ord in (np.inf, "inf"):
        return np.max(np.abs(x), axis, keepdims=keepdims)
    if ord not in (None, 2, "fro", "euclidean") and not (isinstance(ord, (int, float)) and ord > 0):
        raise ArgumentError(f"norm: ord is 1, 2, inf or another number above 0, received {ord!r}.")
    power = 2 if isinstance(ord, str) or ord is None else ord
    scale = np.max(np.abs(x), axis, keepdims=True)
    scale = rule_for("stop_gradient")(np.where((scale > 0) & np.isfinite(scale), scale, 1.0))
    total = np.sum(np.abs(x / scale) ** power, axis, keepdims=True)
    root = np.where(total > 0, np.where(total > 0, total, 1.0) ** (1 / power), 0.0) * scale
    return root if keepdims else np.squeeze(root, axes_of("norm", axis, x.ndim))


@implements(np.ptp)
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the largest minus the smallest over `axis`."""
    x = as_tensor(x)
    return np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1) -> Tensor:
    """Return the differences of neighbours along `axis`, `n` times."""
    a = as_tensor(a)
    before = (slice(None),) * axis_of("diff", axis, a.ndim)
    for _ in range(n):
        a = a[(*before, slice(1, None))] - a[(*before, slice(None, -1))]
    return a


@implements(np.cumprod)
def cumprod(x: Any, axis: Any = None, dtype: Any = None) -> Tensor:
    """Return the running products along `axis` (``None``: over all elements in order).

    Each doubles the number of factors, so what is 0 has a right gradient as well.
    """
    x = as_tensor(x if dtype is None else cast(x, dtype))
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    place = axis_of("cumprod", axis, x.ndim)
    before, covered = (slice(None),) * place, 1
    while covered < x.shape[place]:
        first, rest = x[(*before, slice(None, covered))], x[(*before, slice(covered, None))]
        x = np.concatenate([first, rest * x[(*before, slice(None, -covered))]], axis=place)
        covered *= 2
    return x


@implements(np.quantile)
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Return the value below which the share `q` of the numbers over `axis` lies; several `q` in a first axis.

    `method` says what is between two of them: "linear", "lower", "higher", "nearest" or "midpoint".

    Raises
    ------
    ArgumentError
        If a `q` is not from 0 to 1, or the method another one.
    """
    x, shares = floating(x), np.asarray(q, dtype=float)
    if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
        raise ArgumentError(f"quantile: q is from 0 to 1, received {q!r}.")
    axes = axes_of("quantile", axis, x.ndim)
    others = [i for i in range(x.ndim) if i not in axes]
    lines = sort(np.reshape(np.transpose(x, (*others, *axes)), (*(x.shape[i] for i in others), -1)))
    places = shares * (lines.shape[-1] - 1)
    low, high = np.floor(places).astype(np.intp), np.ceil(places).astype(np.intp)
    weight = {"linear": places - low, "lower": 0 * places, "higher": 0 * places + 1, "midpoint": 0 * places + 0.5}
    weight["nearest"] = np.rint(places) - low
    if method not in weight:
        raise ArgumentError(f"quantile: method is one of {', '.join(sorted(weight))}, received {method!r}.")
    between = as_tensor(weight[method].astype(x.dtype))
    found = lines[..., low] * (1 - between) + lines[..., high] * between
    if shares.ndim:
        found = np.moveaxis(found, tuple(range(-shares.ndim, 0)), tuple(range(shares.ndim)))
    if not keepdims:
        return found
    return np.reshape(found, (*shares.shape, *(1 if i in axes else n for i, n in enumerate(x.shape))))


@implements(np.percentile)
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Return `quantile` of `q` hundredths."""
    return quantile(x, np.asarray(q, dtype=float) / 100, axis, method, keepdims)


@implements(np.median)
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the number in the middle over `axis`, the mean of the two where their number is even."""
    return quantile(x, 0.5, axis, "linear", keepdims)


@implements(np.nansum)
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis` of what is a number."""
    return np.sum(_in_place_of_nan(x, 0), axis=axis, keepdims=keepdims)


@implements(np.nanprod)
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the product over `axis` of what is a number."""
    return np.prod(_in_place_of_nan(x, 1), axis=axis, keepdims=keepdims)


@implements(np.nanmax)
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the largest number over `axis`; -inf where there is none."""
    return np.max(_in_place_of_nan(x, -np.inf), axis=axis, keepdims=keepdims)


@implements(np.nanmin)
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the smallest number over `axis`; inf where there is none."""
    return np.min(_in_place_of_nan(x, np.inf), axis=axis, keepdims=keepdims)


@implements(np.nanmean)
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the mean over `axis` of what is a number; NaN where nothing is."""
    x = floating(x)
    count = np.sum(cast(np.logical_not(np.isnan(x)), x.dtype), axis=axis, keepdims=keepdims)
    mean = nansum(x, axis, keepdims) / np.maximum(count, 1.0)
    return np.where(count == 0, np.nan, mean)


@implements(np.nanvar)
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the mean square distance from `nanmean` over `axis`."""
    x = floating(x)
    distance = x - nanmean(x, axis, keepdims=True)
    return nanmean(np.where(np.isnan(x), np.nan, np.square(_in_place_of_nan(distance, 0))), axis, keepdims)


@implements(np.nanstd)
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the root of `nanvar`."""
    return np.sqrt(nanvar(x, axis, keepdims))


def _in_place_of_nan(x: Any, value: float) -> Tensor:
    x = as_tensor(x)
    return x if x.dtype.kind != "f" else np.where(np.isnan(x), value, x)


@implements(np.corrcoef)
def corrcoef(x: Any) -> Tensor:
    """Return the correlations of the rows of `x` (variables, observations), which is (variables, variables)."""
    x = np.reshape(floating(x), (1, -1)) if as_tensor(x).ndim == 1 else floating(x)
    centered = x - np.mean(x, axis=-1, keepdims=True)
    scaled = centered / np.sqrt(np.sum(np.square(centered), axis=-1, keepdims=True))
    found = scaled @ np.transpose(scaled)
    return found[0, 0] if x.shape[0] == 1 else found


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Return the integral of `y` along `axis` by trapezoids, at the places `x` or at distances `dx`."""
    y = floating(y)
    place = axis_of("trapezoid", axis, y.ndim)
    before = (slice(None),) * place
    means = (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) * 0.5
    if x is None:
        return np.sum(means, axis=place) * dx
    widths = diff(as_tensor(x, y.dtype), axis=-1 if as_tensor(x).ndim == 1 else axis)
    if widths.ndim == 1:
        widths = np.reshape(widths, tuple(-1 if i == place else 1 for i in range(y.ndim)))
    return np.sum(means * widths, axis=place)
