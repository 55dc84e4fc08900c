"""The table of lowerings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from miniDLF.kernels.workspace import Array, Shape

__all__ = ["Call", "Lowering", "Scratch", "call", "lowering_of", "lowers"]

#: A function, and what it is called with at every step.
Call = tuple[Callable[..., Any], tuple[Any, ...]]

#: ``scratch(shape, dtype)`` lends an array until the last of an operation's calls.
Scratch = Callable[[Shape, Any], Array]

#: ``lowering(primitive, inputs, out, scratch)`` returns the calls, or ``None`` where it knows no better way.
Lowering = Callable[[Any, Sequence[Array], Any, Scratch], "list[Call] | None"]

_TABLE: dict[type, Lowering] = {}


def call(ufunc: Any, inputs: Sequence[Array], out: Array) -> Call:
    """Return the call of a ufunc that writes to `out`: by position, where NumPy lets it, which is 0.1 us shorter."""
    if ufunc in (np.maximum, np.minimum):
        return partial(ufunc, out=out), tuple(inputs)
    return ufunc, (*inputs, out)


def lowers(*primitives: type) -> Callable[[Lowering], Lowering]:
    """Let the decorated function lower these primitives."""

    def register(lowering: Lowering) -> Lowering:
        for primitive in primitives:
            _TABLE[primitive] = lowering
        return lowering

    return register


def lowering_of(primitive: type) -> Lowering | None:
    """Return what lowers a primitive, if there is something for it."""
    return _TABLE.get(primitive)
