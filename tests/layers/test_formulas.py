"""The formula of every built-in layer, `call` in tensors, against its forward and backward by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import Tensor, function, gradient, ops
from miniDLF.core.in_tensors import call_layer
from miniDLF.layers import LSTM, Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Layer
from miniDLF.models import Sequential
from miniDLF.optimizers import SGD
from miniDLF.tensor.gradients import history
from tests.layers.test_contract import CASES, ROWS, given, inputs_for
from tests.standalone import Case, Standalone

WITH_FORMULA = [case for case in CASES if not (isinstance(case.make(), Dropout) and case.make().p_dropout)]
every_case = pytest.mark.parametrize("case", WITH_FORMULA, ids=str)
KINKED = ("ReLU", "ELU", "Maximum", "relu", "elu", "max")


def watched(arrays: list[np.ndarray]) -> list[Tensor]:
    tensors = [Tensor(array) for array in arrays]
    for tensor in tensors:
        tensor._watched = True
    return tensors


def trained_parameters(layer: Layer) -> list[Any]:
    return [parameter for parameter in layer.parameters if parameter.trainable]


def by_formula(layer: Layer, training: bool, weights: np.ndarray) -> Any:
    """Return a function of the inputs: the layer's output, and the gradients of its weighted sum."""

    def run(*tensors: Tensor) -> Any:
        y = call_layer(layer, tensors, training)
        sources = [*tensors, *trained_parameters(layer)]
        return y, gradient(y, sources, ops.cast(weights, y.dtype), unconnected="zero")

    return run


def flat(result: Any) -> list[np.ndarray]:
    y, gradients = result
    return [y.numpy(), *(one.numpy() for one in gradients)]


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_formula_and_its_gradients_are_those_by_hand(case: Case, training: bool) -> None:
    layer = case.make()
    alone = Standalone(layer, case.input_shape)
    inputs = inputs_for(case)
    dy = np.random.default_rng(1).normal(size=(ROWS, *alone.output_shape))
    before = [parameter.numpy() for parameter in layer.parameters]
    found = flat(by_formula(layer, training, dy)(*watched(inputs)))
    for parameter, value in zip(layer.parameters, before, strict=True):
        parameter.value = value  # of before a running mean was changed
    if not layer.is_derived:
        y = np.array(alone.forward(given(inputs, layer), training=training))
        dx = alone.backward(dy.copy())
        dx = [np.array(part) for part in (dx if layer.takes_many else (dx,))]
        expected = [y, *dx, *(alone.gradients[parameter] for parameter in trained_parameters(layer))]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    for shards in (1, 2):
        compiled = function(by_formula(layer, training, dy), shards=shards)
        if shards > 1:
            compiled = function(lambda *tensors: _weighted(layer, training, tensors[:-1], tensors[-1]), shards=shards)
            again = flat(compiled(*inputs, dy))
            assert not compiled.plan_report(*inputs, dy).reasons
        else:
            again = flat(compiled(*inputs))
        for parameter, value in zip(layer.parameters, before, strict=True):
            parameter.value = value
        for a, b in zip(again, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def _weighted(layer: Layer, training: bool, tensors: Any, dy: Any) -> Any:
    y = call_layer(layer, tensors, training)
    return y, gradient(y, [*tensors, *trained_parameters(layer)], dy, unconnected="zero")


@every_case
def test_second_derivative_agrees_with_differences(case: Case) -> None:
    layer = case.make()
    if any(word in repr(layer) for word in KINKED) and "softmax" not in repr(layer).lower():
        return
    alone = Standalone(layer, case.input_shape)
    rng = np.random.default_rng(3)
    inputs = inputs_for(case, 3)
    dy, direction = rng.normal(size=(3, *alone.output_shape)), [rng.normal(size=array.shape) for array in inputs]

    def slope(arrays: list[np.ndarray]) -> tuple[Any, list[Tensor]]:
        """Return the derivative of a sum of squares along `direction`."""
        tensors = watched(arrays)
        y = call_layer(layer, tensors, True)
        found = gradient(np.square(y), tensors, dy, unconnected="zero")
        return sum(np.sum(one * way) for one, way in zip(found, direction, strict=True)), tensors

    value, tensors = slope(inputs)
    second = gradient(value, tensors, unconnected="zero") if value.has_history else []
    for number, one in enumerate(second):
        step = 1e-5 * rng.normal(size=inputs[number].shape)
        moved = [[array + sign * step if n == number else array for n, array in enumerate(inputs)] for sign in (1, -1)]
        ends = [float(slope(arrays)[0]) for arrays in moved]
        np.testing.assert_allclose(float(np.sum(one.numpy() * step)), (ends[0] - ends[1]) / 2, rtol=1e-4, atol=1e-9)


def test_dropout_drops_its_share_and_scales_the_rest() -> None:
    layer = Dropout(0.25)
    x = np.ones((200, 300), "float32")
    assert layer(x).numpy() is not None
    np.testing.assert_array_equal(layer(x), x)
    y = layer(x, training=True).numpy()
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.01)
    assert np.unique(y[y > 0]) == pytest.approx([1 / 0.75], rel=1e-4)


def test_running_statistics_move_once_a_call_and_not_where_frozen() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, size=(64, 5))
    for layer in (BatchNormalization(), BatchNormalization(trainable=False)):
        y = layer(x, training=True)
        if layer.trainable:
            np.testing.assert_allclose(np.mean(y, axis=0).numpy(), 0, atol=1e-6)
            np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean(0), rtol=1e-5)
            np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * x.var(0), rtol=1e-5)
        else:
            np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-6)
            assert not layer.running_mean.numpy().any()


class Doubled(Dense):
    """A built-in whose forward somebody replaced."""

    def forward(self, x: Any, call: Any) -> Any:
        return 2 * super().forward(x, call)

    def backward(self, dy: Any, call: Any) -> Any:
        return super().backward(2 * dy, call)


class Halved(Dense):
    """A built-in whose formula somebody replaced."""

    def call(self, x: Any) -> Any:
        return super().call(x) / 2


def test_a_subclass_is_what_it_overrides() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    for kind, factor in ((Doubled, 2), (Halved, 0.5)):
        layer = kind(2)
        y = layer(x)
        expected = x @ layer.weight.numpy() * factor
        np.testing.assert_allclose(y, expected, rtol=1e-5)
        (found,) = gradient(layer(Tensor(x)), [layer.bias])
        np.testing.assert_allclose(found, np.full(2, 4 * factor), rtol=1e-6)
    assert Halved(2).is_derived
    assert not Doubled(2).is_derived


class TwiceNormalised(BatchNormalization):
    def call(self, x: Any, training: bool = False) -> Any:
        return super().call(x, training) * 2


class TwiceConvolved(Conv2D):
    def call(self, x: Any) -> Any:
        return super().call(x) * 2


class TwiceRemembered(LSTM):
    def call(self, x: Any) -> Any:
        return super().call(x) * 2


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (lambda: [Halved(6, activation="relu", input_shape=(5,)), TwiceNormalised(), Halved(1)], (5,)),
        (lambda: [TwiceConvolved(3, 2, activation="tanh", input_shape=(1, 4, 4)), Flatten(), Dense(1)], (1, 4, 4)),
        (lambda: [TwiceRemembered(4, return_sequences=False, input_shape=(4, 2)), Dense(1)], (4, 2)),
    ],
)
def test_a_built_in_with_another_formula_trains_in_shards(layers: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, *shape)), rng.normal(size=(12, 1))
    found = []
    for shards in (1, 4):
        model = Sequential(layers(), seed=1, shards=shards, dtype="float64")
        model.compile("mse", SGD(lr=0.005))
        found.append(model.fit(x, y, epochs=2, batch_size=6, verbose=0).history["loss"])
        assert model.check_gradients(x[:5], y[:5]).ok
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


def test_an_activation_with_its_derivative_by_hand_is_used_as_it_is() -> None:
    layer = Activation(np.cbrt, derivative=lambda x: 1 / (3 * np.cbrt(x) ** 2))
    x = Tensor([1.0, 8.0, 27.0])
    x._watched = True
    np.testing.assert_allclose(layer.call(x), [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(gradient(layer.call(x), x), [1 / 3, 1 / 12, 1 / 27], rtol=1e-6)


def test_formulas_are_made_of_operations() -> None:
    layer = Dense(2)
    layer(np.ones((4, 3), "float32"))
    names = [one.primitive.name for one in history([layer(Tensor(np.ones((4, 3), "float32")))])]
    assert names == ["MatMul", "Add"]
