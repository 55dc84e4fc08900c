"""The generator of digits: repeatable, readable by machines that look, too hard for those that only weigh pixels."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF.datasets import Digits, contact_sheet
from miniDLF.datasets.glyphs import POINTS, glyphs
from miniDLF.datasets.handwriting import Style, draw_digits
from miniDLF.errors import ArgumentError, ArgumentTypeError


@pytest.fixture(scope="module")
def digits():
    return Digits(4000, 1000)


def test_the_form_is_that_of_mnist(digits):
    assert digits.train.x.shape == (4000, 1, 28, 28)
    assert digits.test.x.shape == (1000, 1, 28, 28)
    assert digits.train.x.dtype == np.float32
    assert digits.train.x.min() == 0
    assert 0.9 < digits.train.x.max() < 1
    assert np.array_equal(digits.train.x * 256, np.rint(digits.train.x * 256))
    assert digits.train.y.dtype == np.int64
    assert (digits.n_classes, digits.validation, digits.input_shape.tolist()) == (10, None, [1, 28, 28])
    np.testing.assert_array_equal(np.bincount(digits.train.y), np.full(10, 400))


def test_the_labels_come_in_random_order(digits):
    assert np.mean(digits.train.y[1:] == digits.train.y[:-1]) == pytest.approx(0.1, abs=0.03)


def test_the_images_are_a_function_of_the_seed():
    first, same, other = (Digits(30, 10, seed=seed) for seed in (4, 4, 5))
    for a, b in zip(first.parts.values(), same.parts.values(), strict=True):
        assert a.x.tobytes() == b.x.tobytes()
        assert a.y.tobytes() == b.y.tobytes()
    assert not np.array_equal(first.train.x, other.train.x)


def test_training_and_test_images_are_different():
    data = Digits(200, 200)
    seen = {image.tobytes() for split in data.parts.values() for image in split.x}
    assert len(seen) == 400


@pytest.mark.parametrize("shape", [(784,), (28, 28), (1, 28, 28), (28, 28, 1)])
def test_the_shape_may_be_chosen(shape):
    data = Digits(20, 0, input_shape=shape)
    assert data.train.x.shape == (20, *shape)
    assert data.test is None
    np.testing.assert_array_equal(data.train.x.reshape(20, 1, 28, 28), Digits(20, 0).train.x)


def test_the_digits_stay_on_the_paper(digits):
    """Little ink touches the border: less than a fortieth of what the middle holds."""
    images = digits.train.x[:, 0]
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert border.mean() < images[:, 7:21, 7:21].mean() / 10


def test_every_image_has_ink(digits):
    strong = (digits.train.x > 0.5).sum(axis=(1, 2, 3))
    assert strong.min() >= 15
    assert strong.max() <= 330


def test_without_distortion_each_way_of_writing_is_one_image():
    still = Style((20, 20), (0.9, 0.9), 0, (0, 0), 0, 0, 0, (1, 1), (1, 1), (0.5, 0.5), (0, 0))
    ways = sum(map(len, glyphs()))
    images = draw_digits(np.arange(2000) % 10, np.random.default_rng(0), still)
    assert len({image.tobytes() for image in images}) == ways


def test_curves_go_through_their_points():
    for ways in glyphs():
        for glyph in ways:
            points = glyph.curve @ glyph.controls
            assert points.shape == (POINTS, 2)
            steps = np.linalg.norm(np.diff(points, axis=0), axis=1)[glyph.drawn == 1]
            assert steps.max() < 0.045
            np.testing.assert_allclose(glyph.curve.sum(axis=1), 1, atol=1e-12)  # moving the controls moves the curve
            for end in (points[0] - glyph.controls[0], points[-1] - glyph.controls[-1]):
                np.testing.assert_allclose(end, 0, atol=1e-12)
            for control in glyph.controls:
                assert np.linalg.norm(points - control, axis=1).min() < 0.04


def test_a_linear_model_stays_under_90_percent_and_learns_something(digits):
    from sklearn.linear_model import LogisticRegression

    big = Digits(input_shape=(784,))
    model = LogisticRegression(C=0.1, max_iter=150).fit(big.train.x, big.train.y)
    assert 0.6 < model.score(big.test.x, big.test.y) < 0.9


def test_a_sheet_shows_a_class_in_each_row(digits):
    sheet = digits.contact_sheet(10, 12)
    assert sheet.shape == (10 * 29 - 1, 12 * 29 - 1)
    first_seven = digits.train.x[np.flatnonzero(digits.train.y == 7)[0], 0]
    np.testing.assert_array_equal(sheet[7 * 29 : 7 * 29 + 28, :28], first_seven)


def test_a_sheet_with_a_row_that_is_not_full():
    sheet = contact_sheet(np.ones((5, 9)), columns=3)
    assert sheet.shape == (7, 11)
    assert sheet.sum() == 45


# Mistakes of a newcomer -------------------------------------------------------------------------------------------


def test_arguments_that_make_no_sense():
    with pytest.raises(ArgumentError, match=r"Digits: n_train: expected a whole number of at least 1, received 0"):
        Digits(0)
    with pytest.raises(ArgumentError, match=r"Digits: n_test: expected a whole number of at least 0, received 0\.1"):
        Digits(10, 0.1)
    with pytest.raises(
        ArgumentError, match=r"Digits: input_shape=\(32, 32\) has room for 1024 pixels, an image has 784"
    ):
        Digits(10, input_shape=(32, 32))
    with pytest.raises(ArgumentTypeError, match=r"Digits: input_shape"):
        Digits(10, input_shape=None)
    with pytest.raises(ArgumentError, match=r"seed: expected a whole number of at least 0, received -1"):
        Digits(10, seed=-1)
    with pytest.raises(
        ArgumentError, match=r"contact_sheet: expected square grey images \(N, \.\.\.\), received \(5, 10\)"
    ):
        contact_sheet(np.ones((5, 10)))
    with pytest.raises(ArgumentError, match=r"columns: expected a whole number of at least 1, received 0"):
        contact_sheet(np.ones((5, 9)), 0)
