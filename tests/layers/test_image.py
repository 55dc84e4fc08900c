"""What is special about the image layers; the contract suite checks the rest."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.layers.convolution import Conv2D
from miniDLF.layers.pooling import GlobalAveragePooling2D, Pooling2D, UpSampling2D
from tests.layers.cases_image import CASES
from tests.standalone import Case, Standalone, directional_check


def channels_last(x: np.ndarray) -> np.ndarray:
    """Return x (N, C, H, W) with the same shape and values, channels-last in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("count", [1, 9])
def test_gradients(case: Case, count: int) -> None:
    rng = np.random.default_rng(0)
    alone = Standalone(case.make(), case.input_shape)
    shape = (count, *case.input_shape)
    x = case.make_input(rng, shape) if case.make_input else rng.normal(size=shape)
    direction = rng.normal(size=(count, *alone.output_shape))

    def run() -> float:
        return float(np.sum(alone.forward(x) * direction))

    run()
    dx = np.array(alone.backward(direction.copy()))
    gradients = {parameter: gradient.copy() for parameter, gradient in alone.gradients.items()}
    directional_check(run, x, dx, rng)
    for parameter, gradient in gradients.items():
        directional_check(run, parameter.value, gradient, rng)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_either_order_of_memory_gives_the_same(case: Case, training: bool) -> None:
    rng = np.random.default_rng(1)
    alone = Standalone(case.make(), case.input_shape)
    x = rng.normal(size=(9, *case.input_shape))
    results = []
    for order in (np.ascontiguousarray, channels_last):
        given = order(x)
        y = alone.forward(given, training=training).copy()
        dy = np.random.default_rng(2).normal(size=y.shape)
        dx = np.array(alone.backward(order(dy) if dy.ndim == 4 else dy))
        results.append([y, dx, *(gradient.copy() for gradient in alone.gradients.values())])
        np.testing.assert_array_equal(given, x)
    for first, last in zip(*results, strict=True):
        np.testing.assert_allclose(first, last, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case.make(), Conv2D)], ids=str)
def test_no_input_gradient_where_none_is_needed(case: Case) -> None:
    rng = np.random.default_rng(1)
    alone = Standalone(case.make(), case.input_shape)
    x = rng.normal(size=(9, *case.input_shape))
    dy = rng.normal(size=alone.forward(x).shape)
    alone.backward(dy.copy())
    expected = [gradient.copy() for gradient in alone.gradients.values()]
    alone.call.needs_dx = False
    for gradient in alone.gradients.values():
        gradient.fill(np.nan)
    assert alone.backward(dy.copy()) is None
    for gradient, other in zip(alone.gradients.values(), expected, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_single_images_and_batches_agree(case: Case) -> None:
    alone = Standalone(case.make(), case.input_shape)
    x = np.random.default_rng(1).normal(size=(9, *case.input_shape))
    together = alone.forward(x, training=False).copy()
    for n in range(9):
        one = alone.forward(x[n : n + 1], training=False)
        np.testing.assert_allclose(one[0], together[n], rtol=1e-9, atol=1e-9)


def test_parameter_counts_of_the_specification() -> None:
    first, second = Standalone(Conv2D(32, (6, 6), 2), (1, 28, 28)), Standalone(Conv2D(32, (3, 3), 2), (32, 6, 6))
    assert first.output_shape == (32, 12, 12)
    assert second.output_shape == (32, 2, 2)
    assert [sum(p.size for p in alone.layer.parameters) for alone in (first, second)] == [1184, 9248]
    assert first.layer.weight.shape == (32, 1, 6, 6)
    assert first.layer.weight.fans == (36, 32 * 36)
    assert first.layer.flops((1, 28, 28), (32, 12, 12)) == 2 * 32 * 144 * 36


def test_labels() -> None:
    assert [layer.label for layer in (Conv2D(1, 1), Pooling2D(), UpSampling2D())] == [
        "Conv2D",
        "Pooling",
        "UpSampling",
    ]


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "expected"), [(7, 3, 1, 7), (7, 3, 2, 4), (8, 3, 2, 4), (5, 4, 1, 5), (5, 1, 3, 2)]
)
def test_same_padding_as_in_keras(length: int, kernel: int, stride: int, expected: int) -> None:
    layer = Conv2D(2, kernel, stride, padding="same")
    assert layer.build((1, length, length)) == (2, expected, expected)
    assert Conv2D(2, kernel, stride, padding="valid").build((1, length, length)) == Conv2D(2, kernel, stride).build(
        (1, length, length)
    )


def test_same_padding_puts_the_odd_row_below() -> None:
    alone = Standalone(Conv2D(1, 2, padding="same"), (1, 2, 2))
    alone.layer.weight.value[...] = 1
    alone.layer.bias.value[...] = 0
    y = alone.forward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    np.testing.assert_allclose(y[0, 0], [[10, 6], [7, 4]])


def test_keras_names() -> None:
    layer = Conv2D(filters=4, kernel_size=3, strides=2, kernel_initializer="zeros")
    assert (layer.kernel, layer.stride, layer.weight_initializer) == (3, 2, "zeros")
    pool = Pooling2D(pool_size=3, strides=1)
    assert (pool.size, pool.stride) == (3, 1)


def test_a_shared_layer_takes_images_of_two_sizes() -> None:
    layer = Conv2D(3, 3, 2, "same")
    alone = Standalone(layer, (2, 7, 7))
    assert layer.build((2, 8, 6)) == (3, 4, 3)
    assert alone.forward(np.ones((1, 2, 7, 7))).shape == (1, 3, 4, 4)
    assert alone.forward(np.ones((1, 2, 8, 6))).shape == (1, 3, 4, 3)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Conv2D(0, 3), ArgumentError, ["filters", "at least 1", "0"]),
        (lambda: Conv2D(2.5, 3), ArgumentTypeError, ["filters", "whole number", "2.5"]),
        (lambda: Conv2D((2, 3), 3), ArgumentTypeError, ["filters", "(2, 3)"]),
        (lambda: Conv2D(2, (3, 0)), ArgumentError, ["kernel", "at least 1", "(3, 0)"]),
        (lambda: Conv2D(2, (3, 3, 3)), ArgumentTypeError, ["kernel", "pair", "(3, 3, 3)"]),
        (lambda: Conv2D(2, 3, 0), ArgumentError, ["stride", "at least 1"]),
        (lambda: Conv2D(2, 3, 1, -1), ArgumentError, ["padding", "at least 0", "-1"]),
        (lambda: Conv2D(2, 3, 1, "full"), ArgumentError, ["padding", "'same'", "'full'"]),
        (lambda: Conv2D(2, 3, 1, None), ArgumentTypeError, ["padding", "None"]),
        (lambda: Pooling2D(0), ArgumentError, ["Pooling2D: size", "at least 1"]),
        (lambda: Pooling2D(2, -2), ArgumentError, ["Pooling2D: stride", "-2"]),
        (lambda: Pooling2D(2, 2, "maximum"), ArgumentError, ["mode", "'max' or 'avg'", "Did you mean 'max'?"]),
        (lambda: Pooling2D(2, 2, 3), ArgumentError, ["mode", "3"]),
        (lambda: UpSampling2D((2, 0)), ArgumentError, ["UpSampling2D: size", "(2, 0)"]),
        (lambda: UpSampling2D("2"), ArgumentTypeError, ["UpSampling2D: size", "'2'"]),
    ],
)
def test_refused_arguments(make, error, words) -> None:
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (
            Conv2D(2, 3, name="c"),
            (100,),
            ["Conv2D 'c'", "vector (100,)", "Reshape((channels, height, width))", "Dense"],
        ),
        (Conv2D(2, 3), (28, 28), ["(28, 28)", "Reshape((1, 28, 28))"]),
        (Conv2D(2, 3), (1, 2, 3, 4), ["(1, 2, 3, 4)", "Reshape"]),
        (Conv2D(2, 5, padding=1), (1, 2, 9), ["5 x 5", "4 x 11", "(1, 2, 9)", "smaller kernel"]),
        (Conv2D(2, 3), (0, 9, 9), ["at least one channel", "(0, 9, 9)"]),
        (Pooling2D(3), (1, 2, 9), ["3 x 3", "2 x 9", "smaller size"]),
        (Pooling2D(), (10,), ["Pooling2D", "vector (10,)", "Reshape"]),
        (UpSampling2D(), (10,), ["UpSampling2D", "vector (10,)", "Reshape"]),
        (GlobalAveragePooling2D(), (5, 5), ["GlobalAveragePooling2D", "Reshape((1, 5, 5))"]),
    ],
)
def test_refused_shapes(layer, shape, words) -> None:
    with pytest.raises(ShapeError) as caught:
        layer.build(shape)
    for word in words:
        assert word in str(caught.value)
