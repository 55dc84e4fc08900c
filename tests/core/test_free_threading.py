"""Models on threads: the same bits whoever else computes, with and without an interpreter lock.

Under a free-threaded CPython nothing but the code itself keeps threads apart; the same tests run under every other
interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import miniDLF
from miniDLF.kernels.threads import single_threaded_blas
from miniDLF.layers import (
    LSTM,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pooling2D,
)
from miniDLF.losses import CategoricalCrossentropy
from miniDLF.models import Sequential


@pytest.fixture(autouse=True)
def shared_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads share work that would be too small for them: these tests are about threads."""
    monkeypatch.setattr("miniDLF.core.executor.SMALL_STEP", 0)
    monkeypatch.setattr("miniDLF.core.executor.SMALL_PREDICTION", 0)


ROWS, CLASSES = 192, 10
BLAS = ThreadpoolController().select(user_api="blas").lib_controllers


def dense() -> list[Layer]:
    return [Dense(1000, input_shape=(784,)), Activation("leaky_relu"), Dropout(0.3), Dense(200), Activation("relu")]


def convolutional() -> list[Layer]:
    return [
        Conv2D(16, 3, padding=1, input_shape=(2, 12, 12)),
        BatchNormalization(),
        Activation("relu"),
        Pooling2D(2, 2),
        Conv2D(16, 3, padding=1),
        BatchNormalization(),
        Flatten(),
    ]


def recurrent() -> list[Layer]:
    return [LSTM(96, input_shape=(12, 20)), Flatten()]


NETWORKS: dict[str, tuple[Callable[[], list[Layer]], tuple[int, ...]]] = {
    "dense with dropout": (dense, (784,)),
    "convolution with batch normalisation": (convolutional, (2, 12, 12)),
    "LSTM": (recurrent, (12, 20)),
}


def train(name: str, seed: int = 0) -> list[Any]:
    """Return all that a short training leaves: weights, history, predictions of many rows and of one."""
    layers, shape = NETWORKS[name]
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(ROWS, *shape)).astype(np.float32), rng.integers(0, CLASSES, ROWS)
    model = Sequential([*layers(), Dense(CLASSES), Activation("softmax")], seed=seed, shards=4)
    model.compile("cce", "adam", metrics=["accuracy"])
    made = model.fit(x, y, batch_size=50, epochs=3, verbose=0, validation_data=(x[:20], y[:20]))
    return [*model.get_weights(), repr(made.history), *(model.predict(part) for part in (x, x[:20], x[:2], x[:1]))]


def same(one: list[Any], other: list[Any]) -> bool:
    """Say whether two results agree to the last bit."""
    return len(one) == len(other) and all(
        a == b if isinstance(a, str) else a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True)
    )


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Run all `works`, each on a thread of its own and begun together; return what they give, raise what they raise."""
    results: list[Any] = [None] * len(works)
    errors: list[BaseException] = []
    gate = threading.Barrier(len(works))

    def run(number: int) -> None:
        try:
            gate.wait()
            results[number] = works[number]()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def blas_threads() -> set[int | None]:
    return {library.num_threads for library in BLAS}


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    """Let BLAS use two threads outside the steps, also on a machine with one core."""
    with threadpool_limits(2, "blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS has one thread only")
        yield


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = miniDLF.get_threads()
    miniDLF.set_threads(4)
    yield
    miniDLF.set_threads(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_do_not_depend_on_the_number_of_threads(name: str) -> None:
    results = []
    for threads in (1, 2, 4):
        miniDLF.set_threads(threads)
        results.append(train(name))
    assert same(results[0], results[1])
    assert same(results[0], results[2])


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize("name", NETWORKS)
def test_models_give_the_bits_beside_others_that_they_give_alone(name: str) -> None:
    alone = {(other, seed): train(other, seed) for other in (name, "dense with dropout") for seed in (0, 1)}
    for _ in range(3):
        together = at_once([lambda key=key: train(*key) for key in alone])
        for key, result in zip(alone, together, strict=True):
            assert same(alone[key], result), key


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize("name", NETWORKS)
def test_one_model_predicts_on_several_threads_what_it_predicts_on_one(name: str) -> None:
    layers, shape = NETWORKS[name]
    model = Sequential([*layers(), Dense(CLASSES), Activation("softmax")], seed=0)
    x = np.random.default_rng(0).normal(size=(ROWS, *shape)).astype(np.float32)
    parts = [x, x[:20], x[:2], x[:1]]
    alone = [model.predict(part) for part in parts]

    def predict() -> bool:
        return all(same([model.predict(part) for part in parts], alone) for _ in range(10))

    assert all(at_once([predict] * 4))


class Observed(CategoricalCrossentropy):
    """A loss that notes how many threads BLAS has while a shard runs."""

    def __init__(self) -> None:
        super().__init__()
        self.blas: set[int | None] = set()

    def fused_value_and_grad(self, *arguments: Any) -> Any:
        self.blas.update(blas_threads())
        return super().fused_value_and_grad(*arguments)


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_one_thread_in_every_step_whoever_trains_and_its_own_afterwards() -> None:
    x = np.random.default_rng(0).normal(size=(ROWS, 784)).astype(np.float32)
    y = np.zeros(ROWS, int)

    def observe() -> set[int | None]:
        loss = Observed()
        model = Sequential([*dense(), Dense(CLASSES), Activation("softmax")], seed=0, shards=2)
        model.compile(loss, "sgd")
        model.fit(x, y, batch_size=64, epochs=2, verbose=0)
        return loss.blas

    assert observe() == {1}  # this thread is the first to set a limit, and it lives on while the others train
    assert blas_threads() == {2}
    assert at_once([observe]) == [{1}]
    assert blas_threads() == {2}
    assert at_once([observe] * 3) == [{1}] * 3
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_blas_threads")
def test_the_last_one_to_leave_gives_blas_its_threads_back() -> None:
    entered, left = threading.Event(), threading.Event()

    @single_threaded_blas
    def second() -> None:
        entered.set()
        assert left.wait(10)
        assert blas_threads() == {1}

    thread = threading.Thread(target=second)

    @single_threaded_blas
    def first() -> None:
        thread.start()
        assert entered.wait(10)

    first()
    left.set()
    thread.join()
    assert blas_threads() == {2}


FORK = """
import os, threading
from miniDLF.kernels.threads import single_threaded_blas

entered, leave = threading.Event(), threading.Event()

@single_threaded_blas
def inside():
    entered.set()
    leave.wait()

thread = threading.Thread(target=inside)
thread.start()
entered.wait()
child = os.fork()
if child == 0:
    single_threaded_blas(print)(end="")
    os._exit(single_threaded_blas.others())
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
leave.set()
thread.join()
print(status, single_threaded_blas.others())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_nobody_is_inside_the_limit_in_a_forked_child() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["0", "0"]


def test_a_model_that_believes_to_own_its_parameters_does_when_two_threads_take_them() -> None:
    shared = Dense(8, input_shape=(6,), name="shared")
    buffers = []
    for size in (2, 3):
        model = Sequential([shared, Dense(size)], seed=0)
        model.compile("mse", "sgd")
        buffers.append(model.engine().buffers)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            at_once([lambda buffer=buffer: [buffer.take() for _ in range(3)] for buffer in buffers])
            for buffer in buffers:
                assert buffer.current == all(slot.parameter.owner is buffer for slot in buffer.slots)
    finally:
        sys.setswitchinterval(before)


def test_training_leaves_a_free_threaded_interpreter_free() -> None:
    enabled = getattr(sys, "_is_gil_enabled", None)
    if enabled is None or "free-threading" not in sys.version:
        pytest.skip("this interpreter has a lock")
    train("dense with dropout")
    assert not enabled()
