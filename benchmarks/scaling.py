"""How a training step scales: ``python -m benchmarks.scaling`` times it along four axes, ours next to PyTorch's.

The axes (batch, width, length of a sequence, side of an image) stand in `benchmarks.workloads.scaled`. At every point
all take turns, with one thread and with two, and the fastest turn counts; a point that looks like a cliff (see
`benchmarks.cliffs`) is measured again together with its neighbours. A cliff comes back every time; what another program
takes away does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks import peers, workloads
from benchmarks.cliffs import CLIFF, excess, neighbours, worst
from benchmarks.driver import Crew, Worker, WorkerError, rounds
from benchmarks.rendering import geometric_mean
from benchmarks.report import DOCS, machine
from benchmarks.workloads.scaled import AXES, TITLES

TURNS = 5
TURN_SECONDS = 0.06
WARM_SECONDS = 0.1

COLOURS = {peers.OURS: "#4477aa", "torch_eager": "#ee6677"}


class Series(NamedTuple):
    """Whose curve it is, and with how many threads."""

    peer: str
    threads: int

    def __str__(self) -> str:
        return f"{self.peer}, {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def title(self) -> str:
        """The words of the page and the picture."""
        return str(self).replace(self.peer, peers.load(self.peer).TITLE)


#: Seconds of a step by series and size.
Curves = dict[Series, dict[int, float]]


def point(crew: Crew, name: str, series: Sequence[Series]) -> dict[Series, float]:
    """Time a workload in all series, in turns; return the seconds of a step in the fastest turn of each that ran."""
    workers: list[Worker] = []
    ready: list[Series] = []
    steps: list[float] = []
    for one in series:
        try:
            worker = crew.get(*one)
            variants = peers.load(one.peer).variants(workloads.find(name))
            variant = variants[0]
            if len(variants) > 1:
                variant = worker.ask("choose", name=name, seconds=WARM_SECONDS)["variant"]
            steps.append(worker.ask("load", name=name, variant=variant, seconds=WARM_SECONDS)["step_seconds"])
        except WorkerError as error:
            tqdm.write(f"{name}, {one}: {error}", file=sys.stderr)
            crew.drop(*one)
            continue
        workers.append(worker)
        ready.append(one)
    times, errors = rounds(workers, steps, TURNS, TURN_SECONDS)
    found: dict[Series, float] = {}
    for one, worker, seconds, failure in zip(ready, workers, times, errors, strict=True):
        if failure is None:
            found[one] = min(seconds)
            worker.end()
        else:
            tqdm.write(f"{name}, {one}: {failure}", file=sys.stderr)
            crew.drop(*one)
    return found


def suspicious(curves: Curves, sizes: Sequence[int]) -> list[int]:
    """Return the sizes worth a second measurement: those of apparent cliffs and their neighbours."""
    again: set[int] = set()
    for curve in curves.values():
        if len(sizes) < 3 or len(curve) < len(sizes):
            continue
        for at, factor in enumerate(excess(sizes, [curve[size] for size in sizes])):
            if factor > CLIFF:
                again.update(sizes[i] for i in {at}.union(*neighbours(len(sizes), at)))
    return sorted(again)


def measure_axis(crew: Crew, axis: str, sizes: Sequence[int], series: Sequence[Series], bar: Any) -> Curves:
    """Time all sizes of an axis, and the suspicious ones twice."""
    curves: Curves = {one: {} for one in series}

    def visit(size: int) -> None:
        bar.set_description_str(f"{axis} {size}")
        for one, seconds in point(crew, f"{axis}@{size}", series).items():
            curves[one][size] = min(seconds, curves[one].get(size, seconds))

    for size in sizes:
        visit(size)
        bar.update()
    for size in suspicious(curves, sizes):
        visit(size)
    return curves


def table(curves: Mapping[str, Curves]) -> str:
    """Return the worst point of every axis and number of threads."""
    lines = [
        "| axis | threads | worst point of miniDLF | worst point of PyTorch | PyTorch / miniDLF, geometric mean |",
        "|" + "---|" * 5,
    ]
    for axis, by_series in curves.items():
        for threads in sorted({one.threads for one in by_series}):
            ours, theirs = (by_series.get(Series(peer, threads), {}) for peer in (peers.OURS, "torch_eager"))
            both = sorted(set(ours) & set(theirs))
            mean = f"{geometric_mean([theirs[size] / ours[size] for size in both]):.2f}" if both else "-"
            lines.append(f"| {TITLES[axis]} | {threads} | {_worst(ours)} | {_worst(theirs)} | {mean} |")
    return "\n".join(lines)


def _worst(curve: Mapping[int, float]) -> str:
    if len(curve) < 3:
        return "-"
    sizes = sorted(curve)
    size, factor = worst(sizes, [curve[size] for size in sizes])
    return f"{size:.0f}: {f'**{factor:.2f}**' if factor > CLIFF else f'{factor:.2f}'}"


def cliffs(curves: Mapping[str, Curves]) -> list[str]:
    """Return a line a cliff."""
    lines = []
    for axis, by_series in curves.items():
        for one, curve in by_series.items():
            sizes = sorted(curve)
            if len(sizes) < 3:
                continue
            for size, factor in zip(sizes, excess(sizes, [curve[size] for size in sizes]), strict=True):
                if factor > CLIFF:
                    lines.append(
                        f"- {one.title}, {TITLES[axis]}: {size} costs {1e3 * curve[size]:.2f} ms, {factor:.2f} times "
                        "what its neighbours predict"
                    )
    return lines


def chart(curves: Mapping[str, Curves], path: Path) -> None:
    """Draw a panel an axis, with a ring around every cliff."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = Figure(figsize=(12, 4.1 * ((len(curves) + 1) // 2) + 0.5), layout="constrained")
    panels = figure.subplots((len(curves) + 1) // 2, min(2, len(curves)), squeeze=False).ravel()
    for panel in panels[len(curves) :]:
        panel.set_axis_off()
    for panel, (axis, by_series) in zip(panels, curves.items(), strict=False):
        for one, curve in by_series.items():
            sizes = sorted(curve)
            times = [1e3 * curve[size] for size in sizes]
            one_thread = one.threads == 1
            panel.plot(
                sizes,
                times,
                color=COLOURS[one.peer],
                linestyle="--" if one_thread else "-",
                marker="o",
                markersize=3.5,
                markerfacecolor="white" if one_thread else None,
                linewidth=1.2,
                label=one.title,
            )
            if len(sizes) >= 3:
                rings = [at for at, factor in enumerate(excess(sizes, times)) if factor > CLIFF]
                panel.plot(
                    [sizes[at] for at in rings], [times[at] for at in rings], "o", ms=12, mfc="none", mec="black"
                )
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(TITLES[axis], fontsize=10)
        panel.set_ylabel("ms a step", fontsize=9)
        shown = _spread(sorted({size for curve in by_series.values() for size in curve}))
        panel.xaxis.set_major_locator(FixedLocator(shown))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.tick_params(labelsize=8)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(len(labels), 1), fontsize=9, frameon=False)
    figure.savefig(path, dpi=110)


def _spread(sizes: Sequence[int], least: float = 1.3) -> list[int]:
    """Return the sizes that are far enough apart on a logarithmic axis for their numbers not to overlap."""
    shown: list[int] = []
    for size in sizes:
        if not shown or size / shown[-1] >= least:
            shown.append(size)
    return shown


def write(data: Mapping[str, Any], curves: Mapping[str, Curves], folder: Path) -> None:
    """Write the JSON, the page and the picture."""
    plain = {
        axis: {str(one): {str(size): seconds for size, seconds in curve.items()} for one, curve in by_series.items()}
        for axis, by_series in curves.items()
    }
    (folder / "scaling.json").write_text(json.dumps({**data, "seconds": plain}, indent=1), encoding="utf-8")
    chart(curves, folder / "scaling.png")
    found = cliffs(curves)
    text = f"""# How a step scales

Written by `{data["command"]}` on {data["date"]}, in {data["minutes"]:.1f} minutes. {data["machine"]}.

The time of a training step against the batch, the width, the length of the sequence and the side of the image, with
one thread and with two; the fastest of {TURNS} turns, which miniDLF and PyTorch eager take in turn at every point. What
a point should cost is read from its two neighbours, on a straight line between them on logarithmic axes (an end from
the nearest points, on a line that goes on). A point that costs more than {CLIFF} times as much is a cliff, and ringed
in the picture.

![seconds of a step along four axes](scaling.png)

{table(curves)}

A worst point is given as "size: its time over what its neighbours predict".

"""
    text += "Cliffs:\n\n" + "\n".join(found) + "\n" if found else "No point of any curve is a cliff.\n"
    (folder / "scaling.md").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"axes, separated by commas ({', '.join(AXES)})")
    parser.add_argument("--sizes", help="only these points of the axes, separated by commas")
    parser.add_argument("--alone", action="store_true", help="without PyTorch")
    parser.add_argument("--threads", help="numbers of threads, separated by commas (default 1,2)")
    parser.add_argument("--out", type=Path, help="folder of the report (default docs/; out/ with --only or --sizes)")
    options = parser.parse_args(arguments)
    axes = options.only.split(",") if options.only else list(AXES)
    wanted = {int(size) for size in options.sizes.split(",")} if options.sizes else None
    sizes = {axis: [size for size in AXES[axis] if wanted is None or size in wanted] for axis in axes}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = [int(number) for number in options.threads.split(",")] if options.threads else [1, 2][:cores]
    names = [peers.OURS] if options.alone else [peers.OURS, "torch_eager"]
    series = [Series(peer, number) for number in threads for peer in names]
    with Crew() as crew, tqdm(total=sum(map(len, sizes.values())), file=sys.stderr) as bar:
        curves = {axis: measure_axis(crew, axis, sizes[axis], series, bar) for axis in axes}
    data = {
        "date": time.strftime("%Y-%m-%d"),
        "minutes": (time.perf_counter() - began) / 60,
        "machine": machine(),
        "command": " ".join(["python -m benchmarks.scaling", *(sys.argv[1:] if arguments is None else arguments)]),
    }
    folder = options.out or (Path("out") if options.only or options.sizes else DOCS)
    folder.mkdir(parents=True, exist_ok=True)
    write(data, curves, folder)
    print(table(curves))
    print("\n".join(cliffs(curves)) or "no cliffs")
    print(f"written to {folder / 'scaling.md'}, in {data['minutes']:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
