"""Layers, models and optimizers answer to Keras' names."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

from miniDLF.core.call import Call
from miniDLF.errors import ArgumentError, ArgumentTypeError, FileFormatError, NotReadyError, ShapeError
from miniDLF.layers import Activation, BatchNormalization, Dense, Dropout, Layer, ReLU
from miniDLF.losses import Huber
from miniDLF.models import Autoencoder, Input, Model, Sequential, clone_model, model_from_json
from miniDLF.optimizers import SGD, Accumulate, Adam
from miniDLF.regularizers import L2

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


def network(seed: int = 1) -> Sequential:
    layers = [Dense(5, activation="relu", input_shape=(4,), weight_regularizer=L2(0.1)), BatchNormalization()]
    model = Sequential([*layers, Dropout(0.2), Dense(2, activation="softmax", name="kind")], seed=seed)
    model.compile("cce", "adam", metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


# Weights --------------------------------------------------------------------------------------------------------------


def test_weights_of_a_layer() -> None:
    model = network()
    dense = model.layers[0]
    assert [(weight.name, weight.shape) for weight in dense.weights] == [("weight", (4, 5)), ("bias", (5,))]
    weight, bias = dense.get_weights()
    np.testing.assert_array_equal(weight, model.get_weights()[0])
    weight[...] = 7  # a copy
    assert not np.array_equal(weight, dense.get_weights()[0])
    dense.set_weights([weight, bias + 1])
    np.testing.assert_array_equal(model.get_weights()[0], weight)
    np.testing.assert_array_equal(model.get_weights()[1], bias + 1)
    assert dense.count_params() == 25
    assert [layer.count_params() for layer in model.layers] == [25, 20, 0, 12]
    assert [weight.name for weight in model.layers[1].trainable_weights] == ["gamma", "beta"]
    assert [weight.name for weight in model.layers[1].non_trainable_weights] == ["running_mean", "running_var"]


def test_a_layer_draws_its_weights_with_its_model() -> None:
    dense = Dense(3, input_shape=(4,))
    with pytest.raises(NotReadyError, match="Dense has no weights yet: it does not know the shape of its input"):
        dense.get_weights()
    with pytest.raises(NotReadyError, match="no weights yet"):
        dense.count_params()
    dense(Input((4,)))
    assert dense.count_params() == 15
    with pytest.raises(NotReadyError, match="drawn by the seed of a model"):
        dense.get_weights()
    model = Sequential([dense, Dense(2)], seed=5)
    values = dense.get_weights()
    np.testing.assert_array_equal(values[0], model.get_weights()[0])
    np.testing.assert_array_equal(values[0], Sequential([Dense(3, input_shape=(4,))], seed=5).get_weights()[0])
    assert Dropout(0.5).get_weights.__self__.weights == []


def test_weights_that_do_not_fit_a_layer_are_named() -> None:
    dense = network().layers[0]
    before = dense.get_weights()
    for values, kind, message in [
        ([before[0]], ArgumentError, r"the layer has 2 arrays \(weight \(4, 5\), bias \(5,\)\), received 1"),
        ([before[0], np.ones(4)], ArgumentError, r"set_weights: bias has the shape \(5,\), received \(4,\)"),
        (before[0], ArgumentError, "takes a list of arrays, received ndarray"),
    ]:
        with pytest.raises(kind, match=message):
            dense.set_weights(values)
    np.testing.assert_array_equal(dense.get_weights()[0], before[0])


def test_weights_of_a_model() -> None:
    model = network()
    assert [w.name for w in model.weights] == [w.name for w in model.variables]
    assert len(model.weights) == len(model.get_weights()) == 8
    assert (len(model.trainable_weights), len(model.non_trainable_weights)) == (6, 2)
    model.layers[0].trainable = False
    assert (len(model.trainable_variables), len(model.non_trainable_variables)) == (4, 4)
    weight = model.weights[0]
    np.testing.assert_array_equal(np.asarray(weight), weight.numpy())
    assert weight.dtype == np.float32
    weight.assign(np.ones((4, 5)))
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((4, 5)))
    with pytest.raises(ShapeError, match="weight has the shape"):
        weight.assign(np.ones(3))


# Inputs, outputs, what is measured ----------------------------------------------------------------------------------


def test_inputs_and_outputs() -> None:
    model = network()
    assert [node.shape for node in model.inputs] == [(4,)]
    assert model.input is model.inputs[0]
    assert model.output is model.outputs[0] is model.layers[-1].output
    assert model.layers[1].output_shape == (5,)
    assert not hasattr(Dense(3), "output")
    both = Model([model.input], {"kind": model.output, "hidden": model.layers[0].output})
    assert set(both.predict(X)) == {"kind", "hidden"}
    with pytest.raises(NotReadyError, match=r"Dense: there is no output yet.* layer\(Input\(shape\)\)"):
        Dense(3).output  # noqa: B018


def test_losses_and_names_of_what_is_measured() -> None:
    model = network()
    y = np.arange(20) % 2
    assert model.loss == "cce"
    assert model.metrics_names == ["loss", "accuracy", "weighted_accuracy"]
    assert list(model.evaluate(X, y, return_dict=True)) == model.metrics_names
    assert [metric.name for metric in model.metrics] == ["accuracy", "accuracy"]
    fresh = Sequential([Dense(2, input_shape=(4,))])
    assert (fresh.loss, fresh.metrics_names, fresh.metrics) == (None, [], [])
    fresh.compile(Huber())
    assert isinstance(fresh.loss, Huber)


@pytest.mark.parametrize(("optimizer", "expected"), [(Adam(), 6), (Accumulate(SGD(), 2), 3)])
def test_iterations_of_an_optimizer(optimizer: Any, expected: int) -> None:
    assert optimizer.iterations == 0
    model = Sequential([Dense(1, input_shape=(4,))])
    model.compile("mse", optimizer)
    model.fit(X, X[:, :1], batch_size=10, epochs=3, verbose=0)
    assert optimizer.iterations == expected
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        assert again.optimizer.iterations == expected
    assert copy.deepcopy(optimizer).iterations == 0


# Configurations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thing",
    [
        Dense(3, activation=ReLU(0.1), weight_regularizer=L2(0.1), name="d", trainable=False, input_shape=(4,)),
        Activation("elu", alpha=0.5),
        Adam(lr=0.1),
        Huber(2.0),
        L2(0.5),
    ],
)
def test_a_configuration_makes_an_equal_object(thing: Any) -> None:
    config = json.loads(json.dumps(thing.get_config()))
    again = type(thing).from_config(config)
    assert again.get_config() == config
    assert repr(again) == repr(thing)
    with pytest.raises(ArgumentTypeError, match="from_config takes a dictionary of arguments, received int"):
        type(thing).from_config(3)


def test_defaults_stand_in_a_configuration_too() -> None:
    assert Dense(3).get_config()["use_bias"] is True
    assert Dropout(0.5).get_config() == {"p_dropout": 0.5, "input_shape": None, "trainable": True, "name": None}


class Twice(Layer):
    """``y = 2 x``."""

    def forward(self, x: Any, call: Call) -> Any:
        return 2 * x

    def backward(self, dy: Any, call: Call) -> Any:
        return 2 * dy


def test_models_from_their_descriptions() -> None:
    model = network()
    for again in (Sequential.from_config(model.get_config()), model_from_json(model.to_json(indent=1))):
        assert isinstance(again, Sequential)
        assert repr(again.layers) == repr(model.layers)
        assert again.optimizer is None
        np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])  # the same seed
        other = Sequential([*again.layers[:-1], Dense(3)])
        assert other.predict(X).shape == (20, 3)
    own = Sequential([Twice(input_shape=(4,))])
    assert model_from_json(own.to_json(), {"Twice": Twice}).predict(X)[0, 0] == 2 * X[0, 0]
    coder = Autoencoder(Sequential([Dense(2, input_shape=(4,))]), Sequential([Dense(4, input_shape=(2,))]))
    assert Model.from_config(coder.get_config()).encode(X).shape == (20, 2)


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (lambda: model_from_json("{"), FileFormatError, "this is no JSON"),
        (lambda: model_from_json(None), FileFormatError, "this is no JSON"),
        (lambda: model_from_json("[]"), ArgumentTypeError, "from_config takes what get_config"),
        (lambda: Model.from_config({}), FileFormatError, "the configuration is damaged"),
        (lambda: network().to_json(indents=3), ArgumentTypeError, "options are those of json.dumps"),
        (
            lambda: model_from_json(Sequential([Twice(input_shape=(4,))]).to_json()),
            FileFormatError,
            "unknown class 'Twice'",
        ),
        (
            lambda: Sequential([Activation(np.sin, input_shape=(3,))]).to_json(),
            ArgumentTypeError,
            "never holds functions",
        ),
        (lambda: clone_model(Dense(3)), ArgumentTypeError, "clone_model takes a model, received Dense"),
    ],
)
def test_descriptions_that_make_no_model(run: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        run()


def test_a_clone_has_weights_of_its_own() -> None:
    model = network()
    model.fit(X, np.arange(20) % 2, epochs=2, verbose=0)
    before = model.get_weights()
    clone, other = clone_model(model), clone_model(model)
    assert repr(clone.layers) == repr(model.layers)
    assert not np.array_equal(clone.get_weights()[0], other.get_weights()[0])
    np.testing.assert_array_equal(clone.get_weights()[4], np.zeros(5))  # the running mean begins anew
    assert clone.optimizer is clone.history is clone.loss is None
    assert clone.output is not model.output
    clone.compile("cce", "sgd")
    clone.fit(X, np.arange(20) % 2, epochs=2, verbose=0)
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)
    clone.set_weights(before)
    np.testing.assert_array_equal(clone.predict(X), model.predict(X))
    seeded = [clone_model(model, seed=3).get_weights()[0] for _ in range(2)]
    np.testing.assert_array_equal(*seeded)


def test_clones_of_other_models() -> None:
    function = Sequential([Dense(2, activation=np.sin, input_shape=(4,))])
    assert clone_model(function).predict(X).shape == (20, 2)
    waiting = clone_model(Sequential([Dense(2)]))
    waiting.build((3,))
    assert waiting.output_shape == (2,)
    coder = Autoencoder(Sequential([Dense(2, input_shape=(4,))]), Sequential([Dense(4, input_shape=(2,))]))
    assert clone_model(coder).encode(X).shape == (20, 2)  # type: ignore[attr-defined]


# Names that layers of one's own may take ------------------------------------------------------------------------------


class Named(Layer):
    """A field and attributes that bear names of Keras'."""

    output: int
    weights: Any = 3

    def __post_init__(self) -> None:
        self.input = "mine"

    def forward(self, x: Any, call: Call) -> Any:
        return x * self.output

    def backward(self, dy: Any, call: Call) -> Any:
        return dy * self.output


def test_a_layer_of_ones_own_may_use_these_names() -> None:
    with pytest.raises(ArgumentTypeError, match="missing 1 required positional argument: 'output'"):
        Named()
    layer = Named(2)
    assert (layer.output, layer.weights, layer.input) == (2, 3, "mine")
    model = Sequential([Dense(4, input_shape=(4,)), layer], seed=0)
    np.testing.assert_allclose(model.predict(X), 2 * Sequential(model.layers[:1]).predict(X), rtol=1e-6)
    assert layer.get_config()["output"] == 2
