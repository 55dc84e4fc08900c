"""BackupAndRestore: however a run ends and whatever callbacks do, the resumed one ends as if nothing had happened."""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, ArgumentTypeError, FileFormatError, NotReadyError
from miniDLF.layers import Activation, Dense, Dropout
from miniDLF.models import Sequential
from miniDLF.optimizers import LBFGS, SGD, Adam, AdamW, ClipGlobalNorm, MovingAverage, WeightDecay
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
    with pytest.warns(UserWarning, match="The seed 4 of this script is not followed: the run goes on with its own, 3"):
        resumed = run("broken", seed=4)
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


# What a checkpoint with a valid digest may hold -----------------------------------------------------------------------


def entry(kind: str, key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    """Set an entry in the saved state of a callback."""

    def change(tensors: dict[str, Any], document: dict[str, Any]) -> None:
        (state,) = (state for name, _, state in document["callbacks"] if name == kind)
        state["map"] = [[name, value if name == key else old] for name, old in state["map"]]

    return change


def position(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda tensors, document: document["position"].update({key: value})


WRONG: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    **{f"epoch {v!r}": position("epoch", v) for v in ("1", None, 1.0, -1, True, [1], 0, 2, 10**12)},
    **{f"batch {v!r}": position("batch", v) for v in ("1", None, 1.0, -1, True, [1], 10**6)},
    **{f"ahead {v!r}": position("ahead", v) for v in ("1", -1)},
    **{f"seed {v!r}": (lambda t, d, v=v: d.update(seed=v)) for v in ("1", None, -1, 0.5)},
    **{f"stop {v!r}": (lambda t, d, v=v: d.update(stop_training=v)) for v in (1, "no", None)},
    **{f"reason {v!r}": (lambda t, d, v=v: d.update(stop_reason=v)) for v in (1, ["no"])},
    **{f"position {v!r}": (lambda t, d, v=v: d.update(position=v)) for v in (1, [1, 2], None)},
    **{
        f"{kind}.{key} {v!r}": entry(kind, key, v)
        for kind, keys in {
            "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights", "best_moment"),
            "ReduceLROnPlateau": ("best", "wait", "cooling"),
            "ModelCheckpoint": ("best", "batches", "epoch", "validated"),
            "History": ("epoch", "history", "epochs"),
            "CSVLogger": ("names", "rows"),
        }.items()
        for key in keys
        for v in ("no", [["no"]], True)
        if (key, v) != ("rows", [["no"]])
    },
    "a row of the log that is too long": entry("CSVLogger", "rows", [["0"] * 99]),
    "weights of whole numbers": lambda t, d: t.update({"weights/dense_1/bias": np.zeros(8, np.uint8)}),
    "weights that are no numbers": lambda t, d: t.update({"weights/dense_1/bias": np.full(8, np.nan, np.float32)}),
    "a mean of text": lambda t, d: t.update({"training/mean/0/total": np.zeros((2, 2))}),
    "a mean that is gone": lambda t, d: t.pop("training/mean/0/weight"),
    "optimizer's NaN": lambda t, d: t.update({k: v * np.nan for k, v in t.items() if "/optimizer/" in k}),
    "optimizer's whole numbers": lambda t, d: t.update({k: v.astype(int) for k, v in t.items() if "/optimizer/" in k}),
    "settings in a list": lambda t, d: d.update(settings=[1]),
    "a beginning of text": lambda t, d: d.update(began="no"),
    "steps of three": lambda t, d: t.update({"training/steps": np.zeros(3)}),
    "a deep state": lambda t, d: d["callbacks"][1].__setitem__(2, {"map": [[1, {"array": "no"}]]}),
}


#: Those that are found before the model changes; what a callback keeps is its own affair, and comes last.
UNTOUCHED = {
    case for case in WRONG if case.partition(" ")[0] in ("epoch", "seed", "settings", "weights", "optimizer's")
}


def watched(folder: Path, *callbacks: Callback, made: Sequential | None = None) -> Sequential:
    made = network(optimizer=SGD(0.1)) if made is None else made
    given = [worst(), ReduceLROnPlateau("loss"), ModelCheckpoint(folder / "m"), CSVLogger(folder / "log.csv")]
    return fit(made, *callbacks, *given, BackupAndRestore(folder / "b"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """That of a run which was interrupted after its first epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    watched(folder, LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c()))
    return read_tensors(max((folder / "b").iterdir()))


@pytest.mark.parametrize("case", WRONG)
def test_a_checkpoint_of_wrong_kinds_is_one_clear_error(case: str, checkpoint: Any, tmp_path: Path) -> None:
    tensors, document = copy.deepcopy(checkpoint)
    WRONG[case](tensors, document)
    (tmp_path / "b").mkdir()
    path = tmp_path / "b" / "checkpoint-00000007.safetensors"
    write_tensors(path, tensors, document)
    made = network(optimizer=SGD(0.1))
    before = made.get_weights()
    with pytest.raises(FileFormatError, match="does not hold what a run needs") as caught:
        watched(tmp_path, made=made)
    if case in UNTOUCHED:
        assert all(map(np.array_equal, before, made.get_weights()))
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500


# Two runs of the same script, more or less ----------------------------------------------------------------------------


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miniDLF.training.backup.PATIENCE", 0.0)

    def again(epoch: int, logs: Any) -> None:
        with pytest.raises(NotReadyError, match="another run .* writes checkpoints to"):
            fit(network(), BackupAndRestore(tmp_path))

    fit(network(), LambdaCallback(on_epoch_end=again), BackupAndRestore(tmp_path), epochs=1)
    with pytest.raises(NotReadyError):  # twice in one run
        fit(network(), BackupAndRestore(tmp_path), BackupAndRestore(tmp_path), epochs=1)
    fit(network(), BackupAndRestore(tmp_path), epochs=1)


def test_callbacks_without_a_state_may_come_and_go(tmp_path: Path) -> None:
    class Plain(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["more"] = 1.0

    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c())
    fit(network(), stop, BackupAndRestore(tmp_path), epochs=3)
    fit(network(), Plain(), stop, BackupAndRestore(tmp_path), TerminateOnNaN(), epochs=3)
    assert len(fit(network(), BackupAndRestore(tmp_path), epochs=3).history.epoch) == 3
    fit(network(), stop, BackupAndRestore(tmp_path), epochs=3)
    with pytest.raises(ArgumentError, match="Use the same ones"):
        fit(network(), EarlyStopping("loss"), BackupAndRestore(tmp_path), epochs=3)


def net(
    loss: str = "cce",
    optimizer: Any = None,
    dropout: float = 0.2,
    more: Any = (),
    loss_weights: Any = None,
    **options: Any,
) -> Sequential:
    layers = [Dense(8, input_shape=(4,)), Dropout(dropout), *more, Dense(2), Activation("softmax")]
    made = Sequential(layers, **options)
    made.compile(loss, optimizer or Adam(0.1), loss_weights=loss_weights)
    return made


def run(made: Sequential, folder: Path, *callbacks: Callback, rows: int = 64, size: int = 16, **options: Any) -> None:
    given = [*callbacks, BackupAndRestore(folder)]
    made.fit(X[:rows], Y[:rows], batch_size=size, epochs=3, verbose=0, callbacks=given, **options)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "betas": ({"optimizer": Adam(0.1, beta_1=0.5)}, {}, r"optimizer was Adam\(\) and is Adam\(beta_1=0.5\)"),
    "class of the optimizer": ({"optimizer": AdamW(0.1)}, {}, r"optimizer was Adam\(\) and is AdamW\(\)"),
    "loss": ({"loss": "categorical_focal_crossentropy"}, {}, r"loss was CategoricalCross.* and is Categorical.*Focal"),
    "dropout": (
        {"dropout": 0.5},
        {},
        r"layer dropout_1 was Dropout\(p_dropout=0.2\) and is Dropout\(p_dropout=0.5\)",
    ),
    "batch size": ({}, {"size": 32}, "steps was 4 and is 2|batch_size was 16 and is 32"),
    "data": ({}, {"rows": 48}, "samples was 64 and is 48; steps was 4 and is 3|samples was 64 and is 48"),
    "order": ({}, {"shuffle": False}, "shuffle was True and is False"),
    "shards": ({"shards": 2}, {}, "shards was None and is 2"),
    "rate": ({"optimizer": Adam(0.05)}, {}, r"learning rate 0.05 of this script is not followed: .* its own, 0.1"),
    "schedule": ({"optimizer": Adam(CosineDecay(0.1, 9))}, {}, r"optimizer was Adam\(\) and is Adam\(lr=CosineDecay"),
    "a layer more": ({"more": [Dropout(0.5)]}, {}, r"layer dropout_2, Dropout\(p_dropout=0.5\), is new"),
    "weight of the loss": ({"loss_weights": 3.0}, {}, "loss_weight was 1 and is 3"),
    "weights of classes": ({}, {"class_weight": {1: 5.0}}, "weights of samples and classes was even and is of sum"),
    "weights of samples": ({}, {"sample_weight": np.full(64, 0.5)}, "classes was even and is of sum 32"),
    "seed": ({"seed": 9}, {}, "seed 9 of this script is not followed: the run goes on with its own, 3"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_settings_that_changed_are_named(case: str, tmp_path: Path) -> None:
    changed, options, message = CHANGES[case]
    run(net(seed=3), tmp_path, LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c()))
    with pytest.warns(UserWarning, match=message) as caught:
        run(net(**{"seed": 3, **changed}), tmp_path, **options)
    assert len(caught) == 1
    assert "Remove" in str(caught[0].message)


def test_a_layer_that_is_gone_is_named(tmp_path: Path) -> None:
    run(net(seed=3, more=[Dropout(0.5)]), tmp_path, LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c()))
    with pytest.warns(UserWarning, match="layer dropout_2 is gone"):
        run(net(seed=3), tmp_path)


def test_a_run_in_another_type_is_told_which_one(tmp_path: Path) -> None:
    run(net(seed=3), tmp_path, LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c()))
    with pytest.raises(
        FileFormatError, match=r"by a run in float32, this model computes in float64. Make it with dtype"
    ):
        run(net(seed=3, dtype="float64"), tmp_path)


def test_settings_that_stayed_are_not_named(tmp_path: Path) -> None:
    """A rate that a callback has changed since, an unset seed, other epochs, initial weights, names of files."""
    first = Sequential([Dense(3, input_shape=(4,)), Dense(2), Activation("softmax")])
    first.compile("cce", SGD(0.1))
    halve = LearningRateScheduler(lambda epoch, rate: rate / 2)
    stop = LambdaCallback(on_batch_end=lambda batch, logs: ctrl_c() if batch == 2 else None)
    run(first, tmp_path, halve, stop)
    second = Sequential(
        [
            Dense(3, input_shape=(4,), weight_initializer="zeros"),
            Dense(2),
            Activation("softmax"),
        ]
    )
    second.compile("cce", SGD(0.1))
    run(second, tmp_path, halve)
    assert second.seed == first.seed


@pytest.mark.parametrize("make", [BackupAndRestore, ModelCheckpoint, CSVLogger, TensorBoard])
@pytest.mark.parametrize("path", ["", None, 3, "a\0b"])
def test_a_path_that_is_none_is_refused_at_once(make: Any, path: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{make.__name__}: [a-z_]+: expected a f.* such as '.*received"):
        make(path)


# Epochs without a validation ------------------------------------------------------------------------------------------


def sparse(*callbacks: Callback, epochs: int = 5, frequency: Any = 2, **options: Any) -> Sequential:
    made = network(optimizer=SGD(0.1))
    given = {"validation_data": (X, Y), "validation_freq": frequency, **options}
    made.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, callbacks=list(callbacks), **given)
    return made


@pytest.mark.parametrize("frequency", [2, [2, 4], np.int64(2), 9])
def test_epochs_without_a_validation_are_passed_over(frequency: Any, tmp_path: Path) -> None:
    stop = EarlyStopping("val_loss", patience=1, min_delta=9.0, restore_best_weights=True)
    plateau = ReduceLROnPlateau("val_loss", patience=1, min_delta=9.0)
    checkpoints = [
        ModelCheckpoint(tmp_path / "all-{epoch}-{val_loss:.3f}"),
        ModelCheckpoint(tmp_path / "best-{epoch}-{val_loss:.3f}", monitor="val_loss", save_best_only=True),
        ModelCheckpoint(tmp_path / "loss-{epoch}-{val_loss:.3f}", monitor="loss", save_best_only=True),
    ]
    made = sparse(stop, plateau, *checkpoints, CSVLogger(tmp_path / "log.csv"), frequency=frequency)
    validated = [] if frequency == 9 else [2, 4]
    names = sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir() if "-" in path.name)
    assert names == sorted(f"{kind}-{epoch}" for kind in ("all", "best", "loss") for epoch in validated)
    assert len(made.history.epoch) == (4 if validated else 5)
    assert made.optimizer.learning_rate == (pytest.approx(0.01) if validated else 0.1)


def test_batches_are_saved_under_the_last_validation(tmp_path: Path) -> None:
    every = ModelCheckpoint(tmp_path / "{epoch}-{batch}-{val_loss:.4f}", save_freq=np.int32(4))
    best = ModelCheckpoint(tmp_path / "best", save_freq=3, save_best_only=True)
    made = sparse(every, best, epochs=4)
    known = made.history.history["val_loss"][0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"3-4-{known:.4f}", f"4-4-{known:.4f}", "best"]
    split = Dataset(X, Y, test_fraction=0.5)
    network().fit(split, 2, 16, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "d-{val_loss:.1f}", save_freq=2)])
    assert len(list(tmp_path.glob("d-*"))) == 1
    with pytest.raises(ArgumentError, match="names the log 'val_los', which this run does not give"):
        sparse(ModelCheckpoint(tmp_path / "{val_los}", save_freq=2))
    with pytest.raises(ArgumentError, match="names the log 'val_loss', which this run does not give"):
        network().fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{val_loss}", save_freq=2)])


@pytest.mark.parametrize("way", ["kill before the step is saved", "ctrl-c after a step", "kill before an epoch"])
def test_a_resumed_run_with_averages_ends_as_the_whole_one(way: str, tmp_path: Path) -> None:
    def run(folder: str, way: str = "") -> Sequential:
        ending, stop = Ending(), EarlyStopping("val_loss", min_delta=0.01, patience=2, restore_best_weights=True)
        ending.way = way
        made = network(optimizer=MovingAverage(WeightDecay(Adam(0.05), 0.1), 0.9))
        with suppress(Killed):
            fit(made, ending, stop, BackupAndRestore(tmp_path / folder, 1))
        return made

    whole = run("whole")
    run("broken", way)
    resumed = run("broken")
    assert resumed.history.history == whole.history.history
    before, after = resumed.engine().moment(), whole.engine().moment()
    assert all(np.array_equal(before[name], after[name]) for name in after)
    resumed.fit(X, Y, verbose=0)
    whole.fit(X, Y, verbose=0)
    assert all(map(np.array_equal, resumed.get_weights(), whole.get_weights()))


def test_a_checkpoint_holds_averages_as_weights_and_needs_no_arguments_of_own_objects(tmp_path: Path) -> None:
    class Mine(SGD):
        def __init__(self, speed: float) -> None:
            super().__init__(lr=speed)

    averaged = network(optimizer=MovingAverage(Mine(0.5), 0.9))
    fit(averaged, LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c()), BackupAndRestore(tmp_path))
    other = network()
    other.load_weights(max(tmp_path.iterdir()))
    assert all(map(np.array_equal, other.get_weights(), averaged.get_weights()))
    resumed = fit(network(optimizer=MovingAverage(Mine(0.5), 0.9)), BackupAndRestore(tmp_path))
    whole = fit(network(optimizer=MovingAverage(Mine(0.5), 0.9)))
    assert all(map(np.array_equal, resumed.get_weights(), whole.get_weights()))


def test_a_checkpoint_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    """It marks callbacks without a state as essential, and knows no settings, beginnings or averages apart."""
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: ctrl_c())
    fit(network(), stop, EarlyStopping("loss"), BackupAndRestore(tmp_path))
    path = max(tmp_path.iterdir())
    tensors, document = read_tensors(path)
    for entry in document["callbacks"]:
        entry[1] = True
        entry[2]["map"] = [pair for pair in entry[2]["map"] if pair[0] != "best_moment"]
    del document["settings"], document["began"], document["position"]["ahead"], tensors["training/reference"]
    write_tensors(path, tensors, document)
    resumed = fit(network(), EarlyStopping("loss"), BackupAndRestore(tmp_path))
    whole = fit(network(), EarlyStopping("loss"))
    assert all(map(np.array_equal, resumed.get_weights(), whole.get_weights()))
