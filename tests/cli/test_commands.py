"""The command line: results on standard output, progress on standard error, every mistake answered."""

from __future__ import annotations

import json
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.cli import main
from miniDLF.datasets import Digits
from miniDLF.layers import Activation, Dense
from miniDLF.models import Sequential
from miniDLF.training.engine import Engine

CONFIG = """
[data]
source = "arrays"
x = "{folder}/x.npy"
y = "{folder}/y.npy"

[model]
loss = "cce"
seed = 3

[[model.layers]]
class = "Dense"
size = 8

[[model.layers]]
class = "Activation"
activation = "tanh"

[[model.layers]]
class = "Dense"
size = 3

[[model.layers]]
class = "Activation"
activation = "softmax"

[optimizer]
class = "Adam"
lr = 0.05

[training]
epochs = 4
batch_size = 16

[[callbacks]]
class = "ReduceLROnPlateau"
monitor = "loss"
patience = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0))
    (tmp_path / "run.toml").write_text(CONFIG.format(folder=tmp_path))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: Any, status: int = 0) -> tuple[str, str]:
    assert main([str(word) for word in words]) == status
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_configured_run_and_what_it_leaves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    printed, progress = run(capsys, "train", folder / "run.toml", "--out", out, "--json")
    results = json.loads(printed)
    assert results["epochs"] == 4
    assert results["accuracy"] > 0.7
    assert progress.count("Epoch 0") == 4
    assert {"model.safetensors", "history.csv", "curves.png", "run.json"} <= {path.name for path in out.iterdir()}
    model = out / "model.safetensors"

    printed, _ = run(capsys, "predict", model, folder / "x.npy", "--out", folder / "p.csv")
    assert len(printed.splitlines()) == 120
    assert np.loadtxt(folder / "p.csv", delimiter=",").shape == (120, 3)
    np.savetxt(folder / "x.csv", np.load(folder / "x.npy"), delimiter=",")
    outputs = json.loads(run(capsys, "predict", model, folder / "x.csv", "--json")[0])
    np.testing.assert_allclose(outputs["outputs"], np.loadtxt(folder / "p.csv", delimiter=","), rtol=1e-5, atol=1e-7)

    scores = json.loads(run(capsys, "evaluate", model, "--x", folder / "x.npy", "--y", folder / "y.npy", "--json")[0])
    assert scores["accuracy"] == pytest.approx(np.mean(np.load(folder / "y.npy") == outputs["classes"]))

    printed, _ = run(capsys, "summary", model, "--svg", folder / "m.svg")
    assert "Total # trainable parameters: 75" in printed
    assert (folder / "m.svg").read_text().startswith("<svg")
    assert "dense_1" in run(capsys, "summary", model, "--style", "table")[0]
    assert json.loads(run(capsys, "summary", model, "--json")[0])["parameters"] == 75


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_text_networks(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the sea is calm tonight, the tide is full. " * 3)
    out = tmp_path / "out"
    printed, progress = run(capsys, "train", name, "--data", text, "--epochs", 1, "--out", out)
    assert "accuracy" in printed
    assert "X = " in progress
    assert (out / "predictions.txt").read_text().count("p = ") == 5
    assert (out / "predictions.png").stat().st_size > 1000


def test_a_run_that_is_interrupted_is_resumed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    whole = folder / "whole"
    run(capsys, "train", folder / "run.toml", "--out", whole)
    train, seen = Engine.train, [0]

    def interrupted(self: Engine, batch: Any) -> float:
        seen[0] += 1
        if seen[0] == 10:
            signal.raise_signal(signal.SIGINT)
        return train(self, batch)

    out = folder / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "train", interrupted)
        printed, progress = run(capsys, "train", folder / "run.toml", "--out", out, status=130)
    assert printed == ""
    assert f"minidlf resume {out}" in progress
    assert "unfinished run" in run(capsys, "train", folder / "run.toml", "--out", out, status=1)[1]
    run(capsys, "resume", out)
    assert "has ended as planned; there is nothing to resume" in run(capsys, "resume", out, status=1)[1]
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()


class FewDigits(Digits):
    def __init__(self, n_train: int, n_test: int, **options: Any) -> None:
        super().__init__(30, 15, **options)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A small file of MNIST's kind whose three splits differ."""
    rng = np.random.default_rng(0)
    splits = [(rng.random((count, 784), np.float32), rng.integers(0, 10, count)) for count in (60, 10, 20)]
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(tuple(splits), protocol=2))
    return tmp_path / "mnist.pkl"


def test_a_model_is_measured_on_the_data_of_its_run(mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = mnist.parent / "out"
    printed, _ = run(capsys, "train", "mlp", "--data", mnist, "--epochs", 1, "--out", out, "--json")
    trained = json.loads(printed)
    measured = json.loads(run(capsys, "evaluate", out / "model.safetensors", "--json")[0])
    assert measured["loss"] == pytest.approx(trained["val_loss"])
    assert measured["accuracy"] == pytest.approx(trained["val_accuracy"])
    assert (measured["data"], measured["samples"]) == (f"MNIST ({mnist}), test split", 20)


def test_what_is_measured_where_there_is_no_run_and_what_is_named(
    mnist: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mnist.parent / "model.safetensors"
    network = Sequential([Dense(10, input_shape=(784,)), Activation("softmax")], seed=0)
    network.compile("cce")
    network.save(model)
    monkeypatch.setattr("miniDLF.cli.reading.Digits", FewDigits)
    (mnist.parent / "run.json").write_text('{"of": "another program"}')
    for words, data, samples in [
        ([], "drawn digits (embedded), test split", 15),
        (["--data", mnist], f"MNIST ({mnist}), test split", 20),
    ]:
        measured = json.loads(run(capsys, "evaluate", model, *words, "--json")[0])
        assert (measured["data"], measured["samples"]) == (data, samples)


def test_the_metrics_of_the_model_are_measured_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = (
        (folder / "run.toml")
        .read_text()
        .replace("seed = 3", 'metrics = ["confusion_matrix", "sparse_categorical_accuracy"]')
    )
    (folder / "run.toml").write_text(config)
    trained = json.loads(run(capsys, "train", folder / "run.toml", "--out", folder, "--json")[0])
    assert np.shape(trained["confusion_matrix"]) == (3, 3)
    model = folder / "model.safetensors"
    measured = json.loads(run(capsys, "evaluate", model, "--json")[0])
    assert measured["accuracy"] == measured["sparse_categorical_accuracy"]
    matrix = np.array(measured["confusion_matrix"])
    assert matrix.sum() == measured["samples"] == 12  # a tenth, which the run has kept for testing
    printed, _ = run(capsys, "evaluate", model)
    assert f"confusion_matrix \n{matrix}" in printed
    assert f"sparse_categorical_accuracy {measured['accuracy']:.5f}\n" in printed
    assert f"data          {folder / 'x.npy'}, test split\nsamples       12\n" in printed


def test_folders_of_results_are_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = folder / "m.safetensors"
    Sequential([Dense(3, input_shape=(5,)), Activation("softmax")], seed=0).save(model)
    run(capsys, "predict", model, folder / "x.npy", "--out", folder / "new" / "p.npy")
    assert np.load(folder / "new" / "p.npy").shape == (120, 3)
    run(capsys, "summary", model, "--svg", folder / "newer" / "m.svg")
    assert (folder / "newer" / "m.svg").exists()
