"""Gradients of programs: by hand, by tapes, of gradients, and what is refused."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from miniDLF import GradientTape, Tensor, Variable, errors, gradient, ops
from miniDLF.tensor import GradientError, placeholder
from miniDLF.tensor.gradients import history


def test_gradient_of_a_small_network_by_hand() -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    weight, bias = Variable(w), Variable(b)
    loss = np.mean(np.tanh(x @ weight + bias) ** 2)
    dweight, dbias = gradient(loss, [weight, bias])
    y = np.tanh(x @ w + b)
    dz = 2 * y * (1 - y * y) / y.size
    np.testing.assert_allclose(dweight, x.T @ dz, rtol=1e-12)
    np.testing.assert_allclose(dbias, dz.sum(0), rtol=1e-12)


def test_gradients_are_arranged_like_the_sources() -> None:
    a, b = Variable(2.0), Variable(3.0)
    found = gradient(a * b, {"a": a, "rest": [b, a]})
    assert float(found["a"]) == 3
    assert [float(one) for one in found["rest"]] == [2, 3]
    assert float(gradient(a * b, a)) == 3


def test_a_value_used_twice_collects_both_gradients() -> None:
    x = Variable([1.0, 2.0])
    y = np.exp(x)
    np.testing.assert_allclose(gradient(np.sum(y * y + y), x), 2 * np.exp([2.0, 4.0]) + np.exp([1.0, 2.0]), rtol=1e-6)


def test_gradients_of_every_order() -> None:
    x = Variable(np.array(0.7))
    value, signs = np.sin(x), [np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7)]
    for expected in signs:
        value = gradient(value, x)
        assert float(value) == pytest.approx(expected, rel=1e-12)


def test_with_respect_to_inputs_and_to_results_within() -> None:
    x = Tensor([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        h = x * 3
        y = np.sum(h * h)
    dx, dh = tape.gradient(y, [x, h])
    assert dx.tolist() == [18, 36]
    assert dh.tolist() == [6, 12]


def test_tapes_nest_and_a_second_call_needs_a_persistent_one() -> None:
    x = Variable(3.0)
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = x * x * x
        slope = inner.gradient(y, x)
    assert float(outer.gradient(slope, x)) == 18
    with pytest.raises(errors.NotReadyError, match="persistent=True"):
        outer.gradient(slope, x)
    with GradientTape(persistent=True) as tape:
        y, z = x * 2, x * x
    assert [float(tape.gradient(one, x)) for one in (y, z)] == [2, 6]


def test_gradients_of_a_closed_tape_remember_nothing() -> None:
    x = Variable(3.0)
    with GradientTape() as tape:
        y = x * x
    assert not tape.gradient(y, x).has_history
    assert gradient(x * x, x).has_history


def test_weighted_targets_and_several_of_them() -> None:
    x = Variable([1.0, 2.0])
    assert gradient(x * x, x, [1.0, 10.0]).tolist() == [2, 40]
    assert gradient([x * 2, x * x], x).tolist() == [4, 6]
    with pytest.raises(errors.ShapeError, match="output_gradients"):
        gradient(x * x, x, [1.0])


def test_constants_conditions_and_whole_numbers_stop_gradients() -> None:
    x, n = Variable([1.0, -2.0]), Variable([1, 2])
    assert gradient(np.sum(ops.stop_gradient(x) * x), x).tolist() == [1, -2]
    assert gradient(np.sum(np.where(x > 0, x, 0)), x).tolist() == [1, 0]
    assert gradient(np.sum(x * n), [x, n])[1] is None
    assert gradient(np.sum(x), Variable(1.0)) is None
    assert gradient(np.sum(x), Variable([1.0, 2]), unconnected="zero").tolist() == [0, 0]


def test_untrainable_variables_are_constants_unless_watched() -> None:
    v = Variable(2.0, trainable=False)
    assert not (v * v).has_history
    with GradientTape() as tape:
        tape.watch(v)
        y = v * v
    assert float(tape.gradient(y, v)) == 4


def test_what_has_no_gradient_is_explained() -> None:
    x = Variable(1.0)
    with pytest.raises(GradientError, match=r"Variables.*watch"):
        gradient(Tensor(1.0), x)
    with pytest.raises(errors.ArgumentTypeError, match="Numbers remember nothing"):
        gradient(float(x * 2), x)
    with pytest.raises(errors.ArgumentTypeError, match=r"Tensor\(x\)"):
        GradientTape().watch(np.ones(2))
    with pytest.raises(errors.ArgumentTypeError, match=r"astype"):
        GradientTape().watch(Tensor([1, 2]))
    with GradientTape() as tape, tape.stop_recording():
        y = x * x
    with pytest.raises(GradientError):
        tape.gradient(y, x)


def test_a_variable_assigned_between_is_refused() -> None:
    x = Variable(2.0, name="speed")
    y = x * x
    x.assign(5.0)
    with pytest.raises(GradientError, match=r"'speed' was assigned"):
        gradient(y, x)


def test_ties_share_and_kinks_have_the_usual_slopes() -> None:
    x = Variable([1.0, 1.0, 0.0])
    assert gradient(np.max(x), x).tolist() == [0.5, 0.5, 0]
    assert gradient(np.sum(np.maximum(x, 1.0)), x).tolist() == [0.5, 0.5, 0]
    assert gradient(np.sum(ops.relu(x - 1)), x).tolist() == [0, 0, 0]
    assert gradient(np.sum(np.abs(x)), x).tolist() == [1, 1, 0]
    assert gradient(np.linalg.norm(Variable([0.0, 0.0]) * 1), x) is None


def test_power_at_zero_has_the_gradients_of_the_limit() -> None:
    a = Variable(np.zeros(3))
    assert gradient(np.sum(a ** np.array([1.0, 2.0, 3.0])), a).tolist() == [1, 0, 0]
    b = Variable(np.array([0.0, 2.0]))
    assert gradient(np.sum(np.array([3.0, 0.0]) ** b), b).tolist() == pytest.approx([np.log(3), 0])


def test_long_chains_need_no_deep_stack() -> None:
    x = Variable(1.0)
    y = x
    for _ in range(5000):
        y = y + 1
    assert float(gradient(y, x)) == 1
    assert len(history([y])) == 5000


def test_history_goes_with_the_result() -> None:
    x = Variable(np.ones(10))
    y = np.exp(x) * 2
    inner = weakref.ref(y.operation.inputs[0].operation.inputs[0])
    assert inner() is x
    operation = y.operation
    count = len(gc.get_referrers(operation))
    del y
    assert len(gc.get_referrers(operation)) < count


def test_symbolic_programs_are_differentiated_alike() -> None:
    x = placeholder((4, 3), "float32")
    w = placeholder((3, 2), "float32")
    loss = np.sum(ops.softmax(x @ w) ** 2)
    dw, dx = gradient(loss, [w, x])
    assert dw.is_symbolic
    assert dw.shape == (3, 2)
    assert dx.shape == (4, 3)
    assert gradient(np.sum(dw * dw), x).shape == (4, 3)


def test_check_gradients_finds_a_wrong_one() -> None:
    wrong = ops.custom(lambda x: x**3, lambda dy, y, x: 2 * x * x * dy)
    check = ops.check_gradients(wrong, np.array([1.0, 2.0]))
    assert not check
    assert "WRONG at" in str(check)
    assert repr(check) == str(check)
    assert ops.check_gradients(lambda x, n: x * n, np.array([1.0, 2.0]), np.array([1, 2]))


def test_custom_operations_that_do_not_fit_are_explained() -> None:
    x = Variable([1.0, 2.0])
    with pytest.raises(errors.ArgumentTypeError, match="returned nothing"):
        ops.custom(lambda x: None, lambda dy, y, x: dy)(x)
    with pytest.raises(errors.ShapeError, match="gives? a tuple|2 gradients"):
        gradient(ops.custom(lambda x: x * 2, lambda dy, y, x: (dy, dy))(x), x)
    with pytest.raises(errors.ShapeError, match="its gradient"):
        gradient(ops.custom(lambda x: x * 2, lambda dy, y, x: dy[:1])(x), x)
    with pytest.raises(errors.MiniDLFError, match="gradient of a gradient"):
        gradient(np.sum(gradient(ops.custom(lambda x: x * x, lambda dy, y, x: 2 * x * dy)(x), x)), x)


def test_training_a_line_with_nothing_but_variables() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 1)).astype("float32")
    y = 3 * x - 1
    slope, offset = Variable([[0.0]]), Variable([0.0])
    for _ in range(200):
        loss = np.mean((x @ slope + offset - y) ** 2)
        for variable, step in zip((slope, offset), gradient(loss, [slope, offset]), strict=True):
            variable.assign_sub(0.1 * step)
    assert float(slope[0, 0]) == pytest.approx(3, abs=1e-3)
    assert float(offset[0]) == pytest.approx(-1, abs=1e-3)
