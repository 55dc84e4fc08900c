"""Callbacks: each does what Keras' does, keeps its state through a save, and refuses nonsense."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF import callbacks as exported
from miniDLF.callbacks import (
    AccuracyThreshold,
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    LivePlot,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from miniDLF.errors import ArgumentError, DivergedError, FileFormatError
from miniDLF.layers import Activation, BatchNormalization, Dense, Dropout
from miniDLF.models import Sequential, load
from miniDLF.optimizers import SGD, Adam

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X @ np.array([[1.0, -1, 0], [0, 1, 1], [1, 0, -1], [0, 0, 1]])).argmax(1)


def model(optimizer: Any = None) -> Sequential:
    made = Sequential([Dense(8, input_shape=(4,)), Activation("tanh"), Dense(3), Activation("softmax")], seed=0)
    made.compile("cce", optimizer or Adam(lr=0.01), metrics=["accuracy"])
    return made


def fit(*given: Callback, epochs: int = 3, made: Sequential | None = None, **options: Any) -> Sequential:
    made = made or model()
    options = {"batch_size": 16, "verbose": 0, "validation_split": 0.25, **options}
    made.fit(X, Y, epochs=epochs, callbacks=list(given), **options)
    return made


CASES: dict[str, Callable[[Path], Callback]] = {
    "AccuracyThreshold": lambda p: AccuracyThreshold(0.99),
    "BackupAndRestore": lambda p: BackupAndRestore(p / "backup", save_freq=2),
    "CSVLogger": lambda p: CSVLogger(p / "log.csv"),
    "Callback": lambda p: Callback(),
    "EarlyStopping": lambda p: EarlyStopping(patience=5, restore_best_weights=True),
    "History": lambda p: History(),
    "LambdaCallback": lambda p: LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "LearningRateScheduler": lambda p: LearningRateScheduler(lambda epoch, rate: rate * 0.5),
    "LivePlot": lambda p: LivePlot(p / "live.png"),
    "ModelCheckpoint": lambda p: ModelCheckpoint(p / "best.safetensors", save_best_only=True),
    "ProgressBar": lambda p: ProgressBar(file=io.StringIO()),
    "ReduceLROnPlateau": lambda p: ReduceLROnPlateau(patience=1),
    "TensorBoard": lambda p: TensorBoard(p / "board", histogram_freq=1, update_freq=2),
    "TerminateOnNaN": lambda p: TerminateOnNaN(),
}


def test_every_exported_callback_has_a_case() -> None:
    assert set(CASES) == set(exported.__all__)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", CASES)
def test_it_takes_part_in_a_run_and_keeps_its_state(name: str, tmp_path: Path) -> None:
    callback = CASES[name](tmp_path)
    before = repr(callback.get_state())
    fit(callback, epochs=3)
    state = callback.get_state()
    if type(callback).get_state is Callback.get_state:
        assert type(callback).set_state is Callback.set_state
        pytest.skip(f"{name} has no state")
    assert repr(state) != before
    other = CASES[name](tmp_path)
    other.set_state(state)
    assert repr(other.get_state()) == repr(state)


def test_hooks_come_in_keras_order() -> None:
    seen: list[str] = []

    class Watch(Callback):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("on_"):
                return _Recorder(name, seen)
            return super().__getattribute__(name)

    class _Recorder:
        def __init__(self, name: str, seen: list[str]) -> None:
            self.name, self.seen = name, seen

        def __call__(self, *_: Any) -> None:
            self.seen.append(self.name)

    fit(Watch(), epochs=1, batch_size=24)
    batch = ["on_train_batch_begin", "on_train_batch_end"]
    test = ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"]
    kept = [name for name in seen if name not in ("on_restore", "on_batch_saved", "on_epoch_saved")]
    assert kept == ["on_train_begin", "on_epoch_begin", *batch, *batch, *test, "on_epoch_end", "on_train_end"]


def test_hooks_may_be_functions_of_the_class_or_of_the_object() -> None:
    seen: list[str] = []

    class Static(Callback):
        @staticmethod
        def on_train_batch_end(batch: int, logs: Any = None) -> None:
            seen.append("static")

    own = Callback()
    own.on_batch_end = lambda batch, logs=None: seen.append("own")  # type: ignore[method-assign]
    fit(Static(), own, epochs=1, batch_size=48)
    assert seen == ["static", "own"]


def test_early_stopping() -> None:
    stopper = EarlyStopping("loss", patience=2, min_delta=10.0)
    made = fit(stopper, epochs=20)
    assert len(made.history.epoch) == 3  # the first epoch is the best, two more bring no ten
    assert stopper.stopped_epoch == 2
    assert made.stop_reason is not None
    best = EarlyStopping("loss", mode="max", patience=3, restore_best_weights=True)
    made = fit(best, epochs=10)
    assert best.best_epoch == 0
    again = fit(epochs=1)
    for old, new in zip(again.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(fit(EarlyStopping("loss", mode="max", baseline=9.0, patience=2), epochs=9).history.epoch) == 2
    assert len(fit(EarlyStopping("loss", min_delta=9, start_from_epoch=3, patience=1), epochs=9).history.epoch) == 5
    with pytest.raises(ArgumentError, match=r"no log 'val_los'.*gives accuracy, loss, val_accuracy, val_loss"):
        fit(EarlyStopping("val_los"))


def test_threshold_and_plateau_and_scheduler() -> None:
    made = fit(AccuracyThreshold(0.01), epochs=9)
    assert len(made.history.epoch) == 1
    assert made.stop_reason == "training accuracy threshold reached"
    rates: list[float] = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(logs["learning_rate"]))
    fit(ReduceLROnPlateau("loss", min_delta=9, factor=0.5, patience=1, cooldown=1, min_lr=0.003), note, epochs=6)
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.003, 0.003, 0.003])
    rates.clear()
    made = fit(LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), note, epochs=3)
    assert rates == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert made.optimizer.learning_rate == pytest.approx(0.1 / 3)


def test_model_checkpoint(tmp_path: Path) -> None:
    fit(ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.safetensors"), epochs=2)
    assert sorted(path.name[:3] for path in tmp_path.iterdir()) == ["01-", "02-"]
    path = tmp_path / "best" / "m.safetensors"
    made = fit(ModelCheckpoint(path, "loss", save_best_only=True), epochs=3)
    np.testing.assert_array_equal(load(path).predict(X), made.predict(X))
    never = ModelCheckpoint(tmp_path / "never", "loss", save_best_only=True, initial_value_threshold=0.0)
    fit(never, epochs=1)
    assert not (tmp_path / "never").exists()
    saved: list[Path] = []
    every = ModelCheckpoint(tmp_path / "w{epoch}", save_freq=2, save_weights_only=True)
    every._save = lambda epoch, logs: saved.append(tmp_path)  # type: ignore[method-assign]
    fit(every, epochs=1, validation_split=0)
    assert len(saved) == 2
    with pytest.raises(ArgumentError, match="names the log 'nolog'"):
        fit(ModelCheckpoint(tmp_path / "{nolog}"))


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    made = fit(CSVLogger(path), epochs=2)
    fit(CSVLogger(path, append=True), epochs=1)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "0"]
    assert float(rows[1]["val_loss"]) == made.history.history["val_loss"][1]
    with pytest.raises(FileFormatError, match="the folder .* does not exist; create it"):
        fit(CSVLogger(tmp_path / "no" / "log.csv"))


def test_terminate_on_nan() -> None:
    wild = SGD(lr=1e30, decay=0.0, momentum=0.0, nesterov=False)
    target = np.eye(3)[Y] * 1e9

    def run(*given: Callback) -> Sequential:
        made = Sequential([Dense(3, input_shape=(4,))], seed=0)
        made.compile("mse", wild, doctor=False)
        made.fit(X, target, epochs=3, batch_size=16, callbacks=list(given), verbose=0)
        return made

    for given in ((), (TerminateOnNaN(raise_error=True),)):
        with pytest.raises(
            DivergedError, match=r"step \d: .* it began in .* Lower the learning rate, clip the gradient"
        ):
            run(*given)
    made = run(TerminateOnNaN())
    assert "began in" in str(made.stop_reason)
    assert all(np.isfinite(weight).all() for weight in made.get_weights())


# Resuming -------------------------------------------------------------------------------------------------------------

RUN = """
import hashlib, os, signal, sys
import numpy as np
from miniDLF.callbacks import *
from miniDLF.layers import *
from miniDLF.models import Sequential
from miniDLF.optimizers import Adam
folder, kill, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(120, 6)).astype('f'), rng.integers(0, 3, 120)
m = Sequential([Dense(16, input_shape=(6,)), BatchNormalization(), ReLU(), Dropout(0.3), Dense(3), Softmax()], seed=1)
m.compile('cce', Adam(lr=0.01), metrics=['accuracy'])
class Kill(Callback):
    done = 0
    def on_train_batch_end(self, batch, logs=None):
        Kill.done += 1
        if Kill.done == kill:
            os.kill(os.getpid(), signal.SIGKILL)
callbacks = [
    Kill(),
    EarlyStopping('loss', patience=50, restore_best_weights=True),
    ReduceLROnPlateau('loss', patience=1),
    CSVLogger(folder + '/log.csv'),
    BackupAndRestore(folder + '/backup', save_freq=3 if kind == 'arrays' else 'epoch'),
]
if kind == 'arrays':
    m.fit(x, y, batch_size=16, epochs=4, validation_split=0.2, callbacks=callbacks, verbose=0)
else:
    m.fit([(x[i:i + 16], y[i:i + 16]) for i in range(0, 120, 16)], epochs=4, callbacks=callbacks, verbose=0)
state = hashlib.sha256()
for array in [*m.get_weights(), *m.engine().updater.state.values()]:
    state.update(array.tobytes())
state.update(repr(m.history.history).encode())
state.update(open(folder + '/log.csv', 'rb').read())
print(state.hexdigest())
"""


@pytest.mark.parametrize("kind", ["arrays", "iterable"])
def test_a_killed_run_ends_with_the_same_bytes(kind: str, tmp_path: Path) -> None:
    def run(folder: Path, kill: int) -> subprocess.CompletedProcess[str]:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", RUN, str(folder), str(kill), kind]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    whole = run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    for kill in (4, 9, 11):
        assert run(tmp_path / "killed", kill).returncode == -signal.SIGKILL
    resumed = run(tmp_path / "killed", 0)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout
    assert not list((tmp_path / "killed" / "backup").iterdir())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            signal.raise_signal(signal.SIGINT)

    fit(Stop(), BackupAndRestore(tmp_path), epochs=3)
    other = Sequential([Dense(5, input_shape=(4,)), Dense(3), Activation("softmax")], seed=0)
    other.compile("cce", Adam(lr=0.01), metrics=["accuracy"])
    with pytest.raises(FileFormatError, match=r"(?s)is of another model.*dense_1/weight") as caught:
        fit(Stop(), BackupAndRestore(tmp_path), made=other)
    assert "remove" in str(caught.value)
    for callbacks, made, message in (
        ([Stop()], model("sgd"), "Compile with the optimizer that the run began with"),
        ([EarlyStopping("loss")], model(), "Use the same ones in the same order"),
    ):
        made.set_weights([weight * 2 for weight in made.get_weights()])
        before, made.seed = made.get_weights(), 77
        with pytest.raises(ArgumentError, match=message):
            fit(*callbacks, BackupAndRestore(tmp_path), made=made)
        for weight, old in zip(made.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, old)
        assert (made.seed, made.position.epoch, made.engine().steps) == (77, 0, 0)


def test_ctrl_c_finishes_the_step_and_returns_the_history(tmp_path: Path) -> None:
    done: list[int] = []

    def interrupt(batch: int, logs: Any) -> None:
        done.append(batch)
        if len(done) == 5:
            signal.raise_signal(signal.SIGINT)

    made = fit(LambdaCallback(on_train_batch_end=interrupt), BackupAndRestore(tmp_path), epochs=5)
    assert made.interrupted
    assert len(done) == 5
    assert len(made.history.epoch) == 1
    assert made.predict(X).shape == (64, 3)
    assert list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_stops_at_once() -> None:
    def interrupt(batch: int, logs: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(LambdaCallback(on_train_batch_end=interrupt))


def test_batch_normalisation_and_dropout_resume_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    def made() -> Sequential:
        layers = [Dense(8, input_shape=(4,)), BatchNormalization(), Dropout(0.5), Dense(3), Activation("softmax")]
        result = Sequential(layers, seed=3)
        result.compile("cce", "adam")
        return result

    stop = [True]

    class Stop(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if stop[0] and self.model.engine().steps == 5:
                signal.raise_signal(signal.SIGINT)

    first = made()
    fit(Stop(), BackupAndRestore(tmp_path), made=first)
    stop[0] = False
    second = fit(Stop(), BackupAndRestore(tmp_path), made=made(), verbose=2)  # what only shows something may change
    whole = fit(Stop(), made=made())
    assert json.dumps(second.history.history) == json.dumps(whole.history.history)
    for one, other in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
