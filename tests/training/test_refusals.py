"""Callbacks refuse what makes no sense, when they are made or when the run begins."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import (
    AccuracyThreshold,
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    LivePlot,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
)
from miniDLF.errors import ArgumentError, ArgumentTypeError, FileFormatError, MissingExtraError
from miniDLF.layers import Activation, Dense
from miniDLF.metrics import ConfusionMatrix
from miniDLF.models import Sequential
from miniDLF.optimizers import Adam
from miniDLF.optimizers.schedules import CosineDecay

X = np.random.default_rng(0).normal(size=(32, 4))
Y = np.arange(32) % 3


def fit(*callbacks: Callback, optimizer: Any = "adam", metrics: Any = None, **options: Any) -> Any:
    made = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0)
    made.compile("cce", optimizer, metrics=metrics)
    return made.fit(X, Y, verbose=0, callbacks=list(callbacks), **options)


class Own(Callback):
    def __init__(self, name: str = "") -> None:
        self.name = name


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "class": (lambda: fit(Callback), ArgumentTypeError, r"expected objects of .*Callback, received .* add \(\)"),  # type: ignore[arg-type]
    "hook": (
        lambda: LambdaCallback(on_epoch=print),
        ArgumentTypeError,
        "no hook 'on_epoch'; choose from on_train",
    ),
    "patience": (lambda: EarlyStopping(patience=-1), ArgumentError, "EarlyStopping: patience .* received -1"),
    "mode": (
        lambda: EarlyStopping(mode="upwards"),
        ArgumentError,
        "EarlyStopping: mode is 'auto', 'min' or 'max'; received 'upwards'",
    ),
    "monitor": (
        lambda: fit(EarlyStopping("val_loss")),
        ArgumentError,
        r"EarlyStopping: there is no log 'val_loss' to monitor; this run gives loss\. .*needs validation data",
    ),
    "misspelled": (lambda: fit(ReduceLROnPlateau("los")), ArgumentError, "no log 'los'.*Did you mean 'loss'"),
    "table": (
        lambda: fit(EarlyStopping("confusion_matrix"), metrics=[ConfusionMatrix()]),
        ArgumentError,
        r"the log 'confusion_matrix' is an array of shape \(3, 3\), which cannot be compared; monitor a number",
    ),
    "threshold": (lambda: AccuracyThreshold(95), ArgumentError, "a share between 0 and 1, such as 0.95; received 95"),
    "factor": (lambda: ReduceLROnPlateau(factor=2), ArgumentError, r"factor must lie in \(0, 1\); received 2"),
    "waiting": (
        lambda: ReduceLROnPlateau(patience=-1),
        ArgumentError,
        "ReduceLROnPlateau: patience must be at least 0; received -1",
    ),
    "patience in words": (
        lambda: EarlyStopping("loss", patience="3"),  # type: ignore[arg-type]
        ArgumentTypeError,
        "EarlyStopping: patience must be a whole number; received '3'",
    ),
    "keyword": (
        lambda: EarlyStopping(restore_best=True),  # type: ignore[call-arg]
        ArgumentTypeError,
        "EarlyStopping has no argument 'restore_best'; it takes monitor, .*. Did you mean 'restore_best_weights'",
    ),
    "keyword of one's own": (
        lambda: Own(nmae="a"),  # type: ignore[call-arg]
        ArgumentTypeError,
        "Own has no argument 'nmae'; it takes name. Did you mean 'name'",
    ),
    "two masters": (
        lambda: fit(ReduceLROnPlateau("loss"), optimizer=Adam(lr=CosineDecay(0.1, 10))),
        ArgumentError,
        "ReduceLROnPlateau: the optimizer follows a schedule, so its learning rate cannot be set. Give the optimizer a",
    ),
    "two schedules": (
        lambda: fit(LearningRateScheduler(lambda epoch: 0.1), optimizer=Adam(lr=CosineDecay(0.1, 10))),
        ArgumentError,
        "LearningRateScheduler: the optimizer follows a schedule",
    ),
    "schedule": (
        lambda: LearningRateScheduler(0.1),  # type: ignore[arg-type]
        ArgumentError,
        r"expected a function \(epoch, rate\) -> rate, received 0.1",
    ),
    "rate": (
        lambda: fit(LearningRateScheduler(lambda epoch: None)),  # type: ignore[arg-type, return-value]
        ArgumentError,
        "LearningRateScheduler: the schedule must return a number, it gave None",
    ),
    "a schedule without arguments": (
        lambda: LearningRateScheduler(max),
        ArgumentError,
        "LearningRateScheduler: Python does not tell the arguments of .*max>; wrap it in a function",
    ),
    **{
        f"path {path}": (
            partial(ModelCheckpoint, path),
            ArgumentError,
            "filepath .* cannot be filled in .* Write {epoch:0",
        )
        for path in ("{}.safetensors", "{0}", "{loss:d}", "{epoch:02q}", "a{", "a}")
    },
    "a log in a wrong form": (
        lambda: fit(ModelCheckpoint("{accuracy:d}"), metrics=["accuracy"]),
        ArgumentError,
        "filepath '{accuracy:d}' cannot be filled in .*format code 'd'",
    ),
    "weekly": (
        lambda: ModelCheckpoint("x", save_freq="weekly"),
        ArgumentError,
        "ModelCheckpoint: save_freq is 'epoch' or a number of batches; received 'weekly'",
    ),
    "never": (lambda: BackupAndRestore("x", save_freq=0), ArgumentError, "BackupAndRestore: save_freq .* received 0"),
    "a log in a name": (
        lambda: fit(ModelCheckpoint("{nolog}")),
        ArgumentError,
        "filepath '{nolog}' names the log 'nolog', which this run does not give; there are epoch, loss",
    ),
    "every": (lambda: LivePlot("x", every=0), ArgumentError, "LivePlot: every counts epochs .* received 0"),
    "no notebook": (
        lambda: fit(LivePlot()),
        ArgumentError,
        r"outside a notebook it needs a file: LivePlot",
    ),
    "update_freq": (
        lambda: TensorBoard(update_freq="never"),
        ArgumentError,
        "update_freq is 'epoch', 'batch' or a number; received 'never'",
    ),
    "no folder": (
        lambda: fit(CSVLogger(Path("no") / "such" / "folder.csv")),
        FileFormatError,
        "CSVLogger: no/such/folder.csv: the folder .* does not exist; create it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    run, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        run()


def test_checkpoints_none_of_which_is_whole(tmp_path: Path) -> None:
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: signal.raise_signal(signal.SIGINT))
    fit(stop, BackupAndRestore(tmp_path), epochs=3)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"no checkpoint in .* is whole; remove the folder to begin anew. .*"):
        fit(stop, BackupAndRestore(tmp_path), epochs=3)


def test_the_folder_of_checkpoints_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match="file/backup: the folder cannot be made"):
        fit(BackupAndRestore(tmp_path / "file" / "backup"))


def test_tensorboard_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match=r"the TensorBoard callback needs .* install 'miniDLF\[tensorboard\]'"):
        fit(TensorBoard(tmp_path))
