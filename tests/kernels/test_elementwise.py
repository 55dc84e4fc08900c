"""Elementwise kernels against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniDLF.kernels.elementwise import dropout_mask, leaky_backward, pieces, sigmoid, softmax
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


def test_sigmoid_and_softmax_neither_overflow_nor_lose_accuracy() -> None:
    x = np.array([[-1e4, -50.0, -1.0, 0.0, 1.0, 50.0, 1e4]])
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(sigmoid(x, np.empty_like(x)), expected, atol=1e-15)
    y = softmax(x, np.empty_like(x))
    assert y.sum() == pytest.approx(1.0)
    assert np.isfinite(softmax(np.full((2, 3), 1e300), np.empty((2, 3)))).all()


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 3, 32_768, 100_001])
def test_dropout_mask(p: float, size: int) -> None:
    rng = np.random.Generator(np.random.SFC64([1, 2]))
    mask = dropout_mask(rng, p, np.empty(size, bool), np.empty(size))
    kept = mask[mask != 0]
    np.testing.assert_allclose(kept, 1 / (1 - p), rtol=2e-4)
    if size > 10_000:
        assert np.mean(mask == 0) == pytest.approx(p, abs=0.01)
        assert np.mean(mask) == pytest.approx(1.0, abs=0.05)


def test_dropout_mask_in_any_order_of_axes() -> None:
    def draw(shape: tuple[int, ...], turn: tuple[int, ...] | None) -> np.ndarray:
        rng = np.random.Generator(np.random.SFC64([3]))
        kept, mask = np.empty(shape, bool), np.empty(shape)
        if turn:
            kept, mask = kept.transpose(turn), mask.transpose(turn)
        return dropout_mask(rng, 0.3, kept, mask)

    last = draw((2, 5, 6, 3), (0, 3, 1, 2))
    assert last.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(last.transpose(0, 2, 3, 1), draw((2, 5, 6, 3), None))
