"""Reductions over axes: each operation beside its derivative."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import axes_of, axis_of, cast, floating, refuse
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cumsum", "max", "mean", "min", "prod", "std",
    "sum", "var",
]  # fmt: skip


class Reduction(Primitive):
    """One number for all along `axes`, which are dropped, or kept with length 1."""

    axes: Shape
    keepdims: bool
    ufunc: ClassVar[Any] = None

    def shape(self, x):
        if self.keepdims:
            return tuple(1 if axis in self.axes else length for axis, length in enumerate(x))
        return tuple(length for axis, length in enumerate(x) if axis not in self.axes)

    def evaluate(self, x, out=None):
        return self.ufunc.reduce(x, axis=self.axes, out=out, keepdims=self.keepdims, dtype=self.dtype(x.dtype))

    def flops(self, x):
        return math.prod(x)

    def spread(self, value, x):
        """Return `value`, which has the result's shape, in the shape of `x`."""
        if not self.keepdims:
            value = np.reshape(value, tuple(1 if axis in self.axes else n for axis, n in enumerate(x.shape)))
        return np.broadcast_to(value, x.shape)


class Sum(Reduction):
    """``y = sum of x``;  ``dx = dy``, for each."""

    ufunc = np.add

    def dtype(self, x):
        return x if x.kind == "f" else np.add.reduce(np.empty(0, x)).dtype

    def derivative(self, dy, y, x):
        return self.spread(dy, x)


class Max(Reduction):
    """``y`` = the largest of x;  those that are it share dy equally."""

    ufunc = np.maximum

    def derivative(self, dy, y, x):
        chosen = cast(x == self.spread(y, x), x.dtype)
        count = np.sum(chosen, axis=self.axes, keepdims=self.keepdims)
        return chosen * self.spread(dy / count, x)


class Min(Max):
    """``y`` = the smallest of x;  those that are it share dy equally."""

    ufunc = np.minimum


class Prod(Reduction):
    """``y`` = the product of x;  ``dx`` = dy times the product of the others."""

    ufunc = np.multiply

    def dtype(self, x):
        return x if x.kind == "f" else np.multiply.reduce(np.empty(0, x)).dtype

    def derivative(self, dy, y, x):
        zeros = cast(x == 0, x.dtype)
        count = np.sum(zeros, axis=self.axes, keepdims=True)
        rest = np.prod(np.where(x == 0, 1.0, x), axis=self.axes, keepdims=True)  # without the zeros
        others = np.where(x == 0, np.where(count == 1, rest, 0.0), np.where(count == 0, rest, 0.0) / (x + zeros))
        return others * self.spread(dy, x)


class All(Reduction):
    """Whether all hold; no gradient."""

    ufunc = np.logical_and

    def dtype(self, x):
        return np.dtype(bool)


class Any_(Reduction):
    """Whether one of them holds; no gradient."""

    ufunc = np.logical_or

    def dtype(self, x):
        return np.dtype(bool)


class Argmax(Primitive):
    """The index of the first largest along `axis`; no gradient."""

    axis: int
    keepdims: bool
    function = staticmethod(np.argmax)

    def shape(self, x):
        if not x[self.axis]:
            raise ArgumentError(f"{self.name}: axis {self.axis} is empty, so it has no largest or smallest.")
        kept = (1,) if self.keepdims else ()
        return (*x[: self.axis], *kept, *x[self.axis + 1 :])

    def dtype(self, x):
        return np.dtype(np.intp)

    def evaluate(self, x, out=None):
        return self.function(x, axis=self.axis, out=out, keepdims=self.keepdims)


class Argmin(Argmax):
    """The index of the first smallest along `axis`; no gradient."""

    function = staticmethod(np.argmin)


class Cumsum(Primitive):
    """``y_i = x_1 + ... + x_i`` along `axis`, from the other end where `reverse`;  ``dx`` = the same, reversed."""

    axis: int
    reverse: bool

    def shape(self, x):
        return x

    def evaluate(self, x, out=None):
        if not self.reverse:
            return np.cumsum(x, axis=self.axis, dtype=x.dtype, out=out)
        found = np.flip(np.cumsum(np.flip(x, self.axis), axis=self.axis, dtype=x.dtype), self.axis)
        if out is None:
            return np.ascontiguousarray(found)
        np.copyto(out, found)
        return out

    def derivative(self, dy, y, x):
        return apply(Cumsum(self.axis, not self.reverse), dy)


class SumTo(Primitive):
    """Sums over what was broadcast, so that the result has the shape `target`;  ``dx = dy``, broadcast again."""

    target: Shape

    def shape(self, x):
        return self.target

    def evaluate(self, x, out=None):
        added = len(x.shape) - len(self.target)
        axes = (*range(added), *(added + i for i, n in enumerate(self.target) if n == 1 and x.shape[added + i] != 1))
        found = np.add.reduce(x, axis=axes, keepdims=True).reshape(self.target)
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def derivative(self, dy, y, x):
        return np.broadcast_to(dy, x.shape)

    def flops(self, x):
        return math.prod(x)


@implements("sum_to")
def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """Return `x` summed over the axes along which `shape` was broadcast to its shape."""
    return x if x.shape == shape else apply(SumTo(shape), x)


def _reduced(primitive: type[Reduction], name: str, x: Any, axis: Any, keepdims: Any) -> Tensor:
    x = as_tensor(x)
    axes = axes_of(name, axis, x.ndim)
    if primitive in (Max, Min) and math.prod(x.shape[axis] for axis in axes) == 0:
        raise ArgumentError(f"{name}: there is nothing along the axes {axes} of the shape {x.shape}.")
    return apply(primitive(axes, bool(keepdims) if keepdims is not np._NoValue else False), x)


@implements(np.sum)
def sum(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return the sum over `axis` (one, several, or ``None`` for all)."""
    refuse("sum", out=out, **others)
    return _reduced(Sum, "sum", x if dtype is None else cast(x, dtype), axis, keepdims)


@implements(np.mean)
def mean(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return the mean over `axis` (one, several, or ``None`` for all); of nothing it is NaN, as in NumPy."""
    refuse("mean", out=out, **others)
    x = floating(x if dtype is None else cast(x, dtype))
    count = math.prod(x.shape[i] for i in axes_of("mean", axis, x.ndim))
    return sum(x, axis, keepdims=keepdims) * (1 / count if count else math.nan)


@implements(np.var)
def var(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: Any = False, **others: Any
) -> Tensor:
    """Return the mean square distance from the mean over `axis`, with the divisor ``count - ddof``."""
    refuse("var", out=out, **others)
    x = floating(x if dtype is None else cast(x, dtype))
    count = math.prod(x.shape[i] for i in axes_of("var", axis, x.ndim))
    squares = sum(np.square(x - mean(x, axis, keepdims=True)), axis, keepdims=keepdims)
    return squares * (1 / (count - ddof) if count > ddof else math.nan)


@implements(np.std)
def std(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: Any = False, **others: Any
) -> Tensor:
    """Return the root of the variance. Its gradient is infinite where all numbers are equal: add an epsilon to var."""
    return np.sqrt(var(x, axis, dtype, out, ddof, keepdims, **others))


@implements(np.max)
def max(x: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return the largest over `axis`; NaN if there is one."""
    refuse("max", out=out, **others)
    return _reduced(Max, "max", x, axis, keepdims)


@implements(np.min)
def min(x: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return the smallest over `axis`; NaN if there is one."""
    refuse("min", out=out, **others)
    return _reduced(Min, "min", x, axis, keepdims)


amax, amin = max, min


@implements(np.prod)
def prod(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return the product over `axis`."""
    refuse("prod", out=out, **others)
    return _reduced(Prod, "prod", x if dtype is None else cast(x, dtype), axis, keepdims)


@implements(np.all)
def all(x: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return whether all over `axis` hold."""
    refuse("all", out=out, **others)
    return _reduced(All, "all", x, axis, keepdims)


@implements(np.any)
def any(x: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **others: Any) -> Tensor:
    """Return whether one over `axis` holds."""
    refuse("any", out=out, **others)
    return _reduced(Any_, "any", x, axis, keepdims)


@implements(np.count_nonzero)
def count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Return how many over `axis` are not 0."""
    return sum(cast(as_tensor(x) != 0, np.intp), axis, keepdims=keepdims)


def _found(primitive: type[Argmax], x: Any, axis: Any, keepdims: Any) -> Tensor:
    x = as_tensor(x)
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    name = primitive.__name__.lower()
    return apply(primitive(axis_of(name, axis, x.ndim), keepdims is True), x)


@implements(np.argmax)
def argmax(x: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Tensor:
    """Return the index of the first largest along `axis` (``None``: of all elements in order)."""
    refuse("argmax", out=out)
    return _found(Argmax, x, axis, keepdims)


@implements(np.argmin)
def argmin(x: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Tensor:
    """Return the index of the first smallest along `axis` (``None``: of all elements in order)."""
    refuse("argmin", out=out)
    return _found(Argmin, x, axis, keepdims)


@implements(np.cumsum)
def cumsum(x: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Tensor:
    """Return the running sums along `axis` (``None``: over all elements in order)."""
    refuse("cumsum", out=out)
    x = as_tensor(x if dtype is None else cast(x, dtype))
    if x.dtype.kind == "b":
        x = cast(x, np.intp)
    if axis is None:
        x, axis = np.reshape(x, -1), 0
    return apply(Cumsum(axis_of("cumsum", axis, x.ndim), False), x)
