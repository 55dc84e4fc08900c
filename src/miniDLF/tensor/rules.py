"""Which function of tensors stands for which function of NumPy: a table that the operations fill."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from miniDLF.errors import ArgumentTypeError

__all__ = ["implements", "known", "rule_for", "ufunc_method"]

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
        name = getattr(function, "__name__", str(function))
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
