"""What importing miniDLF leaves out."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: What importing data sets leaves out: downloads, formats of files, processes.
OF_DATA = ("gzip", "http.client", "logging", "multiprocessing", "socket", "ssl", "tempfile", "urllib.request")
#: What importing models leaves out besides: what only some programs do.
OF_MODELS = (
    *("_hashlib", "difflib", "html", "json", "matplotlib", "pathlib", "shutil", "textwrap"),
    *("miniDLF.datasets.glyphs", "miniDLF.datasets.mnist", "miniDLF.datasets.text", "miniDLF.doctor"),
    *("miniDLF.models.checking", "miniDLF.models.diagnosing", "miniDLF.models.drawing", "miniDLF.models.profiling"),
    *("miniDLF.models.structure", "miniDLF.storage", "miniDLF.utils"),
)


def loaded_by(program: str) -> set[str]:
    program += "\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def of_everything() -> set[str]:
    return loaded_by("import miniDLF.datasets, miniDLF.layers, miniDLF.models, miniDLF.optimizers")


def test_importing_the_package_loads_nothing_for_networks_or_processes(of_everything: set[str]) -> None:
    assert not of_everything.intersection(OF_DATA)


def test_importing_models_loads_nothing_that_only_some_programs_use(of_everything: set[str]) -> None:
    """With dataclasses' texts compiled, the doctor, files and pictures the import took twice as long."""
    with_numpy = loaded_by("import numpy")
    assert of_everything.intersection(OF_MODELS) <= with_numpy


def test_what_is_loaded_when_it_is_used_is_found_and_listed() -> None:
    import miniDLF.datasets
    import miniDLF.models

    for module in (miniDLF.datasets, miniDLF.models):
        assert set(module.__all__) <= set(dir(module))
        for name in module.__all__:
            assert getattr(module, name).__module__.startswith(module.__name__)
            assert name in vars(module)  # asked for once
