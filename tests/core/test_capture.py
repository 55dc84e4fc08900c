"""Steps made again from their notes give the bits of the ordinary way; what cannot be noted goes on as it was."""

from __future__ import annotations

import copy
import gc
import sys
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import miniDLF
from miniDLF import layers, losses
from miniDLF.core.call import Call
from miniDLF.core.capture import FIRST_RUNS, Capture
from miniDLF.core.layer import Layer
from miniDLF.core.noted import _Part
from miniDLF.core.tracing import MOST, NoteTaker
from miniDLF.errors import DivergedError
from miniDLF.layers import (
    RNN,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Pooling2D,
    Reshape,
    UpSampling2D,
)
from miniDLF.models import Input, Model, Sequential
from miniDLF.optimizers import Adam
from tests.programs import said

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 200)
STEPS = FIRST_RUNS

ACTIVATIONS = ("relu", "leaky_relu", "clipped_relu", "elu", "selu", "sigmoid", "tanh", "softmax", "softplus", "swish")
CAPTURED_LAYERS = sorted(name for name in layers.__all__ if vars(getattr(layers, name)).get("captures"))
CAPTURED_LOSSES = sorted(name for name in losses.__all__ if vars(getattr(losses, name)).get("captures"))


def trained(
    parts: Any,
    *,
    captures: bool,
    loss: Any = "cce",
    y: Any = Y,
    epochs: int = 3,
    shards: int | None = None,
    options_of_optimizer: Any = None,
    **options: Any,
) -> Any:
    """Return a model after some epochs of batches of 32 (the last one of 8), with or without captured steps."""
    model = parts
    if isinstance(parts, list):
        model = Sequential(parts, seed=1, shards=shards)
    model.compile(loss, Adam(**options_of_optimizer or {}), doctor=False)  # losses stand behind any activation
    if isinstance(model, Sequential):
        model.build((6,))
    executor = model.engine().executor
    assert executor._training.captures
    executor._training.captures = captures
    model.fit(X, y, epochs=epochs, batch_size=32, verbose=0, **options)
    return model


def captures_of(model: Any) -> list[Capture]:
    return list(model.engine().executor._steps.values())


def same(a: Any, b: Any) -> bool:
    weights = zip(a.get_weights(), b.get_weights(), strict=True)
    histories = [model.history and model.history.history for model in (a, b)]
    return all(np.array_equal(x, y) for x, y in weights) and histories[0] == histories[1]


def head(*middle: Any) -> list[Any]:
    return [Dense(16), *middle, Dense(3), Activation("softmax")]


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "gelu", "linear"])
def test_captured_steps_give_the_same_bits(activation: str) -> None:
    ordinary = trained(head(Activation(activation)), captures=False)
    captured = trained(head(Activation(activation)), captures=True)
    assert same(ordinary, captured)
    whole, last = captures_of(captured)
    assert whole.ready
    assert not last.ready  # three steps of 8 rows are too few for its proof


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", CAPTURED_LAYERS)
def test_every_layer_that_says_so_can_be_captured(name: str, shards: int) -> None:
    """Three shards: one thread does what they offer at last, so nothing may depend on its being done before."""
    special = {
        "Activation": lambda: Activation("relu"),
        "Conv2D": lambda: Conv2D(3, 2),
        "Dense": lambda: Dense(5, use_bias=False),
        "Dropout": lambda: Dropout(0.4),
        "Reshape": lambda: Reshape((2, -1)),
        **{kind: partial(getattr(layers, kind), 5) for kind in ("RNN", "LSTM", "GRU")},
    }

    def network() -> Any:
        layer = special.get(name, getattr(layers, name))()
        if layer.takes_many:
            x = Input((6,))
            joined = layer([Dense(4)(x), Activation("tanh")(Dense(4)(x)), *([Dense(4)(x)] * (name != "Subtract"))])
            return Model(x, Activation("softmax")(Dense(3)(joined)), seed=1, shards=shards)
        images = name.endswith("2D") or name in ("Flatten", "Reshape")
        sequences = name in ("RNN", "LSTM", "GRU")
        first = [Reshape((4, 2, 2))] if images else [Reshape((4, 4))] if sequences else []
        return Sequential(head(*first, layer, Flatten()), seed=1, shards=shards)

    ordinary, captured = trained(network(), captures=False), trained(network(), captures=True)
    assert same(ordinary, captured)
    assert captures_of(captured)[0].ready
    expected, predictions = predicted(ordinary, X, captures=False), predicted(captured, X, captures=True)
    np.testing.assert_array_equal(predictions, expected)


def predicted(model: Any, x: Any, *, captures: bool) -> list[Any]:
    """Return predictions of three rows, until they are made from notes and then with other weights."""
    model.executor()._inference.captures = captures
    results = []
    for _ in range(2):
        results += [model.predict(x[i : i + 3]) for i in range(STEPS + 1)]
        model.set_weights([weight * 1.25 + 0.01 for weight in model.get_weights()])
    assert [capture.ready for capture in model.executor()._idle[-1].worker(0)._known.values()] == [True] * captures
    return results


class Shifting(Layer):
    """Adds the exponential of a weight, in a new array: its promise does not hold."""

    captures = True

    def build(self, input_shape: Any) -> Any:
        self.shift = self.parameter("shift", input_shape, "zeros")
        return input_shape

    def forward(self, x: Any, call: Any) -> Any:
        return np.add(x, np.exp(self.shift.value), out=call.empty("y", x.shape))

    def backward(self, dy: Any, call: Any) -> Any:
        np.multiply(dy.sum(axis=0), np.exp(self.shift.value), out=call.grad(self.shift))
        return dy


def test_arrays_made_of_what_is_not_noted_are_found() -> None:
    frozen = {"lr": 0.0}  # while the weights stay as they are, nothing else would tell
    models = []
    for captures in (False, True):
        model = trained(head(Shifting()), captures=captures, options_of_optimizer=frozen)
        assert not any(capture.ready for capture in captures_of(model))
        model.optimizer.lr = 0.1
        model.fit(X, Y, epochs=1, batch_size=32, verbose=0)
        models.append(model)
    assert same(*models)
    assert_predicts_with_new_weights(models[1])


class Preparing(Shifting):
    """Prepares the exponential, in a new array too."""

    captures = True

    def prepare(self, shared: Any) -> None:
        shared.parts = [np.exp(self.shift.value)]

    def forward(self, x: Any, call: Any) -> Any:
        return np.add(x, call.shared.parts[0], out=call.empty("y", x.shape))


def test_weights_prepared_in_new_arrays_are_found() -> None:
    assert_predicts_with_new_weights(trained(head(Preparing()), captures=True))


def assert_predicts_with_new_weights(model: Any) -> None:
    """Predict few and many rows until notes would be worked off; then with other weights."""
    executor = model.executor()
    executor._chunk = 16
    for rows in (3, 200):
        for _ in range(STEPS + 1):
            before = model.predict(X[:rows])
        model.set_weights([weight + 1 for weight in model.get_weights()])
        expected = copy.deepcopy(model).predict(X[:rows])  # a new model
        assert np.abs(expected - before).max() > 1e-3
        np.testing.assert_allclose(model.predict(X[:rows]), expected, rtol=1e-5, atol=1e-7)


#: Convolutions by every method, with what they take over from their neighbours.
IMAGE_CASES = {
    "plain": lambda: [Conv2D(5, 3)],
    "strides and padding": lambda: [Conv2D(5, 3, padding=1), Activation("relu"), Conv2D(6, (2, 3), stride=(2, 1))],
    "no bias": lambda: [Conv2D(5, 3, use_bias=False), Conv2D(6, 1, use_bias=False)],
    "winograd": lambda: [Conv2D(32, 3, padding=1), Activation("relu"), Conv2D(32, 3, padding=1)],
    "few filters": lambda: [Conv2D(8, 3, padding=1), Activation("relu"), Conv2D(2, 3, padding=1)],
    "pooled means": lambda: [Conv2D(8, 3, padding=1), Activation("leaky_relu"), Pooling2D(2, mode="avg")],
    "pooled maxima": lambda: [Conv2D(8, 3, padding=1), Activation("relu"), Pooling2D(2)],
    "overlapping": lambda: [Pooling2D(3, 2), Conv2D(8, 3, padding=1), Pooling2D(3, 1, mode="avg")],
    "enlarged": lambda: [Conv2D(8, 3, padding=1), UpSampling2D(2), Conv2D(3, 3, padding=1), UpSampling2D(2)],
    "global mean": lambda: [Conv2D(8, 3), GlobalAveragePooling2D()],
    "reshaped": lambda: [Conv2D(8, 3), Reshape((4, 72))],
    "normalised": lambda: [Conv2D(8, 3), BatchNormalization(), Activation("relu"), BatchNormalization(), Pooling2D(2)],
}
IMAGES = RNG.normal(size=(200, 2, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("rows", [5, 40], ids=["channels-last", "batch-last"])
@pytest.mark.parametrize("case", IMAGE_CASES)
def test_image_networks_give_the_same_bits(case: str, rows: int) -> None:
    def run(captures: bool) -> Any:
        model = Sequential([*IMAGE_CASES[case](), Flatten(), Dense(3), Activation("softmax")], seed=1, shards=1)
        model.compile("cce", "adam")
        model.build((2, 8, 8))
        executor = model.engine().executor
        for program in (executor._training, executor._inference):
            assert program.captures
            program.captures = captures
        count = rows * (STEPS + 2)
        model.fit(IMAGES[:count], Y[:count], epochs=2, batch_size=rows, verbose=0)
        return model, predicted(model, IMAGES, captures=captures)

    (ordinary, expected), (captured, predictions) = run(False), run(True)
    assert same(ordinary, captured)
    np.testing.assert_array_equal(predictions, expected)
    assert all(capture.ready for capture in captures_of(captured))


@pytest.mark.parametrize("case", ["winograd", "pooled maxima", "enlarged"])
def test_predictions_of_many_rows_give_the_same_bits(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miniDLF.core.executor.SMALL_PREDICTION", 0)

    def run(captures: bool) -> Any:
        model = Sequential([*IMAGE_CASES[case](), Flatten(), Dense(3), Activation("softmax")], seed=1)
        model.build((2, 8, 8))
        executor = model.executor()
        executor._inference.captures, executor._chunk = captures, 16  # 12 pieces, and one of 8 rows
        return [model.predict(IMAGES[::-1] * factor) for factor in (1, 2, 3)], executor

    (expected, _), (predictions, executor) = run(False), run(True)
    np.testing.assert_array_equal(predictions, expected)
    known = [worker._known.get(16) for worker in executor._idle[-1]._workers]
    assert any(prediction is not None and prediction.ready for prediction in known)  # whoever made the most of them


def test_prepared_weights_are_read_anew() -> None:
    parts = [Conv2D(4, 3), Flatten(), Dense(16), BatchNormalization(), Dense(3), Activation("softmax")]
    model = Sequential(parts, seed=1)
    model.compile("cce", "adam")
    model.build((2, 8, 8))
    inference = model.engine().executor._inference
    assert inference.captures
    assert len(inference.steps) < len(parts)  # the normalisation has become a part of the layer behind it
    for _ in range(3):
        model.fit(IMAGES, Y, epochs=1, batch_size=50, verbose=0)
        for _ in range(STEPS + 1):
            one = model.predict(IMAGES[:1])
        np.testing.assert_allclose(one, model.predict(np.repeat(IMAGES[:1], 2000, axis=0))[:1], rtol=1e-4, atol=1e-6)


SOFT = np.eye(3, dtype=np.float32)[Y]
#: A loss, its arguments, the activation before it, and targets.
LOSS_CASES = [
    ("CategoricalCrossentropy", {}, "softmax", Y),
    ("CategoricalCrossentropy", {}, "softmax", SOFT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "softmax", SOFT),
    ("CategoricalCrossentropy", {}, "sigmoid", Y),  # a loss by itself
    ("CategoricalCrossentropy", {}, "sigmoid", SOFT),
    ("CategoricalCrossentropy", {"from_logits": True}, "linear", Y),
    ("SparseCategoricalCrossentropy", {}, "softmax", Y),
    ("BinaryCrossentropy", {}, "sigmoid", SOFT),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "tanh", SOFT),
    ("MeanSquaredError", {}, "linear", X[:, :3]),
    ("MeanAbsoluteError", {}, "tanh", X[:, :3]),
]


@pytest.mark.parametrize(("name", "options", "activation", "y"), LOSS_CASES)
def test_every_loss_that_says_so_can_be_captured(name: str, options: Any, activation: str, y: Any) -> None:
    ordinary, captured = (
        trained(
            [Dense(16), Activation("tanh"), Dense(3), Activation(activation)],
            captures=captures,
            loss=getattr(losses, name)(**options),
            y=y,
        )
        for captures in (False, True)
    )
    assert same(ordinary, captured)
    assert captures_of(captured)[0].ready


def test_no_loss_that_says_so_is_left_out() -> None:
    assert {name for name, *_ in LOSS_CASES} == set(CAPTURED_LOSSES)


def test_batches_may_grow_and_shrink() -> None:
    def run(captures: bool) -> Any:
        model = trained(head(Activation("relu")), captures=captures)
        for size in (16, 64, 16, 32, 7):
            model.fit(X, Y, epochs=2, batch_size=size, verbose=0)
            model.train_on_batch(X[:5], Y[:5])
        return model

    assert same(run(False), run(True))


def test_weighted_samples_and_metrics_are_as_without() -> None:
    weights = RNG.random(200)
    ordinary, captured = (
        trained(head(Dense(4)), captures=captures, sample_weight=weights) for captures in (False, True)
    )
    assert same(ordinary, captured)
    assert captures_of(captured)[0].ready
    models = []
    for captures in (False, True):
        model = Sequential(head(Activation("tanh")), seed=1)
        model.compile("cce", "adam", metrics=["accuracy"])
        model.build((6,))
        model.engine().executor._training.captures = captures
        model.fit(X, Y, epochs=3, batch_size=32, validation_split=0.2, verbose=0)
        models.append(model)
    assert same(*models)


def by_generator(model: Any) -> None:
    def batches() -> Iterator[Any]:
        for start in range(0, 4 * len(X), 20):
            rows = np.arange(start, start + 20) % len(X)
            yield X[rows].astype(np.float64), Y[rows]

    model.fit(batches(), steps_per_epoch=10, epochs=4, verbose=0)


def one_by_one(model: Any) -> None:
    for start in range(0, len(X), 10):
        weights = np.linspace(0, 2, 10) if start >= 100 else None
        model.train_on_batch(X[start : start + 10], Y[start : start + 10], sample_weight=weights)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(
    "train",
    [
        lambda model: model.fit(X, Y, epochs=3, batch_size=25, shuffle=False, verbose=0),
        lambda model: model.fit(X, Y, epochs=3, batch_size=25, class_weight={0: 3.0, 2: 0.5}, verbose=0),
        by_generator,
        one_by_one,
    ],
    ids=["in order", "weighted classes", "generator", "one by one"],
)
def test_batches_that_lie_elsewhere_every_time_are_captured(train: Any, shards: int) -> None:
    models = []
    for captures in (False, True):
        model = Sequential(head(Activation("tanh"), BatchNormalization()), seed=1, shards=shards)
        model.compile("cce", "adam", metrics=["accuracy"])
        model.build((6,))
        model.engine().executor._training.captures = captures
        train(model)
        models.append(model)
    assert same(*models)
    assert any(capture.ready for capture in captures_of(models[1]))


def test_a_large_batch_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miniDLF.core.executor.COPIED", X[:50].nbytes + Y[:50].nbytes)
    model = Sequential(head(), seed=1, shards=1)
    model.compile("cce")
    model.build((6,))
    for rows in (40, 60):
        for _ in range(STEPS):
            model.train_on_batch(X[:rows], Y[:rows])
        assert [capture.ready for capture in captures_of(model)] == [True]


def test_predictions_from_notes_see_every_change() -> None:
    model = trained(head(Activation("relu")), captures=True)
    for rows in (1, 3, 1):
        for start in range(STEPS + 2):
            x = X[start : start + rows]
            kept = model.predict(x)
            again = model.predict(x[:, ::-1][:, ::-1])
            np.testing.assert_array_equal(kept, again)
            expected = model.predict(np.repeat(x, 40, axis=0))[::40]  # more rows take the ordinary way
            np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-6)
        model.layers[0].weight.value[...] *= 1.25


class Subclass(Dense):
    """Looks at its numbers in Python."""

    seen: Any = None

    def forward(self, x: Any, call: Any) -> Any:
        self.seen = float(x.sum())
        return super().forward(x, call)


class Peeking(Layer):
    """Says that it can be captured, and branches on its numbers."""

    captures = True
    how: str = "bool"

    def forward(self, x: Any, call: Any) -> Any:
        y = call.empty("y", x.shape)
        if self.how == "bool":
            return np.multiply(x, 2.0 if x[0, 0] > 0 else 3.0, out=y)
        if self.how == "float":
            return np.multiply(x, 1.0 + abs(float(x[0, 0].reshape(()))), out=y)
        plain = np.asarray(x)  # leaves the notes
        return np.multiply(x, 2.0 + np.abs(plain).max(), out=y)

    def backward(self, dy: Any, call: Any) -> Any:
        return dy


def test_a_subclass_does_not_inherit_the_promise() -> None:
    model = Sequential([Subclass(4), Dense(3), Activation("softmax")], seed=0)
    model.compile("cce")
    model.build((6,))
    assert not model.engine().executor._training.captures
    patched = Dense(4)
    patched.forward = lambda x, call: Dense.forward(patched, x, call)  # type: ignore[method-assign]
    model = Sequential([patched, Dense(3), Activation("softmax")], seed=0)
    model.compile("cce")
    model.build((6,))
    assert not model.engine().executor._training.captures


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("how", ["bool", "float", "asarray"])
def test_a_layer_that_breaks_its_promise_runs_the_ordinary_way(how: str, shards: int) -> None:
    ordinary, captured = (
        trained(head(Peeking(how), BatchNormalization()), captures=captures, shards=shards)
        for captures in (False, True)
    )
    assert same(ordinary, captured)
    assert not any(capture.ready for capture in captures_of(captured))


def test_a_field_that_is_set_makes_the_notes_void() -> None:
    def changed(captures: bool) -> Any:
        loss = losses.CategoricalCrossentropy()
        model = trained(head(Activation("leaky_relu")), captures=captures, loss=loss)
        assert not captures or captures_of(model)[0].ready
        before = [model.predict(X[:1]) for _ in range(STEPS + 1)][-1]
        model.layers[1].function.alpha = 0.5
        loss.label_smoothing = 0.2
        assert not np.array_equal(model.predict(X[:1]), before)
        model.fit(X, Y, epochs=3, batch_size=32, verbose=0)
        return model

    assert same(changed(False), changed(True))


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("before", ["relu", "tanh"])
def test_random_masks_and_statistics_are_those_of_the_step(
    before: str, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parts() -> Any:
        return head(Activation(before), Dropout(0.5), Dense(8), BatchNormalization(), Dropout(0.2))

    monkeypatch.setattr("miniDLF.core.executor.SMALL_STEP", 0)  # on the threads
    ordinary, captured = (trained(parts(), captures=captures, shards=shards) for captures in (False, True))
    assert same(ordinary, captured)
    assert captures_of(captured)[0].ready
    whole = Sequential(parts(), seed=1, shards=shards)
    whole.compile("cce", "adam")
    whole.fit(X, Y, epochs=3, batch_size=32, verbose=0)
    assert same(whole, captured)  # as the model runs by itself


def test_long_sequences_are_not_noted() -> None:
    x = RNG.normal(size=(20, MOST, 2)).astype(np.float32)
    model = Sequential([RNN(2), Flatten(), Dense(3), Activation("softmax")], seed=0, shards=1)
    model.compile("cce")
    model.fit(x, Y[:20], epochs=STEPS + 1, batch_size=20, verbose=0)
    assert not any(capture.ready for capture in captures_of(model))


class SecondPeeks(Layer):
    """Looks at its numbers in every part of a batch but the first, and only after a meeting."""

    captures = True

    def forward(self, x: Any, call: Any) -> Any:
        if call._place[1] and x[0, 0] > 1e9:
            raise AssertionError
        return np.multiply(x, 2.0, out=call.empty("y", x.shape))

    def backward(self, dy: Any, call: Any) -> Any:
        return np.multiply(dy, 2.0, out=dy)


@pytest.mark.parametrize("limit", [0, 10**12], ids=["threads", "one thread"])
def test_one_shard_that_cannot_be_noted_keeps_none_of_them_waiting(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miniDLF.core.executor.SMALL_STEP", limit)
    ordinary, captured = (
        trained(head(BatchNormalization(), SecondPeeks(), BatchNormalization()), captures=captures, shards=2)
        for captures in (False, True)
    )
    assert same(ordinary, captured)
    assert not any(capture.ready for capture in captures_of(captured))


def test_data_of_another_kind_are_noted_anew() -> None:
    def run(captures: bool) -> Any:
        model = trained(head(Activation("tanh")), captures=captures, loss="mse", y=SOFT)
        for x, y in ((X.astype(np.float64), SOFT), (X, SOFT.astype(np.float64)), (X, SOFT)):
            for _ in range(2):
                model.fit(x, y, epochs=2, batch_size=32, verbose=0)
        return model

    assert same(run(False), run(True))


def test_an_error_is_raised_as_without() -> None:
    def work(takers: Sequence[NoteTaker] | None) -> Any:
        raise ValueError("always")

    capture = Capture(1)
    for _ in range(STEPS + 1):
        with pytest.raises(ValueError, match="always"):
            capture.perform(work, list)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", range(STEPS + 2))
@pytest.mark.parametrize("size", [32, 200])
def test_a_loss_that_is_not_finite_is_traced_to_its_layer(steps: int, size: int) -> None:
    model = Sequential([Dense(8), Activation("relu"), Dense(4, name="guilty"), Dense(3), Activation("softmax")], seed=0)
    model.compile("cce", "adam")
    model.build((6,))
    if steps:  # both sizes are captured, or on their way
        model.fit(X[: 32 * steps], Y[: 32 * steps], epochs=1, batch_size=32, verbose=0)
        model.fit(X, Y, epochs=steps, batch_size=200, verbose=0)
    model.layers[2].weight.value[0, 0] = np.inf
    with pytest.raises(DivergedError, match=r"began in .*guilty"):
        model.fit(X, Y, epochs=1, batch_size=size, verbose=0)


def visits(run: Any) -> int:
    """Return how often `run` comes by ``Dense.forward``, as a breakpoint there would see it."""
    seen = []

    def look(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is Dense.forward.__code__:
            seen.append(frame)

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return len(seen)


def test_without_notes_every_step_and_prediction_comes_by_the_layer() -> None:
    models = [trained([Dense(8), Activation("relu"), Dense(3)], captures=True) for _ in range(2)]
    try:
        for wanted in (True, False, True):
            miniDLF.use_notes(wanted)
            models[0].fit(X, Y, batch_size=50, epochs=3, verbose=0)  # 12 steps of one size
            for _ in range(STEPS):
                models[0].predict(X[:1])
            seen = visits(partial(models[0].fit, X, Y, batch_size=50, verbose=0))
            seen += visits(partial(models[0].predict, X[:1]))
            assert seen == (0 if wanted else 2 * (4 + 1))
            miniDLF.use_notes()
            models[1].fit(X, Y, batch_size=50, epochs=3, verbose=0)
            models[1].fit(X, Y, batch_size=50, verbose=0)
            assert same(*models)
    finally:
        miniDLF.use_notes()


def stepped(counts: bool, where: Any, method: str, after: int, shards: int) -> Any:
    """Do ten steps; an interrupt comes when `method` of the class `where` has been called so often, if it `counts`."""
    model = Sequential([Dense(4, input_shape=(6,)), BatchNormalization(), Dense(2)], seed=1, shards=shards)
    model.compile("mse", "sgd")
    real, calls = getattr(where, method), []

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        result = real(*arguments, **keywords)
        calls.append(method)
        if counts and len(calls) == after:
            raise KeyboardInterrupt
        return result

    setattr(where, method, interrupted)
    losses: list[float] = []
    try:
        while len(losses) < 20:
            x = X[len(losses) :][:8]
            try:
                losses.append(model.train_on_batch(x, x[:, :2]))
            except KeyboardInterrupt:
                setattr(where, method, real)
    finally:
        setattr(where, method, real)
    return model, losses, len(calls)


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(
    ("where", "method"), [(_Part, "results"), (Call, "trace"), (NoteTaker, "make"), (NoteTaker, "traced")]
)
def test_an_interrupt_while_notes_are_taken_leaves_nothing_behind(where: Any, method: str, shards: int) -> None:
    model, losses, total = stepped(False, where, method, 0, shards)
    assert all(step.ready for step in captures_of(model))
    for after in sorted({*range(1, 14), *range(14, total, 11), total - 1}):
        interrupted, seen, _ = stepped(True, where, method, after, shards)
        assert seen == losses
        assert all(map(np.array_equal, interrupted.get_weights(), model.get_weights()))
        assert all(step.ready for step in captures_of(interrupted))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("between", ["a larger batch", "rows side by side"])
def test_weights_are_read_anew_wherever_they_lie(between: str, dtype: str) -> None:
    models, histories = [], []
    for wanted in (True, False):
        miniDLF.use_notes(wanted)
        model = Sequential([Dense(2, input_shape=(6,))], seed=1, shards=1, dtype=dtype)
        model.compile("mse", "sgd")
        x, y, seen = X[:64], X[:64, :2], []
        for weight in (1.0, 0.0, 2.0):
            for _ in range(2):
                weights = np.full(64, weight)
                seen += model.fit(x, y, batch_size=16, epochs=3, sample_weight=weights, verbose=0).history["loss"]
                if between == "a larger batch":
                    model.fit(x, y, batch_size=64, sample_weight=weights, verbose=0)
                else:
                    seen.append(model.train_on_batch(x[:16], y[:16], sample_weight=3 * weights[:16]))
        models.append(model)
        histories.append(seen)
    miniDLF.use_notes()
    assert histories[0] == histories[1]
    assert 0.0 in histories[0]
    assert same(*models)


@pytest.mark.parametrize(("value", "outcome"), [("0", "False"), ("1", "True"), ("yes", "MINIDLF_NOTES: expected 0 or")])
def test_the_environment_may_ask_for_no_notes(value: str, outcome: str) -> None:
    code = "from miniDLF.core.capture import Watched; print(Watched.noted)"
    assert outcome in said(code, MINIDLF_NOTES=value)


def test_the_data_of_a_run_are_let_go() -> None:
    x, y = X.copy(), Y.copy()
    model = Sequential(head(), seed=0)
    model.compile("cce")
    model.fit(x, y, epochs=3, batch_size=32, verbose=0)
    assert captures_of(model)[0].ready
    held = weakref.ref(x)
    del x, y
    gc.collect()
    assert held() is None
