"""Whole numbers that users pass: Python's and NumPy's are the same, and ``True`` is none."""

from __future__ import annotations

import numbers
from typing import Any

from miniDLF.errors import ArgumentError

__all__ = ["is_real", "is_whole", "whole_number"]


def is_whole(value: Any, least: int | None = None) -> bool:
    """Say whether `value` is a whole number (of at least `least`)."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and (least is None or int(value) >= least)


def is_real(value: Any) -> bool:
    """Say whether `value` is one real number: an ``int``, a ``float``, or NumPy's; no array."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def whole_number(value: Any, what: str, least: int) -> int:
    """Return `value` as an ``int``.

    Raises
    ------
    ArgumentError
        If it is no whole number of at least `least`; `what` is how the message calls it.
    """
    if not is_whole(value, least):
        raise ArgumentError(f"{what}: expected a whole number of at least {least}, received {value!r}.")
    return int(value)
