"""What clipping, weight decay, averaging and accumulation do to the gradient and to the values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF.errors import ArgumentError, NotReadyError
from miniDLF.kernels.threads import quiet_arithmetic
from miniDLF.optimizers import (
    LBFGS,
    SGD,
    Accumulate,
    Adam,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    MovingAverage,
    Nadam,
    WeightDecay,
)
from miniDLF.optimizers.schedules import PiecewiseConstantDecay
from tests.optimizers.problems import make_updater, take_step

SHAPES = {"dense_1/weight": (2, 2), "dense_1/bias": (2,)}
GRADIENTS = [np.array([[3.0, -4.0], [0.0, 0.0]]), np.array([0.3, -0.4])]


def plain(lr: float = 1.0) -> SGD:
    """Gradient descent: after one step from 0 the values are the negative gradient that arrived."""
    return SGD(lr, 0.0, momentum=0.0)


def arrived(optimizer: Any, gradients: Any = GRADIENTS, dtype: Any = np.float64) -> list[np.ndarray]:
    updater = make_updater(optimizer, SHAPES, dtype)
    take_step(updater, gradients, 1)
    return [-slot.parameter.value for slot in updater.buffers.slots]


def check(got: list[np.ndarray], *expected: Any) -> None:
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_clip_value() -> None:
    check(arrived(ClipValue(plain(), 0.35)), [[0.35, -0.35], [0, 0]], [0.3, -0.35])


def test_clip_norm_is_by_parameter() -> None:
    check(arrived(ClipNorm(plain(), 1.0)), [[0.6, -0.8], [0, 0]], [0.3, -0.4])


def test_clip_global_norm_keeps_the_direction() -> None:
    scale = 1.0 / np.sqrt(25.25)
    check(arrived(ClipGlobalNorm(plain(), 1.0)), scale * GRADIENTS[0], scale * GRADIENTS[1])
    check(arrived(ClipGlobalNorm(plain(), 6.0)), *GRADIENTS)


@pytest.mark.parametrize("wrapper", [ClipNorm, ClipGlobalNorm])
def test_norms_whose_square_overflows(wrapper: Any) -> None:
    quiet = quiet_arithmetic(arrived)  # as the engine has it
    weight, bias = quiet(wrapper(plain(), 1.0), [GRADIENTS[0] * 1e30, GRADIENTS[1]], np.float32)
    np.testing.assert_allclose(weight, [[0.6, -0.8], [0, 0]], rtol=1e-6)
    assert np.isfinite(bias).all()


@pytest.mark.parametrize("wrapper", [ClipNorm, ClipGlobalNorm])
@pytest.mark.parametrize(("size", "dtype"), [(1e37, np.float32), (1e200, np.float64), (1e307, np.float64)])
def test_no_gradient_is_too_large_to_be_clipped(wrapper: Any, size: float, dtype: Any) -> None:
    quiet = quiet_arithmetic(arrived)
    weight, _ = quiet(wrapper(plain(), 1.0), [GRADIENTS[0] * size, GRADIENTS[1]], dtype)
    np.testing.assert_allclose(weight, [[0.6, -0.8], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("wrapper", [ClipNorm, ClipGlobalNorm])
def test_no_gradient_is_too_small_to_be_clipped(wrapper: Any) -> None:
    weight, _ = arrived(wrapper(plain(), 1e-30), [GRADIENTS[0] * 1e-25, GRADIENTS[1] * 0], np.float32)
    np.testing.assert_allclose(weight, [[0.6e-30, -0.8e-30], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("wrapper", [ClipNorm, ClipGlobalNorm])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_left_alone(wrapper: Any, value: float) -> None:
    updater = make_updater(wrapper(plain(), 1.0), SHAPES)
    gradient = np.array([[value, 1.0], [1.0, 1.0]])
    slots = updater.buffers.slots
    slots[0].parameter.grad[...] = gradient  # type: ignore[index]
    assert updater.optimizer.before(updater.buffers, updater.state, 1)
    np.testing.assert_array_equal(slots[0].parameter.grad, gradient)
    assert not updater.apply(1)
    assert not any(slot.parameter.value.any() for slot in slots)


def test_norm_of_many_values_and_of_parameters_only() -> None:
    """A vector longer than one run of the sum; what lies between the parameters does not count."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=20_001), rng.normal(size=3)]
    updater = make_updater(ClipGlobalNorm(plain(), 1.0), {"a/weight": (20_001,), "b/bias": (3,)})
    updater.buffers.gradients.fill(7.0)
    take_step(updater, gradients, 1)
    norm = np.sqrt(sum(float(np.sum(g**2)) for g in gradients))
    for slot, gradient in zip(updater.buffers.slots, gradients, strict=True):
        np.testing.assert_allclose(slot.parameter.value, -gradient / norm, rtol=1e-12)


def test_the_gradient_passes_from_the_outside_in() -> None:
    value_first = ClipValue(ClipGlobalNorm(plain(), 1.0), 3.0)
    clipped = [np.clip(g, -3, 3) for g in GRADIENTS]
    norm = np.sqrt(18.25)
    check(arrived(value_first), clipped[0] / norm, clipped[1] / norm)
    norm_first = ClipGlobalNorm(ClipValue(plain(), 0.7), 1.0)
    norm = np.sqrt(25.25)
    check(arrived(norm_first), np.clip(GRADIENTS[0] / norm, -0.7, 0.7), np.clip(GRADIENTS[1] / norm, -0.7, 0.7))


def test_weight_decay_leaves_biases_alone() -> None:
    shapes = {
        "a/weight": (2,),
        "a/bias": (2,),
        "b/gamma": (2,),
        "b/beta": (2,),
        "c/recurrent_weight": (2,),
        "c/output_bias": (2,),
    }
    updater = make_updater(WeightDecay(plain(0.5), 0.1), shapes)
    for slot in updater.buffers.slots:
        slot.parameter.value[...] = 2.0
    take_step(updater, [np.full(2, 0.25)] * 6, 1)
    for slot in updater.buffers.slots:
        decayed = slot.path in ("a/weight", "c/recurrent_weight")
        np.testing.assert_allclose(slot.parameter.value, (2.0 * (1 - 0.5 * 0.1) if decayed else 2.0) - 0.125)


def test_weight_decay_takes_names_and_the_present_rate() -> None:
    schedule = PiecewiseConstantDecay([0], [0.5, 0.0])
    optimizer = WeightDecay(SGD(schedule, momentum=0.0), rate=0.1, exclude="weight")
    updater = make_updater(optimizer, SHAPES)
    updater.buffers.values.fill(1.0)
    for step in (1, 2):  # in the second the rate is 0, and with it the decay
        take_step(updater, [np.zeros((2, 2)), np.zeros(2)], step)
    weight, bias = (slot.parameter.value for slot in updater.buffers.slots)
    np.testing.assert_allclose(weight, 1.0)
    np.testing.assert_allclose(bias, 0.95)
    assert optimizer.exclude == ("weight",)


@pytest.mark.parametrize("period", [1, 2])
def test_moving_average(period: int) -> None:
    inner = plain(0.1)
    optimizer = MovingAverage(Accumulate(inner, period) if period > 1 else inner, 0.75)
    updater = make_updater(optimizer, SHAPES)
    with pytest.raises(NotReadyError, match="train at least one step"):
        optimizer.averaged(updater.state)
    rng = np.random.default_rng(1)
    average = None
    for step in range(1, 9):
        take_step(updater, [rng.normal(size=(2, 2)), rng.normal(size=2)], step)
        if step % period == 0:
            values = updater.buffers.values.copy()
            average = values if average is None else 0.75 * average + 0.25 * values
    np.testing.assert_allclose(optimizer.averaged(updater.state), average, rtol=1e-12)
    values = updater.buffers.values.copy()
    optimizer.swap(updater.buffers, updater.state)
    np.testing.assert_allclose(updater.buffers.values, average, rtol=1e-12)
    optimizer.swap(updater.buffers, updater.state)
    np.testing.assert_array_equal(updater.buffers.values, values)
    with pytest.raises(NotReadyError, match=r"compile with MovingAverage\(optimizer\)"):
        MovingAverage.averaged({})


@pytest.mark.parametrize("make", [lambda: Adam(0.1, 0.1), lambda: Nadam(0.1), lambda: ClipGlobalNorm(SGD(0.1), 0.5)])
def test_accumulation_equals_one_update_by_the_mean(make: Any) -> None:
    rng = np.random.default_rng(2)
    gradients = [[rng.normal(size=(2, 2)), rng.normal(size=2)] for _ in range(12)]
    pieces, whole = make_updater(Accumulate(make(), 3), SHAPES), make_updater(make(), SHAPES)
    for step in range(1, 13):
        before = pieces.buffers.values.copy()
        take_step(pieces, gradients[step - 1], step)
        if step % 3:
            np.testing.assert_array_equal(pieces.buffers.values, before)
        else:
            part = gradients[step - 3 : step]
            take_step(whole, [sum(g[i] for g in part) / 3 for i in (0, 1)], step // 3)
            np.testing.assert_allclose(pieces.buffers.values, whole.buffers.values, rtol=1e-12)
    assert Accumulate(make(), 3).rate(11) == make().rate(3)


def test_clipping_outside_and_inside_of_accumulation() -> None:
    gradients = [[np.full((2, 2), 2.0), np.zeros(2)], [np.full((2, 2), -0.5), np.zeros(2)]]
    outside, inner = ClipValue(Accumulate(plain(), 2), 1.0), Accumulate(ClipValue(plain(), 0.5), 2)
    results = []
    for optimizer in (outside, inner):
        updater = make_updater(optimizer, SHAPES)
        for step in (1, 2):
            take_step(updater, gradients[step - 1], step)
        results.append(float(updater.buffers.values[0]))
    assert results == [-0.25, -0.5]  # (1 - 0.5) / 2, and 0.75 clipped


def test_wrapping_what_cannot_be_wrapped() -> None:
    with pytest.raises(ArgumentError, match=r"ClipNorm works on single steps and cannot wrap LBFGS.*Adam\(\)"):
        ClipNorm(LBFGS(), 1.0)
    twice = MovingAverage(ClipNorm(MovingAverage("adam"), 1.0))
    with pytest.raises(ArgumentError, match=r"MovingAverage inside another one.*Keep one"):
        twice.init_state(3, np.float32)
