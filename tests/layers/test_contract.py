"""The contract that every exported layer fulfils, over every module's list of cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import miniDLF.layers as layers_module
from miniDLF.core.configurable import from_config
from miniDLF.layers import CHOICES, Conv2D, Dense, Layer, ReLU
from miniDLF.models import Input, Model
from tests.layers import cases_basic, cases_image, cases_recurrent
from tests.standalone import Case, Standalone, directional_check

CASES: list[Case] = [*cases_basic.CASES, *cases_image.CASES, *cases_recurrent.CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
ROWS = 5


def shapes_of(case: Case) -> list[tuple[int, ...]]:
    many = isinstance(case.input_shape[0], tuple)
    return list(case.input_shape) if many else [tuple(case.input_shape)]


def inputs_for(case: Case, rows: int = ROWS, seed: int = 0) -> list[np.ndarray]:
    """Random inputs that keep away from the points where the derivative jumps."""
    rng = np.random.default_rng(seed)
    result = []
    for shape in shapes_of(case):
        x = case.make_input(rng, (rows, *shape)) if case.make_input else rng.normal(size=(rows, *shape))
        for kink in case.kinks:
            close = np.abs(x - kink) < 0.01
            x = np.where(close, kink + np.where(x < kink, -0.02, 0.02), x)
        result.append(x)
    return result


def given(inputs: list[np.ndarray], layer: object) -> object:
    return tuple(inputs) if getattr(layer, "takes_many", False) else inputs[0]


def model_of(case: Case, **settings: object) -> Model:
    nodes = [Input(shape) for shape in shapes_of(case)]
    layer = case.make()
    return Model(nodes, layer(nodes if layer.takes_many else nodes[0]), seed=5, dtype="float64", **settings)


def test_every_exported_layer_has_a_case() -> None:
    covered = {type(case.make()).__name__ for case in CASES}
    assert set(layers_module.__all__) - {"Layer"} <= covered | {"DerivedLayer", "Lambda"}
    assert set(CHOICES) == set(layers_module.__all__) - {"Layer", "DerivedLayer", "Lambda"}


@every_case
def test_built_shape_is_the_real_shape(case: Case) -> None:
    alone = Standalone(case.make(), case.input_shape)
    for rows in (1, ROWS):
        y = alone.forward(given(inputs_for(case, rows), alone.layer), training=False)
        assert y.shape == (rows, *alone.output_shape)
        assert y.dtype == np.float64


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_inputs_and_parameters(case: Case, training: bool) -> None:
    if training not in case.modes:
        pytest.skip("the case is for the other mode")
    layer = case.make()
    alone = Standalone(layer, case.input_shape)
    inputs = inputs_for(case)
    rng = np.random.default_rng(1)
    dy = rng.normal(size=(ROWS, *alone.output_shape))

    def scalar() -> float:
        return float(np.sum(alone.forward(given(inputs, layer), training=training) * dy))

    scalar()
    dx = alone.backward(dy.copy())
    dx = [np.array(part) for part in (dx if layer.takes_many else (dx,))]
    gradients = {parameter: np.array(gradient) for parameter, gradient in alone.gradients.items()}
    for array, gradient in zip(inputs, dx, strict=True):
        assert gradient.shape == array.shape
        directional_check(scalar, array, gradient, rng)
    for parameter, gradient in gradients.items():
        assert np.isfinite(gradient).all(), f"backward left {parameter.name} unset"
        directional_check(scalar, parameter.value, gradient, rng)


@every_case
def test_gradients_in_a_batch_of_one(case: Case) -> None:
    layer = case.make()
    alone = Standalone(layer, case.input_shape)
    inputs = inputs_for(case, 1)
    rng = np.random.default_rng(2)
    dy = rng.normal(size=(1, *alone.output_shape))

    def scalar() -> float:
        return float(np.sum(alone.forward(given(inputs, layer), training=False) * dy))

    scalar()
    dx = alone.backward(dy.copy())
    dx = [np.array(part) for part in (dx if layer.takes_many else (dx,))]
    gradients = {parameter: np.array(gradient) for parameter, gradient in alone.gradients.items()}
    for array, gradient in zip(inputs, dx, strict=True):
        directional_check(scalar, array, gradient, rng)
    for parameter, gradient in gradients.items():
        directional_check(scalar, parameter.value, gradient, rng)


@every_case
def test_configuration_round_trip(case: Case) -> None:
    layer = case.make()
    again = from_config({"class": type(layer).__name__, **layer.config()}, CHOICES, "layer")
    assert repr(again) == repr(layer)
    assert again.config() == layer.config()
    assert "object at" not in repr(layer)


@pytest.mark.parametrize("make", [lambda: Dense(3, activation=ReLU(0.1)), lambda: Conv2D(2, 1, activation=ReLU(0.1))])
def test_a_layer_as_activation_comes_back_from_the_configuration(make: Callable[[], Layer]) -> None:
    layer = make()
    again = from_config({"class": type(layer).__name__, **layer.config()}, CHOICES, "layer")
    _, activation = again.parts()
    assert isinstance(activation, ReLU)
    assert activation.alpha == 0.1


@every_case
def test_inference_is_deterministic_and_leaves_its_inputs_alone(case: Case) -> None:
    alone = Standalone(case.make(), case.input_shape)
    inputs = inputs_for(case)
    before = [array.copy() for array in inputs]
    first = alone.forward(given(inputs, alone.layer), training=False).copy()
    second = alone.forward(given(inputs, alone.layer), training=False)
    np.testing.assert_array_equal(first, second)
    alone.forward(given(inputs, alone.layer), training=True)
    alone.backward(np.ones((ROWS, *alone.output_shape)))
    for old, new in zip(before, inputs, strict=True):
        np.testing.assert_array_equal(old, new)


@every_case
def test_memory_layout_of_the_input_does_not_matter(case: Case) -> None:
    alone = Standalone(case.make(), case.input_shape)
    inputs = inputs_for(case)
    rng = np.random.default_rng(3)
    dy = rng.normal(size=(ROWS, *alone.output_shape))
    plain = alone.forward(given(inputs, alone.layer)).copy()
    dx = alone.backward(dy.copy())
    dx = [np.array(part) for part in (dx if alone.layer.takes_many else (dx,))]

    def strided(array: np.ndarray) -> np.ndarray:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]))
        wide[..., ::2] = array
        return wide[..., ::2]

    def channels_last(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(array, 1, -1)).transpose(0, array.ndim - 1, *range(1, array.ndim - 1))

    for change in (strided, channels_last, np.asfortranarray):
        other = alone.forward(given([change(array) for array in inputs], alone.layer))
        np.testing.assert_allclose(other, plain, rtol=1e-9, atol=1e-11)
        back = alone.backward(change(dy.copy()))
        for array, expected in zip(back if alone.layer.takes_many else (back,), dx, strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-11)


@every_case
def test_shards_do_not_change_the_result(case: Case) -> None:
    if type(case.make()).__name__ == "Dropout" and case.make().p_dropout:
        pytest.skip("a mask is a function of the shard")
    inputs = inputs_for(case, 7)
    results = []
    for shards in (1, 4):
        model = model_of(case, shards=shards)
        model.compile("mse", "sgd")
        target = np.random.default_rng(4).normal(size=(7, *model.output_shape))
        results.append(model.gradients(inputs if len(inputs) > 1 else inputs[0], target))
    (loss, gradients), (sharded_loss, sharded_gradients) = results
    np.testing.assert_allclose(sharded_loss, loss, rtol=1e-10)
    assert list(gradients) == list(sharded_gradients)
    for path, gradient in gradients.items():
        np.testing.assert_allclose(sharded_gradients[path], gradient, rtol=1e-8, atol=1e-10)


@every_case
def test_float32_stays_float32(case: Case) -> None:
    alone = Standalone(case.make(), case.input_shape, dtype=np.float32)
    inputs = [array.astype(np.float32) for array in inputs_for(case)]
    y = alone.forward(given(inputs, alone.layer))
    assert y.dtype == np.float32
    dx = alone.backward(np.ones_like(y))
    for part in dx if alone.layer.takes_many else (dx,):
        assert part.dtype == np.float32


@every_case
def test_what_a_layer_gives_away_is_its_own_and_not_read_again(case: Case) -> None:
    layer = case.make()
    if not layer.gives_away:
        pytest.skip("the layer keeps its output")
    for training in case.modes:
        alone = Standalone(layer, case.input_shape)
        inputs = inputs_for(case)
        y = alone.forward(given(inputs, layer), training=training)
        assert not any(np.may_share_memory(y, array) for array in inputs)
        dy = np.random.default_rng(1).normal(size=y.shape)
        expected = [np.array(part) for part in _listed(alone.backward(dy.copy()))]
        gradients = [gradient.copy() for gradient in alone.gradients.values()]
        alone.forward(given(inputs, layer), training=training).fill(np.nan)
        for part, whole in zip(_listed(alone.backward(dy.copy())), expected, strict=True):
            np.testing.assert_array_equal(part, whole)
        for gradient, whole in zip(alone.gradients.values(), gradients, strict=True):
            np.testing.assert_array_equal(gradient, whole)


@every_case
def test_an_output_in_the_place_of_the_input_is_the_same(case: Case) -> None:
    layer = case.make()
    if layer.takes_many:
        pytest.skip("only the one input of a layer is ever overwritten")
    for training in case.modes:
        results = []
        for overwrites in (False, True):
            alone = Standalone(layer, case.input_shape)
            alone.call.overwrites = overwrites
            x = inputs_for(case)[0]
            y = alone.forward(x, training=training).copy()
            dx = np.array(alone.backward(np.random.default_rng(1).normal(size=y.shape)))
            results.append([y, dx, *(gradient.copy() for gradient in alone.gradients.values())])
        for apart, in_place in zip(*results, strict=True):
            np.testing.assert_array_equal(in_place, apart)


def _listed(dx: object) -> tuple[np.ndarray, ...]:
    return dx if isinstance(dx, tuple) else (dx,)


@every_case
def test_flops_are_counted(case: Case) -> None:
    layer = case.make()
    shape = layer.shape_for(case.input_shape)
    matrices = sum(parameter.size for parameter in layer.parameters if len(parameter.shape) > 1)
    flops = layer.flops(case.input_shape, shape)
    assert flops >= 2 * matrices  # each number is multiplied and added at least once a sample
