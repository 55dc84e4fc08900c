"""What Keras calls otherwise, or has and miniDLF lacks: names_of_keras.txt lists it, messages about names tell it."""

from __future__ import annotations

import dis
import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["Explained", "Hint", "hint_for", "loaded_when_used", "names_of_keras", "table"]


@dataclass(frozen=True)
class Hint:
    """What to write instead of a name.

    Attributes
    ----------
    code
        The code; empty where there is none.
    remark
        A sentence without its full stop, or empty.
    """

    code: str
    remark: str

    def said(self, before: str, who: str = "", verb: str = "Use") -> str:
        """Return `before` with the hint behind it: ``Adam has no ... Write ClipNorm(Adam(), 1.0).``"""
        return f"{before}. {verb} {self.code.replace('{name}', who)}." if self.code else f"{before}: {self.remark}."


@functools.cache
def table() -> dict[str, Hint]:
    """Return the hints by name: ``layers.Conv1D``, ``Layer.dtype``, ``Model.fit(workers)``."""
    hints: dict[str, Hint] = {}
    prefix = ""
    from pathlib import Path  # not loaded with the package: messages alone ask for the table

    for line in Path(__file__).with_name("names_of_keras.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            heading = line.strip("[]")
            prefix = "" if heading in ("attributes", "arguments", "miniDLF") else heading + "."
        elif line and not line.startswith("#"):
            names, _, said = line.partition(": ")
            hint = _hint(said)
            hints.update((prefix + name, hint) for name in names.split(", "))
    return hints


def _hint(said: str) -> Hint:
    mark, _, remark = said.partition(" ")
    if mark == "!":
        return Hint("", remark)
    if mark == "-":
        return Hint("", "it does not exist yet" + (f"; {remark}" if remark else ""))
    return Hint(said, "")


@functools.cache
def _attributes() -> frozenset[str]:
    """Return the names of all attributes in the table: whether an object has an attribute is asked in every step."""
    return frozenset(key.partition(".")[2] for key in table() if key[0].isupper() and "(" not in key)


def hint_for(owner: type | None, name: str) -> Hint | None:
    """Return what is said of a name in a class or its bases: an attribute, or an argument of a method or of the class.

    Arguments are written ``fit(workers)`` and ``(dtype)``; those of functions have no owner: ``plot_model(dpi)``.
    """
    hints = table()
    if owner is None:
        return hints.get(name)
    dot = "" if name.startswith("(") else "."
    return next((hints[key] for base in owner.__mro__ if (key := base.__name__ + dot + name) in hints), None)


def loaded_when_used(module: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``, which loads what is not needed by everybody when it is first asked for.

    Parameters
    ----------
    module
        The module's ``__name__``.
    places
        For each name that it gives, the module that defines it. Other names are those of `names_of_keras`.
    """
    missing = names_of_keras(module)

    def __getattr__(name: str) -> Any:
        if name not in places:
            return missing(name)
        value = getattr(importlib.import_module(places[name]), name)
        setattr(sys.modules[module], name, value)  # the next use finds it at once
        return value

    return __getattr__


def names_of_keras(module: str) -> Callable[[str], NoReturn]:
    """Return a module's ``__getattr__``, which says what stands there for a name of Keras'.

    A missing name is an `AttributeError`. But ``from module import name`` swallows what an `AttributeError` says, so
    there it is an `ImportError`.
    """
    prefix = module.partition(".")[2]

    def __getattr__(name: str) -> NoReturn:
        hint = None if name.startswith("_") else table().get(f"{prefix}.{name}" if prefix else name)
        if hint is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)
        said = f"{module} has no {name}" + (f"; use {hint.code}." if hint.code else f": {hint.remark}.")
        if _imports(sys._getframe(1)):
            raise ImportError(said, name=module)
        raise AttributeError(said, name=name)

    return __getattr__


def _imports(frame: FrameType) -> bool:
    """Say whether the code of a frame is just importing a name: a ``from`` import in it, or the import of a package."""
    if frame.f_code.co_name == "__getattr__" and frame.f_back is not None:  # a module's own, which passed the name on
        frame = frame.f_back
    code = frame.f_code
    return code.co_name == "_handle_fromlist" or code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]


class Explained:
    """Base of classes whose missing attributes may be Keras': then the `AttributeError` says what to write."""

    if not TYPE_CHECKING:  # a type checker knows what there is

        def __getattr__(self, name: str) -> Any:
            cls = type(self)
            said = f"{cls.__name__!r} object has no attribute {name!r}"
            if any(name in vars(base) for base in cls.__mro__):  # a property that failed says why itself
                return object.__getattribute__(self, name)
            if not name.startswith("_") and name in _attributes() and (hint := hint_for(cls, name)) is not None:
                said = hint.said(said)
            raise AttributeError(said, name=name, obj=self)
