"""Shards in processes give the bits of shards on threads, and processes come and go without a trace."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import miniDLF
from miniDLF.core import exchange, executor, helpers, tracing
from miniDLF.core.capture import FIRST_RUNS
from miniDLF.core.exchange import Exchange
from miniDLF.core.helpers import LostHelperError, Team
from miniDLF.core.meetings import Offer
from miniDLF.core.tracing import repeat
from miniDLF.errors import ArgumentError, NotReadyError
from miniDLF.kernels.sharing import BLOCK, MEMORY, is_shared, use_processes
from miniDLF.kernels.threads import POOL, single_threaded_blas
from miniDLF.kernels.workspace import aligned_empty
from miniDLF.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Pooling2D,
    Reshape,
    UpSampling2D,
)
from miniDLF.models import Sequential
from tests.core.test_free_threading import blas_threads, same
from tests.programs import said

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can fork processes safely")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 64)).astype(np.float32)
Y = RNG.integers(0, 3, 96)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let small steps be shared, and put the settings back."""
    monkeypatch.setattr(executor, "SMALL_STEP", 0)
    before = miniDLF.get_threads()
    miniDLF.set_threads(2)
    use_processes(False)
    yield
    miniDLF.set_threads(before)
    use_processes(False)


NETWORKS: dict[str, Any] = {
    "dropout": lambda: [Dense(16), Dropout(0.4), Activation("relu")],
    "normalised vectors": lambda: [Dense(16), BatchNormalization(), Activation("relu"), Dense(8)],
    "normalised images": lambda: [
        Reshape((1, 8, 8)),
        Conv2D(4, (3, 3), padding=1),
        BatchNormalization(),
        Activation("relu"),
        Pooling2D((2, 2)),
        Conv2D(4, (3, 3)),
        Flatten(),
    ],
    "winograd, enlarged": lambda: [
        Reshape((16, 2, 2)),
        UpSampling2D((2, 2)),
        Conv2D(16, (3, 3), padding=1),
        Conv2D(32, (3, 3), padding=1),
        Flatten(),
    ],
    "wide": lambda: [Dense(8192), Dropout(0.4)],
    "rnn": lambda: [Reshape((8, 8)), RNN(12), RNN(12), Flatten()],
    "lstm": lambda: [Reshape((8, 8)), LSTM(12), Flatten()],
    "gru": lambda: [Reshape((8, 8)), GRU(12), Flatten()],
}


def made(name: str, shards: int | None = None) -> Any:
    model = Sequential([*NETWORKS[name](), Dense(3), Activation("softmax")], seed=1, shards=shards)
    model.compile("cce", "adam", metrics=["accuracy"])
    return model


def fitted(model: Any, epochs: int = 6) -> Any:
    model.fit(X, Y, epochs=epochs, batch_size=25, verbose=0)  # three batches of 25, one of 21
    return model


def predicted(model: Any, times: int) -> Any:
    for _ in range(times):
        result = model.predict(np.concatenate([X] * 40), verbose=0)
    return [result]


def team(model: Any) -> Team | None:
    found = [step._team for step in model.engine().executor._steps.values() if step._team is not None]
    return found[0] if found else None


def process(model: Any) -> int:
    found = team(model)
    assert found is not None
    return found._helpers[0]._process


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("shards", [None, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_processes_give_the_bits_of_threads(name: str, shards: int | None) -> None:
    threads = fitted(made(name, shards))
    use_processes()
    processes = fitted(made(name, shards))
    assert team(threads) is None
    assert team(processes) is not None
    assert all(step.ready for step in list(processes.engine().executor._steps.values())[:1])
    assert processes.history.history == threads.history.history
    for ours, theirs in zip(processes.get_weights(), threads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_long_sequences_are_noted_for_processes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST", 40)  # a step of the LSTM makes more calls
    threads = fitted(made("lstm"))
    assert not any(step.ready for step in threads.engine().executor._steps.values())
    use_processes()
    processes = fitted(made("lstm"))
    assert team(processes) is not None
    for ours, theirs in zip(processes.get_weights(), threads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr(tracing, "MOST_FOR_PROCESSES", 40)
    longer = fitted(made("lstm"))
    assert team(longer) is None
    for ours, theirs in zip(longer.get_weights(), threads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_and_data_that_change_between_steps_reach_the_helpers() -> None:
    def altered() -> list[Any]:
        model, x = made("lstm"), X.copy()
        for _ in range(3):
            model.fit(x, Y, epochs=4, batch_size=24, verbose=0, doctor=False)
            model.set_weights([weight * 0.5 for weight in model.get_weights()])
            x *= -0.5
        return list(model.get_weights())

    expected = altered()
    use_processes()
    for ours, theirs in zip(altered(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_small_step_and_one_thread_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    use_processes()
    miniDLF.set_threads(1)
    assert team(fitted(made("dropout", shards=2))) is None
    miniDLF.set_threads(2)
    monkeypatch.setattr(executor, "SMALL_STEP", 10**12)
    assert team(fitted(made("dropout", shards=2))) is None


def test_a_model_made_before_the_setting_keeps_to_threads() -> None:
    model = made("dropout")
    model.build((64,))
    use_processes()
    assert team(fitted(model)) is None


def test_memory_of_before_the_setting_is_nothing_for_helpers() -> None:
    def alternating(wanted: bool) -> Any:
        """Train on batches of two sizes, the larger ones for the first time while there is no setting."""
        use_processes(wanted)
        model = made("dropout")
        model.fit(X, Y, epochs=1, batch_size=12, verbose=0)
        use_processes(False)
        model.fit(X, Y, epochs=2, batch_size=24, verbose=0)
        use_processes(wanted)
        model.fit(X, Y, epochs=6, batch_size=24, verbose=0)
        return model

    threads, processes = alternating(False), alternating(True)
    assert processes.history.history == threads.history.history
    for ours, theirs in zip(processes.get_weights(), threads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_another_process_threads_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    threads = fitted(made("dropout"))
    use_processes()
    model = made("dropout")
    monkeypatch.setattr(os, "fork", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.warns(UserWarning, match="no process can be started .*unavailable.*; shards run on threads"):
        fitted(model)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
    for ours, theirs in zip(model.get_weights(), threads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("processes", [False, True])
def test_another_seed_draws_other_numbers_everywhere(processes: bool) -> None:
    use_processes(processes)
    fresh, used = made("dropout"), fitted(made("dropout"))
    fresh.build(X.shape[1:])
    used.set_weights(fresh.get_weights())
    losses = []
    for model in (fresh, used):
        engine = model.engine()
        batch = model.converter().batch(X[:25], Y[:25])
        for seed in (5, 2):
            engine.steps = 0
            engine.executor.reseed(seed)
            losses.append([engine.gradients(batch)[0] for _ in range(FIRST_RUNS + 1)])
    assert losses[0] == losses[2] != losses[1] == losses[3]


def test_helpers_end_with_the_model() -> None:
    use_processes()
    model = fitted(made("dropout"))
    number = process(model)
    assert alive(number)
    del model
    gc.collect()
    assert not alive(number)


def test_helpers_end_though_another_fork_holds_their_pipes() -> None:
    use_processes()
    model = fitted(made("dropout"))
    number, other = process(model), os.fork()
    if other == 0:
        time.sleep(30)
        os._exit(0)
    try:
        del model
        gc.collect()
        assert not alive(number)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def test_helpers_hold_no_file_of_the_process_open() -> None:
    use_processes()
    end, other_end = os.pipe()
    model = fitted(made("dropout"))
    assert alive(process(model))
    os.close(other_end)
    os.set_blocking(end, False)
    assert os.read(end, 1) == b""  # BlockingIOError if anybody could still write
    os.close(end)


@pytest.fixture
def interrupts() -> Iterator[Any]:
    """Give what does some work that is interrupted after some seconds, as by Ctrl-C."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def interrupted(seconds: float, work: Any) -> None:
        raised = False
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            work()
        except KeyboardInterrupt:
            raised = True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert raised

    before = signal.signal(signal.SIGALRM, interrupt)
    gc.collect()
    gc.disable()  # a finalizer would swallow the interrupt
    with np.errstate():
        yield interrupted
    gc.enable()
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_waits_for_the_helpers(interrupts: Any) -> None:
    use_processes()
    model = fitted(made("lstm"))
    number, box = process(model), team(model)._helpers[0]._box
    os.kill(number, signal.SIGSTOP)
    awake = threading.Timer(0.3, os.kill, (number, signal.SIGCONT))

    def work() -> None:
        awake.start()
        fitted(model, 1)

    interrupts(0.1, work)
    assert box[helpers.DONE] == box[helpers.ORDERED]
    awake.join()


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
@pytest.mark.parametrize("name", ["normalised vectors", "lstm"])
def test_interrupts_at_any_moment_leave_nothing_behind(name: str, processes: bool, interrupts: Any) -> None:
    def settings() -> Any:
        # What becomes of an overflow NumPy itself sets when it makes a random stream, by a context manager.
        quiet = np.geterr()["invalid"]
        return single_threaded_blas._inside, POOL._user, blas_threads(), quiet, sys.getswitchinterval()

    use_processes(processes)
    model, before = fitted(made(name)), settings()
    predicted(model, 8)
    fitted(model)  # no process is forked later on: whoever wants to be called by forks may swallow the interrupt
    begun = model.get_weights()
    for seconds in RNG.uniform(1e-3, 3e-2, 30):
        for work in (partial(fitted, model, 1000), partial(predicted, model, 1000)):
            interrupts(seconds, work)
            assert settings() == before
        model.set_weights(begun)
    assert (team(model) is not None) == processes
    use_processes(False)
    other = fitted(fitted(made(name)))
    other.set_weights(begun)
    assert same(predicted(model, 1), predicted(other, 1))
    for ours, theirs in zip(model.gradients(X, Y)[1].values(), other.gradients(X, Y)[1].values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for one in (model, other):
        one.compile("cce", "adam")
        one.epochs_seen = 0  # the interrupted model has seen many orders of the samples, the other one two
        fitted(one)
    assert same(model.get_weights(), other.get_weights())


@pytest.mark.parametrize("place", ["order", "calls", "taking"])
def test_an_error_in_the_midst_keeps_no_helper_waiting_for_offers(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(fails: bool) -> Any:
        model = fitted(made("gru", shards=3))
        begun = model.get_weights()
        if fails:
            found = team(model)
            assert found is not None
            assert len(found._helpers) == 2
            whose = {"order": found._helpers[1], "calls": found._own[0], "taking": found._exchange}[place]
            name = {"order": "order", "calls": "do", "taking": "take"}[place]
            calls, times = getattr(whose, name), iter(range(10**6))

            def fail_once(*arguments: Any) -> None:
                if next(times) == 0:
                    raise KeyboardInterrupt
                calls(*arguments)

            monkeypatch.setattr(whose, name, fail_once)
            with pytest.raises(KeyboardInterrupt):
                fitted(model)
            assert team(model) is found
            model.set_weights(begun)
        model.compile("cce", "adam")
        return fitted(model)

    miniDLF.set_threads(3)
    use_processes()
    assert same(trained(True).get_weights(), trained(False).get_weights())


def test_a_helper_ends_when_the_process_is_killed() -> None:
    program = """
import os, signal, threading
import numpy as np
import miniDLF
from miniDLF.core import executor
from miniDLF.layers import LSTM, Dense, Flatten, Reshape
from miniDLF.models import Sequential

executor.SMALL_STEP = 0
miniDLF.set_threads(2)
miniDLF.use_processes()
model = Sequential([Reshape((8, 8), input_shape=(64,)), LSTM(64), Flatten(), Dense(3)], seed=1)
model.compile("mse", "adam")
x, y = np.zeros((64, 64)), np.zeros((64, 3))
model.fit(x, y, epochs=4, batch_size=32, verbose=0)
(step,) = model.engine().executor._steps.values()
print(step._team._helpers[0]._process, flush=True)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
model.fit(x, y, epochs=10**6, batch_size=32, verbose=0)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    state = Path(f"/proc/{int(result.stdout)}/stat")
    deadline = time.monotonic() + 20
    with contextlib.suppress(FileNotFoundError):
        while state.read_text().rsplit(")", 1)[1].split()[0] != "Z":  # ended, but nobody has asked how
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_an_idle_process_does_what_a_busy_one_offers() -> None:
    use_processes()
    who = aligned_empty(300, np.int64)
    who.fill(0)

    def sign(place: int) -> None:
        who[place] = os.getpid()

    shared = Exchange(2)
    announcements = [shared.announcement(0, Offer(sign, place)) for place in range(300)]
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            shared.end(1)
            shared.take(1)
        os._exit(0)
    shared.leave_to_others()
    repeat(announcements)
    deadline = time.monotonic() + 20
    while (who != child).any():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    shared.end(0)
    shared.take(0)
    assert os.waitpid(child, 0)[1] == 0


def test_ctrl_c_does_not_reach_the_helpers() -> None:
    use_processes()
    model = fitted(made("dropout"))
    os.kill(process(model), signal.SIGINT)
    fitted(model, 2)
    assert alive(process(model))


def test_a_model_may_be_trained_on_a_thread_that_ends() -> None:
    use_processes()
    model = made("dropout")
    for _ in range(2):
        thread = threading.Thread(target=fitted, args=(model,))
        thread.start()
        thread.join()
    number = process(model)
    fitted(model)
    assert process(model) == number
    assert alive(number)


def test_a_helper_runs_no_handler_of_the_process() -> None:
    use_processes()
    before, called = signal.getsignal(signal.SIGTERM), aligned_empty(1, np.int64)  # in memory that a helper shares
    called.fill(0)

    def handle(*_: Any) -> None:
        called[:] += 1

    signal.signal(signal.SIGTERM, handle)
    try:
        model = fitted(made("dropout"))
    finally:
        signal.signal(signal.SIGTERM, before)
    os.kill(process(model), signal.SIGTERM)
    with pytest.raises(LostHelperError):
        model.fit(X, Y, epochs=1, batch_size=25, verbose=0)
    assert called == 0


def test_notes_that_do_not_prove_right_need_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    use_processes()
    model = made("dropout")
    model.build((64,))
    model.fit(X[:75], Y[:75], epochs=1, batch_size=25, verbose=0)
    calls_made = iter(range(10**6))

    def forgetful(calls: Any) -> None:
        repeat(calls)
        if os.getpid() == own and next(calls_made) == 0:
            model.engine().executor.active()[0].gradients[0] += 1

    own = os.getpid()
    monkeypatch.setattr(exchange, "repeat", forgetful)
    fitted(model)
    steps = list(model.engine().executor._steps.values())
    gone = [step for step in steps if step._notes is None]
    assert gone
    assert all(step._team is None for step in gone)


@pytest.mark.parametrize("seconds", [0.0, 0.2], ids=["before", "meanwhile"])
@pytest.mark.parametrize("name", ["dropout", "lstm"])
def test_a_helper_that_is_killed_is_named_and_replaced(name: str, seconds: float) -> None:
    use_processes()
    model = fitted(made(name))
    number = process(model)
    weights = model.get_weights()
    os.kill(number, signal.SIGSTOP)
    if seconds:
        threading.Timer(seconds, os.kill, (number, signal.SIGKILL)).start()
    else:
        os.kill(number, signal.SIGKILL)
    with pytest.raises(LostHelperError, match=f"process {number}, which computes a part of every batch"):
        model.fit(X, Y, epochs=1, batch_size=25, verbose=0)
    assert same(weights, model.get_weights())
    fitted(model, 1)
    assert process(model) != number


def test_a_forked_copy_of_the_model_refuses_to_train() -> None:
    use_processes()
    model = fitted(made("dropout"))
    rows = [shard.values[0] for shard in model.engine().executor.active()]
    before = [part.copy() for part in rows]
    child = os.fork()
    if child == 0:
        try:
            model.fit(-X, Y, epochs=1, batch_size=25, verbose=0)
        except NotReadyError as error:
            os._exit(0 if "forked" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert same(rows, before)
    fitted(model, 1)


def test_two_models_at_once_give_the_same_bits() -> None:
    expected = [fitted(made(name)).get_weights() for name in ("dropout", "gru")]
    use_processes()
    models = [made(name) for name in ("dropout", "gru")]
    threads = [threading.Thread(target=fitted, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, weights in zip(models, expected, strict=True):
        assert same(model.get_weights(), weights)


def test_shared_memory_is_cut_into_places_that_do_not_overlap() -> None:
    use_processes()
    arrays = [aligned_empty(size, np.float32) for size in (1, 100, BLOCK // 64, BLOCK, 7) * 40]
    assert all(map(is_shared, arrays))
    for number, array in enumerate(arrays):
        array.fill(number)
    assert all((array == number).all() for number, array in enumerate(arrays))
    use_processes(False)
    assert not is_shared(aligned_empty(8, np.float32))


def test_the_setting_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ArgumentError, match="only Linux"):
        use_processes()
    assert not MEMORY.shared


def test_the_environment_is_read_at_the_import() -> None:
    program = "import miniDLF; from miniDLF.kernels.sharing import MEMORY; print(MEMORY.shared)"
    for value, expected in (("1", "True"), ("0", "False"), ("", "False"), ("yes", "expected 0 or 1, received 'yes'")):
        assert expected in said(program, MINIDLF_PROCESSES=value)


def test_proof_comes_before_use() -> None:
    use_processes()
    model = made("dropout")
    model.build((64,))
    model.fit(X[:75], Y[:75], epochs=2, batch_size=25, verbose=0)  # six steps
    step = next(iter(model.engine().executor._steps.values()))
    assert step._runs == FIRST_RUNS
    assert step.ready
    assert step._team is not None
