"""Which function of tensors stands for which function of NumPy: a table that the operations fill."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from miniDLF.errors import ArgumentTypeError

__all__ = ["implements", "known", "open_to_nodes", "rule_for", "ufunc_method"]

F = TypeVar("F", bound=Callable[..., Any])

_RULES: dict[Any, Callable[..., Any]] = {}

#: What ``np.add.reduce(t)`` and its like are called otherwise.
_METHODS = {
    ("add", "reduce"): np.sum,
    ("multiply", "reduce"): np.prod,
    ("maximum", "reduce"): np.max,
    ("minimum", "reduce"): np.min,
    ("logical_and", "reduce"): np.all,
    ("logical_or", "reduce"): np.any,
    ("add", "accumulate"): np.cumsum,
}


def implements(*functions: Any) -> Callable[[F], F]:
    """Let the decorated function stand for these functions of NumPy (or names of operators) on tensors."""

    def register(rule: F) -> F:
        for function in functions:
            _RULES[function] = rule
        return rule

    return register


def known() -> list[Any]:
    """Return what has a rule."""
    return list(_RULES)


def rule_for(function: Any) -> Callable[..., Any]:
    """Return what stands for a function of NumPy.

    Raises
    ------
    ArgumentTypeError
        If nothing does; the message names the nearest that has a rule.
    """
    try:
        return _RULES[function]
    except KeyError:
        import difflib  # for messages only

        name = getattr(function, "__name__", str(function))
        ours = getattr(sys.modules.get("miniDLF.ops"), name, None)
        if getattr(np, name, None) is not function and callable(ours):  # SciPy's erf, say
            raise ArgumentTypeError(f"{name} of another library has no rule for tensors. Use ops.{name}.") from None
        names = sorted({getattr(key, "__name__", str(key)) for key in _RULES})
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f" The nearest that has is np.{near[0]}." if near else ""
        raise ArgumentTypeError(
            f"np.{name} has no rule for tensors.{hint} Outside of gradients and recorded programs use it on "
            "tensor.numpy(); within, write it with functions that have one, or give it a derivative by ops.custom."
        ) from None


def ufunc_method(ufunc: Any, method: str) -> Callable[..., Any]:
    """Return what stands for a method of a ufunc, such as ``np.add.reduce``: over the first axis, as there."""
    function = _METHODS.get((ufunc.__name__, method))
    if function is None:
        raise ArgumentTypeError(f"np.{ufunc.__name__}.{method} has no rule for tensors.")
    rule = rule_for(function)

    def over_first_axis(x: Any, axis: Any = 0, **keywords: Any) -> Any:
        return rule(x, axis=axis, **{key: value for key, value in keywords.items() if value is not None})

    return over_first_axis


def open_to_nodes(function: F, name: str) -> F:
    """Return `function` for those who may call it on nodes of a graph, alone or in lists: what defers its operations.

    Such a value is asked by its ``__rule__``, as it is for NumPy's functions, under `name`. On tensors and arrays the
    function does what it does.
    """

    @functools.wraps(function)
    def of_anything(*arguments: Any, **keywords: Any) -> Any:
        node = _deferring(arguments)
        if node is None and keywords:
            node = _deferring(keywords.values())
        return function(*arguments, **keywords) if node is None else node.__rule__(name, arguments, keywords)

    return of_anything  # type: ignore[return-value]


def _deferring(values: Iterable[Any]) -> Any:
    """Return the first of `values`, or of the lists among them, whose operations are done later."""
    for value in values:
        if getattr(type(value), "defers", False):
            return value
        if isinstance(value, (list, tuple)):
            node = _deferring(value)
            if node is not None:
                return node
    return None
