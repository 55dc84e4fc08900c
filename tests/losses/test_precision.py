"""Extreme numbers, long sequences in float32, printed values, and memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from miniDLF import losses
from miniDLF.kernels.workspace import Workspace
from tests.losses.cases import CASES, LossCase

CCE = losses.CategoricalCrossentropy()
BCE = losses.BinaryCrossentropy()


def _weights(count: int, dtype: type = np.float32) -> np.ndarray:
    return np.full(count, 1.0 / count, dtype)


def test_an_untrained_network_starts_at_the_printed_loss_of_the_specification() -> None:
    """60 steps of 43 equally likely characters cost 60 log 43 = 225.7: the sum over time, the mean over the batch."""
    logits, target = np.zeros((25, 60, 43), np.float32), np.zeros((25, 60), int)
    value, _, _ = CCE.fused_value_and_grad(logits, target, _weights(25), Workspace().empty)
    assert value == pytest.approx(60 * np.log(43), rel=1e-6)
    mean = losses.CategoricalCrossentropy(over_time="mean")
    assert mean.fused_value_and_grad(logits, target, _weights(25), Workspace().empty)[0] == pytest.approx(np.log(43))


@pytest.mark.parametrize("steps", [60, 5000])
def test_a_long_sequence_is_accurate_in_float32(steps: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, steps, 43)).astype(np.float32) * 3
    target = rng.integers(0, 43, size=(4, steps))
    weights = np.array([0.5, 0.25, 0.125, 0.125])
    exact = CCE.fused_value_and_grad(logits.astype(np.float64), target, weights, Workspace(np.float64).empty)
    value, gradient, prediction = CCE.fused_value_and_grad(
        logits, target, weights.astype(np.float32), Workspace(np.float32).empty
    )
    assert value == pytest.approx(exact[0], rel=3e-8)  # half a unit in the last place of float32
    np.testing.assert_allclose(gradient, exact[1], atol=2e-7)
    np.testing.assert_allclose(prediction, exact[2], rtol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_any_size_give_finite_numbers(dtype: type) -> None:
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    for loss in (CCE, losses.CategoricalFocalCrossentropy()):
        value, gradient, prediction = loss.fused_value_and_grad(
            logits, np.array([0, 0]), _weights(2, dtype), Workspace(dtype).empty
        )
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(prediction, [[1, 0, 0], [0, 1, 0]])
    assert CCE.fused_value_and_grad(logits, np.array([0, 0]), _weights(2, dtype), Workspace(dtype).empty)[0] == 1e4
    for loss in (BCE, losses.BinaryFocalCrossentropy(gamma=0.5), losses.BinaryFocalCrossentropy()):
        value, gradient, _ = loss.fused_value_and_grad(
            logits, np.array([[1, 1, 1], [0, 0, 0]]), _weights(2, dtype), Workspace(dtype).empty
        )
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_bce_of_a_confident_mistake_is_its_logit_and_of_a_confident_answer_is_small_but_not_lost() -> None:
    one = np.ones((1, 1), np.float32)
    weights = np.ones(1, np.float32)
    assert BCE.fused_value_and_grad(-80 * one, one, weights, Workspace().empty)[0] == 80
    value = BCE.fused_value_and_grad(20 * one, one, weights, Workspace().empty)[0]
    assert value == pytest.approx(np.exp(-20.0), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_and_wrong_probabilities_stay_finite(dtype: type) -> None:
    wrong = np.array([[1.0, 0.0]], dtype)
    for loss, target in ((CCE, np.array([1])), (BCE, np.array([[0, 1]])), (losses.KLDivergence(), wrong[:, ::-1])):
        value, gradient = loss.value_and_grad(wrong, target, np.ones(1, dtype), Workspace(dtype).empty)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert np.isfinite(loss.per_sample(wrong, target)).all()


def test_a_loss_before_and_after_the_softmax_agree_for_improbable_classes() -> None:
    logits = np.array([[40.0, 0.0]], np.float32)
    fused, _, prediction = CCE.fused_value_and_grad(logits, np.array([1]), np.ones(1, np.float32), Workspace().empty)
    assert fused == 40
    assert CCE.per_sample(prediction, np.array([1]))[0] == pytest.approx(40, rel=1e-6)  # Keras' clip would give 16.1


def test_nan_comes_through() -> None:
    logits = np.array([[np.nan, 0.0], [0.0, 1.0]], np.float32)
    value, _, _ = CCE.fused_value_and_grad(logits, np.array([0, 1]), _weights(2), Workspace().empty)
    assert np.isnan(value)
    value, _ = losses.MeanSquaredError().value_and_grad(logits, logits, _weights(2), Workspace().empty)
    assert np.isnan(value)


@pytest.mark.parametrize(
    ("case", "fused"),
    [(case, fused) for case in CASES for fused in (False, True) if case.loss.absorbs or not fused],
    ids=str,
)
def test_a_steady_step_allocates_nothing_large(case: LossCase, fused: bool) -> None:
    loss, count, width = case.loss, 100, 600
    prediction, target = case.sample(np.random.default_rng(0), count)
    if case.shape:  # many classes or elements, few rows: what is left is small change a row
        prediction = np.tile(prediction, width)
        target = np.tile(target, width) if target.ndim == prediction.ndim else target
    prediction = prediction.astype(np.float32)
    target = target.astype(np.float32) if target.dtype.kind == "f" else target
    workspace, weights = Workspace(), _weights(count)
    call = loss.fused_value_and_grad if fused else loss.value_and_grad
    call(prediction, target, weights, workspace.empty)
    tracemalloc.start()
    call(prediction, target, weights, workspace.empty)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024


@pytest.mark.parametrize("distance", [1e-18, 1e-6, 1e-4, 1e-2, 0.5, 0.999, 1.001, 3.0, 80.0, 1e4, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_cosh_keeps_its_digits(distance: float, dtype: type) -> None:
    x = np.array([[distance], [-distance]], dtype)
    value, gradient = losses.LogCosh().value_and_grad(x, np.zeros_like(x), _weights(2, dtype), Workspace(dtype).empty)
    d = float(x[0, 0])
    exact = d * d / 2 if d < 1e-3 else np.log(np.cosh(d)) if d < 20 else d - np.log(2)
    assert value == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(gradient, [[np.tanh(d) / 2], [-np.tanh(d) / 2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("p", "t"), [(1e6 + 1, 1e6), (1e6, 1e6 + 1), (3e38, 0.0), (0.0, 3e38), (1e-4, 1.001e-4), (2.0, 2.0)]
)
def test_the_squared_logarithmic_error_keeps_its_digits(p: float, t: float) -> None:
    p, t = np.float32(p), np.float32(t)
    exact = (np.log1p(max(float(p), 1e-7)) - np.log1p(float(t))) ** 2
    value, gradient = losses.MeanSquaredLogarithmicError().value_and_grad(
        np.array([[p]]), np.array([[t]]), _weights(1), Workspace().empty
    )
    assert value == pytest.approx(exact, rel=1e-5)
    assert np.sign(gradient[0, 0]) == (0 if p == 0 else np.sign(p - t))
