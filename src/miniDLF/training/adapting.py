"""Callbacks that change the learning rate between epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from miniDLF.core.ranges import require, require_count
from miniDLF.errors import ArgumentError
from miniDLF.training.callbacks import Callback, say
from miniDLF.training.states import real, whole
from miniDLF.training.stopping import Watcher, monitored
from miniDLF.whole import is_real

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


def _refuse_schedule(callback: Callback) -> None:
    if not is_real(callback.model.optimizer.learning_rate):
        raise ArgumentError(
            f"{type(callback).__name__}: the optimizer follows a schedule, so its learning rate cannot be set. Give "
            "the optimizer a number, or leave the callback."
        )


class ReduceLROnPlateau(Watcher):
    """Multiplies the learning rate by `factor` where a log has not improved for `patience` epochs (Keras' arguments).

    Parameters
    ----------
    verbose
        1 prints every reduction.
    min_delta
        The least change that counts as an improvement.
    cooldown
        Epochs after a reduction in which nothing is counted.
    min_lr
        The learning rate never falls below it.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self._watch(monitor, mode)
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.min_delta, self.cooldown, self.min_lr = min_delta, cooldown, min_lr
        require(self, factor="(0, 1)", min_delta="(-inf, inf)", min_lr="[0, inf)")
        require_count(self, "patience", "cooldown", least=0)
        self._begin()

    def _begin(self) -> None:
        self.best, self.wait, self.cooling = -math.inf, 0, 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._begin()
        self._settle()
        _refuse_schedule(self)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        logs["learning_rate"] = optimizer.learning_rate
        value = monitored(self, logs, self.monitor)
        if value is None:
            return
        value *= self.sign
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        if value > self.best + self.min_delta:
            self.best, self.wait = value, 0
        elif not self.cooling:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0
                if self.verbose:
                    say(f"Epoch {epoch + 1}: ReduceLROnPlateau sets the learning rate to {optimizer.learning_rate:g}")

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "wait": self.wait, "cooling": self.cooling}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.best, self.wait, self.cooling = real(state, "best"), whole(state, "wait"), whole(state, "cooling")


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to ``schedule(epoch, present rate)``; epochs count from 0.

    With ``verbose=1`` it prints every setting.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise ArgumentError(
                f"LearningRateScheduler: expected a function (epoch, rate) -> rate, received {schedule!r}."
            )
        self.schedule, self.verbose = schedule, verbose
        try:
            self._takes_rate = len(signature(schedule).parameters) > 1
        except ValueError:
            raise ArgumentError(
                f"LearningRateScheduler: Python does not tell the arguments of {schedule!r}; wrap it in a function "
                "(epoch, rate) -> rate."
            ) from None

    def on_train_begin(self, logs: Any = None) -> None:
        _refuse_schedule(self)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(epoch, optimizer.learning_rate) if self._takes_rate else self.schedule(epoch)
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"LearningRateScheduler: the schedule must return a number, it gave {rate!r}."
            ) from None
        optimizer.learning_rate = rate
        if self.verbose and not self.model.position.batch:  # a run that goes on within the epoch has set it already
            say(f"Epoch {epoch + 1}: LearningRateScheduler sets the learning rate to {rate:g}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["learning_rate"] = self.model.optimizer.learning_rate
