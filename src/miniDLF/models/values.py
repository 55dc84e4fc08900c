"""The objects that a model is made of as JSON, and back: their configurations, with the user's own classes in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from miniDLF.core.configurable import Configurable, from_config, make, registered
from miniDLF.errors import ArgumentTypeError, UnknownNameError, nearest

__all__ = ["class_name", "made", "own_classes", "stored"]

Classes = Mapping[str, Callable[..., Any]]


def own_classes(custom_objects: Any) -> Classes:
    """Check what `load` was given as ``custom_objects``."""
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, Mapping) or not all(isinstance(name, str) for name in custom_objects):
        raise ArgumentTypeError(
            "load: custom_objects is a dictionary from names to classes, such as {'Name': Name}; received "
            f"{custom_objects!r}."
        )
    for name, known in custom_objects.items():
        if not callable(known):
            raise ArgumentTypeError(f"load: custom_objects[{name!r}] is no class; received {known!r}.")
    return custom_objects


def class_name(thing: Any) -> str:
    """Return the name of an object's class: with its module if it is not miniDLF's, so that no namesake is taken."""
    kind = type(thing)
    return kind.__name__ if kind.__module__.partition(".")[0] == "miniDLF" else f"{kind.__module__}:{kind.__name__}"


def stored(value: Any, given: Any, where: str) -> Any:
    """Return a part of a configuration as a file holds it.

    Parameters
    ----------
    value
        What ``config()`` made of it.
    given
        The part itself, whose class the configuration does not tell.
    where
        What the user calls it, for the error message.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"class": "float", "value": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        row = given if isinstance(given, list | tuple) and len(given) == len(value) else [None] * len(value)
        return [stored(item, one, f"{where}[{n}]") for n, (item, one) in enumerate(zip(value, row, strict=True))]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        parts = given if isinstance(given, Mapping) else {key: getattr(given, key, None) for key in value}
        result = {key: stored(item, parts.get(key), f"{where}: {key}") for key, item in value.items()}
        return {**result, "class": class_name(given)} if isinstance(given, Configurable) else result
    raise ArgumentTypeError(
        f"{where}: {value!r} cannot be saved. A model file holds numbers, texts, None, lists, dictionaries whose keys "
        "are texts, and layers, initializers and their like; it never holds functions. "
        "Where a function is needed, derive a class that has it, and pass the class to load(path, custom_objects=...)."
    )


def made(config: Mapping[str, Any], choices: Classes, own: Classes, kind: str) -> Any:
    """Make the object that a stored configuration with its ``"class"`` describes."""
    arguments = {key: _restored(item, own) for key, item in config.items() if key != "class"}
    name = config["class"]
    if ":" in name:
        return make(_own(name, own), arguments)
    return from_config({**arguments, "class": name}, {**choices, **own}, kind)


def _restored(value: Any, own: Classes) -> Any:
    """Take `stored` back; configurations of miniDLF's own classes stay such for whoever receives them."""
    if isinstance(value, list):
        return [_restored(item, own) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: _restored(item, own) for key, item in value.items()}
    name = result.pop("class", None)
    if name == "float":
        return float(result["value"])
    if isinstance(name, str) and ":" in name:
        return make(_own(name, own), result)
    return result if name is None else {"class": name, **result}


def _own(name: str, own: Classes) -> Callable[..., Any]:
    module, _, short = name.rpartition(":")
    if short not in own:
        known = registered(module, short)
        if known is not None:
            return known
        raise UnknownNameError(
            f"unknown class {short!r}: it is not miniDLF's but comes from {module!r}. Pass your own classes: "
            f"load(path, custom_objects={{{short!r}: {short}}}).{nearest(short, own)}"
        )
    return own[short]
