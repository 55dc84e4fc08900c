"""Callbacks that decide from logs decide as Keras' do, epoch by epoch, over many courses of the loss."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from miniDLF import callbacks as ours
from miniDLF.training.callbacks import Callback

pytestmark = pytest.mark.parity
EPOCHS = 14


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


class Optimizer:
    learning_rate = 0.1


class Model:
    """As much of a model as these callbacks look at; its weights tell the epoch."""

    stop_reason: Any = None

    def __init__(self) -> None:
        self.optimizer, self.stop_training, self.weights = Optimizer(), False, [np.array(-1.0)]

    def engine(self) -> Model:
        """Whom callbacks ask which way a log is better."""
        return self

    def directions(self) -> dict[str, str]:
        return {"loss": "min"}

    def moment(self) -> list[np.ndarray]:
        return self.get_weights()

    def go_back(self, moment: list[np.ndarray]) -> None:
        self.set_weights(moment)

    def get_weights(self) -> list[np.ndarray]:
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = [np.asarray(weight) for weight in weights]


def course(callback: Any, losses: np.ndarray, name: str) -> tuple[list[float], float]:
    """Return the learning rate after every epoch that was run, and the weights at the end."""
    model = Model()
    if isinstance(callback, Callback):
        callback.model = model
    else:
        callback._model = model
    callback.set_params({"epochs": EPOCHS})
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch)
        model.weights = [np.array(float(epoch))]
        callback.on_epoch_end(epoch, {name: float(loss)})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    callback.on_train_end()
    return rates, float(model.weights[0])


STOPPING = [
    {"patience": 0},
    {"patience": 3},
    {"patience": 2, "min_delta": 0.05},
    {"patience": 2, "restore_best_weights": True},
    {"patience": 2, "baseline": 0.4, "restore_best_weights": True},
    {"patience": 1, "start_from_epoch": 4, "restore_best_weights": True},
    {"patience": 2, "mode": "max", "min_delta": 0.02, "baseline": 0.6},
]
PLATEAU = [
    {"patience": 1},
    {"patience": 2, "factor": 0.5, "cooldown": 2},
    {"patience": 1, "factor": 0.5, "min_lr": 0.02, "min_delta": 0.1},
    {"patience": 0, "mode": "max"},
]


@pytest.mark.parametrize("options", STOPPING, ids=str)
def test_early_stopping(options: dict[str, Any], keras: Any) -> None:
    for seed in range(40):
        losses = np.random.default_rng(seed).random(EPOCHS).round(2)
        made = [module.EarlyStopping("loss", **options) for module in (ours, keras.callbacks)]
        mine, theirs = (course(callback, losses, "loss") for callback in made)
        assert mine == theirs, losses
        assert made[0].stopped_epoch == made[1].stopped_epoch
        assert made[0].best_epoch == made[1].best_epoch


@pytest.mark.parametrize("options", PLATEAU, ids=str)
def test_reduce_lr_on_plateau(options: dict[str, Any], keras: Any) -> None:
    for seed in range(40):
        losses = np.random.default_rng(seed).random(EPOCHS).round(2)
        mine, theirs = (
            course(module.ReduceLROnPlateau("loss", **options), losses, "loss") for module in (ours, keras.callbacks)
        )
        assert mine[0] == pytest.approx(theirs[0]), losses


def test_learning_rate_scheduler(keras: Any) -> None:
    for schedule in (lambda epoch: 0.1 / (epoch + 1), lambda epoch, rate: rate * 0.9):
        mine, theirs = (
            course(module.LearningRateScheduler(schedule), np.ones(EPOCHS), "loss")
            for module in (ours, keras.callbacks)
        )
        assert mine[0] == pytest.approx(theirs[0])
