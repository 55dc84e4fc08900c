"""Models whose class calls layers itself, and steps of one's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from miniDLF import GradientTape, errors, function, gradient, ops
from miniDLF.callbacks import EarlyStopping, LambdaCallback
from miniDLF.layers import BatchNormalization, Dense, Dropout, Layer
from miniDLF.models import Model, Sequential
from miniDLF.optimizers import SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 5)).astype("float32")
Y = (X[:, :1] * 2 + 1).astype("float32")


class Net(Model):
    """A residual network of two layers."""

    def __init__(self, rate: float = 0.0, **options: Any) -> None:
        super().__init__(seed=1, **options)
        self.first = Dense(8, activation="relu")
        self.rest = [Dense(8, activation="tanh"), Dropout(rate)]
        self.head = Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.first(x)
        return self.head(h + self.rest[1](self.rest[0](h), training=training))


class OwnStep(Net):
    """The same, with the step that Keras' guide writes."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss, "mae": np.mean(np.abs(y - y_pred))}


def rule() -> SGD:
    return SGD(lr=0.05, momentum=0.5)


def test_a_class_that_calls_layers_trains_predicts_and_is_saved(tmp_path: Any) -> None:
    model = Net()
    model.compile("mse", rule())
    history = model.fit(X, Y, epochs=6, verbose=0, validation_data=(X, Y)).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y), rel=1e-5)
    np.testing.assert_allclose(model(X), model.predict(X), rtol=1e-5)
    assert model.check_gradients(X[:6], Y[:6]).ok
    assert model.count_params() == 5 * 8 + 8 + 8 * 8 + 8 + 8 + 1
    model.save_weights(tmp_path / "w.safetensors")
    again = Net()
    again(X[:1])
    again.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert next(iter(model.named_weights())).endswith("dense_1/weight")


def test_layers_that_are_frozen_stay() -> None:
    model = Net()
    model.first.trainable = False
    model.compile("mse", rule())
    model.fit(X, Y, epochs=1, verbose=0)
    before = [array.copy() for array in model.get_weights()]
    model.fit(X, Y, epochs=1, verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [True, True, False, False, False, False]


def test_own_steps_are_the_usual_ones() -> None:
    usual, own = Net(), OwnStep()
    found = []
    for model in (usual, own):
        model.compile("mse", rule())
        model(X[:1])
        history = model.fit(X, Y, epochs=4, batch_size=96, verbose=0).history
        found.append((history["loss"], model.predict(X)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-4)
    assert own.optimizer.iterations == 4


def test_own_steps_log_what_they_return_and_meet_callbacks() -> None:
    model, seen = OwnStep(), []
    model.compile("mse", rule())
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    stop = EarlyStopping("val_loss", patience=1, min_delta=10.0)
    history = model.fit(X, Y, epochs=9, verbose=0, validation_split=0.25, callbacks=[watch, stop]).history
    assert seen == [["loss", "mae", "val_loss"]] * 2
    assert len(history["mae"]) == 2
    assert model.evaluate(X, Y, return_dict=True).keys() == {"loss"}


def test_eager_steps_are_compiled_steps() -> None:
    found = []
    for eagerly in (False, True):
        model, numbers = OwnStep(), []
        model.compile("mse", rule(), run_eagerly=eagerly)
        model(X[:1])
        if eagerly:
            step = model.train_step
            model.train_step = lambda data, step=step, numbers=numbers: (
                numbers.append(float(np.sum(data[0]))) or step(data)
            )
        found.append(model.fit(X, Y, epochs=2, batch_size=32, verbose=0).history["loss"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert len(numbers) == 6


class Gan(Model):
    """A generator and a discriminator, each with its optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = Sequential([Dense(8, activation="relu", input_shape=(3,)), Dense(2)], seed=1)
        self.discriminator = Sequential([Dense(8, activation="relu", input_shape=(2,)), Dense(1)], seed=2)

    def compile(self, generator_optimizer: Any, discriminator_optimizer: Any) -> None:  # type: ignore[override]
        super().compile()
        self.rules = generator_optimizer, discriminator_optimizer

    def train_step(self, data: Any) -> Any:
        (real,) = data
        noise = ops.random.normal((real.shape[0], 3))
        with GradientTape(persistent=True) as tape:
            fake = self.generator(noise, training=True)
            told_real, told_fake = self.discriminator(real), self.discriminator(fake)
            d_loss = np.mean(ops.softplus(-told_real)) + np.mean(ops.softplus(told_fake))
            g_loss = np.mean(ops.softplus(-told_fake))
        for loss, part, optimizer in zip(
            (g_loss, d_loss), (self.generator, self.discriminator), self.rules, strict=True
        ):
            variables = part.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"g_loss": g_loss, "d_loss": d_loss}


def test_two_networks_with_two_optimizers_train_in_one_step() -> None:
    gan = Gan()
    gan.compile(Adam(lr=0.01), Adam(lr=0.01))
    before = [a.copy() for a in (*gan.generator.get_weights(), *gan.discriminator.get_weights())]
    history = gan.fit(RNG.normal(size=(64, 2)) + 3, epochs=2, batch_size=16, verbose=0).history
    after = (*gan.generator.get_weights(), *gan.discriminator.get_weights())
    assert history.keys() == {"g_loss", "d_loss"}
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert gan.generator.predict(np.zeros((2, 3), "float32")).shape == (2, 2)


class PenaltyLoss(Net):
    """A loss with the gradient of the output with respect to the input."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        return np.mean((y - y_pred) ** 2) + 0.1 * np.mean(np.abs(y_pred))


def test_a_loss_of_ones_own_in_the_usual_step() -> None:
    model = PenaltyLoss()
    model.compile(optimizer=rule())
    model(X[:1])
    history = model.fit(X, Y, epochs=5, verbose=0, validation_data=(X, Y)).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] == pytest.approx(
        float(np.mean((Y - model.predict(X)) ** 2) + 0.1 * np.mean(np.abs(model.predict(X)))), rel=1e-4
    )


class Nested(Model):
    """A model that holds models and layers that hold layers."""

    def __init__(self) -> None:
        super().__init__(seed=3)
        self.body = Sequential([Dense(6, activation="relu", input_shape=(5,)), BatchNormalization()], seed=4)
        self.block = Block()

    def call(self, x: Any) -> Any:
        return self.block(self.body(x))


class Block(Layer):
    def build(self, input_shape: Any) -> None:
        self.inner = Dense(input_shape[-1], name="inner")
        self.out = Dense(1, name="out")

    def call(self, x: Any) -> Any:
        return self.out(x + np.tanh(self.inner(x)))


def test_models_hold_models_and_layers_hold_layers() -> None:
    model = Nested()
    model.compile("mse", rule())
    history = model.fit(X, Y, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert model.count_params() == 5 * 6 + 6 + 4 * 6 + 6 * 6 + 6 + 6 + 1
    alone = Sequential([Dense(4, input_shape=(5,)), Block()], seed=1)
    alone.compile("mse", rule())
    assert alone.count_params() == 5 * 4 + 4 + 4 * 4 + 4 + 4 + 1
    alone.fit(X, Y, epochs=1, verbose=0)
    assert alone.check_gradients(X[:5], Y[:5]).ok


def test_copies_are_models_of_their_own() -> None:
    model = OwnStep()
    model.compile("mse", rule())
    model(X[:1])
    model.fit(X, Y, epochs=1, verbose=0)
    again = copy.deepcopy(model)
    expected = model.predict(X)
    again.fit(X, Y, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.predict(X), expected)
    assert not np.array_equal(again.predict(X), expected)


class ReturnsNothing(OwnStep):
    def train_step(self, data: Any) -> Any:
        pass


class ReturnsRows(OwnStep):
    def train_step(self, data: Any) -> Any:
        return {"loss": data[0]}


class Explodes(OwnStep):
    def train_step(self, data: Any) -> Any:
        return {"loss": np.sum(data[0]) * np.inf}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (ReturnsNothing, errors.ArgumentTypeError, "train_step returned NoneType; return a dictionary"),
        (ReturnsRows, errors.ShapeError, r"'loss' has the shape \(32, 5\)"),
        (Explodes, errors.DivergedError, "step 1: 'loss' is"),
    ],
)
def test_mistakes_in_own_steps_are_named(make: Any, error: Any, message: str) -> None:
    model = make()
    model.compile("mse", rule())
    with pytest.raises(error, match=message):
        model.fit(X, Y, verbose=0)


def test_what_is_not_there_yet_is_said() -> None:
    with pytest.raises(errors.ArgumentTypeError, match=r"defines call\(self, x\)"):
        Model()
    with pytest.raises(errors.NotReadyError, match=r"model\(x\[:1\]\)"):
        Net().fit(iter([]), verbose=0)
    model = Net()
    model.compile("mse", rule())
    with pytest.raises(errors.ShapeError, match="different numbers of samples"):
        OwnStep().fit(X, Y[:3], verbose=0)


def test_gradients_with_respect_to_inputs_of_a_trained_model() -> None:
    model = Net()
    model.compile("mse", rule())
    model.fit(X, Y, epochs=2, verbose=0)
    from miniDLF import Tensor, function

    @function
    def saliency(x: Any) -> Any:
        return gradient(np.sum(model(x)), x)

    found = saliency(X[:4]).numpy()
    x = Tensor(X[:4].astype("float64"))
    for place in ((0, 0), (3, 4)):
        moved = [np.array(x) for _ in range(2)]
        moved[0][place] += 1e-2
        moved[1][place] -= 1e-2
        numeric = (model.predict(moved[0]).sum() - model.predict(moved[1]).sum()) / 2e-2
        assert found[place] == pytest.approx(numeric, rel=2e-2, abs=2e-3)


def test_dropout_of_built_in_layers_is_drawn_anew_in_every_step() -> None:
    from miniDLF import function

    drop = Dropout(0.5)
    run = function(lambda x: drop(x, training=True))
    first, second = run(X).numpy(), run(X).numpy()
    assert not np.array_equal(first, second)

    @function
    def both(x: Any) -> Any:
        y = drop(x, training=True)
        return y, gradient(np.sum(y), x)

    y, dx = both(X)
    np.testing.assert_allclose(y.numpy(), X * dx.numpy(), rtol=1e-6)


def test_the_best_epoch_comes_back_with_what_the_optimizer_keeps() -> None:
    model = OwnStep()
    model.compile("mse", SGD(lr=0.05, momentum=0.9))
    found: dict[int, Any] = {}
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: found.update({epoch: model.get_weights()}))

    def worse(epoch: int, logs: Any) -> None:
        if epoch == 2:
            model.optimizer.learning_rate = 5.0  # from here on it gets worse

    stop = EarlyStopping("loss", patience=1, restore_best_weights=True)
    model.fit(X, Y, epochs=9, verbose=0, callbacks=[keep, LambdaCallback(on_epoch_begin=worse), stop])
    assert stop.best_epoch < max(found)
    for a, b in zip(model.get_weights(), found[stop.best_epoch], strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 3 * (stop.best_epoch + 1)


def test_models_and_layers_that_are_first_called_in_a_compiled_function_are_made_there() -> None:
    fresh = [Sequential([Dense(4, activation="tanh", input_shape=(5,)), Dense(1)], seed=1), Net(), Dense(3)]
    for model in fresh:

        @function
        def sensitivity(x: Any, model: Any = model) -> Any:
            return gradient(np.sum(model(x), axis=-1), x)

        found = np.asarray(sensitivity(X[:6]))
        assert found.shape == (6, 5)
        assert np.abs(found).max() > 0
        np.testing.assert_array_equal(np.asarray(sensitivity(X[:6])), found)
    again = Sequential([Dense(4, activation="tanh", input_shape=(5,)), Dense(1)], seed=1)
    np.testing.assert_array_equal(again.predict(X), fresh[0].predict(X))
    assert len(fresh[1].trainable_variables) == 6


class Unready(Model):
    def __init__(self) -> None:
        self.head = Dense(1)

    def call(self, x: Any) -> Any:
        return self.head(x)


class TwoArguments(Net):
    def train_step(self, x: Any, y: Any) -> Any:  # type: ignore[override]
        return {"loss": np.mean(x)}


class ShortLoss(Net):
    def compute_loss(self, y: Any, y_pred: Any) -> Any:  # type: ignore[override]
        return np.mean((y - y_pred) ** 2)


class MakesLayers(Net):
    def call(self, x: Any, training: bool = False) -> Any:
        return Dense(1)(x)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (Unready, errors.NotReadyError, r"Unready: its __init__ does not call super\(\).__init__\(\)"),
        (TwoArguments, errors.ArgumentTypeError, r"train_step\(x.* cannot be called with \(data\)"),
        (ShortLoss, errors.ArgumentTypeError, r"compute_loss\(y.* cannot be called.*Write it as compute_loss"),
        (MakesLayers, errors.ArgumentTypeError, r"MakesLayers 'makes_layers': call\(\) uses 'weight'.*in __init__"),
    ],
)
def test_mistakes_in_classes_are_named(kind: Any, error: Any, message: str) -> None:
    def train() -> None:
        model = kind()
        model.compile("mse", rule())
        model.fit(X, Y, epochs=1, verbose=0)

    with pytest.raises(error, match=message):
        train()


def test_a_class_is_not_saved_whole(tmp_path: Any) -> None:
    model = Net()
    model(X[:1])
    with pytest.raises(errors.ArgumentTypeError, match=r"Net: how it computes stands in the code.*save_weights"):
        model.save(tmp_path / "m.safetensors")
