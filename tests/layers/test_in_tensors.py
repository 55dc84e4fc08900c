"""Layers, losses and arithmetic that are written in tensors: in fit, in evaluation, in any number of shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import Variable, errors, ops
from miniDLF.layers import LSTM, BatchNormalization, Dense, Dropout, Flatten, Lambda, Layer
from miniDLF.losses import Loss
from miniDLF.models import Input, Model, Sequential, load
from miniDLF.optimizers import SGD

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5)).astype("float32")
Y = (X[:, :1] * 2 - X[:, 1:2]).astype("float32")


class MyDense(Layer):
    """``relu(x W + b)``, as one writes it for Keras."""

    def __init__(self, units: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.units = units

    def build(self, input_shape: Any) -> None:
        assert input_shape[0] is None
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="kernel")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return ops.tanh(ops.matmul(inputs, self.w) + self.b)


class Centered(Layer):
    """Subtracts the mean of the batch in training, and a running one otherwise."""

    def build(self, input_shape: Any) -> None:
        self.mean = self.state("mean", (input_shape[-1],))

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x - self.mean
        mean = np.mean(x, axis=0)
        self.mean.assign(0.5 * self.mean + 0.5 * mean)
        return x - mean


class Penalty(Layer):
    """Adds the mean square of its input to the loss."""

    share: float = 0.1

    def call(self, x: Any) -> Any:
        self.add_loss(self.share * np.mean(np.square(x)))
        return x


class Noise(Layer):
    """Multiplies by random numbers in training."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x * ops.random.uniform((x.shape[-1],), 0.5, 1.5) if training else x


def trained(layers: list[Layer], loss: Any = "mse", shards: int | None = None, **options: Any) -> Any:
    model = Sequential([*layers, Dense(1)], seed=3, shards=shards)
    model.compile(loss, SGD(lr=0.05, momentum=0.5))
    history = model.fit(X, Y, epochs=3, batch_size=16, verbose=0, validation_data=(X, Y), **options).history
    return model, history


def test_a_layer_in_tensors_is_the_layer_by_hand() -> None:
    mine, history = trained([MyDense(7, input_shape=(5,))])
    theirs = Sequential([Dense(7, activation="tanh", input_shape=(5,)), Dense(1)], seed=3)
    theirs.compile("mse", SGD(lr=0.05, momentum=0.5))
    start = Sequential([MyDense(7, input_shape=(5,)), Dense(1)], seed=3).get_weights()
    theirs.set_weights(start)
    expected = theirs.fit(X, Y, epochs=3, batch_size=16, verbose=0, validation_data=(X, Y)).history
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-5)
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-4, atol=1e-6)
    assert mine.layers[0].output_shape == (7,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [MyDense(4, input_shape=(5,))],
        lambda: [Dense(4, input_shape=(5,)), Centered(), MyDense(3)],
        lambda: [Penalty(input_shape=(5,)), MyDense(4), Penalty(0.5)],
        lambda: [Lambda(lambda x: x[:, ::-1] * 2, input_shape=(5,)), Dense(3, activation=lambda x: x * np.tanh(x))],
        lambda: [Lambda(lambda x: ops.softmax(x @ x.T) @ x, input_shape=(5,))],
    ],
)
def test_numbers_do_not_depend_on_shards_and_gradients_are_right(make: Any) -> None:
    found = []
    for shards in (1, 2, 4):
        model, history = trained(make(), shards=shards)
        found.append([*history["loss"], *history["val_loss"], *model.predict(X[:9]).ravel()])
        assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4, atol=1e-6)
    assert model.check_gradients(X[:7], Y[:7]).ok


def test_state_is_assigned_once_a_step_and_saved(tmp_path: Any) -> None:
    model = Sequential([Centered(input_shape=(5,)), Dense(1)], seed=1, shards=4)
    model.compile("mse", SGD(lr=0.0))
    model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.get_weights()[0], 0.75 * X.mean(0), rtol=1e-5)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", custom_objects={"Centered": Centered})
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_what_layers_add_counts_in_training_and_evaluation() -> None:
    model = Sequential([Penalty(input_shape=(5,)), Dense(1, weight_initializer="zeros")], seed=1)
    model.compile("mse", SGD(lr=0.0, momentum=0))
    expected = np.mean(Y**2) + 0.1 * np.mean(X**2)
    assert model.train_on_batch(X, Y) == pytest.approx(expected, rel=1e-5)
    assert model.evaluate(X, Y) == pytest.approx(expected, rel=1e-5)
    assert model.gradients(X, Y)[0] == pytest.approx(expected, rel=1e-5)


def test_random_numbers_are_those_of_the_step() -> None:
    def losses() -> list[float]:
        model = Sequential([Noise(input_shape=(5,)), Dense(1)], seed=9)
        model.compile("mse", SGD(lr=0.0))
        return [model.train_on_batch(X, Y) for _ in range(3)]

    first = losses()
    assert first == losses()
    assert len(set(first)) == 3


def mean_square(y_true: Any, y_pred: Any) -> Any:
    return np.mean(np.square(y_true - y_pred), axis=-1)


class MyLoss(Loss):
    """Half the square."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return 0.5 * np.square(y_true - y_pred)


@pytest.mark.parametrize(
    ("loss", "factor"),
    [(mean_square, 1), (lambda t, p: np.mean((t - p) ** 2), 1), (lambda t, p: (t - p) ** 2, 1), (MyLoss(), 0.5)],
)
def test_functions_are_losses(loss: Any, factor: float) -> None:
    for shards in (1, 3):
        model, history = trained([Dropout(0.0, input_shape=(5,))], loss, shards)
        _, expected = trained([Dropout(0.0, input_shape=(5,))], "mse", shards)
        if factor == 1:
            np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
        assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y), rel=1e-5)
        assert model.check_gradients(X[:6], Y[:6]).ok


def test_functions_as_losses_have_weights_labels_and_batches_of_their_own() -> None:
    def hinge_of_classes(y_true: Any, y_pred: Any) -> Any:
        right = np.take_along_axis(y_pred, np.expand_dims(y_true, 1), axis=1)
        return np.sum(ops.relu(1 + y_pred - right), axis=-1) - 1

    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    model = Sequential([Dense(3, input_shape=(5,))], seed=2)
    model.compile(hinge_of_classes, SGD(lr=0.01))
    history = model.fit(X, labels, epochs=8, verbose=0, sample_weight=np.linspace(0.5, 1.5, 48)).history["loss"]
    assert history[-1] < history[0]

    def contrast(y_true: Any, y_pred: Any) -> Any:  # compares samples with each other
        return -np.sum(ops.log_softmax(y_pred @ y_pred.T) * np.eye(y_pred.shape[0])) / y_pred.shape[0]

    found = []
    for shards in (1, 4):
        model = Sequential([Dense(3, input_shape=(5,))], seed=2, shards=shards)
        model.compile(contrast, SGD(lr=0.01, momentum=0))
        found.append([model.train_on_batch(X, Y) for _ in range(4)])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_arithmetic_between_outputs_is_saved_and_loaded(tmp_path: Any) -> None:
    sequence, vector = Input((6, 4)), Input((4,))
    h = LSTM(8)(sequence)
    g = Dense(4)(vector)
    z = np.tanh(h[:, -1] + 2 * g) - np.mean(sequence, axis=1) / 3
    model = Model([sequence, vector], Dense(1)(z * z[:, ::-1] + np.arange(4.0)), seed=4)
    model.compile("mse", "adam")
    a, b = RNG.normal(size=(16, 6, 4)).astype("float32"), RNG.normal(size=(16, 4)).astype("float32")
    losses = model.fit([a, b], a[:, 0, :1], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "m.safetensors").predict([a, b]), model.predict([a, b]))
    assert model.check_gradients([a[:3], b[:3]], a[:3, 0, :1]).ok


def test_layers_and_models_run_on_arrays_and_tensors() -> None:
    from miniDLF import GradientTape, Tensor, function, gradient

    model = Sequential(
        [Dense(6, activation="relu", input_shape=(5,)), BatchNormalization(), Flatten(), MyDense(3), Dense(1)], seed=5
    )
    model.compile("mse", "sgd")
    np.testing.assert_allclose(model(X), model.predict(X), rtol=1e-5, atol=1e-7)

    def loss(x: Any) -> Any:
        return np.mean((model(x) - Y) ** 2)

    expected_loss, expected = model.gradients(X, Y, training=False)
    for run in (lambda x: (loss(x), gradient(loss(x), model.trainable_variables)),):
        for found_loss, found in (run(X), function(run)(X)):
            assert float(found_loss) == pytest.approx(expected_loss, rel=1e-5)
            for a, b in zip(found, expected.values(), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)
    x = Tensor(X)
    with GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    assert tape.gradient(value, x).shape == X.shape
    fresh = Dense(4)
    assert fresh(X).shape == (48, 4)
    assert len(fresh.weights) == 2


class NoReturn(Layer):
    def call(self, x: Any) -> Any:
        np.exp(x)


class Flow(Layer):
    def call(self, x: Any) -> Any:
        return x if np.sum(x) > 0 else -x


class Wrong(Layer):
    def call(self, x: Any) -> Any:
        return np.sum(x, axis=0)


class TwoOutputs(Layer):
    def call(self, x: Any) -> Any:
        return x, x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (NoReturn, r"NoReturn.*returned NoneType.*return statement"),
        (Flow, r"Flow.*line \d+ \(in call\).*ops\.where"),
        (Wrong, r"first axis must be the samples"),
        (TwoOutputs, r"returned 2 values; return one tensor"),
        (lambda: Lambda(lambda x: x @ np.ones((3, 3))), r"Lambda.*\(2, 5\) @ \(3, 3\)"),
        (lambda: Lambda(3), r"expected a function"),
        (lambda: Lambda(lambda x, y: x), r"Lambda: f\(x, y\) cannot be called with \(x\)"),
        (lambda: Dense(2, activation=lambda: 1), r"Activation: f\(\) cannot be called with \(x\)"),
    ],
)
def test_mistakes_are_named_when_the_model_is_made(make: Any, message: str) -> None:
    with pytest.raises(errors.MiniDLFError, match=message):
        Sequential([Dense(5, input_shape=(5,)), make()])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_come_in_the_type_of_the_model(dtype: str) -> None:
    """Where a layer computes in another one: what follows it takes that of the model."""
    other = "float64" if dtype == "float32" else "float32"
    models = []
    for function in (lambda x: ops.cast(2 * x, other), lambda x: 2 * x):
        model = Sequential([Dense(5, input_shape=(5,)), Lambda(function), Dense(1)], seed=0, dtype=dtype)
        model.compile("mse", "adam")
        model.fit(X, Y, verbose=0)
        models.append(model)
    for model in models:
        assert model.predict(X).dtype == dtype
    np.testing.assert_allclose(models[0].predict(X), models[1].predict(X), rtol=1e-5, atol=1e-6)


def test_whole_numbers_train_nothing() -> None:
    """They may end a model that predicts; no gradient goes through them."""
    model = Sequential([Dense(5, input_shape=(5,)), Lambda(lambda x: ops.argmax(x, -1))], seed=0)
    assert model.predict(X).shape == (len(X),)
    model = Sequential([Dense(5, input_shape=(5,)), Dense(3, activation=lambda x: x > 0), Dense(1)])
    model.compile("mse", "adam")
    with pytest.raises(errors.ArgumentTypeError, match=r"returned bool numbers, through which no gradient goes"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda t, p: None, "returned NoneType; return a tensor"),
        (lambda t, p: np.mean(p, axis=0), "one number for each sample"),
        (lambda t, p: p if np.sum(p) > 0 else -p, r"line \d+"),
    ],
)
def test_mistakes_in_losses_are_named(loss: Any, message: str) -> None:
    model = Sequential([Dense(2, input_shape=(5,))])
    model.compile(loss, "sgd")
    with pytest.raises(errors.MiniDLFError, match=message):
        model.fit(X, np.zeros((48, 2)), verbose=0)


class ByValue(Layer):
    """Takes the value of its weight, which is an array outside of programs."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], 2), name="w")

    def call(self, x: Any) -> Any:
        return x @ self.w.value


def test_the_value_of_a_weight_is_a_tensor_within_call() -> None:
    model = Sequential([ByValue(input_shape=(5,)), Dense(1)], seed=1)
    model.compile("mse", SGD(lr=0.05, momentum=0))
    before = model.get_weights()[0].copy()
    model.fit(X, Y, epochs=1, verbose=0)
    assert np.abs(model.get_weights()[0] - before).max() > 0
    assert model.check_gradients(X[:5], Y[:5]).ok
    assert isinstance(model.layers[0].w.value, np.ndarray)


@pytest.mark.parametrize(
    "declare",
    [
        lambda layer: layer.add_weight((5, 2), "ones", name="kernel"),
        lambda layer: layer.add_weight(name="kernel", shape=(5, 2), initializer="ones"),
        lambda layer: layer.add_weight("kernel", (5, 2), "ones"),
        lambda layer: layer.add_weight("kernel", shape=(5, 2), initializer="ones"),
    ],
)
def test_weights_are_declared_in_either_order_of_keras(declare: Any) -> None:
    class Plain(Layer):
        def build(self, input_shape: Any) -> None:
            self.w = declare(self)

        def call(self, x: Any) -> Any:
            return x @ self.w

    model = Sequential([Plain(input_shape=(5,))], seed=0)
    assert list(model.named_weights()) == ["plain_1/kernel"]
    np.testing.assert_allclose(model.predict(X), np.repeat(X.sum(1, keepdims=True), 2, axis=1), rtol=1e-4, atol=1e-5)


def test_weights_that_are_declared_twice_over_are_refused() -> None:
    with pytest.raises(errors.ArgumentTypeError, match="add_weight has received shape twice"):
        Lambda(np.abs).add_weight((2,), shape=(3,))
    with pytest.raises(errors.ArgumentTypeError, match="add_weight takes shape, initializer without keywords"):
        Lambda(np.abs).add_weight((2,), "zeros", None, True)


class Replaces(Layer):
    def build(self, input_shape: Any) -> None:
        self.mean = self.state("mean", (4,))

    def call(self, x: Any) -> Any:
        self.mean = np.mean(x, axis=0)
        return x - self.mean


class Stray(Layer):
    def build(self, input_shape: Any) -> None:
        self.w = Variable(np.ones(4), name="scale")

    def call(self, x: Any) -> Any:
        return x * self.w


class MakesLayers(Layer):
    def call(self, x: Any) -> Any:
        return Dense(4)(x)


class AsksTooMuch(Layer):
    def call(self, x: Any, length: Any) -> Any:
        return x


class Fixed(Layer):
    def call(self, x: Any) -> Any:
        return np.reshape(x, (8, 4))


class Misspelt(Layer):
    def calls(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (Replaces, errors.ArgumentTypeError, r"Replaces.*call\(\) replaces self.mean.*Write self.mean.assign"),
        (Stray, errors.ArgumentTypeError, r"Stray.*call\(\) uses 'scale' \(4,\), which is no weight.*add_weight"),
        (MakesLayers, errors.ArgumentTypeError, r"uses 'weight' \(4, 4\).*make layers in __init__"),
        (AsksTooMuch, errors.ArgumentTypeError, r"nobody passes 'length' to call\(self, x.*length.*training and mask"),
        (Fixed, errors.ShapeError, r"call\(\) was tried with 2 samples"),
        (Misspelt, NotImplementedError, r"call\(self, x\) in tensors\. Is it 'calls'"),
    ],
)
def test_mistakes_in_layers_are_named(kind: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Sequential([Dense(4, input_shape=(5,)), kind(), Dense(1)]).predict(X)


def test_a_constant_of_another_type_leaves_the_type_of_the_model() -> None:
    class Shifted(Layer):
        def build(self, input_shape: Any) -> None:
            self.shift = Variable(np.ones(4), trainable=False)  # float64

        def call(self, x: Any) -> Any:
            return x + self.shift

    _, history = trained([Dense(4, input_shape=(5,)), Shifted()])
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("ask", [lambda h: h > 0, lambda h: np.any(h, axis=-1), lambda h: (h > 0) & (h < 1)])
def test_outputs_are_not_asked_for_true_or_false(ask: Any) -> None:
    inputs = Input((3,))
    with pytest.raises(errors.ArgumentTypeError, match=r"an if cannot ask for it. Choose by np.where"):
        bool(ask(inputs))
    assert Dense(2)(inputs)
