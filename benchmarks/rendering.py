"""The report's arithmetic, its page and its picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import peers, workloads

__all__ = [
    "best_peer",
    "chart",
    "geometric_mean",
    "observed_table",
    "put_between",
    "ratio",
    "short_table",
    "summary",
    "table",
    "write",
]

COLOURS = {"torch_eager": "#ee6677", "torch_compile": "#aa3377", "jax_jit": "#4477aa", "keras_jax": "#66ccee"}


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean; NaN of nothing."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def ratio(result: Mapping[str, Any], peer: str, ours: str = peers.OURS) -> float | None:
    """Return a peer's time over ours: the median of the ratios of the turns, which followed one another.

    A machine that slows down for a while slows both in the same turns, so the ratio moves less than the times.
    """
    theirs, mine = result["peers"].get(peer), result["peers"].get(ours)
    if theirs is None or mine is None:
        return None
    return median(other / own for other, own in zip(theirs["times"], mine["times"], strict=False))


def best_peer(result: Mapping[str, Any], ours: str = peers.OURS) -> tuple[str, float] | None:
    """Return the fastest of the others and its ratio to ours."""
    ratios = {name: ratio(result, name, ours) for name in result["peers"] if name in peers.PEERS and name != peers.OURS}
    found = {name: value for name, value in ratios.items() if value is not None}
    if not found:
        return None
    name = min(found, key=lambda key: found[key])
    return name, found[name]


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "-"
    low, high = entry["quartiles"]
    return f"{_time(entry['median'])} ±{(high - low) / 2 / entry['median']:.0%}"


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
        cells = [_cell(result["peers"].get(peer)) for peer in names]
        best = best_peer(result)
        known = result.get("gemm_share") if workload.mode == "train" else None
        share = f"{known:.0%}" if known else "-"
        memory = [result["peers"].get(peer, {}).get("peak") for peer in (peers.OURS, "torch_eager")]
        shown = " / ".join("-" if value is None else f"{value:.0f}" for value in memory)
        lines.append(
            f"| {workload.title} | {' | '.join(cells)} | {f'**{best[1]:.2f}**' if best else '-'} | {share} | {shown} |"
        )
    return "\n".join(lines)


def short_table(data: Mapping[str, Any]) -> str:
    """Return the README's table: ours against the best peer of each workload, the means, and how to read it."""
    lines = ["| workload | miniDLF | best peer | its time / ours |", "|---|---|---|---|"]
    for name, result in data["results"].items():
        best = best_peer(result)
        if best:
            peer = f"{_time(result['peers'][best[0]]['median'])} ({peers.load(best[0]).TITLE})"
            ours = _time(result["peers"][peers.OURS]["median"])
            lines.append(f"| {workloads.find(name).title} | {ours} | {peer} | {best[1]:.2f} |")
    means = data["means"]
    return "\n".join(
        [
            *lines,
            "",
            f"{data['machine']}; {data['threads']} threads, {data['date']}.",
            f"Geometric mean {means['all']:.2f}, over the specification's five networks {means['specification']:.2f}.",
            "The last column is the median of the ratios of the turns, not the quotient of the two medians before it.",
        ]
    )


def put_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the comments ``<!-- name -->`` and ``<!-- end of name -->``."""
    before, opening, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, closing, after = rest.partition(f"<!-- end of {name} -->")
    if not opening or not closing:
        raise ValueError(f"{path} has no place for {name}")
    path.write_text(f"{before}{opening}{text}\n{closing}{after}", encoding="utf-8")


def observed_table(results: Mapping[str, Any]) -> str:
    """Return the table of the workloads that also ran with metrics and callbacks; nothing where none did."""
    lines = []
    for name, result in results.items():
        bare, observed = (result["peers"].get(peer) for peer in (peers.OURS, peers.WITH_CALLBACKS))
        if not bare or not observed:
            continue
        best, with_them = best_peer(result), best_peer(result, peers.WITH_CALLBACKS)
        ratios = " | ".join(f"**{found[1]:.2f}**" if found else "-" for found in (best, with_them))
        lines.append(f"| {workloads.find(name).title} | {_cell(bare)} | {_cell(observed)} | {ratios} |")
    if not lines:
        return ""
    head = (
        "| workload | miniDLF, bare steps | with metrics and callbacks | best peer / bare | best peer / with them |",
        "|" + "---|" * 5,
    )
    return "\n".join([*head, *lines])


def summary(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the geometric means of the ratios (over all, over the specification's five) and the lowest one.

    'observed' is that of the specification's with metrics and callbacks on, against the same peers without them.
    """
    best = {name: best_peer(result) for name, result in results.items()}
    ratios = {name: found[1] for name, found in best.items() if found}
    specified = [name for name in results if workloads.find(name).specified]
    observed = [best_peer(results[name], peers.WITH_CALLBACKS) for name in specified]
    return {
        "all": geometric_mean(list(ratios.values())),
        "specification": geometric_mean([ratios[name] for name in specified if name in ratios]),
        "observed": geometric_mean([found[1] for found in observed if found]),
        "lowest": min(ratios.values(), default=float("nan")),
    }


def chart(results: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    """Draw every peer's time over ours."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    others = [name for name in names if name != peers.OURS]
    rows = {name: result for name, result in results.items() if peers.OURS in result["peers"]}
    figure = Figure(figsize=(10, (0.11 * len(others) + 0.14) * len(rows) + 1.7), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / max(len(others), 1)
    for place, other in enumerate(others):
        values = {row: ratio(result, other) for row, result in enumerate(rows.values())}
        bars = {row: value for row, value in values.items() if value is not None}
        axes.barh(
            [row + (place + 0.5) * height - 0.4 for row in bars],
            [value - 1 for value in bars.values()],
            height,
            left=1,
            color=COLOURS.get(other, "#bbbbbb"),
            label=peers.load(other).TITLE,
        )
        for row, value in bars.items():
            axes.annotate(
                f"{value:.2f}",
                (value, row + (place + 0.5) * height - 0.4),
                (3 if value >= 1 else -3, 0),
                textcoords="offset points",
                ha="left" if value >= 1 else "right",
                va="center",
                fontsize=6,
            )
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [workloads.find(name).title for name in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low / 1.15, 0.8), max(high * 1.15, 1.25))
    ticks = [tick for tick in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100) if low <= tick <= high]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("time of the peer / time of miniDLF (right of the line miniDLF is faster)")
    if others:
        figure.legend(loc="outside upper center", ncols=len(others), fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)


def _measured_again(data: Mapping[str, Any]) -> str:
    """Name the workloads whose results are of a later run, by `--again`."""
    return f"Measured again later by `--again`: {', '.join(data['again'])}.\n" if data.get("again") else ""


def write(data: Mapping[str, Any], folder: Path) -> None:
    """Write the JSON, the page and the picture."""
    results, names, means = data["results"], data["peers"], data["means"]
    (folder / "benchmarks.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    chart(results, names, folder / "benchmarks.png")
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    text = f"""# Benchmarks

Written by `{data["command"]}` on {data["date"]}, in {data["minutes"]:.0f} minutes. {data["machine"]},
{data["threads"]} threads. {versions}.
{_measured_again(data)}
A step is one full training step in float32: gather of a batch, forward, loss, backward, Adam. Each framework runs in
processes of its own, in turns, and those that wait are stopped; all keep the memory that they free, without which the
peers' convolutions are slower. A cell is the median of {data["turns"]} turns and half
the distance of their quartiles; a peer that is over twice as slow as the best of them takes three turns. The ratio is
the best peer's time over ours, the median over the turns: above 1 miniDLF is faster. The share of the GEMM rate counts
the flops of the matrix products alone (2 m n k; convolutions as if done directly, so Winograd's may pass 100 %) against
NumPy's own rate for 1024 x 1024 products on all threads in the same turns. The peak memory is that of the whole
process, the imported framework included.

{table(results, names)}

Geometric mean of the ratios: **{means["all"]:.2f}** over all workloads, **{means["specification"]:.2f}** over the
specification's five; the lowest single ratio is {means["lowest"]:.2f}.

![time of the peers over miniDLF's](benchmarks.png)
"""
    observed = observed_table(results)
    if observed:
        text += f"""
## With metrics and callbacks

miniDLF's own loop with the accuracy measured at every step, `CSVLogger`, `EarlyStopping` and a `LambdaCallback` on
every batch, against the same bare steps of the peers. Geometric mean with them: **{means["observed"]:.2f}**.

{observed}
"""
    chosen = _chosen(results)
    if chosen:
        text += "\n## What the peers chose\n\nWhere a framework has several good ways, the fastest on this machine.\n\n"
        text += "\n".join(chosen) + "\n"
    errors = [f"- {name}, {peer}: {what}" for name, r in results.items() for peer, what in r["errors"].items()]
    if errors:
        text += "\n## Not run\n\n" + "\n".join(errors) + "\n"
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")


def _chosen(results: Mapping[str, Any]) -> list[str]:
    """Return a line a peer: which variant it took for which workloads."""
    taken: dict[str, dict[str, list[str]]] = {}
    for name, result in results.items():
        for peer, entry in result["peers"].items():
            if entry["variant"]:
                taken.setdefault(peer, {}).setdefault(entry["variant"], []).append(f"`{name}`")
    return [
        f"- {peers.load(peer).TITLE}: "
        + "; ".join(f"{variant}: {', '.join(where)}" for variant, where in variants.items())
        for peer, variants in taken.items()
    ]
