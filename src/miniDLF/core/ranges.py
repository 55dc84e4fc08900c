"""Checks of numeric arguments: one wording for every optimizer, initializer, regularizer and constraint."""

from __future__ import annotations

import inspect
import math
import numbers
from typing import Any

from miniDLF.errors import ArgumentError, ArgumentTypeError

__all__ = ["number", "require", "require_count"]


def number(where: str, name: str, value: Any, interval: str, advice: str = "") -> float:
    """Return `value` as a Python float if it lies in `interval`, written as in mathematics: ``"[0, 1)"``.

    A Python float, unlike a NumPy scalar, keeps the type of the arrays that it is multiplied with.

    Raises
    ------
    ArgumentTypeError
        If `value` is not a real number.
    ArgumentError
        If it lies outside the interval, or is not a number (NaN).
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(f"{where}: {name} must be a number in {interval}; received {value!r}.{advice}")
    result = float(value)
    low, high = (float(edge) for edge in interval[1:-1].split(","))
    above = result >= low if interval[0] == "[" else result > low
    below = result <= high if interval[-1] == "]" else result < high
    if not (above and below) or math.isnan(result):
        raise ArgumentError(f"{where}: {name} must lie in {interval}; received {value!r}.{advice}")
    return result


def require(owner: Any, **intervals: str) -> None:
    """Check fields of `owner` against their intervals and turn them into Python floats; see `number`."""
    where = type(owner).__name__
    for name, interval in intervals.items():
        setattr(owner, name, number(where, name, getattr(owner, name), interval, _advice(owner, name)))


def require_count(owner: Any, *names: str, least: int = 1) -> None:
    """Check that fields of `owner` are whole numbers of at least `least`."""
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ArgumentTypeError(
                f"{type(owner).__name__}: {name} must be a whole number; received {value!r}.{_advice(owner, name)}"
            )
        if value < least:
            raise ArgumentError(
                f"{type(owner).__name__}: {name} must be at least {least}; received {value!r}.{_advice(owner, name)}"
            )
        setattr(owner, name, int(value))


def _advice(owner: Any, name: str) -> str:
    parameter = inspect.signature(type(owner).__init__).parameters.get(name)
    known = parameter is not None and isinstance(parameter.default, int | float)
    return (
        f" The default is {parameter.default!r}." if parameter is not None and known else " Choose one in that range."
    )
