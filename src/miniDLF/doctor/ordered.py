"""Checks of the order of the data, of how often each class is there, and of what inputs say about targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from miniDLF.doctor.case import Case, Data
from miniDLF.doctor.findings import CERTAIN, LIKELY, POSSIBLE, Finding, percent
from miniDLF.doctor.given import ENOUGH
from miniDLF.doctor.outputs import Output, regresses
from miniDLF.doctor.probing import explains
from miniDLF.kernels.workspace import Array


def answers_of(output: Output, data: Data) -> Array:
    """Return one number a row, in their order: its class, or the only number of its target; empty where it has more."""
    target = data.all_targets_of(output)
    if output.loss.classifies == "categorical" and target.ndim > 1 and target.shape[1:] == output.node.shape:
        target = target.argmax(axis=-1)
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    return target if target.ndim == 1 else target[:0].reshape(-1)


def distinct(values: Array) -> Array:
    """Return the different values, in order; `numpy.unique` loads masked arrays, which takes 10 ms."""
    if values.dtype.kind in "iu" and values.size and values.min() >= 0 and values.max() < 1 << 20:
        return np.flatnonzero(np.bincount(values.astype(np.intp, copy=False)))  # 50 000 labels: 0.1 ms, sorted 5
    ordered = np.sort(values)
    first = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _classifies(output: Output) -> bool:
    return output.loss.classifies != "" if hasattr(output.loss, "classifies") else False


def labels_sorted(case: Case) -> Iterator[Finding]:
    """Data in the order of their classes, of which the end is held back, or which are not shuffled."""
    if case.data is None or case.data.whole is None:
        return
    for output in case.outputs:
        if _classifies(output) and case.split and case.validation is not None:
            yield from _split_off(answers_of(output, case.data), answers_of(output, case.validation))
        elif case.split and case.validation is not None and regresses(output.loss):
            ours, theirs = answers_of(output, case.data), answers_of(output, case.validation)
            if ours.size >= ENOUGH and theirs.size >= 4 and (ours.max() < theirs.min() or theirs.max() < ours.min()):
                yield Finding(
                    "labels_sorted",
                    f"targets lie from {ours.min():.4g} to {ours.max():.4g} in training, and from {theirs.min():.4g} "
                    f"to {theirs.max():.4g} in the end of the data that validation_split holds back",
                    "the data are sorted by their targets, so validation asks for what training has never shown",
                    "shuffle first: order = rng.permutation(len(x)); x, y = x[order], y[order]",
                    LIKELY,
                )
        if _classifies(output) and not case.shuffle and case.batch_size and case.batch_size < case.data.total:
            labels = answers_of(output, case.data)
            if _in_runs(labels):
                yield Finding(
                    "labels_sorted",
                    f"the samples stand in the order of their {len(distinct(labels))} classes, and shuffle=False",
                    "a batch then holds one class, and every class undoes what was learned for the one before",
                    "leave out shuffle=False, or shuffle once: order = rng.permutation(len(x)); x, y = x[order], "
                    "y[order]",
                    CERTAIN,
                )


def _split_off(ours: Array, theirs: Array) -> Iterator[Finding]:
    if ours.size + theirs.size < ENOUGH or not theirs.size or not ours.size:
        return
    known, held = distinct(ours), distinct(theirs)
    if len(known) > ours.size / 4:
        return
    missing = set(held.tolist()) - set(known.tolist())
    lost = sum(np.count_nonzero(theirs == value) for value in missing) / theirs.size
    ordered = _in_runs(np.concatenate([ours, theirs]))
    if (theirs.size >= 8 and lost >= 0.2) or ordered:
        seen = f"validation holds the classes {_listed(held)}, training {_listed(known)}"
        yield Finding(
            "labels_sorted",
            f"validation_split takes the end of data that stand in the order of their classes: {seen}",
            "validation asks for classes of which training has seen few samples or none",
            "shuffle first: order = rng.permutation(len(x)); x, y = x[order], y[order]",
            CERTAIN,
        )


def _in_runs(labels: Array) -> bool:
    """Say whether each class stands in one run, with several samples a class."""
    changes = int(np.count_nonzero(labels[1:] != labels[:-1]))
    return 1 <= changes < labels.size // 4 and changes == len(distinct(labels)) - 1


def _listed(values: Array, most: int = 8) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:most])
    return shown + (", ..." if len(values) > most else "")


def labels_from_one(case: Case) -> Iterator[Finding]:
    """Classes that are counted from 1, with a unit too many."""
    if case.data is None:
        return
    for output in case.outputs:
        if getattr(output.loss, "classifies", "") != "categorical" or len(output.node.shape) != 1:
            continue
        labels = answers_of(output, case.data)
        if labels.size < 10 * output.units or output.units < 3:
            continue
        if np.array_equal(distinct(labels), np.arange(1, output.units)):
            yield Finding(
                "labels_from_one",
                f"labels run from 1 to {output.units - 1} and the output has {output.units} units: class 0 never "
                "occurs",
                "classes are counted from 0, so one unit is learned never to answer",
                f"subtract 1 (y - 1), and give the output {output.units - 1} units",
                POSSIBLE,
            )


def classes_not_balanced(case: Case) -> Iterator[Finding]:
    """One class that is nearly all, beside an accuracy."""
    if case.data is None or len(case.data) < ENOUGH:
        return
    for output in case.outputs:
        if not _classifies(output) or not any(m.name in ("acc", "accuracy") for m in output.metrics):
            continue
        labels = answers_of(output, case.data)
        if not labels.size:
            continue
        values = distinct(labels)
        counts = np.array([np.count_nonzero(labels == value) for value in values[:1000]])
        share = counts.max() / labels.size
        if share >= 0.9 and len(values) > 1:
            yield Finding(
                "classes_not_balanced",
                f"{percent(share)} of the samples are of class {values[counts.argmax()]:g}",
                f"who always answers so has an accuracy of {percent(share)} and has learned nothing",
                "measure metrics=['f1_score', 'auc'], and weigh the classes: class_weight={0: 1.0, 1: 9.0}",
                POSSIBLE,
            )


def same_samples(case: Case) -> Iterator[Finding]:
    """Samples that are in the training data and in the validation data."""
    data, held = case.data, case.validation
    if data is None or held is None or data.whole is None or held.whole is None:
        return

    def keys(parts: Data) -> list[bytes]:
        arrays = [np.asarray(array) for array in parts.whole.inputs] if parts.whole is not None else []
        return [b"".join(np.ascontiguousarray(a[row]).tobytes() for a in arrays) for row in range(len(arrays[0]))]

    known = set(keys(data))
    if len(known) < 2:
        return  # constant inputs are another finding
    found = sum(key in known for key in keys(held))
    if found > 0.02 * held.total:
        yield Finding(
            "same_samples",
            f"{found} of {held.total} validation samples are training samples too",
            "validation then shows how well the model remembers, not what it has understood",
            "split before copying, repeating or augmenting; np.unique(x, axis=0) drops what is there twice",
            LIKELY,
        )


def nothing_to_learn(case: Case) -> Iterator[Finding]:
    """Inputs that say nothing about the targets, as where one was shuffled without the other."""
    if case.data is None or len(case.outputs) != 1 or len(case.data) < 100:
        return
    (output,) = case.outputs
    guessed, passed = case.guessed, case.passed
    if guessed is None or (passed is not None and passed.loss < 0.9 * guessed):
        return  # the model itself has found something
    score = explains(case.data, output)
    if score is not None and not score.found:
        yield Finding(
            "nothing_to_learn",
            f"neither a linear model nor the nearest neighbours tell the targets of {score.rows} held-back samples "
            f"better than guessing does ({score.linear:.3g} and {score.nearest:.3g} of the variance)",
            "inputs and targets may have been shuffled, sorted or cut without each other",
            "look at some pairs, and shuffle both by one order: x, y = x[order], y[order]",
            POSSIBLE,
        )
