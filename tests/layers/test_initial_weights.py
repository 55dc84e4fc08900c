"""Which weights a layer begins with when nothing is said about them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from miniDLF.layers import GRU, LSTM, RNN, Conv2D, Dense, Layer
from miniDLF.models import Sequential


def initial(layer: Layer, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the layer's values by name, before any training."""
    model = Sequential([layer], seed=3)
    model.build(shape)
    return {path.partition("/")[2]: value for path, value in model.named_weights().items()}


@pytest.mark.parametrize(
    ("layer", "shape", "fans"),
    [(Dense(300), (200,), 200 + 300), (Conv2D(40, (3, 5)), (20, 6, 6), (20 + 40) * 3 * 5)],
    ids=["dense", "conv2d"],
)
def test_dense_and_convolution_begin_as_glorot_has_it(layer: Layer, shape: tuple[int, ...], fans: int) -> None:
    values = initial(layer, shape)
    limit = math.sqrt(6 / fans)
    assert stats.kstest(values["weight"].ravel(), stats.uniform(-limit, 2 * limit).cdf).pvalue > 0.01
    assert not values["bias"].any()


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_recurrent_layers_begin_as_he_has_it_whatever_the_number_of_gates(kind: type[Layer]) -> None:
    values = initial(kind(64), (5, 50))
    for name, inputs in (("input_weight", 50), ("output_weight", 64)):
        assert stats.kstest(values[name].ravel(), stats.norm(0, math.sqrt(2 / inputs)).cdf).pvalue > 0.01
    recurrent = values["recurrent_weight"].reshape(64, -1, 64).transpose(1, 0, 2)  # (gates, H, H)
    for gate in recurrent:
        np.testing.assert_allclose(gate @ gate.T, np.eye(64), atol=1e-5)


def test_what_is_asked_for_is_drawn() -> None:
    values = initial(Dense(300, weight_initializer="he_normal"), (200,))
    assert stats.kstest(values["weight"].ravel(), stats.norm(0, math.sqrt(2 / 200)).cdf).pvalue > 0.01
