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

CASES = [*ELEMENTWISE, *ACTIVATIONS, *REDUCTIONS, *SHAPES, *INDEXING, *PRODUCTS, *CUSTOM, *IMAGES]
