"""Small translations for `miniDLF.models.fitting`: of verbose, callbacks, logs and batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array
from miniDLF.training.callbacks import Callback
from miniDLF.training.reporting import ProgressBar
from miniDLF.whole import is_whole

__all__ = ["classifies", "frequency", "joined", "level_of", "listed", "needing", "scalars", "whole", "with_bar"]


def whole(where: str, least: int, **values: Any) -> None:
    """Refuse arguments that are no whole numbers of at least `least`; ``None`` stands for a default."""
    for name, value in values.items():
        if value is not None and not is_whole(value, least):
            raise ArgumentError(f"{where}: {name} is a whole number of at least {least}, received {value!r}.")


def needing(what: str, **values: Any) -> None:
    """Refuse arguments of `fit` that mean nothing, because `what` is not given."""
    for name, value in values.items():
        if value is not None:
            raise ArgumentError(f"fit: {name}={value!r} belongs to {what}, which is not given. Give both or none.")


def frequency(value: Any) -> int | list[int]:
    """Return Keras' `validation_freq`: the epochs from one validation to the next, or those that are validated."""
    several = isinstance(value, Iterable)
    numbers = list(value) if several else [value]
    if not all(is_whole(number, 1) for number in numbers):
        raise ArgumentError(
            f"fit: validation_freq is a whole number of at least 1, or a list of epochs; received {value!r}."
        )
    plain = [int(number) for number in numbers]
    return plain if several else plain[0]


def listed(callbacks: Any) -> list[Any]:
    """Return the callbacks as a list; a single one may stand alone."""
    if callbacks is None:
        return []
    return [callbacks] if isinstance(callbacks, Callback | type) else list(callbacks)


def level_of(verbose: Any, where: str) -> int:
    """Return 0, 1 or 2 for Keras' `verbose`."""
    if verbose == "auto":
        return 1
    if not (isinstance(verbose, bool) or is_whole(verbose)) or verbose not in (0, 1, 2):
        raise ArgumentError(f"{where}: verbose is 0, 1, 2 or 'auto'; received {verbose!r}.")
    return int(verbose)


def with_bar(callbacks: Any, verbose: Any, where: str, specification: bool = False) -> list[Any]:
    """Return the callbacks, with a bar as `verbose` says; it prints after everybody else has spoken."""
    given, level = listed(callbacks), level_of(verbose, where)
    if level and not any(isinstance(callback, ProgressBar) for callback in given):
        given.append(ProgressBar(None if level == 1 else False, specification=specification))
    return sorted(given, key=lambda callback: isinstance(callback, ProgressBar))


def scalars(logs: Mapping[str, Any]) -> Any:
    """Return the values of logs: a number where there is one, else a list."""
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def joined(parts: Sequence[Array]) -> Array:
    """Return arrays end to end."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def classifies(engine: Any) -> bool:
    """Say whether an accuracy means something: not for pictures that 'bce' compares pixel by pixel."""
    if len(engine.heads) != 1:
        return False
    kind = engine.heads[0].loss.classifies
    return bool(kind == "categorical" or (kind == "binary" and len(engine.graph.outputs[0].shape) == 1))
