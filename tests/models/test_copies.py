"""Copies of models, by `copy.deepcopy` and through pickle, are models of their own that go on with the same bits."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.layers import LSTM, Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten
from miniDLF.models import Input, Model, Sequential, load

RNG = np.random.default_rng(0)


def mlp() -> Any:
    return Sequential([Dense(8), Activation("relu"), Dropout(0.3), Dense(3), Activation("softmax")], seed=0), (4,)


def cnn() -> Any:
    parts = [Conv2D(4, 3), BatchNormalization(), Activation("relu"), Flatten(), Dense(3), Activation("softmax")]
    return Sequential(parts, seed=0), (1, 6, 6)


def lstm() -> Any:
    return Sequential([LSTM(6, return_sequences=False), Dense(3), Activation("softmax")], seed=0), (5, 2)


def functional() -> Any:
    inputs = Input((4,))
    hidden = Dense(5, activation="tanh")(inputs)
    return Model(inputs, Dense(3, activation="softmax")(hidden), seed=0), (4,)


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}  # noqa: S301


@pytest.mark.parametrize("make", [mlp, cnn, lstm, functional])
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_goes_on_by_itself(make: Any, how: str) -> None:
    model, shape = make()
    x, y = RNG.normal(size=(64, *shape)).astype(np.float32), RNG.integers(0, 3, 64)
    model.compile("cce", "adam", metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    other = COPIES[how](model)
    before = [array.copy() for array in model.get_weights()]
    np.testing.assert_array_equal(other.predict(x[:3]), model.predict(x[:3]))
    other.fit(x, y, epochs=4, initial_epoch=2, batch_size=16, verbose=0)
    for mine, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, kept)  # untouched by the copy's training
    model.fit(x, y, epochs=4, initial_epoch=2, batch_size=16, verbose=0)
    for mine, others in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, others)
    assert not all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.history.history == other.history.history


def test_models_that_are_not_compiled_or_built_can_be_copied() -> None:
    plain = copy.deepcopy(Sequential([Dense(2)], seed=0))
    plain.build((3,))
    assert plain.predict(np.ones((1, 3))).shape == (1, 2)
    built = Sequential([Dense(2, input_shape=(3,))], seed=0)
    built.build((3,))
    other = copy.deepcopy(built)
    other.set_weights([np.zeros((3, 2)), np.zeros(2)])
    assert np.any(built.get_weights()[0])
    again = copy.deepcopy(other)
    assert not np.any(again.get_weights()[0])


@pytest.mark.parametrize("how", [*COPIES, "file"])
@pytest.mark.parametrize("size", [5, 8])
def test_a_copy_trains_what_the_model_trains_until_it_is_compiled(how: str, size: int, tmp_path: Path) -> None:
    first, second = Dense(8, input_shape=(8,)), Dense(size)
    second.trainable = False
    model = Sequential([first, second, Dense(2)], seed=1)
    model.compile("mse", "adam")
    x = RNG.normal(size=(32, 8))
    model.fit(x, x[:, :2], verbose=0, epochs=2)
    first.trainable, second.trainable = False, True  # in force from the next compile
    if how == "file":
        model.save(tmp_path / "model.safetensors", include_optimizer=True)
        twin = load(tmp_path / "model.safetensors")
    else:
        twin = COPIES[how](model)
    for one in (model, twin):
        one.fit(x, x[:, :2], verbose=0, epochs=2)
    assert all(map(np.array_equal, twin.get_weights(), model.get_weights()))
    before = twin.get_weights()
    twin.compile("mse", "adam")
    twin.fit(x, x[:, :2], verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, twin.get_weights(), strict=True)]
    assert moved == [False, False, True, True, True, True]
