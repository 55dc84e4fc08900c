"""Keras' names that are missing here: every entry of the table is true, and is what a message says."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
import re
from typing import Any

import numpy as np
import pytest

import miniDLF
from miniDLF.errors import ArgumentTypeError
from miniDLF.layers import Dense, Layer
from miniDLF.losses import MeanSquaredError
from miniDLF.metrics import Accuracy
from miniDLF.models import Input, Model, Sequential
from miniDLF.names import Hint, hint_for, table
from miniDLF.optimizers import SGD, Optimizer
from miniDLF.optimizers.schedules import ExponentialDecay

MODULES = [
    "callbacks", "constraints", "datasets", "datasets.mnist", "initializers", "layers", "losses", "metrics", "models",
    "activations", "ops", "optimizers", "optimizers.schedules", "random", "regularizers", "saving", "utils",
]  # fmt: skip
#: The classes whose attributes the table tells, each with an object.
OBJECTS = {
    "Layer": Dense(3),
    "Model": Model(start := Input((3,)), Dense(2)(start)),
    "Optimizer": SGD(),
    "Loss": MeanSquaredError(),
    "Metric": Accuracy(),
}
#: What is called in the place of a base.
CONCRETE = {
    "Layer": "Dense",
    "Loss": "Huber",
    "Optimizer": "LBFGS",
    "UpdateRule": "SGD",
    "Initializer": "Zeros",
}
#: What stands for an object in a line of code.
SPOKEN = {
    **{name.lower(): thing for name, thing in OBJECTS.items()},
    "tensor": miniDLF.Tensor([1.0]),
    "model": Sequential([Dense(2, input_shape=(3,))]),
    "np": np,
    "copy": copy,
    "miniDLF": miniDLF,
}


def modules() -> dict[str, Any]:
    return {name: importlib.import_module(f"miniDLF.{name}") for name in MODULES}


def names() -> dict[str, Any]:
    """All public names, and what stands for objects."""
    found: dict[str, Any] = {name: getattr(miniDLF, name) for name in dir(miniDLF)}
    for module in modules().values():
        found.update({name: getattr(module, name) for name in dir(module) if not name.startswith("_")})
    kinds = {name.lower(): found[name] for name in ("Schedule", "Initializer", "Regularizer", "Constraint")}
    return {**found, **kinds, **SPOKEN}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def resolved(node: ast.expr, known: dict[str, Any]) -> Any:
    """What a piece of code stands for: of a call of a class, the class."""
    if isinstance(node, ast.Name):
        return known[node.id]
    if isinstance(node, ast.Attribute):
        return getattr(resolved(node.value, known), node.attr)
    if isinstance(node, ast.Subscript):
        return resolved(node.value, known)
    assert isinstance(node, ast.Call)
    function = resolved(node.func, known)
    if not isinstance(node.func, ast.Call) and not isinstance(function, np.ufunc):
        taken = parameters(function)
        open_ended = any(one.kind is one.VAR_KEYWORD for one in taken.values())
        for keyword in node.keywords:
            assert open_ended or keyword.arg in {*taken, *getattr(function, "aliases", {})}, keyword.arg
    for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
        if isinstance(argument, ast.Call | ast.Attribute):
            resolved(argument, known)
    return function


@pytest.mark.parametrize("key", [key for key, hint in table().items() if hint.code])
def test_what_is_to_be_written_exists(key: str) -> None:
    owner = key.partition("(")[0].partition(".")[0]
    known = names()
    code = table()[key].code.replace("{name}", CONCRETE.get(owner, owner))
    module = key.partition("(")[0].rpartition(".")[0]
    if module in MODULES:  # its own names come first
        known |= {name: getattr(modules()[module], name) for name in dir(modules()[module]) if name not in SPOKEN}
    tree = ast.parse(code, mode="eval").body
    if isinstance(tree, ast.BinOp):  # arithmetic with arrays
        for part in ast.walk(tree):
            if isinstance(part, ast.Call):
                resolved(part, known)
    else:
        for choice in tree.values if isinstance(tree, ast.BoolOp) else [tree]:
            resolved(choice, known)


def test_remarks_name_what_exists() -> None:
    known = names()
    elsewhere = {"functools.partial", "Image.open", "Image.fromarray", "call", "save", "__len__", "__getitem__"}
    for key, hint in table().items():
        for path in re.findall(r"(?<![\w.])([A-Za-z_][\w.]*)\(", hint.remark):
            first, *rest = path.split(".")
            if (
                path in elsewhere
                or first in ("x",)
                or any(hasattr(one, path) for one in (Sequential, Layer, Optimizer))
            ):
                continue
            found = known[first]
            for name in rest:
                assert hasattr(found, name), f"{key}: {path}"
                found = getattr(found, name)


def test_nothing_in_the_table_exists() -> None:
    known = modules()
    for key in table():
        owner, dot, name = key.rpartition(".")
        if "(" in key:
            continue
        if owner in OBJECTS:
            assert not hasattr(OBJECTS[owner], name), f"{key} is there by now: take it out of names_of_keras.txt"
        else:
            module = known[owner] if dot else miniDLF
            assert not hasattr(module, name), f"{key} is there by now: take it out of names_of_keras.txt"


def said(hint: Hint) -> str:
    return re.escape(hint.code or hint.remark).replace(r"\{name\}", r"\w+")


@pytest.mark.parametrize("key", [key for key in table() if "(" not in key])
def test_a_missing_name_says_so(key: str) -> None:
    owner, dot, name = key.rpartition(".")
    holder = OBJECTS[owner] if owner in OBJECTS else modules()[owner] if dot else miniDLF
    with pytest.raises(AttributeError, match=said(table()[key])) as caught:
        getattr(holder, name)
    assert caught.value.name == name
    if owner not in OBJECTS:
        with pytest.raises(ImportError, match=said(table()[key])) as refused:
            exec(f"from {holder.__name__} import {name}")
        assert refused.value.name == holder.__name__


@pytest.mark.parametrize("key", [key for key in table() if "(" in key])
def test_a_missing_argument_says_so(key: str) -> None:
    called, _, argument = key.rstrip(")").partition("(")
    owner, dot, method = called.rpartition(".")
    if dot:
        holder: Any = Sequential([Dense(2, input_shape=(3,))]) if owner == "Model" else OBJECTS[owner]
        function: Any = getattr(holder, method)
    else:
        function = ExponentialDecay if called == "Schedule" else names()[CONCRETE.get(called, called)]
    assert argument not in parameters(function), f"{key} is there by now: take it out of names_of_keras.txt"
    if any(one.kind is one.VAR_KEYWORD for one in parameters(function).values()):
        pytest.skip("takes anything")
    with pytest.raises(ArgumentTypeError, match=f"has no argument '{argument}'.*{said(table()[key])}"):
        function(**{argument: None})


def test_names_that_nobody_has() -> None:
    for module in [miniDLF, *modules().values()]:
        assert not hasattr(module, "no_such_name")
        with pytest.raises(ImportError, match="cannot import name 'no_such_name'"):
            exec(f"from {module.__name__} import no_such_name")
    for thing in OBJECTS.values():
        assert not hasattr(thing, "no_such_name")
        with pytest.raises(AttributeError, match=f"'{type(thing).__name__}' object has no attribute 'no_such_name'$"):
            thing.no_such_name  # noqa: B018
        assert pickle.loads(pickle.dumps(thing)) is not None  # noqa: S301
        assert copy.deepcopy(thing) is not copy.copy(thing)


def test_subclasses_answer_as_their_bases() -> None:
    class Own(Dense):
        pass

    with pytest.raises(AttributeError, match=r"'Own' object has no attribute 'add_variable'. Use layer.add_weight\("):
        Own(3).add_variable  # noqa: B018
    with pytest.raises(ArgumentTypeError, match=r"Own has no argument 'dtype'; .* Write Sequential\(layers, dtype="):
        Own(3, dtype="float64")
    assert hint_for(Own, "no_such_name") is None


def test_a_property_that_fails_says_why_itself() -> None:
    class Own(Layer):
        @property
        def broken(self) -> Any:
            return self.missing  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        Own().broken  # noqa: B018


def test_a_model_that_is_a_class_of_ones_own_is_told_how_it_is_done_here() -> None:
    class Own(Model):
        def __init__(self) -> None:
            super().__init__()

    with pytest.raises(ArgumentTypeError, match=r"or derive a class that defines call\(self, x\)"):
        Own()


def test_what_keras_has_at_the_top_is_there() -> None:
    assert miniDLF.Sequential is Sequential
    assert miniDLF.Input is Input
    assert {"Layer", "Loss", "Model", "utils"} <= set(dir(miniDLF))


def test_a_step_asks_for_nothing_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from miniDLF.names import Explained

    x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(2, activation="softmax")], seed=0)
    model.compile("cce", "adam", metrics=["accuracy"])
    asked: list[str] = []
    real = Explained.__getattr__  # type: ignore[attr-defined]  # not for type checkers

    def noticed(self: Any, name: str) -> Any:
        asked.append(name)
        return real(self, name)

    monkeypatch.setattr(Explained, "__getattr__", noticed)
    assert not hasattr(model.layers[0], "no_such_name")
    assert asked == ["no_such_name"]
    counts = []
    for steps in (8, 40):
        asked.clear()
        model.fit(x, np.arange(32) % 2, batch_size=1, epochs=1, steps_per_epoch=min(steps, 32), verbose=0)
        counts.append(len(asked))
    assert counts[0] >= counts[1]  # more steps ask no more: a miss takes microseconds
