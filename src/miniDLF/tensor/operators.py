"""Operators, methods and NumPy's functions on tensors: each asks the table of rules what stands for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.errors import ArgumentTypeError
from miniDLF.tensor.rules import rule_for, ufunc_method

if TYPE_CHECKING:
    from miniDLF.tensor.tensor import Tensor

__all__ = ["Operators"]


def _operator(function: Any, swapped: bool = False) -> Callable[..., Any]:
    def operate(self: Any, other: Any) -> Any:
        return self.__rule__(function, (other, self) if swapped else (self, other), {})

    return operate


def _unary(function: Any) -> Callable[..., Any]:
    def operate(self: Any) -> Any:
        return self.__rule__(function, (self,), {})

    return operate


def _method(function: Any) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return self.__rule__(function, (self, *arguments), keywords)

    method.__name__ = function.__name__
    method.__doc__ = f"Return what ``np.{function.__name__}`` gives for the tensor."
    return method


class Operators:
    """Operators, methods and NumPy's functions, by the rules: for tensors and what stands for one (``__tensor__``)."""

    __slots__ = ()

    #: ``array * tensor`` asks the tensor.
    __array_priority__ = 1000
    #: Whether operations are noted and done later, by the layers of a graph: ``__rule__`` then says how.
    defers = False

    def __rule__(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Do what stands for a function of NumPy."""
        return rule_for(function)(*arguments, **keywords)

    # NumPy's protocols ----------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        if keywords.pop("out", None) is not None:
            raise ArgumentTypeError(
                f"np.{ufunc.__name__}: out= (or += on an array) does not go with tensors; use the result: a = a + t."
            )
        if method != "__call__":
            return ufunc_method(ufunc, method)(*inputs, **keywords)
        return self.__rule__(ufunc, inputs, keywords)

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        return self.__rule__(function, arguments, keywords)

    # Arithmetic: NumPy's functions, by their rules -------------------------------------------------------------------

    __add__, __radd__ = _operator(np.add), _operator(np.add, swapped=True)
    __sub__, __rsub__ = _operator(np.subtract), _operator(np.subtract, swapped=True)
    __mul__, __rmul__ = _operator(np.multiply), _operator(np.multiply, swapped=True)
    __truediv__, __rtruediv__ = _operator(np.divide), _operator(np.divide, swapped=True)
    __pow__, __rpow__ = _operator(np.power), _operator(np.power, swapped=True)
    __matmul__, __rmatmul__ = _operator(np.matmul), _operator(np.matmul, swapped=True)
    __floordiv__, __rfloordiv__ = _operator(np.floor_divide), _operator(np.floor_divide, swapped=True)
    __mod__, __rmod__ = _operator(np.remainder), _operator(np.remainder, swapped=True)
    __and__, __rand__ = _operator(np.logical_and), _operator(np.logical_and, swapped=True)
    __or__, __ror__ = _operator(np.logical_or), _operator(np.logical_or, swapped=True)
    __xor__, __rxor__ = _operator(np.logical_xor), _operator(np.logical_xor, swapped=True)
    __neg__, __abs__, __invert__ = _unary(np.negative), _unary(np.abs), _unary(np.logical_not)
    __eq__, __ne__ = _operator(np.equal), _operator(np.not_equal)
    __lt__, __le__ = _operator(np.less), _operator(np.less_equal)
    __gt__, __ge__ = _operator(np.greater), _operator(np.greater_equal)

    sum, mean, prod = _method(np.sum), _method(np.mean), _method(np.prod)
    max, min, argmax, argmin = _method(np.max), _method(np.min), _method(np.argmax), _method(np.argmin)
    var, std, cumsum = _method(np.var), _method(np.std), _method(np.cumsum)
    any, all, clip, round = _method(np.any), _method(np.all), _method(np.clip), _method(np.round)
    take, repeat, dot = _method(np.take), _method(np.repeat), _method(np.dot)
    swapaxes, squeeze, ravel = _method(np.swapaxes), _method(np.squeeze), _method(np.ravel)
    sort, argsort = _method(np.sort), _method(np.argsort)

    def __getitem__(self, key: Any) -> Tensor:
        return self.__rule__("getitem", (self, key), {})

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in the opposite order."""
        return self.__rule__(np.transpose, (self,), {})

    def transpose(self, *axes: Any) -> Tensor:
        """Return the tensor with its axes in the order `axes`, or in the opposite one."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.__rule__(np.transpose, (self, order or None), {})

    def reshape(self, *shape: Any) -> Tensor:
        """Return the same elements in the shape `shape`, in which one length may be -1."""
        return self.__rule__(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def astype(self, dtype: DTypeLike) -> Tensor:
        """Return the tensor in another type."""
        return self.__rule__("cast", (self, np.dtype(dtype).name), {})
