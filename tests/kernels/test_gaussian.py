"""The tail of the normal distribution and GELU, against Python's own `math.erf` and `math.erfc`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from miniDLF.kernels.gaussian import gelu, normal_tail
from miniDLF.kernels.threads import quiet_arithmetic

#: Absolute errors, and relative ones up to 5 standard deviations.
PRECISION = {np.float32: (1e-7, 2e-6), np.float64: (1e-14, 2e-14)}
both_types = pytest.mark.parametrize("dtype", PRECISION)


def lend(name: str, shape: Any, dtype: Any = None) -> np.ndarray:
    return np.empty(shape, lend.dtype)  # type: ignore[attr-defined]


def points(dtype: Any) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([np.linspace(-14, 14, 6001), rng.normal(size=3000), rng.normal(size=1000) * 1e-3]).astype(
        dtype
    )


def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lend.dtype = x.dtype  # type: ignore[attr-defined]
    y, slope = np.empty_like(x), np.empty_like(x)
    quiet_arithmetic(gelu)(x, y, slope, lend)
    return y, slope


@both_types
def test_tail(dtype: Any) -> None:
    x = points(dtype)
    size, density, tail, work = (np.empty_like(x) for _ in range(4))
    normal_tail(x, size, density, tail, work)
    true = np.array([math.erfc(abs(number) / math.sqrt(2)) / 2 for number in x.tolist()])
    absolute, relative = PRECISION[dtype]
    assert np.abs(tail - true).max() < absolute
    near = np.abs(x) < 5
    assert np.abs(tail[near] / true[near] - 1).max() < relative
    np.testing.assert_array_equal(size, np.abs(x))
    np.testing.assert_allclose(density, np.exp(-(x.astype(np.float64) ** 2) / 2), rtol=1e-5, atol=1e-38)


@both_types
def test_gelu_and_its_derivative(dtype: Any) -> None:
    x = points(dtype)
    y, slope = run(x)
    below = np.array([math.erfc(-number / math.sqrt(2)) / 2 for number in x.tolist()])  # Phi, also far below zero
    wide = x.astype(np.float64)
    absolute, relative = PRECISION[dtype]
    np.testing.assert_allclose(
        slope, below + wide * np.exp(-wide * wide / 2) / math.sqrt(2 * math.pi), atol=2 * absolute
    )
    near = np.abs(x) < 5
    np.testing.assert_allclose(y[near], (wide * below)[near], rtol=relative)
    np.testing.assert_allclose(y, wide * below, rtol=relative, atol=absolute)


@both_types
def test_gelu_far_from_zero_and_at_zero(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    y, slope = run(np.array([-largest, -1e20, -40, 0.0, 40, 1e20, largest], dtype))
    assert y.tolist() == [0, 0, 0, 0, 40, dtype(1e20), largest]
    assert slope.tolist() == [0, 0, 0, 0.5, 1, 1, 1]


def test_gelu_in_place_in_pieces_and_in_any_order_of_memory() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300_000,))
    wanted, slope = run(x)
    lend.dtype = x.dtype  # type: ignore[attr-defined]
    mine = x.copy()
    gelu(mine, mine, None, lend)
    np.testing.assert_array_equal(mine, wanted)
    images = x[:240].reshape(2, 3, 5, 8).transpose(0, 3, 1, 2)
    y, local = run(images)
    np.testing.assert_allclose(y, wanted[:240].reshape(2, 3, 5, 8).transpose(0, 3, 1, 2), rtol=1e-15)
    np.testing.assert_allclose(local, slope[:240].reshape(2, 3, 5, 8).transpose(0, 3, 1, 2), rtol=1e-15)
