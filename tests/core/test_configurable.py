"""Fields as arguments: what `Configurable` makes of them is what a dataclass makes of them."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import InitVar, field
from typing import Any

import pytest

from miniDLF.core.configurable import Configurable
from miniDLF.errors import ArgumentTypeError


class Plain:
    """The same fields as a dataclass."""

    size: int
    rate: float
    names: list[str] = field(default_factory=list)
    scale: InitVar[float] = 2.0
    label: str = field(default="none", kw_only=True)
    key: str = field(kw_only=True)

    def __post_init__(self, scale: float) -> None:
        self.scaled = self.rate * scale


class Given(Configurable):
    size: int
    rate: float
    names: list[str] = field(default_factory=list)
    scale: InitVar[float] = 2.0
    label: str = field(default="none", kw_only=True)
    key: str = field(kw_only=True)

    __post_init__ = Plain.__post_init__


Standard: Any = dataclasses.dataclass(eq=False, repr=False)(Plain)


def test_fields_are_set_as_a_dataclass_sets_them() -> None:
    for arguments, keywords in (((1, 2.0), {"key": "k"}), ((1, 2.0, ["a"], 3.0), {"key": "k", "label": "l"})):
        assert vars(Given(*arguments, **keywords)) == vars(Standard(*arguments, **keywords))
    assert Given(1, 2.0, key="k").names is not Given(1, 2.0, key="k").names


def test_the_signature_is_that_of_a_dataclass() -> None:
    assert str(inspect.signature(Given)) == str(inspect.signature(Standard))
    assert inspect.get_annotations(Given.__init__) == inspect.get_annotations(Standard.__init__)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        ((), {"rate": 1.0, "key": "k"}),
        ((1, 2.0), {}),
        ((1, 2.0, [], 3.0, "l"), {"key": "k"}),
        ((1, 2.0), {"size": 3, "key": "k"}),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_the_words_of_python(arguments: Any, keywords: Any) -> None:
    with pytest.raises(TypeError) as expected:
        Standard(*arguments, **keywords)
    problem = str(expected.value).partition("__init__() ")[2]
    problem = problem.partition(" positional arguments (and")[0]  # Python counts the others here
    with pytest.raises(ArgumentTypeError) as caught:
        Given(*arguments, **keywords)
    assert problem in str(caught.value)


def test_a_field_without_default_behind_one_with_a_default_is_refused() -> None:
    with pytest.raises(TypeError, match="non-default argument 'size' follows default argument"):

        class Wrong(Configurable):
            rate: float = 1.0
            size: int


def test_a_class_without_a_text_shows_its_arguments() -> None:
    assert Given.__doc__ is not None
    assert Given.__doc__.startswith("Given(size: 'int', rate: 'float'")
