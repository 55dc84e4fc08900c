"""Trajectories, clipping and schedules against PyTorch and Keras, wherever they define the same rule."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF import optimizers
from miniDLF.optimizers import Optimizer, schedules
from tests.optimizers.problems import make_updater, take_step

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")

STEPS = 60
SHAPES = {"a/weight": (5, 4), "a/bias": (4,), "b/weight": (4, 3), "b/bias": (3,)}


def random_gradients(steps: int = STEPS) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return [[rng.normal(size=shape) * 10.0 ** rng.integers(-3, 2) for shape in SHAPES.values()] for _ in range(steps)]


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape) for shape in SHAPES.values()]


def ours(optimizer: Optimizer, gradients: list[list[np.ndarray]], dtype: Any = np.float64) -> list[np.ndarray]:
    """The values of all parameters after each step, end to end."""
    updater = make_updater(optimizer, SHAPES, dtype)
    for slot, value in zip(updater.buffers.slots, start(), strict=True):
        slot.parameter.value[...] = value
    result = []
    for step, gradient in enumerate(gradients, 1):
        take_step(updater, gradient, step)
        result.append(np.concatenate([slot.parameter.value.ravel() for slot in updater.buffers.slots]))
    return result


# PyTorch, in float64 ------------------------------------------------------------------------------------------------

Change = Callable[[list[Any]], object]


def theirs(
    make: Callable[[list[Any]], Any], gradients: list[list[np.ndarray]], clip: Change | None = None
) -> list[np.ndarray]:
    values = [torch.tensor(value, requires_grad=True) for value in start()]
    optimizer = make(values)
    result = []
    for gradient in gradients:
        for value, g in zip(values, gradient, strict=True):
            value.grad = torch.tensor(g)
        if clip is not None:
            clip(values)
        optimizer.step()
        result.append(np.concatenate([value.detach().numpy().ravel().copy() for value in values]))
    return result


TORCH: list[tuple[Optimizer, Callable[[list[Any]], Any]]] = [
    (optimizers.SGD(0.1, 0.0, 0.0), lambda p: torch.optim.SGD(p, 0.1)),
    (optimizers.SGD(0.1, 0.0, 0.9, False), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
    (optimizers.SGD(0.1, 0.0, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
    (optimizers.Adagrad(0.1, 0.01, 1e-7), lambda p: torch.optim.Adagrad(p, 0.1, lr_decay=0.01, eps=1e-7)),
    (optimizers.RMSProp(0.01, 0.0), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-6)),
    (optimizers.Adadelta(1.0, 0.0), lambda p: torch.optim.Adadelta(p, 1.0, rho=0.95, eps=1e-6)),
    (optimizers.Adadelta(0.3, 0.0, 0.8, 1e-3), lambda p: torch.optim.Adadelta(p, 0.3, rho=0.8, eps=1e-3)),
    (optimizers.Adam(0.01, 0.0), lambda p: torch.optim.Adam(p, 0.01, eps=1e-6)),
    (optimizers.Adam(0.01, 0.0, 0.5, 0.7, 0.1), lambda p: torch.optim.Adam(p, 0.01, (0.5, 0.7), 0.1)),
    (optimizers.AMSGrad(0.01, 0.0), lambda p: torch.optim.Adam(p, 0.01, eps=1e-6, amsgrad=True)),
    (optimizers.Nadam(0.01, 0.0), lambda p: torch.optim.NAdam(p, 0.01, eps=1e-6)),
    (optimizers.Adamax(0.01, 0.0, epsilon=1e-14), lambda p: torch.optim.Adamax(p, 0.01, eps=1e-14)),
    (
        optimizers.AdamW(0.01, 0.0, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, eps=1e-6, weight_decay=0.1),
    ),
    (
        optimizers.WeightDecay(optimizers.Adam(0.01, 0.0), 0.1, exclude=()),
        lambda p: torch.optim.AdamW(p, 0.01, eps=1e-6, weight_decay=0.1),
    ),
    (
        optimizers.WeightDecay(optimizers.Adam(0.01, 0.0), 0.1),
        lambda p: torch.optim.AdamW(
            [{"params": p[0::2]}, {"params": p[1::2], "weight_decay": 0.0}], 0.01, eps=1e-6, weight_decay=0.1
        ),
    ),
]


@pytest.mark.parametrize(("optimizer", "make"), TORCH, ids=lambda value: repr(value) if repr(value)[0] != "<" else "")
def test_pytorch_trajectory(optimizer: Optimizer, make: Callable[[list[Any]], Any]) -> None:
    gradients = random_gradients()
    # PyTorch keeps the product of NAdam's momentums in float32, whatever the type of the values.
    tolerance = 1e-7 if isinstance(optimizer, optimizers.Nadam) else 1e-12
    for step, (a, b) in enumerate(zip(ours(optimizer, gradients), theirs(make, gradients), strict=True), 1):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=f"step {step}")


def test_pytorch_clipping() -> None:
    gradients = random_gradients()

    def plain(p: list[Any]) -> Any:
        return torch.optim.SGD(p, 0.1)

    def sgd() -> Optimizer:
        return optimizers.SGD(0.1, 0.0, 0.0)

    def global_norm(values: list[Any]) -> object:
        return torch.nn.utils.clip_grad_norm_(values, 0.7)

    def value(values: list[Any]) -> object:
        return torch.nn.utils.clip_grad_value_(values, 0.2)

    for a, b in zip(ours(optimizers.ClipValue(sgd(), 0.2), gradients), theirs(plain, gradients, value), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    # PyTorch adds 1e-6 to the norm that it divides by.
    clipped = ours(optimizers.ClipGlobalNorm(sgd(), 0.7), gradients)
    for a, b in zip(clipped, theirs(plain, gradients, global_norm), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_pytorch_one_cycle() -> None:
    parameter = torch.zeros(1, requires_grad=True)
    for total, fraction in ((100, 0.3), (37, 0.5), (60, 0.1)):
        optimizer = torch.optim.SGD([parameter], 0.1)
        theirs_ = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=total, pct_start=fraction)
        schedule = schedules.OneCycle(0.5, total, fraction)
        for step in range(total):
            assert schedule(step) == pytest.approx(theirs_.get_last_lr()[0], rel=1e-9), step
            optimizer.step()
            if step < total - 1:
                theirs_.step()


# Keras, in float32 --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


def keras_trajectory(keras: Any, optimizer: Any, gradients: list[list[np.ndarray]]) -> list[np.ndarray]:
    variables = [
        keras.Variable(value.astype(np.float32), name=path.rpartition("/")[2])
        for path, value in zip(SHAPES, start(), strict=True)
    ]
    result = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g.astype(np.float32)) for g in gradient], variables)
        result.append(
            np.concatenate([keras.ops.convert_to_numpy(variable.value).ravel().copy() for variable in variables])
        )
    return result


#: A negligible epsilon where Keras puts it elsewhere; the gradients are at least 1e-3 times a normal number.
TINY = 1e-12
KERAS: list[tuple[Optimizer, Callable[[Any], Any]]] = [
    (
        optimizers.SGD(0.1, 0.05),
        lambda k: k.optimizers.SGD(k.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.05), momentum=0.9, nesterov=True),
    ),
    (
        optimizers.SGD(0.1, 0.05, 0.8, False),
        lambda k: k.optimizers.SGD(k.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.05), momentum=0.8),
    ),
    (optimizers.Adadelta(1.0, 0.0), lambda k: k.optimizers.Adadelta(1.0, rho=0.95, epsilon=1e-6)),
    (optimizers.RMSProp(0.01, 0.0, epsilon=TINY), lambda k: k.optimizers.RMSprop(0.01, rho=0.9, epsilon=TINY)),
    (
        optimizers.Adagrad(0.01, 0.0, epsilon=TINY),
        lambda k: k.optimizers.Adagrad(0.01, initial_accumulator_value=0.0, epsilon=TINY),
    ),
    (optimizers.Adam(0.01, 0.0, epsilon=TINY), lambda k: k.optimizers.Adam(0.01, epsilon=TINY)),
    (optimizers.AMSGrad(0.01, 0.0, epsilon=TINY), lambda k: k.optimizers.Adam(0.01, amsgrad=True, epsilon=TINY)),
    (optimizers.Adamax(0.01, 0.0, epsilon=1e-3), lambda k: k.optimizers.Adamax(0.01, epsilon=1e-3)),
    (optimizers.Lion(0.01, 0.0), lambda k: k.optimizers.Lion(0.01)),
    (
        optimizers.AdamW(0.01, 0.0, epsilon=TINY, weight_decay=0.1),
        lambda k: k.optimizers.AdamW(0.01, weight_decay=0.1, epsilon=TINY),
    ),
    (
        optimizers.ClipNorm(optimizers.SGD(0.1, 0.0, 0.5, False), 0.3),
        lambda k: k.optimizers.SGD(0.1, momentum=0.5, clipnorm=0.3),
    ),
    (
        optimizers.ClipGlobalNorm(optimizers.SGD(0.1, 0.0, 0.5, False), 0.3),
        lambda k: k.optimizers.SGD(0.1, momentum=0.5, global_clipnorm=0.3),
    ),
    (
        optimizers.ClipValue(optimizers.SGD(0.1, 0.0, 0.5, False), 0.3),
        lambda k: k.optimizers.SGD(0.1, momentum=0.5, clipvalue=0.3),
    ),
    (
        optimizers.Accumulate(optimizers.Adam(0.01, 0.0, epsilon=TINY), 3),
        lambda k: k.optimizers.Adam(0.01, epsilon=TINY, gradient_accumulation_steps=3),
    ),
]


@pytest.mark.parametrize(("optimizer", "make"), KERAS, ids=lambda value: repr(value) if repr(value)[0] != "<" else "")
def test_keras_trajectory(keras: Any, optimizer: Optimizer, make: Callable[[Any], Any]) -> None:
    gradients = random_gradients()
    expected = keras_trajectory(keras, make(keras), gradients)
    for step, (a, b) in enumerate(zip(ours(optimizer, gradients, np.float32), expected, strict=True), 1):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=f"step {step}")


def test_keras_moving_average(keras: Any) -> None:
    gradients = random_gradients()
    optimizer = optimizers.MovingAverage(optimizers.SGD(0.1, 0.0, 0.0), 0.9)
    updater = make_updater(optimizer, SHAPES, np.float32)
    for slot, value in zip(updater.buffers.slots, start(), strict=True):
        slot.parameter.value[...] = value
    for step, gradient in enumerate(gradients, 1):
        take_step(updater, gradient, step)
    theirs_ = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=None)
    keras_trajectory(keras, theirs_, gradients)
    average = optimizer.averaged(updater.state)
    for slot, variable in zip(updater.buffers.slots, theirs_._model_variables_moving_average, strict=True):
        expected = keras.ops.convert_to_numpy(variable.value)
        np.testing.assert_allclose(average[slot.slice].reshape(slot.shape), expected, rtol=2e-5, atol=2e-6)


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.7}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.7, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.7}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.7, "staircase": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 40, "power": 1.5}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 40, "end_learning_rate": 0.01, "cycle": True}),
    ("PiecewiseConstantDecay", {"boundaries": [10, 30], "values": [0.1, 0.05, 0.01]}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 50, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 50, "warmup_target": 0.2, "warmup_steps": 20}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10, "alpha": 0.05}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.0, "m_mul": 0.8}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.5, "m_mul": 0.8}),
]


@pytest.mark.parametrize(("name", "arguments"), SCHEDULES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(SCHEDULES)])
def test_keras_schedule(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    our_schedule = getattr(schedules, name)(**arguments)
    their_schedule = getattr(keras.optimizers.schedules, name)(**arguments)
    for step in range(120):
        expected = float(keras.ops.convert_to_numpy(their_schedule(step)))
        assert our_schedule(step) == pytest.approx(expected, rel=1e-4, abs=1e-7), step
