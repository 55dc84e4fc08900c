"""Runs all workloads against all peers and writes the report: ``python -m benchmarks.report [--quick]``.

Every framework has a process of its own; they take turns (A B C A B C ...), and one that waits is stopped. The table
holds medians; the ratio is the best peer's median over ours, so more than 1 means that miniDLF is faster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tqdm import tqdm

from benchmarks import peers, workloads
from benchmarks.driver import ROOT, Worker, WorkerError, environment, rounds
from benchmarks.workloads.base import Workload

DOCS = ROOT / "docs"


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean; NaN of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def best_peer(times: Mapping[str, float]) -> tuple[str, float] | None:
    """Return the fastest of the others and its ratio to ours."""
    others = {name: seconds for name, seconds in times.items() if name != peers.OURS}
    if not others or peers.OURS not in times:
        return None
    name = min(others, key=lambda key: others[key])
    return name, others[name] / times[peers.OURS]


def measure(workload: Workload, names: Sequence[str], threads: int, turns: int, seconds: float) -> dict[str, Any]:
    """Let the peers take turns on a workload; return times and memory by peer, and the rate of a matrix product."""
    workers: list[Worker] = []
    result: dict[str, Any] = {"peers": {}, "errors": {}}
    try:
        steps = []
        for name in [*names, "gemm"]:
            try:
                worker = Worker(name, threads)
                variant = ""
                if name != "gemm":
                    variant = worker.ask("choose", name=workload.name)["variant"] if _varies(name, workload) else ""
                loaded = worker.ask("load", name=workload.name, variant=variant)
            except WorkerError as error:
                result["errors"][name] = str(error)
                continue
            workers.append(worker)
            steps.append(loaded["step_seconds"])
            result["peers"][name] = {"variant": variant, "build_seconds": loaded["build_seconds"]}
        times, errors = rounds(workers, steps, turns, seconds)
        for worker, all_times, error in zip(workers, times, errors, strict=True):
            if error is not None or not all_times:
                result["errors"][worker.peer] = error or "no time"
                result["peers"].pop(worker.peer)
                continue
            entry = result["peers"][worker.peer]
            entry["median"] = median(all_times)
            entry["quartiles"] = quantiles(all_times, n=4)[::2] if len(all_times) > 1 else [all_times[0]] * 2
            if worker.peer != "gemm":
                entry.update(worker.ask("memory"))
                entry["versions"] = worker.versions
    finally:
        for worker in workers:
            worker.close()
    gemm = result["peers"].pop("gemm", None)
    result["gemm_gflops"] = 2 * 1024**3 / gemm["median"] / 1e9 if gemm else None
    return result


def _varies(name: str, workload: Workload) -> bool:
    return len(peers.load(name).variants(workload)) > 1


def measure_epoch(workload: Workload, names: Sequence[str], threads: int, turns: int) -> dict[str, Any]:
    """Time whole programs, from the start of the process to the printed line, in turn."""
    from benchmarks.workloads.mnist_epoch import find, stand_in

    result: dict[str, Any] = {"peers": {}, "errors": {}, "gemm_gflops": None}
    with tempfile.TemporaryDirectory() as folder:
        file = find() or stand_in(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(turns):
            for name in names:
                if name in result["errors"]:
                    continue
                command = [sys.executable, "-m", "benchmarks.epoch", name, workload.name.rpartition("_")[2], str(file)]
                began = time.perf_counter()
                done = subprocess.run(
                    command,
                    cwd=ROOT,
                    env=environment(name, threads),
                    capture_output=True,
                    text=True,
                    timeout=240,
                    check=False,
                )
                if done.returncode:
                    result["errors"][name] = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
                else:
                    times[name].append(time.perf_counter() - began)
        for name, values in times.items():
            if values:
                result["peers"][name] = {
                    "variant": "",
                    "median": median(values),
                    "quartiles": [min(values), max(values)],
                }
    return result


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def table(results: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the Markdown table of all workloads."""
    titles = [peers.load(name).TITLE for name in names]
    lines = [
        "| workload | "
        + " | ".join(titles)
        + " | best peer / miniDLF | share of GEMM rate | peak memory, MiB: ours / PyTorch |",
        "|" + "---|" * (len(names) + 4),
    ]
    for name, result in results.items():
        workload = workloads.find(name)
        times = {peer: entry["median"] for peer, entry in result["peers"].items()}
        cells = [_time(times[peer]) if peer in times else "-" for peer in names]
        best = best_peer(times)
        share = "-"
        if result["gemm_gflops"] and peers.OURS in times and workload.mode == "train":
            share = f"{workload.flops / times[peers.OURS] / 1e9 / result['gemm_gflops']:.0%}"
        memory = [result["peers"].get(peer, {}).get("peak") for peer in (peers.OURS, "torch_eager")]
        shown = " / ".join("-" if value is None else f"{value:.0f}" for value in memory)
        lines.append(
            f"| {workload.title} | {' | '.join(cells)} | {f'**{best[1]:.2f}**' if best else '-'} | {share} | {shown} |"
        )
    return "\n".join(lines)


def summary(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the geometric means of the ratios: over all workloads, and over the specification's five."""
    ratios = {}
    for name, result in results.items():
        best = best_peer({peer: entry["median"] for peer, entry in result["peers"].items()})
        if best:
            ratios[name] = best[1]
    specified = [ratio for name, ratio in ratios.items() if workloads.find(name).specified]
    return {
        "all": geometric_mean(list(ratios.values())),
        "specification": geometric_mean(specified),
        "lowest": min(ratios.values(), default=float("nan")),
    }


def chart(results: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    """Draw every peer's time over ours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.52 * len(results) + 1.6), layout="constrained")
    axes = figure.subplots()
    others = [name for name in names if name != peers.OURS]
    height = 0.8 / max(len(others), 1)
    labels = []
    for row, (name, result) in enumerate(results.items()):
        labels.append(workloads.find(name).title)
        ours = result["peers"].get(peers.OURS, {}).get("median")
        for place, other in enumerate(others):
            entry = result["peers"].get(other)
            if ours and entry:
                colour = ("#4477aa", "#66ccee", "#228833", "#ccbb44")[place % 4]
                label = peers.load(other).TITLE if row == 0 else None
                axes.barh(row + (place + 0.5) * height - 0.4, entry["median"] / ours, height, color=colour, label=label)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("time of the peer / time of miniDLF (right of the line miniDLF is faster)")
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def write(data: Mapping[str, Any], folder: Path) -> None:
    """Write the JSON, the page and the picture."""
    results, names, means = data["results"], data["peers"], data["means"]
    (folder / "benchmarks.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    chart(results, names, folder / "benchmarks.png")
    errors = [f"- {name}, {peer}: {text}" for name, r in results.items() for peer, text in r["errors"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    text = f"""# Benchmarks

Written by `{data["command"]}` on {data["date"]} (`make bench` runs all peers with 9 turns).
{data["machine"]}, {data["threads"]} threads. {versions}.

A step is one full training step in float32: gather of a batch, forward, loss, backward, Adam. Each framework runs in
a process of its own, in turns; medians of {data["turns"]} turns. The ratio is the best peer's time over ours: above
1 miniDLF is faster. The share of the GEMM rate counts the flops of the matrix products alone (2 m n k; convolutions as
if done directly, so Winograd's may pass 100 %) against NumPy's own rate for 1024 x 1024 products on all threads.

{table(results, names)}

Geometric mean of the ratios: **{means["all"]:.2f}** over all workloads, **{means["specification"]:.2f}** over the
specification's five; the lowest single ratio is {means["lowest"]:.2f}.

![time of the peers over miniDLF's](benchmarks.png)
"""
    if errors:
        text += "\nNot run:\n\n" + "\n".join(errors) + "\n"
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")


def _machine() -> str:
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        model = platform.processor()
    return f"{model or 'unknown processor'}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, and only eager PyTorch and JAX")
    parser.add_argument("--only", help="workloads, by name or beginning, separated by commas")
    parser.add_argument("--peers", help="peers to compare with, separated by commas")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, help="turns of each peer")
    parser.add_argument("--out", type=Path, help="folder of the report (default docs/; out/ with --quick or --only)")
    options = parser.parse_args()
    chosen = options.peers.split(",") if options.peers else ["torch_eager", "jax_jit"] if options.quick else peers.PEERS
    names = [peers.OURS, *(name for name in chosen if name != peers.OURS)]
    turns = options.turns or (3 if options.quick else 9)
    selected = workloads.select(options.only)
    if options.quick and not options.only:
        selected = [workload for workload in selected if workload.mode != "epoch"]
    results: dict[str, Any] = {}
    bar = tqdm(selected, file=sys.stderr)
    for workload in bar:
        bar.set_description(workload.name)
        if workload.mode == "epoch":
            results[workload.name] = measure_epoch(workload, names, options.threads, 1 if options.quick else 3)
        else:
            results[workload.name] = measure(workload, names, options.threads, turns, 0.15 if options.quick else 0.3)
        best = best_peer({peer: entry["median"] for peer, entry in results[workload.name]["peers"].items()})
        tqdm.write(
            f"{workload.name}: " + (f"{best[1]:.2f} against {best[0]}" if best else "no comparison"), file=sys.stderr
        )
    versions: dict[str, str] = {}
    for result in results.values():
        for entry in result["peers"].values():
            versions.update(entry.get("versions", {}))
    data = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": _machine(),
        "threads": options.threads,
        "turns": turns,
        "command": " ".join(["python -m benchmarks.report", *sys.argv[1:]]),
        "peers": names,
        "versions": versions,
        "results": results,
        "means": summary(results),
    }
    folder = options.out or (Path("out") if options.quick or options.only else DOCS)
    folder.mkdir(parents=True, exist_ok=True)
    write(data, folder)
    print(table(results, names))
    means = data["means"]
    print(
        f"geometric mean {means['all']:.2f}, specification {means['specification']:.2f}, lowest {means['lowest']:.2f}"
    )
    print(f"written to {folder / 'benchmarks.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
