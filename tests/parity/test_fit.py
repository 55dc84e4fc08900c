"""fit, evaluate and predict next to Keras' with the same weights, data and order: every name and number of the logs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from miniDLF.layers import Dense
from miniDLF.models import Input, Model, Sequential
from miniDLF.optimizers import SGD

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 50)
WEIGHTS = RNG.random(50).astype(np.float32)
COMPILED: dict[str, Any] = {
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy", "sparse_top_k_categorical_accuracy"],
    "weighted_metrics": ["accuracy"],
}


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def pair(keras: Any) -> tuple[Any, Sequential]:
    """The same network twice, with the same weights and plain gradient descent."""
    theirs = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(3, activation="softmax")]
    )
    ours = Sequential([Dense(6, activation="tanh", input_shape=(4,)), Dense(3, activation="softmax")])
    ours.set_weights(theirs.get_weights())
    theirs.compile(optimizer=keras.optimizers.SGD(0.05), **COMPILED)
    ours.compile(optimizer=SGD(lr=0.05, decay=0.0, momentum=0.0, nesterov=False), **COMPILED)
    return theirs, ours


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


def batches() -> list[Any]:
    return [(X[i : i + 8], Y[i : i + 8], WEIGHTS[i : i + 8]) for i in range(0, 48, 8)]


FITS: dict[str, dict[str, Any]] = {
    "validation_split": {"validation_split": 0.2},
    "class weights and a split": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "validation_split": 0.2},
    "sample weights and a split": {"sample_weight": WEIGHTS, "validation_split": 0.2},
    "weighted validation": {"validation_data": (X[:20], Y[:20], WEIGHTS[:20])},
    "every second epoch": {"validation_data": (X, Y), "validation_freq": 2},
    "listed epochs": {"validation_data": (X, Y), "validation_freq": [1, 3]},
    "later first epoch": {"initial_epoch": 2},
    "few steps": {"validation_data": (X, Y), "validation_steps": 2, "validation_batch_size": 10},
}


@pytest.mark.parametrize("case", FITS)
def test_fit(case: str, keras: Any) -> None:
    theirs, ours = pair(keras)
    arguments = {"batch_size": 16, "epochs": 4, "shuffle": False, "verbose": 0, **FITS[case]}
    expected, measured = theirs.fit(X, Y, **arguments), ours.fit(X, Y, **arguments)
    assert measured.epoch == expected.epoch
    same(measured.history, expected.history)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_generators(keras: Any) -> None:
    theirs, ours = (
        model.fit((batch for batch in batches()), steps_per_epoch=3, epochs=2, verbose=0).history
        for model in pair(keras)
    )
    same(ours, theirs)


def test_evaluate_predict_and_one_batch(keras: Any) -> None:
    theirs, ours = pair(keras)
    for options in ({}, {"sample_weight": WEIGHTS}, {"batch_size": 16}):
        same(
            ours.evaluate(X, Y, return_dict=True, **options),
            theirs.evaluate(X, Y, return_dict=True, verbose=0, **options),
        )
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    for name in ("train_on_batch", "test_on_batch"):
        results = [getattr(m, name)(X[:9], Y[:9], return_dict=True) for m in (ours, theirs)]
        if name == "train_on_batch":
            same(*results)
    theirs.reset_metrics()
    same(ours.test_on_batch(X[:9], Y[:9], return_dict=True), theirs.test_on_batch(X[:9], Y[:9], return_dict=True))


def test_outputs_by_name(keras: Any) -> None:
    k, m = keras.Input((4,)), Input((4,))
    theirs = keras.Model(
        k,
        {"size": keras.layers.Dense(1, name="size")(k), "kind": keras.layers.Dense(3, "softmax", name="kind")(k)},
    )
    ours = Model(m, {"size": Dense(1, name="size")(m), "kind": Dense(3, activation="softmax", name="kind")(m)})
    for path, weight in ours.named_weights().items():
        layer, name = path.split("/")
        weight[...] = theirs.get_layer(layer).get_weights()[("weight", "bias").index(name)]
    for model in (theirs, ours):
        model.compile(
            optimizer="sgd",
            loss={"size": "mse", "kind": "sparse_categorical_crossentropy"},
            metrics={"kind": ["accuracy"]},
            loss_weights={"size": 0.5, "kind": 2.0},
        )
    targets = {"size": X[:, :1], "kind": Y}
    same(ours.evaluate(X, targets, return_dict=True), theirs.evaluate(X, targets, return_dict=True, verbose=0))
    expected, measured = theirs.predict(X, verbose=0), ours.predict(X)
    assert set(measured) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-5, atol=1e-6)
