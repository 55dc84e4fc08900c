"""Every Python block of the README and of docs/ runs, page by page, in one namespace each; and so do the commands."""

from __future__ import annotations

import gzip
import importlib
import pickle
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from miniDLF import errors
from miniDLF.cli import main
from miniDLF.models import Sequential
from tests.cli.test_commands import FewDigits

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Columns that a block of code has beside the table of contents.
WIDEST = 88


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
    commands, (mistake, *answer) = (block.splitlines() for block in blocks(page, "console"))  # the answer is wrapped
    rng = np.random.default_rng(0)
    images = [(rng.random((count, 784), np.float32), rng.integers(0, 10, count)) for count in (60, 10, 20)]
    Path("mnist.pkl.gz").write_bytes(gzip.compress(pickle.dumps(tuple(images), protocol=2)))
    for name in ("x", "samples"):
        np.save(name, rng.normal(size=(40, 5)))
    np.save("y", np.arange(40) % 3)
    np.savetxt("samples.csv", rng.normal(size=(40, 5)), delimiter=",", header="a,b,c,d,e", comments="")
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save("photo.jpg")
    Path("run.toml").write_text(configuration, encoding="utf-8")
    for command in commands:
        _, name, *words = shlex.split(command, comments=True)
        assert name == "minidlf"
        short = ["--epochs", "1"] if words[0] in ("demo", "train") else []
        assert main([*words, *short]) == 2 * (words[0] == "resume"), command  # that run has ended already
    assert "nothing to resume" in capsys.readouterr().err
    Path("run.toml").write_text(configuration.replace("lr = 0.01", 'lr = "fast"'), encoding="utf-8")
    assert main(shlex.split(mistake)[2:]) == 2
    assert capsys.readouterr().err == " ".join(map(str.strip, answer)) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_fits_beside_the_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S):
        long = [line for line in code.splitlines() if len(line) > WIDEST]
        assert not long, f"{page.name}, a block of {language}: wrap at {WIDEST} columns: {long[0]}"


def test_the_readme_is_the_first_page_and_names_two_commands() -> None:
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert first.startswith("```{include} ../README.md\n")
    listed = re.search(r"```{toctree}\n.*?\n\n(.*?)```", first, re.S)
    assert listed is not None
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert set(listed[1].split()) == pages, "docs/index.md lists every page, and no other"
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Two commands\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\$ (.*)$", section, re.M) == ["make demo", "make test"]
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}:", rules, re.M) for name in ("demo", "test"))


def test_the_api_page_leaves_out_what_is_there() -> None:
    settings = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    modules = re.findall(r"automodule:: (\S+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    public = [importlib.import_module(module) for module in modules]
    things = [getattr(module, name) for module in public for name in getattr(module, "__all__", ())]
    known = {name for thing in things if isinstance(thing, type) for name in dir(thing)}
    if sys.version_info < (3, 11):
        known.add("add_note")
    assert settings["MACHINERY"] <= known, "names that nothing has any more"

    def left_out(name: str, thing: Any) -> bool:
        return bool(settings["skip_machinery"](None, "module", name, thing, False, None))

    assert left_out("engine", Sequential.engine)
    assert left_out("answering", errors.answering)
    assert not left_out("ShapeError", errors.ShapeError)
    assert not left_out("fit", Sequential.fit)


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
