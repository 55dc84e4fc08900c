"""Streams that are closed, that nobody reads, or that have no room: one sentence or none, and a status that is true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import miniDLF
from miniDLF.layers import Activation, Dense
from miniDLF.models import Sequential
from tests.cli.test_commands import CONFIG

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")

FULL = "minidlf: the results cannot be written: No space left on device\n"
#: What is typed, the status of the command, and what is said.
CASES = {
    "a short text": ("minidlf summary m.safetensors | head -0", 0, ""),
    "a long one": ("minidlf predict m.safetensors x.npy --json | head -0", 0, ""),
    "help": ("minidlf --help | head -0", 0, ""),
    "no room": ("minidlf summary m.safetensors >/dev/full", 1, FULL),
    "no room for much": (
        "minidlf predict m.safetensors x.npy --json >/dev/full",
        1,
        "minidlf: No space left on device\n",
    ),
    "no room for help": ("minidlf --help >/dev/full", 1, FULL),
    "no output": ("minidlf summary m.safetensors >&-", 0, ""),
    "no output, a mistake": ("minidlf summary x.npy >&-", 2, "minidlf: x.npy is not a safetensors file"),
    "no errors": ("minidlf train run.toml --out out 2>&- >&- && ls out/model.safetensors >&2", 0, "out/model.safetens"),
    "nobody sees progress": ("minidlf train run.toml --out unseen 2>&1 | head -0", 1, ""),
    "as a module": ("minidlf.cli --version >&2", 0, "minidlf 0"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams")
    Sequential([Dense(3, input_shape=(5,)), Activation("softmax")], seed=0).save(path / "m.safetensors")
    np.save(path / "x.npy", np.random.default_rng(0).normal(size=(2000, 5)))
    np.save(path / "y.npy", np.arange(2000) % 3)
    (path / "run.toml").write_text(CONFIG.format(folder=path))
    return path


@pytest.mark.parametrize("case", CASES)
def test_streams(case: str, folder: Path) -> None:
    typed, status, said = CASES[case]
    command = typed.replace("minidlf", f"{sys.executable} -m miniDLF", 1)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "", "PYTHONPATH": str(Path(miniDLF.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(said)
