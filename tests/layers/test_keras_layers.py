"""Layers written for Keras 3 run with their imports changed: trained, saved, loaded, in any number of shards."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from miniDLF import activations, errors, initializers, ops, random, regularizers
from miniDLF.layers import Dense, Dropout, Flatten, Layer
from miniDLF.models import Input, Model, Sequential, load
from miniDLF.optimizers import SGD
from tests.layers import keras_layers as own

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5, 6)).astype("float32")
Y = (X[:, 0, :1] - X[:, 4, 1:2]).astype("float32")
CLASSES = {name: kind for name, kind in vars(own).items() if isinstance(kind, type) and kind.__module__ == own.__name__}

LAYERS: dict[str, Any] = {
    "Linear": lambda: own.Linear(4, activation="tanh", kernel_regularizer="l2"),
    "Centred": lambda: own.Centred(epsilon=1e-3),
    "RootMeanSquare": lambda: own.RootMeanSquare(6),
    "RootMeanSquare by hand": lambda: own.RootMeanSquare(6, by_hand=True),
    "CausalSelfAttention": lambda: own.CausalSelfAttention(2, 3),
    "SqueezeExcite": lambda: own.SqueezeExcite(ratio=3),
    "SwiGLU": lambda: own.SwiGLU(4),
    "FourierFeatures": lambda: own.FourierFeatures(3, scale=0.3),
    "VectorQuantizer": lambda: own.VectorQuantizer(4),
    "NoisyDense": lambda: own.NoisyDense(3, seed=1),
    "RunningScale": lambda: own.RunningScale(),
    "CausalConvolution": lambda: own.CausalConvolution(4, activation="silu"),
    "Block": lambda: own.Block(),
}


def trained(make: Any, shards: int | None = None) -> tuple[Any, list[float]]:
    model = Sequential([own.Linear(6, input_shape=(5, 6)), make(), Flatten(), Dense(1)], seed=3, shards=shards)
    model.compile("mse", SGD(lr=0.02, momentum=0.5))
    history = model.fit(X, Y, epochs=3, batch_size=12, verbose=0, validation_data=(X, Y)).history
    return model, [*history["loss"], *history["val_loss"]]


every_layer = pytest.mark.parametrize("name", LAYERS)


@every_layer
def test_it_trains_alike_in_any_number_of_shards_and_is_saved(name: str, tmp_path: Any) -> None:
    model, losses = trained(LAYERS[name], 1)
    _, others = trained(LAYERS[name], 1 if name == "NoisyDense" else 2)  # every shard draws its own numbers
    np.testing.assert_allclose(losses, others, rtol=1e-4, atol=1e-6)
    if name != "VectorQuantizer":  # whose gradients are not those of what it computes
        assert losses[2] < losses[0]
        assert model.check_gradients(X[:3], Y[:3]).ok
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", custom_objects=CLASSES)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.evaluate(X, Y) == pytest.approx(model.evaluate(X, Y), rel=1e-6)
    assert again.layers[1].get_config() == model.layers[1].get_config()
    if name != "NoisyDense":
        assert again.train_on_batch(X, Y) == pytest.approx(model.train_on_batch(X, Y), rel=1e-5)


@every_layer
def test_it_is_made_again_from_its_configuration(name: str) -> None:
    layer = LAYERS[name]()
    config = layer.get_config()
    assert {"name", "trainable"} <= config.keys()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    layer(X)
    assert again(X).shape == layer(X).shape
    assert copy.deepcopy(layer)(X).shape == layer(X).shape
    assert layer.built


def test_it_stands_in_a_functional_model_with_two_inputs(tmp_path: Any) -> None:
    a, b = Input((5, 6)), Input((3, 4))
    h = own.PairwiseMix(0.5, name="mix")([own.Centred()(a), b])
    losses = []
    for shards in (1, 2):
        model = Model([a, b], Dense(1)(ops.mean(own.Block()(h), axis=1)), seed=2, shards=shards)
        model.compile("mse", SGD(lr=0.02, momentum=0.5))
        second = X[:, :3, :4]
        losses.append(model.fit([X, second], Y, epochs=3, verbose=0, batch_size=12).history["loss"])
        assert model.check_gradients([X[:3], second[:3]], Y[:3]).ok
        h = own.PairwiseMix(0.5, name="mix")([own.Centred()(a), b])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", custom_objects=CLASSES)
    np.testing.assert_array_equal(again.predict([X, second]), model.predict([X, second]))


def test_a_class_that_is_marked_is_found_without_being_handed_over(tmp_path: Any) -> None:
    Sequential([own.Centred(input_shape=(4,))], seed=1).save(tmp_path / "m.safetensors")
    assert isinstance(load(tmp_path / "m.safetensors").layers[0], own.Centred)
    Sequential([own.SwiGLU(3, input_shape=(4,))], seed=1).save(tmp_path / "m.safetensors")
    with pytest.raises(errors.FileFormatError, match="Pass your own classes"):
        load(tmp_path / "m.safetensors")


def test_layers_within_a_layer_are_called_as_it_is() -> None:
    class Outer(Layer):
        def __init__(self, **keywords: Any) -> None:
            super().__init__(**keywords)
            self.drop, self.inner = Dropout(0.5), Inner()

        def call(self, x: Any) -> Any:
            return self.inner(self.drop(x))

    class Inner(Layer):
        def call(self, x: Any, training: Any = None) -> Any:
            return x + 100.0 if training else x

    layer = Outer()
    np.testing.assert_array_equal(layer(X), X)
    assert float(np.max(layer(X, training=True))) > 90
    assert 0.3 < float(np.mean(ops.equal(layer(X, training=True), 100.0))) < 0.7
    model = Sequential([Outer(input_shape=(5, 6)), Flatten()])
    model.compile("mae", SGD(lr=0.0))
    assert model.train_on_batch(X, np.zeros((24, 30))) > 90
    assert model.evaluate(X, np.zeros((24, 30))) < 2


def test_weights_are_declared_in_every_order_of_keras() -> None:
    layer = Layer()
    first = layer.add_weight((2, 3), "ones", trainable=False)
    second = layer.add_weight("bias", (3,), "zeros", trainable=False)
    third = layer.add_weight(shape=4, initializer="zeros")
    assert [(p.name, p.shape, p.trainable) for p in (first, second, third)] == [
        ("weight", (2, 3), False), ("bias", (3,), False), ("weight_2", (4,), True)
    ]  # fmt: skip
    with pytest.raises(errors.ArgumentTypeError, match="add_weight takes shape, initializer"):
        layer.add_weight((2,), "ones", None)


def test_the_type_is_that_of_the_model() -> None:
    seen = []

    class Asks(Layer):
        def call(self, x: Any) -> Any:
            seen.append(self.compute_dtype)
            return ops.cast(x, self.compute_dtype)

    model = Sequential([Asks(input_shape=(3,))], dtype="float64")
    x = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_array_equal(model.predict(x), x)
    assert seen[-1] == "float64"
    assert (model.layers[0].dtype, Asks().variable_dtype) == ("float64", "float32")


def test_names_become_objects_and_names_again() -> None:
    assert activations.get("gelu") is ops.gelu
    assert activations.get(None)(2.0).item() == 2.0
    assert activations.serialize(activations.get("hard_silu")) == "hard_silu"
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'relu'"):
        activations.get("rela")
    with pytest.raises(errors.ArgumentTypeError, match="no file holds functions"):
        activations.serialize(lambda x: x)
    normal = initializers.get("random_normal")
    assert initializers.get(initializers.serialize(normal)).get_config() == normal.get_config()
    assert regularizers.serialize(regularizers.get(None)) is None


def test_a_seed_generator_draws_other_numbers_each_time_from_one_beginning() -> None:
    def drawn(seed: int) -> list[float]:
        seeds = random.SeedGenerator(seed)
        return [random.normal((), seed=seeds).item() for _ in range(3)]

    assert drawn(4) == drawn(4)
    assert drawn(4) != drawn(5)
    assert len(set(drawn(4))) == 3
    seeds = random.SeedGenerator(7)
    assert random.SeedGenerator.from_config(seeds.get_config()).next() == seeds.next()
