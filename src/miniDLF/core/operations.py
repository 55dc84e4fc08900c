"""Arithmetic on the nodes of a graph: ``h[:, -1] + 2 * g`` stands for a layer that does it to tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from miniDLF.core.graph import Node, operate_with
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError
from miniDLF.tensor.rules import rule_for

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
    """

    function: str
    arguments: Any = ()
    keywords: Any = None

    def __post_init__(self) -> None:
        self._called = _function(self.function)
        held = str([self.arguments, self.keywords])
        self.takes_many = "'input': 1" in held

    def call(self, x: Any) -> Any:
        """Return the result for one input, or for a list of them."""
        inputs = x if isinstance(x, list) else [x]
        arguments = [_decoded(one, inputs) for one in self.arguments]
        keywords = {name: _decoded(one, inputs) for name, one in (self.keywords or {}).items()}
        return self._called(*arguments, **keywords)


def _function(name: str) -> Callable[..., Any]:
    from miniDLF import ops  # loaded with the first operation: `import miniDLF.layers` need not wait for it

    if name == "getitem":
        return rule_for("getitem")
    own, of_numpy = (None, None) if name.startswith("_") else (getattr(ops, name, None), getattr(np, name, None))
    if callable(own):
        return own
    if of_numpy is None:
        raise ArgumentError(f"Operation: there is no function {name!r} of tensors.")
    return rule_for(of_numpy)


def operate(function: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Node:
    """Return the node of a function of nodes and constants."""
    name = function if isinstance(function, str) else function.__name__
    inputs: list[Node] = []
    given = [_encoded(one, inputs) for one in arguments]
    named = {key: _encoded(one, inputs) for key, one in keywords.items()}
    node: Node = Operation(name, given, named or None)(inputs if len(inputs) > 1 else inputs[0])
    return node


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
