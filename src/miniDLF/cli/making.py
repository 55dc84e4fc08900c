"""The objects that the sections of a configuration describe."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from miniDLF.errors import ArgumentError, MiniDLFError, nearest

__all__ = ["make"]

#: Classes that only mean something with code of one's own.
_BASES = (
    *("Callback", "DerivedLayer", "History", "LambdaCallback", "Layer"),
    *("Minimum", "Optimizer", "UpdateRule", "Wrapper"),
)
_KINDS: Mapping[str, tuple[Any, str]] = {
    "str": (str, "a text in quotes"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


def make(kind: str, config: Mapping[str, Any]) -> Any:
    """Make the optimizer, callback or layer that a section describes."""
    arguments = {key: value for key, value in config.items() if key != "class"}
    module = importlib.import_module(
        {"optimizer": "miniDLF.optimizers", "callbacks": "miniDLF.callbacks", "model.layers": "miniDLF.layers"}[kind]
    )
    if "class" not in config:
        raise ArgumentError("class is missing: every entry has one, such as class = 'Dense' or class = 'EarlyStopping'")
    name = str(config["class"])
    names = [entry for entry in module.__all__ if isinstance(getattr(module, entry), type) and entry not in _BASES]
    if name not in names:
        raise ArgumentError(f"class = {name!r}: choose from {', '.join(names)}.{nearest(name, names)}")
    made = getattr(module, name)
    _check_kinds(made, arguments)
    try:
        return made(**arguments)
    except MiniDLFError:
        raise
    except TypeError as error:
        raise ArgumentError(f"{name}: {str(error).partition('__init__() ')[2] or error}") from None


def _check_kinds(made: type, arguments: Mapping[str, Any]) -> None:
    """Refuse a text where the class says number, and the like; the parser gives any value for any key."""
    for key, parameter in inspect.signature(made).parameters.items():
        annotation, optional, _ = str(parameter.annotation).partition(" | None")
        wanted = _KINDS.get(annotation)
        if wanted is None or key not in arguments or (optional and arguments[key] is None):
            continue
        value, (kind, called) = arguments[key], wanted
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ArgumentError(f"{made.__name__}: {key} is {called}, received {value!r}")
