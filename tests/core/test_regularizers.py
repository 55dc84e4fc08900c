"""Penalties: their value by hand, their gradient by finite differences, and what they do in a model's parameters."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

import miniDLF.regularizers as module
from miniDLF.core.regularizers import CHOICES
from miniDLF.errors import ArgumentError, ShapeError, UnknownNameError
from miniDLF.layers import Dense
from miniDLF.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer, get_regularizer
from tests.standalone import directional_check

CASES: list[Regularizer] = [
    L1(),
    L1(0.3),
    L2(),
    L2(0.3),
    L1L2(),
    L1L2(0.2, 0.4),
    OrthogonalRegularizer(),
    OrthogonalRegularizer(0.7, "columns"),
]
every_case = pytest.mark.parametrize("regularizer", CASES, ids=repr)


def test_every_exported_regularizer_has_a_case() -> None:
    exported = {
        cls
        for name in module.__all__
        if isinstance(cls := getattr(module, name), type) and issubclass(cls, Regularizer)
    } - {Regularizer}
    assert {type(regularizer) for regularizer in CASES} == exported == set(CHOICES.values())


@every_case
@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (3, 2, 2, 2), (100, 200)])
def test_gradient(regularizer: Regularizer, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=shape)
    value[np.abs(value) < 0.01] = 0.02
    grad = np.zeros(shape)
    regularizer.value_and_grad(value, grad)
    directional_check(lambda: regularizer.value_and_grad(value, np.zeros(shape)), value, grad, rng)


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_is_added_and_types_are_kept(regularizer: Regularizer, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    value = rng.normal(size=(7, 6)).astype(dtype)
    kept = value.copy()
    zero, grad = np.zeros((7, 6), dtype), np.full((7, 6), 2.0, dtype)
    penalty = regularizer.value_and_grad(value, zero)
    assert regularizer.value_and_grad(value, grad) == penalty
    assert type(penalty) is float
    np.testing.assert_allclose(grad, 2.0 + zero, rtol=1e-6)
    np.testing.assert_array_equal(value, kept)


def test_values_by_hand() -> None:
    value = np.array([[1.0, -2.0], [0.0, 3.0]])
    for regularizer, penalty, gradient in (
        (L1(0.1), 0.6, [[0.1, -0.1], [0, 0.1]]),
        (L2(0.1), 1.4, [[0.2, -0.4], [0, 0.6]]),
        (L1L2(0.1, 0.1), 2.0, [[0.3, -0.5], [0, 0.7]]),
    ):
        grad = np.zeros((2, 2))
        assert regularizer.value_and_grad(value, grad) == pytest.approx(penalty)
        np.testing.assert_allclose(grad, gradient, atol=1e-15)


def test_orthogonal_by_hand() -> None:
    value = np.array([[3.0, 4.0], [2.0, 0.0], [0.0, -5.0]])  # |cosines| of the rows: 0.6, 0.8, 0
    assert OrthogonalRegularizer(0.3).value_and_grad(value, np.zeros((3, 2))) == pytest.approx(0.3 * 1.4 / 3)
    columns = OrthogonalRegularizer(0.3, "columns").value_and_grad(value, np.zeros((3, 2)))
    assert columns == pytest.approx(0.3 * 12 / np.sqrt(13 * 41))
    grad = np.zeros((4, 4))
    assert OrthogonalRegularizer().value_and_grad(np.eye(4), grad) == 0.0
    assert not grad.any()
    assert OrthogonalRegularizer().value_and_grad(np.ones((1, 4)), np.zeros((1, 4))) == 0.0


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e38])
@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_of_weights_of_any_size(size: float, mode: str) -> None:
    """Angles do not depend on lengths, and the gradient is the smaller, the longer the vectors are."""
    value = np.random.default_rng(3).normal(size=(3, 4))
    regularizer = OrthogonalRegularizer(0.3, mode)
    grad, scaled = np.zeros((3, 4)), np.zeros((3, 4), np.float32)
    penalty = regularizer.value_and_grad(value, grad)
    assert regularizer.value_and_grad(np.float32(value * size), scaled) == pytest.approx(penalty, rel=1e-5)
    within = np.abs(grad / size) > 1e-36  # what single precision holds in full
    np.testing.assert_allclose(scaled[within], (grad / size)[within], rtol=1e-3)


def test_penalties_beyond_the_type_of_the_weights() -> None:
    value = np.full((40, 5), 3e38, np.float32)
    assert L1(0.5).value_and_grad(value, np.zeros_like(value)) == pytest.approx(0.5 * 200 * 3e38, rel=1e-6)
    assert L2(0.5).value_and_grad(value * 1e-10, np.zeros_like(value)) == pytest.approx(0.5 * 200 * 9e56, rel=1e-6)


def test_a_unit_of_zeros() -> None:
    value = np.array([[0.0, 0.0], [1.0, 2.0]])
    grad = np.zeros((2, 2))
    assert OrthogonalRegularizer().value_and_grad(value, grad) == 0.0
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("make", [lambda a: a.T, lambda a: a[::2], lambda a: a[:, ::2], lambda a: a[:, 1]])
def test_arrays_that_are_not_contiguous(make: Any) -> None:
    rng = np.random.default_rng(2)
    value = make(rng.normal(size=(6, 8)))
    base = np.zeros((6, 8))
    penalty = L1L2(0.2, 0.4).value_and_grad(value, make(base))
    plain = np.zeros(value.shape)
    assert penalty == pytest.approx(L1L2(0.2, 0.4).value_and_grad(value.copy(), plain))
    np.testing.assert_allclose(make(base), plain)


@pytest.mark.parametrize("regularizer", [L1(), L2(), L1L2(0.1, 0.1)], ids=repr)
def test_nothing_large_is_allocated(regularizer: Regularizer) -> None:
    value, grad = np.ones((500, 400), np.float32), np.zeros((500, 400), np.float32)
    regularizer.value_and_grad(value, grad)
    tracemalloc.start()
    try:
        regularizer.value_and_grad(value, grad)
        assert tracemalloc.get_traced_memory()[1] < 65536
    finally:
        tracemalloc.stop()


@every_case
def test_configuration_round_trip(regularizer: Regularizer) -> None:
    again = get_regularizer(json.loads(json.dumps({"class": type(regularizer).__name__, **regularizer.config()})))
    assert repr(again) == repr(regularizer)


def test_names_and_layers() -> None:
    assert get_regularizer(None) is None
    assert repr(get_regularizer("l1_l2")) == repr(get_regularizer("L1L2")) == "L1L2()"
    layer = Dense(3, weight_regularizer="l2", kernel_constraint="max_norm")
    layer.build((4,))
    assert repr(layer.weight.regularizer) == "L2()"
    assert repr(layer.weight.constraint) == "MaxNorm()"
    assert layer.bias.regularizer is layer.bias.constraint is None
    again = Dense(**Dense(3, weight_regularizer=L1(0.5)).config())
    again.build((4,))
    assert again.weight.regularizer.l1 == 0.5


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"L2: l2 must lie in \[0, inf\); received -1. The default is 0.01"):
        L2(-1)
    with pytest.raises(ArgumentError, match=r"mode is 'rows' or 'columns'; received 'row'. Did you mean 'rows'"):
        OrthogonalRegularizer(mode="row")
    with pytest.raises(ShapeError, match=r"two axes or more, received the shape \(3,\). Use L2"):
        OrthogonalRegularizer().value_and_grad(np.zeros(3), np.zeros(3))
    with pytest.raises(UnknownNameError, match=r"unknown regularizer 'l3'.*Did you mean"):
        get_regularizer("l3")
