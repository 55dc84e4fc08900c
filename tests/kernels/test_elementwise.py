"""Elementwise kernels against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniDLF.kernels.elementwise import (
    dropout,
    dropout_backward,
    leaky,
    leaky_backward,
    pieces,
    rectified_dropout,
    sigmoid,
)
from miniDLF.kernels.rows import softmax
from miniDLF.kernels.workspace import Workspace


@given(st.floats(0, 1), st.sampled_from([0.5, np.inf]), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_leaky_backward(alpha: float, limit: float, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, dy = np.minimum(rng.normal(size=size), limit), rng.normal(size=size)
    y[:: max(size // 3, 1)] = 0.0
    expected = dy * np.where(y >= limit, 0.0, np.where(y > 0, 1.0, alpha))
    np.testing.assert_allclose(leaky_backward(dy, y, alpha, limit, Workspace(float).empty), expected, atol=1e-15)


@pytest.mark.parametrize("shape", [(280_000,), (6, 5, 70, 80)])
@pytest.mark.parametrize("last", [False, True])
def test_pieces_cover_arrays_in_any_order(shape: tuple[int, ...], last: bool) -> None:
    a, b = np.zeros(shape), np.ones(shape)
    if last and len(shape) == 4:
        a, b = (np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for array in (a, b))
    parts = list(pieces(a, b))
    assert len(parts) > 1
    for x, y in parts:
        x += y
    assert (a == 1).all()
    assert len(list(pieces(a, b[::-1]))) == 1


def test_sigmoid_is_right_in_relation_to_itself() -> None:
    for dtype, low in ((np.float32, -87.0), (np.float64, -708.0)):
        x = np.linspace(low, 40, 2001).astype(dtype)
        exact = 1 / (1 + np.exp(-x.astype(np.longdouble)))
        np.testing.assert_allclose(sigmoid(x, np.empty_like(x)), exact, rtol=4 * np.finfo(dtype).eps)
        edges = sigmoid(np.array([-np.inf, -1000, 1000, np.inf, np.nan], dtype), np.empty(5, dtype))
        np.testing.assert_allclose(edges, [0, 0, 1, 1, np.nan], atol=1e-37)


def test_sigmoid_and_softmax_neither_overflow_nor_lose_accuracy() -> None:
    x = np.array([[-1e4, -50.0, -1.0, 0.0, 1.0, 50.0, 1e4]])
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(sigmoid(x, np.empty_like(x)), expected, atol=1e-15)
    lend = Workspace(float).empty
    y = softmax(x, np.empty_like(x), lend)
    assert y.sum() == pytest.approx(1.0)
    assert np.isfinite(softmax(np.full((2, 3), 1e300), np.empty((2, 3)), lend)).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 6, 7), (0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("in_place", [False, True])
def test_softmax_of_rows(shape: tuple[int, ...], order: Any, in_place: bool) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=shape), order=order)
    powers = np.exp(x)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(softmax(x, x if in_place else np.empty_like(x), Workspace(float).empty), expected)


@given(st.floats(0, 1), st.sampled_from([0.5, np.inf]), st.integers(1, 50), st.integers(0, 2**32 - 1), st.booleans())
def test_leaky(alpha: float, limit: float, size: int, seed: int, in_place: bool) -> None:
    x = np.random.default_rng(seed).normal(size=size)
    expected = np.minimum(np.where(x > 0, x, alpha * x), limit)
    y = leaky(x, alpha, limit, x if in_place else np.empty_like(x), Workspace(float).empty)
    np.testing.assert_allclose(y, expected, atol=1e-15)


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 3, 32_768, 300_001])
def test_dropout(p: float, size: int) -> None:
    rng, lend = np.random.SFC64([1, 2]).random_raw, Workspace(float).empty
    kept = np.empty(size, bool)
    mask = dropout(np.ones(size), p, rng, kept, np.empty(size), lend)
    np.testing.assert_array_equal(mask != 0, kept)
    np.testing.assert_allclose(mask[kept], 1 / (1 - p), rtol=2e-4)
    if size > 10_000:
        assert np.mean(kept) == pytest.approx(1 - p, abs=0.01)
        assert np.mean(mask) == pytest.approx(1.0, abs=0.05)
        for later in (1, 4, size // 2):  # no number follows from one before
            assert np.corrcoef(kept[later:], kept[:-later])[0, 1] == pytest.approx(0, abs=0.02)
    dy = np.random.default_rng(0).normal(size=size)
    np.testing.assert_array_equal(dropout_backward(dy.copy(), p, kept, lend), dy * mask)


@pytest.mark.parametrize("alpha", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "turned"), [((7,), False), ((40, 50), True), ((300, 1000), False)])
def test_rectified_dropout_is_dropout_of_the_rectified(
    alpha: float, dtype: type, shape: tuple[int, ...], turned: bool
) -> None:
    def streams() -> Any:
        return np.random.SFC64([5]).random_raw

    lend = Workspace(dtype).empty
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    x.ravel()[::5] = 0
    x = x.T if turned else x
    slope, y = np.empty_like(x), np.empty_like(x)
    apart = np.where(x > 0, x, dtype(alpha) * x)
    apart = dropout(apart, 0.3, streams(), np.empty_like(x, bool), np.empty_like(x), lend)
    rectified_dropout(x, alpha, 0.3, streams(), slope, y, lend)
    exact = {"rtol": 4 * np.finfo(dtype).eps, "atol": 0}
    np.testing.assert_allclose(y, apart, **exact)
    kept = dropout(np.ones_like(x), 0.3, streams(), np.empty_like(x, bool), np.empty_like(x), lend)
    np.testing.assert_allclose(slope, kept * np.where(x > 0, 1, dtype(alpha)), **exact)
    np.testing.assert_array_equal(rectified_dropout(x, alpha, 0.3, streams(), slope, x, lend), y)


def test_dropout_in_any_order_of_axes() -> None:
    def draw(shape: tuple[int, ...], turn: tuple[int, ...] | None) -> np.ndarray:
        rng, x = np.random.SFC64([3]).random_raw, np.ones(shape)
        kept, y = np.empty(shape, bool), np.empty(shape)
        if turn:
            x, kept, y = (array.transpose(turn) for array in (x, kept, y))
        return dropout(x, 0.3, rng, kept, y, Workspace(float).empty)

    last = draw((2, 5, 6, 3), (0, 3, 1, 2))
    assert last.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(last.transpose(0, 2, 3, 1), draw((2, 5, 6, 3), None))
