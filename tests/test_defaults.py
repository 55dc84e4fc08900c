"""The table of defaults in docs/from_keras.md says what is so; whether it is complete, tests/parity asks Keras."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import miniDLF
from miniDLF.models import Model

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from_keras.md"
MODULES = (
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "callbacks",
    "initializers",
    "regularizers",
    "constraints",
    "utils",
)


def rows() -> list[tuple[str, str, str, str, str]]:
    """(what, Keras' argument, its default, our argument, its default) of every row, as they stand there."""
    section = PAGE.read_text(encoding="utf-8").partition("## Defaults that differ")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([\w.]+)` \| `(\w+)=([^`]+)` \| `(\w+)=([^`]+)` \|$", section, re.M)
    assert len(found) == len(re.findall(r"^\| `", section, re.M)), "a row of the table is of another form"
    return found


def called(what: str) -> Any:
    """The class or method that a row is about."""
    owner, dot, method = what.partition(".")
    if dot:
        return getattr({"Model": Model}[owner], method)
    for module in MODULES:
        place: Any = miniDLF
        for name in module.split("."):
            place = getattr(place, name)
        if hasattr(place, what):
            return getattr(place, what)
    raise AssertionError(f"nothing is called {what}")


def test_there_are_as_many_as_ever() -> None:
    assert len(rows()) > 20
    assert len(set(rows())) == len(rows())


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}-{row[3]}")
def test_a_default_is_what_the_table_says(row: tuple[str, str, str, str, str]) -> None:
    what, _, _, argument, stated = row
    default = inspect.signature(called(what)).parameters[argument].default
    assert default == ast.literal_eval(stated), f"docs/from_keras.md says {what}({argument}={stated})"


def test_every_rule_of_an_optimizer_has_the_decay_of_the_page() -> None:
    assert "`decay=1e-06`" in PAGE.read_text(encoding="utf-8")
    rules = [getattr(miniDLF.optimizers, name) for name in miniDLF.optimizers.__all__]
    decays = [inspect.signature(rule).parameters.get("decay") for rule in rules if isinstance(rule, type)]
    found = [decay.default for decay in decays if decay is not None]
    assert len(found) > 8
    assert set(found) == {1e-6}
