"""How large the parts of the package are, beside what its design allows them; ``pytest -s`` shows the table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import miniDLF

ROOT = Path(miniDLF.__file__).parent

#: Lines that the design gives a folder.
BUDGETS = {"engine": 2_800, "kernels": 3_500, "ops": 1_800, "tensor": 900}
#: Lines beyond which this fails: a little over what there is. These numbers only ever shrink.
BOUNDS = {
    "cli": 1_700,
    "core": 7_500,
    "datasets": 3_200,
    "doctor": 2_600,
    "engine": 3_600,
    "kernels": 4_800,
    "layers": 2_900,
    "losses": 1_800,
    "metrics": 1_500,
    "models": 5_300,
    "ops": 5_800,
    "optimizers": 1_900,
    "storage": 1_000,
    "tensor": 1_700,
    "training": 4_000,
}
#: Lines that a file should have at the most, and beyond which this fails.
FILE, LONGEST_FILE = 300, 480


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def sizes() -> dict[Path, int]:
    return {file.relative_to(ROOT): lines(file) for file in ROOT.rglob("*.py")}


@pytest.fixture(scope="module")
def folders(sizes: dict[Path, int]) -> Counter[str]:
    total: Counter[str] = Counter()
    for file, count in sizes.items():
        total[file.parts[0]] += count if len(file.parts) > 1 else 0
    return total


def test_no_folder_grows_far_beyond_what_it_is(sizes: dict[Path, int], folders: Counter[str]) -> None:
    print()
    for folder, bound in BOUNDS.items():
        budget = BUDGETS.get(folder)
        allowed = f"{budget:>6,} by design" if budget else " " * 16
        print(f"{folder:<12}{folders[folder]:>7,} lines  {allowed}  fails beyond {bound:,}")
    for file, count in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if count > FILE:
            print(f"  {count}  {file.as_posix()}")
    assert {folder for folder in BOUNDS if folders[folder] > BOUNDS[folder]} == set()


def test_every_large_folder_has_a_bound(folders: Counter[str]) -> None:
    assert {folder for folder, count in folders.items() if count > 400} <= set(BOUNDS)


def test_no_file_is_too_long_to_read(sizes: dict[Path, int]) -> None:
    assert {file.as_posix(): count for file, count in sizes.items() if count > LONGEST_FILE} == {}
