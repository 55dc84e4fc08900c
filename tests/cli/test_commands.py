"""The command line: results on standard output, progress on standard error, every mistake answered."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import miniDLF
from miniDLF.cli import main
from miniDLF.cli.config import Run
from miniDLF.datasets import Digits
from miniDLF.errors import FileFormatError
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
    assert "dense_1  (size=" in run(capsys, "summary", model, "--style", "details")[0]
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


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt training once, at its tenth step."""
    train, seen = Engine.train, [0]

    def step(self: Engine, batch: Any) -> float:
        seen[0] += 1
        if seen[0] == 10:
            signal.raise_signal(signal.SIGINT)
        return train(self, batch)

    monkeypatch.setattr(Engine, "train", step)


def test_a_run_that_is_interrupted_is_resumed(
    folder: Path, capsys: pytest.CaptureFixture[str], interrupted: None
) -> None:
    out, whole = folder / "out", folder / "whole"
    printed, progress = run(capsys, "train", folder / "run.toml", "--out", out, status=130)
    assert printed == ""
    assert f"minidlf resume {out}" in progress
    assert "unfinished run" in run(capsys, "train", folder / "run.toml", "--out", out, status=2)[1]
    run(capsys, "resume", out)
    run(capsys, "train", folder / "run.toml", "--out", whole)
    assert "has ended as planned; there is nothing to resume" in run(capsys, "resume", out, status=2)[1]
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (out / "history.csv").read_text() == (whole / "history.csv").read_text()


def test_a_run_finds_its_data_from_any_folder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, interrupted: None
) -> None:
    (folder / "run.toml").write_text(CONFIG.format(folder="."))
    monkeypatch.chdir(folder)
    run(capsys, "train", "run.toml", "--out", "out", status=130)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    run(capsys, "resume", folder / "out")
    assert f"{folder}/x.npy, test split" in run(capsys, "evaluate", folder / "out" / "model.safetensors")[0]


def test_a_run_survives_what_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, interrupted: None
) -> None:
    out = folder / "out"
    run(capsys, "train", folder / "run.toml", "--out", out, status=130)
    before = (out / "run.json").read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FileFormatError, match=r"run.json: the file cannot be written \(No space left"):
            Run({}, {"network": "mlp"}, {}).write(out / "run.json")
    limited = f"ulimit -f 0; {sys.executable} -m miniDLF resume {out}"
    environment = {**os.environ, "PYTHONPATH": str(Path(miniDLF.__file__).parents[1])}
    done = subprocess.run(["bash", "-c", limited], env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 1
    assert (out / "run.json").read_bytes() == before
    run(capsys, "resume", out)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed."""
    for name in ["matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))]:
        monkeypatch.setitem(sys.modules, name, None)


def test_without_matplotlib_there_are_results_and_no_pictures(
    folder: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    (folder / "text.txt").write_text("the sea is calm tonight, the tide is full. " * 3)
    for what, options, left in [
        (folder / "run.toml", [], set()),
        ("rnn", ["--data", folder / "text.txt", "--epochs", 1], {"predictions"}),
    ]:
        printed, said = run(capsys, "train", what, *options, "--out", folder / "out", "--json", "--force")
        results = json.loads(printed)
        assert results["loss"] > 0
        assert set(results["files"]) == {"model", "history", *left}
        assert all(Path(path).exists() for path in results["files"].values())
        assert re.search(r"There are no pictures: .*'matplotlib'.*pip install 'miniDLF\[plots\]'", said)


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


def test_numbers_that_json_does_not_know_are_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential([Dense(1, input_shape=(5,)), Activation("sigmoid")], seed=0)
    model.compile("binary_crossentropy", metrics=["auc"])
    model.save(folder / "m.safetensors")
    np.save(folder / "ones.npy", np.ones((120, 1)))
    words = ("evaluate", folder / "m.safetensors", "--x", folder / "x.npy", "--y", folder / "ones.npy")
    assert re.search(r"^auc +nan$", run(capsys, *words)[0], re.MULTILINE)
    printed, _ = run(capsys, *words, "--json")
    assert json.loads(printed, parse_constant=lambda name: pytest.fail(name))["auc"] is None


def test_a_byte_order_mark_is_no_part_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run.toml").write_text("\ufeff" + CONFIG.lstrip().format(folder=folder), encoding="utf-8")
    run(capsys, "train", folder / "run.toml", "--out", folder / "out")
    (folder / "x.csv").write_text("\ufeff1,2,3,4,5\n", encoding="utf-8")
    printed, _ = run(capsys, "predict", folder / "out" / "model.safetensors", folder / "x.csv")
    assert len(printed.splitlines()) == 1
