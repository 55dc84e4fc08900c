"""Activations far from zero, where products of the infinite and the smallest numbers would be wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from miniDLF.errors import ArgumentError
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.layers import GELU, Activation, Dense, Softplus, Swish
from miniDLF.models import Sequential
from tests.standalone import Standalone

#: Output and derivative far below and far above zero.
LIMITS = {
    "relu": ((0, 0), ("x", 1)),
    "leaky_relu": (("x/10000", 1e-4), ("x", 1)),
    "clipped_relu": ((0, 0), (2.5, 0)),
    "elu": ((-1e-4, 0), ("x", 1)),
    "sigmoid": ((0, 0), (1, 0)),
    "tanh": ((-1, 0), (1, 0)),
    "softplus": ((0, 0), ("x", 1)),
    "swish": ((0, 0), ("x", 1)),
    "silu": ((0, 0), ("x", 1)),
    "gelu": ((0, 0), ("x", 1)),
    "linear": (("x", 1), ("x", 1)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [150.0, 1e4, 1e20, 3e38])
@pytest.mark.parametrize("name", [*LIMITS, "gelu, approximate"])
def test_limits(name: str, number: float, dtype: Any) -> None:
    name, _, approximate = name.partition(", ")
    alone = Standalone(Activation(name, approximate=bool(approximate)), (2,), dtype=dtype)
    if name == "sigmoid" and dtype == np.float64 and number < 1e3:
        number = 1e3
    x = np.array([[-number, number]], dtype)
    y = quiet_arithmetic(alone.forward)(x.copy())[0]
    slope = quiet_arithmetic(alone.backward)(np.ones((1, 2), dtype))[0]
    for place, (value, derivative) in enumerate(LIMITS[name]):
        value = {"x": x[0, place], "x/10000": x[0, place] * dtype(1e-4)}.get(value, value)
        assert y[place] == pytest.approx(value, rel=1e-6, abs=1e-37), place
        assert slope[place] == pytest.approx(derivative, rel=1e-6, abs=1e-37), place


@pytest.mark.parametrize("layer", [Swish, GELU, Softplus])
def test_predictions_of_the_largest_numbers(layer: Any) -> None:
    largest = np.finfo(np.float32).max
    x = np.array([[-largest, -1e38, -200, 0, 200]], np.float32)
    y = Sequential([layer(input_shape=(5,))]).predict(x)[0]
    np.testing.assert_allclose(y, [0, 0, 0, math.log(2) if layer is Softplus else 0, 200], atol=1e-6)


def test_gelu_is_the_exact_one_unless_asked_otherwise() -> None:
    x = np.array([[-3.0, 0.5, 2.0]])
    exact = [number * math.erfc(-number / math.sqrt(2)) / 2 for number in x[0]]
    close = [number * (1 + math.tanh(math.sqrt(2 / math.pi) * (number + 0.044715 * number**3))) / 2 for number in x[0]]
    for layer, wanted in (
        (Activation("gelu", input_shape=(3,)), exact),
        (GELU(input_shape=(3,)), exact),
        (Activation("gelu", approximate=True, input_shape=(3,)), close),
        (GELU(approximate=True, input_shape=(3,)), close),
    ):
        model = Sequential([layer])
        np.testing.assert_allclose(model.predict(x)[0], wanted, rtol=1e-4)
        model.compile("mse", "sgd")
        assert model.check_gradients(x, np.zeros((1, 3))).ok
    hidden = Sequential([Dense(3, activation=GELU(approximate=True), input_shape=(3,), weight_initializer="identity")])
    np.testing.assert_allclose(hidden.predict(x)[0], close, rtol=1e-4)


def test_only_gelu_can_be_approximate() -> None:
    with pytest.raises(ArgumentError, match=r"Activation\('tanh'\): only 'gelu' can be approximate"):
        Activation("tanh", approximate=True)
