"""The record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from miniDLF.errors import DataError
from miniDLF.training.callbacks import Callback
from miniDLF.training.plots import plot_curves
from miniDLF.training.states import found, tables
from miniDLF.whole import is_real, is_whole

__all__ = ["History"]


class History(Callback):
    """What `fit` returns.

    Attributes
    ----------
    epoch : list of int
        The epochs that were run, counted from 0.
    history : dict of str to list
        One value an epoch for each of the logs.
    epochs : dict of str to list of int
        The epochs of these values: fewer for ``val_`` logs where ``validation_freq`` leaves some out.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.epochs: dict[str, list[int]] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            self.history.setdefault(name, []).append(plain)
            self.epochs.setdefault(name, []).append(epoch)

    def _release(self) -> None:
        """Hold neither the model nor the other callbacks: a history is kept longer than they."""
        super()._release()
        self.model = None

    def get_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "history": self.history, "epochs": self.epochs}

    def set_state(self, state: Mapping[str, Any]) -> None:
        epoch, history, epochs = list(found(state, "epoch", list)), tables(state, "history"), tables(state, "epochs")
        if {name: len(values) for name, values in history.items()} != {k: len(v) for k, v in epochs.items()}:
            raise DataError("history: expected as many values as epochs of each log")
        if not all(is_whole(number, 0) for row in (epoch, *epochs.values()) for number in row):
            raise DataError("epochs: expected whole numbers of at least 0")
        self.epoch, self.history, self.epochs = epoch, history, epochs

    def plot(self, path: Any = None, metrics: Any = None) -> Any:
        """Draw the learning curves; see `miniDLF.training.plots.plot_curves`."""
        return plot_curves(self.history, path, metrics, epochs=self.epochs)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items() if _is_number(values[-1]))
        return f"<History of {len(self.epoch)} epochs" + (f"; last: {last}>" if last else ">")


def _is_number(value: Any) -> bool:
    return is_real(value)
