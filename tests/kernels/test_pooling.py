"""The pooling kernels against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniDLF.kernels import pooling, tiles
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Workspace
from tests import reference
from tests.kernels.test_convolution import channels_last


@st.composite
def windows(draw):
    """Draw an input shape and a window that fits."""
    kernel, stride = (draw(st.tuples(*[st.integers(1, 4)] * 2)) for _ in range(2))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 5)), *(draw(st.integers(k, 11)) for k in kernel)
    return shape, Window(kernel, stride)


def run(shape, window, mode, order, x=None):
    """Return y and dx of the kernels, and of the loops."""
    rng = np.random.default_rng(0)
    # Rounded, so that windows hold the largest value more than once; -0.0 and 0.0 are both there, and equal.
    x = np.round(rng.normal(size=shape), 1) if x is None else x
    lend = Workspace("float64").empty
    count, channels, height, width = x.shape
    size = window.positions(height, width)
    dy = rng.normal(size=(count, channels, *size))
    images, gradient = order(x).transpose(0, 2, 3, 1), order(dy).transpose(0, 2, 3, 1)
    y, dx = np.full((count, *size, channels), np.nan), np.full((count, height, width, channels), np.nan)
    if mode == "max" and tiles.tiles(images, y, window):
        tiles.Tiles(images, y, tiles.Pooling(window, True), lend).run()
        tiles.tiles_backward(images, y, gradient, tiles.Pooling(window, True), dx, lend)
    elif mode == "max":
        beats = pooling.lend_beats(images, y, window, lend)
        for mask in beats:
            mask.fill(True)  # of the last batch
        pooling.max_windows(images, window, y, lend, beats)
        pooling.max_windows_backward(gradient, beats, window, dx, lend)
        again = np.full_like(y, np.nan)
        pooling.max_windows(images, window, again, lend)  # in inference
        np.testing.assert_array_equal(again, y)
    else:
        scale = 1 / (window.kernel[0] * window.kernel[1]) if mode == "avg" else 1
        pooling.sum_windows(images, window, scale, y, lend)
        pooling.spread_windows(gradient, window, scale, dx, lend)
    return (
        (y.transpose(0, 3, 1, 2), dx.transpose(0, 3, 1, 2)),
        (
            reference.pool2d(x, window.kernel, window.stride, mode),
            reference.pool2d_gradient(x, dy, window.kernel, window.stride, mode),
        ),
    )


@settings(max_examples=80, deadline=None)
@given(windows(), st.sampled_from(["max", "avg", "sum"]), st.sampled_from([lambda x: x, channels_last]), st.booleans())
def test_any_window(case, mode, order, long):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "SMALL", 0)
        if long:  # a pixel of a few channels counts as a long run
            patch.setattr(tiles, "LONG", 1)
        results, expected = run(*case, mode, order)
    for result, loop in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, loop, rtol=1e-12, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 3)] * 6),
    st.sampled_from(["max", "avg", "sum"]),
    st.sampled_from([1, 50, 1 << 18]),
)
def test_windows_that_tile(sizes, mode, block):
    count, channels, rows, columns, kh, kw = sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "LONG", 1)
        for module in (pooling, tiles):
            patch.setattr(module, "BLOCK", block)
        window = Window((kh, kw), (kh, kw))
        results, expected = run((count, channels, rows * kh, columns * kw), window, mode, channels_last)
    for result, loop in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, loop, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("block", [1, 60, 200])
@pytest.mark.parametrize("window", [Window((2, 2), (2, 2)), Window((3, 3), (2, 2)), Window((1, 2), (3, 1))])
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_blocks_of_any_size_give_the_same(monkeypatch, block, window, mode):
    for module in (pooling, tiles):
        monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(tiles, "SMALL", 0)
    results, expected = run((3, 2, 9, 8), window, mode, channels_last)
    for result, loop in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, loop, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("long", [1, 256])
def test_one_winner_where_all_are_equal(monkeypatch, long):
    monkeypatch.setattr(tiles, "LONG", long)
    monkeypatch.setattr(tiles, "SMALL", 0)
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = -0.0
    (_, dx), (_, expected) = run(x.shape, Window((2, 2), (2, 2)), "max", channels_last, x)
    np.testing.assert_array_equal(dx, expected)
    assert np.count_nonzero(dx) == 4
