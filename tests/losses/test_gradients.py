"""Every loss: value and gradient agree, the plain formula agrees, memory is lent, configurations come back."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF import losses
from miniDLF.core.configurable import from_config
from miniDLF.kernels.workspace import Workspace
from miniDLF.losses import ElementwiseLoss, Loss, get_loss
from miniDLF.losses.choices import CHOICES
from tests.losses.cases import CASES, LossCase
from tests.losses.plain import each_sample, sigmoid, softmax
from tests.standalone import directional_check

FUSED = [case for case in CASES if case.loss.absorbs]


def _empty(name, shape, dtype=None):
    return np.full(shape, 77, dtype or np.float64)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_is_that_of_the_value(case: LossCase) -> None:
    rng = np.random.default_rng(1)
    prediction, target = case.sample(rng)
    weights = rng.uniform(0.1, 1.0, size=5)
    value, gradient = case.loss.value_and_grad(prediction, target, weights, _empty)
    gradient = gradient.copy()
    assert isinstance(value, float)
    assert gradient.shape == prediction.shape

    def run() -> float:
        return case.loss.value_and_grad(prediction, target, weights, _empty)[0]

    directional_check(run, prediction, gradient, rng)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_value_is_the_weighted_sum_of_the_plain_formula(case: LossCase) -> None:
    rng = np.random.default_rng(2)
    prediction, target = case.sample(rng)
    weights = rng.uniform(0.1, 1.0, size=5)
    value, _ = case.loss.value_and_grad(prediction, target, weights, _empty)
    each = each_sample(case.loss, prediction, target)
    assert value == pytest.approx(float(each @ weights), rel=1e-10)
    np.testing.assert_allclose(case.loss.per_sample(prediction, target), each, rtol=1e-10)


@pytest.mark.parametrize("case", FUSED, ids=str)
def test_the_fused_form_is_the_loss_of_the_activation(case: LossCase) -> None:
    rng = np.random.default_rng(3)
    _, target = case.sample(rng)
    logits = rng.normal(size=(5, *case.shape))
    weights = rng.uniform(0.1, 1.0, size=5)
    value, gradient, prediction = case.loss.fused_value_and_grad(logits, target, weights, _empty)
    expected = (softmax if case.loss.absorbs == "Softmax" else sigmoid)(logits)
    np.testing.assert_allclose(prediction, expected, rtol=1e-12)
    assert value == pytest.approx(case.loss.value_and_grad(expected, target, weights, _empty)[0], rel=1e-10)
    gradient = gradient.copy()

    def run() -> float:
        return case.loss.fused_value_and_grad(logits, target, weights, _empty)[0]

    directional_check(run, logits, gradient, rng)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_that_is_given_changes_and_memory_is_borrowed(case: LossCase) -> None:
    rng = np.random.default_rng(4)
    prediction, target = case.sample(rng)
    weights = np.full(5, 0.2)
    for array in (prediction, target, weights):
        array.flags.writeable = False
    workspace = Workspace(np.float64)
    calls = [case.loss.value_and_grad] + ([case.loss.fused_value_and_grad] if case.loss.absorbs else [])
    for call in calls:
        first, second = (call(prediction, target, weights, workspace.empty) for _ in range(2))
        assert first[0] == second[0]
        assert np.shares_memory(first[1], second[1])
        assert not np.shares_memory(first[1], prediction)
        if len(first) == 3:
            assert not np.shares_memory(first[1], first[2])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_stays_float32(case: LossCase) -> None:
    prediction, target = case.sample(np.random.default_rng(5))
    target32 = target.astype(np.float32) if target.dtype.kind == "f" else target
    weights = np.full(5, 0.2, np.float32)
    workspace = Workspace(np.float32)
    value, gradient = case.loss.value_and_grad(prediction.astype(np.float32), target32, weights, workspace.empty)
    expected, exact = case.loss.value_and_grad(prediction, target, weights.astype(np.float64), _empty)
    assert gradient.dtype == np.float32
    assert case.loss.per_sample(prediction.astype(np.float32), target32).dtype == np.float32
    assert value == pytest.approx(expected, rel=2e-6, abs=1e-6)
    np.testing.assert_allclose(gradient, exact, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_batch_of_one_and_shards_add_up(case: LossCase) -> None:
    prediction, target = case.sample(np.random.default_rng(6))
    weights = np.linspace(0.1, 0.3, 5)
    value, gradient = case.loss.value_and_grad(prediction, target, weights, _empty)
    parts = [
        case.loss.value_and_grad(prediction[i : i + 1], target[i : i + 1], weights[i : i + 1], _empty) for i in range(5)
    ]
    assert sum(part[0] for part in parts) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_configuration_comes_back(case: LossCase) -> None:
    config = {"class": type(case.loss).__name__, **case.loss.config()}
    again = from_config(config, CHOICES, "loss")
    assert type(again) is type(case.loss)
    assert again.config() == case.loss.config()
    assert again.absorbs == case.loss.absorbs
    assert get_loss(config).config() == case.loss.config()


def test_every_exported_loss_has_a_case_and_a_name() -> None:
    exported = {getattr(losses, name) for name in losses.__all__}
    classes = {one for one in exported if isinstance(one, type)} - {Loss, ElementwiseLoss}
    assert classes == {type(case.loss) for case in CASES}
    assert classes == set(CHOICES.values())


@pytest.mark.parametrize("loss", [losses.MeanSquaredError(), losses.BinaryCrossentropy()], ids=repr)
def test_channels_last_memory_gives_the_same_and_stays_channels_last(loss: Loss) -> None:
    rng = np.random.default_rng(7)
    x = rng.uniform(0.1, 0.9, size=(2, 4, 5, 3))
    images, target = x.transpose(0, 3, 1, 2), rng.uniform(size=(2, 3, 4, 5))
    workspace = Workspace(np.float64)
    weights = np.array([0.5, 0.5])
    value, gradient = loss.value_and_grad(images, target, weights, workspace.empty)
    expected, plain = loss.value_and_grad(np.ascontiguousarray(images), target, weights, _empty)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, plain, rtol=1e-12)
    assert gradient.strides == images.strides


def test_a_loss_of_ones_own_needs_one_function() -> None:
    class Quartic(ElementwiseLoss):
        scale: float = 2.0

        def terms(self, prediction, target, grad, empty):
            np.subtract(prediction, target, out=grad)
            each = self.scale * grad**4
            np.copyto(grad, 4 * self.scale * grad**3)
            return each

    rng = np.random.default_rng(8)
    loss = get_loss(Quartic(scale=0.5))
    p, t, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), np.full(4, 0.25)
    value, gradient = loss.value_and_grad(p, t, w, _empty)
    np.testing.assert_allclose(loss.per_sample(p, t), (0.5 * (p - t) ** 4).mean(axis=1))
    assert value == pytest.approx(float((0.5 * (p - t) ** 4).mean()))
    directional_check(lambda: loss.value_and_grad(p, t, w, _empty)[0], p, gradient.copy(), rng)
