"""Measures one workload in all frameworks, in turns."""

from __future__ import annotations

import compileall
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks import peers
from benchmarks.driver import FEWEST_EPOCHS, PATIENCE, ROOT, Crew, Worker, WorkerError, beaten, environment, rounds
from benchmarks.workloads.base import Workload

__all__ = ["FULL", "QUICK", "Effort", "compile_checkout", "measure", "measure_epoch"]

#: Flops of the matrix product whose rate is the roof of the report.
GEMM_FLOPS = 2 * 1024**3
#: How many times as long as the fastest of the others a whole program may take: no slow phase of a shared machine
#: explains three.
HOPELESS = 3.0
#: How many times as long as the fastest of the others a step may take for further ways to be tried. Between two ways of
#: one framework there has been a factor of three at the most; JAX on images of 3x32x32 takes six times PyTorch's time.
NO_WAY = 5.0


@dataclass(frozen=True)
class Effort:
    """How long is measured: turns a peer, and the seconds of a turn, of a warm-up and of a variant's trial."""

    turns: int
    turn_seconds: float
    warm_seconds: float
    trial_seconds: float
    epochs: int


FULL = Effort(turns=7, turn_seconds=0.25, warm_seconds=0.4, trial_seconds=0.4, epochs=3)
QUICK = Effort(turns=5, turn_seconds=0.1, warm_seconds=0.2, trial_seconds=0.2, epochs=1)


def measure(
    crew: Crew,
    workload: Workload,
    names: Sequence[str],
    threads: int,
    effort: Effort,
    variants: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Let the peers take turns on a workload.

    Parameters
    ----------
    variants
        By peer, what is already known to be its fastest way; the others try theirs.

    Returns
    -------
    dict
        'peers': by name the seconds a step of each turn, their median and quartiles, and the memory; 'errors': by name
        what failed; 'gemm_gflops': the rate of a matrix product in the same turns; 'gemm_share': ours of it.
    """
    result: dict[str, Any] = {"peers": {}, "errors": {}}
    rivals = [name for name in names if name in peers.PEERS and name != peers.OURS]
    workers: list[Worker] = []
    steps: list[float] = []
    hopeless = inf
    for name in [*names, "gemm"]:
        began = time.perf_counter()
        try:
            worker, entry, step = _prepare(crew, workload, name, threads, effort, (variants or {}).get(name), hopeless)
        except WorkerError as error:
            result["errors"][name] = str(error)
            crew.drop(name, threads)
            continue
        workers.append(worker)
        steps.append(step)
        if name in rivals:
            hopeless = min(hopeless, NO_WAY * step)
        result["peers"][name] = entry | {"preparation_seconds": round(time.perf_counter() - began, 2)}
    times, errors = rounds(workers, steps, effort.turns, effort.turn_seconds, rivals)
    for worker, all_times, error in zip(workers, times, errors, strict=True):
        entry = result["peers"][worker.peer]
        try:
            if error is not None:
                raise WorkerError(error)
            entry |= _described(all_times)
            if worker.peer != "gemm":
                entry |= worker.ask("memory")
                entry["versions"] = worker.versions
            worker.end()
        except WorkerError as failure:
            result["errors"][worker.peer] = str(failure)
            result["peers"].pop(worker.peer)
            crew.drop(worker.peer, threads)
    gemm = result["peers"].pop("gemm", None)
    result["gemm_gflops"] = GEMM_FLOPS / gemm["median"] / 1e9 if gemm else None
    result["gemm_share"] = _share(workload.flops, result["peers"].get(peers.OURS), gemm)
    return result


def _share(flops: int, ours: Any, gemm: Any) -> float | None:
    """Return which share of the rate of a matrix product a step reaches: the median of the turns, as for the ratios."""
    if not ours or not gemm:
        return None
    return median(
        flops / own / (GEMM_FLOPS / product) for own, product in zip(ours["times"], gemm["times"], strict=False)
    )


def _prepare(
    crew: Crew, workload: Workload, name: str, threads: int, effort: Effort, known: str | None, hopeless: float
) -> tuple[Worker, dict[str, Any], float]:
    """Return a worker that has built the fastest variant, what is known of it, and the seconds of a step."""
    worker = crew.get(name, threads)
    variant = known or ""
    if name != "gemm" and known not in (ways := peers.load(name).variants(workload)):
        variant = ways[0]
        if len(ways) > 1:
            trial = {"name": workload.name, "seconds": effort.trial_seconds, "hopeless": hopeless}
            variant = worker.ask("choose", **trial)["variant"]
            if not peers.load(name).COMPILES:  # a new process, in which the other variants have left no memory
                worker.begin()
    loaded = worker.ask("load", name=workload.name, variant=variant, seconds=effort.warm_seconds)
    return worker, {"variant": variant, "build_seconds": loaded["build_seconds"]}, loaded["step_seconds"]


def _described(times: Sequence[float]) -> dict[str, Any]:
    quartiles = quantiles(times, n=4)[::2] if len(times) > 1 else [times[0]] * 2
    return {"times": list(times), "median": median(times), "quartiles": quartiles}


def compile_checkout() -> None:
    """Give miniDLF and the benchmarks the bytecode that installed packages bring along.

    Without it (after ``git pull``, or with PYTHONDONTWRITEBYTECODE) importing a checkout takes 120 ms more.
    """
    for name in ("miniDLF", "benchmarks"):
        found = importlib.util.find_spec(name)
        for folder in (found and found.submodule_search_locations) or ():
            compileall.compile_dir(folder, quiet=2)


def measure_epoch(workload: Workload, names: Sequence[str], threads: int, turns: int) -> dict[str, Any]:
    """Time whole programs, from the start of the process to the printed line, in turn.

    Of the others only the fastest counts: one that is far behind is stopped, or takes no more turns.
    """
    from benchmarks.workloads.mnist_epoch import find, stand_in

    compile_checkout()
    result: dict[str, Any] = {"peers": {}, "errors": {}, "gemm_gflops": None, "gemm_share": None}
    with tempfile.TemporaryDirectory() as folder:
        file = find() or stand_in(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in names}
        out: set[str] = set()
        for _ in range(turns):
            for name in names:
                if name in result["errors"] or name in out:
                    continue
                rivals = [median(taken) for other, taken in times.items() if taken and other != peers.OURS]
                limit = min([PATIENCE, *(HOPELESS * seconds for seconds in rivals if name != peers.OURS)])
                command = [sys.executable, "-m", "benchmarks.epoch", name, workload.name.rpartition("_")[2], str(file)]
                began = time.perf_counter()
                try:
                    done = subprocess.run(
                        command,
                        cwd=ROOT,
                        env=environment(name, threads, folder),
                        capture_output=True,
                        text=True,
                        timeout=limit,
                        check=False,
                    )
                except subprocess.TimeoutExpired:
                    seen = ", ".join(f"{seconds:.1f}" for seconds in rivals)
                    result["errors"][name] = f"stopped after {limit:.0f} seconds without a line; others took {seen}"
                    continue
                if done.returncode:
                    result["errors"][name] = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
                else:
                    times[name].append(time.perf_counter() - began)
            theirs = {name: values for name, values in times.items() if name != peers.OURS}
            out |= beaten(theirs, FEWEST_EPOCHS)
        for name, values in times.items():
            if values and name not in result["errors"]:
                result["peers"][name] = {"variant": "", **_described(values)}
    return result
