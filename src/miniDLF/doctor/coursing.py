"""Checks of the course of a run: a loss that stands still or rises, weights that do not move, one answer for all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from miniDLF.doctor.case import Case
from miniDLF.doctor.findings import CERTAIN, LIKELY, Finding, percent
from miniDLF.doctor.outputs import Output, regresses
from miniDLF.kernels.workspace import Array

#: Epochs after which a loss should have moved, and by what share of itself.
EPOCHS, STILL = 5, 1e-3
#: The same for weights that hardly move, which is seen earlier: shares of their size in all, and in a step.
EPOCHS_OF_WEIGHTS, HARDLY, HARDLY_A_STEP, LITTLE = 3, 1e-2, 3e-5, 1e-2
#: Answers that differ by less than this share of the spread of the targets (of probabilities: of 1) are one answer.
ALIKE = 1e-2
#: How many times the loss of a fresh model a loss may be after some epochs.
RISEN = 3.0


def weights_do_not_move(case: Case) -> Iterator[Finding]:
    """Weights that are after some epochs what they were before."""
    course = case.course
    if course is None or course.moved is None or len(course.losses) < EPOCHS_OF_WEIGHTS:
        return
    first, last = course.losses[0], course.losses[-1]
    if _rate(case) == 0 or case.learned(last) or abs(last - first) > LITTLE * abs(first) or last <= 1e-6:
        return
    if course.moved < min(HARDLY, HARDLY_A_STEP * course.steps):
        yield Finding(
            "weights_do_not_move",
            f"in {len(course.losses)} epochs the weights have changed by {percent(course.moved)} of their size, and "
            f"the loss from {first:.5g} to {last:.5g}",
            "at this pace nothing is learned in any time",
            _faster(case),
            CERTAIN,
        )


def _faster(case: Case) -> str:
    optimizer = case.optimizer
    while optimizer is not None:
        limit = getattr(optimizer, "limit", getattr(optimizer, "norm", None))
        if isinstance(limit, int | float) and limit < 0.01:
            return f"clip less: {type(optimizer).__name__}(..., 1.0) in place of {limit:g}"
        optimizer = getattr(optimizer, "optimizer", None)
    rate = _rate(case)
    now = "" if rate is None else f", it is {rate:g}"
    return f"raise the learning rate a hundredfold{now} (usual: 0.001 for Adam, 0.01 for SGD)"


def _rate(case: Case) -> float | None:
    """Return the first learning rate, where the optimizer has one; 0 is meant so."""
    try:
        return float(case.optimizer.rate(0))
    except (NotImplementedError, TypeError, ValueError):
        return None


def loss_does_not_move(case: Case) -> Iterator[Finding]:
    """A loss that stands where guessing stands."""
    course = case.course
    if course is None or len(course.losses) < EPOCHS or _rate(case) == 0:
        return
    recent = course.losses[-EPOCHS:]
    middle = float(np.mean(recent))
    if case.learned(middle) or middle <= 1e-6 or max(recent) - min(recent) > STILL * abs(middle):
        return
    if max(course.losses) - min(course.losses) > 0.2 * abs(middle) and case.guessed is None:
        return  # it has come down from somewhere, and where guessing would stand is not known
    beside = "" if case.guessed is None else f"; guessing has {case.guessed:.5g}"
    yield Finding(
        "loss_does_not_move",
        f"over the last {EPOCHS} epochs the loss lies between {min(recent):.5g} and {max(recent):.5g}{beside}",
        "the model gives the same answer whatever it sees, or has nothing to change its weights by",
        "call model.diagnose(x, y), which looks at data, units and gradients; first try another learning rate",
        LIKELY,
    )


def loss_rises(case: Case) -> Iterator[Finding]:
    """A loss that is after some epochs far above that of a fresh model."""
    course = case.course
    if course is None or len(course.losses) < 2:
        return
    start = max((value for value in (course.first, case.guessed) if value is not None), default=None)
    if start is None or len(course.losses) < EPOCHS_OF_WEIGHTS or not start > 0:
        return
    if min(course.losses[-2:]) > RISEN * start:
        yield Finding(
            "loss_rises",
            f"after {len(course.losses)} epochs the loss is {course.losses[-1]:.4g}, and the fresh model had "
            f"{start:.4g}",
            "steps are so long that each one lands beyond what it aimed at",
            _slower(case),
            CERTAIN,
        )


def _slower(case: Case) -> str:
    rate = _rate(case)
    return "lower the learning rate tenfold or more" + ("" if rate is None else f", it is {rate:g}")


def same_answer(case: Case) -> Iterator[Finding]:
    """The same answer for every sample, after some epochs of training."""
    passed, data = case.passed, case.data
    if passed is None or data is None or case.epoch < EPOCHS or passed.rows < 16:
        return
    if case.learned(passed.loss):
        return
    for output in case.outputs:
        prediction = passed.values.get(output.node)
        target = data.targets_of(output)
        if prediction is None or not len(target) or (target == target[:1]).all():
            continue
        if _constant(output, prediction, target):
            yield Finding(
                "same_answer",
                f"after {case.epoch} epochs {output.described} is the same for {passed.rows} samples"
                + _share(output, prediction, target),
                "the model has learned how often each answer is right, and nothing from the inputs",
                "look at the scale of the inputs and at the learning rate, and whether units are dead; call "
                "model.diagnose(x, y)",
                LIKELY,
            )


def _constant(output: Output, prediction: Array, target: Array) -> bool:
    """Say whether predictions of different samples differ by next to nothing."""
    if regresses(output.loss):
        wanted = float(target.astype(np.float64).std(axis=0).mean())
    else:
        wanted = 1.0
    return float(prediction.astype(np.float64).std(axis=0).max(initial=0)) < ALIKE * wanted


def _share(output: Output, prediction: Array, target: Array) -> str:
    if output.loss.classifies != "categorical" or target.ndim != 1 or prediction.ndim != 2:
        return ""
    answer = int(prediction[0].argmax())
    return f": class {answer}, which is right for {percent(float(np.mean(target == answer)))}"


def trial_fails(case: Case) -> Iterator[Finding]:
    """A copy of the model that does not even learn a few samples by heart."""
    trial = case.trial
    if trial is None:
        return
    start = max(value for value in (trial.first, case.guessed or 0.0))
    if trial.diverged or trial.mean > RISEN * start:
        how = (
            "is no longer finite"
            if trial.diverged
            else f"begins at {trial.first:.4g} and is {trial.mean:.4g} on average"
        )
        yield Finding(
            "loss_rises",
            f"in {trial.steps} steps of a copy on the same {trial.rows} samples the loss {how}",
            "steps are so long that each one lands beyond what it aimed at",
            _slower(case),
            CERTAIN,
        )
    elif trial.first > 1e-6 and not case.learned(trial.first) and abs(trial.last - trial.first) < STILL * trial.first:
        if trial.moved < HARDLY_A_STEP * trial.steps:
            yield Finding(
                "weights_do_not_move",
                f"in {trial.steps} steps on the same {trial.rows} samples the weights of a copy have changed by "
                f"{percent(trial.moved)} of their size, and the loss from {trial.first:.5g} to {trial.last:.5g}",
                "at this pace nothing is learned in any time",
                _faster(case),
                CERTAIN,
            )
        else:
            yield Finding(
                "loss_does_not_move",
                f"in {trial.steps} steps on the same {trial.rows} samples the loss of a copy went from "
                f"{trial.first:.5g} to {trial.last:.5g}",
                "what cannot learn a few samples by heart cannot learn many",
                "look at the other findings first, then at the learning rate and at layers of your own "
                "(model.check_gradients)",
                LIKELY,
            )
