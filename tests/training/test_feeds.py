"""Sources of batches: where a resumed run enters them, and what it reads on the way."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import BackupAndRestore, LambdaCallback
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError
from miniDLF.layers import Activation, Dense, Dropout
from miniDLF.models import Autoencoder, Sequential
from miniDLF.training.feeds import IterableFeed

STEPS, EPOCHS = 6, 4
X = np.random.default_rng(0).normal(size=(STEPS * EPOCHS, 8, 5)).astype(np.float32)
Y = (X.sum(axis=2) > 0).astype(np.int64)
Item = tuple[np.ndarray, np.ndarray]


class Noted:
    """A source that notes which batches it made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def item(self, number: int) -> Item:
        self.made.append(number)
        return X[number % len(X)], Y[number % len(X)]


class Indexed(Noted):
    """As Keras' PyDataset: a length and batches by number; no ``__iter__``."""

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, number: int) -> Item:
        return self.item(number)


class Again(Noted):
    """Can be iterated over again; its batches depend on the epoch."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Item]:
        for number in range(STEPS):
            yield self.item(self.epoch * STEPS + number)


class Stream(Noted):
    """An iterator without an end."""

    place = 0

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self.place += 1
        return self.item(self.place - 1)


class Skipping(Stream):
    """One that can pass over batches without making them."""

    def skip(self, count: int) -> None:
        self.place += count


def model() -> Sequential:
    made = Sequential([Dense(8, input_shape=(5,)), Dropout(0.2), Dense(2), Activation("softmax")], seed=1)
    made.compile("cce", "adam", metrics=["accuracy"])
    return made


def fit(source: Noted, *callbacks: Any, validation: Any = None) -> Sequential:
    made = model()
    made.fit(
        source,
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        verbose=0,
        callbacks=list(callbacks),
        validation_data=validation,
        validation_steps=2,
    )
    return made


SOURCES: dict[type[Noted], list[int]] = {  # and the batches that a run makes which is resumed at batch 2 of epoch 3
    Indexed: [2, 3, 4, 5, 0, 1, 2, 3, 4, 5],
    Again: list(range(12, 24)),
    Stream: list(range(24)),
    Skipping: list(range(14, 24)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_resumed_run_meets_the_same_batches(kind: type[Noted], tmp_path: Path) -> None:
    whole_source = kind()
    whole = fit(whole_source, LambdaCallback(on_train_batch_end=print), validation=Stream())

    def interrupt(batch: int, logs: Any) -> None:
        if len(first.made) == 2 * STEPS + 2:
            signal.raise_signal(signal.SIGINT)

    first, second = kind(), kind()
    fit(first, LambdaCallback(on_train_batch_end=interrupt), BackupAndRestore(tmp_path), validation=Stream())
    assert len(first.made) == 2 * STEPS + 2
    resumed = fit(second, LambdaCallback(on_train_batch_end=print), BackupAndRestore(tmp_path), validation=Stream())
    assert second.made == SOURCES[kind]
    assert json.dumps(resumed.history.history) == json.dumps(whole.history.history)
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_indexed_source_needs_no_iterator_and_no_steps() -> None:
    source = Indexed()
    model().fit(source, epochs=2, verbose=0)
    assert source.made == [*range(STEPS)] * 2
    assert model().evaluate(Indexed()) == model().evaluate([(X[i], Y[i]) for i in range(STEPS)])


def test_a_generator_goes_on_over_epochs_and_from_a_later_first_epoch() -> None:
    source = Stream()
    made = model()
    made.fit(source, initial_epoch=3, epochs=5, steps_per_epoch=3, verbose=0)
    assert source.made == [*range(6)]
    made.fit(source, epochs=1, steps_per_epoch=2, verbose=0)
    assert source.made == [*range(8)]


def test_validation_by_a_generator_goes_on() -> None:
    source = Stream()
    model().fit(X[0], Y[0], epochs=3, verbose=0, validation_data=source, validation_steps=2, validation_freq=2)
    assert source.made == [0, 1]
    with pytest.raises(DataError, match="exhausted. Give validation_steps"):
        model().fit(X[0], Y[0], epochs=2, verbose=0, validation_data=iter([(X[1], Y[1])]))


def test_the_autoencoder_is_measured_without_targets() -> None:
    auto = Autoencoder(
        Sequential([Dense(2, input_shape=(5,))], seed=0), Sequential([Dense(5, input_shape=(2,))], seed=1)
    )
    assert auto.evaluate(X[0]) == pytest.approx(np.mean((auto.predict(X[0]) - X[0]) ** 2), rel=1e-5)


REFUSED: dict[str, tuple[Callable[[Sequential], Any], type[Exception], str]] = {
    "a generator that ended": (
        lambda m: m.fit((item for item in [(X[0], Y[0])]), epochs=2, verbose=0),
        DataError,
        "epoch 2: the generator is exhausted. Give steps_per_epoch, or an object that can be iterated over again",
    ),
    "no batch": (lambda m: m.fit([], epochs=1, verbose=0), DataError, r"x \(input_1\) is empty"),
    "nothing to iterate over": (
        lambda m: m.fit(range(0), epochs=1, verbose=0),
        DataError,
        "the iterable gave no batch",
    ),
    "no batch to predict": (lambda m: m.predict(iter([])), DataError, "predict: the iterable gave no batch"),
    "validation without targets": (
        lambda m: m.fit(X[0], Y[0], validation_data=X[1], verbose=0),
        ArgumentTypeError,
        "validation_data: expected samples with their targets.*received ndarray",
    ),
    "evaluation without targets": (lambda m: m.evaluate(X[0]), ArgumentTypeError, "evaluate: expected samples with"),
    "four items": (
        lambda m: m.fit(X[0], Y[0], validation_data=(X[0], Y[0], None, None), verbose=0),
        ArgumentError,
        r"validation_data: \(x, y\) or \(x, y, sample_weight\), received 4",
    ),
    "a share of a generator": (
        lambda m: m.fit(Stream(), validation_split=0.1, verbose=0),
        ArgumentError,
        "validation_split needs arrays; pass validation_data",
    ),
    "a list for a pair": (
        lambda m: m.fit(iter([[X[0], Y[0]]]), epochs=1, verbose=0),
        ArgumentTypeError,
        r"a generator must yield \(x, y\) or",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    run, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        run(model())


def test_the_feed_reads_no_batch_too_many() -> None:
    source = Stream()
    feed = IterableFeed(source, lambda x, y: x, 3)
    assert len(list(feed.epoch(0))) == 3
    assert source.made == [0, 1, 2]
    assert len(list(feed.epoch(1))) == 3
    assert source.made == [*range(6)]
