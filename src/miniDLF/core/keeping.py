"""Finds layers of one's own that keep a batch on themselves, or write to their input.

Parts of a batch run through one layer on several threads at once. What forward leaves on the layer for backward is then
that of another part, and the gradient is wrong without an error. So the first calls of a layer are watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from miniDLF.core.own import is_own
from miniDLF.core.parameter import Parameter
from miniDLF.errors import ArgumentError
from miniDLF.kernels.workspace import Array

__all__ = ["Watch", "kept", "refuse_written"]

#: How deep attributes of attributes are followed.
DEPTH = 3

Print = tuple[Any, ...]


class Watch:
    """What one use of a layer has changed on the layer so far; all shards of a step share it.

    An array that is made once and stays the same (a mask, a table) may be kept, also if two shards make it at the same
    time. One that looks like the batch, or that is another one the next time, may not.
    """

    def __init__(self) -> None:
        self._changed: dict[str, Print] = {}

    def before(self, layer: Any) -> dict[str, Print]:
        """Return what the layer holds before a call, for `after`."""
        return {path: _print(array) for path, array in _arrays(_held(layer))}

    def after(self, layer: Any, before: Mapping[str, Print], method: str, batch: tuple[Array, ...]) -> bool:
        """Compare with what the layer holds after the call; return whether it has changed anything.

        Raises
        ------
        ArgumentError
            If it keeps what belongs to one batch: an array of the shape, or in the memory, of one of `batch`, or one
            that another call has changed to something else.
        """
        changed = False
        for path, array in _arrays(_held(layer)):
            now = _print(array)
            if before.get(path) == now:
                continue
            changed = True
            known = self._changed.setdefault(path, now)
            if known != now or any(_belongs(array, part) for part in batch):
                name = path.partition(".")[0].partition("[")[0]
                raise ArgumentError(
                    f"{layer.described}: {method} keeps what belongs to one batch on the layer itself, as self.{path}. "
                    + kept(name)
                )
        return changed


def kept(name: str) -> str:
    """Return why nothing of a batch may be kept as ``self.name``, and what to write instead."""
    return (
        "Parts of a batch run through a layer on several threads at once, and backward would find that of another "
        f"part. Put it on the call: call.{name} = ... in forward, call.{name} in backward."
    )


def refuse_written(described: str, x: Any, before: list[Array]) -> None:
    """Refuse a forward that has written to its inputs.

    Raises
    ------
    ArgumentError
        If one of them is not what it was `before`.
    """
    for part, was in zip(x if isinstance(x, tuple) else (x,), before, strict=True):
        if not np.array_equal(part, was, equal_nan=True):
            raise ArgumentError(
                f"{described}: forward writes to its input, which the layer before it and others may read again. Write "
                "to memory of the layer's own, call.empty_like('y', x), or to call.output_like(x)."
            )


def _held(layer: Any) -> dict[str, Any]:
    """Return the attributes of a layer, with those that classes of one's own hold for all their layers."""
    shared = (vars(kind) for kind in reversed(type(layer).__mro__) if is_own(kind))
    return {name: value for held in (*shared, vars(layer)) for name, value in held.items() if name[:2] != "__"}


def _arrays(attributes: Mapping[str, Any], depth: int = DEPTH) -> Iterator[tuple[str, Array]]:
    """Yield the arrays that an object holds, with the paths that lead to them: ``cache['x']``, ``parts[0]``."""
    for name, value in list(attributes.items()):
        if name not in ("_parameters", "_uses"):
            yield from _within(name, value, depth)


def _within(path: str, value: Any, depth: int) -> Iterator[tuple[str, Array]]:
    if isinstance(value, np.ndarray):
        yield path, value
    elif depth == 0 or isinstance(value, Parameter | type) or callable(value):
        return
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _within(f"{path}[{number}]", item, depth - 1)
    elif isinstance(value, dict):
        for key, item in list(value.items()):
            yield from _within(f"{path}[{key!r}]", item, depth - 1)
    elif isinstance(inner := getattr(value, "__dict__", None), dict):
        for name, item in list(inner.items()):
            yield from _within(f"{path}.{name}", item, depth - 1)


def _print(array: Array) -> Print:
    if array.dtype == object:
        return (id(array),)
    import hashlib  # loads OpenSSL, which importing the models should not

    digest = hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, digest_size=16).digest()
    return array.shape, array.dtype.str, digest


def _belongs(array: Array, part: Array) -> bool:
    """Say whether an array is a part of a batch, or made of each number of one."""
    return array.shape == part.shape or np.may_share_memory(array, part)
