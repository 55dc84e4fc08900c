"""A loss has one value: in a step, in an evaluation, beside training, as a metric, on any number of shards."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF.errors import ArgumentError
from miniDLF.layers import Activation, Dense
from miniDLF.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    ElementwiseLoss,
    Loss,
)
from miniDLF.models import Input, Model, Sequential
from miniDLF.models.compiling import LossMetric
from miniDLF.optimizers import SGD

ROWS, CLASSES = 12, 4


def passing(activation=None, dtype="float32", shards=None, size=CLASSES):
    """Return a model whose logits are its inputs."""
    dense = Dense(size, use_bias=False, weight_initializer="identity", activation=activation, input_shape=(size,))
    return Sequential([dense], dtype=dtype, shards=shards)


def still():
    return SGD(lr=0.0, momentum=0.0)


CATEGORICAL = [
    CategoricalCrossentropy,
    lambda **k: CategoricalCrossentropy(label_smoothing=0.1, **k),
    CategoricalFocalCrossentropy,
    lambda **k: CategoricalFocalCrossentropy(label_smoothing=0.2, gamma=1.5, **k),
]
BINARY = [
    BinaryCrossentropy,
    lambda **k: BinaryCrossentropy(label_smoothing=0.1, **k),
    BinaryFocalCrossentropy,
    lambda **k: BinaryFocalCrossentropy(apply_class_balancing=True, gamma=1.0, **k),
]
PAIRS = [("softmax", make) for make in CATEGORICAL] + [("sigmoid", make) for make in BINARY]


def _data(activation, scale, soft):
    rng = np.random.default_rng(int(scale))
    x = rng.normal(size=(ROWS, CLASSES)) * scale
    if activation == "softmax":
        y = rng.dirichlet(np.ones(CLASSES), ROWS) if soft else rng.integers(0, CLASSES, ROWS)
    else:
        y = rng.uniform(size=x.shape) if soft else rng.integers(0, 2, size=x.shape)
    return x, y, rng.uniform(0.1, 2.0, ROWS)


def _values(model, x, y, w):
    """Return the loss by every way there is to it."""
    history = model.fit(
        x, y, batch_size=ROWS, sample_weight=w, shuffle=False, verbose=0, validation_data=(x, y, w)
    ).history
    return {
        "step": model.train_on_batch(x, y, w),
        "gradients": model.gradients(x, y, w)[0],
        "test": model.test_on_batch(x, y, w),
        "evaluate": model.evaluate(x, y, sample_weight=w),
        "small batches": model.evaluate(x, y, batch_size=6, sample_weight=w),
        "fit": history["loss"][0],
        "validation": history["val_loss"][0],
    }


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize(("activation", "make"), PAIRS)
def test_every_way_to_a_loss_gives_the_same_value(activation, make, scale, soft) -> None:
    x, y, w = _data(activation, scale, soft)
    found = {}
    for dtype, rel in (("float64", 1e-12), ("float32", 1e-5)):
        for fused, shards in ((True, None), (True, 3), (False, 2)):
            model = passing(activation if fused else None, dtype, shards)
            model.compile(make() if fused else make(from_logits=True), still(), doctor=False)
            values = _values(model, x, y, w)
            assert all(np.isfinite(value) for value in values.values())
            first = found.setdefault(dtype, values["step"])
            for way, value in values.items():
                assert value == pytest.approx(first, rel=rel), (way, dtype, fused, shards)
    assert found["float32"] == pytest.approx(found["float64"], rel=1e-5)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("make", CATEGORICAL)
def test_forbidden_classes_count_nothing(make, from_logits, soft) -> None:
    x, y, w = _data("softmax", 3.0, soft)
    x[:, 2] = -np.inf
    y = np.where(y == 2, 1, y)
    if soft:
        y[:, 2] = 0
        y /= y.sum(axis=1, keepdims=True)
    values = []
    for inputs, targets, size in ((x, y, CLASSES), (np.delete(x, 2, 1), _without(y, soft), CLASSES - 1)):
        model = Sequential([Activation("linear" if from_logits else "softmax", input_shape=(size,))], dtype="float64")
        measured = [LossMetric(make(from_logits=from_logits))]
        model.compile(make(from_logits=from_logits), still(), metrics=measured, doctor=False)
        engine, batch = model.engine(), _unchecked(model, inputs, targets, w)
        engine.reset()
        step, _ = engine.gradients(batch)
        engine.test(batch)
        values.append([step, *engine.logs().values()])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)
    assert values[0][0] == pytest.approx(values[0][1], rel=1e-12)


def _without(y, soft):
    return np.delete(y, 2, 1) if soft else y - (y > 2)


def _unchecked(model, x, y, w):
    """Return a batch whose inputs may hold -inf: in a network a layer makes them, by a mask."""
    batch = model.converter().batch(np.zeros_like(x), y, w)
    batch.inputs[0][...] = x
    return batch


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("make", [*CATEGORICAL, BINARY[0], *BINARY[2:]])
def test_a_network_that_forbids_a_class_trains(make, from_logits) -> None:
    rng = np.random.default_rng(0)
    x, labels, loss = rng.normal(size=(20, 4)), rng.integers(0, 2, 20), make(from_logits=from_logits)
    classes = isinstance(loss, CategoricalCrossentropy | CategoricalFocalCrossentropy)
    activation = "linear" if from_logits else "softmax" if classes else "sigmoid"
    model = Sequential([Dense(3, activation=activation, input_shape=(4,))], seed=1, shards=2)
    model.compile(
        loss, "adam", metrics=[LossMetric(loss, name="again"), *(["perplexity"] if activation == "softmax" else [])]
    )
    model.layers[0].bias.value[2] = -np.inf
    for targets in (labels, np.eye(3)[labels], np.c_[rng.dirichlet(np.ones(2), 20), np.zeros(20)])[not classes :]:
        history = model.fit(x, targets, epochs=2, verbose=0, validation_data=(x, targets)).history
        assert all(np.isfinite(values).all() for values in history.values())
        assert history["val_again"] == pytest.approx(history["val_loss"], rel=1e-6)
        gradients = model.gradients(x, targets)[1]
        assert all(np.isfinite(gradient).all() for gradient in gradients.values())
        assert gradients["dense_1/bias"][2] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("make", [BINARY[0], *BINARY[2:]])  # with smoothing some target stands against what cannot be
def test_answers_that_are_certain_cost_nothing_or_a_finite_number(make) -> None:
    x = np.array([[-np.inf, np.inf, 1.0, -np.inf]])
    y = np.array([[0.0, 1.0, 1.0, 0.0]])
    loss = make(from_logits=True)
    value, gradient = loss.value_and_grad(x, y, np.ones(1), _empty)
    alone, _ = loss.value_and_grad(x[:, 2:3], y[:, 2:3], np.ones(1), _empty)
    assert value == pytest.approx(alone / 4, rel=1e-12)
    assert np.isfinite(gradient).all()


def _empty(name, shape, dtype=None):
    return np.full(shape, 77, dtype or np.float64)


def test_the_gradient_of_a_forbidden_class_is_zero() -> None:
    x = np.array([[1.0, -np.inf, 2.0]])
    for loss in (make(from_logits=True) for make in CATEGORICAL):
        value, gradient = loss.value_and_grad(x, np.array([0]), np.ones(1), _empty)
        assert np.isfinite(value)
        assert gradient[0, 1] == 0
        assert gradient.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("activation", "names"), [("softmax", ["cce", "perplexity"]), ("sigmoid", ["bce"])])
def test_metrics_of_logarithms_see_the_logits(activation, names) -> None:
    x = np.array([[180.0, 0.0], [0.0, 5.0]])
    y = np.array([1, 1]) if activation == "softmax" else np.array([[0, 1], [1, 0]])
    model = passing(activation, size=2)
    model.compile(names[0], still(), metrics=[LossMetric(names[0], name="again"), *names[1:]])
    for found in (model.train_on_batch(x, y, return_dict=True), model.evaluate(x, y, return_dict=True)):
        assert found["again"] == pytest.approx(found["loss"], rel=1e-6)
        if "perplexity" in found:
            assert found["perplexity"] == pytest.approx(np.exp(found["loss"]), rel=1e-4)
    assert found["loss"] > 45


def test_predictions_of_an_evaluation_are_those_of_predict() -> None:
    model = passing("softmax")
    seen = []
    model.compile("cce", still(), metrics=[lambda t, p: (seen.append(p.copy()), p.sum(-1))[1]])
    x, y, _ = _data("softmax", 3.0, False)
    model.evaluate(x, y)
    np.testing.assert_allclose(seen[0], model.predict(x), rtol=1e-6)


def test_a_loss_of_ones_own_needs_one_formula() -> None:
    class Cubic(ElementwiseLoss):
        def terms(self, prediction, target, grad, empty):
            np.subtract(prediction, target, out=grad)
            each = np.abs(grad) ** 3
            np.copyto(grad, 3 * grad * np.abs(grad))
            return each

    class Rows(Loss):
        def value_and_grad(self, prediction, target, weights, empty):
            difference = prediction - target
            column = weights[:, np.newaxis]
            return float((column * difference**2).sum()), 2 * column * difference

    x, y, w = _data("", 1.0, True)
    for loss in (Cubic(), Rows()):
        model = passing()
        model.compile(loss, still())
        values = _values(model, x, y, w)
        np.testing.assert_allclose(list(values.values()), values["step"], rtol=1e-5)


def _two(weights, losses=("mse", "cce"), shards=None):
    x = Input((CLASSES,))
    outputs = {
        "a": Dense(1, name="a")(x),
        "b": Dense(3, activation="softmax", name="b")(x),
    }
    model = Model(x, outputs, seed=1, shards=shards)
    model.compile(dict(zip("ab", losses, strict=True)), still(), loss_weights=dict(zip("ab", weights, strict=True)))
    return model


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 2.5), (0.5, -1.0), (0.0, 0.0)])
def test_outputs_are_measured_whatever_their_weight(weights, shards) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, CLASSES))
    y = {"a": rng.normal(size=(ROWS, 1)), "b": rng.integers(0, 3, ROWS)}
    even, model = _two((1.0, 1.0), shards=shards), _two(weights, shards=shards)
    expected = even.evaluate(x, y, return_dict=True)
    trained = model.train_on_batch(x, y, return_dict=True)
    for found in (trained, model.evaluate(x, y, return_dict=True)):
        assert found["a_loss"] == pytest.approx(expected["a_loss"], rel=1e-5)
        assert found["b_loss"] == pytest.approx(expected["b_loss"], rel=1e-5)
        total = weights[0] * expected["a_loss"] + weights[1] * expected["b_loss"]
        assert found["loss"] == pytest.approx(total, rel=1e-5, abs=1e-7)
    gradients, apart = model.gradients(x, y)[1], even.gradients(x, y)[1]
    for path, gradient in gradients.items():
        weight = weights["ab".index(path[0])]
        np.testing.assert_allclose(gradient, weight * apart[path], rtol=1e-5, atol=1e-7)


def test_an_output_of_weight_zero_ends_no_run() -> None:
    model = _two((1.0, 0.0), losses=("mse", "mse"))
    x = np.ones((4, CLASSES))
    y = {"a": np.ones((4, 1)), "b": np.full((4, 3), 3e38)}  # whose square is no number of float32
    found = model.train_on_batch(x, y, return_dict=True)
    assert np.isfinite(found["loss"])
    assert found["b_loss"] == np.inf


def test_a_loss_from_logits_as_a_metric_is_given_logits_or_refused() -> None:
    x, y, _ = _data("softmax", 30.0, False)
    model = passing("softmax")
    model.compile("cce", still(), metrics=[CategoricalCrossentropy(from_logits=True)])
    for found in (model.train_on_batch(x, y), model.evaluate(x, y)):
        assert found[1] == pytest.approx(found[0], rel=1e-6)
    with pytest.raises(ArgumentError, match=r"metric 'cce': .* Write metrics=\[CategoricalCrossentropy\(from_l"):
        passing().compile(CategoricalCrossentropy(from_logits=True), still(), metrics=["cce"])
    passing().compile(CategoricalCrossentropy(from_logits=True), still(), metrics=["mse", "categorical_hinge"])


def test_losses_are_metrics_by_object_and_by_class() -> None:
    """With their arguments, one for each output, and in a model that is saved."""
    x, y, w = _data("softmax", 30.0, False)
    model, loss = passing("softmax"), CategoricalFocalCrossentropy(gamma=1.0)
    model.compile("cce", still(), metrics=[loss, CategoricalCrossentropy], weighted_metrics=[loss])
    found = model.evaluate(x, y, sample_weight=w, return_dict=True)
    other = passing("softmax")
    other.compile(loss, still())
    assert found["CategoricalFocalCrossentropy"] == pytest.approx(other.evaluate(x, y), rel=1e-6)
    assert found["weighted_CategoricalFocalCrossentropy"] * w.mean() == pytest.approx(
        other.evaluate(x, y, sample_weight=w), rel=1e-6
    )
    model.compile("cce", still())
    assert found["CategoricalCrossentropy"] == pytest.approx(model.evaluate(x, y), rel=1e-6)
