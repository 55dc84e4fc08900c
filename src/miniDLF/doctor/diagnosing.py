"""``model.diagnose(x, y)``: every check, on more rows than `fit` looks at, and a trial with a copy of the model."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from miniDLF.core.executor import Batch
from miniDLF.doctor.case import Course, Data, Trial
from miniDLF.doctor.checks import COMPILE, COURSE, DATA, DIAGNOSE, PASS, findings
from miniDLF.doctor.examining import TROUBLE, examined, sampled_weights, trained
from miniDLF.doctor.findings import Diagnosis
from miniDLF.doctor.observer import case_of, guesses_of, moved
from miniDLF.errors import DivergedError
from miniDLF.kernels.threads import quiet_arithmetic

__all__ = ["diagnose"]

ROWS, PASS_ROWS = 4096, 256
#: Rows and steps of the trial; the model should learn these rows by heart.
TRIAL_ROWS, TRIAL_STEPS = 64, 40


@quiet_arithmetic
def diagnose(
    model: Any,
    batch: Batch,
    held: Batch | None = None,
    *,
    split: bool = False,
    shuffle: bool = True,
    batch_size: int | None = None,
) -> Diagnosis:
    """Run every check on a compiled model and its data; nothing of the model changes."""
    engine = model.engine()
    case = case_of(engine)
    data = case.data = Data.of(batch, ROWS)
    case.validation = None if held is None else Data.of(held, ROWS)
    case.split, case.shuffle, case.batch_size = split, shuffle, batch_size
    case.guesses = guesses_of(case, data)
    case.weights = trained(engine)
    looked = f"{data.total} samples"
    try:
        case.passed = examined(engine, data.first(min(PASS_ROWS, len(data))))
        looked += f", a pass with {case.passed.rows} of them"
    except TROUBLE as error:
        looked += f", no pass ({type(error).__name__}: {error})"
    if case.passed is not None and case.passed.gradients and not engine.optimizer.full_batch:
        case.trial = _trial(model, data.first(min(TRIAL_ROWS, len(data))))
        if case.trial is not None:
            looked += f", {case.trial.steps} steps of a copy on {case.trial.rows}"
    case.course = _course(model)
    if case.course is not None:
        case.epoch = len(case.course.losses)
        looked += f", the losses of {case.epoch} epochs"
    return Diagnosis(findings(case, (COMPILE, DATA, PASS, COURSE, DIAGNOSE)), looked)


def _course(model: Any) -> Course | None:
    """Return the losses of the last run, where there was one."""
    history = getattr(model.history, "history", None) or {}
    losses = [float(loss) for loss in history.get("loss", [])]
    return Course(losses) if losses else None


def _trial(model: Any, batch: Batch) -> Trial | None:
    """Let a copy of the model take some steps on the same rows."""
    try:
        engine = copy.deepcopy(model).engine()
        start, losses = sampled_weights(engine), []
        for _ in range(TRIAL_STEPS):
            losses.append(float(engine.train(batch)))
    except DivergedError:
        return Trial(losses[0] if losses else np.nan, np.inf, np.inf, len(losses) + 1, len(batch), np.inf, True)
    except TROUBLE:
        return None
    last, mean = float(np.mean(losses[-5:])), float(np.mean(losses))
    return Trial(losses[0], last, mean, len(losses), len(batch), moved(start, sampled_weights(engine)) or 0.0)
