"""Every Python block of the README and of docs/ runs, page by page, in one namespace each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


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
