"""Arrays that are not what they seem, and numbers that the model's type cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF import arrays
from miniDLF.arrays import plain_array, refuse_beyond
from miniDLF.errors import DataError


class Labelled(np.ndarray):
    """A subclass that adds otherwise."""

    def __add__(self, other):
        return NotImplemented


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


@pytest.mark.parametrize("wrap", [lambda y: y, lambda y: [y, y], lambda y: (y,)], ids=["one", "list", "tuple"])
def test_a_masked_array_is_refused(wrap) -> None:
    y = np.ma.masked_equal(np.array([0, 1, -1]), -1)
    with pytest.raises(DataError, match=r"^y: received a masked array.* y\.filled\(0\) with sample_weight"):
        plain_array(wrap(y), "y")


def test_numbers_beyond_the_type_are_named_with_sample_and_type(monkeypatch) -> None:
    monkeypatch.setattr(arrays, "ROWS", 4)  # many blocks
    x = np.zeros((9, 2, 1))
    x[7, 1] = -1e300
    with pytest.raises(DataError, match=r"^x: sample 7 holds -1e\+300, and float32 ends at 3\.4e\+38\. Scale"):
        refuse_beyond(x, "float32", "x")
    refuse_beyond(x, "float64", "x")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint64, bool])
def test_whatever_fits_the_type_passes(dtype) -> None:
    largest = np.finfo(dtype).max if np.dtype(dtype).kind == "f" else np.iinfo(np.int64).max
    refuse_beyond(np.array([largest]).astype(dtype), "float32", "x")
    refuse_beyond(np.array([np.inf, np.nan]), "float32", "x")  # that is another fault
    refuse_beyond(np.zeros((0, 3)), "float32", "x")
