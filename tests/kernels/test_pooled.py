"""A convolution that pools its result on the way, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels import pooled
from miniDLF.kernels.convolution import arranged
from miniDLF.kernels.methods import choose_method, prepare_weights
from miniDLF.kernels.tiles import Pooling
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Workspace
from tests import reference

pytestmark = pytest.mark.usefixtures("either_blas")


@st.composite
def cases(draw):
    """Draw images, kernels and a pooling that tiles the result of the convolution."""
    kernel, stride, tile, tiles = (draw(st.tuples(*[st.integers(1, 3)] * 2)) for _ in range(4))
    padding = tuple(draw(st.integers(0, 1)) for _ in range(4))
    height, width = (
        max(1, (t * n - 1) * s + k - before - after)
        for t, n, s, k, before, after in zip(tile, tiles, stride, kernel, padding[::2], padding[1::2], strict=True)
    )
    window = Window(kernel, stride, padding)
    rows, columns = window.positions(height, width)
    if rows % tile[0] or columns % tile[1] or min(rows, columns) < 1:
        tile = (1, 1)
    filters, channels = draw(st.integers(1, 5)), draw(st.integers(1, 2))
    return (draw(st.sampled_from([3, 20])), channels, height, width), (filters, channels, *kernel), window, tile


@settings(max_examples=100, deadline=None)
@given(
    cases(),
    st.sampled_from([("max", None), ("avg", None), ("avg", 0.0), ("avg", 0.2)]),
    st.sampled_from([1, 4000, 2 << 20]),
    st.booleans(),
)
def test_forward_and_backward(case, kind, block, needs_dx):
    shape, weights, window, tile = case
    mode, alpha = kind
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=shape), rng.normal(size=weights), rng.normal(size=weights[0])
    lend, scratch = Workspace("float64").empty, Workspace("float64").empty
    method = choose_method(window.kernel, window.stride, *weights[1::-1])
    method = "direct" if method == "few_filters" else method
    matrices = prepare_weights(method, weight, True, lend)
    pooling = Pooling(Window(tile, tile), mode == "max", 1.0 if mode == "max" else 1 / (tile[0] * tile[1]), alpha)
    convolved = reference.conv2d(x, weight, bias, window.stride, window.padding)
    slope = np.ones_like(convolved) if alpha is None else np.where(convolved > 0, 1.0, alpha)
    expected = reference.pool2d(convolved * slope, tile, tile, mode)
    dy = rng.normal(size=expected.shape)
    spread = reference.pool2d_gradient(convolved * slope, dy, tile, tile, mode) * slope
    gradients = reference.conv2d_gradients(x, weight, spread, window.stride, window.padding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled, "BLOCK_BYTES", block)
        for keeps in (True, False):
            kernel = pooled.PooledConvolution(
                arranged(x, lend), weights, method, window, pooling, keeps, Workspace("float64").empty, scratch
            )
            for _ in range(2):  # the views serve more than once
                y = kernel.run(weight, bias, matrices)
                np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)
                if not keeps:
                    continue
                dweight, dbias = np.full(weights, np.nan), np.full(weights[0], np.nan)
                dx = kernel.backward(dy.copy(), weight, matrices, dweight, dbias, lend if needs_dx else None)
                np.testing.assert_allclose(dweight, gradients[1], rtol=1e-10, atol=1e-10)
                np.testing.assert_allclose(dbias, gradients[2], rtol=1e-10, atol=1e-10)
                assert (dx is not None) == needs_dx
                if dx is not None:
                    np.testing.assert_allclose(dx, gradients[0], rtol=1e-10, atol=1e-10)
