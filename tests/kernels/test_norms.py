"""Norms of numbers whose squares leave the range of their type, and of those whose squares do not."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from miniDLF.kernels.norms import divide, norm_of_all, norms

RNG = np.random.default_rng(0)
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def exact(value: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The norms by Python's own `math.hypot`, which neither overflows nor vanishes."""
    moved = np.moveaxis(value, axes, range(-len(axes), 0))
    flat = moved.reshape(-1, math.prod(value.shape[axis] for axis in axes))
    return np.array([math.hypot(*map(float, row)) for row in flat])


@both_types
@pytest.mark.parametrize("axes", [(0,), (1,), (1, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-20, 1e-3, 1.0, 1e18, 1e20, 1e37])
def test_norms_of_any_size(dtype: Any, axes: tuple[int, ...], size: float) -> None:
    value = (RNG.normal(size=(3, 4, 5)) * size).astype(dtype)
    scale, rest = norms(value, axes)
    assert scale.dtype == rest.dtype == dtype
    assert scale.shape == rest.shape == tuple(1 if axis in axes else n for axis, n in enumerate(value.shape))
    found = (scale.astype(np.float64) * rest).reshape(-1)
    np.testing.assert_allclose(found, exact(value, axes), rtol=4 * np.finfo(dtype).eps)


def test_units_of_all_sizes_side_by_side() -> None:
    value = np.float32([[1e20, 0.0, 3.0, 1e-25], [1e20, 0.0, 4.0, 0.0]])
    scale, rest = norms(value, (0,))
    np.testing.assert_allclose(scale.astype(np.float64) * rest, [[2**0.5 * 1e20, 0, 5, 1e-25]], rtol=1e-6)
    assert scale[0, 1:3].tolist() == [1, 1]  # what is of ordinary size is not touched


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_has_no_norm(bad: float) -> None:
    _, rest = norms(np.array([[1.0, bad], [1.0, 2.0]]), (1,))
    assert np.isnan(rest[0, 0])
    assert rest[1, 0] == 5**0.5
    assert math.isnan(norm_of_all([np.array([1.0, bad])])[1])


@both_types
@pytest.mark.parametrize("size", [1e-38, 1e-25, 1e-20, 1.0, 1e20, 1e38])
def test_norm_of_several_vectors(dtype: Any, size: float) -> None:
    parts = [(RNG.uniform(-1, 1, n) * size).astype(dtype) for n in (3, 0, 5000)]
    scale, rest = norm_of_all(parts)
    np.testing.assert_allclose(scale * rest, math.hypot(*map(float, np.concatenate(parts))), rtol=1e-5)


def test_largest_doubles_have_a_norm_that_is_no_double() -> None:
    scale, rest = norm_of_all([np.full(4, 1e308)])
    assert (scale, rest) == (1e308, 2.0)
    value = np.full((2, 4), 1e308)
    divide(value, *norms(value, (1,)))
    np.testing.assert_allclose(value, 0.5)


def test_nothing_has_the_norm_zero() -> None:
    assert norm_of_all([]) == norm_of_all([np.zeros(0)]) == norm_of_all([np.zeros(3)]) == (1.0, 0.0)


def test_ordinary_numbers_take_no_memory_of_their_size() -> None:
    value = RNG.normal(size=(600, 500)).astype(np.float32)
    tracemalloc.start()
    try:
        norms(value, (0,))
        assert tracemalloc.get_traced_memory()[1] < 65536
    finally:
        tracemalloc.stop()
