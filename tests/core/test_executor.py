"""The engine: memory that is lent again, trees, threads, one buffer for all parameters."""

from __future__ import annotations

import gc
import operator
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import miniDLF
import miniDLF.core.executor as executor_module
import miniDLF.core.program as program_module
import miniDLF.kernels.threads as threads_module
from miniDLF.core.capture import FIRST_RUNS
from miniDLF.core.executor import Batch, Executor, bounds
from miniDLF.core.layer import Layer
from miniDLF.core.meetings import Drive, Meeting, Offer, tree
from miniDLF.errors import ArgumentError
from miniDLF.kernels.threads import ThreadPool, single_threaded_blas
from miniDLF.kernels.workspace import Workspace
from miniDLF.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Pooling2D,
    UpSampling2D,
)
from miniDLF.models import Input, Model, Sequential

#: NumPy before 2.3 buffers also those operands of a casting ufunc that need no cast: two of 32 KiB.
OLD_CASTS = tuple(map(int, np.__version__.split(".")[:2])) < (2, 3)

NETWORKS = {
    "MLP": ([Dense(400, input_shape=(784,)), Activation("leaky_relu"), Dropout(0.2), Dense(10)], (784,), 512),
    "CNN": (
        [
            Conv2D(32, (6, 6), 2, input_shape=(1, 28, 28)),
            Activation("leaky_relu"),
            Pooling2D(2, 2, "avg"),
            Conv2D(32, 3, padding=1),
            BatchNormalization(),
            Activation("relu"),
            Pooling2D(2, 2),
            Flatten(),
            Dense(10),
        ],
        (1, 28, 28),
        128,
    ),
}
for cell in (RNN, LSTM, GRU):
    NETWORKS[cell.__name__] = ([cell(128, input_shape=(30, 20))], (30, 20), 25)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_steady_step_allocates_nothing_large(name: str) -> None:
    layers, shape, rows = NETWORKS[name]
    model = Sequential([*layers, Activation("softmax")], seed=0, shards=1)
    model.compile("cce", "adam")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4 * rows, *shape)).astype(np.float32)
    y = rng.integers(0, 10, (4 * rows, *model.output_shape[:-1]))
    engine = model.engine()
    data = model.converter().batch(x, y)
    first = FIRST_RUNS  # then the calls of the step have been noted and proved
    batches = [
        Batch(data.inputs, data.targets, data.weights, rng.permutation(4 * rows)[:rows]) for _ in range(first + 4)
    ]
    for batch in batches[:first]:
        engine.train(batch)
    tracemalloc.start()
    try:
        for batch in batches[first:]:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            engine.train(batch)
            grown = tracemalloc.get_traced_memory()[1] - before
            # All that is alive at one time: the buffers of NumPy's casts and two draws of random bits, of 64 KiB at
            # the most each. The smallest array between two layers has 512 KiB in the MLP.
            assert grown < (3 + OLD_CASTS) * 65_536, f"{grown} bytes"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [3, 20])
def test_neighbours_that_change_places_or_join_give_the_same(rows: int) -> None:
    layers = [
        Conv2D(5, 3, padding=1, input_shape=(1, 8, 8)),
        Activation("leaky_relu", alpha=0.1),
        Pooling2D(2, 2),
        Conv2D(4, 3, padding=1),
        Activation("relu"),
        UpSampling2D(4),
        Conv2D(3, 3, padding=1),
        Activation("leaky_relu", alpha=0.1),
        Pooling2D(2, 2, "avg"),
        Conv2D(1, 3, padding=1),
    ]
    model = Sequential([*layers, Activation("sigmoid")], seed=0, shards=1, dtype="float64")
    model.compile("bce", "adam")
    engine = model.engine()
    x = np.random.default_rng(0).random((rows, 1, 8, 8))
    batch = model.converter().batch(x, x)
    results = []
    for in_place in (False, True):
        executor = Executor(engine.graph, engine.buffers, heads=engine.heads, shards=1, in_place=in_place)
        losses = executor.step(batch, 0)
        kinds = [type(step.layer).__name__ for step in executor.active()[0].program.steps]
        results.append((kinds, losses[0], engine.buffers.gradients.copy(), executor.infer([x])[0]))
    plain, joined = results
    written = ["Conv2D", "Activation", "Pooling2D", "Conv2D", "Activation", "UpSampling2D", "Conv2D"]
    assert plain[0] == [*written, "Activation", "Pooling2D", "Conv2D"]
    assert joined[0] == ["Conv2D", "Activation", "Conv2D", "Activation", "Conv2D", "Pooling2D", "Conv2D"]
    assert joined[1] == pytest.approx(plain[1], rel=1e-13)
    np.testing.assert_allclose(joined[2], plain[2], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(joined[3], plain[3], rtol=1e-12)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "clipped_relu"])
def test_dropout_rectifies_what_it_reads(name: str, training: bool) -> None:
    slope = {} if name == "relu" else {"alpha": 0.1}
    layers = [Dense(30, input_shape=(6,)), Activation(name, **slope), Dropout(0.4), Dense(20), Activation(name)]
    model = Sequential([*layers, Dropout(0.0), Dense(3), Activation("softmax")], seed=0, dtype="float64")
    model.compile("cce", "adam")
    engine = model.engine()
    rng = np.random.default_rng(0)
    batch = model.converter().batch(rng.normal(size=(9, 6)), rng.integers(0, 3, 9))
    results = []
    for in_place in (False, True):
        executor = Executor(engine.graph, engine.buffers, heads=engine.heads, shards=1, in_place=in_place)
        losses = executor.step(batch, 5, training=training)
        kinds = [type(step.layer).__name__ for step in executor.active()[0].program.steps]
        assert kinds.count("Activation") == (0 if in_place and name != "clipped_relu" else 2)
        results.append([*losses, engine.buffers.gradients.copy()])
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-14)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-13, atol=1e-16)


def test_a_value_that_two_layers_read_is_not_passed_over() -> None:
    image = Input((1, 8, 8))
    shown = Activation("relu")(Conv2D(2, 3, padding=1)(image))
    large = UpSampling2D(2)(Pooling2D(2, 2)(shown))
    model = Model(image, [Conv2D(1, 3, padding=1)(large), Add()([large, shown])], seed=0)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    executor = model.executor()
    plain = Executor(executor.graph, executor.buffers, in_place=False).infer([x])
    for output, expected in zip(executor.infer([x]), plain, strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-6)
    kinds = [type(step.layer).__name__ for step in executor._inference.steps]
    assert kinds.index("Activation") < kinds.index("Pooling2D")
    assert "UpSampling2D" in kinds


def test_all_parameters_are_views_of_one_buffer() -> None:
    model = Sequential([Dense(5, input_shape=(4,)), BatchNormalization(), Dense(3, trainable=False)], seed=0)
    model.compile("mse", "sgd")
    buffers = model.engine().buffers
    for layer in model.layers:
        for parameter in layer.parameters:
            home = buffers.values if parameter.trainable and layer.trainable else buffers.state
            assert np.shares_memory(parameter.value, home)
    assert buffers.gradients.size == buffers.values.size
    buffers.values[:] = 7
    assert (model.get_weights()[0] == 7).all()


def test_bounds_and_tree() -> None:
    assert bounds(10, 4) == ((0, 2), (2, 5), (5, 7), (7, 10))
    assert bounds(2, 4) == ((0, 1), (1, 2))
    assert tree(lambda a, b: f"({a}{b})", "abcde") == "(((ab)(cd))e)"


def test_workspace_lends_the_same_memory() -> None:
    space = Workspace()
    first = space.empty("a", (4, 5))
    assert space.empty("a", (4, 5)) is first
    assert np.shares_memory(space.empty("a", (2, 5)), first)
    assert first.ctypes.data % 64 == 0
    images = np.empty((2, 5, 6, 3)).transpose(0, 3, 1, 2)
    assert space.empty_like("b", images).transpose(0, 2, 3, 1).flags.c_contiguous


def test_a_workspace_lets_go_of_what_it_replaces_and_of_all_when_it_goes() -> None:
    space = Workspace()
    small = weakref.ref(space.empty("a", (4, 5)).base)
    other = space.empty("b", (2,))
    larger = space.empty("a", (5, 5))
    assert small() is None
    assert np.shares_memory(space.empty("a", (4, 5)), larger)
    assert np.shares_memory(space.empty("b", (2,)), other)
    assert space.nbytes == 4 * (25 + 2)
    memory = weakref.ref(larger.base)
    gc.disable()  # not even a cycle may hold it
    try:
        del space, larger
        assert memory() is None
    finally:
        gc.enable()


class _Forgetful(Layer):
    """Reads in backward what forward has not left."""

    where: str = "forward"

    def prepare(self, shared: Any) -> None:
        pass

    def forward(self, x: Any, call: Any) -> Any:
        return x * call.shared.scale if self.where == "prepare" else x * 2

    def backward(self, dy: Any, call: Any) -> Any:
        return dy * call.x


@pytest.mark.parametrize(("where", "expected"), [("forward", "forward.*left no 'x'"), ("prepare", "not set 'scale'")])
def test_a_layer_that_reads_what_nobody_left_is_told_so(where: str, expected: str) -> None:
    model = Sequential([Dense(3, input_shape=(2,)), _Forgetful(where), Dense(1)])
    model.compile("mse")
    if where == "prepare":
        with pytest.raises(AttributeError, match=expected):
            model.predict(np.ones((4, 2), np.float32))
    with pytest.raises(AttributeError, match=expected):
        model.train_on_batch(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))


def test_an_error_on_a_thread_reaches_the_caller() -> None:
    pool = ThreadPool()
    pool.threads = 3
    done: list[int] = []

    def fail() -> None:
        raise ValueError("on a thread")

    with pytest.raises(ValueError, match="on a thread"):
        pool.run([fail, fail, fail])
    pool.run([lambda i=i: done.append(i) for i in range(9)])
    assert sorted(done) == list(range(9))


def test_a_taken_pool_leaves_the_work_to_the_caller() -> None:
    seen: set[str] = set()
    pool = ThreadPool()
    pool.threads = 2
    inside, done = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert done.wait(10)

    other = threading.Thread(target=pool.run, args=([wait, wait],))
    other.start()
    assert inside.wait(10)
    try:
        pool.run([lambda: seen.add(threading.current_thread().name)] * 4)
    finally:
        done.set()
        other.join()
    assert seen == {threading.current_thread().name}


def test_an_interrupt_between_two_tasks_waits_for_those_that_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool()
    pool.threads = 2
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def long() -> None:
        begun.set()
        assert go_on.wait(10)
        done.append("long")

    def interrupt(work: object) -> None:
        if threading.current_thread().name.startswith("miniDLF"):
            return real(work)
        assert begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt  # where Ctrl-C comes just when a task is over

    real = threads_module._Round.work
    monkeypatch.setattr(threads_module._Round, "work", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.run([long, long])
    assert done == ["long"]


@pytest.mark.parametrize("own", [5e-3, 2e-5])
def test_the_switch_interval_is_short_while_helpers_work_and_then_what_it_was(own: float) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(own)
    own = sys.getswitchinterval()  # whole microseconds
    pool = ThreadPool()
    pool.threads = 2
    seen: list[float] = []

    def task() -> None:
        seen.append(sys.getswitchinterval())
        raise ValueError("a task fails")

    try:
        with pytest.raises(ValueError, match="a task fails"):
            pool.run([task, task])
        assert sys.getswitchinterval() == own
        assert seen[0] == pytest.approx(min(own, threads_module.SWITCH_INTERVAL))
        pool.run([lambda: None])  # nobody helps
        assert sys.getswitchinterval() == own
    finally:
        sys.setswitchinterval(before)


def test_no_more_threads_run_than_the_caller_has_room_for() -> None:
    pool = ThreadPool()
    pool.threads = 4
    seen: set[str] = set()
    pool.run([lambda: seen.add(threading.current_thread().name)] * 8, at_most=1)
    assert seen == {threading.current_thread().name}


def test_every_caller_takes_the_place_of_a_helper() -> None:
    pool = ThreadPool()
    pool.threads = 3
    seen: set[str] = set()
    together = threading.Barrier(2)

    def task() -> None:
        seen.add(threading.current_thread().name)
        together.wait(10)  # returns only if two threads are at it

    inside, done = threading.Event(), threading.Event()

    def train() -> None:
        inside.set()
        done.wait(10)

    @single_threaded_blas
    def share() -> None:
        assert single_threaded_blas.others() == 1
        pool.run([task] * 4)
        assert len(seen) == 2  # with the other caller three, as asked for
        pool.threads = 2
        seen.clear()
        pool.run([lambda: seen.add(threading.current_thread().name)] * 4)
        assert seen == {threading.current_thread().name}

    other = threading.Thread(target=single_threaded_blas(single_threaded_blas(train)))
    other.start()
    try:
        assert inside.wait(10)
        share()
    finally:
        done.set()
        other.join()
    assert single_threaded_blas.others() == 0


def _shard(number: int, ends: list[tuple[int, Any]], at: int = -1, error: type[BaseException] = ValueError) -> Any:
    """Meets three times, alone between the first and the last, and notes what the others brought."""
    for meeting, alone in enumerate((True, None, False)):
        if meeting == at:
            raise error(f"shard {number}")
        total = yield Meeting(operator.add, [number], alone)
        ends.append((number, (meeting, total, threading.get_ident() if meeting < 2 else None)))


@pytest.mark.parametrize("shards", [2, 3, 5])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_shards_meet_on_any_number_of_threads(shards: int, threads: int) -> None:
    ends: list[tuple[int, Any]] = []
    drive = Drive([_shard(number, ends) for number in range(shards)])
    pool = ThreadPool()
    pool.threads = threads
    pool.run([drive.work] * shards)
    everybody = list(range(shards))
    assert len({who for _, (meeting, _, who) in ends if meeting < 2}) == 1  # one thread for all
    for number in everybody:
        assert [total for shard, (_, total, _) in ends if shard == number] == [everybody] * 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_nobody_waits_for_a_shard_that_has_failed(at: int, error: type[BaseException]) -> None:
    ends: list[tuple[int, Any]] = []
    drive = Drive([_shard(0, ends), _shard(1, ends, at, error), _shard(2, ends)])
    pool = ThreadPool()
    pool.threads = 3
    with pytest.raises(error, match="shard 1"):
        pool.run([drive.work] * 3)


@pytest.mark.parametrize("shards", [2, 3])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_offer_is_done_once_before_the_step_is_over(shards: int, threads: int) -> None:
    done: list[tuple[int, int]] = []

    def offering(number: int) -> Any:
        for turn in range(20):
            yield Offer(done.append, (number, turn))
            if turn % 7 == 0:
                assert (yield Meeting(operator.add, [number])) == list(range(shards))

    drive = Drive(list(map(offering, range(shards))))
    pool = ThreadPool()
    pool.threads = threads
    pool.run([drive.work] * shards)
    assert sorted(done) == [(number, turn) for number in range(shards) for turn in range(20)]


def test_a_shard_goes_on_while_an_idle_thread_does_what_it_offers() -> None:
    done = threading.Event()

    def busy() -> Any:
        yield Offer(done.set)
        assert done.wait(10)

    def idle() -> Any:
        yield from ()

    drive = Drive([busy(), idle()])
    pool = ThreadPool()
    pool.threads = 2
    pool.run([drive.work] * 2)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nobody_waits_for_an_offer_that_has_failed(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("offer")

    def offering() -> Any:
        yield Offer(fail)
        yield Meeting()

    drive = Drive([offering() for _ in range(3)])
    pool = ThreadPool()
    pool.threads = 3
    with pytest.raises(error, match="offer"):
        pool.run([drive.work] * 3)


def test_one_thread_takes_a_small_tail_of_all_shards_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    head = [Flatten(), Dense(20), BatchNormalization(), Activation("relu"), Dense(10), Activation("softmax")]
    model = Sequential([Conv2D(8, 3, input_shape=(1, 40, 40)), *head], seed=0, shards=3)
    model.compile("cce", "adam")
    engine = model.engine()
    rng = np.random.default_rng(0)
    batch = model.converter().batch(rng.normal(size=(50, 1, 40, 40)), rng.integers(0, 10, 50))
    monkeypatch.setattr(executor_module, "SMALL_STEP", 0)
    results = []
    for flops in (0, 10_000_000):
        monkeypatch.setattr(program_module, "TAIL_FLOPS", flops)
        executor = Executor(engine.graph, engine.buffers, heads=engine.heads, shards=3)
        losses = executor.step(batch, 0)
        program = executor.active()[0].program
        assert program.tail(50) == (3 if flops else len(program.steps))
        assert program.tail(1_000_000) == len(program.steps)
        results.append([losses[0], *(part.copy() for part in executor.gradient_parts()[0])])
    for apart, together in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, together)


def test_small_work_is_one_shard_and_large_work_one_a_thread() -> None:
    before = miniDLF.get_threads()
    try:
        miniDLF.set_threads(3)
        for layers, shape, small, large in (
            ([Dense(400, input_shape=(784,)), Dense(10)], (784,), 20, 200),
            ([Conv2D(16, 3, input_shape=(3, 32, 32)), BatchNormalization(), Flatten(), Dense(2)], (3, 32, 32), 64, 512),
        ):
            model = Sequential(layers, seed=0)
            model.compile("mse", "sgd")
            executor = model.engine().executor
            assert (executor.shards_for(small), executor.shards_for(large)) == (1, 3), shape
    finally:
        miniDLF.set_threads(before)


def test_a_shard_that_is_added_runs_in_the_mode_of_the_step() -> None:
    model = Sequential([Dense(4, input_shape=(3,)), Dropout(0.5), Dense(1)], seed=0, shards=2)
    model.compile("mse", "sgd")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    engine, convert = model.engine(), model.converter()
    engine.gradients(convert.batch(x[:1], y[:1]), training=False)  # one row, so one shard
    loss, _ = engine.gradients(convert.batch(x, y), training=False)
    assert loss == pytest.approx(model.evaluate(x, y), rel=1e-5)


def test_set_threads() -> None:
    before = miniDLF.get_threads()
    try:
        miniDLF.set_threads(3)
        assert miniDLF.get_threads() == 3
        for wrong in (0, -1, 1.5, True, "2"):
            with pytest.raises(ArgumentError, match="at least 1"):
                miniDLF.set_threads(wrong)
    finally:
        miniDLF.set_threads(before)


def test_the_environment_sets_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDLF_NUM_THREADS", "5")
    assert ThreadPool().threads == 5
    monkeypatch.setenv("MINIDLF_NUM_THREADS", "many")
    with pytest.raises(ArgumentError, match="MINIDLF_NUM_THREADS.*'many'"):
        ThreadPool()
    later = ThreadPool(later=True)
    with pytest.raises(ArgumentError, match="MINIDLF_NUM_THREADS.*'many'"):
        later.threads  # noqa: B018 - asks
    monkeypatch.setenv("MINIDLF_NUM_THREADS", "7")
    assert later.threads == 7


@pytest.mark.parametrize(
    ("openmp", "threads"),
    [("3", 3), ("3,2", 3), (" 4 ", 4), ("", None), ("0", None), ("-1", None), ("many", None), ("2.5", None)],
)
def test_the_variable_of_openmp_counts_where_ours_is_not_set(
    openmp: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIDLF_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usual = ThreadPool().threads
    monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    assert ThreadPool().threads == (threads or usual)
    monkeypatch.setenv("MINIDLF_NUM_THREADS", "5")
    assert ThreadPool().threads == 5


def test_a_wrong_number_of_threads_is_one_line_of_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "MINIDLF_NUM_THREADS": "abc"}
    command = [sys.executable, "-m", "miniDLF", "demo", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wanted = "minidlf: MINIDLF_NUM_THREADS: expected a whole number of at least 1, received 'abc'.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", wanted)


def test_a_prediction_notices_every_change_of_a_weight() -> None:
    images = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    model = Sequential([Conv2D(3, 3, input_shape=(2, 6, 6)), BatchNormalization(), Flatten(), Dense(2)], seed=0)
    before = model.predict(images)
    np.testing.assert_array_equal(model.predict(images), before)
    for parameter in [parameter for layer in model.layers for parameter in layer.parameters]:
        parameter.value.flat[0] += 1.0
        after = model.predict(images)
        assert not np.array_equal(after, before), parameter
        fresh = Sequential([Conv2D(3, 3, input_shape=(2, 6, 6)), BatchNormalization(), Flatten(), Dense(2)], seed=0)
        fresh.set_weights(model.get_weights())
        np.testing.assert_array_equal(fresh.predict(images), after)
        before = after


@pytest.mark.parametrize("use_bias", [True, False])
def test_inference_folds_a_normalisation_into_the_dense_layer_behind_it(use_bias: bool) -> None:
    layers = [Dense(6, input_shape=(4,)), BatchNormalization(), Dense(3, use_bias=use_bias), BatchNormalization()]
    model = Sequential(layers, seed=0, dtype="float64")
    executor = model.executor()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4))
    plain = Executor(executor.graph, executor.buffers, in_place=False)
    assert [type(step.layer).__name__ for step in executor._inference.steps][1:] == [
        "_NormalisedDense",
        "BatchNormalization",
    ]
    for _ in range(2):  # the second time with other weights than those that were combined
        model.set_weights([rng.uniform(0.5, 2, array.shape) for array in model.get_weights()])
        np.testing.assert_allclose(executor.infer([x])[0], plain.infer([x])[0], rtol=1e-12)


def test_a_layer_that_stands_at_two_places_is_not_folded() -> None:
    image = Input((4,))
    normal, dense = BatchNormalization(), Dense(4)
    model = Model(image, dense(normal(dense(normal(image)))), seed=0)
    assert [type(step.layer).__name__ for step in model.executor()._inference.steps] == [
        "BatchNormalization",
        "Dense",
        "BatchNormalization",
        "Dense",
    ]
