"""Every workload by name, in the order of the report."""

from __future__ import annotations

from benchmarks.workloads import (
    autoencoder,
    cifar_cnn,
    cnn,
    gru,
    lstm,
    lstm_large,
    mlp,
    mlp_tiny,
    mlp_wide,
    mnist_epoch,
    predict,
    rnn3,
)
from benchmarks.workloads.base import Data, Workload
from benchmarks.workloads.scaled import scaled

__all__ = ["WORKLOADS", "Data", "Workload", "find", "select"]

MODULES = (
    mlp,
    cnn,
    rnn3,
    lstm,
    gru,
    cifar_cnn,
    lstm_large,
    mlp_wide,
    mlp_tiny,
    autoencoder,
    predict,
    mnist_epoch,
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for module in MODULES for workload in module.WORKLOADS}


def find(name: str) -> Workload:
    """Return the workload called `name`; ``axis@value`` is a point of a scaling curve."""
    if "@" in name:
        axis, _, value = name.partition("@")
        return scaled(axis, int(value))
    return WORKLOADS[name]


def select(words: str | None) -> list[Workload]:
    """Return the workloads whose names are, or begin with, one of the comma-separated `words` (all without any)."""
    if not words:
        return list(WORKLOADS.values())
    chosen: list[Workload] = []
    for word in words.split(","):
        exact = [WORKLOADS[word]] if word in WORKLOADS else []
        found = exact or [workload for name, workload in WORKLOADS.items() if name.startswith(word)]
        if not found:
            raise SystemExit(f"no workload is called {word!r}; there are {', '.join(WORKLOADS)}")
        chosen += [workload for workload in found if workload not in chosen]
    return chosen
