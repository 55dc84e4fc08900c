"""Steps with gradients of one's own: eager, compiled, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import Variable, errors, function, gradient, ops
from miniDLF.optimizers import LBFGS, SGD, Adam, ClipGlobalNorm

RULES = [lambda: SGD(lr=0.05, momentum=0.9), lambda: Adam(lr=0.01), lambda: ClipGlobalNorm(Adam(lr=0.01), 0.1)]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype("float32")
Y = (X @ RNG.normal(size=(5, 2))).astype("float32")


def start() -> tuple[Variable, Variable]:
    return Variable(np.full((5, 2), 0.1, "float32"), name="weight"), Variable(np.zeros(2, "float32"), name="bias")


def run(make: Any, compiled: bool, shards: int | None = None) -> tuple[list[float], list[np.ndarray]]:
    variables, optimizer = start(), make()

    def step(x: Any, y: Any) -> Any:
        loss = np.mean((np.tanh(x @ variables[0]) + variables[1] - y) ** 2)
        optimizer.apply_gradients(zip(gradient(loss, list(variables)), variables, strict=True))
        return loss

    call = function(step, shards=shards) if compiled else step
    losses = [float(call(X, Y)) for _ in range(8)]
    assert optimizer.iterations == 8
    return losses, [variable.numpy().copy() for variable in variables]


@pytest.mark.parametrize("make", RULES)
def test_compiled_steps_are_eager_steps(make: Any) -> None:
    losses, values = run(make, False)
    assert losses[-1] < losses[0]
    for shards in (None, 1, 2, 3):
        found, others = run(make, True, shards)
        np.testing.assert_allclose(found, losses, rtol=1e-4)
        for a, b in zip(others, values, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


def test_two_optimizers_in_one_program() -> None:
    a, b = Variable([1.0], name="a"), Variable([2.0], name="b")
    first, second = SGD(lr=0.1, momentum=0), SGD(lr=0.5, momentum=0)

    @function
    def step() -> Any:
        loss = np.sum(a * b)
        first.apply_gradients([(gradient(loss, a), a)])
        second.apply_gradients([(gradient(loss, b), b)])
        return loss

    assert float(step()) == 2
    np.testing.assert_allclose([a.numpy()[0], b.numpy()[0]], [0.8, 1.5], rtol=1e-5)


def test_variables_that_move_are_followed_by_plans_made_before() -> None:
    v = Variable([1.0, 2.0])
    total = function(lambda: np.sum(v * 2))
    assert float(total()) == 6
    SGD(lr=1.0, momentum=0).apply_gradients([(np.ones(2), v)])
    assert float(total()) == 2


def test_what_does_not_fit_is_refused() -> None:
    weight, bias = start()
    optimizer = Adam()
    with pytest.raises(errors.ArgumentTypeError, match="pairs"):
        optimizer.apply_gradients([])
    with pytest.raises(errors.ArgumentTypeError, match="pairs"):
        optimizer.apply_gradients([(np.ones(2), np.ones(2))])
    with pytest.raises(errors.ArgumentError, match="no variable has a gradient"):
        optimizer.apply_gradients([(None, weight)])
    with pytest.raises(errors.ArgumentError, match=r"weight has the shape \(5, 2\)"):
        optimizer.apply_gradients([(np.ones(3), weight), (None, bias)])
    with pytest.raises(errors.ArgumentError, match="2 variables since its first call"):
        optimizer.apply_gradients([(np.ones((5, 2)), weight)])
    with pytest.raises(errors.ArgumentError, match="needs the loss as a function"):
        LBFGS().apply_gradients([(np.ones((5, 2)), weight)])
    with pytest.raises(errors.ArgumentError, match="one type"):
        Adam().apply_gradients([(None, Variable(np.ones(2))), (np.ones(2), bias)])


def test_gradients_that_are_not_finite_change_nothing() -> None:
    weight, bias = start()
    optimizer = Adam()
    optimizer.apply_gradients([(np.ones((5, 2)), weight), (np.ones(2), bias)])
    before = weight.numpy().copy()
    with pytest.raises(errors.DivergedError, match="step 2"):
        optimizer.apply_gradients([(np.full((5, 2), np.nan), weight), (np.ones(2), bias)])
    assert np.all(np.isfinite(weight.numpy()))
    assert np.abs(weight.numpy() - before).max() < 0.01


def test_a_small_network_learns_xor() -> None:
    rng = np.random.default_rng(2)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0]], "float32")
    hidden, out = Variable(rng.normal(size=(3, 8)).astype("f4")), Variable(rng.normal(size=(8, 1)).astype("f4"))
    optimizer = Adam(lr=0.05)

    @function
    def step(x: Any, y: Any) -> Any:
        inputs = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
        logits = np.tanh(inputs @ hidden) @ out
        loss = np.mean(ops.softplus(logits) - y * logits)
        optimizer.apply_gradients(zip(gradient(loss, [hidden, out]), [hidden, out], strict=True))
        return loss

    losses = [float(step(x, y)) for _ in range(300)]
    assert losses[-1] < 0.05 < losses[0]
