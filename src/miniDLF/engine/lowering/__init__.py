"""Which calls of NumPy compute an operation on given arrays: a table by primitive, and a general way for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from miniDLF.engine.lowering.base import Call, Scratch, call, lowering_of
from miniDLF.engine.lowering.families import *  # noqa: F403 - fills the table
from miniDLF.kernels.workspace import Array
from miniDLF.tensor.primitive import Elementwise, Primitive

__all__ = ["Call", "Scratch", "lower", "overwrites"]


def lower(primitive: Primitive, inputs: Sequence[Array], out: Any, scratch: Scratch) -> list[Call]:
    """Return the calls that write the result for `inputs` to `out` (a tuple of arrays where there are several).

    The calls are bound to these arrays for good. `scratch` lends arrays that are free again after the last call.
    """
    found = lowering_of(type(primitive))
    if found is not None:
        calls = found(primitive, inputs, out, scratch)
        if calls is not None:
            return calls
    if isinstance(primitive, Elementwise) and primitive.ufunc is not None:
        return [call(primitive.ufunc, inputs, out)]
    return [(_evaluate, (primitive, tuple(inputs), out))]


def _evaluate(primitive: Primitive, inputs: tuple[Array, ...], out: Any) -> None:
    primitive.evaluate(*inputs, out=out)


def overwrites(primitive: Primitive) -> bool:
    """Say whether the result may be written over an input of its shape and type, which nobody needs any more."""
    if not isinstance(primitive, Elementwise):
        return type(primitive).__name__ in ("Softmax",)
    return primitive.ufunc is not None or lowering_of(type(primitive)) is not None
