"""Random streams: a function of key and step, and nothing in common between two of them."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF.kernels.streams import Stream


def drawn(key: tuple[int, ...], step: int, count: int = 40_000) -> np.ndarray:
    stream = Stream(*key)
    stream.begin(step)
    return stream.generator.random(count)


def test_a_stream_is_a_function_of_key_and_step() -> None:
    stream = Stream(1, 2, 3)
    for step in (5, 0, 5):
        stream.begin(step)
        stream.generator.integers(0, 10, 3, dtype=np.uint32)  # leaves half a number over
        stream.begin(step)
        np.testing.assert_array_equal(stream.generator.random(40_000), drawn((1, 2, 3), step))


@pytest.mark.parametrize(
    ("key", "step"), [((1, 2, 3), 6), ((1, 2, 4), 5), ((1, 3, 3), 5), ((0, 2, 3), 5), ((2**70, 2, 3), 5)]
)
def test_streams_have_nothing_in_common(key: tuple[int, ...], step: int) -> None:
    one, other = drawn((1, 2, 3), 5), drawn(key, step)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
    assert len(np.intersect1d(one, other)) < 5  # nor the same numbers at another place


def test_first_numbers_of_successive_steps_are_uniform() -> None:
    first = np.concatenate([drawn((0, 0, 0), step, 2) for step in range(2000)])
    counts, _ = np.histogram(first, 20, (0, 1))
    assert np.sum((counts - 200) ** 2 / 200) < 50  # chi squared with 19 degrees of freedom: 36.2 at 1 %
    assert abs(np.corrcoef(first[:-2], first[2:])[0, 1]) < 0.05
