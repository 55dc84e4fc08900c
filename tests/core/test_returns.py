"""What a layer of one's own returns is checked once, and the message names the layer, the method and the shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF.core.returns import _is_ours
from miniDLF.errors import MiniDLFError
from miniDLF.layers import Add, Dense, DerivedLayer, Layer
from miniDLF.models import Input, Model, Sequential

X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)


class Answering(Layer):
    """Doubles its input, unless it was told what to return."""

    def __init__(self, method: str = "", answer: Any = None) -> None:  # without super().__init__()
        self.method, self.answer = method, answer

    def _or_told(self, method: str, result: Any) -> Any:
        return self.answer(result) if method == self.method else result

    def build(self, input_shape: Any) -> Any:
        return self._or_told("build", tuple(input_shape))

    def forward(self, x: np.ndarray, call: Any) -> Any:
        return self._or_told("forward", x * 2)

    def backward(self, dy: np.ndarray, call: Any) -> Any:
        return self._or_told("backward", dy * 2)


SHAPE = r"an array of shape \(32, 3\)"
MISTAKES: dict[str, tuple[str, Any, str]] = {
    "no shape": ("build", lambda shape: None, "build returned None; return the shape of the output, a tuple"),
    "no output": ("forward", lambda y: None, f"forward returned None, as it does without a return; return {SHAPE}"),
    "a list": ("forward", lambda y: y.tolist(), f"forward returned list; return {SHAPE}, what build"),
    "one feature": ("forward", lambda y: y[:, :1], r"forward returned .* \(32, 1\); expected \(32, 3\), what build"),
    "a number": ("forward", lambda y: y.sum(), "forward returned float32; return"),
    "wide numbers": ("forward", lambda y: y.astype(float), "forward .* of float64, the model computes in float32"),
    "no gradient": ("backward", lambda dx: None, f"backward returned None, .*; return {SHAPE}, the gradient of its"),
    "mean gradient": (
        "backward",
        lambda dx: dx.mean(0),
        r"backward returned .*\(3,\); expected \(32, 3\), the gradient",
    ),
    "wide gradient": ("backward", lambda dx: dx.astype(float), r"backward .* of float64.*\.astype\(dy\.dtype\)"),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("case", MISTAKES)
def test_a_wrong_return_is_named_where_it_is_made(case: str, last: bool) -> None:
    method, answer, message = MISTAKES[case]

    def run() -> None:
        parts = [Dense(3, input_shape=(4,)), Answering(method, answer), *([] if last else [Dense(3)])]
        model = Sequential(parts, seed=0, shards=1)
        model.compile("mse", "sgd")
        if method == "forward":
            model.predict(X)
        else:
            model.fit(X, X[:, :3], verbose=0)

    with pytest.raises(MiniDLFError, match=f"Answering 'answering_1'.*{message}"):
        run()


class Both(Layer):
    takes_many = True
    answer: Any = None

    def build(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])

    def forward(self, x: Any, call: Any) -> Any:
        return x[0] + x[1]

    def backward(self, dy: np.ndarray, call: Any) -> Any:
        return self.answer(dy)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda dy: dy, "backward returned ndarray; expected a tuple of 2 arrays"),
        (lambda dy: (dy,), "backward returned tuple; expected a tuple of 2 arrays"),
        (lambda dy: (dy, dy[:, :2]), r"backward returned .*\(32, 2\); expected \(32, 3\)"),
    ],
)
def test_a_layer_of_several_inputs_returns_several_gradients(answer: Any, message: str) -> None:
    start = Input((4,))
    model = Model(start, Both(answer=answer)([Dense(3)(start), Dense(3)(start)]), seed=0)
    model.compile("mse", "sgd")
    with pytest.raises(MiniDLFError, match=f"Both 'both_1': {message}"):
        model.fit(X, X[:, :3], verbose=0)


@pytest.mark.parametrize("shards", [1, 2])
def test_what_returned_the_right_thing_once_is_called_straight(shards: int) -> None:
    model = Sequential([Dense(3, input_shape=(4,)), Answering(), Dense(2)], seed=0, shards=shards)
    model.compile("mse", "sgd")
    model.fit(X, X[:, :2], verbose=0)
    layer = model.layers[1]
    for shard in model.engine().executor.active():
        assert shard._forward[1][0] == layer.forward
        assert [entry[0] for entry in shard._backward if entry[3].layer is layer] == [layer.backward]


def test_layers_of_the_package_are_not_checked() -> None:
    assert _is_ours(Dense(3).forward)
    assert _is_ours(Add().backward)
    assert not _is_ours(Answering().forward)


class Short(Dense):
    def forward(self, x: np.ndarray) -> Any:  # type: ignore[override]
        return x


class Long(Dense):
    def backward(self, dy: np.ndarray, call: Any, more: Any) -> Any:  # type: ignore[override]
        return dy


class Free(Dense):
    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            Short,
            r"'own'.*: forward\(x.*\).* cannot be called with \(x, call\)\. Write it as forward\(self, x, call\)\.",
        ),
        (Long, r"'own'.*: backward\(dy.*more.*\).* with \(dy, call\)\. Write it as backward\(self, dy, call\)\."),
    ],
)
def test_methods_that_take_something_else_are_named(layer: Any, message: str) -> None:
    model = Sequential([Dense(3), layer(2, name="own"), Dense(1)], seed=0)
    model.compile("mse", "sgd")
    with pytest.raises(MiniDLFError, match=message):
        model.fit(X, X[:, :1], verbose=0)


class Scaled(Layer):
    """``y = x w``, with a backward that was told what to do with the gradient of w."""

    def __init__(self, fill: Any = None) -> None:
        super().__init__()
        self.fill = fill

    def build(self, input_shape: Any) -> Any:
        self.weight = self.parameter("w", input_shape, "ones")
        return input_shape

    def forward(self, x: np.ndarray, call: Any) -> Any:
        call.x = x
        return x * self.weight.value

    def backward(self, dy: np.ndarray, call: Any) -> Any:
        self.fill(call.grad(self.weight), (dy * call.x).sum(0))
        return dy * self.weight.value


def _assign(gradient: Any, value: Any) -> None:
    gradient[...] = value


def _assign_half(gradient: Any, value: Any) -> None:
    gradient[:1] = value[:1]


@pytest.mark.parametrize("fill", [lambda gradient, value: None, _assign_half, np.ndarray.__iadd__])
@pytest.mark.parametrize("shards", [1, 2])
def test_a_gradient_that_is_not_filled_is_named(fill: Any, shards: int) -> None:
    model = Sequential([Dense(3, input_shape=(4,)), Scaled(fill), Dense(2)], seed=0, shards=shards)
    model.compile("mse", "sgd")
    with pytest.raises(MiniDLFError, match="Scaled 'scaled_1': backward did not fill all of the gradient of 'w'.*As"):
        model.fit(X, X[:, :2], verbose=0)


def test_a_gradient_that_is_filled_is_right_from_the_first_step_on() -> None:
    model = Sequential([Dense(3, input_shape=(4,)), Scaled(_assign), Dense(2)], seed=0)
    model.compile("mse", "sgd")
    assert model.check_gradients(X, X[:, :2]).ok
    _, found = model.gradients(X, X[:, :2])
    assert np.abs(found["scaled_1/w"]).max() < 10


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"compose": lambda self, x: None}, r"Blank.*compose returned None.*return the node of the block's output"),
        ({"compose": lambda self, x, y: x}, r"compose\(x, y\) cannot be called with \(x\)"),
        (
            {"build": lambda self: None},
            r"build\(\) cannot be called with \(input_shape\). Write it as build\(self, i",
        ),
    ],
)
def test_blocks_and_builds_that_are_wrong_are_named(methods: dict[str, Any], message: str) -> None:
    kind = type("Blank", (Layer,), {"__module__": __name__, **methods})
    with pytest.raises(MiniDLFError, match=message):
        Sequential([Dense(3, input_shape=(4,)), kind()])


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_misspelt_method_is_asked_for(method: str) -> None:
    given = {"forward": lambda self, x, call: x, "backward": lambda self, dy, call: dy}
    given[method + "s"] = given.pop(method)
    kind = type("Blank", (Layer,), {"__module__": __name__, **given})
    model = Sequential([Dense(3, input_shape=(4,)), kind()])
    model.compile("mse", "sgd")
    with pytest.raises(NotImplementedError, match=rf"Blank has no {method}\(\): define {method}.*Is it '{method}s'\?"):
        model.train_on_batch(X, X[:, :3])


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda self, np, x, parameters: None, r".*returned NoneType; return one tensor"),
        (lambda self, x, parameters: x, r"compute\(x, parameters\) cannot be called with \(np, x, parameters\)"),
    ],
)
def test_a_derived_layer_is_checked_as_well(compute: Any, message: str) -> None:
    kind = type("Derived", (DerivedLayer,), {"__module__": __name__, "compute": compute})
    with pytest.raises(MiniDLFError, match=f"Derived 'derived_1'.*{message}"):
        Sequential([Dense(3, input_shape=(4,)), kind()], seed=0)


def test_methods_that_take_anything_are_called() -> None:
    model = Sequential([Dense(3), Free(2), Dense(1)], seed=0)
    model.compile("mse", "sgd")
    assert np.isfinite(model.fit(X, X[:, :1], verbose=0).history["loss"][0])
