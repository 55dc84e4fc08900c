"""The callback that saves models: every one, or the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from miniDLF.errors import ArgumentError
from miniDLF.training.callbacks import as_filled, say
from miniDLF.training.states import found, real, whole
from miniDLF.training.stopping import Watcher, left_out, monitored
from miniDLF.whole import is_real, is_whole

__all__ = ["ModelCheckpoint", "batches_between"]


def batches_between(value: Any, who: str) -> int:
    """Return the batches between two savings; 0 for once an epoch."""
    if value == "epoch":
        return 0
    if not is_whole(value, 1):
        raise ArgumentError(f"{who}: save_freq is 'epoch' or a number of batches; received {value!r}.")
    return int(value)


def _check_path(filepath: str) -> None:
    """Refuse a path that cannot be filled in, as far as that can be told before there are logs."""
    try:
        for _, name, form, _ in Formatter().parse(filepath):
            if name is not None and (not name or name[0].isdigit()):
                raise ValueError("a field has no name")
            if name in ("epoch", "batch"):
                format(1, form or "")
            elif name in ("loss", "val_loss"):
                format(1.0, form or "")
    except ValueError as error:
        raise _unfit(filepath, error) from None


def _unfit(filepath: str, error: Exception) -> ArgumentError:
    return ArgumentError(
        f"ModelCheckpoint: filepath {filepath!r} cannot be filled in ({error}). Write {{epoch:02d}} for the epoch, "
        "{val_loss:.2f} for a log, and {{ for a brace."
    )


class ModelCheckpoint(Watcher):
    """Saves the model after epochs, or every so many batches (Keras' arguments).

    Parameters
    ----------
    filepath
        Where to save; may hold ``{epoch:02d}`` and ``{batch}`` (counted from 1) and logs such as ``{val_loss:.2f}``.
        An epoch that ``validation_freq`` leaves without the log is not saved.
    verbose
        1 prints every saving, and with `save_best_only` every epoch that is not saved.
    save_best_only
        Whether only an epoch that improves `monitor` is saved.
    save_weights_only
        Whether the weights alone are saved, instead of the whole model with the optimizer's state.
    save_freq
        'epoch', or a number of batches. Within an epoch the ``val_`` logs are those of the last validation; before the
        first one nothing is saved that needs them.
    initial_value_threshold
        A value that `monitor` must beat before anything is saved.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self._watch(monitor, mode)
        self.filepath = as_filled(filepath, "ModelCheckpoint: filepath", "a file such as 'best.safetensors'")
        self.save_best_only, self.save_weights_only, self.verbose = save_best_only, save_weights_only, verbose
        self.save_freq, self._every = save_freq, batches_between(save_freq, "ModelCheckpoint")
        _check_path(self.filepath)
        self.initial_value_threshold, self.best = initial_value_threshold, -math.inf
        self._batches = self._epoch = 0
        self._validated: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self._validated = {}
        if self.save_best_only:
            self._settle()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._every and self._batches % self._every == 0:
            self._save(self._epoch, {"batch": batch + 1, **self._validated, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self._every:
            self._save(epoch, logs or {})
        elif "val_loss" in (logs or {}):
            self._validated = {name: value for name, value in logs.items() if name.startswith("val_")}

    def _save(self, epoch: int, logs: Mapping[str, Any]) -> None:
        path, reason = self._path(epoch, logs), ""
        if path is None:
            return
        if self.save_best_only:
            value = monitored(self, logs, self.monitor)
            if value is None:
                return
            sign = self.sign
            if self.initial_value_threshold is not None:
                self.best = max(self.best, sign * self.initial_value_threshold)
            best = "none" if math.isinf(self.best) else f"{sign * self.best:.5f}"
            if not sign * value > self.best:
                if self.verbose:
                    say(f"Epoch {epoch + 1}: {self.monitor} is no better than {best}")
                return
            self.best = sign * value
            reason = f"{self.monitor} improved from {best} to {value:.5f}, "
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path, include_optimizer=True)
        if self.verbose:
            say(f"Epoch {epoch + 1}: {reason}saved {path}")

    def _path(self, epoch: int, logs: Mapping[str, Any]) -> Path | None:
        """Return the name filled in; ``None`` where a log is missing for want of a validation."""
        try:
            return Path(self.filepath.format(**{**logs, "epoch": epoch + 1}))
        except KeyError as error:
            if left_out(self, logs, str(error.args[0])):
                return None
            raise ArgumentError(
                f"ModelCheckpoint: filepath {self.filepath!r} names the log {error}, which this run does not give; "
                f"there are epoch, {', '.join(logs)}."
            ) from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _unfit(self.filepath, error) from None

    def get_state(self) -> dict[str, Any]:
        validated = {name: float(value) for name, value in self._validated.items() if is_real(value)}
        return {"best": self.best, "batches": self._batches, "epoch": self._epoch, "validated": validated}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.best, self._batches, self._epoch = real(state, "best"), whole(state, "batches"), whole(state, "epoch")
        validated = found({"validated": {}, **state}, "validated", dict)
        self._validated = {name: real(validated, name) for name in validated}
