"""The beginning of a functional model."""

from __future__ import annotations

from typing import Any

from miniDLF.core.graph import Node, as_shape
from miniDLF.errors import answering

__all__ = ["Input"]


@answering
def Input(shape: Any, name: str | None = None) -> Node:
    """Return the node of an input whose samples have `shape` (no batch axis)."""
    return Node(None, (), as_shape(shape, "Input"), name)
