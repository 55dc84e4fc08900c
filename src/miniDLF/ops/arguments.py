"""What the public functions make of their arguments: tensors of one type, axes that are there."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.errors import ArgumentError, ArgumentTypeError
from miniDLF.kernels.workspace import Shape
from miniDLF.tensor.primitive import Elementwise
from miniDLF.tensor.rules import implements
from miniDLF.tensor.tensor import Tensor, apply, as_tensor
from miniDLF.tensor.types import common_type, floating_type

__all__ = [
    "axes_of",
    "axis_of",
    "cast",
    "floating",
    "in_one_type",
    "of_conditions",
    "of_fractions",
    "of_numbers",
    "refuse",
]


class Cast(Elementwise):
    """The same numbers in another type; ``dx = dy`` in the type of x."""

    type: np.dtype[Any]

    def dtype(self, *types):
        return self.type

    def evaluate(self, x, out=None):
        if out is None:
            return x.astype(self.type)
        np.copyto(out, x, casting="unsafe")
        return out

    def derivative(self, dy, y, x):
        return cast(dy, x.dtype)


@implements("cast")
def cast(x: Any, dtype: DTypeLike) -> Tensor:
    """Return `x` in another type; gradients pass between floating types."""
    x, kind = as_tensor(x), np.dtype(dtype)
    return x if x.dtype == kind else apply(Cast(kind), x)


def in_one_type(*values: Any) -> tuple[Tensor, ...]:
    """Return `values` as tensors of one type: that of the tensors among them, which constants follow."""
    types = [value.dtype for value in values if isinstance(value, Tensor)]
    beside = common_type(types) if types else None
    made = [as_tensor(value, beside) for value in values]
    kind = common_type([tensor.dtype for tensor in made])
    return tuple(cast(tensor, kind) for tensor in made)


def floating(*values: Any) -> Any:
    """Return `values` as tensors of one floating type; the tensor itself where there is one value."""
    made = in_one_type(*values)
    kind = floating_type(made[0].dtype)
    cast_all = tuple(cast(tensor, kind) for tensor in made)
    return cast_all if len(cast_all) > 1 else cast_all[0]


def axis_of(name: str, axis: Any, ndim: int) -> int:
    """Return `axis` counted from the front.

    Raises
    ------
    ArgumentError
        If a tensor of `ndim` axes has no such axis.
    """
    try:
        number = index(axis)
    except TypeError:
        raise ArgumentTypeError(f"{name}: an axis is a whole number, received {axis!r}.") from None
    if not -ndim <= number < ndim:
        raise ArgumentError(f"{name}: axis {number} of a tensor with {ndim} axes; use {-ndim} to {ndim - 1}.")
    return number % ndim


def axes_of(name: str, axis: Any, ndim: int) -> Shape:
    """Return the axes that `axis` (a number, several, or ``None`` for all) means, in order."""
    if axis is None:
        return tuple(range(ndim))
    found = [axis_of(name, one, ndim) for one in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if len(set(found)) != len(found):
        raise ArgumentError(f"{name}: axis {axis!r} names an axis twice.")
    return tuple(sorted(found))


def refuse(name: str, **unsupported: Any) -> None:
    """Refuse arguments of NumPy's functions that have no meaning for tensors, unless they are left at ``None``."""
    for key, value in unsupported.items():
        if value is not None and value is not np._NoValue:
            raise ArgumentTypeError(f"np.{name}: {key}= is not supported for tensors; leave it out.")


def of_fractions(primitive: type[Elementwise]) -> Callable[..., Tensor]:
    """Return the function that applies `primitive` to fractions: whole numbers become floating ones."""

    def convert(*values: Any) -> tuple[Tensor, ...]:
        made = floating(*values)
        return made if isinstance(made, tuple) else (made,)

    return _published(primitive, convert)


def of_numbers(primitive: type[Elementwise]) -> Callable[..., Tensor]:
    """Return the function that applies `primitive` to numbers of one type, whatever it is."""
    return _published(primitive, in_one_type)


def of_conditions(primitive: type[Elementwise]) -> Callable[..., Tensor]:
    """Return the function that applies `primitive` to booleans."""

    def convert(*conditions: Any) -> tuple[Tensor, ...]:
        return tuple(cast(condition, bool) for condition in conditions)

    return _published(primitive, convert)


def _published(primitive: type[Elementwise], convert: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Tensor]:
    """Return the public function of one argument, ``x``, or of two, ``x1`` and ``x2``, as in Keras."""
    ufunc = primitive.ufunc
    function: Callable[..., Tensor]
    if ufunc is None or ufunc.nin == 1:

        def of_one(x: Any) -> Tensor:
            return apply(primitive(), *convert(x))

        function = of_one
    else:

        def of_two(x1: Any, x2: Any) -> Tensor:
            return apply(primitive(), *convert(x1, x2))

        function = of_two
    function.__name__ = function.__qualname__ = primitive.__name__.lower() if ufunc is None else ufunc.__name__
    function.__doc__ = primitive.__doc__
    return function if ufunc is None else implements(ufunc)(function)
