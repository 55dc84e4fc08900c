"""Optimizers, regularizers and constraints of one's own, tried when a model is compiled, on numbers of their own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from miniDLF.core.buffers import Buffers
from miniDLF.core.initializers import Zeros
from miniDLF.core.own import check_methods, is_own, own_parts, shown
from miniDLF.core.parameter import Parameter
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.schedules import Schedule

__all__ = ["check_rules"]

#: Steps that an optimizer is tried for: one that accumulates gradients has to have updated the weights by then.
STEPS = 64


def check_rules(optimizer: Any, slots: Sequence[Any], dtype: Any) -> None:
    """Check optimizers, regularizers and constraints of one's own, on numbers that nobody else sees."""
    own = list(own_parts(optimizer))
    for part in own:
        who = type(part).__name__
        if isinstance(part, Schedule):
            check_methods(part, who, "__call__")
            _check_rate(part(0), f"{who}: __call__")
        else:
            check_methods(part, who, "rate", "minimize" if part.full_batch else "update")
    if own and optimizer.full_batch:
        _try_minimizer(optimizer, type(own[0]).__name__, dtype)
    elif own:
        _try_optimizer(optimizer, type(own[0]).__name__, dtype)
    tried: set[int] = set()
    for slot in slots:
        for rule, run in ((slot.parameter.regularizer, _try_regularizer), (slot.parameter.constraint, _try_constraint)):
            if rule is not None and is_own(type(rule)) and id(rule) not in tried:
                tried.add(id(rule))
                run(rule, f"{slot.path}: {type(rule).__name__}", np.array(slot.parameter.value))


def _try_optimizer(optimizer: Any, who: str, dtype: Any) -> None:
    optimizer = deepcopy(optimizer)
    layers = [[(f"{name}/weight", Parameter("weight", (6, 8), Zeros()), True)] for name in "ab"]
    buffers = Buffers(layers, dtype)
    rng = np.random.default_rng(0)
    buffers.values[...], size = rng.normal(size=buffers.values.shape), buffers.values.size
    state = optimizer.init_state(size, buffers.dtype)
    _check_state(state, who, size)
    value = buffers.values.copy()
    for step in range(1, STEPS + 1):
        buffers.gradients[...] = rng.normal(size=size)
        ready = optimizer.before(buffers, state, step)
        if not isinstance(ready, bool | np.bool_):
            raise ArgumentTypeError(
                f"{who}: before returned {shown(ready)}; return True, or False to skip the update of this step."
            )
        if ready:
            break
    else:
        return  # it skips steps for a reason of its own
    rate = _check_rate(optimizer.rate(step - 1), f"{who}: rate") or 0.01  # a schedule may begin at 0

    def update(part: slice) -> Any:
        local = {name: array if name.startswith("_") else array[part] for name, array in state.items()}
        kept = dict(local)
        memory: dict[tuple[str, int], Array] = {}

        def scratch(name: str, length: int) -> Array:
            return memory.setdefault((name, length), np.empty(length, buffers.dtype))

        try:
            result = optimizer.update(value[part], buffers.gradients[part].copy(), local, rate, step, scratch)
        except KeyError as error:
            raise ArgumentError(
                f"{who}: update asks for {error.args[0]!r}, and state has {', '.join(map(repr, state)) or 'nothing'}. "
                f"Name all that the rule keeps: state_names = {(*state, error.args[0])}."
            ) from error
        replaced = [name for name in kept if local.get(name) is not kept[name]]
        if replaced:
            raise ArgumentError(
                f"{who}: update puts another array in the place of state[{replaced[0]!r}], so nothing is remembered. "
                f"Change it in place: state[{replaced[0]!r}][...] = ..., *= or +=."
            )
        return result

    start, kept = value.copy(), {name: array.copy() for name, array in state.items()}
    result = update(slice(0, size))
    if np.array_equal(value, start):
        returned = "" if result is None else f"returned {shown(result)} and "
        raise ArgumentError(
            f"{who}: update {returned}left `value` as it was, so nothing would be learned. Change it in place: "
            "value -= learning_rate * grad, or np.subtract(value, change, out=value)."
        )
    if not np.isfinite(value).all():
        raise ArgumentError(
            f"{who}: update makes NaN or infinity of finite values and gradients. Keep quotients and roots off zero: "
            "add a small epsilon, and look at the first step, where the state is 0."
        )
    whole = value.copy()
    if float(np.dot(buffers.gradients, whole - start)) > 0:
        warnings.warn(
            f"{who}: update goes up along the gradient, where the loss grows. Subtract: value -= learning_rate * grad.",
            stacklevel=2,
        )
    value[...] = start
    for name, array in state.items():
        array[...] = kept[name]
    for part in (slice(0, size // 2), slice(size // 2, size)):
        update(part)
    if not np.allclose(value, whole, rtol=1e-3, atol=1e-5):
        raise ArgumentError(
            f"{who}: update gives one result for the whole vector and another for its halves. It has to work element "
            "by element, since threads share the vector; what needs all of the gradient, such as a norm, belongs in "
            "before()."
        )


def _check_rate(rate: Any, what: str) -> float:
    if not isinstance(rate, int | float | np.number) or not np.isfinite(rate):
        raise ArgumentTypeError(f"{what} returned {rate!r}; return the learning rate, a finite number.")
    return float(rate)


def _try_minimizer(optimizer: Any, who: str, dtype: Any) -> None:
    """Let an optimizer over the whole data set look for the least of ``|v - 1|^2 / 2``."""
    values = np.zeros(4, dtype)
    found = deepcopy(optimizer).minimize(lambda v: (float((v - 1) @ (v - 1)) / 2, v - 1), values)
    missing = [name for name in ("values", "loss") if not hasattr(found, name)]
    if missing or np.shape(found.values) != (4,) or np.ndim(found.loss):
        raise ArgumentTypeError(
            f"{who}: minimize returned {shown(found)}; return a miniDLF.optimizers.Minimum: the vector `values` that "
            "it found, of the shape of the one it began with, and the number `loss` there."
        )


def _check_state(state: Any, who: str, size: int) -> None:
    if not isinstance(state, dict):
        raise ArgumentTypeError(
            f"{who}: init_state returned {shown(state)}; return a dictionary of arrays of {size} elements, one an "
            "element of the vector, or {}."
        )
    for name, array in state.items():
        if not isinstance(array, np.ndarray) or (not str(name).startswith("_") and array.shape != (size,)):
            raise ShapeError(
                f"{who}: init_state gives {shown(array)} for {name!r}; expected an array of shape ({size},)."
            )


def _try_regularizer(rule: Any, who: str, value: Array) -> None:
    check_methods(rule, who, "value_and_grad")
    grad = np.zeros_like(value)
    penalty = rule.value_and_grad(value, grad)
    if penalty is None or np.ndim(penalty) or np.asarray(penalty).dtype.kind not in "fiu":
        raise ArgumentTypeError(f"{who}: value_and_grad returned {shown(penalty)}; return one number, the penalty.")
    if not np.isfinite(penalty):
        raise ArgumentError(f"{who}: the penalty of the first weights is {float(penalty)}; it has to be finite.")
    if penalty and not grad.any():
        raise ArgumentError(
            f"{who}: value_and_grad returned the penalty {float(penalty):g} and added no gradient to grad, so nothing "
            "would come of it. Add it in place: grad += ..."
        )


def _try_constraint(rule: Any, who: str, value: Array) -> None:
    check_methods(rule, who, "apply")
    before = value.copy()
    result = rule.apply(value)
    if result is not None and np.array_equal(value, before) and not np.array_equal(result, before):
        raise ArgumentError(
            f"{who}: apply returned {shown(result)} and left `value` as it was. Change it in place: value[...] = ..., "
            "or np.clip(value, low, high, out=value)."
        )
    if not np.isfinite(value).all():
        raise ArgumentError(f"{who}: apply makes NaN or infinity of the first weights. Keep quotients off zero.")
