"""Arrays that are not what they seem, and numbers that the model's type cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF import arrays
from miniDLF.arrays import PIECE, in_pieces, plain_array, refuse_beyond, refuse_masked, refuse_not_finite
from miniDLF.errors import DataError, ShapeError

MASKED = np.ma.masked_invalid([1.0, np.nan, 3.0])


class Labelled(np.ndarray):
    """A subclass that adds otherwise."""

    def __add__(self, other):
        return NotImplemented


class Foreign:
    """An object of another library that gives an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.array


def test_an_array_comes_back_itself_and_a_subclass_as_a_plain_view() -> None:
    x = np.zeros((3, 2))
    assert plain_array(x, "x") is x
    for kind in (np.matrix, Labelled, np.recarray):
        plain = plain_array(x.view(kind), "x")
        assert type(plain) is np.ndarray
        assert np.shares_memory(plain, x)
    assert plain_array([[1, 2]], "x").shape == (1, 2)


def test_a_memory_mapped_array_stays_on_the_disk(tmp_path) -> None:
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 2))
    assert plain_array(mapped, "x") is mapped


WRAPPED = {
    "one": lambda y: y,
    "list": lambda y: [y, y],
    "tuple": lambda y: (y,),
    "nested": lambda y: [[1.0], (0.0, [y])],
    "one number": lambda y: [1.0, y[1]],
    "nothing masked": lambda y: np.ma.array([1, 2]),
    "of another library": lambda y: Foreign(y),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_masked_array_is_refused_wherever_it_lies(wrap) -> None:
    with pytest.raises(DataError, match=r"^y: received a masked array.* y\.filled\(0\) with sample_weight"):
        plain_array(wrap(MASKED), "y")


def test_what_holds_no_mask_passes() -> None:
    refuse_masked([[1.0, 2.0], (3.0, np.zeros(2))], "x")


def test_rows_of_different_lengths_form_no_array() -> None:
    with pytest.raises(ShapeError, match=r"^y: the samples have different shapes .* Pad or cut"):
        plain_array([[1, 2], [3]], "y", ShapeError)
    with pytest.raises(ValueError, match="inhomogeneous"):
        plain_array([[1, 2], [3]], "y")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_are_found_before_numbers_beyond_the_type(bad, dtype) -> None:
    with pytest.raises(DataError, match=r"^x: sample 2 holds NaN or infinity\. Clean"):
        refuse_not_finite(np.array([[1.0, 2.0], [1e300, 0.0], [0.0, bad]]), dtype, "x")


@pytest.mark.parametrize("refuse", [refuse_beyond, refuse_not_finite])
def test_numbers_beyond_the_type_are_named_with_sample_and_type(monkeypatch, refuse) -> None:
    monkeypatch.setattr(arrays, "PIECE", 32)  # many pieces
    x = np.zeros((9, 2, 1))
    x[7, 1] = -1e300
    with pytest.raises(DataError, match=r"^x: sample 7 holds -1e\+300, and float32 ends at 3\.4e\+38\. Scale"):
        refuse(x, "float32", "x")
    refuse(x, "float64", "x")


def test_nan_does_not_hide_a_number_beyond_the_type() -> None:
    with pytest.raises(DataError, match=r"sample 2 holds 1e\+300"):
        refuse_beyond(np.array([np.nan, np.inf, 1e300]), "float32", "x")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint64, bool])
def test_whatever_fits_the_type_passes(dtype) -> None:
    largest = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else np.iinfo(np.int64).max
    for refuse in (refuse_beyond, refuse_not_finite):
        refuse(np.array([largest]).astype(dtype), "float32", "x")
        refuse(np.array([3.4028235e38]), "float32", "x")  # rounds to the largest number
        refuse(np.zeros((0, 3)), "float32", "x")
    refuse_beyond(np.array([np.inf, np.nan]), "float32", "x")  # that is another fault


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="long doubles are doubles here")
def test_long_doubles_may_be_too_large_for_doubles() -> None:
    with pytest.raises(DataError, match=r"float64 ends at 1\.8e\+308\. Scale the numbers\.$"):
        refuse_not_finite(np.array([np.finfo(np.longdouble).max]), "float64", "x")


def test_large_arrays_are_read_in_pieces() -> None:
    array = np.broadcast_to(np.float64(1.0), (5, PIECE // 16))
    assert [(start, len(rows)) for start, rows in in_pieces(array)] == [(0, 2), (2, 2), (4, 1)]
    assert list(in_pieces(np.zeros((0, 3)))) == []
