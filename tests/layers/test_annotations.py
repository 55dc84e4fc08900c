"""Layers written in modules with and without ``from __future__ import annotations``."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from miniDLF.layers import Layer

SOURCE = """
class Scale(Layer):
    factor: float = 2.0

class Named(Scale):
    other: "Scale | None" = None
"""
LATER = """
class Tree(Layer):
    child: Leaf | None = None
    depth: int = 3

class Leaf(Layer):
    pass
"""


Define = Callable[[str], Any]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Return a function that makes a module of a source text; a dataclass looks its own module up."""

    def run(source: str) -> Any:
        module: Any = types.ModuleType("own_layers")
        module.Layer = Layer
        monkeypatch.setitem(sys.modules, "own_layers", module)
        exec(compile(source, "own_layers.py", "exec", dont_inherit=True), vars(module))
        return module

    return run


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_annotated_fields_become_arguments(define: Define, future: str) -> None:
    named = define(future + SOURCE).Named(3.0, name="a", input_shape=(4,))
    assert (named.factor, named.other, named.name, named.trainable, named.input_shape) == (3.0, None, "a", True, (4,))
    assert repr(named).startswith("Named(factor=3.0")


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_a_field_may_name_a_class_that_is_defined_further_down(define: Define, future: str) -> None:
    if not future and sys.version_info < (3, 14):
        pytest.skip("before Python 3.14 annotations are evaluated at once")
    module = define(future + LATER)
    leaf = module.Leaf()
    tree = module.Tree(leaf, depth=5)
    assert tree.child is leaf
    assert tree.depth == 5
