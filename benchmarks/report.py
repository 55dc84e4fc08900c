"""Runs all workloads against all peers and writes the report: ``python -m benchmarks.report [--quick]``.

Every framework has processes of its own; they take turns (A B C A B C ...), and one that waits is stopped. The table
holds medians; the ratio is the best peer's time over ours, so more than 1 means that miniDLF is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from benchmarks import peers, workloads
from benchmarks.driver import ROOT, Crew
from benchmarks.measure import FULL, QUICK, measure, measure_epoch
from benchmarks.rendering import best_peer, observed_table, put_between, short_table, summary, table, write
from benchmarks.workloads.base import Workload

DOCS = ROOT / "docs"

#: What ``--quick`` runs: every kind of work, without the slowest sizes.
QUICK_WORKLOADS = "mlp,cnn,rnn3,lstm,gru,cifar_cnn_64,mlp_wide,mlp_tiny,autoencoder,predict_mlp_1,predict_cnn_1"
QUICK_PEERS = ("torch_eager", "jax_jit")

#: Seconds that a workload is taken to need where no report says it, for the progress bar.
UNKNOWN_SECONDS = 60.0


def machine() -> str:
    """Describe the processor, the cores, which kernels BLAS has for them, and the Python."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        model = platform.processor()
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    kernels = "".join(f" ({library.internal_api}'s kernels for {library.architecture})" for library in found[:1])
    cores = f"{os.cpu_count()} cores{kernels}"
    return f"{model or 'unknown processor'}, {cores}, Python {platform.python_version()}"


def last_report() -> Mapping[str, Any]:
    """Return the results of the last full report, which tell how long workloads take and what the peers choose."""
    try:
        results: Mapping[str, Any] = json.loads((DOCS / "benchmarks.json").read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError):
        return {}
    return results


def run(
    selected: Sequence[Workload], names: Sequence[str], options: argparse.Namespace, last: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure the workloads one after the other; return the results by name."""
    effort = QUICK if options.quick else FULL
    if options.turns:
        effort = replace(effort, turns=options.turns, epochs=min(options.turns, effort.epochs))
    expected = {w.name: float(last.get(w.name, {}).get("seconds", UNKNOWN_SECONDS)) for w in selected}
    results: dict[str, Any] = {}
    format_of_bar = "{desc} {percentage:3.0f}% |{bar}| {elapsed} done, about {remaining} left"
    with Crew() as crew, tqdm(total=sum(expected.values()), file=sys.stderr, bar_format=format_of_bar) as bar:
        for number, workload in enumerate(selected, 1):
            bar.set_description_str(f"{number} of {len(selected)}: {workload.name}")
            began = time.perf_counter()
            if workload.mode == "epoch":
                result = measure_epoch(workload, names, options.threads, effort.epochs)
            else:
                known = {peer: entry["variant"] for peer, entry in last.get(workload.name, {}).get("peers", {}).items()}
                trains = workload.specified or (options.only and workload.mode == "train")
                observed = [peers.WITH_CALLBACKS] if options.callbacks and trains else []
                result = measure(
                    crew, workload, [*names, *observed], options.threads, effort, known if options.quick else None
                )
            result["seconds"] = round(time.perf_counter() - began, 1)
            results[workload.name] = result
            best = best_peer(result)
            found = f"{best[1]:.2f} against {best[0]}" if best else "no comparison"
            tqdm.write(f"{workload.name}: {found} ({result['seconds']:.0f} s)", file=sys.stderr)
            for peer, error in result["errors"].items():
                tqdm.write(f"{workload.name}: {peer} failed: {error}", file=sys.stderr)
            bar.update(expected[workload.name])
    return results


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--quick", action="store_true", help="fewer workloads and turns, only eager PyTorch and JAX, and --callbacks"
    )
    result.add_argument("--only", help="workloads, by name or beginning, separated by commas")
    result.add_argument("--again", help="workloads whose rows of the last full report are to be measured anew")
    result.add_argument("--peers", help="peers to compare with, separated by commas ('' for none)")
    result.add_argument(
        "--callbacks",
        action="store_true",
        help="also miniDLF's loop with metrics and callbacks on, for the specification's five or what --only names",
    )
    result.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    result.add_argument("--turns", type=int, help="turns of each peer")
    result.add_argument("--out", type=Path, help="folder of the report (default docs/; out/ with --quick or --only)")
    return result


def renewed(last: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last report with the rows of the new one in their places; its page names them."""
    results = {**last["results"], **new["results"]}
    again = sorted({*last.get("again", ()), *new["results"]})
    return {**last, "date": new["date"], "again": again, "results": results, "means": summary(results)}


def main(arguments: Sequence[str] | None = None) -> int:
    began = time.perf_counter()
    options = parser().parse_args(arguments)
    options.callbacks |= options.quick
    chosen: Sequence[str] = QUICK_PEERS if options.quick else peers.PEERS
    if options.peers is not None:
        chosen = [name for name in options.peers.split(",") if name]
    names = [peers.OURS, *(name for name in chosen if name != peers.OURS)]
    selected = workloads.select(options.again or options.only or (QUICK_WORKLOADS if options.quick else None))
    results = run(selected, names, options, last_report())
    versions: dict[str, str] = {}
    for result in results.values():
        for entry in result["peers"].values():
            versions.update(entry.pop("versions", {}))
    data = {
        "date": time.strftime("%Y-%m-%d"),
        "minutes": (time.perf_counter() - began) / 60,
        "machine": machine(),
        "threads": options.threads,
        "turns": options.turns or (QUICK if options.quick else FULL).turns,
        "command": " ".join(["python -m benchmarks.report", *(sys.argv[1:] if arguments is None else arguments)]),
        "peers": names,
        "versions": versions,
        "results": results,
        "means": summary(results),
    }
    if options.again:
        data = renewed(json.loads((DOCS / "benchmarks.json").read_text(encoding="utf-8")), data)
        results = data["results"]
    folder = options.out or (Path("out") if options.quick or options.only else DOCS)
    folder.mkdir(parents=True, exist_ok=True)
    write(data, folder)
    if folder == DOCS:
        put_between(ROOT / "README.md", "speed", short_table(data))
    print(table(results, names))
    means = data["means"]
    print(
        f"geometric mean {means['all']:.2f}, specification {means['specification']:.2f}, lowest {means['lowest']:.2f}"
    )
    if options.callbacks:
        print(observed_table(results))
        print(f"specification, with metrics and callbacks: {means['observed']:.2f}")
    print(f"written to {folder / 'benchmarks.md'}, in {data['minutes']:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
