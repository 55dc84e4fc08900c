"""Views of memory: made once for a place, and strided; and bytes that are compared."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from miniDLF.kernels.workspace import Once, comparison, strided


def test_the_same_place_is_known_and_another_is_not() -> None:
    made = []

    def make(array: np.ndarray, extra: int) -> np.ndarray:
        made.append(extra)
        return array[:, ::2]

    once, memory = Once(), np.zeros((4, 6), np.float32)
    first = once(memory, make, 1)
    memory += 1
    assert once(memory, make, 2) is first  # the same array, whatever it holds
    assert once(memory[:], make, 3) is first  # another view of the same place
    assert np.all(first == 1)
    for other in (memory[:2], memory.T, memory.view(np.int32), memory[::-1], memory.copy()):
        once(other, make, 4)
    assert made == [1, 4, 4, 4, 4, 4]


def test_memory_that_is_known_is_not_given_to_another_array() -> None:
    once, places = Once(), set()
    for _ in range(20):
        array = np.full(100_000, 7.0)
        places.add(once(array, lambda array: array.__array_interface__["data"][0]))
        del array
    assert len(places) >= 2  # the last one is kept, so the next cannot lie there


class Marked(np.ndarray):
    mark = 0

    def __array_finalize__(self, parent: object) -> None:
        self.mark = getattr(parent, "mark", 0)


def test_strided_views_keep_the_class_and_the_memory() -> None:
    rows = np.arange(24.0).reshape(4, 6)
    marked = rows.view(Marked)
    marked.mark = 3
    for array in (rows, marked, rows[:, 1:], marked[:, 1:]):
        windows = strided(array, (3, 2, 2), (array.strides[0], *array.strides))
        assert type(windows) is type(array)
        assert getattr(windows, "mark", 3) == 3
        assert np.shares_memory(windows, rows)
        for i in range(3):
            np.testing.assert_array_equal(windows[i], array[i : i + 2, :2])
    pairs = strided(rows, (4, 3), (48, 16), np.dtype("V16"))
    assert pairs[1, 2].tobytes() == rows[1, 4:].tobytes()


@pytest.mark.parametrize("finds_memcmp", [True, False])
@pytest.mark.parametrize("count", [1, 3, 7_488])
def test_every_byte_is_compared(count: int, finds_memcmp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not finds_memcmp:
        monkeypatch.setattr(ctypes, "PyDLL", object)  # which has no functions of C
    a = np.full(count, np.nan, np.float32)
    b = a.copy()
    differ = comparison(a, b)
    assert not differ()  # NaN is what it was
    for byte in {0, 1, 4 * count // 2, 4 * count - 1}:
        b.view(np.uint8)[byte] ^= 1
        assert differ()
        np.copyto(b, a)
        assert not differ()
    a[0], b[0] = 0.0, -0.0
    assert differ()
