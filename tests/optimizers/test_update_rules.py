"""Every rule, step by step, against the formula written plainly for one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import miniDLF.optimizers as module
from miniDLF.optimizers import Optimizer, UpdateRule
from tests.optimizers.problems import lend

Reference = Callable[..., Iterator[float]]


def rates(lr: float, decay: float) -> Iterator[float]:
    step = 0
    while True:
        yield lr / (1 + decay * step)
        step += 1


def sgd(w: float, gradients: list[float], *, lr: Iterator[float], momentum: float, nesterov: bool) -> Iterator[float]:
    velocity = 0.0
    for g, rate in zip(gradients, lr, strict=False):
        velocity = momentum * velocity - rate * g
        w = w + momentum * velocity - rate * g if nesterov else w + velocity
        yield w


def adagrad(w: float, gradients: list[float], *, lr: Iterator[float], epsilon: float) -> Iterator[float]:
    total = 0.0
    for g, rate in zip(gradients, lr, strict=False):
        total += g * g
        w -= rate * g / (math.sqrt(total) + epsilon)
        yield w


def rmsprop(w: float, gradients: list[float], *, lr: Iterator[float], rho: float, epsilon: float) -> Iterator[float]:
    mean = 0.0
    for g, rate in zip(gradients, lr, strict=False):
        mean = rho * mean + (1 - rho) * g * g
        w -= rate * g / (math.sqrt(mean) + epsilon)
        yield w


def adadelta(w: float, gradients: list[float], *, lr: Iterator[float], rho: float, epsilon: float) -> Iterator[float]:
    mean = mean_change = 0.0
    for g, rate in zip(gradients, lr, strict=False):
        mean = rho * mean + (1 - rho) * g**2
        change = g * math.sqrt(mean_change + epsilon) / math.sqrt(mean + epsilon)
        mean_change = rho * mean_change + (1 - rho) * change**2
        w -= rate * change
        yield w


def adam(
    w: float,
    gradients: list[float],
    *,
    lr: Iterator[float],
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float = 0.0,
    largest: bool = False,
) -> Iterator[float]:
    m = v = top = 0.0
    for t, (g, rate) in enumerate(zip(gradients, lr, strict=False), 1):
        w -= rate * weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        top = max(top, v)
        second = (top if largest else v) / (1 - beta_2**t)
        w -= rate * m / (1 - beta_1**t) / (math.sqrt(second) + epsilon)
        yield w


def amsgrad(w: float, gradients: list[float], **arguments: Any) -> Iterator[float]:
    return adam(w, gradients, largest=True, **arguments)


def nadam(
    w: float, gradients: list[float], *, lr: Iterator[float], beta_1: float, beta_2: float, epsilon: float
) -> Iterator[float]:
    m = v = 0.0
    product = 1.0
    for t, (g, rate) in enumerate(zip(gradients, lr, strict=False), 1):
        mu = beta_1 * (1 - 0.5 * 0.96 ** (t * 0.004))
        mu_next = beta_1 * (1 - 0.5 * 0.96 ** ((t + 1) * 0.004))
        product *= mu
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        direction = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
        w -= rate * direction / (math.sqrt(v / (1 - beta_2**t)) + epsilon)
        yield w


def adamax(
    w: float, gradients: list[float], *, lr: Iterator[float], beta_1: float, beta_2: float, epsilon: float
) -> Iterator[float]:
    m = u = 0.0
    for t, (g, rate) in enumerate(zip(gradients, lr, strict=False), 1):
        m = beta_1 * m + (1 - beta_1) * g
        u = max(beta_2 * u, abs(g))
        w -= rate / (1 - beta_1**t) * m / (u + epsilon)
        yield w


def lion(w: float, gradients: list[float], *, lr: Iterator[float], beta_1: float, beta_2: float) -> Iterator[float]:
    m = 0.0
    for g, rate in zip(gradients, lr, strict=False):
        direction = beta_1 * m + (1 - beta_1) * g
        w -= rate * ((direction > 0) - (direction < 0))
        m = beta_2 * m + (1 - beta_2) * g
        yield w


CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("SGD", sgd, {"lr": 0.01, "decay": 1e-6, "momentum": 0.9, "nesterov": True}),
    ("SGD", sgd, {"lr": 0.1, "decay": 0.05, "momentum": 0.5, "nesterov": False}),
    ("SGD", sgd, {"lr": 0.1, "decay": 0.0, "momentum": 0.0, "nesterov": True}),
    ("Adagrad", adagrad, {"lr": 0.01, "decay": 1e-6, "epsilon": 1e-7}),
    ("Adagrad", adagrad, {"lr": 0.1, "decay": 0.1, "epsilon": 0.3}),
    ("RMSProp", rmsprop, {"lr": 0.001, "decay": 1e-6, "rho": 0.9, "epsilon": 1e-6}),
    ("RMSProp", rmsprop, {"lr": 0.1, "decay": 0.1, "rho": 0.5, "epsilon": 0.3}),
    ("Adadelta", adadelta, {"lr": 1.0, "decay": 1e-6, "rho": 0.95, "epsilon": 1e-6}),
    ("Adadelta", adadelta, {"lr": 0.3, "decay": 0.1, "rho": 0.5, "epsilon": 0.1}),
    ("Adam", adam, {"lr": 0.001, "decay": 1e-6, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}),
    ("Adam", adam, {"lr": 0.1, "decay": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.3}),
    ("Adam", adam, {"lr": 0.1, "decay": 0.0, "beta_1": 0.0, "beta_2": 0.0, "epsilon": 0.3}),
    (
        "AdamW",
        adam,
        {"lr": 0.1, "decay": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.3, "weight_decay": 0.2},
    ),
    ("AMSGrad", amsgrad, {"lr": 0.001, "decay": 1e-6, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}),
    ("AMSGrad", amsgrad, {"lr": 0.1, "decay": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.3}),
    ("Nadam", nadam, {"lr": 0.001, "decay": 1e-6, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}),
    ("Nadam", nadam, {"lr": 0.1, "decay": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.3}),
    ("Adamax", adamax, {"lr": 0.001, "decay": 1e-6, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}),
    ("Adamax", adamax, {"lr": 0.1, "decay": 0.1, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.3}),
    ("Lion", lion, {"lr": 0.001, "decay": 1e-6, "beta_1": 0.9, "beta_2": 0.99}),
    ("Lion", lion, {"lr": 0.1, "decay": 0.1, "beta_1": 0.5, "beta_2": 0.7}),
]
every_case = pytest.mark.parametrize(
    ("name", "reference", "arguments"), CASES, ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(CASES)]
)
STEPS = 250  # beyond the step from which Nadam's product of momentums is 0
SIZE = 12


def gradients_for(steps: int) -> np.ndarray:
    """Gradients over many orders of magnitude, and some that are 0 (all of them for the last value)."""
    rng = np.random.default_rng(7)
    gradients = rng.normal(size=(steps, SIZE)) * 10.0 ** rng.integers(-5, 3, (1, SIZE))
    gradients[rng.random(gradients.shape) < 0.1] = 0.0
    gradients[:, -1] = 0.0
    return gradients


def trajectory(optimizer: Optimizer, values: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    state = optimizer.init_state(values.size, values.dtype)
    values = values.copy()
    result = []
    for step, gradient in enumerate(gradients, 1):
        given = gradient.astype(values.dtype)
        optimizer.update(values, given, state, optimizer.rate(step - 1), step, lend(values.dtype))
        result.append(values.copy())
    return np.array(result)


def expected(reference: Reference, arguments: dict[str, Any], values: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    rest = {key: value for key, value in arguments.items() if key not in ("lr", "decay")}
    columns = [
        list(reference(float(w), column.tolist(), lr=rates(arguments["lr"], arguments["decay"]), **rest))
        for w, column in zip(values, gradients.T, strict=True)
    ]
    return np.array(columns).T


def test_every_rule_has_a_reference() -> None:
    rules = {
        name
        for name in module.__all__
        if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), UpdateRule)
    }
    assert {name for name, _, _ in CASES} == rules - {"UpdateRule"}


@every_case
def test_float64_trajectory(name: str, reference: Reference, arguments: dict[str, Any]) -> None:
    values = np.random.default_rng(8).normal(size=SIZE)
    gradients = gradients_for(STEPS)
    got = trajectory(getattr(module, name)(**arguments), values, gradients)
    np.testing.assert_allclose(got, expected(reference, arguments, values, gradients), rtol=1e-11, atol=1e-12)
    if not arguments.get("weight_decay"):
        np.testing.assert_array_equal(got[:, -1], values[-1])  # no gradient, no change


@every_case
def test_float32_trajectory(name: str, reference: Reference, arguments: dict[str, Any]) -> None:
    values = np.random.default_rng(8).normal(size=SIZE).astype(np.float32)
    gradients = gradients_for(50).astype(np.float32)
    got = trajectory(getattr(module, name)(**arguments), values, gradients)
    wanted = expected(reference, arguments, values.astype(np.float64), gradients.astype(np.float64))
    np.testing.assert_allclose(got, wanted, rtol=5e-5, atol=5e-6)


@pytest.mark.parametrize("name", ["Adam", "AMSGrad", "Nadam", "Adamax", "RMSProp", "Adagrad"])
def test_the_first_step_has_about_the_length_of_the_rate(name: str) -> None:
    """The bias corrections at work: without them Adam's first step would be 3 times as long."""
    optimizer = getattr(module, name)(lr=0.01)
    lengths = np.abs(trajectory(optimizer, np.zeros(3), np.array([[4.0, -0.5, 1e-2]]))[0])
    scale = math.sqrt(10) if name == "RMSProp" else 1.0  # which has no correction
    if name == "Nadam":
        mu, mu_next = (0.9 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (1, 2))
        scale = 1.0 + 0.1 * mu_next / (1 - mu * mu_next)
    np.testing.assert_allclose(lengths, 0.01 * scale, rtol=1e-3)


def test_amsgrad_never_forgets_a_large_gradient() -> None:
    gradients = np.array([[100.0]] + [[0.01]] * 3000)
    adam_path = trajectory(module.Adam(beta_2=0.99), np.zeros(1), gradients)
    ams_path = trajectory(module.AMSGrad(beta_2=0.99), np.zeros(1), gradients)
    assert abs(adam_path[-1] - adam_path[-2]) > 9e-4
    assert abs(ams_path[-1] - ams_path[-2]) < 2e-6


def test_nadam_needs_no_saved_product() -> None:
    optimizer = module.Nadam()
    product = 1.0
    for step in range(1, 400):
        product *= 0.9 * (1 - 0.5 * 0.96 ** (step * 0.004))
        assert 1.0 - optimizer._product(step) == 1.0 - product
    assert set(optimizer.init_state(3, np.float64)) == {"first_sum", "second_sum"}


def test_rmsprop_has_the_spelling_of_keras_too() -> None:
    from miniDLF import optimizers

    assert optimizers.RMSprop is optimizers.RMSProp
