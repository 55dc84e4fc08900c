"""The convolution kernels against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels import batch_last, few_filters, im2col, winograd
from miniDLF.kernels.convolution import arranged, conv2d, conv2d_backward
from miniDLF.kernels.methods import choose_method, prepare_weights
from miniDLF.kernels.products import gradient_product, product
from miniDLF.kernels.windows import Window, blocks, padded
from miniDLF.kernels.workspace import Workspace
from tests import reference

pytestmark = pytest.mark.usefixtures("either_blas")

TOLERANCE = {"float64": 1e-11, "float32": 2e-5}


@st.composite
def convolutions(draw, kernel=None, stride=None, most_channels=6):
    """Draw the shapes of a convolution whose window fits."""
    kh, kw = draw(st.tuples(*[st.integers(1, 4)] * 2)) if kernel is None else kernel
    down, across = draw(st.tuples(*[st.integers(1, 3)] * 2)) if stride is None else stride
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    height = draw(st.integers(max(1, kh - padding[0] - padding[1]), 11))
    width = draw(st.integers(max(1, kw - padding[2] - padding[3]), 11))
    shape = draw(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 21])), draw(st.integers(1, most_channels)), height, width
    return shape, draw(st.integers(1, most_channels)), Window((kh, kw), (down, across), padding)


def arrays(shape, filters, window, dtype, seed):
    """Return x, weight, bias and dy."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(dtype)
    weight = rng.normal(size=(filters, shape[1], *window.kernel)).astype(dtype)
    bias = rng.normal(size=filters).astype(dtype)
    dy = rng.normal(size=(shape[0], filters, *window.positions(*shape[2:]))).astype(dtype)
    return x, weight, bias, dy


def channels_last(x):
    """Return x (N, C, H, W) with the same shape and values, channels-last in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def batch_last_order(x):
    """Return x (N, C, H, W) with the same shape and values, the images' number last in memory."""
    return np.ascontiguousarray(x.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)


ORDERS = [lambda x: x, channels_last, batch_last_order]
NAMES = ["channels first", "channels last", "batch last"]


def check(shape, filters, window, dtype="float64", order=lambda x: x, method=None, seed=0):
    """Compare forward and both forms of backward with the loops."""
    x, weight, bias, dy = arrays(shape, filters, window, dtype, seed)
    lend = Workspace(dtype).empty
    method = method or choose_method(window.kernel, window.stride, shape[1], filters)
    matrices = prepare_weights(method, weight, True, lend)

    def close(result, expected):
        assert result.shape == expected.shape
        assert result.dtype == dtype
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE[dtype] * scale)

    exact = [array.astype("float64") for array in (x, weight, bias, dy)]
    before = x.copy()
    own, scratch = Workspace(dtype).empty, Workspace(dtype).empty
    images = arranged(order(x), own)
    y = conv2d(images, weight, bias, matrices, window, own, scratch)
    close(y, reference.conv2d(*exact[:3], window.stride, window.padding))
    dx, dweight, dbias = reference.conv2d_gradients(exact[0], exact[1], exact[3], window.stride, window.padding)
    for target in (own, None):
        gradients = np.full_like(weight, np.nan), np.full_like(bias, np.nan)
        result = conv2d_backward(images, order(dy), weight, matrices, window, *gradients, target, scratch)
        if target is None:
            assert result is None
        else:
            close(result, dx)
        close(gradients[0], dweight)
        close(gradients[1], dbias)
    np.testing.assert_array_equal(x, before)


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from(["float32", "float64"]), st.sampled_from(ORDERS))
def test_any_shape(case, dtype, order):
    check(*case, dtype, order)


@settings(max_examples=25, deadline=None)
@given(
    convolutions((3, 3), (1, 1), 3),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(ORDERS),
)
def test_winograd_of_any_size(case, dtype, order):
    check(*case, dtype, order, method="winograd")


@pytest.mark.parametrize("order", ORDERS, ids=NAMES)
@pytest.mark.parametrize(
    ("shape", "filters", "window"),
    [
        ((9, 1, 14, 14), 3, Window((6, 6), (2, 2))),
        ((18, 1, 14, 14), 3, Window((6, 6), (2, 2))),
        ((16, 2, 5, 4), 3, Window((2, 3), (1, 2), (1, 0, 2, 1))),
        ((16, 16, 8, 9), 17, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((17, 17, 5, 6), 16, Window((3, 3), (1, 1), (4, 0, 0, 3))),
        ((16, 16, 2, 2), 16, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((96, 40, 3, 3), 250, Window((3, 2), (1, 1))),  # products in pieces
        ((2, 16, 8, 8), 17, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((3, 17, 5, 6), 16, Window((3, 3), (1, 1), (4, 0, 0, 3))),
        ((1, 33, 6, 4), 32, Window((3, 3), (1, 1), (1, 1, 1, 1))),  # more kernels than are transformed at once
        ((3, 16, 2, 2), 16, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((2, 5, 1, 1), 1, Window((1, 1), (1, 1))),
        ((2, 5, 6, 6), 2, Window((1, 1), (2, 2), (1, 1, 1, 1))),
        ((2, 5, 3, 3), 2, Window((2, 2), (3, 3))),
        ((2, 5, 3, 3), 6, Window((2, 2), (1, 1), (3, 3, 3, 3))),
    ],
)
def test_corner_shapes(shape, filters, window, order):
    check(shape, filters, window, "float64", order)


@pytest.mark.parametrize("block", [1, 1 << 12, 1 << 14])
@pytest.mark.parametrize("order", [channels_last, batch_last_order], ids=NAMES[1:])
@pytest.mark.parametrize(
    ("shape", "filters", "window"),
    [
        ((3, 17, 13, 9), 16, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((3, 5, 13, 9), 6, Window((3, 3), (2, 1), (1, 1, 1, 1))),
        ((3, 5, 13, 9), 6, Window((4, 2), (1, 1), (1, 0, 0, 1))),
        ((70, 2, 6, 5), 3, Window((3, 2), (1, 2), (1, 1, 0, 0))),
        ((16, 17, 13, 9), 16, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((16, 2, 13, 9), 6, Window((4, 2), (1, 1), (1, 0, 0, 1))),
        ((17, 5, 7, 9), 2, Window((3, 3), (1, 1), (1, 1, 1, 1))),
        ((5, 7, 6, 5), 3, Window((3, 2), (1, 1), (1, 1, 0, 0))),
    ],
)
def test_blocks_of_any_size_give_the_same(monkeypatch, block, order, shape, filters, window):
    for module in (winograd, im2col, batch_last, few_filters):
        monkeypatch.setattr(module, "BLOCK_BYTES", block)
    monkeypatch.setattr(batch_last, "PARTS_BYTES", block)
    monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    monkeypatch.setattr(im2col, "FEWEST_POSITIONS", 1)
    check(shape, filters, window, order=order)


def test_winograd_is_as_exact_as_float32_allows():
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    x, weight, bias, _ = arrays((2, 64, 16, 16), 64, window, "float32", 0)
    lend = Workspace("float32").empty
    matrices = prepare_weights("winograd", weight, False, lend)
    assert matrices.backward is None
    y = conv2d(x, weight, bias, matrices, window, lend, Workspace("float32").empty)
    exact = Workspace("float64").empty
    x, weight, bias = (array.astype("float64") for array in (x, weight, bias))
    direct = prepare_weights("direct", weight, False, exact)
    expected = conv2d(x, weight, bias, direct, window, exact, Workspace("float64").empty)
    assert np.abs(y - expected).max() < 2e-5 * expected.std()


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 60), st.integers(1, 40), st.booleans())
def test_products_in_pieces(length, depth, width, turned):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(depth, length)).T if turned else rng.normal(size=(length, depth))
    b, out = rng.normal(size=(depth, width)), np.empty((length, width))
    dy, gradient = rng.normal(size=(length, width)), np.empty((depth, width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("miniDLF.kernels.products.largest_piece", lambda: 20_000)
        patch.setattr("miniDLF.kernels.products.FEWEST_ROWS", 2)
        product(a, b, out)
        gradient_product(a, dy, gradient)
    np.testing.assert_allclose(out, a @ b, atol=1e-12)
    np.testing.assert_allclose(gradient, a.T @ dy, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 200))
def test_blocks_cover_everything_once(count, rows, size, limit):
    seen = np.zeros((count, rows), int)
    for images, lines in blocks(count, rows, size, limit):
        seen[images, lines] += 1
        assert seen[images, lines].size * size <= limit + size
    assert (seen == 1).all()


@given(st.integers(-3, 6), st.integers(1, 9), st.integers(-3, 6), st.integers(1, 9))
def test_padded_cut_outs(top, rows, left, columns):
    images = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    wide = np.pad(images, ((0, 0), (3, 15), (3, 15), (0, 0)))
    expected = wide[:, top + 3 : top + 3 + rows, left + 3 : left + 3 + columns]
    np.testing.assert_array_equal(padded(images, top, rows, left, columns, Workspace("float64").empty), expected)
    turned = padded(images.transpose(0, 3, 1, 2), top, rows, left, columns, Workspace("float64").empty, axis=2)
    np.testing.assert_array_equal(turned, expected.transpose(0, 3, 1, 2))
