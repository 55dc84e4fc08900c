"""Gradients: the chain rule over what tensors remember, from the result backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, MiniDLFError, ShapeError
from miniDLF.tensor.primitive import Elementwise, Operation
from miniDLF.tensor.rules import rule_for
from miniDLF.tensor.tensor import Tensor, as_tensor, output

__all__ = ["GradientError", "gradient", "history"]


class GradientError(MiniDLFError, ValueError):
    """A gradient that there is none of, or that would be wrong."""


def place(tensor: Tensor) -> Any:
    """Return what identifies a value: which output of which operation, or the tensor itself if nothing made it."""
    return id(tensor) if tensor.operation is None else (id(tensor.operation), tensor.index)


def history(targets: Sequence[Tensor]) -> list[Operation]:
    """Return the operations that made `targets`, each after those whose results it uses."""
    order: list[Operation] = []
    done: set[int] = set()
    stack: list[tuple[Operation, bool]] = [(t.operation, False) for t in reversed(targets) if t.operation is not None]
    while stack:
        operation, complete = stack.pop()
        if complete:
            order.append(operation)
        elif id(operation) not in done:
            done.add(id(operation))
            stack.append((operation, True))
            for tensor in reversed(operation.inputs):
                if tensor.operation is not None and id(tensor.operation) not in done:
                    stack.append((tensor.operation, False))
    return order


def gradient(target: Any, sources: Any, output_gradients: Any = None, *, unconnected: str = "none") -> Any:
    """Return the gradient of `target` with respect to each of `sources`.

    The gradients are made of the same operations as everything else, so gradients of gradients can be taken.

    Parameters
    ----------
    target : Tensor, or a sequence of them
        Where it has several elements, the gradient is that of their sum.
    sources : Tensor, or a list, tuple or dict of them
        Variables, tensors that a tape watches, results; in a recorded program any tensor.
    output_gradients : optional
        What the elements of `target` are weighted by (a tensor of its shape), instead of ones.
    unconnected : {"none", "zero"}
        What is returned for a source that `target` does not depend on.

    Returns
    -------
    A tensor of each source's shape and type, arranged as `sources` are.

    Raises
    ------
    GradientError
        If `target` remembers nothing that it depends on, or a variable was assigned since.
    """
    if unconnected not in ("none", "zero"):
        raise ArgumentError(f"unconnected is 'none' or 'zero', received {unconnected!r}.")
    several = isinstance(target, (list, tuple))
    targets = list(target) if several else [target]
    weights = list(output_gradients) if several and output_gradients is not None else [output_gradients]
    flat = [getattr(one, "__tensor__", lambda one=one: one)() for one in _flat(sources)]
    for one in [*targets, *flat]:
        if not isinstance(one, Tensor):
            raise ArgumentTypeError(
                f"gradient: expected tensors, received {type(one).__name__}. Numbers remember nothing: calculate with "
                "Tensor and Variable, and do not call numpy() or float() on the way."
            )
    if not any(t.has_history or t.is_symbolic for t in targets):
        raise GradientError(
            "gradient: the target depends on nothing that gradients follow. Gradients follow Variables (trainable) "
            "and tensors that a tape watches (tape.watch(x)), and end at numpy(), float() and stop_gradient()."
        )
    found = _backwards(targets, weights + [None] * (len(targets) - len(weights)), flat)
    if unconnected == "zero":
        zeros = rule_for(np.zeros_like)
        found = [zeros(source) if one is None else one for one, source in zip(found, flat, strict=True)]
    return _arranged(sources, found)


def _backwards(targets: Sequence[Tensor], weights: Sequence[Any], sources: Sequence[Tensor]) -> list[Tensor | None]:
    order = history(targets)
    wanted = {place(source) for source in sources}
    leading = set(wanted)  # the values through which a gradient reaches a source
    for operation in order:
        if any(place(tensor) in leading for tensor in operation.inputs):
            leading.update((id(operation), index) for index in range(operation.primitive.outputs))
    gradients: dict[Any, Tensor] = {}
    for target, weight in zip(targets, weights, strict=True):
        if place(target) in leading and target.dtype.kind == "f":
            _add(gradients, target, _seed(target, weight))
    for operation in reversed(order):
        count = operation.primitive.outputs
        given = [gradients.get((id(operation), index)) for index in range(count)]
        if all(one is None for one in given) or not any(place(tensor) in leading for tensor in operation.inputs):
            continue
        _refuse_changed(operation)
        made = [output(operation, index) for index in range(count)]
        dy, y = (given[0], made[0]) if count == 1 else (tuple(given), tuple(made))
        passed = operation.primitive.derivative(dy, y, *operation.inputs)
        for tensor, one in zip(operation.inputs, passed if isinstance(passed, tuple) else (passed,), strict=True):
            if one is None or place(tensor) not in leading or tensor.dtype.kind != "f":
                continue
            value = one if isinstance(one, Tensor) else one()
            if isinstance(operation.primitive, Elementwise) and value.shape != tensor.shape:
                value = rule_for("sum_to")(value, tensor.shape)
            _add(gradients, tensor, value)
    return [gradients.get(place(source)) for source in sources]


def _seed(target: Tensor, weight: Any) -> Tensor:
    if weight is None:
        return rule_for(np.ones_like)(target)
    given = as_tensor(weight, target.dtype)
    if given.shape != target.shape:
        raise ShapeError(f"output_gradients: the target has the shape {target.shape}, received {given.shape}.")
    return given


def _add(gradients: dict[Any, Tensor], tensor: Tensor, value: Tensor) -> None:
    if value.dtype != tensor.dtype:
        value = value.astype(tensor.dtype)
    known = gradients.get(place(tensor))
    gradients[place(tensor)] = value if known is None else known + value


def _refuse_changed(operation: Operation) -> None:
    """Refuse a derivative at values that are no longer there."""
    if operation.versions is None:
        return
    for tensor, version in zip(operation.inputs, operation.versions, strict=True):
        if getattr(tensor, "version", 0) != version:
            raise GradientError(
                f"gradient: {getattr(tensor, 'name', 'a variable')!r} was assigned after {operation.primitive.name} "
                "used it, so the gradient would mix two values. Take the gradient before you assign."
            )


def _flat(sources: Any) -> list[Any]:
    if isinstance(sources, Mapping):
        return [part for one in sources.values() for part in _flat(one)]
    if isinstance(sources, (list, tuple)):
        return [part for one in sources for part in _flat(one)]
    return [sources]


def _arranged(sources: Any, values: list[Any]) -> Any:
    rest = iter(values)

    def arrange(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {key: arrange(one) for key, one in part.items()}
        if isinstance(part, (list, tuple)):
            return [arrange(one) for one in part]
        return next(rest)

    return arrange(sources)
