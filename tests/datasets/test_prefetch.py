"""Batches made ahead on a thread: the same ones, in the same order, with the same errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from miniDLF.datasets import prefetch
from miniDLF.errors import ArgumentError, ArgumentTypeError
from miniDLF.layers import Dense
from miniDLF.models import Sequential


def threads() -> int:
    return sum(thread.name == "miniDLF-prefetch" and thread.is_alive() for thread in threading.enumerate())


def test_a_generator_goes_on_where_it_stopped() -> None:
    stream = iter(prefetch(iter(range(10)), ahead=3))
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    assert list(stream) == [4, 5, 6, 7, 8, 9]
    assert threads() == 0


def test_a_list_begins_anew_and_has_its_length() -> None:
    batches = prefetch([1, 2, 3])
    assert len(batches) == 3  # type: ignore[arg-type]
    assert list(batches) == list(batches) == [1, 2, 3]


def test_batches_are_made_ahead_and_not_further() -> None:
    made: list[int] = []
    enough = threading.Event()

    def source() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if len(made) == 4:  # one that was taken, two that wait, and one in the making
                enough.set()
            yield number

    stream = iter(prefetch(source(), ahead=2))
    assert next(stream) == 0
    assert enough.wait(10)
    stream.close()  # type: ignore[attr-defined]
    assert made == [0, 1, 2, 3]
    assert threads() == 0


def test_an_error_comes_where_its_batch_would_have() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("the file is gone")

    stream = iter(prefetch(source()))
    assert next(stream) == 1
    with pytest.raises(ValueError, match="the file is gone"):
        next(stream)
    assert threads() == 0


def test_the_epoch_reaches_the_source() -> None:
    class Source:
        epoch = -1

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[int]:
            return iter([self.epoch])

    batches = prefetch(Source())
    for epoch in range(2):
        batches.set_epoch(epoch)  # type: ignore[attr-defined]
        assert list(batches) == [epoch]


class Numbered:
    """Batches by number, as Keras' PyDataset: no ``__iter__``, and no end but its length."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((2, 3), number), np.zeros((2, 1))


def test_batches_by_number_are_gone_through() -> None:
    batches = prefetch(Numbered())
    assert len(batches) == 3  # type: ignore[arg-type]
    assert [x[0, 0] for x, _ in batches] == [0, 1, 2]
    model = Sequential([Dense(1, input_shape=(3,))], seed=1)
    model.compile("mse", "sgd")
    model.fit(batches, epochs=2, verbose=0)
    whole = np.repeat(model.predict(np.arange(3.0)[:, None] * np.ones(3)), 2, axis=0)
    np.testing.assert_allclose(model.predict(Numbered()), whole, rtol=1e-6)
    assert model.predict(Numbered(), steps=2).shape == (4, 1)


def test_training_is_the_same() -> None:
    def source() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(0)
        while True:
            x = rng.normal(size=(8, 3))
            yield x, x.sum(axis=1, keepdims=True)

    weights = []
    for wrap in (iter, prefetch):
        model = Sequential([Dense(1, input_shape=(3,))], seed=1)
        model.compile("mse", "adam")
        model.fit(wrap(source()), epochs=2, steps_per_epoch=5, verbose=0)
        weights.append(model.get_weights())
    for plain, ahead in zip(*weights, strict=True):
        np.testing.assert_array_equal(plain, ahead)


def test_refusals() -> None:
    with pytest.raises(ArgumentTypeError, match=r"prefetch: expected an iterable.*has to be called"):
        prefetch(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="prefetch: ahead"):
        prefetch([1], ahead=0)
