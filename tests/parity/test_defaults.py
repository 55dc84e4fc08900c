"""The defaults in docs/from_keras.md next to Keras' signatures: every difference is a row, every row is true."""

from __future__ import annotations

import inspect
import os
from typing import Any

import pytest

import miniDLF
from miniDLF.models import Model
from tests.test_defaults import MODULES, rows

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

#: Ways to say the same: Keras' default, ours.
SAME: list[tuple[Any, Any]] = [((1, 1), 1), ((2, 2), 2), ("valid", 0), (None, float("inf"))]
#: Classes of Keras' that are called otherwise here.
RENAMED = {"SimpleRNN": "RNN", "MaxPooling2D": "Pooling2D"}
#: Methods of models whose defaults are compared.
METHODS = (
    "fit", "compile", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "get_layer",
    "save", "save_weights", "load_weights", "summary",
)  # fmt: skip


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def place(root: Any, path: str) -> Any:
    for name in path.split("."):
        root = getattr(root, name)
    return root


def defaults(function: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {one.name: one.default for one in parameters}


def pairs(keras: Any) -> list[tuple[str, Any, Any]]:
    """What both have: (name here, Keras', ours)."""
    found = []
    for module in MODULES:
        theirs, own = place(keras, module), place(miniDLF, module)
        for name in dir(theirs):
            here = RENAMED.get(name, name)
            if not name.startswith("_") and hasattr(own, here) and inspect.isclass(getattr(theirs, name)):
                if name == "RNN":
                    continue  # of cells; ours is SimpleRNN
                found.append((here, getattr(theirs, name), getattr(own, here)))
    found += [(f"Model.{name}", getattr(keras.Model, name), getattr(Model, name)) for name in METHODS]
    return found


def differences(keras: Any) -> set[tuple[str, str, str, str, str]]:
    found = set()
    for what, theirs, own in pairs(keras):
        here, aliases = defaults(own), getattr(own, "aliases", {})
        for argument, value in defaults(theirs).items():
            mine = argument if argument in here else aliases.get(argument, "")
            if mine not in here or here[mine] == value or (value, here[mine]) in SAME:
                continue
            if inspect.Parameter.empty in (value, here[mine]) or argument == "name":
                continue  # one of them has none, or a name is that of the class
            found.add((what, argument, repr(value), mine, repr(here[mine])))
    return found


def test_every_difference_is_a_row(keras: Any) -> None:
    missing = sorted(differences(keras) - set(rows()))
    lines = [f"| `{a}` | `{b}={c}` | `{d}={e}` |" for a, b, c, d, e in missing]
    assert not missing, "docs/from_keras.md lacks:\n" + "\n".join(lines)


def test_every_row_is_a_difference(keras: Any) -> None:
    extra = sorted(set(rows()) - differences(keras))
    assert not extra, f"docs/from_keras.md has rows that are not so: {extra}"


def test_no_optimizer_of_keras_has_a_decay(keras: Any) -> None:
    for name in ("SGD", "Adam", "Adagrad", "Adadelta", "RMSprop"):
        assert "decay" not in defaults(getattr(keras.optimizers, name))
