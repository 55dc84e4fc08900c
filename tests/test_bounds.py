"""The lowest versions that the tests run with are those that pyproject.toml allows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = {"import-linter", "mypy", "ruff"}  # they check the code, not at run time
PINNED_BESIDES = {"pyparsing"}  # not ours: what a library of ours needs at its lowest version


def release(version: str) -> tuple[int, ...]:
    """Return a version as numbers, without the zeros at its end: 13.0 is 13."""
    return tuple(map(int, re.sub(r"(\.0)+$", "", version).split(".")))


def test_each_lower_bound_is_what_make_lowest_installs() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = re.sub(r"^(docs|parity) = .*$", "", project[project.index("\ndependencies") :], flags=re.M)
    bounds = {name: release(version) for name, version in re.findall(r'"([\w-]+)>=([\d.]+)', project)}
    pins = {
        name: release(version)
        for name, version in re.findall(
            r"^([\w-]+)==([\d.]+)", (ROOT / "tests" / "lowest-versions.txt").read_text(encoding="utf-8"), re.M
        )
    }
    assert len(bounds) > 10
    assert {name: pin for name, pin in pins.items() if name not in PINNED_BESIDES} == {
        name: bound for name, bound in bounds.items() if name not in NOT_RUN
    }
