"""The states of callbacks as a checkpoint holds them, and the checks of what is found there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.errors import DataError
from miniDLF.whole import is_real, is_whole

__all__ = ["found", "packed", "real", "tables", "unpacked", "whole"]


def packed(value: Any, arrays: dict[str, Any], path: str) -> Any:
    """Return `value` for JSON: arrays go to `arrays`, floats that JSON lacks (infinity) become text.

    Raises
    ------
    TypeError
        If it holds something else than numbers, texts, ``None``, arrays of numbers, lists and dictionaries.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[path] = value
        return {"array": path}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | float | None):
                raise TypeError(f"the key {key!r}")
        return {"map": [[key, packed(item, arrays, f"{path}/{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [packed(item, arrays, f"{path}/{number}") for number, item in enumerate(value)]
    if not isinstance(value, str | int | float | None):
        raise TypeError(repr(value))
    return value


def unpacked(value: Any, arrays: Mapping[str, Any]) -> Any:
    """Take `packed` back."""
    if isinstance(value, list):
        return [unpacked(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        if "float" in value:
            return float(value["float"])
        return {key: unpacked(item, arrays) for key, item in value["map"]}
    return value


def found(state: Any, key: str, *kinds: type[Any], what: str = "") -> Any:
    """Return an entry of a saved state, or say what was expected there.

    Raises
    ------
    DataError
        If there is none, or one of another kind.
    """
    if not isinstance(state, Mapping) or key not in state:
        raise DataError(f"{key}: there is none")
    value = state[key]
    if not isinstance(value, kinds):
        names = what or " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{key}: expected {names}, received {_short(value)}")
    return value


def whole(state: Any, key: str, most: int | None = None) -> int:
    """Return a whole number of at least 0 (and at most `most`) that a saved state has to hold."""
    value = found(state, key, object)
    if not is_whole(value, 0):
        raise DataError(f"{key}: expected a whole number of at least 0, received {_short(value)}")
    if most is not None and value > most:
        raise DataError(f"{key}: expected a whole number of at most {most}, received {_short(value)}")
    return int(value)


def real(state: Any, key: str) -> float:
    """Return a number, infinity among them, that a saved state has to hold."""
    value = found(state, key, object)
    if not is_real(value):
        raise DataError(f"{key}: expected a number, received {_short(value)}")
    return float(value)


def tables(state: Any, key: str) -> dict[str, list[Any]]:
    """Return lists by name that a saved state has to hold."""
    value = found(state, key, dict, what="lists by name")
    for name, items in value.items():
        if not isinstance(name, str) or not isinstance(items, list):
            raise DataError(f"{key}: expected lists by name, received {_short(items)} for {_short(name)}")
    return {name: list(items) for name, items in value.items()}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
