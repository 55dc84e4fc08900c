"""The process in which one framework runs one workload, driven line by line by `benchmarks.driver`.

One process a framework, so that thread pools, allocators and BLAS libraries do not mix. Commands and answers are lines
of JSON on the standard streams.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from benchmarks import peers, workloads
from benchmarks.workloads.base import Data, Workload

#: Seconds for which a variant is timed when the fastest is looked for, and for which a program is warmed up.
TRIAL_SECONDS = 0.6
WARM_SECONDS = 0.5


def orders(rows: int, batch: int) -> Iterator[np.ndarray]:
    """Yield the rows of one batch after another, from a new random permutation every epoch."""
    rng = np.random.default_rng(3)
    while True:
        order = rng.permutation(rows)
        for at in range(0, rows - batch + 1, batch):
            yield order[at : at + batch]


def stepper(workload: Workload, program: Any, data: Data) -> Callable[[int], None]:
    """Return a function that does `count` steps and returns when they are done."""
    if workload.mode == "predict":
        x = data.x[: workload.batch]

        def predict(count: int) -> None:
            for _ in range(count):
                program.predict(x)

        return predict
    rows = orders(len(data.x), workload.batch)

    def train(count: int) -> None:
        for _ in range(count):
            program.step(next(rows))
        program.finish()

    return train


def timed(run: Callable[[int], None], seconds: float, least: int = 2) -> float:
    """Run for about `seconds`; return the seconds of the fastest step."""
    best, began, done = float("inf"), time.perf_counter(), 0
    while done < least or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        run(1)
        best = min(best, time.perf_counter() - before)
        done += 1
    return best


def gemm(size: int = 1024) -> Callable[[int], None]:
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


class Worker:
    """Holds the program; answers commands."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer: Any = None if peer == "gemm" else peers.load(peer)
        if self.peer is not None:
            self.peer.start(threads)
        self.run: Callable[[int], None] = gemm()

    def versions(self) -> dict[str, str]:
        """Return the versions of what runs here."""
        return {name: metadata.version(name) for name in (self.peer.PACKAGES if self.peer else ("numpy",))}

    def choose(self, name: str) -> dict[str, Any]:
        """Time every variant of a workload; return the fastest."""
        workload = workloads.find(name)
        data = workload.data()
        times: dict[str, float] = {}
        errors = {}
        for variant in self.peer.variants(workload):
            try:
                run = stepper(workload, self.peer.build(workload, data, variant), data)
                timed(run, WARM_SECONDS / 2)
                times[variant] = timed(run, TRIAL_SECONDS)
            except Exception as error:  # noqa: BLE001 - one variant that fails is no reason to give up the others
                errors[variant] = f"{type(error).__name__}: {error}"[:300]
        if not times:
            raise RuntimeError(f"no variant runs: {errors}")
        return {"variant": min(times, key=lambda v: times[v]), "seconds": times, "errors": errors}

    def load(self, name: str, variant: str) -> dict[str, Any]:
        """Build a workload and warm it up."""
        began = time.perf_counter()
        if self.peer is not None:
            self.run = lambda count: None  # lets go of the program before
            gc.collect()
            workload = workloads.find(name)
            data = workload.data()
            self.base = memory("VmRSS")
            program = self.peer.build(workload, data, variant)
            self.run = stepper(workload, program, data)
        self.run(2)
        build = time.perf_counter() - began
        return {"build_seconds": build, "step_seconds": timed(self.run, WARM_SECONDS)}

    def turn(self, count: int, warm: int) -> dict[str, Any]:
        """Time `count` steps, after a few that bring code and data back into the caches."""
        self.run(warm)
        before = time.perf_counter()
        self.run(count)
        return {"seconds": (time.perf_counter() - before) / count}

    def memory(self) -> dict[str, float]:
        """Return the peak, and the peak above the state after import and data, in MiB."""
        peak = memory("VmHWM")
        return {"peak": peak, "above": peak - self.base}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not meet the answers
    if hasattr(os, "sched_setaffinity"):  # the one limit that XLA heeds too
        cores = sorted(os.sched_getaffinity(0))
        if arguments.threads < len(cores):
            os.sched_setaffinity(0, cores[: arguments.threads])

    def answer(function: Callable[..., Any], **keywords: Any) -> None:
        try:
            result = function(**keywords)
        except Exception as error:  # noqa: BLE001 - reported to the driver, which goes on without this one
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(result), file=answers, flush=True)

    holder: list[Worker] = []

    def begin() -> dict[str, Any]:
        holder.append(Worker(arguments.peer, arguments.threads))
        return {"versions": holder[0].versions()}

    answer(begin)
    for line in sys.stdin:
        command = json.loads(line)
        answer(getattr(holder[0], command.pop("do")), **command)


if __name__ == "__main__":
    main()
