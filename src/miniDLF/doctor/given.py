"""Checks of the data, before anything is learned from them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from miniDLF.core.graph import Node
from miniDLF.doctor.case import Case
from miniDLF.doctor.findings import CERTAIN, LIKELY, POSSIBLE, Finding, percent
from miniDLF.doctor.outputs import followers, regresses
from miniDLF.kernels.workspace import Array
from miniDLF.layers import BatchNormalization, Conv2D, Dense, Flatten, Layer, Reshape
from miniDLF.layers.recurrent import Recurrent

#: Sizes (root mean square) of inputs and of targets beyond which a network with usual weights learns badly.
LARGE_INPUTS, LARGE_TARGETS = 30.0, 100.0
SMALL = 1e-3
#: Rows from which a statement about a distribution means something.
ENOUGH = 20


def inputs_not_scaled(case: Case) -> Iterator[Finding]:
    """Inputs that look like the bytes of pictures, or are large or tiny, in front of a layer with weights."""
    if case.data is None:
        return
    for node, values in zip(case.graph.inputs, case.data.inputs, strict=True):
        if len(values) < 2 or not _weighs(case, node):
            continue
        numbers = values.astype(np.float64)
        low, high, size = float(numbers.min()), float(numbers.max()), float(np.sqrt(np.mean(numbers * numbers)))
        if low >= 0 and 100 < high <= 255 and np.array_equal(numbers, np.rint(numbers)) and _many(node):
            yield Finding(
                "inputs_not_scaled",
                f"{_called(node)} holds whole numbers from {low:g} to {high:g}, like the bytes of pictures",
                "weights are drawn for inputs of about 1; these make the first values a hundred times too large, so "
                "the loss begins far too high and units die or saturate",
                "divide by 255: x = x / 255.0, in training and in prediction",
                LIKELY,
            )
        elif size > LARGE_INPUTS:
            yield Finding(
                "inputs_not_scaled",
                f"{_called(node)} is large: from {low:.4g} to {high:.4g}, mean {numbers.mean():.4g}, standard "
                f"deviation {numbers.std():.4g}",
                "weights are drawn for inputs of about 1; large ones make the first values as much too large, so the "
                "loss begins far too high and units die or saturate",
                "standardise: x = (x - x.mean(0)) / (x.std(0) + 1e-7) with the numbers of the training data, or begin "
                "with BatchNormalization()",
                LIKELY,
            )
        elif 0 < size < SMALL and len(values) >= ENOUGH:
            yield Finding(
                "inputs_not_scaled",
                f"{_called(node)} is tiny: from {low:.3g} to {high:.3g}",
                "what is learned from an input is proportional to it, so this takes a thousand times longer",
                "scale it to about 1: x = x / x.std(); look whether it has been divided by 255 twice",
                LIKELY,
            )


def _weighs(case: Case, node: Node) -> bool:
    """Say whether a layer with weights of this library reads an input directly; others may scale it themselves."""
    read = followers(case.graph)
    pending = list(read[node])
    while pending:
        reader = pending.pop()
        if type(reader.layer) in (Flatten, Reshape):
            pending.extend(read[reader])
        elif type(reader.layer) in (Dense, Conv2D) or (
            isinstance(reader.layer, Recurrent) and type(reader.layer).__module__.startswith("miniDLF.")
        ):
            return True
    return False


def _many(node: Node) -> bool:
    return int(np.prod(node.shape)) >= 16


def _called(node: Node) -> str:
    return f"the input {node.name!r}" if node.name else "the input x"


def inputs_constant(case: Case) -> Iterator[Finding]:
    """Inputs that are the same in every sample."""
    if case.data is None or len(case.data) < 8:
        return
    for node, values in zip(case.graph.inputs, case.data.inputs, strict=True):
        if (values == values[:1]).all():
            yield Finding(
                "inputs_constant",
                f"{_called(node)} is the same in all of {len(values)} samples that were looked at",
                "without a difference between samples there is nothing to tell them apart by",
                "look at how x is made: print(x[:3])",
                CERTAIN if len(case.graph.inputs) == 1 else LIKELY,
            )


def columns_constant(case: Case) -> Iterator[Finding]:
    """Columns of a table that are the same everywhere, or of very different sizes."""
    if case.data is None or len(case.data) < ENOUGH:
        return
    for node, values in zip(case.graph.inputs, case.data.inputs, strict=True):
        if len(node.shape) != 1 or not 2 <= node.shape[0] <= 64 or (values == values[:1]).all():
            continue
        spread = values.astype(np.float64).std(axis=0)
        same = np.flatnonzero(spread == 0)
        if same.size and not ((values[0, same] == 0) | (values[0, same] == 1)).all():
            yield Finding(
                "columns_constant",
                f"column{'s' if same.size > 1 else ''} {_listed(same)} of {_called(node)} hold the same number "
                f"everywhere ({values[0, same[0]]:.4g})",
                "a constant column tells nothing, and a large one drowns the others",
                "leave the column out: x = x[:, x.std(0) > 0]",
                POSSIBLE,
            )
        kept = spread[spread > 0]
        if kept.size > 1 and kept.max() > 1000 * kept.min() and _weighs(case, node):
            large, small = int(spread.argmax()), int(np.where(spread > 0, spread, np.inf).argmin())
            yield Finding(
                "columns_of_different_size",
                f"column {large} of {_called(node)} has a standard deviation of {kept.max():.3g}, column {small} of "
                f"{kept.min():.3g}",
                "one rate does not fit weights of such different effect, so the small columns are learned last",
                "standardise: x = (x - x.mean(0)) / (x.std(0) + 1e-7)",
                LIKELY,
            )


def _listed(numbers: Array, most: int = 6) -> str:
    shown = ", ".join(str(int(number)) for number in numbers[:most])
    return shown + (f" and {numbers.size - most} more" if numbers.size > most else "")


def targets_out_of_reach(case: Case) -> Iterator[Finding]:
    """Targets that the activation of the output cannot give."""
    if case.data is None:
        return
    for output in case.outputs:
        target = case.data.targets_of(output)
        low, high = output.range
        if not regresses(output.loss) or target.shape[1:] != output.node.shape or not target.size:
            continue
        least, most = float(target.min()), float(target.max())
        slack = 1e-3 * max(1.0, *(abs(end) for end in (low, high) if np.isfinite(end)), 1.0)
        if least >= low - slack and most <= high + slack:
            continue
        beyond = float(np.mean((target < low - slack) | (target > high + slack)))
        span = f"from {low:.3g} to {high:.3g}" if high < np.inf else f"above {low:.3g}"
        yield Finding(
            "targets_out_of_reach",
            f"targets lie from {least:.4g} to {most:.4g}, {percent(beyond)} of them beyond what {output.described} can "
            f"give ({span})",
            "the output comes to lie at the end of its range, where its gradient is 0",
            "leave the last activation out for a regression, or scale the targets into its range",
            CERTAIN if beyond > 0.01 else LIKELY,
        )


def targets_not_scaled(case: Case) -> Iterator[Finding]:
    """Targets of a regression far from the numbers that a fresh network gives."""
    if case.data is None or len(case.data) < 8:
        return
    for output in case.outputs:
        target = case.data.targets_of(output)
        if not regresses(output.loss) or output.activation not in ("linear", "relu", "softplus"):
            continue
        numbers = target.astype(np.float64)
        size = float(np.sqrt(np.mean(numbers * numbers)))
        if size > LARGE_TARGETS or 0 < size < SMALL:
            yield Finding(
                "targets_not_scaled",
                f"targets have the mean {numbers.mean():.4g} and the standard deviation {numbers.std():.4g}, and the "
                "output of a fresh network is about 1",
                "the weights have to grow to the size of the targets first, a small step at a time, and the loss and "
                "its gradients are as large (or small) as their square",
                "learn (y - y.mean()) / y.std(), and undo that behind predict",
                LIKELY,
            )


def answers_as_numbers(case: Case) -> Iterator[Finding]:
    """A metric of answers where the targets are numbers, in outputs of several units."""
    if case.data is None or len(case.data) < 8:
        return
    for output in case.outputs:
        target = case.data.targets_of(output)
        if not regresses(output.loss) or output.units < 2 or target.dtype.kind != "f":
            continue
        named = [m.name for m in output.metrics if m.name in ("acc", "accuracy", "binary_accuracy")]
        if named and not ((target == 0) | (np.abs(target) == 1)).all() and _unlike_shares(target):
            yield Finding(
                "accuracy_of_numbers",
                f"metric {named[0]!r} counts right answers, and the targets are numbers from {target.min():.4g} to "
                f"{target.max():.4g}",
                "a number is hardly ever equal to its target, so an accuracy says nothing about a regression",
                "use metrics=['mae'] or ['r2']",
                CERTAIN,
            )


def _unlike_shares(target: Array) -> bool:
    return bool((target < 0).any() or (target > 1).any() or np.abs(target.sum(axis=-1) - 1).max() > 1e-3)


def weights_of_zero(case: Case) -> Iterator[Finding]:
    """Sample or class weights that leave nothing to learn from."""
    if case.data is None:
        return
    for output, weight in zip(case.outputs, case.data.weights, strict=True):
        if weight is not None and weight.size and not np.any(weight):
            yield Finding(
                "weights_of_zero",
                f"all weights of samples of the output {output.name!r} are 0",
                "the loss is a mean times these weights, so nothing is learned",
                "leave out sample_weight and class_weight, or look at how they are made",
                CERTAIN,
            )


def batch_of_one(case: Case) -> Iterator[Finding]:
    """A normalisation by the batch where a batch is one row."""
    if case.batch_size != 1 or case.data is None or case.data.total < 2:
        return
    for node in case.graph.nodes:
        if type(node.layer) is BatchNormalization and len(node.shape) == 1 and node.layer.trainable:
            yield Finding(
                "batch_of_one",
                f"layer {case.graph.names[node.layer]!r} normalises by the batch, and a batch is 1 sample",
                "a single sample minus its own mean is 0, whatever it holds",
                "use batch_size=32, or leave the normalisation out",
                CERTAIN,
            )
            return


def nothing_trained(case: Case) -> Iterator[Finding]:
    """A model all of whose layers are frozen."""
    owners: list[Layer] = [layer for layer in case.graph.layers if layer.parameters]
    if owners and case.passed is not None and not case.passed.gradients:
        yield Finding(
            "nothing_trained",
            f"none of the {sum(p.size for layer in owners for p in layer.parameters):,} weights is trained: every "
            "layer has trainable=False",
            "there is nothing for the optimizer to change",
            "set trainable = True on the layers that are to learn, and compile again",
            CERTAIN,
        )


def validation_not_alike(case: Case) -> Iterator[Finding]:
    """Validation inputs on another scale than those of training."""
    data, held = case.data, case.validation
    if data is None or held is None or min(len(data), len(held)) < ENOUGH:
        return
    for node, ours, theirs in zip(case.graph.inputs, data.inputs, held.inputs, strict=True):
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        spread, other = float(a.std()), float(b.std())
        if not spread or not other:
            continue
        away = abs(float(a.mean() - b.mean()))
        if away > 3 * max(spread, other) or not 0.1 < other / spread < 10:
            yield Finding(
                "validation_not_alike",
                f"{_called(node)} has the mean {a.mean():.4g} and the standard deviation {spread:.4g} in training, "
                f"{b.mean():.4g} and {other:.4g} in validation",
                "what is learned on one scale is measured on another",
                "scale both by the same numbers, those of the training data",
                CERTAIN,
            )
