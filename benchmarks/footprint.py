"""What miniDLF costs before it does anything: megabytes on the disk without extras, milliseconds of ``import``.

python benchmarks/footprint.py [--runs 15]

The package and its dependencies are installed by pip into an empty folder, and imported from there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
MAXIMUM_MEGABYTES, MAXIMUM_MILLISECONDS = 120, 60

#: Timed inside the new process, so that starting Python and closing it do not count.
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def install(folder: Path) -> Path:
    """Install the checkout without extras, as from a fresh clone: a build of our own would leave files in it."""
    source = folder / "source"
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            source.mkdir(exist_ok=True)
            shutil.copy(path, source / name)
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return target


def megabytes(folder: Path) -> dict[str, float]:
    """Return the size in MB (10^6 bytes) of what lies in `folder`, by top-level name."""
    sizes: dict[str, float] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(folder).parts[0].split("-")[0].split(".")[0]
            sizes[name] = sizes.get(name, 0.0) + path.stat().st_size / 1e6
    return sizes


def import_milliseconds(statement: str, folder: Path) -> float:
    """Run `statement` in a new interpreter that sees only `folder` besides the standard library."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", TIMED.format(statement)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return 1e3 * float(done.stdout)


def main() -> int:
    """Print both figures; return 1 if one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="rounds of imports")
    runs = max(parser.parse_args().runs, 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = install(Path(temporary))
        sizes = megabytes(folder)
        pairs = []
        for run in range(runs + 1):
            pair = [import_milliseconds(f"import {name}", folder) for name in ("numpy", "miniDLF", "miniDLF.models")]
            if run:  # the first pair reads the files from the disk
                pairs.append(pair)
    size = sum(sizes.values())
    largest = ", ".join(f"{name} {part:.1f}" for name, part in sorted(sizes.items(), key=lambda item: -item[1])[:5])
    added = median(ours - numpy for numpy, ours, _ in pairs)
    working = median(models - numpy for numpy, _, models in pairs)  # `import miniDLF` leaves most for the first use
    numpy, ours, _ = (median(column) for column in zip(*pairs, strict=True))
    print(f"installed size: {size:.1f} MB of {MAXIMUM_MEGABYTES} ({largest})")
    print(
        f"import miniDLF: {added:.1f} ms of {MAXIMUM_MILLISECONDS} above import numpy "
        f"({ours:.1f} against {numpy:.1f}; medians of {runs} pairs); import miniDLF.models: {working:.1f} ms above"
    )
    return int(size > MAXIMUM_MEGABYTES or added > MAXIMUM_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main())
