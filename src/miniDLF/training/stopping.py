"""Callbacks that end a run early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.core.ranges import require, require_count
from miniDLF.errors import ArgumentError, DataError, nearest
from miniDLF.training.callbacks import Callback, say
from miniDLF.training.states import found, real, whole

__all__ = ["AccuracyThreshold", "EarlyStopping", "TerminateOnNaN", "left_out", "monitored"]


def left_out(callback: Callback, logs: Mapping[str, Any], name: str) -> bool:
    """Say whether a log is missing only because nothing has been validated: ``validation_freq`` leaves an epoch out."""
    return name.startswith("val_") and bool(callback.params.get("validates")) and "val_loss" not in logs


def monitored(callback: Callback, logs: Mapping[str, Any] | None, name: str, who: str = "") -> float | None:
    """Return the value of a log by name; ``None`` after an epoch that ``validation_freq`` leaves without validation.

    Raises
    ------
    ArgumentError
        If the run does not give this log; the message lists those there are.
    """
    who = who or type(callback).__name__
    logs = logs or {}
    if name in logs:
        try:
            return float(logs[name])
        except TypeError:
            raise ArgumentError(
                f"{who}: the log {name!r} is an array of shape {np.shape(logs[name])}, which cannot be compared; "
                "monitor a number."
            ) from None
    if left_out(callback, logs, name):
        return None
    raise ArgumentError(
        f"{who}: there is no log {name!r} to monitor; this run gives {', '.join(sorted(logs))}."
        f"{nearest(name, logs)} 'val_...' needs validation data; a metric must be named in compile(metrics=[...])."
    )


class Watcher(Callback):
    """Base of the callbacks that watch a log: they have to know which way it is better.

    With ``mode="auto"`` the metric that makes the log says so (`Metric.better`), or the callback that adds it
    (`Callback.better`); losses are better the smaller they are. A name says nothing.
    """

    monitor: str
    mode: str

    def _watch(self, monitor: str, mode: str) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"{type(self).__name__}: mode is 'auto', 'min' or 'max'; received {mode!r}.")
        self.monitor, self.mode = monitor, mode

    @property
    def sign(self) -> float:
        """-1 where less is better and +1 where more is.

        Raises
        ------
        ArgumentError
            If nobody says so.
        """
        better = self._better() if self.mode == "auto" else self.mode
        if better not in ("min", "max"):
            raise ArgumentError(
                f"{type(self).__name__}: nothing says whether more or less of {self.monitor!r} is better. Write "
                f"mode='max' or mode='min' beside it, or let the metric say so: MeanMetric(function, better='max')."
            )
        return 1.0 if better == "max" else -1.0

    def _better(self) -> str | None:
        for callback in self.peers:
            if isinstance(callback.better, Mapping) and self.monitor in callback.better:
                return callback.better[self.monitor]
        known: Mapping[str, str | None] = self.model.engine().directions()
        return known.get(self.monitor, known.get(self.monitor.removeprefix("val_")))

    def _settle(self) -> None:
        """Refuse, before the first epoch, a metric that does not say which way it is better."""
        if self.mode == "auto" and self._better() == "":
            self.sign  # noqa: B018 - raises


class EarlyStopping(Watcher):
    """Stops where a log has not improved for `patience` epochs (Keras' arguments).

    Parameters
    ----------
    monitor
        Name of the log.
    min_delta
        The least change that counts.
    patience
        Epochs without improvement after which the run ends.
    mode
        'min', 'max', or 'auto': what the metric says of itself. One that does not know must be told.
    verbose
        1 prints when the run is stopped and which weights are put back.
    baseline
        A value that an improvement must beat to begin the waiting anew.
    restore_best_weights
        Whether the model is that of the best epoch at the end: weights, running statistics, the optimizer's state and
        its number of steps, so that another `fit` goes on from there. The learning rate and the order of the samples
        stay where they are.
    start_from_epoch
        Epochs before which nothing is watched.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self._watch(monitor, mode)
        self.min_delta, self.patience, self.verbose = min_delta, patience, verbose
        require(self, min_delta="(-inf, inf)")
        require_count(self, "patience", least=0)
        self.min_delta = abs(self.min_delta)
        self.baseline, self.start_from_epoch = baseline, start_from_epoch
        self.restore_best_weights = restore_best_weights
        self._begin()

    def _begin(self) -> None:
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best = -math.inf
        self.best_weights: list[np.ndarray[Any, Any]] | None = None
        self._best_moment: dict[str, Any] | None = None
        self._ours = True  # what is best is of this run

    def on_train_begin(self, logs: Any = None) -> None:
        self._begin()
        self._settle()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self.start_from_epoch:
            return
        value = monitored(self, logs, self.monitor)
        if value is None:
            return
        sign = self.sign
        value *= sign
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)
        self.wait += 1
        if value - self.min_delta > self.best:
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or value - self.min_delta > sign * self.baseline:
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            self.model.stop_reason = f"no better {self.monitor} for {self.wait} epochs"

    def _remember(self, epoch: int) -> None:
        self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self._best_moment = self.model.engine().moment()

    def on_train_end(self, logs: Any = None) -> None:
        if self.stopped_epoch and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None and self._ours:
            if self.verbose:
                say(f"Restoring the weights of the best epoch, {self.best_epoch + 1}")
            if self._best_moment is None:  # of a checkpoint that an earlier version wrote
                self.model.set_weights(self.best_weights)
            else:
                self.model.engine().go_back(self._best_moment)

    def _release(self) -> None:
        super()._release()
        self._best_moment, self._ours = None, False

    def get_state(self) -> dict[str, Any]:
        weights = None if self.best_weights is None else [w.copy() for w in self.best_weights]
        return {
            "wait": self.wait,
            "stopped_epoch": self.stopped_epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_weights": weights,
            "best_moment": self._best_moment,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.wait, self.stopped_epoch = whole(state, "wait"), whole(state, "stopped_epoch")
        self.best, self.best_epoch = real(state, "best"), whole(state, "best_epoch")
        weights = found(state, "best_weights", list, type(None), what="a list of arrays, or None")
        moment = state.get("best_moment")  # which earlier versions did not save
        if self.model is not None:  # else it is nobody's yet
            if weights is not None and _shapes(weights) != _shapes(self.model.get_weights()):
                raise DataError("best_weights: expected the arrays of this model, received others")
            if moment is not None and _shapes(moment) != _shapes(self.model.engine().moment()):
                raise DataError("best_moment: expected the arrays of this model and its optimizer, received others")
        self.best_weights, self._best_moment = weights, moment


def _shapes(arrays: Any) -> Any:
    """Return the shapes of a list or a dictionary of arrays of numbers."""
    if isinstance(arrays, dict):
        return {name: _shapes([array]) for name, array in arrays.items()}
    if not isinstance(arrays, list):
        return None
    return [array.shape if isinstance(array, np.ndarray) and array.dtype.kind in "fiub" else None for array in arrays]


class AccuracyThreshold(Callback):
    """Stops where the training accuracy reaches `threshold` (0 to 1): the specification's `accuracy_threshold`."""

    def __init__(self, threshold: float, monitor: str = "accuracy") -> None:
        if not 0 < threshold <= 1:
            raise ArgumentError(f"accuracy_threshold: a share between 0 and 1, such as 0.95; received {threshold}.")
        self.threshold, self.monitor = threshold, monitor

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = monitored(self, logs, self.monitor, "accuracy_threshold")
        if value is not None and value >= self.threshold:
            self.model.stop_training = True
            self.model.stop_reason = "training accuracy threshold reached"


class TerminateOnNaN(Callback):
    """Ends the run quietly where the loss is no longer finite, instead of raising `DivergedError`.

    In both cases the model, its running statistics and its optimizer are those of a step shortly before (see
    ``model.stop_reason``, which names it): lower the learning rate and fit again.

    Parameters
    ----------
    raise_error
        Whether the error is raised after all, as without this callback.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_diverged(self, error: Exception) -> bool:
        self.model.stop_reason = str(error)
        return not self.raise_error
