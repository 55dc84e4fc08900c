"""Classes of one's own: what their methods are called with, and what tells them from the package's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from miniDLF.arrays import plain_array
from miniDLF.core.configurable import Configurable
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError, nearest
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["check_call", "check_methods", "first_value", "is_own", "misspelt", "own_parts", "shown"]

#: What a class of one's own may give under Keras' name for it.
KERAS = ("call", "update_state", "reset_state", "update_step")


def is_own(function: Any) -> bool:
    """Say whether a method, function or class was written outside the package."""
    return not _module(function).startswith("miniDLF.")


def _module(function: Any) -> str:
    return getattr(function, "__module__", None) or "miniDLF."  # methods in C, and callables without a name


def shown(result: Any) -> str:
    """Return what an error message says of a result: its type, and its shape if it is an array."""
    if result is None:
        return "None, as it does without a return"
    return f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__


def check_call(who: str, name: str, function: Any, arguments: Sequence[str], bound: bool = True) -> None:
    """Refuse a function that cannot be called with `arguments`; a method that is `bound` is written with self."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        given = ", ".join(arguments)
        written = ", ".join(["self", *arguments] if bound else arguments)
        raise ArgumentTypeError(
            f"{who}: {name}{signature} cannot be called with ({given}). Write it as {name}({written})."
        ) from None


def check_methods(thing: Any, who: str, *needed: str) -> None:
    """Refuse an object of one's own class that lacks a method, or whose methods take other arguments than the base's.

    Parameters
    ----------
    who
        What an error message calls it.
    needed
        The methods that the base leaves to its subclasses.
    """
    kind = type(thing)
    base = next(one for one in kind.__mro__ if not is_own(one))
    for name in needed:
        if getattr(kind, name) is getattr(base, name, None) and _is_left_open(getattr(base, name)):
            raise ArgumentTypeError(f"{who} has no {name}(){_advice(kind, base, name)}")
    for name, method in _methods(base):
        own = getattr(thing, name)
        if is_own(own):
            check_call(who, name, own, _positional(method))


def _is_left_open(method: Any) -> bool:
    return "NotImplementedError" in getattr(method, "__code__", _is_left_open.__code__).co_names


def _methods(base: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(base):
        method = inspect.getattr_static(base, name)
        if inspect.isfunction(method) and (not name.startswith("_") or name == "__call__"):
            yield name, method


def _positional(method: Callable[..., Any]) -> list[str]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _advice(kind: type, base: type, name: str) -> str:
    """Return how to write the method that is missing, and which one was perhaps meant to be it."""
    arguments = ", ".join(["self", *_positional(getattr(base, name))])
    others = [other for one in kind.__mro__ if is_own(one) for other in vars(one) if not other.startswith("_")]
    others = [other for other in others if not hasattr(base, other) and callable(getattr(kind, other))]
    of_keras = [other for other in others if other in KERAS]
    close = f" Keras' {of_keras[0]}() is not used." if of_keras else nearest(name, others)
    return f": define {name}({arguments}).{close.replace('Did you mean', 'Is it')}"


def misspelt(thing: Any, name: str) -> str:
    """Return a question after the method of one's own whose name is most like `name`, or an empty string."""
    known = next(one for one in type(thing).__mro__ if not is_own(one))
    others = [other for other in dir(type(thing)) if not hasattr(known, other) and not other.startswith("_")]
    hint = nearest(name, others).replace("Did you mean", "Is it")
    return f".{hint}" if hint else ""


def own_parts(thing: Configurable) -> Iterator[Any]:
    """Yield the object, if its class is one's own, and those of such classes that its fields hold, as wrappers do."""
    if is_own(type(thing)):
        yield thing
    for part in vars(thing).values():
        if isinstance(part, Configurable):
            yield from own_parts(part)


def first_value(initializer: Any, shape: Shape, rng: np.random.Generator, fans: tuple[int, int], where: str) -> Array:
    """Return the values that an initializer gives a parameter; refuse what does not fit it.

    Parameters
    ----------
    where
        The path of the parameter, ``"dense_1/weight"``.
    """
    who = f"{where}: the initializer {type(initializer).__name__}"
    if is_own(type(initializer)):
        check_methods(initializer, who, "__call__", *(["draw"] if hasattr(initializer, "draw") else []))
    result = initializer(shape, rng, fans)
    value = plain_array(result, f"{who}: what it returned")
    if result is None or value.dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{who} returned {shown(result)}; return an array of numbers of shape {shape}.")
    if value.shape != shape:
        raise ShapeError(
            f"{who} returned {shown(value)}; expected {shape}. Make it of the `shape` that it is called with."
        )
    if not np.isfinite(value).all():
        raise ArgumentError(f"{who} returned NaN or infinity. Return finite numbers: training begins with them.")
    return value
