"""The behaviour that every optimizer and wrapper shows, and the specification's signatures."""

from __future__ import annotations

import inspect
import json
import math
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import optimize

import miniDLF.optimizers as module
from miniDLF.core.update import Updater
from miniDLF.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from miniDLF.optimizers import CHOICES, SGD, Adam, ClipNorm, Optimizer, UpdateRule, Wrapper, get_optimizer
from miniDLF.optimizers.schedules import ExponentialDecay
from tests.optimizers.problems import CASES, Case, lend, make_updater, take_step

STEPS = 600
SHAPES = {"dense_1/weight": (7, 3), "dense_1/bias": (3,)}
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def random_gradients(count: int, seed: int = 0) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=shape) for shape in SHAPES.values()] for _ in range(count)]


def start(updater: Updater, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    for slot in updater.buffers.slots:
        slot.parameter.value[...] = rng.normal(size=slot.shape)


def rebuilt(optimizer: Optimizer) -> Optimizer:
    """Through JSON, as a file holds it."""
    return get_optimizer(json.loads(json.dumps({"class": type(optimizer).__name__, **optimizer.config()})))


def inside(optimizer: Any) -> list[str]:
    """The classes of an optimizer and of what it wraps."""
    inner = getattr(optimizer, "optimizer", None)
    return [type(optimizer).__name__, *(inside(inner) if inner is not None else [])]


def test_every_exported_optimizer_has_a_case_and_a_name() -> None:
    exported = {
        name
        for name in module.__all__
        if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), Optimizer)
    } - {"Optimizer", "UpdateRule", "Wrapper"}
    assert {cls.__name__ for cls in CHOICES.values()} == exported
    assert {name for case in CASES for name in inside(case.make())} == exported - {"LBFGS"}


# Convergence --------------------------------------------------------------------------------------------------------


def least_squares() -> tuple[Any, float, float]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 7))
    y = x @ rng.normal(size=(7, 3)) + rng.normal(size=3)

    def run(weight: np.ndarray, bias: np.ndarray) -> tuple[float, list[np.ndarray]]:
        error = x @ weight + bias - y
        return 0.5 * float(np.sum(error**2)) / 60, [x.T @ error / 60, error.mean(axis=0)]

    return run, run(np.zeros((7, 3)), np.zeros(3))[0], 0.0


def logistic() -> tuple[Any, float, float]:
    """Overlapping classes, so that the minimum lies at finite weights; it is found by SciPy's own method."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 7))
    y = (x @ rng.normal(size=(7, 3)) + 2.0 * rng.normal(size=(80, 3)) > 0).astype(float)

    def run(weight: np.ndarray, bias: np.ndarray) -> tuple[float, list[np.ndarray]]:
        z = x @ weight + bias
        loss = float(np.mean(np.sum(np.logaddexp(0.0, z) - y * z, axis=1)))
        error = (1 / (1 + np.exp(-z)) - y) / 80
        return loss, [x.T @ error, error.sum(axis=0)]

    def flat(w: np.ndarray) -> float:
        return run(w[:21].reshape(7, 3), w[21:])[0]

    return run, flat(np.zeros(24)), float(optimize.minimize(flat, np.zeros(24), method="BFGS").fun)


@every_case
@pytest.mark.parametrize("problem", [least_squares, logistic])
def test_it_converges(case: Case, problem: Any) -> None:
    run, first, best = problem()
    updater = make_updater(case.make(), SHAPES)
    weight, bias = (slot.parameter for slot in updater.buffers.slots)
    for step in range(1, STEPS + 1):
        _, gradients = run(weight.value, bias.value)
        take_step(updater, gradients, step)
    last, _ = run(weight.value, bias.value)
    assert last - best < 0.002 * (first - best)


# State and memory ---------------------------------------------------------------------------------------------------


@every_case
@every_dtype
def test_state_and_step_are_all_that_a_resumed_run_needs(case: Case, dtype: Any) -> None:
    gradients = random_gradients(12)
    whole = make_updater(case.make(), SHAPES, dtype)
    start(whole)
    for step, gradient in enumerate(gradients, 1):
        take_step(whole, gradient, step)
        if step == 5:
            saved = {name: array.copy() for name, array in whole.state.items()}
            values = whole.buffers.values.copy()
    resumed = make_updater(rebuilt(case.make()), SHAPES, dtype)
    resumed.load_state(saved)
    resumed.buffers.values[:] = values
    for step, gradient in enumerate(gradients[5:], 6):
        take_step(resumed, gradient, step)
    np.testing.assert_array_equal(resumed.buffers.values, whole.buffers.values)
    for name, array in whole.state.items():
        np.testing.assert_array_equal(resumed.state[name], array)


@every_case
@every_dtype
def test_slices_equal_the_whole_to_the_last_bit(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    size = 1013
    whole, cut = case.make(), case.make()
    states = whole.init_state(size, dtype), cut.init_state(size, dtype)
    a = rng.normal(size=size).astype(dtype)
    b = a.copy()
    edges = [0, 1, 18, 64, 65, 500, 777, size]
    accumulated = "Accumulate" in inside(whole)
    for step in range(6, 42, 6) if accumulated else range(1, 7):  # the steps in which it updates
        gradient = (rng.normal(size=size) * 10.0 ** rng.integers(-6, 3, size)).astype(dtype)
        rate = whole.rate(step - 1)
        whole.update(a, gradient.copy(), states[0], rate, step, lend(dtype))
        for low, high in pairwise(edges):
            part = slice(low, high)
            state = {name: array if name.startswith("_") else array[part] for name, array in states[1].items()}
            cut.update(b[part], gradient[part].copy(), state, rate, step, lend(dtype))
    assert np.isfinite(a).all()
    np.testing.assert_array_equal(a, b)
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


@every_case
@every_dtype
def test_types_are_kept(case: Case, dtype: Any) -> None:
    updater = make_updater(case.make(), SHAPES, dtype)
    start(updater)
    for step, gradient in enumerate(random_gradients(4), 1):
        take_step(updater, gradient, step)
    assert updater.buffers.values.dtype == dtype
    vectors = [array for name, array in updater.state.items() if not name.startswith("_")]
    assert all(array.dtype == dtype and len(array) == len(updater.buffers.values) for array in vectors)
    assert all(type(case.make().rate(step)) is float for step in (0, 10))


@every_case
def test_padding_between_parameters_stays_zero(case: Case) -> None:
    updater = make_updater(case.make(), SHAPES, np.float32)
    start(updater)
    for step, gradient in enumerate(random_gradients(8), 1):
        take_step(updater, gradient, step)
    used = np.zeros(len(updater.buffers.values), bool)
    for slot in updater.buffers.slots:
        used[slot.slice] = True
    assert not used.all()
    assert not updater.buffers.values[~used].any()
    assert not updater.buffers.gradients[~used].any()


@every_case
def test_an_update_allocates_nothing_large(case: Case) -> None:
    updater = make_updater(case.make(), {"dense_1/weight": (300, 400), "dense_1/bias": (400,)}, np.float32)
    gradient = np.random.default_rng(6).normal(size=len(updater.buffers.values)).astype(np.float32)
    for step in range(1, 4):
        updater.buffers.gradients[:] = gradient
        updater.apply(step)
    tracemalloc.start()
    try:
        for step in range(4, 10):
            np.copyto(updater.buffers.gradients, gradient)
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            updater.apply(step)
            assert tracemalloc.get_traced_memory()[1] - before < 65536
    finally:
        tracemalloc.stop()


# Configuration ------------------------------------------------------------------------------------------------------


@every_case
def test_configuration_round_trip(case: Case) -> None:
    optimizer = case.make()
    again = rebuilt(optimizer)
    assert repr(again) == repr(optimizer)
    assert again.config() == optimizer.config()
    runs = [make_updater(one, SHAPES) for one in (optimizer, again)]
    for updater in runs:
        start(updater)
        for step, gradient in enumerate(random_gradients(6), 1):
            take_step(updater, gradient, step)
    np.testing.assert_array_equal(runs[0].buffers.values, runs[1].buffers.values)


def test_the_specification_signatures() -> None:
    expected = {
        "SGD": "lr=0.01, decay=1e-06, momentum=0.9, nesterov=True",
        "Adagrad": "lr=0.01, decay=1e-06, epsilon=1e-07",
        "RMSProp": "lr=0.001, decay=1e-06, rho=0.9, epsilon=1e-06",
        "Adam": "lr=0.001, decay=1e-06, beta_1=0.9, beta_2=0.999, epsilon=1e-06",
        "Nadam": "lr=0.001, decay=1e-06, beta_1=0.9, beta_2=0.999, epsilon=1e-06",
        "AMSGrad": "lr=0.001, decay=1e-06, beta_1=0.9, beta_2=0.999, epsilon=1e-06",
        "Adadelta": "lr=1.0, decay=1e-06, rho=0.95, epsilon=1e-06",
    }
    for name, arguments in expected.items():
        parameters = inspect.signature(getattr(module, name)).parameters.values()
        assert ", ".join(f"{p.name}={p.default!r}" for p in parameters) == arguments
        assert type(get_optimizer(name.lower())).__name__ == name


def test_rate_and_learning_rate() -> None:
    optimizer = SGD(learning_rate=0.5, decay=0.1)
    assert [optimizer.rate(step) for step in (0, 1, 10)] == [0.5, 0.5 / 1.1, 0.25]
    wrapped = ClipNorm(optimizer, 1.0)
    wrapped.learning_rate = np.float32(0.25)
    assert optimizer.lr == wrapped.learning_rate == 0.25
    assert type(optimizer.lr) is float
    assert wrapped.rate(10) == 0.125
    with pytest.raises(ArgumentError, match=r"SGD: lr must lie in \[0, inf\); received -1"):
        wrapped.learning_rate = -1
    with pytest.raises(ArgumentTypeError, match="same argument"):
        SGD(lr=0.1, learning_rate=0.1)


def test_a_schedule_in_place_of_the_rate() -> None:
    schedule = ExponentialDecay(0.1, 10, 0.5)
    optimizer = Adam(schedule, decay=0.5)
    assert optimizer.rate(20) == pytest.approx(0.025)  # the schedule stands alone
    with pytest.raises(ArgumentTypeError, match=r"follows ExponentialDecay\(.*cannot be set to 0.1.*number as its lr"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = ExponentialDecay(0.2, 10, 0.5)
    assert optimizer.rate(0) == 0.2


def test_a_rule_of_ones_own_that_declares_a_number_takes_a_schedule_too() -> None:
    class Mine(module.UpdateRule):
        lr: float = 0.5

    assert Mine().rate(0) == 0.5
    assert Mine(ExponentialDecay(0.2, 10, 0.5)).rate(0) == 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SGD(-0.1),
            r"SGD: lr must lie in \[0, inf\); received -0.1. Give a number such as 0.001, or a",
        ),
        (lambda: SGD(math.nan), r"SGD: lr must lie in \[0, inf\); received nan"),
        (lambda: SGD(math.inf), r"received inf"),
        (lambda: SGD("fast"), r"SGD: lr must be a number in \[0, inf\); received 'fast'. Give a number"),
        (lambda: SGD(True), r"SGD: lr must be a number"),
        (lambda: SGD(decay=-1), r"SGD: decay must lie in \[0, inf\); received -1. The default is 1e-06"),
        (lambda: SGD(momentum=1.0), r"SGD: momentum must lie in \[0, 1\); received 1.0. The default is 0.9"),
        (lambda: Adam(beta_1=1.0), r"Adam: beta_1 must lie in \[0, 1\); received 1.0. The default is 0.9"),
        (lambda: Adam(beta_2=math.nan), r"Adam: beta_2 must lie in \[0, 1\); received nan"),
        (lambda: Adam(epsilon=0), r"Adam: epsilon must lie in \(0, inf\); received 0. The default is 1e-06"),
        (lambda: module.Nadam(beta_1=2), r"Nadam: beta_1 must lie in"),
        (lambda: module.RMSProp(rho=1), r"RMSProp: rho must lie in \[0, 1\)"),
        (lambda: module.AdamW(weight_decay=-1), r"AdamW: weight_decay must lie in"),
        (lambda: module.Lion(beta_2=1), r"Lion: beta_2 must lie in"),
        (lambda: ClipNorm("sgd", 0), r"ClipNorm: norm must lie in \(0, inf\); received 0. Choose one in that range"),
        (lambda: module.ClipValue("sgd", -1), r"ClipValue: limit must lie in"),
        (lambda: module.ClipGlobalNorm("sgd", math.nan), r"ClipGlobalNorm: norm must lie in"),
        (lambda: module.WeightDecay("sgd", -0.1), r"WeightDecay: weight_decay must lie in"),
        (lambda: module.MovingAverage("sgd", 1.0), r"MovingAverage: momentum must lie in \[0, 1\)"),
        (lambda: module.Accumulate("sgd", 0), r"Accumulate: steps must be at least 1; received 0"),
        (lambda: module.Accumulate("sgd", 2.5), r"Accumulate: steps must be a whole number; received 2.5"),
        (lambda: Adam(beta1=0.9), r"Adam has no argument 'beta1'.* Did you mean 'beta_1'"),
        (lambda: Adam(clipnorm=1), r"Adam has no argument 'clipnorm'.* Write ClipNorm\(Adam\(\), 1.0\)"),
        (lambda: SGD(weight_decay=0.1), r"SGD has no argument 'weight_decay'.* Write WeightDecay\(SGD\(\), 0.004\)"),
        (lambda: Adam(weight_decay=0.1), r"Write AdamW\(weight_decay=0.004\) or WeightDecay\(Adam\(\), 0.004\)"),
        (lambda: Adam(amsgrad=True), r"Write AMSGrad\(\)"),
        (lambda: setattr(Adam(), "lr", "fast"), r"Adam: lr must be a number in \[0, inf\); received 'fast'"),
        (lambda: module.LBFGS(0), r"LBFGS: max_iterations must be at least 1"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises((ArgumentError, ArgumentTypeError), match=message):
        make()


def test_names() -> None:
    assert repr(get_optimizer("RMSprop")) == "RMSProp()"
    assert get_optimizer(Adam).lr == 0.001
    with pytest.raises(UnknownNameError, match=r"unknown optimizer 'adan'.*Did you mean 'adam'"):
        get_optimizer("adan")
    with pytest.raises(ArgumentTypeError, match="optimizer: expected an Optimizer or one of the names 'sgd'"):
        get_optimizer(3)


def test_a_rule_of_ones_own() -> None:
    class SignDescent(UpdateRule):
        """The sign of the gradient alone."""

        lr: Any = 0.1

        def update(self, value: Any, grad: Any, state: Any, learning_rate: float, step: int, scratch: Any) -> None:
            np.sign(grad, out=grad)
            np.multiply(grad, learning_rate, out=grad)
            np.subtract(value, grad, out=value)

    updater = make_updater(ClipNorm(SignDescent(decay=0), 1.0), {"a/weight": (3,)})
    take_step(updater, [[4.0, -2.0, 0.0]], 1)
    np.testing.assert_allclose(updater.buffers.values[:3], [-0.1, 0.1, 0.0])
    assert issubclass(Wrapper, Optimizer)
    assert not issubclass(Wrapper, UpdateRule)
