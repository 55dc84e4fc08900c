"""Results look the same when they are printed and at a prompt, and no type of NumPy's stands among the numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.layers import Dense
from miniDLF.metrics import AUC, ConfusionMatrix, F1Score
from miniDLF.models import Sequential

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)), np.arange(40) % 2


@pytest.fixture(scope="module")
def model() -> Sequential:
    made = Sequential([Dense(2, activation="softmax", input_shape=(4,))], seed=0)
    made.compile("cce", "adam", metrics=["accuracy", F1Score("macro"), AUC(), ConfusionMatrix()])
    made.fit(X, Y, verbose=0)
    return made


def test_results_print_as_they_show_themselves(model: Sequential, tmp_path: Path) -> None:
    model.save_weights(tmp_path / "w.safetensors")
    report = model.check_gradients(X, Y)
    results: list[Any] = [
        model,
        model.history,
        report,
        report.checks[0],
        model.profile(X, Y, repeats=1, print_fn=lambda line: None),
        model.load_weights(tmp_path / "w.safetensors"),
        model.evaluate(X, Y, return_dict=True),
        model.evaluate(X, Y, return_dict=True)["confusion_matrix"],
        model.evaluate(X, Y),
        model.layers[0],
        model.optimizer,
    ]
    for result in results:
        assert str(result) == repr(result)
        assert "object at 0x" not in repr(result)
        assert "np." not in repr(result)
    assert "GEMM" in repr(results[4])
    assert repr(report).count("\n") == len(report.checks) - 1


def test_logs_are_plain_numbers(model: Sequential) -> None:
    for logs in (
        model.evaluate(X, Y, return_dict=True),
        model.train_on_batch(X, Y, return_dict=True),
        model.test_on_batch(X, Y, return_dict=True),
    ):
        assert {type(value) for name, value in logs.items() if name != "confusion_matrix"} == {float}


def test_a_confusion_matrix_shows_its_classes() -> None:
    metric = ConfusionMatrix()
    rows = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    metric.update(np.array([0, 1, 1, 2, 2, 0]), rows)
    table = metric.result()
    assert str(table).splitlines() == [
        "true \\ predicted  0  1  2",
        "               0  1  0  1",
        "               1  1  1  0",
        "               2  0  0  2",
    ]
    np.testing.assert_array_equal(table, [[1, 0, 1], [1, 1, 0], [0, 0, 2]])
    assert repr(table[0]) == repr(np.array([1.0, 0.0, 1.0]))
    assert table.sum() == 6
    shares = ConfusionMatrix("true")
    shares.update(np.array([0, 1, 1, 2, 2, 0]), rows)
    assert str(shares.result()).splitlines()[1].split() == ["0", "0.500", "0.000", "0.500"]


def test_a_profile_is_shown_once(
    model: Sequential, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = model.profile(X, Y, repeats=1)
    assert capsys.readouterr().out == f"{report}\n"
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)  # Python's prompt shows the result by itself
    model.profile(X, Y, repeats=1)
    assert capsys.readouterr().out == ""
