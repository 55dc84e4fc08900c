"""Learning rates at the steps where their formula is known by hand, and their configuration."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from miniDLF.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from miniDLF.optimizers import schedules as module
from miniDLF.optimizers.schedules import (
    CHOICES,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    Schedule,
    get_schedule,
)

KNOWN: list[tuple[Schedule, dict[int, float]]] = [
    (ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * math.sqrt(0.5), 10: 0.05, 30: 0.0125}),
    (ExponentialDecay(0.1, 10, 0.5, staircase=True), {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025}),
    (InverseTimeDecay(0.1, 10, 0.5), {0: 0.1, 10: 0.1 / 1.5, 25: 0.1 / 2.25}),
    (InverseTimeDecay(0.1, 10, 0.5, True), {9: 0.1, 10: 0.1 / 1.5, 25: 0.1 / 2.0}),
    (PolynomialDecay(0.1, 100, 0.02), {0: 0.1, 50: 0.06, 100: 0.02, 500: 0.02}),
    (PolynomialDecay(0.1, 100, 0.0, power=2.0), {50: 0.025, 100: 0.0}),
    (PolynomialDecay(0.1, 100, 0.0, cycle=True), {0: 0.1, 50: 0.05, 100: 0.0, 101: 0.1 * 99 / 200, 300: 0.0}),
    (PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]), {0: 1.0, 10: 1.0, 11: 0.5, 20: 0.5, 21: 0.1, 999: 0.1}),
    (CosineDecay(0.1, 100), {0: 0.1, 50: 0.05, 100: 0.0, 1000: 0.0}),
    (CosineDecay(0.1, 100, alpha=0.1), {0: 0.1, 50: 0.055, 100: 0.01, 101: 0.01}),
    (
        CosineDecay(0.0, 100, 0.0, warmup_target=0.2, warmup_steps=10),
        {0: 0.0, 5: 0.1, 10: 0.2, 60: 0.1, 110: 0.0, 999: 0.0},
    ),
    (CosineDecayRestarts(0.1, 10), {0: 0.1, 5: 0.05, 10: 0.1, 20: 0.05, 30: 0.1, 50: 0.05, 70: 0.1}),
    (CosineDecayRestarts(0.1, 10, 1.0, 0.5), {5: 0.05, 10: 0.05, 15: 0.025, 20: 0.025, 35: 0.00625}),
    (CosineDecayRestarts(0.1, 10, alpha=0.2), {0: 0.1, 5: 0.06, 10: 0.1}),
    (
        OneCycle(0.1, 100, 0.31, 10.0, 100.0),
        {0: 0.01, 15: 0.055, 30: 0.1, 99: 0.0001, 1000: 0.0001},
    ),
    (OneCycle(max_lr=0.1, total_steps=100, pct_start=0.0), {0: 0.1, 99: 0.1 / 25 / 1e4}),
]


def test_every_schedule_has_known_values() -> None:
    exported = {
        name
        for name in module.__all__
        if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), Schedule)
    }
    assert {type(schedule).__name__ for schedule, _ in KNOWN} == exported - {"Schedule"}
    assert {cls.__name__ for cls in CHOICES.values()} == exported - {"Schedule"}


@pytest.mark.parametrize(("schedule", "values"), KNOWN, ids=lambda value: repr(value)[:60])
def test_known_values(schedule: Schedule, values: dict[int, float]) -> None:
    for step, expected in values.items():
        assert schedule(step) == pytest.approx(expected, rel=1e-12, abs=1e-15), step
        assert type(schedule(step)) is float


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in KNOWN], ids=repr)
def test_configuration_round_trip(schedule: Schedule) -> None:
    again = get_schedule(json.loads(json.dumps({"class": type(schedule).__name__, **schedule.config()})))
    assert repr(again) == repr(schedule)
    assert [again(step) for step in range(0, 200, 7)] == [schedule(step) for step in range(0, 200, 7)]


def test_restarts_come_at_their_exact_steps() -> None:
    schedule = CosineDecayRestarts(1.0, 3, t_mul=2.0)
    restart = 0
    for number in range(20):
        assert schedule(restart) == 1.0
        restart += 3 * 2**number
        assert schedule(restart - 1) < 0.26


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialDecay(0.1, 0, 0.5), "ExponentialDecay: decay_steps must be at least 1; received 0"),
        (lambda: ExponentialDecay(-0.1, 10, 0.5), "initial_learning_rate must lie in"),
        (lambda: InverseTimeDecay(0.1, 10.5, 0.5), "decay_steps must be a whole number; received 10.5"),
        (lambda: PolynomialDecay(0.1, 10, power=0), "power must lie in"),
        (lambda: PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "one value more than boundaries, received 2 .* 2 values"),
        (lambda: PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), r"boundaries must rise, received \[2, 1\]"),
        (lambda: PiecewiseConstantDecay([2], [0.1, math.nan]), r"values\[1\] must lie in"),
        (lambda: CosineDecay(0.1, 10, warmup_steps=5), "warmup_steps=5 without a warmup_target"),
        (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), r"t_mul must lie in \[1, inf\)"),
        (lambda: OneCycle(0.1, 1), "total_steps must be at least 2"),
        (lambda: OneCycle(0.1, 10, 1.5), r"warmup_fraction must lie in \[0, 1\]"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
        make()


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown schedule 'cosine_decy'.*Did you mean 'cosine_decay'"):
        get_schedule({"class": "cosine_decy"})
