"""Every Python block of the README and of docs/ runs, page by page, in one namespace each; and so do the commands."""

from __future__ import annotations

import gzip
import pickle
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from miniDLF.cli import main
from tests.cli.test_commands import FewDigits

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


def test_the_commands_of_their_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("miniDLF.cli.reading.Digits", FewDigits)
    monkeypatch.setattr("miniDLF.cli.commands.pictures", lambda *run: {})  # seconds, and drawn in tests/cli
    page = ROOT / "docs" / "command_line.md"
    (configuration,) = blocks(page, "toml")
    commands, (mistake, *answer) = (block.splitlines() for block in blocks(page, "console"))
    rng = np.random.default_rng(0)
    images = [(rng.random((count, 784), np.float32), rng.integers(0, 10, count)) for count in (60, 10, 20)]
    Path("mnist.pkl.gz").write_bytes(gzip.compress(pickle.dumps(tuple(images), protocol=2)))
    for name in ("x", "samples"):
        np.save(name, rng.normal(size=(40, 5)))
    np.save("y", np.arange(40) % 3)
    Path("run.toml").write_text(configuration, encoding="utf-8")
    for command in commands:
        _, name, *words = shlex.split(command, comments=True)
        assert name == "minidlf"
        short = ["--epochs", "1"] if words[0] in ("demo", "train") else []
        assert main([*words, *short]) == (words[0] == "resume"), command  # that run has ended already
    assert "nothing to resume" in capsys.readouterr().err
    Path("run.toml").write_text(configuration.replace("lr = 0.01", 'lr = "fast"'), encoding="utf-8")
    assert main(shlex.split(mistake)[2:]) == 1
    assert capsys.readouterr().err.splitlines() == answer


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_an_afternoon_is_as_long_as_it_says() -> None:
    page = ROOT / "docs" / "reading.md"
    text = page.read_text(encoding="utf-8")
    claimed = re.search(r"about (\d) 000 lines", text)
    way = text.partition("## The way of a step")[2].partition("\n## ")[0]
    files = [page.parent / target for target in re.findall(r"\]\(([^)]+\.py)\)", way)]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert claimed is not None
    assert round(lines, -3) == 1000 * int(claimed[1])
    for name in re.findall(r"`((?:tests/)?\w+/[\w/]*(?:\.py)?)`", text):
        assert (ROOT / name).exists() or (ROOT / "src" / "miniDLF" / name).exists(), name
