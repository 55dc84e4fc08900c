"""Which initial weights, and which momentum of BatchNormalization, let networks learn best.

    python -m benchmarks.initial_weights [--quick] [--only residual,tanh] [--data ../shared/data] [--processes 1]

Every task of `tasks.py` is trained with every candidate and several seeds. The seed fixes data, order and dropout as
well as the weights, so candidates are compared seed by seed. Finished trainings are kept in the JSON file, and a second
run goes on where the first one ended; ``--anew`` trains all again. Without the real data the specification's networks
are left out. One task needs scikit-learn, for its diabetes data.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from scipy import stats

from benchmarks.rendering import put_between
from benchmarks.tasks import TASKS
from miniDLF.core.graph import Graph
from miniDLF.initializers import get_initializer
from miniDLF.layers import (
    ELU,
    GELU,
    Activation,
    BatchNormalization,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    Pooling2D,
    ReLU,
    Reshape,
    Softplus,
    Swish,
    UpSampling2D,
)
from miniDLF.layers.recurrent import Recurrent
from miniDLF.models import Model

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: What a candidate is compared with, and BatchNormalization's momentum there: the defaults up to version 0.1.
REFERENCE, MOMENTUM = "he_normal", 0.9
#: How often a difference that is called clear would come about by chance.
CHANCE = 0.01
#: Parameters that are drawn by the rule; recurrent matrices are orthogonal in all candidates.
DRAWN = ("weight", "input_weight", "output_weight")

Job = tuple[str, str, int]  # task, candidate, seed
Figures = Mapping[str, Mapping[str, float]]  # of a task, by candidate and seed
Rule = Callable[[Graph, Layer, str], str]
RECTIFIERS = (ReLU, ELU, GELU, Swish, Softplus)
PASSED = (Dropout, Flatten, GlobalAveragePooling2D, Pooling2D, Reshape, UpSampling2D)


def rectified(graph: Graph, layer: Layer, name: str) -> bool:
    """Say whether what the parameter makes goes into a rectifier, but for layers that drop, pool or reshape it."""
    pending = [] if name == "input_weight" else [node for node in graph.nodes if node.layer is layer]
    while pending:
        node = pending.pop()
        for after in graph.nodes:
            if node in after.inputs:
                what = after.layer.function if isinstance(after.layer, Activation) else after.layer
                if isinstance(what, RECTIFIERS):
                    return True
                if isinstance(what, PASSED):
                    pending.append(after)
    return False


def everywhere(initializer: str) -> Rule:
    return lambda graph, layer, name: initializer


def by_layer(initializer: str, recurrent: str) -> Rule:
    return lambda graph, layer, name: recurrent if isinstance(layer, Recurrent) else initializer


def he_before_rectifiers(elsewhere: str) -> Rule:
    return lambda graph, layer, name: "he_normal" if rectified(graph, layer, name) else elsewhere


#: Name: how weights are drawn, and the momentum of BatchNormalization.
CANDIDATES: dict[str, tuple[Rule, float]] = {
    "he_normal": (everywhere("he_normal"), MOMENTUM),
    "glorot_uniform": (everywhere("glorot_uniform"), MOMENTUM),
    "glorot_normal": (everywhere("glorot_normal"), MOMENTUM),
    "lecun_normal": (everywhere("lecun_normal"), MOMENTUM),
    "he, else glorot": (he_before_rectifiers("glorot_uniform"), MOMENTUM),
    "he, else lecun": (he_before_rectifiers("lecun_normal"), MOMENTUM),
    "glorot, recurrent he": (by_layer("glorot_uniform", "he_normal"), MOMENTUM),
    "he_normal, 0.99": (everywhere("he_normal"), 0.99),
    "glorot_uniform, 0.99": (everywhere("glorot_uniform"), 0.99),
}


def drawn(model: Model, candidate: str) -> dict[str, str]:
    """Return how the candidate draws each parameter of a built model, by path, and the momentum it sets."""
    rule, momentum = CANDIDATES[candidate]
    result = {
        f"{name}/{parameter.name}": rule(model.graph, layer, parameter.name)
        for layer, name in model.graph.names.items()
        for parameter in layer.parameters
        if parameter.name in DRAWN
    }
    if any(isinstance(layer, BatchNormalization) for layer in model.layers):
        result["momentum"] = str(momentum)
    return result


def train(task: str, candidate: str, seed: int, folder: Path, epochs: float) -> float:
    """Return the figure of one training."""

    def change(model: Model) -> None:
        choice = drawn(model, candidate)
        for layer, name in model.graph.names.items():
            if isinstance(layer, BatchNormalization):
                layer.momentum = CANDIDATES[candidate][1]
            for parameter in layer.parameters:
                if parameter.name in DRAWN:
                    parameter.initializer = get_initializer(choice[f"{name}/{parameter.name}"])

    return TASKS[task].run(seed, folder, change, epochs)


def twins(task: str, folder: Path) -> dict[str, str]:
    """Return for each candidate the first one that does the same to this network: it stands for the others, too."""
    model = TASKS[task].model(0, TASKS[task].data(0, folder))
    first: dict[tuple[Any, ...], str] = {}
    return {name: first.setdefault(tuple(drawn(model, name).items()), name) for name in CANDIDATES}


def measure(jobs: list[Job], options: argparse.Namespace) -> Iterator[tuple[Job, float]]:
    """Yield every job with its figure, as soon as it is there."""
    arguments = [[job[part] for job in jobs] for part in range(3)]
    fixed = itertools.repeat(options.data), itertools.repeat(0.0 if options.quick else options.epochs)
    if options.processes == 1:
        yield from zip(jobs, map(train, *arguments, *fixed), strict=True)
        return
    with ProcessPoolExecutor(options.processes) as pool:
        yield from zip(jobs, pool.map(train, *arguments, *fixed), strict=True)


def share(figures: dict[str, dict[str, float]], same: Mapping[str, str]) -> None:
    """Give candidates that do the same to a network each other's figures."""
    pools: dict[str, dict[str, float]] = {}
    for name, first in same.items():
        pools.setdefault(first, {}).update(figures.get(name, {}))
    figures.update({name: dict(pools[first]) for name, first in same.items() if pools[first]})


def standard_error(values: Sequence[float]) -> float:
    """Return that of the mean."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def gains(task: str, figures: Figures, candidate: str, reference: str) -> list[float]:
    """Return by how much the candidate is better than the reference, seed by seed."""
    sign = 1 if TASKS[task].more_is_better else -1
    ours, others = figures[candidate], figures[reference]
    return [sign * (ours[seed] - others[seed]) for seed in ours if seed in others]


def score(values: Sequence[float]) -> float:
    """Return the mean gain in its standard errors."""
    error = standard_error(values)
    return mean(values) / error if error > 0 else 0.0


def clear(values: Sequence[float]) -> int:
    """Return 1 or -1 where the mean gain is clearly more or less than zero (Student's t, two-sided), else 0."""
    if len(values) < 2 or abs(score(values)) < stats.t.ppf(1 - CHANCE / 2, len(values) - 1):
        return 0
    return 1 if score(values) > 0 else -1


def cell(task: str, figures: Figures, candidate: str, reference: str) -> str:
    """Return median and standard error; bold where the candidate is clearly better, slanted where clearly worse."""
    values = list(figures.get(candidate, {}).values())
    if not values:
        return ""
    scale, digits = (100, 1) if TASKS[task].more_is_better else (1, 4)
    text = f"{scale * median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {scale * standard_error(values):.{digits}f}"
    mark = {0: "", 1: "**", -1: "*"}[clear(gains(task, figures, candidate, reference))]
    return f"{mark}{text}{mark}"


def table(results: Mapping[str, Figures], columns: Mapping[str, str]) -> list[str]:
    """Return the lines of a table with the candidates in `columns`, each compared with the one it is mapped to."""
    lines = [f"| network | seeds | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for task, figures in results.items():
        cells = [cell(task, figures, candidate, reference) for candidate, reference in columns.items()]
        lines.append(f"| {TASKS[task].title} | {len(figures[REFERENCE])} | {' | '.join(cells)} |")
    return lines


def verdicts(results: Mapping[str, Figures]) -> list[str]:
    """Return the table of how each way to draw compares with the reference over all networks."""
    lines = ["| weights | clearly better | clearly worse | worst, in standard errors |", "|---" * 4 + "|"]
    for candidate in [name for name, (_, momentum) in CANDIDATES.items() if momentum == MOMENTUM][1:]:
        everything = {task: gains(task, f, candidate, REFERENCE) for task, f in results.items() if f.get(candidate)}
        if everything:
            worst = min(everything, key=lambda task: score(everything[task]))
            signs = [clear(values) for values in everything.values()]
            lines.append(
                f"| {candidate} | {signs.count(1)} of {len(signs)} | {signs.count(-1)} of {len(signs)} "
                f"| {score(everything[worst]):+.1f}: {TASKS[worst].title} |"
            )
    return lines


def tables(results: Mapping[str, Figures]) -> str:
    """Return all tables in Markdown."""
    usual = {name: REFERENCE for name, (_, momentum) in CANDIDATES.items() if momentum == MOMENTUM}
    pairs = {name.partition(", 0.99")[0]: name for name, (_, momentum) in CANDIDATES.items() if momentum != MOMENTUM}
    normalised = {
        task: f for task, f in results.items() if any(f.get(n) not in (None, f.get(b)) for b, n in pairs.items())
    }
    both = {name: base for base, other in pairs.items() for name in (base, other)}
    return "\n".join(
        [*table(results, usual), "", *verdicts(results), *(["", *table(normalised, both)] if normalised else [])]
    )


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--quick", action="store_true", help="one epoch and two seeds each, without the real data")
    result.add_argument("--only", default=",".join(TASKS), help="tasks, with commas between")
    result.add_argument("--candidates", default=";".join(CANDIDATES), help="candidates, with semicolons between")
    result.add_argument("--seeds", type=int, default=12, help="of the small tasks")
    result.add_argument("--long-seeds", type=int, default=3, help="of the specification's networks")
    result.add_argument("--epochs", type=float, default=1.0, metavar="FACTOR", help="times the epochs of each task")
    result.add_argument("--data", type=Path, default=Path("../shared/data"))
    result.add_argument("--processes", type=int, default=1)
    result.add_argument("--out", type=Path, help="default: docs/, with --quick out/")
    result.add_argument("--anew", action="store_true")
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    os.environ.setdefault("MINIDLF_NUM_THREADS", "1")
    folder = options.out or (Path("out") if options.quick else DOCS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "initial_weights.json"
    known: dict[str, Any] = {} if options.anew or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
    results: dict[str, Any] = known.get("results", {})
    jobs: list[Job] = []
    same: dict[str, dict[str, str]] = {}
    for name in options.only.split(","):
        task = TASKS[name]
        if task.long and (options.quick or not options.data.exists()):
            continue
        seeds = 2 if options.quick else options.long_seeds if task.long else options.seeds
        same[name] = twins(name, options.data)
        share(results.setdefault(name, {}), same[name])
        for seed in range(seeds):
            for candidate in dict.fromkeys(same[name][chosen] for chosen in options.candidates.split(";")):
                if str(seed) not in results[name].get(candidate, {}):
                    jobs.append((name, candidate, seed))
    began = time.perf_counter()
    for (name, candidate, seed), figure in measure(jobs, options):
        results[name].setdefault(candidate, {})[str(seed)] = round(figure, 5)
        share(results[name], same[name])
        print(f"{name}, {candidate}, seed {seed}: {figure:.4f}", file=sys.stderr, flush=True)
        data = {"date": time.strftime("%Y-%m-%d"), "results": results}
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    text = tables({name: results[name] for name in TASKS if results.get(name)})
    print(text)
    if folder == DOCS:
        put_between(DOCS / "initial_weights.md", "figures", text)
    print(f"{len(jobs)} trainings in {(time.perf_counter() - began) / 60:.1f} minutes; figures in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
