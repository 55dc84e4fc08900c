"""How the doctor behaves: when it speaks, when it is silent, and that it leaves everything as it is."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import BackupAndRestore
from miniDLF.core.call import Call
from miniDLF.datasets import Dataset
from miniDLF.doctor import Finding
from miniDLF.errors import ArgumentError, DoctorWarning, NotReadyError
from miniDLF.kernels.workspace import Array
from miniDLF.layers import LSTM, Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Layer
from miniDLF.models import Sequential, load
from miniDLF.optimizers import Adam
from tests.doctor.data import IMAGES, LABELS, SEQUENCES, SIDES, SUMS, X, silent, told
from tests.doctor.test_mistakes import COMPILED, DIAGNOSED, FITTED

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "miniDLF" / "doctor"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
BYTES = (IMAGES * 255).reshape(-1, 64).round()


def perceptron(units: int = 2, width: int = 64) -> Sequential:
    layers = [Dense(8, activation="relu", input_shape=(width,)), Dropout(0.2), Dense(units), Activation("softmax")]
    return Sequential(layers, seed=2)


def convolutions() -> Sequential:
    first = [Conv2D(4, 3, input_shape=(1, 8, 8)), BatchNormalization(), Activation("relu"), Flatten()]
    return Sequential([*first, Dense(2, activation="softmax")], seed=2)


def recurrent() -> Sequential:
    return Sequential([LSTM(5, return_sequences=False, input_shape=(6, 3)), Dense(2, activation="softmax")], seed=2)


def test_every_finding_has_a_mistake_and_a_row_in_the_docs() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in PACKAGE.glob("*.py"))
    names = set(re.findall(r'Finding\(\s*"(\w+)"', code))
    assert len(names) >= 25
    shown = {case[-1] for table in (COMPILED, FITTED, DIAGNOSED) for case in table.values()}
    assert names - shown == {"loss_does_not_move"}  # see below
    assert names == set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.M))


def test_a_loss_that_stands_still_is_told_where_nothing_else_is() -> None:
    class Stubborn(Adam):
        """Turns all weights round; two layers later nothing is to be seen of it."""

        def update(self, value: Array, grad: Array, *rest: Any) -> None:
            value *= -1

    model = Sequential(
        [Dense(3, use_bias=False, input_shape=(8,)), Activation("tanh"), Dense(2, use_bias=False)], seed=2
    )
    model.compile("mse", Stubborn())
    y = np.random.default_rng(3).normal(size=(60, 2))
    assert told(lambda: model.fit(X[:60], y, batch_size=20, epochs=5, verbose=0)) == ["loss_does_not_move"]


@pytest.mark.parametrize("where", ["compile", "fit"])
def test_it_can_be_turned_off(where: str) -> None:
    model = perceptron()
    model.compile("cce", "adam", doctor=where != "compile")
    assert told(lambda: model.fit(BYTES, SIDES, verbose=0, doctor=where != "fit")) == []


def test_compile_says_nothing_without_it() -> None:
    assert told(lambda: perceptron(1).compile("cce", doctor=False)) == []


def test_the_filter_of_warnings_turns_it_off_or_into_an_error() -> None:
    model = perceptron()
    model.compile("cce", "adam")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoctorWarning)
        model.fit(BYTES, SIDES, verbose=0)
    model.compile("cce", "adam")
    with pytest.raises(DoctorWarning, match=r"^fit: the input x holds whole numbers from 0 to 255, .*: divide by 255"):
        model.fit(BYTES, SIDES, verbose=0)


def test_a_warning_points_to_the_line_that_called() -> None:
    model = perceptron()
    model.compile("cce", "adam")
    with pytest.warns(DoctorWarning) as caught:
        model.fit(BYTES, SIDES, verbose=0)
    (warning,) = caught
    assert warning.filename == __file__


def test_it_speaks_once_until_the_model_is_compiled_again() -> None:
    model = perceptron()
    for _ in range(2):
        model.compile("cce", "adam")
        assert [told(lambda: model.fit(BYTES, SIDES, verbose=0)) for _ in range(3)] == [["inputs_not_scaled"], [], []]
    assert told(lambda: copy.deepcopy(model).fit(BYTES, SIDES, verbose=0)) == []
    assert told(lambda: pickle.loads(pickle.dumps(model)).fit(BYTES, SIDES, verbose=0)) == []  # noqa: S301


def test_a_model_without_an_input_shape_is_looked_at_in_fit() -> None:
    model = Sequential([Dense(3), Activation("sigmoid")], seed=2)
    assert told(lambda: model.compile("cce", "adam")) == []
    assert told(lambda: model.fit(X, LABELS, verbose=0)) == ["cce_without_softmax"]


def test_loading_is_silent_and_training_what_was_loaded_is_not(tmp_path: Path) -> None:
    model = Sequential([Dense(3, input_shape=(8,)), Activation("sigmoid")], seed=2)
    model.compile("cce", "adam", doctor=False)
    model.save(tmp_path / "model.safetensors")
    found: list[Any] = []
    assert told(lambda: found.append(load(tmp_path / "model.safetensors"))) == []
    assert told(lambda: found[0].fit(X, LABELS, verbose=0)) == ["cce_without_softmax"]


@pytest.mark.parametrize(
    ("make", "x", "y"), [(perceptron, X, SIDES), (convolutions, IMAGES, SIDES), (recurrent, SEQUENCES, SUMS)]
)
@pytest.mark.parametrize("shards", [None, 2])
def test_a_run_gives_the_same_bits_with_and_without_it(make: Any, x: Array, y: Array, shards: int | None) -> None:
    def run(doctor: bool) -> Sequential:
        model: Sequential = make() if make is not perceptron else perceptron(width=8)
        model.shards = shards
        model.compile("cce", "adam", metrics=["accuracy"])
        for _ in range(2):
            model.fit(x, y, epochs=3, batch_size=48, validation_split=0.2, verbose=0, doctor=doctor)
        return model

    with_it, without = run(True), run(False)
    assert with_it.history.history == without.history.history
    for ours, theirs in zip(with_it.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_generator_gives_no_batch_more_and_its_first_one_is_looked_at() -> None:
    taken: list[int] = []

    def batches() -> Iterator[Any]:
        for start in range(0, 10_000, 20):
            taken.append(start)
            rows = np.arange(start, start + 20) % len(BYTES)
            yield BYTES[rows], SIDES[rows]

    model = perceptron()
    model.compile("cce", "adam")
    run = lambda: model.fit(batches(), steps_per_epoch=4, epochs=2, verbose=0)  # noqa: E731
    assert told(run) == ["inputs_not_scaled"]
    assert len(taken) == 8


class Exactly(Layer):
    """A layer that takes 60 rows at a time and no others."""

    def forward(self, x: Array, call: Call) -> Array:
        if len(x) != 60:
            raise ValueError("60 rows, please")
        return x

    def backward(self, dy: Array, call: Call) -> Array:
        return dy


def test_a_layer_that_cannot_be_looked_at_trains_as_before() -> None:
    model = Sequential([Exactly(input_shape=(8,)), Dense(3), Activation("softmax")], seed=2, shards=1)
    model.compile("cce", "adam")
    assert told(lambda: model.fit(X, LABELS, batch_size=60, epochs=6, verbose=0)) == []
    assert "no pass (ValueError: 60 rows, please)" in str(model.diagnose(X, LABELS, print_fn=silent))


def test_what_a_run_was_given_is_not_kept() -> None:
    model = perceptron()
    model.compile("cce", "adam", doctor=True)
    told(lambda: model.fit(BYTES, SIDES, verbose=0))
    assert not any(isinstance(value, np.ndarray) and value.size > 2000 for value in vars(model._doctor).values())


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    def run(epochs: int, folder: str) -> Sequential:
        model = perceptron(width=8)
        model.compile("cce", "adam")
        model.fit(
            X, SIDES, epochs=epochs, verbose=0, callbacks=[BackupAndRestore(tmp_path / folder, delete_checkpoint=False)]
        )
        return model

    run(3, "a")
    resumed, whole = run(6, "a"), run(6, "b")
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# diagnose -------------------------------------------------------------------------------------------------------------


def test_diagnose_prints_its_findings_with_numbers_reason_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    model = perceptron()
    model.compile("cce", "adam")
    before = model.get_weights()
    diagnosis = model.diagnose(BYTES, SIDES)
    assert capsys.readouterr().out == f"{diagnosis}\n"
    assert repr(diagnosis) == str(diagnosis)
    assert bool(diagnosis)
    first = diagnosis.findings[0]
    assert isinstance(first, Finding)
    assert first.name == "inputs_not_scaled"
    lines = str(diagnosis).splitlines()
    assert re.fullmatch(r"\d findings?: 240 samples, a pass with 240 of them, 40 steps of a copy on 64\.", lines[0])
    assert lines[2] == "1. inputs_not_scaled (likely)"
    assert lines[3].startswith("   seen   The input x holds whole numbers from 0 to 255")
    assert any(line.startswith("   why    Weights are drawn for inputs of about 1") for line in lines)
    assert any(line.startswith("   fix    Divide by 255: x = x / 255.0") for line in lines)
    assert max(map(len, lines)) <= 88
    consequences = [finding for finding in diagnosis.findings if finding.follows]
    assert all("inputs_not_scaled" in finding.follows for finding in consequences)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.engine().steps == 0


def test_diagnose_ranks_what_is_sure_before_what_may_be() -> None:
    model = Sequential([Dense(3, input_shape=(8,)), Dense(3), Activation("sigmoid")], seed=2)
    model.compile("cce", "adam", doctor=False)
    found = model.diagnose(np.concatenate([X[:, :7], np.full((len(X), 1), 9.0)], axis=1), LABELS, print_fn=silent)
    assert found.names == ["cce_without_softmax", "nothing_between", "columns_constant"]
    assert [finding.severity for finding in found.findings] == [1, 3, 3]


def test_diagnose_of_a_healthy_model_says_what_it_looked_at() -> None:
    model = perceptron(3, width=8)
    model.compile("cce", "adam")
    dataset = Dataset(X[:180], LABELS[:180], test=(X[180:], LABELS[180:]))
    diagnosis = model.diagnose(dataset, print_fn=silent)
    assert not diagnosis
    assert str(diagnosis) == "No finding: 180 samples, a pass with 180 of them, 40 steps of a copy on 64."


def test_diagnose_refuses_what_it_cannot_look_at() -> None:
    model = perceptron(width=8)
    with pytest.raises(NotReadyError, match="compile"):
        model.diagnose(X, SIDES)
    model.compile("cce", "adam")
    with pytest.raises(ArgumentError, match=r"diagnose\(x, y\), or one batch of your iterable"):
        model.diagnose(iter([(X, SIDES)]))
    with pytest.raises(ArgumentError, match="validation_data is"):
        model.diagnose(X, SIDES, validation_data=[X, SIDES])
