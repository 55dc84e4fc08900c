"""One or more uses of every operation, as data for its contract.

Where NumPy has the function, the same lambda runs on arrays, and that is the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from miniDLF import ops
from miniDLF.kernels.windows import Window
from miniDLF.ops import pooling
from miniDLF.tensor import apply


@dataclass
class Case:
    """``function(*inputs)``; `inputs` are shapes of normal numbers, or arrays as they are."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    reference: Callable[..., Any] | None = None
    low: float | None = None  # numbers are moved above it
    high: float | None = None
    smooth: bool = True  # whether gradients exist and agree with differences
    twice: bool = True  # and those of gradients
    tags: set[str] = field(default_factory=set)

    def arrays(self, dtype: str = "float64", seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        result = []
        for one in self.inputs:
            if isinstance(one, np.ndarray):
                result.append(one.astype(dtype) if one.dtype.kind == "f" else one)
                continue
            x = rng.normal(size=one)
            if self.low is not None and self.high is not None:
                x = self.low + (self.high - self.low) * rng.random(one)
            elif self.low is not None:
                x = self.low + np.abs(x)
            result.append(x.astype(dtype))
        return result

    def __str__(self) -> str:
        return self.name


def of(name: str, *inputs: Any, **options: Any) -> Case:
    """A function of one or more arrays that NumPy has under the same name."""
    return Case(name, getattr(np, name), inputs, getattr(np, name), **options)


WHOLE = np.array([[2, 0, 1], [1, 1, 2]])
MASK = np.array([[True, False, True], [False, True, True]])
S, V = (2, 3), (3,)
FLAT: dict[str, Any] = {"smooth": False}


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x)


def _softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


ELEMENTWISE = [
    *[of(name, S, V) for name in ("add", "subtract", "multiply", "maximum", "minimum", "logaddexp", "fmax", "fmin")],
    of("divide", S, V, low=0.5), of("power", S, V, low=0.3), of("arctan2", S, V, low=0.2),
    of("remainder", S, V, low=0.5), of("floor_divide", S, V, low=0.5, **FLAT), of("float_power", S, V, low=0.5),
    *[of(name, S) for name in (
        "negative", "positive", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "arcsinh",
        "square", "absolute",
    )],
    *[of(name, S, low=0.3) for name in ("log", "log1p", "log2", "log10", "sqrt", "reciprocal")],
    *[of(name, S, low=-0.8, high=0.8) for name in ("arcsin", "arccos", "arctanh")],
    of("arccosh", S, low=1.2),
    *[of(name, S, **FLAT) for name in ("sign", "floor", "ceil", "rint", "isfinite", "isnan", "isinf")],
    Case("round to decimals", lambda x: np.round(x, 1), (S,), lambda x: np.round(x, 1), **FLAT),
    *[of(name, S, V, **FLAT) for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")],
    *[of(name, MASK, ~MASK, **FLAT) for name in ("logical_and", "logical_or", "logical_xor")],
    of("logical_not", MASK, **FLAT),
    of("where", MASK, S, V), Case("clip", lambda x: np.clip(x, -0.5, 0.7), (S,), lambda x: np.clip(x, -0.5, 0.7)),
    Case("clip below", lambda x: ops.clip(x, -0.5), (S,), lambda x: np.maximum(x, -0.5)),
    Case("where of booleans", lambda x, y: np.where(x > 0, y > 0.5, x == y), (S, S),
         lambda x, y: np.where(x > 0, y > 0.5, x == y), **FLAT),
    Case("cube", lambda x: x**3, (S,), lambda x: x**3), Case("root", lambda x: x**0.5, (S,), np.sqrt, low=0.2),
    Case("powers of a number", lambda x: 2.0**x, (S,), lambda x: 2.0**x),
    Case("rsqrt", ops.rsqrt, (S,), lambda x: 1 / np.sqrt(x), low=0.2),
    Case("sigmoid", ops.sigmoid, (S,), lambda x: 1 / (1 + np.exp(-x))), Case("erf", ops.erf, (S,), _erf),
    Case("nan_to_num", ops.nan_to_num, (np.array([1.0, np.nan, np.inf, -2]),), lambda x: np.nan_to_num(x),
         tags={"not a number"}, **FLAT),
    of("nan_to_num", S),
    Case("cast", lambda x: ops.cast(x, "float64") * 2, (S,), lambda x: x * 2.0),
    Case("stop_gradient", lambda x: ops.stop_gradient(x), (S,), lambda x: x, **FLAT),
]  # fmt: skip

ACTIVATIONS = [
    Case("relu", ops.relu, (S,), lambda x: np.maximum(x, 0), twice=False),
    Case("relu with all", lambda x: ops.relu(x, 0.1, 1.0, 0.2), (S,),
         lambda x: np.minimum(np.where(x >= 0.2, x, 0.1 * (x - 0.2)), 1.0), twice=False),
    Case("relu6", lambda x: ops.relu6(x * 8), (S,), lambda x: np.clip(x * 8, 0, 6), twice=False),
    Case("leaky_relu", ops.leaky_relu, (S,), lambda x: np.where(x > 0, x, 0.2 * x), twice=False),
    Case("leaky_relu steep", lambda x: ops.leaky_relu(x, 2.0), (S,), lambda x: np.where(x > 0, x, 2 * x), twice=False),
    Case("softplus", ops.softplus, (S,), lambda x: np.log1p(np.exp(x))),
    Case("silu", ops.silu, (S,), lambda x: x / (1 + np.exp(-x))),
    Case("swish", ops.swish, (S,), lambda x: x / (1 + np.exp(-x))),
    Case("elu", ops.elu, (S,), lambda x: np.where(x > 0, x, np.expm1(x))),
    Case("celu", lambda x: ops.celu(x, 0.5), (S,), lambda x: np.maximum(x, 0) + np.minimum(0, 0.5 * np.expm1(x / 0.5))),
    Case("selu", ops.selu, (S,), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    Case("gelu", ops.gelu, (S,), lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2)))),
    Case("gelu by tanh", lambda x: ops.gelu(x, True), (S,),
         lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    Case("mish", ops.mish, (S,), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    Case("softsign", ops.softsign, (S,), lambda x: x / (1 + np.abs(x))),
    Case("squareplus", ops.squareplus, (S,), lambda x: (x + np.sqrt(x * x + 4)) / 2),
    Case("hard_sigmoid", lambda x: ops.hard_sigmoid(4 * x), (S,), lambda x: np.clip(4 * x / 6 + 0.5, 0, 1)),
    Case("hard_silu", ops.hard_silu, (S,), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    Case("hard_tanh", ops.hard_tanh, (S,), lambda x: np.clip(x, -1, 1)),
    Case("tanh_shrink", ops.tanh_shrink, (S,), lambda x: x - np.tanh(x)),
    Case("threshold", lambda x: ops.threshold(x, 0.3, -1.0), (S,), lambda x: np.where(x > 0.3, x, -1.0)),
    Case("exponential", ops.exponential, (S,), np.exp), Case("linear", ops.linear, (S,), lambda x: x),
    Case("log_sigmoid", ops.log_sigmoid, (S,), lambda x: -np.log1p(np.exp(-x))),
    Case("softmax", ops.softmax, (S,), _softmax), Case("softmax over rows", lambda x: ops.softmax(x, 0), (S,),
                                                       lambda x: _softmax(x, 0)),
    Case("log_softmax", ops.log_softmax, (S,), lambda x: np.log(_softmax(x))),
    Case("logsumexp", ops.logsumexp, (S,), lambda x: np.log(np.exp(x).sum())),
    Case("logsumexp of an axis", lambda x: ops.logsumexp(x, 0, keepdims=True), (S,),
         lambda x: np.log(np.exp(x).sum(0, keepdims=True))),
]  # fmt: skip


def _both(name: str, call: Callable[..., Any], *inputs: Any, **options: Any) -> Case:
    """A call that is the same on arrays and on tensors."""
    return Case(name, call, inputs, call, **options)


def _along(name: str, axis: Any, keepdims: bool | None, x: Any) -> Any:
    keywords = {} if keepdims is None else {"keepdims": keepdims}
    return getattr(np, name)(x, axis=axis, **keywords)


T3 = (2, 3, 4)
REDUCTIONS = [
    *[_both(f"{name} {axis} {kept}", partial(_along, name, axis, kept), T3)
      for name in ("sum", "mean", "max", "min", "prod", "var", "std")
      for axis, kept in ((None, False), (1, False), ((0, 2), True))],
    *[_both(f"{name} {axis}", partial(_along, name, axis, None), T3, **FLAT)
      for name in ("argmax", "argmin", "all", "any", "count_nonzero") for axis in (None, 1)],
    _both("var with ddof", lambda x: np.var(x, axis=0, ddof=1), T3),
    _both("prod with zeros", lambda x: np.prod(x, axis=-1), np.array([[1.0, 2, 0], [0, 3, 0], [1, 2, 3]]), twice=False),
    _both("cumsum", lambda x: np.cumsum(x, axis=1), T3), _both("cumsum of all", lambda x: np.cumsum(x), S),
    _both("average", lambda x, w: np.average(x, axis=0, weights=w), S, S, low=0.1),
    _both("average of lines", lambda x, w: np.average(x, axis=1, weights=w), S, V, low=0.1),
    *[_both(f"norm {order} {axis}", lambda x, o=order, a=axis: np.linalg.norm(x, ord=o, axis=a), S)
      for order, axis in ((None, None), (None, 0), (2, 1), (1, 1), (np.inf, 0), (3, 1))],
    _both("method of a ufunc", lambda x: np.add.reduce(x, axis=1), S),
    Case("count of booleans", lambda m: np.sum(m), (MASK,), np.sum, **FLAT),
]  # fmt: skip

SHAPES = [
    _both("reshape", lambda x: np.reshape(x, (-1, 2)), T3),
    _both("transpose", lambda x: np.transpose(x, (2, 0, 1)), T3),
    _both("T", lambda x: x.T, S), _both("swapaxes", lambda x: np.swapaxes(x, 0, -1), T3),
    _both("moveaxis", lambda x: np.moveaxis(x, (0, 1), (2, 0)), T3), _both("ravel", lambda x: np.ravel(x), S),
    _both("expand_dims", lambda x: np.expand_dims(x, (0, 2)), S), _both("squeeze", lambda x: np.squeeze(x), (1, 3, 1)),
    _both("squeeze one", lambda x: np.squeeze(x, 0), (1, 3, 1)),
    _both("broadcast_to", lambda x: np.broadcast_to(x, (4, 2, 3)), S),
    _both("concatenate", lambda a, b: np.concatenate([a, b, a], axis=1), S, (2, 2)),
    _both("concatenate all", lambda a, b: np.concatenate([a, b], axis=None), S, V),
    _both("stack", lambda a, b: np.stack([a, b], axis=1), S, S), _both("vstack", lambda a, b: np.vstack([a, b]), S, V),
    _both("hstack", lambda a, b: np.hstack([a, b]), S, (2, 1)),
    _both("split", lambda x: np.split(x, 2, axis=2)[1] * 2 + np.split(x, 2, axis=2)[0], T3),
    _both("split at", lambda x: np.split(x, [1, 3], axis=2)[1], T3),
    Case("unstack", lambda x: ops.unstack(x, 1)[2], (T3,), lambda x: x[:, 2]),
    _both("pad", lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=5.0), S),
    _both("pad with edges", lambda x: np.pad(x, 1, mode="edge"), S),
    _both("pad with mirror", lambda x: np.pad(x, ((1, 1), (2, 0)), mode="reflect"), S),
    _both("repeat", lambda x: np.repeat(x, 2, axis=1), S), _both("repeat all", lambda x: np.repeat(x, 3), S),
    _both("tile", lambda x: np.tile(x, (2, 1, 3)), S), _both("flip", lambda x: np.flip(x, 1), S),
    _both("roll", lambda x: np.roll(x, (1, -1), (0, 1)), S), _both("roll all", lambda x: np.roll(x, 2), S),
    _both("atleast_1d", lambda x: np.atleast_1d(x), ()),
]  # fmt: skip

INDEXING = [
    _both("slices", lambda x: x[1:, ::-2], T3), _both("number", lambda x: x[-1], T3),
    _both("new axis", lambda x: x[:, None, ..., 1], T3), _both("array of indices", lambda x: x[WHOLE[0]], (3, 2)),
    _both("arrays of indices", lambda x: x[WHOLE, :, WHOLE], (3, 2, 4)), _both("mask", lambda x: x[MASK], S),
    _both("take", lambda x: np.take(x, WHOLE, axis=1), S), _both("take of all", lambda x: np.take(x, WHOLE), T3),
    _both("take_along_axis", lambda x: np.take_along_axis(x, WHOLE, axis=1), S),
    Case("scatter_add", lambda x, v: ops.scatter_add(x, WHOLE[0], v), ((4, 2), (3, 2)), lambda x, v: _added(x, v)),
    Case("scatter_update", lambda x, v: ops.scatter_update(x, np.array([3, 0]), v), ((4, 2), (2, 2)),
         lambda x, v: np.stack([v[1], x[1], x[2], v[0]])),
    Case("segment_sum", lambda x: ops.segment_sum(x, np.array([1, 0, 1, 3]), 4), ((4, 2),),
         lambda x: np.stack([x[1], x[0] + x[2], 0 * x[0], x[3]])),
    _both("sort", lambda x: np.sort(x, axis=0), T3), _both("argsort", lambda x: np.argsort(x, axis=1), T3, **FLAT),
    Case("top_k", lambda x: ops.top_k(x, 2)[0], (T3,), lambda x: -np.sort(-x)[..., :2]),
    _both("tril", lambda x: np.tril(x, 1), T3), _both("triu", lambda x: np.triu(x), T3),
    _both("diagonal", lambda x: np.diagonal(x, 1, 1, 2), T3), _both("trace", lambda x: np.trace(x), (3, 3)),
    _both("zeros_like", lambda x: np.zeros_like(x), S, **FLAT),
    _both("ones_like", lambda x: np.ones_like(x), S, **FLAT),
    _both("full_like", lambda x: np.full_like(x, 3.5), S, **FLAT),
    Case("one_hot", lambda i: ops.one_hot(i, 4, dtype="float64"), (WHOLE,), lambda i: np.eye(4)[i], **FLAT),
    Case("one_hot in front", lambda i: ops.one_hot(i, 4, 0, "float64"), (WHOLE,),
         lambda i: np.moveaxis(np.eye(4)[i], -1, 0), **FLAT),
]  # fmt: skip


EDGES = np.array([-1.0, -0.2, 0.4, 1.1])
HOLES = np.array([[1.0, np.nan, -2.0], [0.5, 3.0, np.nan]])
WITH_ZERO = np.array([[1.5, 0.0, -2.0, 0.7], [0.3, 2.0, 1.1, -0.4]])
NANS: dict[str, Any] = {"smooth": False, "tags": {"not a number"}}


def _take_method(x: Any, method: str) -> Any:
    return np.quantile(x, 0.3, axis=1, method=method)  # type: ignore[call-overload]


def _rotated(x: Any, turns: int) -> Any:
    return np.rot90(x, turns, (1, 2))


def _sparsemax(x: np.ndarray) -> np.ndarray:
    """By trying every number of scores that may be above the threshold."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        falling = np.sort(row)[::-1]
        for count in range(len(row), 0, -1):
            threshold = (falling[:count].sum() - 1) / count
            if falling[count - 1] > threshold:
                rows.append(np.maximum(row - threshold, 0))
                break
    return np.stack(rows).reshape(x.shape)


def _normal(x: np.ndarray, axis: Any, epsilon: float) -> np.ndarray:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + epsilon)


def _attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    scores = np.einsum("nthd,nshd->nhts", q, np.repeat(k, 2, 2)) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(q.shape[1], k.shape[1], dtype=bool), scores, -1e9)
    return np.einsum("nhts,nshd->nthd", _softmax(scores), np.repeat(v, 2, 2))


UNDER_KERAS_NAMES = [
    *[of(name, S, **FLAT) for name in ("trunc", "isposinf", "isneginf")],
    *[of(name, S) for name in ("exp2", "deg2rad", "rad2deg", "degrees", "radians", "fabs", "copy")],
    of("cbrt", S, low=0.2), of("hypot", S, V), of("logaddexp2", S, V), of("sinc", S, low=0.1),
    Case("sinc at 0", ops.sinc, (np.array([0.0, 1.5, -2.0]),), np.sinc, twice=False),
    of("heaviside", S, V, smooth=False),
    of("isclose", np.array([1.0, 2, np.inf, np.nan]), np.array([1 + 1e-9, 2.1, np.inf, np.nan]), **NANS),
    Case("isclose with NaN", lambda a: ops.isclose(a, a, equal_nan=True), (HOLES,),
         lambda a: np.ones_like(a, bool), **NANS),
    of("allclose", S, S, **FLAT),
    Case("divide_no_nan", ops.divide_no_nan, (S, np.array([0.5, 2, -1])), lambda a, b: a / b),
    Case("divide_no_nan by 0", lambda a: ops.divide_no_nan(a, np.array([0.0, 2, -1])), (S,),
         lambda a: a * np.array([0, 0.5, -1])),
    Case("clip by Keras", lambda x: ops.clip(x, x_min=-0.3, x_max=0.4), (S,), lambda x: np.clip(x, -0.3, 0.4)),
    Case("select", lambda x: ops.select([x > 0.5, x > 0], [x * x, -x], 7.0), (S,),
         lambda x: np.select([x > 0.5, x > 0], [x * x, -x], 7.0)),
    Case("saturate_cast", lambda x: ops.cast(ops.saturate_cast(x * 200, "uint8"), x.dtype), (S,),
         lambda x: np.clip(x * 200, 0, 255).astype("uint8").astype(float), **FLAT),
    Case("glu", lambda x: ops.glu(x, -1), (T3,), lambda x: x[..., :2] / (1 + np.exp(-x[..., 2:]))),
    Case("hard_shrink", ops.hard_shrink, (S,), lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    Case("soft_shrink", ops.soft_shrink, (S,), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    Case("hard_swish", ops.hard_swish, (S,), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    Case("sparse_plus", ops.sparse_plus, (S,), lambda x: np.where(x >= 1, x, np.maximum(x + 1, 0) ** 2 / 4)),
    Case("sparse_sigmoid", ops.sparse_sigmoid, (S,), lambda x: np.clip((x + 1) / 2, 0, 1)),
    Case("sparsemax", ops.sparsemax, (T3,), _sparsemax),
    Case("sparsemax of columns", lambda x: ops.sparsemax(x, 0), (S,), lambda x: _sparsemax(x.T).T),
    _both("ptp", lambda x: np.ptp(x, axis=1), T3), _both("diff", lambda x: np.diff(x, 2, axis=1), T3),
    _both("cumprod", lambda x: np.cumprod(x, axis=1), WITH_ZERO), _both("cumprod of all", lambda x: np.cumprod(x), T3),
    _both("median", lambda x: np.median(x, axis=(0, 2)), T3), _both("median of all", lambda x: np.median(x), S),
    _both("quantile", lambda x: np.quantile(x, [0.1, 0.77], axis=1), T3),
    _both("quantile, kept", lambda x: np.quantile(x, 0.4, axis=(1, 2), keepdims=True), T3),
    *[_both(f"quantile {method}", partial(_take_method, method=method), T3)
      for method in ("lower", "higher", "nearest", "midpoint")],
    _both("percentile", lambda x: np.percentile(x, 30, axis=0), T3),
    *[of(name, HOLES, **NANS) for name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd")],
    _both("nanmean without holes", lambda x: np.nanmean(x, axis=1), T3),
    _both("nanvar without holes", lambda x: np.nanvar(x, axis=1), T3),
    _both("corrcoef", lambda x: np.corrcoef(x), (3, 5)),
    Case("trapezoid", lambda y, x: ops.trapezoid(y, x), (S, np.array([0.0, 0.5, 2.0])),
         lambda y, x: ((y[:, 1:] + y[:, :-1]) / 2 * np.diff(x)).sum(-1)),
    Case("trapezoid of rows", lambda y: ops.trapezoid(y, dx=0.5, axis=0), (S,), lambda y: 0.25 * (y[0] + y[1])),
    Case("moments", lambda x: ops.concatenate(ops.moments(x, (0, 2))), (T3,),
         lambda x: np.concatenate([x.mean((0, 2)), x.var((0, 2))])),
    Case("normalize", ops.normalize, (S,), lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True))),
    Case("normalize by amounts", lambda x: ops.normalize(x, 0, 1), (S,), lambda x: x / np.abs(x).sum(0)),
    Case("batch_normalization", lambda x, m, v, b, g: ops.batch_normalization(x, m, v * v, 1, b, g), (T3, V, V, V, V),
         lambda x, m, v, b, g: ((x.swapaxes(1, 2) - m) / np.sqrt(v * v + 1e-3) * g + b).swapaxes(1, 2)),
    Case("layer_normalization", lambda x, g, b: ops.layer_normalization(x, g, b), (T3, (4,), (4,)),
         lambda x, g, b: _normal(x, -1, 1e-7) * g + b),
    Case("layer_normalization over an axis in front", lambda x, g: ops.layer_normalization(x, g, axis=1, epsilon=0.1),
         (T3, V), lambda x, g: _normal(x, 1, 0.1) * g[:, None]),
    Case("rms_normalization", lambda x, g: ops.rms_normalization(x, g), (T3, (4,)),
         lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-7) * g),
    Case("attention", lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=True),
         ((2, 3, 4, 2), (2, 3, 2, 2), (2, 3, 2, 2)), _attention),
    Case("binary_crossentropy", lambda p: ops.binary_crossentropy(np.array([[0.0, 1.0, 0.3]] * 2), p), (S,),
         lambda p: -(np.array([0, 1, 0.3]) * np.log(p) + np.array([1, 0, 0.7]) * np.log(1 - p)), low=0.1, high=0.9),
    Case("binary_crossentropy of logits", lambda t, z: ops.binary_crossentropy(t, z, True), (S, S),
         lambda t, z: np.log1p(np.exp(z)) - t * z),
    Case("categorical_crossentropy", ops.categorical_crossentropy, (S, S),
         lambda t, p: -(t * np.log(p / p.sum(-1, keepdims=True))).sum(-1), low=0.1, high=0.9),
    Case("categorical_crossentropy of logits", lambda t, z: ops.categorical_crossentropy(t, z, True, 0), (S, S),
         lambda t, z: -(t * np.log(_softmax(z, 0))).sum(0)),
    Case("sparse_categorical_crossentropy", lambda p: ops.sparse_categorical_crossentropy(np.array([2, 0]), p), (S,),
         lambda p: -np.log((p / p.sum(-1, keepdims=True))[[0, 1], [2, 0]]), low=0.1, high=0.9),
    Case("sparse_categorical_crossentropy of logits", lambda z: ops.sparse_categorical_crossentropy(
        np.array([[2, 0, 1], [1, 1, 0]]), z, True, 1), ((2, 4, 3),),
         lambda z: -np.log(np.take_along_axis(_softmax(z, 1), np.array([[[2, 0, 1]], [[1, 1, 0]]]), 1))[:, 0]),
    _both("dstack", lambda a, b: np.dstack([a, b]), S, S), _both("append", lambda a, b: np.append(a, b, 1), S, S),
    _both("append of all", lambda a, b: np.append(a, b), S, V),
    _both("array_split", lambda x: np.array_split(x, 3, 2)[0] * np.array_split(x, 3, 2)[1].sum(), T3),
    _both("hsplit", lambda x: np.hsplit(x, 3)[1], T3), _both("vsplit", lambda x: np.vsplit(x, 2)[1], T3),
    _both("dsplit", lambda x: np.dsplit(x, [1])[1], T3), _both("fliplr", lambda x: np.fliplr(x), T3),
    _both("flipud", lambda x: np.flipud(x), T3),
    *[_both(f"rot90 {turns}", partial(_rotated, turns=turns), T3) for turns in (1, 2, 3, -1)],
    _both("meshgrid", lambda a, b: np.meshgrid(a, b)[0] * np.meshgrid(a, b)[1], V, (2,)),
    _both("meshgrid of three", lambda a, b: np.meshgrid(a, b, a, indexing="ij")[1], V, (2,)),
    _both("diag", lambda x: np.diag(x, 1), V), _both("diag of a matrix", lambda x: np.diag(x, -1), (3, 3)),
    _both("diagflat", lambda x: np.diagflat(x), S),
    _both("empty_like", lambda x: np.empty_like(x) * 0, S, **FLAT),
    _both("searchsorted", lambda x: np.searchsorted(EDGES, x), T3, **FLAT),
    _both("searchsorted right", lambda x: np.searchsorted(EDGES, x, side="right"), EDGES, **FLAT),
    _both("digitize", lambda x: np.digitize(x, EDGES), T3, **FLAT),
    _both("isin", lambda x: np.isin(x, [1, 2]), WHOLE, **FLAT),
    Case("in_top_k", lambda p: ops.in_top_k(np.array([2, 0]), p, 2), (S,),
         lambda p: np.array([np.sum(row > row[t]) < 2 for row, t in zip(p, (2, 0), strict=True)]), **FLAT),
    Case("multi_hot", lambda i: ops.multi_hot(i, 4, dtype="float64"), (WHOLE,),
         lambda i: np.array([[1.0, 1, 1, 0], [0, 1, 1, 0]]), **FLAT),
    Case("scatter", lambda v: ops.scatter(np.array([[0, 1], [1, 2], [0, 1]]), v, S), ((3,),),
         lambda v: np.array([[0, v[0] + v[2], 0], [0, 0, v[1]]])),
    Case("scatter_update at places", lambda x, v: ops.scatter_update(x, np.array([[0, 1], [1, 2]]), v), (S, (2,)),
         lambda x, v: np.array([[x[0, 0], v[0], x[0, 2]], [x[1, 0], x[1, 1], v[1]]])),
    Case("slice", lambda x: ops.slice(x, (0, 1, 2), (2, 2, 2)), (T3,), lambda x: x[:, 1:, 2:]),
    Case("slice at tensors", lambda x, i: ops.slice(x, ops.cast(i, "int64"), (1, 2)), (S, np.array([1, 7])),
         lambda x, i: x[1:, 1:]),
    Case("slice_update", lambda x, v: ops.slice_update(x, (1, 1), v), (S, (1, 2)),
         lambda x, v: np.stack([x[0], np.append(x[1, :1], v)])),
    Case("segment_sum up to the last", lambda x: ops.segment_sum(x, np.array([1, 0, 1, 2])), ((4, 2),),
         lambda x: np.stack([x[1], x[0] + x[2], x[3]])),
]  # fmt: skip


def _added(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    result = x.copy()
    np.add.at(result, WHOLE[0], values)
    return result


PRODUCTS = [
    of("matmul", S, (3, 4)), _both("matmul of stacks", lambda a, b: a @ b, (2, 2, 3), (3, 4)),
    _both("matmul of two stacks", lambda a, b: a @ b, (2, 1, 2, 3), (3, 3, 4)),
    _both("vector and matrix", lambda a, b: a @ b, V, (3, 4)), _both("matrix and vector", lambda a, b: a @ b, S, V),
    _both("vectors", lambda a, b: a @ b, V, V), _both("dot", lambda a, b: np.dot(a, b), T3, (4, 2)),
    _both("dot of stacks", lambda a, b: np.dot(a, b), S, (2, 3, 2)), _both("vdot", lambda a, b: np.vdot(a, b), S, S),
    _both("inner", lambda a, b: np.inner(a, b), S, (4, 3)), _both("outer", lambda a, b: np.outer(a, b), V, S),
    _both("tensordot", lambda a, b: np.tensordot(a, b, axes=((1, 0), (0, 2))), T3, (3, 5, 2)),
    _both("tensordot of two", lambda a, b: np.tensordot(a, b, 2), T3, (3, 4, 2)),
    _both("einsum", lambda a, b: np.einsum("bij,bjk->bik", a, b), T3, (2, 4, 3)),
    _both("einsum of three", lambda a, b, c: np.einsum("ij,jk,k->i", a, b, c), S, (3, 4), (4,)),
    _both("einsum with a sum", lambda a, b: np.einsum("ij,kl->il", a, b), S, (2, 4)),
    _both("einsum with an ellipsis", lambda a, b: np.einsum("...i,ij->...j", a, b), T3, (4, 2)),
    _both("einsum without arrow", lambda a, b: np.einsum("ij,jk", a, b), S, (3, 2)),
]  # fmt: skip


def _cube_forward(x: np.ndarray) -> np.ndarray:
    return x**3


CUSTOM = [
    Case("custom", ops.custom(_cube_forward, lambda dy, y, x: 3 * x * x * dy), (S,), lambda x: x**3, twice=False),
    Case("custom of two", ops.custom(lambda a, b: a * b, lambda dy, y, a, b: (dy * b, dy * a)), (S, S),
         lambda a, b: a * b, twice=False),
]  # fmt: skip


def _convolved(x: np.ndarray, w: np.ndarray, stride: tuple[int, int], sides: tuple[int, int, int, int]) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), sides[:2], sides[2:]))
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return np.einsum("nchwab,fcab->nfhw", windows, w)


def _windows(x: np.ndarray, size: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]


def _last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1)


def _chosen(v: Any, x: Any) -> Any:
    return apply(pooling.MaxPoolChoice(Window((2, 2), (1, 2))), v, x, ops.max_pool(x, 2, (1, 2)))


PICTURES = (2, 2, 4, 5)
NO_SIDES = (0, 0, 0, 0)
IMAGES = [
    Case("conv2d", ops.conv2d, (PICTURES, (3, 2, 3, 2)), lambda x, w: _convolved(x, w, (1, 1), NO_SIDES)),
    Case("conv2d with steps and zeros", lambda x, w: ops.conv2d(x, w, (2, 1), (1, 0)), (PICTURES, (2, 2, 2, 3)),
         lambda x, w: _convolved(x, w, (2, 1), (1, 1, 0, 0))),
    Case("conv2d same", lambda x, w: ops.conv2d(x, w, 2, "same"), (PICTURES, (2, 2, 3, 4)),
         lambda x, w: _convolved(x, w, (2, 2), (0, 1, 1, 2))),
    Case("conv2d more zeros than kernel", lambda x, w: ops.conv2d(x, w, padding=2), ((1, 1, 2, 2), (1, 1, 2, 1)),
         lambda x, w: _convolved(x, w, (1, 1), (2, 2, 2, 2))),
    Case("conv with channels last", lambda x, w: ops.conv(x, w, padding="same", data_format="channels_last"),
         ((2, 3, 4, 2), (3, 3, 2, 2)),
         lambda x, w: _last(_convolved(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), (1, 1), (1, 1, 1, 1)))),
    Case("max_pool", lambda x: ops.max_pool(x, 2), (PICTURES,), lambda x: _windows(x, (2, 2), (2, 2)).max((4, 5)),
         twice=False),
    Case("max_pool overlapping", lambda x: ops.max_pool(x, (3, 2), (1, 2)), (PICTURES,),
         lambda x: _windows(x, (3, 2), (1, 2)).max((4, 5)), twice=False),
    Case("max_pool twice", lambda x: ops.max_pool(x * x, 2), (PICTURES,),
         lambda x: _windows(x * x, (2, 2), (2, 2)).max((4, 5))),
    Case("max_pool same", lambda x: ops.max_pool(x, 2, padding="same", data_format="channels_last"), ((2, 3, 2, 1),),
         lambda x: _last(_windows(np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=-9)
                                  .transpose(0, 3, 1, 2), (2, 2), (2, 2)).max((4, 5))), twice=False),
    Case("average_pool", lambda x: ops.average_pool(x, (2, 3), 1), (PICTURES,),
         lambda x: _windows(x, (2, 3), (1, 1)).mean((4, 5))),
    Case("average_pool same", lambda x: ops.average_pool(x, 2, padding="same"), ((1, 1, 3, 2),),
         lambda x: np.stack([x[..., :2, :].mean((2, 3)), x[..., 2:, :].mean((2, 3))], 2)[..., None]),
    Case("squares of average_pool", lambda x: ops.average_pool(x, 2) ** 2, (PICTURES,),
         lambda x: _windows(x, (2, 2), (2, 2)).mean((4, 5)) ** 2),
    Case("choice by the largest", _chosen, (PICTURES, PICTURES), lambda v, x: np.take_along_axis(
        _windows(v, (2, 2), (1, 2)).reshape(2, 2, 3, 2, 4),
        _windows(x, (2, 2), (1, 2)).reshape(2, 2, 3, 2, 4).argmax(-1)[..., None], -1)[..., 0]),
    Case("global_average_pool", ops.global_average_pool, (PICTURES,), lambda x: x.mean((2, 3))),
    Case("global_max_pool", ops.global_max_pool, (PICTURES,), lambda x: x.max((2, 3))),
    Case("up_sampling", lambda x: ops.up_sampling(x, (2, 3)), ((2, 1, 2, 2),),
         lambda x: x.repeat(2, 2).repeat(3, 3)),
    Case("up_sampling of rows", lambda x: ops.up_sampling(x, (2, 1)), ((2, 1, 2, 2),), lambda x: x.repeat(2, 2)),
]  # fmt: skip


def _scanned(x: Any, first: Any, w: Any, reverse: bool = False) -> Any:
    """A recurrent network (T, N, D) with weights from outside, all of whose results count."""

    def step(carry: Any, x: Any) -> Any:
        h, total = carry["h"], carry["total"]
        h = np.tanh(x + h @ w)
        return {"h": h, "total": total + h * x}, (h, x[:, :1] * 2)

    last, (h, doubled) = ops.scan(step, {"h": first, "total": np.zeros(first.shape)}, x, reverse=reverse)
    return np.sum(h, axis=0) + last["total"] * last["h"] + np.mean(doubled, axis=0)


def _unrolled(x: np.ndarray, first: np.ndarray, w: np.ndarray, reverse: bool = False) -> np.ndarray:
    h, total, outputs = first, np.zeros_like(first), []
    for one in x[::-1] if reverse else x:
        h = np.tanh(one + h @ w)
        total = total + h * one
        outputs.append(h)
    return sum(outputs) + total * h + 2 * x[:, :, :1].mean(0)


def _swapped(a: Any, b: Any) -> Any:
    """A carry whose parts change places, counted beside it."""
    (a, b), count = ops.scan(lambda carry, _: ((carry[1], carry[0]), carry[0]), (a, b), length=3)
    return a * 2 + b * b + np.sum(count, axis=0)


def _nested(x: Any) -> Any:
    """A loop in a loop."""

    def outer(carry: Any, row: Any) -> Any:
        inner, _ = ops.scan(lambda total, one: (total * 0.5 + one * one, None), carry, row)
        return inner, np.sin(inner)

    return ops.scan(outer, np.zeros(()), x)[1]


def _nested_by_hand(x: np.ndarray) -> np.ndarray:
    total, found = 0.0, []
    for row in x:
        for one in row:
            total = total * 0.5 + one * one
        found.append(np.sin(total))
    return np.array(found)


def _branch(x: Any, w: Any, scale: float) -> Any:
    return ops.cond(np.sum(x * x) * scale > 1, lambda: np.sin(x) * w, lambda: x * x + 1)


def _s(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _rnn(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    h, found = np.zeros((len(x), 2)), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ w + h @ u + b)
        found.append(h)
    return np.stack(found, 1)


def _lstm(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    h = c = np.zeros((len(x), 2))
    found = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ w + h @ u + b, 4, 1)
        c = _s(f) * c + _s(i) * np.tanh(g)
        h = _s(o) * np.tanh(c)
        found.append(h)
    return np.stack(found, 1)


def _gru(x: np.ndarray, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> np.ndarray:
    h, found = np.zeros((len(x), 2)), []
    for t in range(x.shape[1]):
        z, r = np.split(_s(x[:, t] @ w[:, :4] + h @ u[:, :4] + b[:4]), 2, 1)
        h = z * h + (1 - z) * np.tanh(x[:, t] @ w[:, 4:] + (r * h) @ u[:, 4:] + b[4:])
        found.append(h)
    return np.stack(found, 1)


FLOW = [
    Case("scan", lambda x, h, w: _scanned(x, h, w), ((3, 2, 3), (2, 3), (3, 3)), _unrolled),
    Case("scan from the end", lambda x, h, w: _scanned(x, h, w, True), ((3, 2, 3), (2, 3), (3, 3)),
         lambda x, h, w: _unrolled(x, h, w, True)),
    Case("scan of swaps", _swapped, (S, S), lambda a, b: b * 2 + a * a + (2 * a + b)),
    *[Case(name, getattr(ops, name), ((2, 3, 2), (2, 2 * g), (2, 2 * g), (2 * g,)), reference)
      for name, g, reference in (("simple_rnn", 1, _rnn), ("lstm", 4, _lstm), ("gru", 3, _gru))],
    Case("scan in a scan", _nested, ((2, 3),), _nested_by_hand),
    Case("cond that holds", lambda x, w: _branch(x, w, 100.0), (S, S), lambda x, w: np.sin(x) * w),
    Case("cond that does not", lambda x, w: _branch(x, w, 1e-9), (S, S), lambda x, w: x * x + 1),
]  # fmt: skip

CASES = [
    *ELEMENTWISE, *ACTIVATIONS, *REDUCTIONS, *SHAPES, *INDEXING, *PRODUCTS, *UNDER_KERAS_NAMES, *CUSTOM, *IMAGES,
    *FLOW,
]  # fmt: skip
