"""What is made once for a place in memory."""

from __future__ import annotations

import numpy as np

from miniDLF.kernels.workspace import Once


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
