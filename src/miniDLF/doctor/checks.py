"""The table of checks: when each one runs, and of which others it may be the mere consequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from miniDLF.doctor import architecture, compiled, coursing, given, ordered, passing
from miniDLF.doctor.case import Case
from miniDLF.doctor.findings import Finding, ranked

__all__ = ["CHECKS", "COMPILE", "COURSE", "DATA", "DIAGNOSE", "PASS", "Check", "findings"]

#: When a check runs: in `compile`; in `fit` before the first step, on the data; before the first step and behind some
#: epochs, on a pass through the model; behind some epochs, on the losses. All of them run in `diagnose` too.
COMPILE, DATA, PASS, COURSE, DIAGNOSE = "compile", "data", "pass", "course", "diagnose"

_SCALE = ("inputs_not_scaled", "targets_not_scaled", "columns_of_different_size")
_STUCK = (
    *_SCALE,
    "cce_without_softmax",
    "bce_without_sigmoid",
    "softmax_of_one",
    "targets_out_of_reach",
    "inputs_constant",
    "nothing_trained",
    "weights_of_zero",
    "batch_of_one",
    "dropout_of_answers",
    "units_alike",
    "units_dead",
    "units_saturated",
    "gradients_zero",
    "penalties_rule",
    "decays_too_much",
)


@dataclass(frozen=True)
class Check:
    """A check: a function from a case to its findings.

    Attributes
    ----------
    moment : str
        When it runs.
    follows : tuple of str
        Findings that explain this one: `fit` does not tell it where one of them has been told.
    """

    find: Callable[[Case], Iterator[Finding]]
    moment: str
    follows: tuple[str, ...] = ()


CHECKS = (
    Check(compiled.cce_without_softmax, COMPILE),
    Check(compiled.bce_without_sigmoid, COMPILE),
    Check(compiled.activation_twice, COMPILE),
    Check(architecture.softmax_of_one, COMPILE),
    Check(architecture.softmax_over_width, COMPILE),
    Check(compiled.one_class, COMPILE),
    Check(compiled.range_without_target, COMPILE),
    Check(compiled.accuracy_of_numbers, COMPILE),
    Check(compiled.metric_does_not_fit, DATA),
    Check(architecture.dropped_too_much, DATA),
    Check(architecture.bottleneck, DATA),
    Check(architecture.decays_too_much, DATA),
    Check(architecture.nothing_between, DIAGNOSE),
    Check(given.inputs_constant, COURSE),
    Check(given.inputs_not_scaled, DATA, ("inputs_constant",)),
    Check(given.targets_out_of_reach, DATA),
    Check(compiled.mse_on_softmax, DATA, ("softmax_of_one",)),
    Check(given.targets_not_scaled, DATA, ("targets_out_of_reach",)),
    Check(given.answers_as_numbers, DATA),
    Check(given.weights_of_zero, DATA),
    Check(given.batch_of_one, DATA),
    Check(given.validation_not_alike, DATA),
    Check(ordered.labels_sorted, DATA),
    Check(ordered.labels_from_one, DATA),
    Check(ordered.classes_not_balanced, DIAGNOSE),
    Check(ordered.same_samples, DIAGNOSE),
    Check(given.columns_constant, DIAGNOSE),
    Check(given.nothing_trained, PASS),
    Check(passing.units_alike, PASS),
    Check(coursing.loss_rises, COURSE, _STUCK),
    Check(coursing.trial_fails, DIAGNOSE),
    Check(coursing.weights_do_not_move, COURSE, _STUCK),
    Check(passing.units_dead, PASS, (*_SCALE, "units_alike", "loss_rises")),
    Check(passing.units_saturated, PASS, (*_SCALE, "loss_rises")),
    Check(passing.gradients_zero, PASS, (*_STUCK, "loss_rises")),
    Check(passing.gradients_explode, PASS, (*_SCALE, "loss_rises")),
    Check(passing.gradients_vanish, PASS, (*_STUCK, "gradients_explode", "loss_rises")),
    Check(passing.penalties_rule, PASS),
    Check(passing.loss_far_above_guessing, PASS, (*_STUCK, "gradients_explode", "loss_rises")),
    Check(coursing.same_answer, COURSE, (*_STUCK, "weights_do_not_move")),
    Check(coursing.loss_does_not_move, COURSE, (*_STUCK, "weights_do_not_move", "loss_rises", "same_answer")),
    Check(ordered.nothing_to_learn, DIAGNOSE),
)


def findings(case: Case, moments: Iterable[str], told: Iterable[str] = ()) -> list[Finding]:
    """Return what the checks of some moments find and has not been `told`, with what each may follow from."""
    found: list[Finding] = []
    known = set(told)
    for check in CHECKS:
        if check.moment in moments:
            causes = tuple(name for name in check.follows if name in known)
            new = [replace(finding, follows=causes) for finding in check.find(case) if finding.name not in known]
            known.update(finding.name for finding in new)
            found += new
    return ranked(found)
