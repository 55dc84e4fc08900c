"""What callbacks say with verbose=1, and what evaluate and predict show."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from miniDLF.layers import Activation, Dense
from miniDLF.metrics import MeanMetric
from miniDLF.models import Sequential
from miniDLF.optimizers import Adam
from miniDLF.writing import encodable, write_line

X = np.random.default_rng(0).normal(size=(48, 4))
Y = (X[:, 0] > 0).astype(np.int64)


def model() -> Sequential:
    made = Sequential([Dense(2, input_shape=(4,)), Activation("softmax")], seed=0)
    made.compile("cce", Adam(lr=0.01), metrics=["accuracy"])
    return made


def fit(*callbacks: Any, epochs: int = 3, **options: Any) -> Sequential:
    made = model()
    made.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **{"verbose": 0, **options})
    return made


def test_early_stopping_tells_when_and_what_it_restores(capsys: pytest.CaptureFixture[str]) -> None:
    fit(EarlyStopping("loss", min_delta=9.0, patience=2, verbose=1, restore_best_weights=True), epochs=9)
    assert capsys.readouterr().out == "Epoch 3: early stopping\nRestoring the weights of the best epoch, 1\n"


def test_learning_rates_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    fit(LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1), verbose=1), epochs=2)
    assert capsys.readouterr().out == (
        "Epoch 1: LearningRateScheduler sets the learning rate to 0.5\n"
        "Epoch 2: LearningRateScheduler sets the learning rate to 0.25\n"
    )
    fit(ReduceLROnPlateau("loss", patience=1, min_delta=9.0, verbose=1), epochs=2)
    assert capsys.readouterr().out == "Epoch 2: ReduceLROnPlateau sets the learning rate to 0.001\n"


def test_savings_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    fit(ModelCheckpoint(path, verbose=1), epochs=1)
    assert capsys.readouterr().out == f"Epoch 1: saved {path}\n"
    made = fit(ModelCheckpoint(path, "loss", save_best_only=True, verbose=1), epochs=1)
    loss = made.history.history["loss"][0]
    assert capsys.readouterr().out == f"Epoch 1: loss improved from none to {loss:.5f}, saved {path}\n"
    fit(ModelCheckpoint(path, "loss", save_best_only=True, initial_value_threshold=0.1, verbose=1), epochs=1)
    assert capsys.readouterr().out == "Epoch 1: loss is no better than 0.10000\n"
    fit(ModelCheckpoint(tmp_path / "{epoch}-{batch}.safetensors", save_freq=2, save_weights_only=True), batch_size=12)
    assert {"1-2.safetensors", "1-4.safetensors", "3-4.safetensors"} <= {entry.name for entry in tmp_path.iterdir()}


def test_an_epoch_without_validation_is_passed_over() -> None:
    stopper = EarlyStopping("val_loss", patience=1, min_delta=9.0)
    watched = fit(
        stopper,
        ReduceLROnPlateau("val_loss"),
        epochs=8,
        validation_data=(X, Y),
        validation_freq=2,
    )
    assert watched.history.epoch == [0, 1, 2, 3]  # validated after the second and the fourth
    assert len(watched.history.history["val_loss"]) == 2


def test_evaluate_and_predict_speak_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    made = model()
    made.evaluate(X, Y)
    made.predict(X)
    assert capsys.readouterr().out == ""
    loss, accuracy = made.evaluate(X, Y, batch_size=12, verbose="auto")
    printed = capsys.readouterr().out
    assert printed.startswith(f"Evaluate: {'=' * 20}> loss: {loss:.5f} accuracy = {accuracy:.2%} time: ")
    quiet = made.predict(X)
    np.testing.assert_array_equal(made.predict(X, batch_size=12, verbose=2), quiet)
    assert capsys.readouterr().out.startswith(f"Predict: {'=' * 20}> 4 batches time: ")


def test_the_outputs_of_a_batch_are_shown_to_callbacks() -> None:
    seen: list[Any] = []
    made = model()
    whole = made.predict(X)
    made.predict(X, batch_size=20, callbacks=[LambdaCallback(on_predict_batch_end=lambda n, logs: seen.append(logs))])
    np.testing.assert_array_equal(np.concatenate([logs["outputs"] for logs in seen]), whole)


def test_one_callback_may_stand_without_a_list_and_a_bar_of_ones_own_is_the_only_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[int] = []
    made = model()
    made.fit(X, Y, epochs=2, verbose=0, callbacks=LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)))
    assert seen == [0, 1]
    made.fit(X, Y, epochs=2, verbose=1, callbacks=[ProgressBar(live=False)])
    assert capsys.readouterr().out.count("Epoch 0") == 2


def test_without_an_output_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # as under pythonw
    stopper = EarlyStopping("loss", min_delta=9.0, patience=1, verbose=1)
    made = fit(stopper, epochs=9, verbose=1)
    assert made.history.epoch == [0, 1]
    fit(ProgressBar(live=True), epochs=1)
    assert made.predict(X, verbose=1).shape == (48, 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_tensorboard_writes_the_learning_rate_and_the_speed(tmp_path: Path) -> None:
    written: dict[str, list[float]] = {}

    class Watched(TensorBoard):
        def on_train_begin(self, logs: Any = None) -> None:
            super().on_train_begin(logs)
            self._writers["train"].add_scalar = lambda name, value, step: written.setdefault(name, []).append(value)

    fit(Watched(tmp_path, write_steps_per_second=True), epochs=2)
    assert written["epoch_learning_rate"] == [0.01, 0.01]
    assert len(written["epoch_loss"]) == 2
    assert all(speed > 0 for speed in written["epoch_steps_per_second"])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("live", [True, False])
def test_a_terminal_that_lacks_characters_ends_no_run(
    encoding: str, live: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    made = Sequential([Dense(2, input_shape=(4,), name="größe→")], seed=0)
    score = MeanMetric(lambda target, prediction: target[:, 0], "güte→")
    made.compile("mse", "sgd", metrics=[score])
    callbacks = [ProgressBar(live), ModelCheckpoint(tmp_path / "modell→", verbose=1), TerminateOnNaN()]
    callbacks.append(LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(made, "stop_reason", "schön→")))
    made.fit(X[:, :4], X[:, :2], epochs=1, callbacks=callbacks)
    made.evaluate(X[:, :4], X[:, :2], verbose=1)
    made.summary()
    made.profile(X[:4, :4], X[:4, :2], repeats=1)
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    whole = "→" if encoding == "utf-8" else "\\u2192"
    assert f"g{'ü' if encoding != 'ascii' else chr(92) + 'xfc'}te{whole}" in said
    assert said.count(f"modell{whole}") == 1
    assert f"sch{'ö' if encoding != 'ascii' else chr(92) + 'xf6'}n{whole}" in said


def test_an_encoding_that_python_does_not_know_is_left_to_the_stream() -> None:
    class Stream(io.StringIO):
        encoding = "no such encoding"

    stream = Stream()
    write_line("→", stream)
    assert stream.getvalue() == "→\n"
    assert encodable("→", object()) == "→"
