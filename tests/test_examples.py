"""The programs in `examples/` do what they say, at a small size."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "examples"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))
#: The longest program.
LINES = 120


def program(name: str) -> Callable[..., Any]:
    return runpy.run_path(str(FOLDER / f"{name}.py"))["main"]


def test_two_networks_make_points_like_those_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    _, before = program("gan")(epochs=1, count=200, verbose=False)
    data, made = program("gan")(epochs=30, count=1000)
    assert np.abs(made - data).max() < 0.35 < np.abs(before - data).max()
    assert "made: mean" in capsys.readouterr().out


def test_images_from_random_codes_have_the_ink_of_digits(tmp_path: Path) -> None:
    losses, made = program("vae")(epochs=25, count=1000, units=64, verbose=False, path=tmp_path / "digits.png")
    assert losses[-1] < 0.5 * losses[0]
    assert 0.05 < made.mean() < 0.25
    assert np.all(made.std(axis=0).reshape(28, 28)[10:18, 10:18] > 0.05)  # they differ
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.size == (8 * 28, 4 * 28)


def test_the_pole_stands_longer_with_every_update() -> None:
    main = program("reinforce")
    assert main(updates=25, games=16, longest=200, verbose=False) > 3 * main(updates=0, longest=60, verbose=False)


def test_the_equation_is_solved(capsys: pytest.CaptureFixture[str]) -> None:
    assert program("physics_informed")(steps=2500, points=48, units=24) < 0.1
    assert "step  2500" in capsys.readouterr().out


def test_the_pixels_of_the_digit_matter_most(tmp_path: Path) -> None:
    accuracy, share, area = program("saliency")(count=400, epochs=6, copies=2, verbose=False, path=tmp_path / "map.png")
    assert accuracy > 0.2
    assert share > 2 * area
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (8 * 48, 2 * 48)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_short_compiled_and_reproducible(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < LINES
    assert "FIGURE" not in text
    assert "run_eagerly" not in text
    assert "@function" in text or ".fit(" in text
    (main,) = [one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == "main"]
    assert {"seed", "verbose"} <= {argument.arg for argument in main.args.args}


def test_the_same_seed_gives_the_same_numbers() -> None:
    for name, size in (
        ("physics_informed", {"steps": 20}),
        ("gan", {"epochs": 2, "count": 200}),
        ("reinforce", {"updates": 2, "longest": 40}),
    ):
        first, second = (program(name)(**size, seed=3, verbose=False) for _ in range(2))
        np.testing.assert_array_equal(first, second)
