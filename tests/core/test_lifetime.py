"""A model that nobody holds any longer gives its memory back, whatever it has done."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import miniDLF
from miniDLF.core import executor
from miniDLF.core.buffers import Buffers
from miniDLF.core.capture import FIRST_RUNS
from miniDLF.core.executor import Executor
from miniDLF.core.helpers import Team
from miniDLF.core.tracing import Notes, NoteTaker
from miniDLF.layers import (
    GRU,
    LSTM,
    RNN,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pooling2D,
    ReLU,
    Softmax,
)
from miniDLF.models import Input, Model, Sequential
from tests.core.test_helpers import team

RNG = np.random.default_rng(0)
STEPS = FIRST_RUNS + 1


def vectors(**options: Any) -> Any:
    return Sequential([Dense(9, input_shape=(6,)), ReLU(), Dropout(0.3), Dense(3), Softmax()], seed=0, **options)


def images(**options: Any) -> Any:
    layers = [
        *(Conv2D(4, 3, padding=1, input_shape=(2, 8, 8)), BatchNormalization(), ReLU(), Pooling2D(2)),
        *(Flatten(), BatchNormalization(), Dense(3), Softmax()),
    ]
    return Sequential(layers, seed=0, **options)


def sequences(**options: Any) -> Any:
    return Sequential([GRU(5, input_shape=(4, 6)), LSTM(5), RNN(3), Flatten(), Dense(3), Softmax()], seed=0, **options)


def branches(**options: Any) -> Any:
    x = Input((6,))
    return Model(x, Softmax()(Dense(3)(Add()([Dense(4)(x), ReLU()(Dense(4)(x))]))), seed=0, **options)


NETWORKS = [vectors, images, sequences, branches]


def data(model: Any, rows: int) -> tuple[Any, Any]:
    shape = model.executor().graph.inputs[0].shape
    return RNG.random((rows, *shape), dtype=np.float32), RNG.integers(0, 3, rows)


def fit(model: Any) -> None:
    x, y = data(model, 9 * STEPS)
    model.fit(x, y, batch_size=9, epochs=2, validation_data=(x[:20], y[:20]), verbose=0)


def batches_that_come_as_arrays(model: Any) -> None:
    for rows in (9, 5, 7):
        for _ in range(STEPS):
            x, y = data(model, rows)
            model.train_on_batch(x, y)


def predictions(model: Any) -> None:
    for rows in (1, 3, 70):
        for _ in range(STEPS):
            model.predict(data(model, rows)[0])


def notes_that_become_void(model: Any) -> None:
    x, y = data(model, 9)
    for layer in model.layers:
        for steps in (3, STEPS):  # some while they are taken
            for _ in range(steps):
                model.train_on_batch(x, y)
            layer.note = steps  # whoever sets a field makes all notes void


def a_failure(model: Any) -> None:
    x, y = data(model, 9)
    real = NoteTaker.make

    def make(self: Any, *arguments: Any, **keywords: Any) -> None:
        real(self, *arguments, **keywords)
        raise RuntimeError("cannot be noted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NoteTaker, "make", make)
        for _ in range(STEPS):
            model.train_on_batch(x, y)


@pytest.fixture
def nothing_stays() -> Iterator[None]:
    kinds = Buffers, Executor, Layer, Model, NoteTaker, Notes, Team, np.ndarray

    def known() -> dict[int, str]:
        for _ in range(3):  # what is freed may free more
            gc.collect()
        # The collector knows only arrays of derived classes: those that note what is done with them. `isinstance` would
        # ask objects of other libraries for their class, and some warn then.
        return {id(thing): type(thing).__name__ for thing in gc.get_objects() if issubclass(type(thing), kinds)}

    before = known()
    yield
    after = known()
    assert not Counter(after[number] for number in after.keys() - before.keys())


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.parametrize("shards", [None, 2])
@pytest.mark.parametrize(
    "use", [fit, batches_that_come_as_arrays, predictions, notes_that_become_void, a_failure], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("make", NETWORKS, ids=lambda f: f.__name__)
def test_nothing_stays(make: Callable[..., Any], use: Callable[[Any], None], shards: int | None) -> None:
    model = make(shards=shards)
    model.compile("cce", "adam", metrics=["accuracy"])
    use(model)


@pytest.mark.usefixtures("nothing_stays")
@pytest.mark.skipif(sys.platform != "linux", reason="shards run in processes on Linux alone")
@pytest.mark.parametrize("make", NETWORKS, ids=lambda f: f.__name__)
def test_nothing_stays_of_processes(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SMALL_STEP", 0)
    threads = miniDLF.get_threads()
    miniDLF.set_threads(2)
    miniDLF.use_processes()
    try:
        model = make(shards=2)
        model.compile("cce", "adam")
        fit(model)
        assert team(model) is not None
    finally:
        miniDLF.use_processes(False)
        miniDLF.set_threads(threads)
