"""Layers and parts of a model that go on in another one; names of outputs; activations as arguments."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.core.call import Call
from miniDLF.errors import ArgumentError, ArgumentTypeError, MiniDLFError, NotReadyError, ShapeError
from miniDLF.layers import Activation, Add, Conv2D, Dense, Dropout, Flatten, Layer, ReLU
from miniDLF.models import Input, Model, Sequential, load

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)


class Slope(Layer):
    """``y = slope * x``, with one slope for all: an activation with a weight."""

    captures = False

    def build(self, input_shape: Any) -> Any:
        self.slope = self.parameter("slope", (1,), "ones")
        return input_shape

    def forward(self, x: Any, call: Call) -> Any:
        call.x = x
        return x * self.slope.value

    def backward(self, dy: Any, call: Call) -> Any:
        call.grad(self.slope)[...] = np.sum(dy * call.x)
        return dy * self.slope.value


def chain(name: str | None = None) -> Sequential:
    layers = [
        Dense(8, activation="tanh", input_shape=(4,)),
        Dense(6, activation=ReLU(0.1), name=name),
        Dense(3, activation="softmax"),
    ]
    model = Sequential(layers, seed=1)
    model.compile("cce", "adam")
    return model


def by_hand(model: Model) -> np.ndarray:
    """What the first two layers of `chain` give."""
    w1, b1, w2, b2, *_ = model.get_weights()
    hidden = np.tanh(X @ w1 + b1) @ w2 + b2
    return np.where(hidden > 0, hidden, 0.1 * hidden)


# Heads ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", [False, True])
def test_the_last_layer_may_be_replaced(saved: bool, tmp_path: Path) -> None:
    model = chain()
    if saved:
        model.save(tmp_path / "m.safetensors")
        model = load(tmp_path / "m.safetensors")
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dense", "Dense"]
    other = Sequential([*model.layers[:-1], Dense(5)], seed=2)
    other.compile("mse", "sgd")
    weight, bias = other.layers[-1].get_weights()
    np.testing.assert_allclose(other.predict(X), by_hand(model) @ weight + bias, rtol=1e-5, atol=1e-6)
    other.fit(X, np.zeros((12, 5)), epochs=1, verbose=0)
    assert model.layers[0].get_weights()[0] is not other.layers[0].get_weights()[0]
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])  # one layer in both
    other.save(tmp_path / "other.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "other.safetensors").predict(X), other.predict(X))


def test_an_activation_with_weights_goes_with_its_layer(tmp_path: Path) -> None:
    model = Sequential([Dense(3, activation=Slope(), input_shape=(4,)), Dense(2)], seed=0)
    model.layers[0].set_weights([np.ones((4, 3)), np.zeros(3), [0.5]])
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", custom_objects={"Slope": Slope})
    for one in (model, again, copy.deepcopy(model)):
        assert one.layers[0].count_params() == 16
        features = Sequential(one.layers[:-1])
        np.testing.assert_allclose(features.predict(X), 0.5 * np.repeat(X.sum(1, keepdims=True), 3, 1), rtol=1e-5)
    model.layers[0].trainable = False
    model.compile("mse", "sgd")
    model.train_on_batch(X, np.ones((12, 2)))
    assert model.layers[0].get_weights()[2] == [0.5]
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 3


def test_layers_of_two_models_in_one() -> None:
    first, second = chain(), chain()
    model = Sequential([*first.layers[:-1], Dense(4), *second.layers], seed=3)
    assert model.predict(X).shape == (12, 3)
    assert len(set(model.graph.names.values())) == len(model.graph.names) == 11
    start = Input((4,))
    both = Model(start, Add()([first.layers[0](start), second.layers[0](start)]), seed=4)
    wanted = sum(np.tanh(X @ one.get_weights()[0] + one.get_weights()[1]) for one in (first, second))
    np.testing.assert_allclose(both.predict(X), wanted, rtol=1e-5, atol=1e-6)


def test_names_that_the_user_gave_twice_are_still_refused() -> None:
    start = Input((4,))
    with pytest.raises(ArgumentError, match="two layers of the model are called 'dense_1'"):
        Model(start, Dense(2, name="dense_1")(Dense(3, name="dense_1")(start)))


@pytest.mark.parametrize("first", ["predict", "evaluate", "train_on_batch", "test_on_batch", "gradients", "summary"])
def test_layers_of_a_model_that_begins_with_an_input(first: str, capsys: pytest.CaptureFixture[str]) -> None:
    start = Input((4,))
    model = Model(start, Dense(2)(Dense(8, activation="tanh")(start)), seed=1)
    other = Sequential([*model.layers[:-1], Dense(5)], seed=2)
    other.compile("mse", "sgd")
    arguments = {"predict": (X,), "summary": ()}.get(first, (X, np.zeros((12, 5))))
    getattr(other, first)(*arguments)
    assert (other.input_shape, other.output_shape) == ((4,), (5,))
    weights = other.get_weights()
    expected = np.tanh(X @ weights[0] + weights[1]) @ weights[2] + weights[3]
    np.testing.assert_allclose(other.predict(X), expected, rtol=1e-4, atol=1e-6)


def test_a_model_without_layers_of_others_waits_for_its_data() -> None:
    model = Sequential([Dense(3), Dense(2)])
    with pytest.raises(NotReadyError, match="does not know its input shape yet"):
        model.get_weights()
    assert model.predict(X).shape == (12, 2)
    wider = Sequential([Flatten(), Dense(2)])
    assert wider.predict(np.ones((3, 2, 2))).shape == (3, 2)
    again = Sequential([wider.layers[0], Dense(3)])  # the data decide where no weights do
    assert again.predict(np.ones((3, 5, 2))).shape == (3, 3)


def test_parts_of_models_with_branches_are_told_how_to_be_cut() -> None:
    start = Input((4,))
    model = Model(start, Dense(2)(Add()([Dense(4)(start), start])))
    with pytest.raises(ShapeError, match=r"part of a model with branches is Model\(model.inputs, layer.output\)"):
        Sequential(model.layers[:-1]).predict(X)
    assert Model(model.inputs, model.layers[-2].output).predict(X).shape == (12, 4)
    outer = Sequential([model, Dense(3)], seed=0)
    assert outer.get_layer("model_1") is model
    with pytest.raises(ArgumentError, match="begin with the inputs of that one"):
        Model(outer.inputs, outer.layers[1].output)


@pytest.mark.parametrize("how", ["built", "loaded", "copied"])
def test_a_model_to_any_layer(how: str, tmp_path: Path) -> None:
    model: Any = chain("features")
    if how == "loaded":
        model.save(tmp_path / "m.safetensors")
        model = load(tmp_path / "m.safetensors")
    if how == "copied":
        model = copy.deepcopy(model)
    layer = model.get_layer("features")
    features = Model(model.inputs, layer.output)
    np.testing.assert_allclose(features.predict(X), by_hand(model), rtol=1e-5, atol=1e-6)
    assert (layer.output_shape, layer.output.shape, layer.input.shape) == ((6,), (6,), (8,))
    assert Model(layer.input, model.output).predict(X[:, [0] * 8]).shape == (12, 3)
    assert model.get_layer(index=-1) is model.layers[-1]


def test_pop_takes_the_last_layer_with_its_activation(tmp_path: Path) -> None:
    model = chain()
    model.fit(X, np.arange(12) % 3, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    for one in (model, load(tmp_path / "m.safetensors")):
        kept = one.get_weights()
        head = one.layers[-1]
        assert one.pop() is head
        np.testing.assert_allclose(one.predict(X), by_hand(one), rtol=1e-5, atol=1e-6)
        one.add(Dense(2, activation="softmax"))
        one.fit(X, np.arange(12) % 2, epochs=1, verbose=0)
        assert one.output_shape == (2,)
        assert len(kept) == len(one.get_weights())


def test_pop_takes_models_whole_and_ends_with_nothing() -> None:
    start = Input((4,))
    inner = Model(start, Add()([Dense(4, activation="relu")(start), start]))
    model = Sequential([Dense(4, input_shape=(4,)), inner, inner, Dropout(0.5)], seed=0)
    assert type(model.pop()) is Dropout
    assert model.pop() is inner
    assert model.pop() is inner
    assert len(model.layers) == 1
    model.pop()
    with pytest.raises(NotReadyError, match="pop: the model has no layers"):
        model.pop()
    model.add(Dense(2))
    assert model.predict(X).shape == (12, 2)
    waiting = Sequential([Dense(3), Dense(2)])
    waiting.pop()
    waiting.build((4,))
    assert waiting.output_shape == (3,)


def test_a_block_can_be_frozen() -> None:
    class Residual(Layer):
        def __post_init__(self) -> None:
            self.inside = Dense(4, activation="tanh")

        def compose(self, x: Any) -> Any:
            return Add()([x, self.inside(x)])

    block = Residual()
    model = Sequential([block, Dense(1)], seed=0)
    model.build((4,))
    block.trainable = False
    model.compile("mse", "sgd")
    before = block.get_weights()
    model.train_on_batch(X, np.ones((12, 1)))
    np.testing.assert_array_equal(block.get_weights()[0], before[0])
    assert block.count_params() == 20
    assert not block.trainable_weights
    assert [parameter.size for parameter in model.trainable_weights] == [4, 1]
    np.testing.assert_array_equal(Model(model.inputs, block.output).predict(X).shape, (12, 4))


# Names of outputs -----------------------------------------------------------------------------------------------------


def test_outputs_bear_the_names_of_layers_and_of_models_within(tmp_path: Path) -> None:
    start = Input((4,))
    inner = Sequential([Dense(2, input_shape=(4,)), Activation("softmax")], name="kind")
    outputs = [Dense(1, activation="sigmoid", name="priority")(start), inner(start), Dense(1, name="size")(start)]
    model = Model(start, outputs, seed=0)
    model.compile({"priority": "bce", "kind": "cce", "size": "mse"}, "adam", metrics={"kind": ["accuracy"]})
    targets = {"priority": np.ones((12, 1)), "kind": np.arange(12) % 2, "size": X[:, :1]}
    logs = model.fit(X, targets, epochs=1, verbose=0).history
    assert {"priority_loss", "kind_loss", "size_loss", "kind_accuracy"} <= set(logs)
    model.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").output_names == model.output_names == ["priority", "kind", "size"]


def test_the_output_of_a_waiting_chain_has_its_last_layers_name() -> None:
    model = Sequential([Dense(3), Dense(1, name="size")])
    model.compile({"size": "mse"}, "sgd", metrics={"size": ["mae"]})
    assert set(model.fit(X, {"size": X[:, :1]}, verbose=0).history) == {"loss", "mae"}
    with pytest.raises(ArgumentError, match="no output is called"):
        Sequential([Dense(3, name="size"), Dense(1)]).compile({"size": "mse"})


def test_two_outputs_of_one_layer_have_two_names() -> None:
    first, second, dense = Input((4,)), Input((4,)), Dense(1, name="size")
    assert Model([first, second], [dense(first), dense(second)]).output_names == ["size", "size_1"]


# Activations as arguments ---------------------------------------------------------------------------------------------


def softsign_slope(x: Any) -> Any:
    return 1 / (1 + np.abs(x)) ** 2


FUNCTIONS = {
    "a ufunc with a derivative": Activation(np.arcsinh, derivative=lambda x: 1 / np.sqrt(x * x + 1)),
    "a function with a derivative": Activation(lambda x: x / (1 + np.abs(x)), derivative=softsign_slope),
    "a line": Activation(lambda x: 3 * x, derivative=lambda x: 3.0),
    **{f.__name__: f for f in (np.abs, np.arctan, np.cos, np.exp, np.sin, np.square, np.tanh)},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_as_activations(name: str) -> None:
    given: Any = FUNCTIONS[name]
    function = given.activation if isinstance(given, Activation) else given
    model = Sequential([Dense(6, activation=given, input_shape=(4,)), Dense(1)], seed=0, dtype="float64", shards=2)
    model.compile("mse", "sgd")
    for _ in range(8):  # also where steps are noted
        model.train_on_batch(X, X[:, :1])
    weights = model.get_weights()
    expected = function(X @ weights[0] + weights[1]) @ weights[2] + weights[3]
    np.testing.assert_allclose(model.predict(X.astype(np.float64)), expected, rtol=1e-9)
    assert model.check_gradients(X, X[:, :1]).ok


def test_functions_work_behind_convolutions_in_the_models_type() -> None:
    layers = [Conv2D(2, 3, activation=Activation(np.arcsinh, derivative=np.cos), input_shape=(1, 5, 5)), Flatten()]
    model = Sequential([*layers, Dense(1)], seed=0)
    assert model.predict(np.ones((2, 1, 5, 5))).dtype == np.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda x: np.spacing(x), r"np.spacing has no rule for tensors.*Activation\(f, derivative=df\)"),
        (np.spacing, r"np.spacing has no rule for tensors.*Activation\(np.spacing, derivative=df\)"),
        (lambda x: x.sum(axis=-1), r"gives the shape \(\) for \(3,\); an activation keeps it"),
        (3, "expected a name such as 'relu' or a layer"),
    ],
)
def test_a_function_alone_is_told_what_to_write(given: Any, message: str) -> None:
    with pytest.raises(MiniDLFError, match=message):
        Sequential([Dense(3, activation=given, name="d", input_shape=(4,))])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.spacing, {"derivative": 3}), "derivative is a function"),
        (("relu", {"derivative": np.sign}), "'relu' has its derivative"),
        ((ReLU(),), "A layer stands by itself"),
        ((3,), "a name such as 'relu', or a function"),
    ],
)
def test_what_activation_takes(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArgumentError if arguments[0] == "relu" else ArgumentTypeError, match=message):
        Activation(arguments[0], **(arguments[1] if arguments[1:] else {}))


def test_a_function_that_changes_the_shape_is_named() -> None:
    model = Sequential(
        [Dense(3, activation=Activation(lambda x: x.sum(-1), derivative=np.ones_like), input_shape=(4,))]
    )
    with pytest.raises(ShapeError, match=r"received an array of shape \(12, 3\) and returned one of shape \(12,\)"):
        model.predict(X)


def test_a_model_with_a_function_says_that_it_cannot_be_saved(tmp_path: Path) -> None:
    model = Sequential([Dense(3, activation=np.sin, input_shape=(4,))])
    with pytest.raises(ArgumentTypeError, match="sin.* cannot be saved"):
        model.save(tmp_path / "m.safetensors")
