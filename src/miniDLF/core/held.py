"""Layers that layers and models hold in their attributes, and the parameters of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from miniDLF.core.graph import snake_case
from miniDLF.core.parameter import Parameter

__all__ = ["held_layers", "held_parameters"]


def held_layers(holder: Any) -> list[Any]:
    """Return the layers and models in the attributes of `holder`, in lists and dictionaries too, in order.

    Attributes with a leading underscore do not count. Layers without a name get one.
    """
    found: list[Any] = []
    for name, value in vars(holder).items():
        if not name.startswith("_"):
            found.extend(one for one in _layers_in(value) if not any(one is other for other in found))
    counts: dict[str, int] = {}
    for layer in found:
        base = snake_case(type(layer).__name__)
        counts[base] = counts.get(base, 0) + 1
        if not layer.name:
            layer.name = f"{base}_{counts[base]}"
    return found


def _layers_in(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _layers_in(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _layers_in(one)
    elif hasattr(type(value), "parts") or hasattr(type(value), "compose"):  # a layer or a model
        yield value


def held_parameters(holder: Any) -> list[tuple[Any, Parameter]]:
    """Return (layer, parameter) for all layers that `holder` holds; the parameters' names become paths within it."""
    found: list[tuple[Any, Parameter]] = []
    for layer in held_layers(holder):
        for path, parameter in _parameters_of(layer):
            if not any(parameter is other for _, other in found):
                if "/" not in parameter.name:
                    parameter.name = path
                found.append((layer, parameter))
    return found


def _parameters_of(layer: Any) -> Iterator[tuple[str, Parameter]]:
    inner = layer.layers if hasattr(layer, "layers") else None
    if inner is not None:  # a model
        for one in inner:
            yield from ((f"{layer.name}/{path}", parameter) for path, parameter in _parameters_of(one))
        return
    for parameter in layer.parameters:
        yield f"{layer.name}/{parameter.name}", parameter
    for part in layer.parts()[1:]:
        yield from _parameters_of(part)
