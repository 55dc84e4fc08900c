"""What a resumed run needs of an engine besides the weights, and how it is checked before anything is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, DataError
from miniDLF.metrics.base import Mean
from miniDLF.whole import is_real

__all__ = ["constant_rate", "load_training_state", "training_state"]


def training_state(engine: Any) -> dict[str, Any]:
    """Return the optimizer's arrays, the number of steps and the running means of an `Engine`.

    The learning rate too, which callbacks may have set; a schedule is a function of the step. And the values that are
    trained, where the weights that are saved are others (see `Engine.held`).
    """
    updater = engine.updater
    updater.keep_soon()
    state: dict[str, Any] = {f"optimizer/{name}": array for name, array in updater.state.items()}
    if updater.raw is not None:
        state["values"] = updater.raw
    elif engine.held():
        state["values"] = engine.buffers.values
    state["steps"] = np.asarray(engine.steps)
    state["reference"] = np.asarray(float(updater.reference))
    state["trained"] = _trained(engine)
    rate = constant_rate(engine)
    if rate is not None:
        state["learning_rate"] = np.asarray(rate)
    for number, metric in enumerate(engine.means()):
        for name, value in metric.state().items():
            state[f"mean/{number}/{name}"] = np.asarray(value)
    return state


def load_training_state(engine: Any, state: Mapping[str, Any]) -> None:
    """Take over a state that `training_state` gave.

    Raises
    ------
    ArgumentError
        If it is of another optimizer, or of other trained parameters.
    DataError
        If it lacks something, or something has another shape or type.
    """
    optimizer, updater = engine.optimizer, engine.updater
    now = constant_rate(engine)
    later = {"reference": 0.0, "trained": _trained(engine), "learning_rate": now}  # older files lack these
    state = {**{key: np.asarray(value) for key, value in later.items() if value is not None}, **state}
    steps = _count(state, "steps")
    saved = {key.partition("/")[2]: value for key, value in state.items() if key.startswith("optimizer/")}
    saved = optimizer.completed(saved, steps)
    if set(saved) != set(updater.state):
        raise ArgumentError(
            f"the saved optimizer state has {sorted(saved)}, this optimizer ({type(optimizer).__name__}) needs "
            f"{sorted(updater.state)}. Compile with the optimizer that the run began with."
        )
    if not np.array_equal(state["trained"], _trained(engine)):
        raise ArgumentError(
            "the saved state is of a run that trained other parameters than this model does. Set `trainable` of "
            "the layers as it was there, and compile."
        )
    arrays = {f"optimizer/{name}": (saved[name], array) for name, array in updater.state.items()}
    if "values" in state:
        arrays["values"] = state["values"], engine.buffers.values
    for key, (value, like) in arrays.items():
        _check(key, value, np.shape(like))
        kind = np.asarray(value).dtype
        if kind.kind != np.asarray(like).dtype.kind:
            raise DataError(f"{key}: expected numbers of {np.asarray(like).dtype}, received an array of {kind}.")
        if np.isnan(value).any():  # infinite is what squares of very large gradients may have become
            raise DataError(f"{key} holds NaN, from which every step would make NaN of the weights.")
    for key in ("reference", *(() if now is None else ("learning_rate",))):
        _check(key, state[key], ())
        if not np.isfinite(state[key]) or state[key] < 0:
            raise DataError(f"{key}: expected a number of at least 0, received {state[key]}.")
    means = [_mean(number, metric, state) for number, metric in enumerate(engine.means())]
    raw = np.array(state["values"], engine.buffers.dtype) if "values" in state else None
    updater.load_state(saved, float(state["reference"]), raw)
    engine.steps = steps
    if now is not None and now != state["learning_rate"]:
        optimizer.learning_rate = float(state["learning_rate"])
    for metric, values in zip(engine.means(), means, strict=True):
        metric.set_state(values)


def constant_rate(engine: Any) -> float | None:
    """Return the learning rate where it is a number; an optimizer of one's own need not have any."""
    try:
        rate = engine.optimizer.learning_rate
    except NotImplementedError:
        return None
    return float(rate) if is_real(rate) else None


def _trained(engine: Any) -> np.ndarray[Any, Any]:
    return np.array([slot.trained for slot in engine.buffers.slots], np.uint8)


def _count(state: Mapping[str, Any], key: str) -> int:
    _check(key, state.get(key), ())
    count = np.asarray(state[key])
    if count.dtype.kind not in "iu" or count < 0:
        raise DataError(f"{key}: expected a whole number of at least 0, received {count}.")
    return int(count)


def _check(key: str, value: Any, shape: tuple[int, ...]) -> None:
    """Refuse a saved array of another shape, or of no numbers."""
    found = "nothing" if value is None else np.shape(value)
    if found != shape:
        raise DataError(f"{key}: expected an array of shape {shape}, received {found}.")
    if np.asarray(value).dtype.kind not in "fiub":
        raise DataError(f"{key}: expected numbers, received an array of {np.asarray(value).dtype}.")


def _mean(number: int, metric: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved sums of a metric, which have to be numbers, and of a mean a sum and a weight."""
    prefix = f"mean/{number}/"
    values = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    for name, value in values.items():
        _check(prefix + name, value, () if isinstance(metric, Mean) else np.shape(value))
        if name not in metric.sums:
            raise DataError(f"{prefix}{name}: {metric.name or type(metric).__name__} has no such sum.")
    if isinstance(metric, Mean) and values:
        for name in metric.sums:
            _check(prefix + name, values.get(name), ())
        if not np.asarray(values["weight"]) >= 0:
            raise DataError(f"{prefix}weight: expected a number of at least 0, received {values['weight']}.")
    return values
