"""The process in which one framework runs, driven line by line by `benchmarks.driver`.

It imports the framework and then forks: every workload runs in a process of its own, so that thread pools, allocators
and peaks of memory do not mix. Commands and answers are lines of JSON on the standard streams.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks import peers, workloads
from benchmarks.allocation import keep_freed_memory
from benchmarks.workloads.base import Data, Workload

Run = Callable[[int], None]


def orders(rows: int, batch: int) -> Iterator[np.ndarray]:
    """Yield the rows of one batch after another, from a new random permutation every epoch."""
    rng = np.random.default_rng(3)
    while True:
        order = rng.permutation(rows)
        for at in range(0, rows - batch + 1, batch):
            yield order[at : at + batch]


def stepper(workload: Workload, program: Any, data: Data) -> Run:
    """Return a function that does `count` steps and returns when they are done."""
    if workload.mode == "predict":
        x = data.x[: workload.batch]

        def predict(count: int) -> None:
            for _ in range(count):
                program.predict(x)

        return predict
    rows = orders(len(data.x), workload.batch)

    def train(count: int) -> None:
        program.steps(rows, count)

    return train


def timed(run: Run, seconds: float, least: int = 2) -> float:
    """Run for about `seconds`; return the seconds of the fastest step."""
    best, began, done = float("inf"), time.perf_counter(), 0
    while done < least or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        run(1)
        best = min(best, time.perf_counter() - before)
        done += 1
    return best


def gemm(size: int = 1024) -> Run:
    """Return a function that multiplies two float32 matrices: the machine's rate, as NumPy reaches it."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size), dtype=np.float32) for _ in range(2))
    c = np.empty_like(a)

    def run(count: int) -> None:
        for _ in range(count):
            np.matmul(a, b, out=c)

    return run


def memory(field: str) -> float:
    """Return VmRSS or VmHWM, its peak, in MiB.

    Not `ru_maxrss`: where the parent starts children without copying its pages, that counts the parent's memory too.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
    except OSError:  # not Linux
        pass
    import psutil

    information = psutil.Process().memory_info()
    return (information.rss if field == "VmRSS" else getattr(information, "peak_wset", information.rss)) / 2**20


def helpers() -> float:
    """Return what this process' children hold in memory that they do not share with it, in MiB."""
    total = 0
    for list_of_children in Path("/proc/self/task").glob("*/children"):
        for child in list_of_children.read_text(encoding="ascii").split():
            lines = Path(f"/proc/{child}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return total / 1024


class Worker:
    """Holds the program; answers commands."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer: Any = None if peer == "gemm" else peers.load(peer)
        self.threads = threads
        self.kept: tuple[str, str, Run] | None = None
        self.run: Run = gemm()
        keep_freed_memory()
        for name in self.peer.MODULES if self.peer else ():
            importlib.import_module(name)

    def versions(self) -> dict[str, str]:
        """Return the versions of what runs here."""
        return {name: metadata.version(name) for name in (self.peer.PACKAGES if self.peer else ("numpy",))}

    def start(self) -> dict[str, Any]:
        """Begin work in a fresh process."""
        if self.peer is not None:
            self.peer.start(self.threads)
        return {"pid": os.getpid()}

    def choose(self, name: str, seconds: float, hopeless: float = math.inf) -> dict[str, Any]:
        """Time every variant of a workload for about `seconds` each; return the fastest, and keep it for `load`.

        Where a step takes more than `hopeless` seconds, further variants are not tried.
        """
        workload = workloads.find(name)
        data = workload.data()
        times: dict[str, float] = {}
        errors = {}
        for variant in self.peer.variants(workload):
            try:
                run = stepper(workload, self.peer.build(workload, data, variant), data)
                timed(run, seconds / 2, least=1)  # compiles
                times[variant] = timed(run, seconds, least=1)
            except Exception as error:  # noqa: BLE001 - one variant that fails is no reason to give up the others
                errors[variant] = f"{type(error).__name__}: {error}"[:300]
                continue
            if times[variant] == min(times.values()):
                self.kept = (name, variant, run)
            if times[variant] > hopeless:
                break
        if self.kept is None:
            raise RuntimeError(f"no variant runs: {errors}")
        return {"variant": self.kept[1], "seconds": times, "errors": errors}

    def load(self, name: str, variant: str, seconds: float) -> dict[str, Any]:
        """Build a workload, unless it was just chosen, and warm it up for about `seconds`.

        Answers with the seconds that building and the first steps took, and those of the fastest step.
        """
        began = time.perf_counter()
        self.base = None
        if self.kept is not None and self.kept[:2] == (name, variant):
            self.run = self.kept[2]
        elif self.peer is not None:
            gc.collect()
            workload = workloads.find(name)
            data = workload.data()
            self.base = memory("VmRSS")
            self.run = stepper(workload, self.peer.build(workload, data, variant), data)
            self.run(self.peer.FIRST_STEPS)
        build = time.perf_counter() - began
        return {"build_seconds": build, "step_seconds": timed(self.run, seconds, least=1)}

    def turn(self, count: int, warm: int) -> dict[str, Any]:
        """Time `count` steps, after a few that bring code and data back into the caches."""
        self.run(warm)
        before = time.perf_counter()
        self.run(count)
        return {"seconds": (time.perf_counter() - before) / count}

    def memory(self) -> dict[str, float]:
        """Return the peak, and the peak above the state after import and data, in MiB.

        Nothing where other variants have run in this process: their peaks are not this one's.
        """
        if self.base is None:
            return {}
        peak = memory("VmHWM") + helpers()
        return {"peak": peak, "above": peak - self.base}


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends, stopped or not; a driver that is killed leaves none."""
    if sys.platform == "linux":
        import ctypes

        set_signal_on_parents_death = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_signal_on_parents_death, signal.SIGKILL)


def fork() -> tuple[bool, dict[str, Any]]:
    """Fork; return at once in the child with ``True``, and in the parent when the child has ended."""
    child = os.fork()
    if not child:
        die_with_parent()
        return True, {}
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return False, {"ended": code} if code == 0 else {"error": f"the process ended with {code}"}


def serve(worker: Worker, answers: Any) -> NoReturn:
    """Answer commands until there are no more. Read line by line, so that a child finds what is meant for it."""

    def answer(function: Callable[..., Any], **keywords: Any) -> None:
        try:
            result = function(**keywords)
        except Exception as error:  # noqa: BLE001 - reported to the driver, which goes on without this one
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(result), file=answers, flush=True)

    for line in iter(sys.stdin.readline, ""):
        command = json.loads(line)
        do = command.pop("do")
        if do == "end":
            os._exit(0)
        if do == "fork":
            inside, ended = fork()
            answer(worker.start if inside else lambda ended=ended: ended)
        else:
            answer(getattr(worker, do), **command)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not meet the answers
    if hasattr(os, "sched_setaffinity"):  # the one limit that XLA heeds too
        cores = sorted(os.sched_getaffinity(0))
        if arguments.threads < len(cores):
            os.sched_setaffinity(0, cores[: arguments.threads])
    try:
        worker = Worker(arguments.peer, arguments.threads)
        hello: dict[str, Any] = {"versions": worker.versions()}
    except Exception as error:  # noqa: BLE001 - not installed, most likely
        hello = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(hello), file=answers, flush=True)
    if "error" not in hello:
        serve(worker, answers)


if __name__ == "__main__":
    main()
