"""The comparison of initial weights: its rules, its arithmetic, its tables, and one run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks import initial_weights, tasks
from benchmarks.initial_weights import CANDIDATES, clear, drawn, gains, score, share, tables, twins
from benchmarks.tasks import TASKS, Task

from miniDLF.layers import Activation, Add, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Pooling2D
from miniDLF.models import Input, Model, Sequential

HE, GLOROT, LECUN = "he_normal", "glorot_uniform", "lecun_normal"


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "ROWS", (20, 10))


def test_rectifiers_are_found_behind_layers_that_drop_pool_or_reshape() -> None:
    model = Sequential(
        [
            Conv2D(2, 3, input_shape=(1, 8, 8)),
            Pooling2D(),
            Flatten(),
            Dropout(0.1),
            Activation("leaky_relu"),
            Dense(4, activation="tanh"),
            Dense(4, activation="gelu"),
            Dense(4),
            BatchNormalization(),
            Activation("relu"),
            Dense(3, activation="softmax"),
        ]
    )
    assert list(drawn(model, "he, else lecun").values()) == [HE, LECUN, HE, LECUN, LECUN, "0.9"]
    inputs = Input((4,))
    joined = Add()([Dense(3, activation="relu")(inputs), Dense(3)(inputs)])
    graph = Model(inputs, Activation("relu")(joined))
    assert list(drawn(graph, "he, else glorot").values()) == [HE, GLOROT]


@pytest.mark.usefixtures("few_rows")
def test_recurrent_weights_are_never_in_front_of_a_rectifier() -> None:
    for name, expected in (("he, else glorot", GLOROT), ("glorot, recurrent he", HE), ("lecun_normal", LECUN)):
        model = TASKS["recall"].model(0, TASKS["recall"].data(0, Path()))
        assert drawn(model, name)["lstm_1/input_weight"] == expected
        assert "lstm_1/recurrent_weight" not in drawn(model, name)


@pytest.mark.usefixtures("few_rows")
def test_candidates_that_do_the_same_are_trained_once() -> None:
    same = twins("shallow", Path())
    assert same["glorot, recurrent he"] == same["he, else glorot"] == GLOROT
    assert same["he_normal, 0.99"] == HE
    assert twins("normalised", Path())["he_normal, 0.99"] == "he_normal, 0.99"
    figures = {HE: {"0": 0.5}, GLOROT: {"0": 0.6}, "he, else glorot": {"1": 0.7}}
    share(figures, {HE: HE, GLOROT: GLOROT, "he, else glorot": GLOROT, LECUN: LECUN})
    assert figures[GLOROT] == figures["he, else glorot"] == {"0": 0.6, "1": 0.7}
    assert LECUN not in figures


def test_gains_are_paired_and_count_downwards_for_errors() -> None:
    figures = {HE: {"0": 0.5, "1": 0.7, "2": 0.9}, GLOROT: {"1": 0.8, "0": 0.7, "3": 1.0}}
    assert gains("tanh", figures, GLOROT, HE) == pytest.approx([0.1, 0.2])
    assert gains("adding", figures, GLOROT, HE) == pytest.approx([-0.1, -0.2])
    assert score([1.0, 3.0]) == pytest.approx(2.0)
    assert score([1.0, 1.0]) == 0.0  # the same networks


def test_what_is_clear_takes_the_number_of_seeds_into_account() -> None:
    values = [1.0, 1.2, 0.8]  # 8.7 standard errors, but of two degrees of freedom
    assert clear(values) == 0
    assert clear([*values, *values]) == 1
    assert clear([-value for value in [*values, *values]]) == -1
    assert clear([1.0]) == clear([]) == 0
    rng = np.random.default_rng(0)
    by_chance = [abs(clear(list(rng.normal(size=12)))) for _ in range(600)]
    assert 1 <= sum(by_chance) <= 15  # 6 are expected


def test_the_tables_mark_what_is_clear() -> None:
    seeds = [str(seed) for seed in range(6)]
    base = dict(zip(seeds, (0.50, 0.61, 0.72, 0.53, 0.64, 0.55), strict=True))
    better = {seed: value + 0.1 + 0.01 * (int(seed) % 2) for seed, value in base.items()}
    text = tables(
        {"normalised": {HE: base, GLOROT: better, "he_normal, 0.99": base}, "adding": {HE: base, LECUN: better}}
    )
    assert "| 58.0 ± 3.3 | **69.0 ± 3.2** |" in text
    assert "| *0.6900 ± 0.0324* |" in text
    assert "| glorot_uniform | 1 of 1 | 0 of 1 |" in text
    assert "| lecun_normal | 0 of 1 | 1 of 1 |" in text


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if not task.long])
def test_every_small_task_makes_a_model_that_fits_its_data(name: str) -> None:
    task: Task = TASKS[name]
    x, y, x_test, y_test = data = task.data(1, Path())
    model = task.model(1, data)
    model.compile(task.loss, task.optimizer)
    assert math.isfinite(model.evaluate(x[:4], y[:4]))
    assert len(x) == len(y)
    assert len(x_test) == len(y_test)
    assert not np.array_equal(task.data(2, Path())[0], x)


@pytest.mark.usefixtures("few_rows")
def test_a_run_keeps_what_is_done_and_a_second_one_adds_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path), "--only", "softmax,adding", "--epochs", "0.02"]
    assert initial_weights.main([*options, "--seeds", "1"]) == 0
    assert "9 trainings" in capsys.readouterr().out  # 4 and 5 ways to draw that differ
    assert initial_weights.main([*options, "--seeds", "2"]) == 0
    assert "9 trainings" in capsys.readouterr().out
    assert initial_weights.main([*options, "--seeds", "2", "--candidates", "he_normal;lecun_normal"]) == 0
    assert "0 trainings" in capsys.readouterr().out
    results = json.loads((tmp_path / "initial_weights.json").read_text(encoding="utf-8"))["results"]
    assert set(results) == {"softmax", "adding"}
    assert set(results["softmax"]) == set(CANDIDATES)
    assert len({figures["0"] for figures in results["adding"].values()}) > 1  # the candidates do something


def test_the_page_shows_the_tables_of_the_last_run() -> None:
    results = json.loads((initial_weights.DOCS / "initial_weights.json").read_text(encoding="utf-8"))["results"]
    page = (initial_weights.DOCS / "initial_weights.md").read_text(encoding="utf-8")
    assert tables({name: results[name] for name in TASKS if name in results}) in page
