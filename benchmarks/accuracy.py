"""The accuracies that the specification prints, with its settings: the median of three seeds.

    python benchmarks/accuracy.py [--seeds 3] [--only mlp,cnn] [--data ../shared/data]

Real data is needed: `MNIST/mnist.pkl.gz`, and the text of the recurrent examples, `TEXT/basic_rnn_from_wiki.txt`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

from miniDLF.cli.networks import NETWORKS
from miniDLF.datasets import MNIST, TEXT2SEQ, Dataset
from miniDLF.models import Sequential

#: Name: (what is measured, floor, aim, epochs at most), from the specification's printed runs.
TARGETS = {
    "mlp": ("best test accuracy", 0.9764, 0.983, 25),
    "cnn": ("best test accuracy", 0.9736, 0.979, 15),
    "rnn": ("epochs to 95 % training accuracy", 7, 3, 7),
    "lstm": ("epochs to 95 % training accuracy", 23, 23, 23),
    "gru": ("epochs to 95 % training accuracy", 8, 8, 8),
}


def data_for(name: str, folder: Path) -> Dataset:
    """Return the data set of a network."""
    if NETWORKS[name].kind == "text":
        return TEXT2SEQ(folder / "TEXT" / "basic_rnn_from_wiki.txt", 60)
    shape = (784,) if NETWORKS[name].kind == "vectors" else (1, 28, 28)
    return MNIST(folder / "MNIST" / "mnist.pkl.gz", n_classes=10, input_shape=shape)


def run(name: str, seed: int, data: Dataset) -> tuple[float, float]:
    """Train once; return the figure that counts and the seconds an epoch took."""
    network, (what, _, _, epochs) = NETWORKS[name], TARGETS[name]
    model = Sequential(network.layers(tuple(int(n) for n in data.input_shape)), seed=seed)
    model.compile("cce", "adam")
    began = time.perf_counter()
    history = model.fit(
        data,
        epochs=epochs,
        minibatch_size=network.batch_size,
        early_stop_after=network.early_stop_after,
        accuracy_threshold=network.accuracy_threshold,
        verbose=0,
    ).history
    seconds = (time.perf_counter() - began) / len(history["loss"])
    if "test" in what:
        return max(history["val_accuracy"]), seconds
    reached = [number for number, accuracy in enumerate(history["accuracy"], 1) if accuracy >= 0.95]
    return (reached[0] if reached else float("inf")), seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    if not options.data.exists():
        print(
            f"{options.data}: there is no such folder. Name the one that holds MNIST/mnist.pkl.gz and "
            "TEXT/basic_rnn_from_wiki.txt: --data folder, or make accuracy DATA=folder.",
            file=sys.stderr,
        )
        return 1
    missed = False
    print(
        f"| network | measure | floor | aim | median of {options.seeds} | all | seconds an epoch |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in options.only.split(","):
        what, floor, aim, _ = TARGETS[name]
        data = data_for(name, options.data)
        results = []
        for seed in range(options.seeds):
            results.append(run(name, seed, data))
            print(f"  {name} seed {seed}: {results[-1][0]}", file=sys.stderr)
        figures = [figure for figure, _ in results]
        middle = median(figures)
        missed |= middle < floor if floor < 1 else middle > floor
        show = "{:.2%}".format if floor < 1 else "{:g}".format
        print(
            f"| {name} | {what} | {show(floor)} | {show(aim)} | {show(middle)} | {', '.join(map(show, figures))} "
            f"| {median(seconds for _, seconds in results):.2f} |",
            flush=True,
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
