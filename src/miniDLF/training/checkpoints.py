"""Callbacks that save: the best models, and everything that a killed run needs to go on to the last bit."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, FileFormatError
from miniDLF.storage import Checkpoints, part, report_mismatch
from miniDLF.training.callbacks import Callback, overrides, say
from miniDLF.training.stopping import Watcher, monitored
from miniDLF.whole import is_whole

__all__ = ["BackupAndRestore", "ModelCheckpoint"]


def _frequency(value: Any, who: str) -> int:
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
    verbose
        1 prints every saving, and with `save_best_only` every epoch that is not saved.
    save_best_only
        Whether only an epoch that improves `monitor` is saved.
    save_weights_only
        Whether the weights alone are saved, instead of the whole model with the optimizer's state.
    save_freq
        'epoch', or a number of batches.
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
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq, self._every = save_freq, _frequency(save_freq, "ModelCheckpoint")
        _check_path(self.filepath)
        self.initial_value_threshold, self.best = initial_value_threshold, -math.inf
        self._batches = self._epoch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        if self.save_best_only:
            self._settle()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches += 1
        if self._every and self._batches % self._every == 0:
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self._every:
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Mapping[str, Any]) -> None:
        reason = ""
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
        try:
            path = Path(self.filepath.format(epoch=epoch + 1, **logs))
        except KeyError as error:
            raise ArgumentError(
                f"ModelCheckpoint: filepath {self.filepath!r} names the log {error}, which this run does not give; "
                f"there are epoch, {', '.join(logs)}."
            ) from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _unfit(self.filepath, error) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path, include_optimizer=True)
        if self.verbose:
            say(f"Epoch {epoch + 1}: {reason}saved {path}")

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "batches": self._batches, "epoch": self._epoch}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.best, self._batches, self._epoch = state["best"], state["batches"], state["epoch"]


class BackupAndRestore(Callback):
    """Writes checkpoints from which an interrupted or killed run goes on to the last bit (Keras' arguments).

    A checkpoint holds the weights, running statistics, the optimizer's state, step and learning rate (a schedule is
    that of the script), the running means, the epoch and the batch in it, whether a callback has stopped the run, and
    the state of every callback and of the History. Random numbers and the order of the samples are functions of the
    seed, the step and the epoch, so only the seed has to be kept. When `fit` begins and there is a checkpoint in
    `backup_dir`, the run goes on from there; when it ends as planned the checkpoints are removed.

    Parameters
    ----------
    save_freq
        'epoch', or a number of batches between two checkpoints.
    double_checkpoint
        Accepted for Keras' sake: the checkpoint before the last one is always kept.
    delete_checkpoint
        Whether to remove the checkpoints of a run that has ended as planned. Where they stay, another `fit` gives the
        ended run again.
    """

    def __init__(
        self,
        backup_dir: Any,
        save_freq: int | str = "epoch",
        *,
        double_checkpoint: bool = True,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir, self.save_freq, self.delete_checkpoint = Path(backup_dir), save_freq, delete_checkpoint
        self._every = _frequency(save_freq, "BackupAndRestore")
        self._checkpoints = Checkpoints(self.backup_dir)

    def on_restore(self) -> None:
        found, problems = self._checkpoints.latest()
        if found is not None:
            try:
                self._restore(*found)
            except (ArgumentError, FileFormatError):  # of a checkpoint that does not fit this run
                raise
            except (DataError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise FileFormatError(
                    f"BackupAndRestore: {found[0]} does not hold what a run needs ({type(error).__name__}: {error}); "
                    "remove it to go on from the checkpoint before."
                ) from error
        elif problems:
            raise FileFormatError(
                f"BackupAndRestore: no checkpoint in {self.backup_dir} is whole; remove the folder to begin anew. "
                + " ".join(problems)
            )

    def _restore(self, path: Path, tensors: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        self._check_callbacks(path, document)
        weights = self._checked_weights(path, tensors)
        engine = self.model.engine()
        engine.load_training_state(part(tensors, "training/"))  # which checks before it changes anything, too
        for name, value in self.model.named_weights().items():
            value[...] = weights[name]
        engine.updater.go_on()
        self.model.seed = document["seed"]
        engine.executor.reseed(document["seed"])
        position = document["position"]
        self.model.position.epoch, self.model.position.batch = position["epoch"], position["batch"]
        self.model.position.ahead = position.get("ahead", 0)
        self.model.stop_training, self.model.stop_reason = document["stop_training"], document["stop_reason"]
        saved: dict[str, list[tuple[int, Any]]] = {}
        for number, (kind, _, state) in enumerate(document["callbacks"]):
            saved.setdefault(kind, []).append((number, state))
        for callback in self.peers:
            found_states = saved.get(type(callback).__name__)
            if found_states:
                number, state = found_states.pop(0)
                callback.set_state(_unpacked(state, part(tensors, f"callbacks/{number}/")))

    def _check_callbacks(self, path: Path, document: Mapping[str, Any]) -> None:
        """Refuse a run that lacks a callback whose state counts, or has another one; the others may come and go."""
        before = [kind for kind, essential, _ in document["callbacks"] if essential]
        now = [type(peer).__name__ for peer in self.peers if _essential(peer)]
        if before != now:
            raise ArgumentError(
                f"BackupAndRestore: {path} was written with the callbacks {before}, this run has {now}. Use the same "
                f"ones in the same order, or remove {self.backup_dir} to begin anew. (Callbacks without a state may "
                "come and go.)"
            )

    def _checked_weights(self, path: Path, tensors: Mapping[str, Any]) -> dict[str, Any]:
        own, saved = self.model.named_weights(), part(tensors, "weights/")
        report = report_mismatch({k: v.shape for k, v in own.items()}, {k: v.shape for k, v in saved.items()})
        if not report.ok:
            raise FileFormatError(
                f"BackupAndRestore: {path} is of another model; remove {self.backup_dir} to begin anew.\n{report}"
            )
        return saved

    def on_batch_saved(self, batch: int, logs: Any = None) -> None:
        if self._every and self.model.engine().steps % self._every == 0:
            self._save()

    def on_epoch_saved(self) -> None:
        self._save()

    def on_interrupted(self) -> None:
        self._save()

    def on_train_end(self, logs: Any = None) -> None:
        if self.model.finished and self.delete_checkpoint:
            self._checkpoints.clear()

    def _save(self) -> None:
        engine, position, reason = self.model.engine(), self.model.position, self.model.stop_reason
        tensors = {"weights/" + name: value for name, value in self.model.held_weights().items()}
        tensors.update({"training/" + name: np.asarray(v) for name, v in engine.training_state().items()})
        states = []
        for number, callback in enumerate(self.peers):
            arrays: dict[str, Any] = {}
            name, state = type(callback).__name__, callback.get_state()
            try:
                states.append((name, _essential(callback), _packed(state, arrays, "")))
            except TypeError as error:
                raise ArgumentTypeError(
                    f"BackupAndRestore: get_state() of {name} holds {error}, which a checkpoint cannot hold. "
                    "A state is made of numbers, texts, None, arrays of numbers, and lists and dictionaries of these."
                ) from None
            tensors.update({f"callbacks/{number}/{place}": value for place, value in arrays.items()})
        document = {
            "seed": self.model.seed,
            "position": {"epoch": position.epoch, "batch": position.batch, "ahead": position.ahead},
            "stop_training": bool(self.model.stop_training),
            "stop_reason": None if reason is None else str(reason),
            "callbacks": states,
        }
        self._checkpoints.save(tensors, document)


def _essential(callback: Callback) -> bool:
    """Say whether a resumed run needs a callback: one without a state may come and go."""
    return callback.essential and overrides(callback, ["get_state"])


def _packed(value: Any, arrays: dict[str, Any], path: str) -> Any:
    """Return `value` for JSON: arrays go to `arrays`, floats that JSON lacks (infinity) become text."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        arrays[path] = value
        return {"array": path}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | float | None):
                raise TypeError(f"the key {key!r}")
        return {"map": [[key, _packed(item, arrays, f"{path}/{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(item, arrays, f"{path}/{number}") for number, item in enumerate(value)]
    if not isinstance(value, str | int | float | None):
        raise TypeError(repr(value))
    return value


def _unpacked(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        if "float" in value:
            return float(value["float"])
        return {key: _unpacked(item, arrays) for key, item in value["map"]}
    return value
