"""The very same source of layers, run on Keras and on miniDLF: equal outputs and gradients for equal weights."""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF import GradientTape, Tensor
from tests.layers import keras_layers as own

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5, 6)).astype("float32")
SECOND = RNG.normal(size=(4, 3, 6)).astype("float32")

LAYERS: dict[str, Callable[[Any], Any]] = {
    "Linear": lambda module: module.Linear(4, activation="tanh"),
    "Linear, gelu": lambda module: module.Linear(4, activation="gelu"),
    "Centred": lambda module: module.Centred(epsilon=1e-3),
    "RootMeanSquare": lambda module: module.RootMeanSquare(6),
    "RootMeanSquare by hand": lambda module: module.RootMeanSquare(6, by_hand=True),
    "CausalSelfAttention": lambda module: module.CausalSelfAttention(2, 3),
    "SqueezeExcite": lambda module: module.SqueezeExcite(2),
    "SwiGLU": lambda module: module.SwiGLU(4),
    "FourierFeatures": lambda module: module.FourierFeatures(3, scale=0.3),
    "FourierFeatures, trained": lambda module: module.FourierFeatures(3, scale=0.3, trainable=True),
    "VectorQuantizer": lambda module: module.VectorQuantizer(4),
    "NoisyDense, not in training": lambda module: module.NoisyDense(3),
    "RunningScale": lambda module: module.RunningScale(),
    "CausalConvolution": lambda module: module.CausalConvolution(4, activation="silu"),
    "PairwiseMix": lambda module: module.PairwiseMix(0.7),
    "Block": lambda module: module.Block(),
}


@pytest.fixture(scope="module")
def theirs() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    pytest.importorskip("keras")
    source = Path(own.__file__).read_text(encoding="utf-8").replace("from miniDLF", "from keras")
    module = types.ModuleType("layers_on_keras")
    exec(compile(source, "layers_on_keras", "exec"), vars(module))
    return module


def paired(ours: Any, keras_layer: Any) -> list[int]:
    """Which of our weights each of Keras' is: Keras has those that are not trained last."""
    trained = [number for number, p in enumerate(ours.weights) if any(p is one for one in ours.trainable_weights)]
    order = [*trained, *(number for number in range(len(ours.weights)) if number not in trained)]
    for number, weight in zip(order, keras_layer.weights, strict=True):
        mine = ours.weights[number]
        assert mine.shape == tuple(weight.shape), weight.path
        assert mine.name.rpartition("/")[2] in (weight.name, {"kernel": "weight"}.get(weight.name)), weight.path
    return order


def gradients_of_keras(layer: Any, arrays: list[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """Those of the weighted sum of what it gives and of the losses it adds: of its weights, then of its inputs."""
    import jax

    def total(trained: Any, inputs: Any) -> Any:
        outputs, _, losses = layer.stateless_call(
            trained,
            [v.value for v in layer.non_trainable_variables],
            inputs[0] if len(inputs) == 1 else inputs,
            return_losses=True,
        )
        return (outputs * weights).sum() + sum(losses)

    of_weights, of_inputs = jax.grad(total, argnums=(0, 1))([v.value for v in layer.trainable_variables], arrays)
    return [np.asarray(one) for one in (*of_weights, *of_inputs)]


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients(theirs: Any, name: str) -> None:
    arrays = [X, SECOND] if name == "PairwiseMix" else [X]
    ours, keras_layer = LAYERS[name](own), LAYERS[name](theirs)
    given = arrays if len(arrays) > 1 else arrays[0]
    expected = np.asarray(keras_layer(given))
    ours(given)
    order = paired(ours, keras_layer)
    start = [RNG.uniform(0.2, 1.2, p.shape) * RNG.choice([-1, 1], p.shape) for p in ours.weights]
    ours.set_weights(start)
    keras_layer.set_weights([start[number] for number in order])
    expected = np.asarray(keras_layer(given))
    weights = RNG.normal(size=expected.shape).astype("float32")
    tensors = [Tensor(array) for array in arrays]
    with GradientTape() as tape:
        for tensor in tensors:
            tape.watch(tensor)
        added: list[Any] = []
        ours.add_loss = lambda loss: added.append(loss)
        y = ours(tensors if len(tensors) > 1 else tensors[0])
        total = np.sum(y * weights) + sum(added)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-4)
    trained = [ours.weights[number] for number in order if ours.weights[number] in ours.trainable_weights]
    found = tape.gradient(total, [*trained, *tensors])
    for mine, other in zip(found, gradients_of_keras(keras_layer, arrays, weights), strict=True):
        np.testing.assert_allclose(np.asarray(mine), other, rtol=1e-4, atol=1e-4 * max(1, np.abs(other).max()))


def test_state_changes_alike(theirs: Any) -> None:
    ours, keras_layer = own.RunningScale(), theirs.RunningScale()
    for x in (X, 2 * X, X - 1):
        np.testing.assert_allclose(np.asarray(ours(x, training=True)), keras_layer(x, training=True), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(ours(X)), keras_layer(X), rtol=1e-5)
    for number, other in zip(paired(ours, keras_layer), keras_layer.weights, strict=True):
        np.testing.assert_allclose(ours.weights[number].numpy(), np.asarray(other), rtol=1e-5)
