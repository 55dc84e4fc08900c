"""L-BFGS on functions with known minima."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from miniDLF.errors import ArgumentError, DivergedError, MissingExtraError
from miniDLF.layers import BatchNormalization, Dense
from miniDLF.models import Sequential
from miniDLF.optimizers import LBFGS, get_optimizer


def rosenbrock(values: np.ndarray) -> tuple[float, np.ndarray]:
    return float(rosen(values)), rosen_der(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_finds_the_minimum(dtype: Any) -> None:
    seen = set()

    def function(values: np.ndarray) -> tuple[float, np.ndarray]:
        seen.add(values.dtype)
        return rosenbrock(values)

    start = np.zeros(6, dtype)
    found = LBFGS().minimize(function, start)
    np.testing.assert_allclose(found.values, 1.0, atol=1e-5)
    assert found.values.dtype == dtype
    assert seen == {np.dtype(dtype)}
    assert found.converged
    assert found.loss < 1e-10
    assert 10 < found.iterations <= found.evaluations < 100
    assert not start.any()


def test_a_quadratic_takes_few_steps() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(30, 30))
    matrix, vector = root @ root.T + np.eye(30), rng.normal(size=30)
    found = LBFGS(memory=30, gradient_tolerance=1e-9, loss_tolerance=0.0).minimize(
        lambda x: (float(0.5 * x @ matrix @ x - vector @ x), matrix @ x - vector), np.zeros(30)
    )
    np.testing.assert_allclose(found.values, np.linalg.solve(matrix, vector), rtol=1e-6, atol=1e-8)


def test_iterations_are_reported_and_can_be_ended() -> None:
    losses: list[float] = []

    def report(iteration: int, loss: float) -> bool:
        losses.append(loss)
        assert iteration == len(losses)
        return iteration == 4

    found = LBFGS().minimize(rosenbrock, np.zeros(4), on_iteration=report)
    assert found.iterations == 4
    assert not found.converged
    assert losses == sorted(losses, reverse=True)
    assert found.loss == losses[-1] == rosenbrock(found.values)[0]


def test_the_limit_of_iterations() -> None:
    assert LBFGS(max_iterations=3).minimize(rosenbrock, np.zeros(4)).iterations == 3
    assert LBFGS().minimize(rosenbrock, np.zeros(4), max_iterations=2).iterations == 2


@pytest.mark.parametrize("outside", [np.nan, np.inf])
def test_it_steps_back_from_where_the_loss_is_not_finite(outside: float) -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 5))
    matrix, vector = root @ root.T + 0.1 * np.eye(5), 5.0 * rng.normal(size=5)
    hits = 0

    def barrier(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal hits
        left = 1.0 - x @ x
        if left <= 0:
            hits += 1
            return outside, np.full(5, np.nan)
        loss = 0.5 * x @ matrix @ x - vector @ x - 0.01 * np.log(left)
        return float(loss), matrix @ x - vector + 0.02 * x / left

    found = LBFGS().minimize(barrier, np.zeros(5))
    assert hits > 0
    loss, gradient = barrier(found.values)
    assert found.loss == loss
    assert np.abs(gradient).max() < 1e-2


def test_a_bad_starting_point() -> None:
    with pytest.raises(DivergedError, match=r"LBFGS: the loss is nan .*starting point. Look at the data"):
        LBFGS().minimize(lambda x: (np.nan, x), np.zeros(3))


def test_single_steps_are_refused() -> None:
    optimizer: Any = get_optimizer("lbfgs")
    assert optimizer.full_batch
    assert not get_optimizer("adam").full_batch
    with pytest.raises(ArgumentError, match=r"whole data set.*fit\(\)"):
        optimizer.init_state(3, np.float32)
    with pytest.raises(ArgumentError, match="cannot take single steps"):
        optimizer.update(np.zeros(3), np.zeros(3), {}, 1.0, 1, None)
    assert optimizer.learning_rate == optimizer.rate(3) == 1.0
    with pytest.raises(ArgumentError, match=r"no learning rate to set to 0\.1: its line search"):
        optimizer.learning_rate = 0.1


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match=r"LBFGS needs the package 'scipy'.*pip install 'miniDLF\[scipy\]'"):
        LBFGS().minimize(rosenbrock, np.zeros(3))


def test_configuration_round_trip() -> None:
    optimizer = LBFGS(20, memory=5)
    assert optimizer.config() == {"max_iterations": 20, "memory": 5}
    assert repr(get_optimizer({"class": "LBFGS", **optimizer.config()})) == repr(optimizer)


@pytest.mark.parametrize("momentum", [0.5, 0.99])
def test_running_statistics_are_those_of_the_data_under_the_final_weights(momentum: float) -> None:
    rng = np.random.default_rng(0)
    x = 10 + rng.normal(size=(200, 3))
    y = (x - 10) @ [[1.0], [-1], [2]]
    layers = [Dense(8, activation="tanh", input_shape=(3,)), BatchNormalization(momentum), Dense(1)]
    model = Sequential(layers, seed=0, dtype="float64")
    model.compile("mse", LBFGS(max_iterations=20))
    loss = model.fit(x, y, epochs=2, verbose=0).history["loss"][-1]
    assert model.evaluate(x, y) == pytest.approx(loss, rel=1e-6)
    hidden = np.tanh(x @ model.get_weights()[0] + model.get_weights()[1])
    np.testing.assert_allclose(model.get_weights()[4], hidden.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(model.get_weights()[5], hidden.var(axis=0), rtol=1e-9)
