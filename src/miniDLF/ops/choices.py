"""Choices and questions: maximum, where, clip, comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError
from miniDLF.ops.arguments import cast, floating, in_one_type, of_conditions, of_numbers
from miniDLF.tensor.primitive import Elementwise
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "ceil", "clip", "equal", "floor", "fmax", "fmin", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less",
    "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "nan_to_num",
    "not_equal", "round", "sign", "stop_gradient", "where",
]  # fmt: skip


class Maximum(Elementwise):
    """``y = max(a, b)``;  the larger one gets dy, both half of it where they are equal."""

    ufunc = np.maximum

    def derivative(self, dy, y, a, b):
        return lambda: dy * _share(a, b, y), lambda: dy * _share(b, a, y)


class Minimum(Maximum):
    """``y = min(a, b)``;  the smaller one gets dy, both half of it where they are equal."""

    ufunc = np.minimum


def _share(one, other, y):
    return np.where(one == other, 0.5, cast(one == y, y.dtype))


class Where(Elementwise):
    """``y = a`` where the condition holds, else ``b``; each gets dy where it was chosen."""

    def dtype(self, *types):
        return types[1]

    def evaluate(self, *arrays, out=None):
        condition, a, b = arrays
        if out is None:
            return np.where(condition, a, b)
        if out is condition:  # booleans in the place of what chooses them
            condition = condition.copy()
        if out is a:
            np.copyto(out, b, where=np.logical_not(condition))
        else:
            np.copyto(out, b)
            np.copyto(out, a, where=condition)
        return out

    def derivative(self, dy, y, condition, a, b):
        return None, lambda: np.where(condition, dy, 0.0), lambda: np.where(condition, 0.0, dy)


class StopGradient(Elementwise):
    """``y = x``, and no gradient."""

    ufunc = np.positive

    def evaluate(self, *arrays, out=None):
        if out is None:
            return arrays[0].copy()
        np.copyto(out, arrays[0])
        return out


class Sign(Elementwise):
    """``y`` = -1, 0 or 1; no gradient."""

    ufunc = np.sign


class Floor(Elementwise):
    """The next whole number below; no gradient."""

    ufunc = np.floor


class Ceil(Elementwise):
    """The next whole number above; no gradient."""

    ufunc = np.ceil


class Round(Elementwise):
    """The nearest whole number, the even one of two; no gradient."""

    ufunc = np.rint


class Predicate(Elementwise):
    """A question with the answer yes or no; no gradient."""

    def dtype(self, *types):
        return np.dtype(bool)


def _predicate(ufunc: Any, doc: str) -> type[Predicate]:
    name = "".join(word.title() for word in ufunc.__name__.split("_"))
    return type(name, (Predicate,), {"ufunc": ufunc, "__doc__": doc, "__module__": __name__})


Equal, NotEqual = _predicate(np.equal, "Whether ``a = b``."), _predicate(np.not_equal, "Whether a differs from b.")
Less, LessEqual = _predicate(np.less, "Whether ``a < b``."), _predicate(np.less_equal, "Whether ``a <= b``.")
Greater = _predicate(np.greater, "Whether ``a > b``.")
GreaterEqual = _predicate(np.greater_equal, "Whether ``a >= b``.")
IsFinite = _predicate(np.isfinite, "Whether x is neither infinite nor NaN.")
IsNan, IsInf = _predicate(np.isnan, "Whether x is NaN."), _predicate(np.isinf, "Whether x is infinite.")
And, Or = _predicate(np.logical_and, "Whether both hold."), _predicate(np.logical_or, "Whether one holds, or both.")
Xor, Not = _predicate(np.logical_xor, "Whether one holds, not both."), _predicate(np.logical_not, "Whether x is false.")

maximum, minimum, sign = of_numbers(Maximum), of_numbers(Minimum), of_numbers(Sign)
fmax, fmin = maximum, minimum
floor, ceil = of_numbers(Floor), of_numbers(Ceil)
equal, not_equal, less, less_equal = map(of_numbers, (Equal, NotEqual, Less, LessEqual))
greater, greater_equal = of_numbers(Greater), of_numbers(GreaterEqual)
isfinite, isnan, isinf = of_numbers(IsFinite), of_numbers(IsNan), of_numbers(IsInf)
logical_and, logical_or, logical_xor, logical_not = map(of_conditions, (And, Or, Xor, Not))
_OTHERS: dict[Any, list[Any]] = {
    maximum: [np.fmax], minimum: [np.fmin], logical_and: [np.bitwise_and], logical_or: [np.bitwise_or],
    logical_xor: [np.bitwise_xor], logical_not: [np.invert],
}  # fmt: skip
for _function, _names in _OTHERS.items():
    implements(*_names)(_function)


@implements("stop_gradient")
def stop_gradient(x: Any) -> Tensor:
    """Return `x` as a constant: gradients do not pass."""
    return apply(StopGradient(), as_tensor(x))


@implements(np.round, np.rint)
def round(x: Any, decimals: int = 0) -> Tensor:  # NumPy's name
    """Return `x` rounded to so many decimals, halves to even; no gradient."""
    x = as_tensor(x)
    if x.dtype.kind != "f" and decimals >= 0:
        return x
    scale = 10.0**decimals
    return apply(Round(), x) if decimals == 0 else apply(Round(), floating(x) * scale) / scale


@implements(np.where)
def where(condition: Any, a: Any = None, b: Any = None) -> Tensor:
    """Return `a` where `condition` holds, else `b`; gradients go to the chosen one alone.

    Both are calculated. Where one of them would divide by zero, replace its input as well, not only its result:
    ``where(x > 0, log(where(x > 0, x, 1)), 0)``.
    """
    if a is None or b is None:
        raise ArgumentTypeError("np.where with a condition alone has as many results as the numbers say; give a and b.")
    return apply(Where(), cast(condition, bool), *in_one_type(a, b))


@implements(np.clip)
def clip(
    x: Any,
    a_min: Any = None,
    a_max: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    x_min: Any = None,
    x_max: Any = None,
) -> Tensor:
    """Return `x` limited to ``a_min`` and ``a_max`` (``None`` for no limit); outside, the gradient is 0.

    NumPy 2 calls the limits ``min`` and ``max``, Keras ``x_min`` and ``x_max``.
    """
    low = next((limit for limit in (a_min, min, x_min) if limit is not None), None)
    high = next((limit for limit in (a_max, max, x_max) if limit is not None), None)
    x, inside = as_tensor(x), None
    result = x
    if low is not None:
        result, inside = maximum(result, low), greater_equal(x, low)
    if high is not None:
        below = less_equal(x, high)
        result, inside = minimum(result, high), below if inside is None else logical_and(inside, below)
    return result if inside is None else where(inside, cast(x, result.dtype), stop_gradient(result))


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """Return `x` with NaN replaced by `nan`, and infinities by the largest numbers of the type or by those given."""
    x = as_tensor(x)
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    x = where(isnan(x), nan, x)
    x = where(x == np.inf, float(limits.max) if posinf is None else posinf, x)
    return where(x == -np.inf, float(limits.min) if neginf is None else neginf, x)
