"""BackupAndRestore: however a run ends and whatever callbacks do, the resumed one ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import (
    BackupAndRestore,
    Callback,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
)
from miniDLF.errors import ArgumentTypeError, FileFormatError
from miniDLF.layers import Activation, Dense, Dropout
from miniDLF.models import Sequential
from miniDLF.optimizers import LBFGS, SGD, ClipGlobalNorm
from miniDLF.optimizers.schedules import CosineDecay
from miniDLF.storage import read_tensors, write_tensors

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


class Killed(Exception):
    """The end of a run that writes nothing any more, as a kill."""


def ctrl_c(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


class Ending(Callback):
    """Ends a run in one of the ways."""

    essential = False
    way = ""

    def at(self, way: str, here: bool = True) -> None:
        if self.way != way or not here:
            return
        self.way = ""
        if "kill" in way:
            raise Killed
        ctrl_c(2 if "twice" in way else 1)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.at("kill between two steps", self.model.engine().steps == 6)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.at("ctrl-c after a step", self.model.engine().steps == 6)
        self.at("kill before the step is saved", self.model.engine().steps == 6)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.at("kill before an epoch", epoch == 1)

    def on_test_begin(self, logs: Any = None) -> None:
        self.at("kill before the epoch ends", self.model.position.epoch == 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.at("ctrl-c after an epoch", epoch == 1)
        self.at("ctrl-c twice after an epoch", epoch == 1)

    def on_train_end(self, logs: Any = None) -> None:
        self.at("kill at the end")


WAYS = [
    "kill between two steps",
    "kill before the step is saved",
    "kill before an epoch",
    "kill before the epoch ends",
    "kill at the end",
    "ctrl-c after a step",
    "ctrl-c after an epoch",
    "ctrl-c twice after an epoch",
    "ctrl-c twice within a step",
]


class Interrupted(SGD):
    """Gets two Ctrl-C while a step is at work."""

    armed = False

    def after(self, buffers: Any, state: Any, step: int) -> None:
        super().after(buffers, state, step)
        if Interrupted.armed and step == 6:
            Interrupted.armed = False
            ctrl_c(2)


class Own(Callback):
    """Keeps something of the run and of the epoch, and changes weights and the learning rate."""

    count = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.losses: list[float] = []
        self.model.set_weights([0.9 * weight for weight in self.model.get_weights()])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += 1
        self.losses.append(logs["loss"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["count"], logs["first"] = self.count, self.losses[0]
        if epoch == 0:
            self.model.optimizer.learning_rate = 0.1

    def get_state(self) -> dict[str, Any]:
        return {"count": self.count, "losses": self.losses}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.count, self.losses = state["count"], list(state["losses"])


def worst() -> EarlyStopping:
    return EarlyStopping("val_loss", mode="max", patience=50, restore_best_weights=True)


CALLBACKS: dict[str, Callable[[BackupAndRestore, Path], list[Callback]]] = {
    "best weights, then the checkpoints": lambda backup, path: [worst(), backup],
    "the checkpoints first": lambda backup, path: [backup, worst(), Own(), ModelCheckpoint(path / "{epoch}.best")],
    "the checkpoints last": lambda backup, path: [Own(), backup],
    "a rate from epoch to epoch": lambda backup, path: [LearningRateScheduler(lambda epoch, rate: rate / 2), backup],
    "a plateau": lambda backup, path: [backup, ReduceLROnPlateau("loss", min_delta=9.0, patience=1)],
    "stopped after an epoch": lambda backup, path: [
        EarlyStopping("val_loss", min_delta=9.0, patience=1, restore_best_weights=True),
        backup,
    ],
    "stopped within an epoch": lambda backup, path: [
        LambdaCallback(on_train_batch_end=lambda batch, logs: stop_at_seven(backup.model)),
        backup,
    ],
}


def stop_at_seven(model: Sequential) -> None:
    model.stop_training = model.stop_training or model.engine().steps == 7


def network(seed: int = 3, optimizer: Any = None) -> Sequential:
    made = Sequential([Dense(8, input_shape=(4,)), Dropout(0.2), Dense(2), Activation("softmax")], seed=seed)
    made.compile("cce", optimizer or Interrupted(0.5))
    return made


def fit(made: Sequential, *callbacks: Callback, epochs: int = 4) -> Sequential:
    made.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, validation_data=(X, Y), callbacks=list(callbacks))
    return made


@pytest.mark.parametrize("frequency", [1, "epoch"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CALLBACKS)
def test_a_resumed_run_ends_as_the_whole_one(case: str, way: str, frequency: Any, tmp_path: Path) -> None:
    def run(folder: str, way: str = "", seed: int = 3) -> Sequential:
        ending = Ending()
        ending.way, Interrupted.armed = way, "within" in way
        backup = BackupAndRestore(tmp_path / folder, frequency)
        made = network(seed)
        try:
            fit(made, ending, *CALLBACKS[case](backup, tmp_path))
        except (Killed, KeyboardInterrupt):
            assert "ctrl-c twice" in way or "kill" in way
        finally:
            Interrupted.armed = False
        return made

    whole = run("whole")
    run("broken", way)
    resumed = run("broken", seed=4)  # the order of the samples and dropout are still those of the first seed
    assert json.dumps(resumed.history.history) == json.dumps(whole.history.history)
    assert resumed.optimizer.learning_rate == whole.optimizer.learning_rate
    assert resumed.stop_reason == whole.stop_reason
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list((tmp_path / "broken").iterdir())


def test_a_run_that_stopped_early_is_given_again(tmp_path: Path) -> None:
    def run() -> Sequential:
        stopper = EarlyStopping("val_loss", min_delta=9.0, patience=1)
        return fit(network(), stopper, BackupAndRestore(tmp_path, delete_checkpoint=False))

    first, again = run(), run()
    assert first.history.epoch == again.history.epoch == [0, 1]
    assert again.stop_reason == first.stop_reason


@pytest.mark.parametrize("optimizer", [LBFGS, lambda: ClipGlobalNorm(SGD(CosineDecay(0.5, 12)), 1.0)])
def test_rates_that_nobody_sets_are_left_alone(optimizer: Callable[[], Any], tmp_path: Path) -> None:
    interrupt = LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c())
    other = LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    fit(network(optimizer=optimizer()), interrupt, BackupAndRestore(tmp_path))
    resumed = fit(network(optimizer=optimizer()), other, BackupAndRestore(tmp_path))
    whole = fit(network(optimizer=optimizer()))
    assert resumed.history.history == whole.history.history


def test_the_bar_of_a_resumed_epoch_begins_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ending = Ending()
    ending.way = "ctrl-c after a step"
    fit(network(), ending, BackupAndRestore(tmp_path))
    places: list[int] = []

    class Bar(ProgressBar):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_begin(epoch, logs)
            places.append(self._bar.n)

    fit(network(), Ending(), BackupAndRestore(tmp_path), Bar(live=True))
    assert places == [2, 0, 0]


def test_the_rate_of_a_resumed_epoch_is_not_told_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for way in ("ctrl-c after a step", ""):
        ending = Ending()
        ending.way = way
        scheduler = LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)
        fit(network(), ending, scheduler, BackupAndRestore(tmp_path))
    told = [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == ["0.25", "0.125", "0.0625", "0.03125"]


def interrupted(folder: Path, *callbacks: Callback) -> list[Path]:
    fit(network(), LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c()), *callbacks, BackupAndRestore(folder))
    return sorted(folder.iterdir())


DAMAGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "no position": lambda tensors, document: document.pop("position"),
    "no seed": lambda tensors, document: document.pop("seed"),
    "no callbacks": lambda tensors, document: document.pop("callbacks"),
    "callbacks of a wrong type": lambda tensors, document: document.update(callbacks=7),
    "a callback without a state": lambda tensors, document: document["callbacks"][1].pop(),
    "a state of a wrong type": lambda tensors, document: document["callbacks"][1].__setitem__(2, 7),
    "a state of other names": lambda tensors, document: document["callbacks"][1].__setitem__(2, {"map": []}),
    "an array that is missing": lambda tensors, document: [
        tensors.pop(name) for name in list(tensors) if name.startswith("callbacks/")
    ],
    "no step": lambda tensors, document: tensors.pop("training/steps"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_lacks_something_is_named(damage: str, tmp_path: Path) -> None:
    path = interrupted(tmp_path, worst())[-1]
    tensors, document = read_tensors(path)
    DAMAGES[damage](tensors, document)
    write_tensors(path, tensors, document)
    with pytest.raises(FileFormatError, match="does not hold what a run needs") as caught:
        interrupted(tmp_path, worst())
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", [{1, 2}, b"1", np.array(["a"]), 1j, {(1, 2): 3}, [object]], ids=repr)
def test_a_state_that_no_checkpoint_can_hold_names_its_callback(value: Any, tmp_path: Path) -> None:
    class Mine(Callback):
        def get_state(self) -> dict[str, Any]:
            return {"value": value}

    with pytest.raises(ArgumentTypeError, match=r"get_state\(\) of Mine holds .* A state is made of numbers"):
        fit(network(), Mine(), BackupAndRestore(tmp_path))
