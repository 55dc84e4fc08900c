"""Every public name of Keras' is there, or the table of missing names says what to write instead."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import miniDLF
from miniDLF.names import hint_for, table
from tests.parity.test_defaults import place

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

APART = ("src",)
#: Modules whose functions have NumPy's arguments, too; tests/parity/test_ops.py calls each beside Keras'.
WITHOUT_ARGUMENTS = ("ops",)


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def public(thing: Any) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def modules(module: ModuleType, prefix: str = "") -> Iterator[tuple[str, ModuleType]]:
    """Keras' public modules that miniDLF has as well, by path."""
    for name in public(module):
        value = getattr(module, name)
        if isinstance(value, ModuleType) and value.__name__.startswith("keras") and prefix + name not in APART:
            path = prefix + name
            if path in table():
                continue  # the whole module is missing
            yield path, value
            yield from modules(value, path + ".")


def ours(path: str) -> Any:
    """What has this path in miniDLF, or ``None``."""
    found: Any = miniDLF
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            try:  # a module that is loaded when it is used
                found = importlib.import_module(f"miniDLF.{path}")
            except ImportError:
                return None
            return found
    return found


def taken(function: Any) -> set[str] | None:
    """The arguments of a callable; ``None`` where it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return {one.name for one in parameters} | set(getattr(function, "aliases", ()))


def named(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return []
    return [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def test_every_name_in_every_module(keras: Any) -> None:
    missing = [name for name in public(keras) if name not in APART and ours(name) is None and name not in table()]
    for path, module in modules(keras):
        assert ours(path) is not None, path
        importlib.import_module(f"miniDLF.{path}")
        names = [f"{path}.{name}" for name in public(module)]
        missing += [name for name in names if ours(name) is None and name not in table()]
    assert not missing, f"{len(missing)} names are missing in names_of_keras.txt: {missing}"


def test_every_argument_of_every_class_and_function(keras: Any) -> None:
    missing = []
    for path, module in modules(keras):
        for name in public(module) if path not in WITHOUT_ARGUMENTS else ():
            theirs, own = getattr(module, name), ours(f"{path}.{name}")
            if own is None or isinstance(theirs, ModuleType) or not callable(theirs) or (known := taken(own)) is None:
                continue
            owner = own if isinstance(own, type) else None
            for argument in named(theirs):
                key = f"({argument})" if owner else f"{own.__name__}({argument})"
                if argument not in known and hint_for(owner, key) is None:
                    missing.append(f"{path}.{name}({argument})")
    assert not missing, f"{len(missing)} arguments are missing in names_of_keras.txt: {missing}"


@pytest.mark.parametrize(
    "path",
    ["models.Model", "models.Sequential", "layers.Layer", "optimizers.Optimizer", "losses.Loss", "metrics.Metric"],
)
def test_every_attribute_and_the_arguments_of_methods(keras: Any, path: str) -> None:
    theirs, own = place(keras, path), ours(path)
    here = made(path)
    missing = []
    given = {"call"} if path == "layers.Layer" else set()  # by the classes that derive from it
    for name in set(public(theirs)) - given:
        if not has(here, name):
            missing += [name] if hint_for(own, name) is None else []
            continue
        method = getattr(theirs, name)
        mine = inspect.getattr_static(own, name, None)
        if not inspect.isroutine(method) or not callable(mine) or (known := taken(mine)) is None:
            continue
        for argument in named(method):
            if argument not in known | {"self", "state"} and hint_for(own, f"{name}({argument})") is None:
                missing.append(f"{name}({argument})")
    assert not missing, f"{path}: {len(missing)} are missing in names_of_keras.txt: {missing}"


def made(path: str) -> Any:
    """An object of the class; what only objects have (``model.dtype``) counts."""
    from miniDLF.layers import Dense
    from miniDLF.models import Input, Model, Sequential

    if path == "models.Model":
        return Model(start := Input((3,)), Dense(2)(start))
    return Sequential([Dense(2, input_shape=(3,))]) if path == "models.Sequential" else ours(path)


def has(thing: Any, name: str) -> bool:
    return name in dir(thing)


def test_the_arguments_of_an_input(keras: Any) -> None:
    known = taken(miniDLF.Input) or set()
    missing = [one for one in named(keras.Input) if one not in known and hint_for(None, f"Input({one})") is None]
    assert not missing
