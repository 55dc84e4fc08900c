"""Batch normalisations that are not trained: in training, too, they use their running statistics, which stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF.layers import BatchNormalization, Conv2D, Dense, Flatten, ReLU
from miniDLF.models import Sequential

RNG = np.random.default_rng(0)
X, Y = 5 + 3 * RNG.normal(size=(64, 4)), RNG.normal(size=(64, 2))


def network(shards: int | None = None, **options: Any) -> Sequential:
    layers = [Dense(6, input_shape=(4,)), BatchNormalization(**options), ReLU(), Dense(2)]
    model = Sequential(layers, seed=0, shards=shards)
    model.compile("mse", "sgd")
    statistics = [RNG.normal(size=6), RNG.uniform(0.5, 2, 6)]
    weights = model.get_weights()
    place = len(weights) - 4
    model.set_weights([*weights[:place], *statistics, *weights[place + 2 :]])
    return model


def of_normalisation(model: Sequential) -> list[np.ndarray]:
    return [parameter.value.copy() for parameter in model.layers[1].parameters]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"scale": False, "center": False}])
def test_a_frozen_normalisation_is_the_same_after_training(options):
    model = network(trainable=False, **options)
    before, weight = of_normalisation(model), model.get_weights()[0]
    model.fit(X, Y, epochs=12, batch_size=32, verbose=0)  # enough steps for notes
    assert all(map(np.array_equal, before, of_normalisation(model)))
    assert not np.array_equal(weight, model.get_weights()[0])


@pytest.mark.parametrize("shards", [1, 4])
def test_training_sees_what_predictions_see(shards):
    model = network(shards, trainable=False)
    loss = model.gradients(X, Y)[0]
    assert loss == pytest.approx(model.evaluate(X, Y), rel=1e-5)
    assert loss == pytest.approx(model.gradients(X, Y, training=False)[0], rel=1e-6)
    assert model.check_gradients(X[:8], Y[:8]).ok


def test_gradients_pass_through_a_frozen_normalisation():
    frozen = network(trainable=False)
    gamma, beta, mean, variance = (parameter.value for parameter in frozen.layers[1].parameters)
    weights = [parameter.value for layer in (frozen.layers[0], frozen.layers[3]) for parameter in layer.parameters]
    hidden = X @ weights[0] + weights[1]
    scale = gamma / np.sqrt(variance + 1e-5)
    normal = (hidden - mean) * scale + beta
    error = np.maximum(normal, 0) @ weights[2] + weights[3] - Y
    dnormal = (error / len(X)) @ weights[2].T * (normal > 0)
    np.testing.assert_allclose(
        frozen.gradients(X, Y)[1]["dense_1/weight"], X.T @ (dnormal * scale), rtol=1e-3, atol=1e-5
    )


def test_freezing_is_in_force_from_the_next_compile():
    model = network()
    before = of_normalisation(model)
    model.layers[1].trainable = False
    model.train_on_batch(X, Y)
    assert not any(map(np.array_equal, before, of_normalisation(model)))
    model.compile("mse", "sgd")
    before = of_normalisation(model)
    model.train_on_batch(X, Y)
    assert all(map(np.array_equal, before, of_normalisation(model)))
    model.layers[1].trainable = True
    model.compile("mse", "sgd")
    model.train_on_batch(X, Y)
    assert not any(map(np.array_equal, before, of_normalisation(model)))


def test_a_frozen_normalisation_of_images_beside_one_that_is_trained():
    images = RNG.normal(size=(32, 2, 6, 6))
    layers = [Conv2D(3, 3, input_shape=(2, 6, 6)), BatchNormalization(trainable=False), ReLU()]
    model = Sequential([*layers, Conv2D(3, 3), BatchNormalization(), Flatten(), Dense(2)], seed=0)
    model.compile("mse", "adam")
    frozen, trained = ([p.value.copy() for p in model.layers[place].parameters] for place in (1, 4))
    model.fit(images, Y[:32], epochs=10, batch_size=16, verbose=0)
    assert all(np.array_equal(a, p.value) for a, p in zip(frozen, model.layers[1].parameters, strict=True))
    assert not any(np.array_equal(a, p.value) for a, p in zip(trained, model.layers[4].parameters, strict=True))
    assert model.check_gradients(images[:4], Y[:4]).ok
