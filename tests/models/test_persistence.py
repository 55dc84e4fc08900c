"""Saving and loading: the same predictions to the last bit, and one clear error for a bad file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.constraints import Constraint
from miniDLF.errors import ArgumentTypeError, FileFormatError
from miniDLF.initializers import Initializer
from miniDLF.layers import Activation, Add, BatchNormalization, Dense, Dropout, Layer, ReLU
from miniDLF.losses import MeanAbsoluteError
from miniDLF.metrics.base import Mean
from miniDLF.models import Autoencoder, Input, Model, Sequential, load
from miniDLF.models.compiling import LossMetric
from miniDLF.optimizers import Accumulate, Adam, ClipNorm, UpdateRule
from miniDLF.optimizers.schedules import Schedule
from miniDLF.regularizers import Regularizer


def data(rows: int = 40, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def trained(dtype: str = "float32") -> Sequential:
    layers = [
        Dense(8, input_shape=(4,), weight_regularizer="l2"),
        BatchNormalization(),
        Activation("relu"),
        Dropout(0.2),
    ]
    model = Sequential([*layers, Dense(3), Activation("softmax")], seed=1, dtype=dtype, shards=2)
    model.compile("cce", Adam(lr=0.01), metrics=["accuracy"])
    model.fit(data(), np.arange(40) % 3, epochs=2, batch_size=16, verbose=0)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_the_same_to_the_last_bit(tmp_path: Path, dtype: str) -> None:
    model = trained(dtype)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert isinstance(again, Sequential)
    np.testing.assert_array_equal(again.predict(data()), model.predict(data()))
    assert repr(again.layers) == repr(model.layers)
    assert (again.seed, again.shards, again.dtype) == (model.seed, model.shards, model.dtype)
    assert again.evaluate(data(), np.arange(40) % 3) == model.evaluate(data(), np.arange(40) % 3)


def test_a_loss_may_be_a_metric_also_after_loading(tmp_path: Path) -> None:
    model = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0)
    model.compile("mse", "adam", metrics=["mape", "kl_divergence", "mae"])
    targets = np.eye(3, dtype=np.float32)[np.arange(40) % 3]
    logs = model.evaluate(data(), targets, return_dict=True)
    for name in ("mape", "kl_divergence"):
        alone = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0)
        alone.compile(name, "adam")
        assert logs[name] == pytest.approx(alone.evaluate(data(), targets), rel=1e-6)
    model.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").evaluate(data(), targets, return_dict=True) == logs
    labels = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0)
    labels.compile("cce", "adam", metrics=["sparse_categorical_crossentropy"])
    loss, again = labels.evaluate(data(), np.arange(40) % 3)
    assert again == pytest.approx(loss, rel=1e-6)
    history = labels.fit(data(), np.arange(40) % 3, epochs=1, verbose=0).history
    assert history["sparse_categorical_crossentropy"] == pytest.approx(history["loss"], rel=1e-5)


def test_a_field_may_be_infinite(tmp_path: Path) -> None:
    model = Sequential([Activation("clipped_relu", max_value=np.inf, input_shape=(3,))])
    model.save(tmp_path / "m.safetensors")
    (layer,) = load(tmp_path / "m.safetensors").layers
    assert layer.config() == model.layers[0].config()


def test_training_goes_on_with_the_optimizer_state(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "m.safetensors", include_optimizer=True)
    again = load(tmp_path / "m.safetensors")
    for one in (model, again):
        one.fit(data(), np.arange(40) % 3, epochs=2, batch_size=16, verbose=0)
    for old, new in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_graphs_with_shared_layers_and_names(tmp_path: Path) -> None:
    a, b = Input((4,), name="a"), Input((4,), name="b")
    dense = Dense(5, name="shared")
    model = Model([a, b], {"sum": Add()([dense(a), ReLU()(dense(b))])}, seed=2)
    model.compile({"sum": "mse"}, "sgd")
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    x = {"a": data(), "b": data(seed=1)}
    assert list(again.predict(x)) == ["sum"]
    np.testing.assert_array_equal(again.predict(x)["sum"], model.predict(x)["sum"])
    assert again.output_names == ["sum"]
    assert len(again.layers) == len(model.layers)


def test_autoencoders_keep_their_halves(tmp_path: Path) -> None:
    model = Autoencoder(
        Sequential([Dense(2, input_shape=(4,)), Activation("tanh")], seed=1),
        Sequential([Dense(4, input_shape=(2,))], seed=2),
    )
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert isinstance(again, Autoencoder)
    np.testing.assert_array_equal(again.encode(data()), model.encode(data()))
    np.testing.assert_array_equal(again.decode(data(5, 2)), model.decode(data(5, 2)))


class Doubled(Layer):
    """A layer of one's own."""

    def forward(self, x: np.ndarray, call: object) -> np.ndarray:
        return np.multiply(x, 2, out=call.empty_like("y", x))

    def backward(self, dy: np.ndarray, call: object) -> np.ndarray:
        return np.multiply(dy, 2, out=dy)


class Halves(Initializer):
    def __call__(self, shape: Any, rng: Any, fans: Any) -> np.ndarray:
        return np.full(shape, 0.5)


class Nothing(Regularizer):
    def value_and_grad(self, value: np.ndarray, grad: np.ndarray) -> float:
        return 0.0


class Below(Constraint):
    limit: float = 1.0

    def apply(self, value: np.ndarray) -> None:
        np.minimum(value, self.limit, out=value)


class Constant(Schedule):
    start: float = 0.1

    def __call__(self, step: int) -> float:
        return self.start


class Plain(UpdateRule):
    def update(self, value: Any, grad: Any, state: Any, learning_rate: float, step: int, scratch: Any) -> None:
        value -= learning_rate * grad


class Absolute(MeanAbsoluteError):
    """A loss of one's own, of the built-in kind."""


class Largest(Mean):
    name: str = "largest"

    def values(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        return np.max(prediction, axis=-1)


class Holder(Doubled):
    """A layer whose fields hold objects within lists and dictionaries."""

    held: Any
    limit: float = 0.0


OWN = {kind.__name__: kind for kind in (Halves, Nothing, Below, Constant, Plain, Absolute, Largest, Holder, Doubled)}


def owned() -> Sequential:
    layers = [
        Dense(3, (4,), weight_initializer=Halves(), weight_regularizer=Nothing(), weight_constraint=Below(0.75)),
        Doubled(),
        Holder({"list": [Below(2.0), {"class": "NonNeg"}, 3]}, limit=-np.inf),
    ]
    model = Sequential(layers, seed=0)
    model.compile(Absolute(), ClipNorm(Accumulate(Plain(Constant(0.5)), 2), 1.0), [Largest(), LossMetric(Absolute())])
    return model


def test_own_classes_are_only_those_passed_by_hand(tmp_path: Path) -> None:
    model, path = owned(), tmp_path / "m.safetensors"
    model.fit(data(), data(width=3), epochs=1, batch_size=16, verbose=0)
    model.save(path, include_optimizer=True)
    for name in OWN:
        with pytest.raises(
            FileFormatError, match=rf"unknown class '{name}': .*comes from '{__name__}'.*custom_objects"
        ):
            load(path, custom_objects={other: kind for other, kind in OWN.items() if other != name})
    again = load(path, custom_objects=OWN)
    assert repr(again.layers) == repr(model.layers)
    assert repr(again.optimizer) == repr(model.optimizer)
    assert isinstance(again.layers[0].parameters[0].constraint, Below)
    assert isinstance(again.layers[2].held["list"][0], Below)
    np.testing.assert_array_equal(again.predict(data()), model.predict(data()))
    for one in (model, again):
        one.fit(data(), data(width=3), epochs=2, batch_size=16, verbose=0)
    np.testing.assert_array_equal(again.predict(data()), model.predict(data()))
    again.save(tmp_path / "again.safetensors", include_optimizer=True)
    model.save(path, include_optimizer=True)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_namesake_of_a_built_in_class_is_not_replaced_by_it(tmp_path: Path) -> None:
    namesake = type("ReLU", (Doubled,), {"__module__": __name__})
    model = Sequential([namesake(input_shape=(4,))])
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(FileFormatError, match="unknown class 'ReLU': it is not miniDLF's"):
        load(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", custom_objects={"ReLU": namesake})
    np.testing.assert_array_equal(again.predict(data()), 2 * data())


@pytest.mark.parametrize("given", [[Doubled], {"Doubled": "x"}, {1: Doubled}, Doubled])
def test_custom_objects_are_classes_by_name(tmp_path: Path, given: Any) -> None:
    with pytest.raises(
        ArgumentTypeError, match=r"custom_objects(\['Doubled'\] is no class| is a dictionary from names)"
    ):
        load(tmp_path / "m.safetensors", custom_objects=given)


def test_infinity_in_a_field(tmp_path: Path) -> None:
    model = Sequential([Activation("relu", max_value=np.inf, input_shape=(4,)), ReLU()])
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert repr(again.layers) == repr(model.layers)
    assert again.layers[0].max_value == np.inf


@pytest.mark.parametrize(
    ("held", "where"),
    [
        (np.tanh, "held"),
        ({1: 2, "a": 3}, "held"),
        ([{"deep": [1, {2, 3}]}], r"held\[0\]: deep\[1\]"),
        (b"x", "held"),
    ],
    ids=str,
)
def test_what_cannot_be_saved_is_named(tmp_path: Path, held: Any, where: str) -> None:
    model = Sequential([Doubled(input_shape=(4,)), Holder(held)])
    with pytest.raises(ArgumentTypeError, match=rf"Holder 'holder_1': {where}: .* cannot be saved"):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_weights_alone_and_what_fits_of_them(tmp_path: Path) -> None:
    model = trained()
    model.save_weights(tmp_path / "w.safetensors")
    other = trained()
    other.set_weights([np.zeros_like(weight) for weight in other.get_weights()])
    other.load_weights(tmp_path / "w.safetensors")
    for old, new in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    wider = Sequential([Dense(9, input_shape=(4,)), Activation("relu"), Dense(3, name="head")], seed=0)
    with pytest.raises(FileFormatError, match="dense_1/weight"):
        wider.load_weights(tmp_path / "w.safetensors")
    report = wider.load_weights(tmp_path / "w.safetensors", strict=False)
    assert "head/weight" in str(report)
    assert "dense_1/weight" in str(report)
    assert not report.ok


@pytest.mark.parametrize("name", ["weights", "weights/x", "model"])
def test_weights_of_layers_whose_names_are_words_of_the_format(tmp_path: Path, name: str) -> None:
    def made(seed: int) -> Model:
        part = Sequential([Dense(3, input_shape=(4,), name=name)], name="weights")
        x = Input((4,))
        return Model(x, Dense(2, name=name + "2")(part(x)), seed=seed)

    model = made(0)
    for save in (model.save, model.save_weights):
        save(tmp_path / "w.safetensors")
        other = made(1)
        other.load_weights(tmp_path / "w.safetensors")
        np.testing.assert_array_equal(other.predict(data()), model.predict(data()))


def test_damaged_files_give_one_error(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    trained().save(path)
    whole = path.read_bytes()
    with pytest.raises(FileFormatError, match="missing"):
        load(tmp_path / "missing.safetensors")
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        if rng.random() < 0.4:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            for _ in range(int(rng.integers(1, 4))):
                damaged[rng.integers(0, len(whole))] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        with pytest.raises(FileFormatError):
            load(path)
    trained().save_weights(path)
    with pytest.raises(FileFormatError, match="no model structure"):
        load(path)
