"""The exceptions of miniDLF. Every message says where, what was expected, what came, and what to do.

Each class also derives from the built-in that fits, so ``except ValueError`` keeps working for those who expect it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import ParamSpec, TypeVar

from miniDLF.names import Hint, hint_for

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "DataError",
    "DivergedError",
    "DoctorWarning",
    "FileFormatError",
    "MiniDLFError",
    "MissingExtraError",
    "NotConnectedError",
    "NotReadyError",
    "ShapeError",
    "UnknownNameError",
    "answering",
    "import_extra",
    "nearest",
    "no_argument",
]

P = ParamSpec("P")
R = TypeVar("R")


class MiniDLFError(Exception):
    """Base of every error that miniDLF raises on purpose."""


class ShapeError(MiniDLFError, ValueError):
    """Arrays or layers whose shapes do not fit together."""


class ArgumentError(MiniDLFError, ValueError):
    """An argument of the right type with a value that makes no sense."""


class ArgumentTypeError(MiniDLFError, TypeError):
    """An argument of the wrong type."""


class UnknownNameError(ArgumentError):
    """A name that stands for nothing; the message lists the choices and the nearest one."""


class DataError(MiniDLFError, ValueError):
    """Data that cannot be learned from: NaN, labels out of range, targets that do not fit the loss."""


class FileFormatError(MiniDLFError, OSError):
    """A file that is missing, truncated, altered or of another format."""


class DivergedError(MiniDLFError, ArithmeticError):
    """The loss or a gradient is no longer a finite number."""


class NotReadyError(MiniDLFError, RuntimeError):
    """A call that came too early, for example ``fit`` before ``compile``."""


class NotConnectedError(NotReadyError, AttributeError):
    """What a layer only has once a model uses it, for example ``layer.output``."""


class MissingExtraError(MiniDLFError, ImportError):
    """An optional package that is not installed."""


class DoctorWarning(UserWarning):
    """What keeps a model from learning, seen by ``compile`` or ``fit``, with the fix; ``doctor=False`` turns it off."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'relu'?"`` for the choice most like `name`, or an empty string."""
    import difflib  # for messages only

    folded = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f" Did you mean {folded[found[0]]!r}?" if found else ""


def no_argument(who: str, key: str, names: Iterable[str], hint: Hint | None = None) -> ArgumentTypeError:
    """Return the error about a keyword that `who` does not take, with a hint or else the nearest right one."""
    names = list(names)
    said, takes = f"{who} has no argument {key!r}", ", ".join(names) or "none"
    if hint is not None and not hint.code:
        return ArgumentTypeError(f"{hint.said(said)} It takes {takes}.")
    return ArgumentTypeError(
        hint.said(f"{said}; it takes {takes}", who, "Write")
        if hint
        else f"{said}; it takes {takes}.{nearest(key, names)}"
    )


def answering(function: Callable[P, R]) -> Callable[P, R]:
    """Let `function` answer a keyword that it does not take with those it takes, and the nearest of them."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return function
    names = [name for name in parameters if name not in ("self", "cls")]
    *_, owner, name = ("", *function.__qualname__.split("."))
    who = owner if name == "__init__" else name

    @functools.wraps(function)
    def answered(*values: P.args, **keywords: P.kwargs) -> R:
        for key in keywords:
            if key not in names:
                held = values[0] if owner else None
                kind = held if held is None or isinstance(held, type) else type(held)
                called = "" if name == "__init__" else name
                raise no_argument(who, key, names, hint_for(kind, f"{called}({key})"))
        return function(*values, **keywords)

    return answered


def import_extra(module: str, extra: str, purpose: str, *, package: str | None = None) -> ModuleType:
    """Import an optional package, or say in one sentence how to get it; `package` is its name where that is another.

    Raises
    ------
    MissingExtraError
        If `module` is not installed; the message names the `pip install` that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs the package {package!r}, which is not installed: pip install 'miniDLF[{extra}]'"
        ) from error
