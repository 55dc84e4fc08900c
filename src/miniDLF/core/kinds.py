"""The kinds of arguments: what a field is annotated with is checked where an object is made, by one rule for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError

__all__ = ["check_kinds", "kinds_of"]


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_) or (isinstance(value, Integral) and value in (0, 1))


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_shape(value: Any) -> bool:
    return isinstance(value, Integral | Iterable) and not isinstance(value, bool | str)


#: What an annotation asks for, in words and as a test. Fields annotated otherwise are not checked.
KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "bool": ("True or False", _is_bool),
    "int": ("a whole number", _is_whole),
    "float": ("a number", _is_number),
    "str": ("a string that is not empty", lambda value: isinstance(value, str) and value != ""),
    "Shape": ("a shape without the batch axis, such as (784,)", _is_shape),
    "None": ("None", lambda value: value is None),
}


def kinds_of(cls: type) -> dict[str, list[str]]:
    """Return for each field of a dataclass the names of the kinds that it takes, none where it cannot be checked.

    A field that a base declares too takes what it takes there: ``lr: float`` in a rule of one's own may be a schedule.
    """
    result: dict[str, list[str]] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        for field in dataclasses.fields(base):
            annotation = field.type.__name__ if isinstance(field.type, type) else str(field.type)
            kinds = [kind.strip() for kind in annotation.split("|")]
            result.setdefault(field.name, kinds if all(kind in KINDS for kind in kinds) else [])
    return result


def check_kinds(owner: type, kinds: Mapping[str, list[str]], given: Mapping[str, Any]) -> None:
    """Refuse arguments that are of no kind that their field takes; the default of a field is always right."""
    for name, value in given.items():
        accepted = kinds.get(name, ())
        if not accepted or value is getattr(owner, name, _NONE) or any(KINDS[kind][1](value) for kind in accepted):
            continue
        expected = " or ".join(KINDS[kind][0] for kind in accepted)
        advice = ""
        if isinstance(value, str) and name == "input_shape" and hasattr(owner, "activation"):
            advice = f" An activation goes by its name: activation={value!r}."
        raise ArgumentTypeError(f"{owner.__name__}: {name} is {expected}; received {value!r}.{advice}")


_NONE = object()
