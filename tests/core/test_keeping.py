"""Layers of one's own that keep a batch on themselves are named, those that keep what is always the same are not."""

from __future__ import annotations

import types
from typing import Any, ClassVar

import numpy as np
import pytest

from miniDLF.errors import ArgumentError
from miniDLF.layers import Dense, Layer
from miniDLF.models import Sequential

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(26, 3)), RNG.normal(size=(26, 1))


class Square(Layer):
    """``y = x^2``, as it should be."""

    def forward(self, x: Any, call: Any) -> Any:
        call.x = x
        return x * x

    def backward(self, dy: Any, call: Any) -> Any:
        return 2 * call.x * dy


class KeepsInput(Square):
    def forward(self, x: Any, call: Any) -> Any:
        self.x = x
        return x * x

    def backward(self, dy: Any, call: Any) -> Any:
        return 2 * self.x * dy


class KeepsOutput(KeepsInput):
    def forward(self, x: Any, call: Any) -> Any:
        self.y = y = x * x
        self.sign = np.sign(x)
        return y

    def backward(self, dy: Any, call: Any) -> Any:
        return 2 * self.sign * np.sqrt(self.y) * dy


class KeepsInDictionary(KeepsInput):
    def forward(self, x: Any, call: Any) -> Any:
        self.cache = {"x": [x.copy()]}
        return x * x

    def backward(self, dy: Any, call: Any) -> Any:
        return 2 * self.cache["x"][0] * dy


class KeepsOnObject(KeepsInput):
    def forward(self, x: Any, call: Any) -> Any:
        self.memory = types.SimpleNamespace(x=x)
        return x * x

    def backward(self, dy: Any, call: Any) -> Any:
        return 2 * self.memory.x * dy


class KeepsInPlace(KeepsInput):
    def build(self, input_shape: Any) -> Any:
        self.buffer = np.zeros((100, *input_shape))
        return input_shape

    def forward(self, x: Any, call: Any) -> Any:
        self.buffer[: len(x)] = x
        return x * x

    def backward(self, dy: Any, call: Any) -> Any:
        return (2 * self.buffer[: len(dy)] * dy).astype(dy.dtype)


class KeepsOnClass(KeepsInput):
    memory: ClassVar[dict[str, Any]] = {}

    def forward(self, x: Any, call: Any) -> Any:
        self.memory["x"] = x
        return x * x

    def backward(self, dy: Any, call: Any) -> Any:
        return 2 * self.memory["x"] * dy


class KeepsMean(Layer):
    """``y = x mean(x)`` over features, the means kept."""

    def forward(self, x: Any, call: Any) -> Any:
        call.x = x
        self.mean = x.mean(axis=1, keepdims=True)
        return x * self.mean

    def backward(self, dy: Any, call: Any) -> Any:
        return dy * self.mean + (dy * call.x).mean(axis=1, keepdims=True)


class KeepsNumber(Layer):
    """``y = x n``, n being the number of rows: it differs between parts of a batch."""

    def forward(self, x: Any, call: Any) -> Any:
        self.rows = len(x)
        return x * x.dtype.type(self.rows)

    def backward(self, dy: Any, call: Any) -> Any:
        return dy * dy.dtype.type(self.rows)


KEEPING = {
    KeepsInput: "x",
    KeepsOutput: "y",
    KeepsInDictionary: r"cache\['x'\]\[0\]",
    KeepsOnObject: "memory.x",
    KeepsInPlace: "buffer",
    KeepsOnClass: r"memory\['x'\]",
    KeepsMean: "mean",
}


class Table(Square):
    """Makes a table once, and counts."""

    table: Any = None
    calls = 0
    seen = 0.0

    def forward(self, x: Any, call: Any) -> Any:
        if self.table is None:
            self.table = np.arange(x.shape[1]) + 1.0
        self.calls += 1
        self.seen = float(x.sum())
        call.x = x
        return (x * x * self.table).astype(x.dtype)

    def backward(self, dy: Any, call: Any) -> Any:
        return (2 * call.x * dy * self.table).astype(dy.dtype)


class WritesInput(Square):
    def forward(self, x: Any, call: Any) -> Any:
        call.x = x.copy()
        x *= x
        return x.copy()


def network(layer: Layer, shards: int) -> Sequential:
    model = Sequential([Square(input_shape=(3,)), layer, Dense(1)], seed=0, shards=shards)
    model.compile("mse", "sgd")
    return model


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("kind", KEEPING)
def test_what_a_layer_keeps_of_a_batch_is_named(kind: Any, shards: int) -> None:
    message = rf"{kind.__name__} '\w+': forward keeps .* as self\.{KEEPING[kind]}\..*Put it on the call: call\.\w+ = "
    with pytest.raises(ArgumentError, match=message):
        network(kind(), shards).fit(X, Y, batch_size=13, verbose=0)
    with pytest.raises(ArgumentError, match=message):
        network(kind(), shards).check_gradients(X[:5], Y[:5])


@pytest.mark.parametrize("kind", [KeepsInput, KeepsOutput, KeepsInDictionary, KeepsOnObject])
def test_one_step_is_enough_where_it_has_the_shape_of_the_batch(kind: Any) -> None:
    with pytest.raises(ArgumentError, match="Put it on the call"):
        network(kind(), 1).train_on_batch(X, Y)


def test_numbers_that_backward_reads_are_found_by_the_check_of_gradients() -> None:
    with pytest.raises(ArgumentError, match=r"backward reads what forward keeps .*self\.rows\..*call\.rows = "):
        network(KeepsNumber(), 1).check_gradients(X[:5], Y[:5])


def test_what_lies_outside_the_layer_is_found_by_the_check_of_gradients() -> None:
    memory: list[Any] = []

    class KeepsOutside(Square):
        def forward(self, x: Any, call: Any) -> Any:
            memory[:] = [x]
            return x * x

        def backward(self, dy: Any, call: Any) -> Any:
            return 2 * memory[0] * dy

    with pytest.raises(
        ArgumentError, match=r"KeepsOutside '\w+': backward gives another gradient after .* on the call"
    ):
        network(KeepsOutside(), 1).check_gradients(X[:5], Y[:5])


@pytest.mark.parametrize("shards", [1, 2])
def test_what_is_always_the_same_may_be_kept_and_numbers_that_nobody_reads(shards: int) -> None:
    model = network(Table(), shards)
    assert model.check_gradients(X[:5], Y[:5]).ok
    model.fit(X, Y, batch_size=13, epochs=3, verbose=0, doctor=False)
    assert model.layers[1].calls > 0
    plain = network(Square(), shards)
    assert plain.check_gradients(X[:5], Y[:5]).ok
    plain.fit(X, Y, batch_size=13, epochs=3, verbose=0, doctor=False)


def test_predictions_may_be_looked_at() -> None:
    model = network(KeepsInput(), 1)
    for _ in range(3):
        model.predict(X)
    np.testing.assert_allclose(model.layers[1].x, X * X, rtol=1e-6)


def test_who_writes_to_the_input_is_named() -> None:
    for work in ("train_on_batch", "check_gradients"):
        with pytest.raises(
            ArgumentError, match=r"WritesInput 'writes_input_1': forward writes to its input.*output_like"
        ):
            getattr(network(WritesInput(), 1), work)(X[:5], Y[:5])


def test_watching_ends_after_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from miniDLF.core.keeping import Watch

    model = network(Square(), 2)
    model.train_on_batch(X, Y)
    monkeypatch.setattr(Watch, "before", None)
    model.fit(X, Y, batch_size=26, verbose=0)
