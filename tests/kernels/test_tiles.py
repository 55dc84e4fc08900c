"""Means of rectified windows against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels import tiles
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Workspace
from tests import reference


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 3)] * 6),
    st.sampled_from([0.0, 0.0001, 0.3, 1.0]),
    st.sampled_from([1, 30, 1 << 17]),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
)
def test_means_of_rectified_windows(sizes, alpha, block, in_place, dtype):
    count, channels, rows, columns, kh, kw = sizes
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, rows * kh, columns * kw, channels)).astype(dtype)
    x[:, 0, 0] = 0  # the slope at 0 is alpha
    dy = rng.normal(size=(count, rows, columns, channels)).astype(dtype)
    window = Window((kh, kw), (kh, kw))
    slope = np.where(x > 0, 1.0, alpha)
    values = (x * slope).transpose(0, 3, 1, 2).astype("float64")
    y = np.full(dy.shape, np.nan, dtype)
    expected = reference.pool2d(values, window.kernel, window.stride, "avg").transpose(0, 2, 3, 1)
    spread = reference.pool2d_gradient(
        values, dy.transpose(0, 3, 1, 2).astype("float64"), window.kernel, window.stride, "avg"
    )
    before = x.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "RECTIFIED_BLOCK", block)
        pooling, scratch = tiles.Pooling(window, False, 1 / (kh * kw), alpha), Workspace(dtype).empty
        tiles.Tiles(x, y, pooling, scratch).run()
        np.testing.assert_array_equal(x, before)
        dx = x if in_place else np.full_like(x, np.nan)
        tiles.tiles_backward(x, y, dy, pooling, dx, scratch)
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, spread.transpose(0, 2, 3, 1) * slope, rtol=tolerance, atol=tolerance)
