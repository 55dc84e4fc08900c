"""Arithmetic on the nodes of a graph: ``h[:, -1] + 2 * g`` stands for a layer that does it to tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from miniDLF.core.graph import Node, operate_with
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError
from miniDLF.tensor import recording
from miniDLF.tensor.rules import rule_for
from miniDLF.tensor.tensor import Tensor, placeholder

__all__ = ["Operation"]


class Operation(Layer):
    """A function of NumPy, or of `miniDLF.ops`, of other layers' outputs: what arithmetic between them makes.

    Parameters
    ----------
    function
        Its name, ``"add"``, or ``"getitem"``.
    arguments
        What it is called with, as JSON can hold it: ``{"input": 0}`` stands for the first input.
    keywords
        The same for arguments by name.
    part
        Which of several results it gives, as those of ``split``; ``None`` where there is one.
    """

    function: str
    arguments: Any = ()
    keywords: Any = None
    part: int | None = None

    def __post_init__(self) -> None:
        self._called = _function(self.function)
        held = str([self.arguments, self.keywords])
        self.takes_many = "'input': 1" in held

    def call(self, x: Any) -> Any:
        """Return the result for one input, or for a list of them."""
        result = self.results(x)
        return result if self.part is None else result[self.part]

    def results(self, x: Any) -> Any:
        """Return what the function gives, all parts of it."""
        inputs = x if isinstance(x, list) else [x]
        arguments = [_decoded(one, inputs) for one in self.arguments]
        keywords = {name: _decoded(one, inputs) for name, one in (self.keywords or {}).items()}
        return self._called(*arguments, **keywords)


def _function(name: str) -> Callable[..., Any]:
    from miniDLF import ops  # loaded with the first operation: `import miniDLF.layers` need not wait for it

    if name in ("getitem", "cast"):
        return rule_for(name)
    if name.startswith("random.") and name[7:] in ops.random.__all__:
        function: Callable[..., Any] = getattr(ops.random, name[7:])
        return function
    own, of_numpy = (None, None) if name.startswith("_") else (getattr(ops, name, None), getattr(np, name, None))
    if callable(own):
        return own
    if of_numpy is None:
        raise ArgumentError(f"Operation: there is no function {name!r} of tensors.")
    return rule_for(of_numpy)


def operate(function: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """Return the node of a function of nodes and constants, or the nodes of its results where it has several."""
    name = function if isinstance(function, str) else function.__name__
    if name in ("shape", "ndim"):
        shape = (None, *arguments[0].shape)
        return shape if name == "shape" else len(shape)
    inputs: list[Node] = []
    given = [_encoded(one, inputs) for one in arguments]
    named = {key: _encoded(one, inputs) for key, one in keywords.items()}
    received: Any = inputs if len(inputs) > 1 else inputs[0]
    results = _tried(Operation(name, given, named or None), inputs)
    if isinstance(results, (list, tuple)):
        return type(results)(Operation(name, given, named or None, part)(received) for part in range(len(results)))
    return Operation(name, given, named or None)(received)


def _tried(operation: Operation, inputs: list[Node]) -> Any:
    """Return what the function makes of symbolic tensors; what is wrong with it the layer says when it is built."""
    tensors = [placeholder((2, *node.shape), np.float32) for node in inputs]
    with recording.recording(recording.Recording()):
        try:
            return operation.results(tensors if len(tensors) > 1 else tensors[0])
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return None


def _encoded(value: Any, inputs: list[Node]) -> Any:
    """Return an argument as JSON can hold it; nodes go to `inputs`."""
    if isinstance(value, Node):
        known = next((number for number, node in enumerate(inputs) if node is value), len(inputs))
        if known == len(inputs):
            inputs.append(value)
        return {"input": known}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(one, inputs) for one in value]}
    if isinstance(value, list):
        return [_encoded(one, inputs) for one in value]
    if isinstance(value, (np.dtype, type)):
        return np.dtype(value).name
    if isinstance(value, Tensor) and not value.is_symbolic:
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArgumentTypeError(
        f"arithmetic on a layer's output takes other outputs, numbers and arrays; received {type(value).__name__}."
    )


def _decoded(value: Any, inputs: list[Any]) -> Any:
    if isinstance(value, list):
        return [_decoded(one, inputs) for one in value]
    if not isinstance(value, Mapping):
        return value
    ((kind, held), *rest) = value.items()
    if kind == "input":
        return inputs[held]
    if kind == "slice":
        return slice(*held)
    if kind == "ellipsis":
        return Ellipsis
    if kind == "tuple":
        return tuple(_decoded(one, inputs) for one in held)
    return np.array(held, dtype=rest[0][1])


operate_with(operate)
