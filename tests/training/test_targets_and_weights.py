"""Targets as they are given, and weights of samples and steps, on every way into training and evaluation."""

from __future__ import annotations

import re

import numpy as np
import pytest

from miniDLF import errors
from miniDLF.datasets import Dataset
from miniDLF.layers import RNN, Activation, Dense
from miniDLF.losses import CategoricalCrossentropy
from miniDLF.metrics import F1Score
from miniDLF.models import Input, Model, Sequential
from miniDLF.models.compiling import LossMetric
from miniDLF.optimizers import SGD

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")
LABELS = RNG.integers(0, 3, 24)
YES = (X[:, :1] > 0) * 1.0


def still():
    return SGD(lr=0.0, momentum=0.0)


def classifier(*measured, loss="cce", shards=None, weighted=()):
    model = Sequential([Dense(3, activation="softmax", input_shape=(4,))], seed=1, shards=shards)
    model.compile(loss, still(), metrics=list(measured), weighted_metrics=list(weighted), doctor=False)
    return model


def line(loss="mse", optimizer=None, metrics=(), dtype="float32", activation=None):
    model = Sequential([Dense(1, activation=activation, input_shape=(4,))], seed=1, dtype=dtype)
    model.compile(loss, optimizer or "adam", metrics=list(metrics), doctor=False)
    return model


# Targets as they were given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float64", "float32", "uint8", "int64", "bool"])
@pytest.mark.parametrize("shards", [1, 3])
def test_metrics_see_rows_where_rows_were_given(kind, shards) -> None:
    seen = []

    def product(target, prediction):
        seen.append(target)
        return (target * prediction).sum(-1)

    rows = np.eye(3)[LABELS]
    model = classifier(product, "mse", "accuracy", F1Score("macro", multi_label=True), shards=shards)
    p = model.predict(X)
    expected = [(rows * p).sum(-1).mean(), ((rows - p) ** 2).mean(), np.mean(p.argmax(-1) == LABELS)]
    history = model.fit(X, rows.astype(kind), batch_size=10, verbose=0, validation_data=(X, rows.astype(kind))).history
    for start in ("", "val_"):
        found = [history[start + name][0] for name in ("product", "mse", "accuracy")]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert {target.dtype for target in seen} == {np.dtype("float32")}


def test_labels_can_index() -> None:
    model = classifier(lambda t, p: p[np.arange(len(t)), t])
    p = model.predict(X)
    for kind in ("uint8", "int16", "int64"):
        found = model.evaluate(X, LABELS.astype(kind))[1]
        assert found == pytest.approx(p[np.arange(24), LABELS].mean(), rel=1e-5)


@pytest.mark.parametrize("measured", ["accuracy", "mse", "top_k_categorical_accuracy", lambda t, p: (t - p).mean(-1)])
def test_soft_targets_in_training_and_hard_ones_in_validation(measured) -> None:
    soft = RNG.dirichlet(np.ones(3), 24)
    hard = np.eye(3)[LABELS]
    for training, validation in ((soft, hard), (hard, soft)):
        model = classifier(measured)
        history = model.fit(X, training, verbose=0, epochs=2, validation_data=(X, validation)).history
        assert history["val_loss"][0] == pytest.approx(model.evaluate(X, validation)[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["uint8", "int16"])
def test_whole_numbers_are_calculated_with_as_numbers(kind) -> None:
    target = (200 * YES).astype(kind)
    model = line("mse", still(), [lambda t, p: (p * 0 - t) ** 2, "mae", LossMetric("huber")])
    step = model.train_on_batch(X, target, return_dict=True)
    for found in (step, model.evaluate(X, target, return_dict=True)):
        values = list(found.values())
        assert values[1] == pytest.approx(40_000 * YES.mean(), rel=1e-5)
        assert values[2] == pytest.approx(np.abs(model.predict(X) - 200 * YES).mean(), rel=1e-5)


# (N,) for an output of one --------------------------------------------------------------------------------------------


def _ways(model, y):
    """Return what every way into the model makes of targets."""
    x, w = X, np.linspace(0, 1, 24)
    found = [model.gradients(x, y)[0], model.evaluate(x, y), model.test_on_batch(x, y, w), model.train_on_batch(x, y)]
    history = model.fit(x, y, epochs=2, verbose=0, validation_split=0.25, batch_size=5).history
    found += history["loss"] + history["val_loss"]
    found += model.fit(x, y, epochs=1, verbose=0, validation_data=(x, y)).history["val_loss"]
    found += model.fit(iter([(x, y, w)]), steps_per_epoch=1, verbose=0).history["loss"]
    found += model.fit(Dataset(x, y, test=(x, y)), 1, verbose=0).history["val_loss"]
    return np.array([np.ravel(value) for value in found], dtype=object)


@pytest.mark.parametrize(
    ("loss", "activation", "measured"),
    [
        ("mse", None, ["mae", "r2_score", lambda t, p: (t - p) ** 2]),
        ("bce", "sigmoid", ["accuracy", "auc", "precision", LossMetric("mse")]),
        ("hinge", None, ["accuracy", "f1_score"]),
        ("poisson", "softplus", ["rmse"]),
        ("binary_focal_crossentropy", "sigmoid", ["binary_accuracy"]),
    ],
)
def test_targets_without_the_last_axis_are_those_with_it(loss, activation, measured) -> None:
    one, other = (_ways(line(loss, metrics=measured, activation=activation), y) for y in (YES, YES[:, 0]))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert line(loss, activation=activation).check_gradients(X[:5], YES[:5, 0]).ok


def test_targets_of_steps_without_the_last_axis() -> None:
    model = Sequential([RNN(3, input_shape=(5, 1))], seed=1)
    model.compile("mse", still())
    x = RNG.normal(size=(6, 5, 1))
    assert model.evaluate(x, x[..., 0]) == model.evaluate(x, x)


# Weights --------------------------------------------------------------------------------------------------------------


def _sequences(loss="cce", activation="softmax", shards=None, weighted=()):
    model = Sequential([RNN(3, input_shape=(5, 4)), Activation(activation)], seed=1, shards=shards)
    model.compile(loss, still(), weighted_metrics=list(weighted))
    return model


STEPS = RNG.normal(size=(8, 5, 4)).astype("float32")
STEP_LABELS = RNG.integers(0, 4, (8, 5))


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("over_time", ["sum", "mean"])
def test_weights_of_steps(over_time, shards) -> None:
    w = RNG.uniform(-0.5, 2, size=(8, 5))
    model = _sequences(CategoricalCrossentropy(over_time=over_time), shards=shards, weighted=["perplexity"])
    p = model.predict(STEPS)
    each = -np.log(np.take_along_axis(p, STEP_LABELS[..., np.newaxis], -1)[..., 0])
    expected = (w * each).sum(axis=1).mean() / (5 if over_time == "mean" else 1)
    perplexity = np.exp((w * each).sum() / w.sum())
    for weights in (w, w[..., np.newaxis], w.tolist()):
        step = model.train_on_batch(STEPS, STEP_LABELS, weights)
        for found in (step, model.evaluate(STEPS, STEP_LABELS, sample_weight=weights)):
            np.testing.assert_allclose(found, [expected, perplexity], rtol=1e-5)
    history = model.fit(
        STEPS, STEP_LABELS, sample_weight=w, batch_size=4, verbose=0, validation_data=(STEPS, STEP_LABELS, w)
    ).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)
    even = np.repeat(RNG.uniform(size=(8, 1)), 5, axis=1)
    assert model.gradients(STEPS, STEP_LABELS, even)[0] == pytest.approx(
        model.gradients(STEPS, STEP_LABELS, even[:, 0])[0], rel=1e-5
    )


@pytest.mark.parametrize("loss", ["mse", "huber", "cosine_similarity", "mae"])
def test_weights_of_steps_of_losses_that_average(loss) -> None:
    model = _sequences(loss, "tanh", weighted=[loss])
    w = np.zeros((8, 5))
    w[:, 2] = 1.0
    target = RNG.normal(size=(8, 5, 4))
    alone = Sequential([Activation("linear", input_shape=(4,))])
    alone.compile(loss, still())
    expected = alone.evaluate(model.predict(STEPS)[:, 2], target[:, 2])
    loss_value, metric = model.evaluate(STEPS, target, sample_weight=w)
    assert loss_value == pytest.approx(expected / 5, rel=1e-5)
    assert abs(metric) == pytest.approx(abs(expected), rel=1e-5)
    _, gradients = model.gradients(STEPS, target, w)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_the_gradient_with_weights_of_steps_is_that_of_the_loss() -> None:
    model = Sequential([RNN(3, input_shape=(5, 4)), Activation("softmax")], seed=1, dtype="float64")
    model.compile("cce", still())
    w = RNG.normal(size=(8, 5))
    _, gradients = model.gradients(STEPS, STEP_LABELS, w)
    weights = model.get_weights()
    direction = [RNG.normal(size=array.shape) for array in weights]
    ends = []
    for side in (1e-6, -1e-6):
        model.set_weights([a + side * d for a, d in zip(weights, direction, strict=True)])
        ends.append(model.evaluate(STEPS, STEP_LABELS, sample_weight=w))
    slope = sum((g * d).sum() for g, d in zip(gradients.values(), direction, strict=True))
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_batches_with_weights_of_samples_and_of_steps_take_turns() -> None:
    model = _sequences()
    by_sample, by_step = RNG.uniform(size=8), RNG.uniform(size=(8, 5))
    first = [model.train_on_batch(STEPS, STEP_LABELS, w) for w in (by_sample, by_step, None)]
    for _ in range(8):  # steps are recorded meanwhile
        again = [model.train_on_batch(STEPS, STEP_LABELS, w) for w in (by_sample, by_step, None)]
        assert again == first


def test_a_column_of_weights_and_weights_times_classes() -> None:
    w = RNG.uniform(size=24)
    model = line("bce", still(), activation="sigmoid")
    assert model.train_on_batch(X, YES, w[:, np.newaxis]) == model.train_on_batch(X, YES, w)
    weights = {0: 1.0, 1: 3.0}
    expected = model.train_on_batch(X, YES, w * np.where(YES[:, 0] > 0, 3.0, 1.0))
    assert model.train_on_batch(X, YES, w[:, np.newaxis], class_weight=weights) == pytest.approx(expected, rel=1e-6)


def test_negative_weights_turn_the_gradient_round() -> None:
    """A policy gradient: what was done with a negative advantage becomes less likely."""
    model = classifier()
    advantage = RNG.normal(size=24)
    value, there = model.gradients(X, LABELS, advantage)
    turned, back = model.gradients(X, LABELS, -advantage)
    assert turned == pytest.approx(-value, rel=1e-6)
    for path, gradient in there.items():
        np.testing.assert_allclose(back[path], -gradient, rtol=1e-5, atol=1e-8)
    model.compile("cce", SGD(lr=0.1, momentum=0.0))
    before = model.predict(X[:1])[0, LABELS[0]]
    model.train_on_batch(X[:1], LABELS[:1], [-1.0])
    assert model.predict(X[:1])[0, LABELS[0]] < before


def test_each_output_has_weights_of_its_own() -> None:
    x = Input((4,))
    model = Model(x, {"a": Dense(1)(x), "b": Dense(3, activation="softmax")(x)}, seed=1)
    model.compile({"a": "mse", "b": "cce"}, still())
    w = {"a": RNG.normal(size=(24, 1)), "b": RNG.uniform(size=24)}
    y = {"a": YES[:, 0], "b": np.eye(3)[LABELS]}
    step = model.train_on_batch(X, y, w)
    np.testing.assert_allclose(step, model.evaluate(X, y, sample_weight=w), rtol=1e-5)
    p = model.predict(X)["a"]
    assert step[1] == pytest.approx((w["a"] * (p - YES) ** 2).mean(), rel=1e-5)


# Refusals -------------------------------------------------------------------------------------------------------------

HUGE = np.full((24, 1), 1e300)
REFUSED = {
    "targets beyond the type": (lambda: line().fit(X, HUGE), "y: sample 0 holds 1e+300, and float32 ends at 3.4e+38."),
    "of an evaluation": (lambda: line().evaluate(X, HUGE), "float32"),
    "of a validation": (lambda: line().fit(X, YES, validation_data=(X, HUGE)), "float32"),
    "without the last axis": (lambda: line().gradients(X, HUGE[:, 0]), "float32"),
    "weights beyond the type": (lambda: line().train_on_batch(X, YES, HUGE), "sample_weight: sample 0 holds 1e+300"),
    "class weights beyond it": (
        lambda: line("bce").train_on_batch(X, YES, np.full(24, 1e30), class_weight={0: 1e30}),
        "class_weight times sample_weight: sample",
    ),
    "targets in float64": (lambda: line(dtype="float64").fit(X, np.full((24, 1), np.inf)), "holds NaN or infinity"),
    "weights without a number": (lambda: line().fit(X, YES, sample_weight=[np.nan] * 24), "holds NaN or infinity"),
    "masked weights": (lambda: line().fit(X, YES, sample_weight=np.ma.ones(24)), "received a masked array"),
    "masked targets": (lambda: line().evaluate(X, np.ma.masked_equal(YES, 0)), "received a masked array"),
    "weights of elements": (
        lambda: classifier().fit(X, LABELS, sample_weight=np.ones((24, 3))),
        "sample_weight: expected one number a sample, (24,), received (24, 3).",
    ),
    "weights of other steps": (
        lambda: _sequences().evaluate(STEPS, STEP_LABELS, sample_weight=np.ones((8, 4))),
        "expected one number a sample, (8,), or one a step, (8, 5), received (8, 4).",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_computed_with_is_refused(case) -> None:
    run, message = REFUSED[case]
    with pytest.raises(errors.MiniDLFError, match=re.escape(message)):
        run()


def test_large_numbers_are_no_trouble_in_double_precision() -> None:
    model = line("mae", still(), dtype="float64")
    assert model.evaluate(X, HUGE) == pytest.approx(1e300)
    assert line("mae", still()).evaluate(X, np.full((24, 1), 1e38)) == pytest.approx(1e38, rel=1e-6)
