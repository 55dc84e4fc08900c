"""Starts the workers, lets them work in turn, and keeps those that wait from using the processor."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from benchmarks import peers

__all__ = ["FEWEST_EPOCHS", "PATIENCE", "ROOT", "Crew", "Worker", "WorkerError", "beaten", "environment", "rounds"]

ROOT = Path(__file__).resolve().parents[1]

#: Whether a process that has imported a framework may be forked: on macOS the system's libraries do not allow it.
FORKS = sys.platform == "linux"
#: How long a worker may take to import, to compile and to answer, and a whole program to print its line, in seconds.
PATIENCE = 240.0
#: A framework that was slower than the best by this factor in so many turns takes no more of them. Turns of a fraction
#: of a second scatter more than whole programs, but a shared machine may slow down by 1.8 for both.
FAR_BEHIND = 2.0
FEWEST_TURNS, FEWEST_EPOCHS = 3, 1
#: Variables of the caller's that must not reach the workers: they pin OpenBLAS to the kernels or the cache size of
#: another processor. On the machine of the report they halve NumPy's speed and leave the peers', which bring BLAS
#: libraries of their own, as they are.
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(RuntimeError):
    """A worker that failed; the message is its last word."""


def environment(peer: str, threads: int, folder: str) -> dict[str, str]:
    """Return the environment of a worker: the caller's, the same number of threads for all, the peer's own settings.

    What is compiled goes to `folder`, so that no run depends on what another one left or left half-written.
    """
    result = {key: value for key, value in os.environ.items() if key not in DROPPED}
    for library in ("OMP", "OPENBLAS", "MKL", "MINIDLF"):
        result[f"{library}_NUM_THREADS"] = str(threads)
    result |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
    result["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if peer != "gemm":
        result |= peers.load(peer).ENVIRONMENT
    return result


class Worker:
    """One framework: a process that has imported it, and forks a fresh one for every workload.

    So each workload has a process of its own, with its own peak of memory, and the import (seconds, for some) is paid
    once. The process is stopped (SIGSTOP) whenever it is not asked anything: OpenMP's threads spin for a while after
    each parallel region, XLA's and OpenBLAS' for a shorter one, and a stopped process takes nothing from the one whose
    turn it is. Where processes cannot be forked, each workload imports anew.
    """

    def __init__(self, peer: str, threads: int) -> None:
        self.peer, self.threads = peer, threads
        self.child: int | None = None
        self.used = False
        self._start()

    def _start(self) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", self.peer, "--threads", str(self.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=ROOT,
            env=environment(self.peer, self.threads, self.folder.name),
        )
        try:
            self.versions: dict[str, str] = self._answer(PATIENCE)["versions"]
        except WorkerError:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def begin(self) -> None:
        """Take a fresh process, and let the one before go."""
        self.end()
        if FORKS:
            self._send({"do": "fork"})
        else:
            if self.used:
                self.close()
                self._start()
            self._send({"do": "start"})
        self.used = True
        self.child = self._answer(PATIENCE)["pid"]
        self._signal("SIGSTOP")

    def end(self) -> None:
        """Let the process go that `begin` took."""
        if FORKS and self.child is not None:
            self._signal("SIGCONT")
            self._send({"do": "end"})
            self._answer(PATIENCE)
        self.child = None

    def ask(self, do: str, patience: float = PATIENCE, **keywords: Any) -> dict[str, Any]:
        """Wake the process, give it a command, put it to sleep again; return its answer."""
        self._signal("SIGCONT")
        self._send({"do": do, **keywords})
        answer = self._answer(patience)
        self._signal("SIGSTOP")
        return answer

    def _send(self, command: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"{self.peer}: the worker has ended: {self.last_words()}") from None

    def _answer(self, patience: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(patience):
                raise WorkerError(f"{self.peer}: no answer within {patience:.0f} seconds")
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.peer}: the worker has ended: {self.last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.peer}: {answer['error']}")
        return answer

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self.child is not None and self.process.poll() is None:
            os.kill(self.child, getattr(signal, name))

    def last_words(self) -> str:
        """Return the last line of what the worker wrote to its standard error."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no message"

    def close(self) -> None:
        """End the processes (that which `begin` took ends with the one it was forked from)."""
        self.process.kill()
        self.process.wait()
        self.child = None
        for stream in (self.process.stdin, self.process.stdout, self.log):
            if stream is not None:
                stream.close()
        self.folder.cleanup()


class Crew:
    """The workers of a report, one a peer and number of threads, started when they are first needed."""

    def __init__(self) -> None:
        self._workers: dict[tuple[str, int], Worker] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers.values():
            worker.close()

    def get(self, peer: str, threads: int) -> Worker:
        """Return the worker, with a fresh process."""
        key = (peer, threads)
        if key not in self._workers:
            self._workers[key] = Worker(peer, threads)
        self._workers[key].begin()
        return self._workers[key]

    def drop(self, peer: str, threads: int) -> None:
        """End a worker that failed; the next `get` starts another one."""
        worker = self._workers.pop((peer, threads), None)
        if worker is not None:
            worker.close()


def beaten(times: Mapping[str, Sequence[float]], turns: int) -> set[str]:
    """Return those who after at least so many turns cannot be the fastest any more."""
    known = {name: taken for name, taken in times.items() if len(taken) >= turns}
    best = min(map(median, known.values()), default=0.0)
    return {name for name, taken in known.items() if min(taken) > FAR_BEHIND * best}


def rounds(
    workers: Sequence[Worker],
    step_seconds: Sequence[float],
    count: int,
    turn_seconds: float,
    contenders: Collection[str] = (),
) -> tuple[list[list[float]], list[str | None]]:
    """Let the workers take turns, `count` times around (A B C A B C ...); return each one's seconds a step, and errors.

    A turn has as many steps as fit into `turn_seconds`. Every other round goes backwards, so that nobody always runs
    after the same one. A worker of `contenders`, of which only the fastest counts, that is beaten takes no more turns.
    """
    steps = [max(1, min(20_000, int(turn_seconds / seconds))) for seconds in step_seconds]
    times: list[list[float]] = [[] for _ in workers]
    errors: list[str | None] = [None for _ in workers]
    out: set[str] = set()
    for number in range(count):
        order = list(range(len(workers)))
        for at in order if number % 2 == 0 else reversed(order):
            if errors[at] is not None or workers[at].peer in out:
                continue
            warm = max(1, steps[at] // 10) if step_seconds[at] < turn_seconds else 0  # longer steps are warm by far
            try:
                answer = workers[at].ask("turn", count=steps[at], warm=warm)
                times[at].append(answer["seconds"])
            except WorkerError as error:
                errors[at] = str(error)
        theirs = {worker.peer: t for worker, t in zip(workers, times, strict=True) if worker.peer in contenders}
        out |= beaten(theirs, FEWEST_TURNS)
    return times, errors
