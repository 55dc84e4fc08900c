"""What summaries and drawings say of a layer: its settings in a few words."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from miniDLF.core.configurable import Configurable
from miniDLF.core.graph import Graph
from miniDLF.core.layer import Layer

__all__ = ["settings", "shape_text", "sources"]

#: Settings that are told even where they are the defaults, since a reader asks for them.
TOLD = ("activation", "kernel", "stride", "mode", "size", "pool_size", "p_dropout")
#: Those that every layer has, or that only say how training treats the weights.
UNTOLD = ("name", "trainable", "input_shape")
UNTOLD_ENDS = ("_initializer", "_regularizer", "_constraint")


def settings(layer: Layer, graph: Graph | None = None) -> str:
    """Return the settings of a layer: ``filters=32, kernel=6x6, stride=2``, or ``leaky_relu, alpha=0.1``.

    An activation that stands in `graph` as a node of its own is left to that.
    """
    words = []
    for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
        value = getattr(layer, name, None)
        if name in ("self", *UNTOLD) or name.endswith(UNTOLD_ENDS) or value is None or not hasattr(layer, name):
            continue
        if name == "activation" and graph is not None and any(node.host is layer for node in graph.nodes):
            continue
        default = parameter.default
        plain = default is not parameter.empty and _text(value) == _text(default)
        if plain and name not in TOLD:
            continue
        words.append(_text(value) if name == "activation" else f"{name}={_text(value)}")
    return ", ".join(words)


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    if isinstance(value, Configurable):
        return repr(value)
    if isinstance(value, tuple | list) and value and all(isinstance(item, int | np.integer) for item in value):
        return "x".join(map(str, value))
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return str(value)


def shape_text(shape: Iterable[int]) -> str:
    """Return the shape of a batch: ``(N, 32, 12, 12)``."""
    return f"(N{''.join(f', {length}' for length in shape)})"


def sources(graph: Graph, node: Any) -> str:
    """Return the names of the nodes that a node is fed by."""
    return ", ".join(s.name or "input" if s.layer is None else graph.names[s.layer] for s in node.inputs)
