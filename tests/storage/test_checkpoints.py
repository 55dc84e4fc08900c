"""A folder of checkpoints: numbers, what killed runs leave in it, and one run at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from miniDLF.errors import FileFormatError, NotReadyError
from miniDLF.storage import Checkpoints, locks, write_tensors
from miniDLF.storage.atomic import atomic_file
from miniDLF.storage.locks import Lock

SOME = {"x": np.zeros(3)}
needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")


def killed(program: str, *arguments: object) -> None:
    """Run a program that kills itself, or that says it is ready and is then killed."""
    words = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()


def test_numbers_go_on_beyond_eight_digits(tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path, keep=3)
    write_tensors(tmp_path / "checkpoint-99999998.safetensors", SOME, {"kind": "checkpoint"})
    for number in (99_999_999, 100_000_000, 100_000_001):
        assert folder.save(SOME, {"n": number}).name == f"checkpoint-{number}.safetensors"
    found, _ = folder.latest()
    assert found is not None
    assert found[2]["n"] == 100_000_001
    assert [path.name[11:-12] for path in folder.paths()] == ["99999999", "100000000", "100000001"]
    folder.clear()
    assert not list(tmp_path.iterdir())


@needs_locks
@pytest.mark.parametrize("number", [1, 99_999_999, 100_000_000])
@pytest.mark.parametrize("ending", ["save", "clear"])
def test_what_a_killed_run_was_writing_is_removed(number: int, ending: str, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, numpy as np; from miniDLF.storage import write_tensors\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_tensors(sys.argv[1], {'x': np.zeros(3)})\n"
    )
    path = tmp_path / f"checkpoint-{number:08d}.safetensors"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    folder = Checkpoints(tmp_path)
    with atomic_file(tmp_path / "checkpoint-best.safetensors") as file:  # the user's, still at work
        file.write(b"")
        folder.clear() if ending == "clear" else folder.save(SOME, {})
        assert len([path for path in tmp_path.iterdir() if path.suffix == ".tmp"]) == 1


def test_one_run_at_a_time(tmp_path: Path) -> None:
    first, second = Checkpoints(tmp_path / "new"), Checkpoints(tmp_path / "new")
    first.acquire(0)
    first.acquire(0)  # it has it
    with pytest.raises(NotReadyError, match=rf"another run \(process {os.getpid()}\) writes checkpoints to .*new"):
        second.acquire(0)
    first.release()
    assert not list((tmp_path / "new").iterdir())
    second.acquire(0)
    second.release()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileFormatError, match="the folder cannot be made"):
        Checkpoints(tmp_path / "file" / "x").acquire(0)


def test_a_run_that_ends_meanwhile_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire(0)
    monkeypatch.setattr(time, "sleep", lambda seconds: first.release())
    assert second.acquire(9.0)
    second.release()
    assert not (tmp_path / "lock").exists()


@needs_locks
def test_a_killed_run_holds_nothing_and_neither_do_its_children(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from miniDLF.storage import Checkpoints\n"
        "folder = Checkpoints(sys.argv[1]); folder.acquire(0)\n"
        "if os.fork() == 0:\n"
        "    open(sys.argv[1] + '/pid', 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "while not os.path.exists(sys.argv[1] + '/pid') or not open(sys.argv[1] + '/pid').read(): time.sleep(0.01)\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    killed(program, tmp_path)
    assert (tmp_path / ".checkpoints.lock").exists()
    folder = Checkpoints(tmp_path)
    try:
        folder.acquire(0)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    folder.release()
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


@needs_locks
def test_a_running_one_in_another_process_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys; from miniDLF.storage import Checkpoints\n"
        "folder = Checkpoints(sys.argv[1])\n"
        "try: folder.acquire(0)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    folder = Checkpoints(tmp_path)
    folder.acquire(0)
    words = [sys.executable, "-c", program, str(tmp_path)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    folder.release()
    assert said.startswith(f"NotReadyError another run (process {os.getpid()}) writes")
    assert not subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_without_locks_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "hold", lambda handle: True)
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire(0)
    assert second.acquire(0)
    assert second.owner() == str(os.getpid())
    second.release()
    first.release()
    assert second.owner() == "unknown"
