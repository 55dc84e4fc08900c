"""Convolution of enlarged images against plain loops over images that are really enlarged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels.convolution import arranged, conv2d, conv2d_backward
from miniDLF.kernels.methods import choose_method, prepare_weights
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Workspace
from tests import reference
from tests.kernels.test_convolution import ORDERS, TOLERANCE, arrays

pytestmark = pytest.mark.usefixtures("either_blas")


def repeated(x, factors):
    """Repeat every row and column of x (N, C, H, W)."""
    return x.repeat(factors[0], axis=2).repeat(factors[1], axis=3)


def folded(dx, factors):
    """Add up what belongs to one pixel: the adjoint of `repeated`."""
    count, channels, height, width = dx.shape
    down, across = factors
    return dx.reshape(count, channels, height // down, down, width // across, across).sum(axis=(3, 5))


@st.composite
def cases(draw):
    """Draw the shape of a small image, factors, and a window that fits the large one."""
    factors = draw(st.tuples(*[st.integers(1, 3)] * 2))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    height = draw(st.integers(max(1, -(-(kernel[0] - padding[0] - padding[1]) // factors[0])), 5))
    width = draw(st.integers(max(1, -(-(kernel[1] - padding[2] - padding[3]) // factors[1])), 5))
    shape = draw(st.sampled_from([1, 3, 16, 19])), draw(st.integers(1, 5)), height, width
    return shape, draw(st.integers(1, 6)), factors, Window(kernel, (1, 1), padding)


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from(["float32", "float64"]), st.sampled_from(ORDERS))
def test_enlarging_on_the_way(case, dtype, order):
    shape, filters, factors, window = case
    large = *shape[:2], shape[2] * factors[0], shape[3] * factors[1]
    _, weight, bias, dy = arrays(large, filters, window, dtype, 0)
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    own, scratch = Workspace(dtype).empty, Workspace(dtype).empty
    method = choose_method(window.kernel, window.stride, shape[1], filters)
    matrices = prepare_weights(method, weight, True, own)
    exact = [array.astype("float64") for array in (repeated(x, factors), weight, bias, dy)]
    expected = reference.conv2d(*exact[:3], window.stride, window.padding)
    dx, dweight, dbias = reference.conv2d_gradients(exact[0], exact[1], exact[3], window.stride, window.padding)

    def close(result, loop):
        assert result.shape == loop.shape
        assert result.dtype == dtype
        scale = max(1.0, float(np.abs(loop).max(initial=0)))
        np.testing.assert_allclose(result, loop, rtol=0, atol=TOLERANCE[dtype] * scale)

    images = arranged(order(x), own)
    close(conv2d(images, weight, bias, matrices, window, own, scratch, factors), expected)
    for target in (own, None):
        gradients = np.full_like(weight, np.nan), np.full_like(bias, np.nan)
        result = conv2d_backward(images, order(dy), weight, matrices, window, *gradients, target, scratch, factors)
        if target is None:
            assert result is None
        else:
            close(result, folded(dx, factors))
        close(gradients[0], dweight)
        close(gradients[1], dbias)
