"""Loops and branches: what the contract's cases do not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF import GradientTape, Tensor, Variable, errors, function, gradient, ops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5, 3))


def watched(array: Any) -> Tensor:
    tensor = Tensor(array)
    tensor._watched = True
    return tensor


def test_gradients_reach_variables_that_the_body_uses() -> None:
    w = Variable(0.3 * RNG.normal(size=(3, 3)))

    def run(x: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = np.tanh(x + h @ (w * 2))
            return h, h

        last, _ = ops.scan(step, np.zeros((6, 3)), np.swapaxes(x, 0, 1))
        return last

    def unrolled(x: Any) -> Any:
        h: Any = np.zeros((6, 3))
        for t in range(5):
            h = np.tanh(x[:, t] + h @ (w * 2))
        return h

    def loss(run: Any, x: Any) -> Any:
        value = np.mean(run(x) ** 2)
        return value, gradient(value, [w])[0]

    expected_loss, expected = loss(unrolled, Tensor(X))
    for compute in (loss, function(loss), function(loss, shards=2), function(loss, shards=3)):
        value, found = compute(run, X if compute is not loss else Tensor(X))
        np.testing.assert_allclose(value, expected_loss, rtol=1e-12)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert not function(loss, shards=2).plan_report(run, X).reasons
    with GradientTape() as tape:
        value = np.sum(run(Tensor(X)))
    assert tape.gradient(value, w).shape == (3, 3)
    w.assign(w.value * 0)
    np.testing.assert_allclose(function(loss)(run, X)[0], np.mean(np.tanh(X[:, -1]) ** 2))


def test_second_derivatives_are_right_in_shards() -> None:
    w = Variable(0.3 * RNG.normal(size=(3, 3)))

    def run(x: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = np.tanh(x + h @ w)
            return h, h * h

        _, squares = ops.scan(step, np.zeros((6, 3)), np.swapaxes(x, 0, 1))
        slope = gradient(np.sum(squares), x)
        penalty = np.sum(slope**2)
        return penalty, gradient(penalty, [w, x])

    penalty, expected = run(watched(X))
    for shards in (1, 2):
        found_penalty, found = function(run, shards=shards)(X)
        np.testing.assert_allclose(found_penalty, penalty, rtol=1e-10)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_carry_that_is_the_same_for_all_samples_is_right_in_shards() -> None:
    def run(x: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            h, count = carry
            return (h * 0.9 + x * (count + 1.0), count + 1.0), None

        (h, count), _ = ops.scan(step, (np.zeros((6, 3)), Tensor(0.0)), np.swapaxes(x, 0, 1))
        return h, count

    for shards in (1, 2):
        h, count = function(run, shards=shards)(X)
        assert float(count) == 5
        np.testing.assert_allclose(h, run(Tensor(X))[0], rtol=1e-12)


def test_sums_over_the_batch_within_the_body_are_those_of_the_whole() -> None:
    def centred(x: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = h * 0.5 + x - np.mean(x, axis=0)
            return h, h

        return ops.scan(step, np.zeros((6, 3)), np.swapaxes(x, 0, 1))[0]

    expected = centred(Tensor(X))
    for shards in (1, 2, 3):
        np.testing.assert_allclose(function(centred, shards=shards)(X), expected, rtol=1e-12)


def test_a_loop_without_inputs_counts_its_steps_and_an_empty_one_returns_the_first_carry() -> None:
    last, powers = ops.scan(lambda c, _: (c * 2, c), Tensor(1.0), length=5)
    assert float(last) == 32
    np.testing.assert_array_equal(powers, [1, 2, 4, 8, 16])
    last, none = ops.scan(lambda c, x: (c + x, c), Tensor([1.0, 2.0]), Tensor(np.zeros((0, 2), "float32")))
    np.testing.assert_array_equal(last, [1, 2])
    assert none.shape == (0, 2)


def test_random_numbers_in_a_body_are_new_in_every_run() -> None:
    def run(x: Any) -> Any:
        return ops.scan(lambda c, x: (c, x * ops.random.uniform((2,))), Tensor(0.0), x)[1]

    ones = np.ones((3, 2), "float32")
    compiled = function(run)
    first, second = compiled(ones).numpy(), compiled(ones).numpy()
    assert not np.array_equal(first, second)
    assert run(Tensor(ones)).shape == (3, 2)


def test_a_branch_that_is_not_taken_is_not_computed() -> None:
    calls = []

    def counted(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        return x * 2

    double = ops.custom(counted, lambda dy, y, x: 2 * dy)

    @function
    def run(flag: Any, x: Any) -> Any:
        y = ops.cond(flag, lambda: double(x), lambda: x + 1)
        return y, gradient(y, x)

    x = np.array([1.0, 2.0])
    y, dx = run(np.array(False), x)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(dx, [1, 1])
    before = len(calls)
    run(np.array(False), x)
    assert len(calls) == before
    y, dx = run(np.array(True), x)
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(dx, [2, 2])
    assert len(calls) > before


def test_a_branch_protects_from_what_is_not_defined() -> None:
    def root(x: Any) -> Any:
        y = ops.cond(np.sum(x) > 0, lambda: np.sqrt(x), lambda: x * 0)
        return y, gradient(y, x)

    y, dx = function(root)(np.array([-1.0, -4.0]))
    assert not y.numpy().any()
    np.testing.assert_array_equal(dx, [0, 0])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: ops.scan(lambda c, x: (c[:1], x), Tensor([1.0, 2.0]), Tensor([1.0])), r"begins as \(2,\).*\(1,\)"),
        (lambda: ops.scan(lambda c, x: c, Tensor(1.0), Tensor([1.0])), "return carry, y"),
        (lambda: ops.scan(lambda c, x: (c, x), Tensor(1.0), (Tensor([1.0]), Tensor([1.0, 2]))), "one length"),
        (lambda: ops.scan(lambda c, x: (c, x), Tensor(1.0)), "one length"),
        (lambda: ops.scan(lambda c, x: (c if c > 0 else x, x), Tensor(1.0), Tensor([1.0])), r"ops\.where"),
        (lambda: ops.scan(_assigns, Tensor(1.0), Tensor([1.0])), "assigns a variable"),
        (lambda: ops.cond(Tensor([True, False]), lambda: 1, lambda: 2), "one boolean"),
        (lambda: function(_two_shapes)(np.array(1.0)), "other shapes"),
        (lambda: ops.lstm(X, np.ones((3, 7)), np.ones((2, 8)), np.ones(8)), r"kernel \(D, 4 H\)"),
        (lambda: ops.conv2d(np.ones((1, 2, 3, 3)), np.ones((1, 1, 2, 2))), "one C"),
        (lambda: ops.max_pool(np.ones((1, 2, 3, 3)), 4), "larger than"),
    ],
)
def test_mistakes_are_named(run: Any, message: str) -> None:
    with pytest.raises(errors.MiniDLFError, match=message):
        run()


COUNTER = Variable(0.0, name="counter")


def _assigns(carry: Any, x: Any) -> Any:
    COUNTER.assign(x)
    return carry, x


def _two_shapes(x: Any) -> Any:
    return ops.cond(x > 0, lambda: x, lambda: np.zeros(3))


def test_a_loop_keeps_its_carries_only_for_a_gradient() -> None:
    def run(x: Any) -> Any:
        return ops.scan(lambda h, x: (np.tanh(h + x), None), np.zeros((6, 3)), np.swapaxes(x, 0, 1))[0]

    forward, backward = function(run, shards=1), function(lambda x: gradient(run(x), x), shards=1)
    np.testing.assert_allclose(forward(X), run(Tensor(X)), rtol=1e-12)
    np.testing.assert_allclose(backward(X), gradient(run(x := watched(X)), x), rtol=1e-12)
    assert forward.plan_report(X).asked < X.nbytes < backward.plan_report(X).asked


def test_gradients_of_parts_of_weights_are_added_up_at_the_end() -> None:
    u = Variable(0.3 * RNG.normal(size=(2, 6)))
    w, b = RNG.normal(size=(3, 6)), np.zeros(6)

    def slope(x: Any) -> Any:
        return gradient(ops.gru(x, w, u, b), [u])[0]

    compiled = function(slope, shards=2)
    np.testing.assert_allclose(compiled(X), slope(Tensor(X)), rtol=1e-9)
    assert compiled.plan_report(X).meetings == 0
