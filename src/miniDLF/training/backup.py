"""Checkpoints of a whole run, from which one that was killed goes on to the last bit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, FileFormatError
from miniDLF.storage import Checkpoints, part, report_mismatch
from miniDLF.training.callbacks import Callback, as_filled, overrides
from miniDLF.training.checkpoints import batches_between
from miniDLF.training.resuming import constant_rate
from miniDLF.training.settings import differences, settings_of
from miniDLF.training.states import found, packed, unpacked, whole

__all__ = ["BackupAndRestore"]

#: Seconds for which a run waits for another one that writes to its folder: one that is just ending.
PATIENCE = 2.0


class BackupAndRestore(Callback):
    """Writes checkpoints from which an interrupted or killed run goes on to the last bit (Keras' arguments).

    A checkpoint holds the weights, running statistics, the optimizer's state, step and learning rate (a schedule is
    that of the script), the running means, the epoch and the batch in it, whether a callback has stopped the run, and
    the state of every callback and of the History. Random numbers and the order of the samples are functions of the
    seed, the step and the epoch, so only the seed has to be kept. When `fit` begins and there is a checkpoint in
    `backup_dir`, the run goes on from there; when it ends as planned the checkpoints are removed.

    Settings that are others than those of the run before are named in a warning. Only one run at a time writes to a
    folder; one that was killed holds it no longer.

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
        self.backup_dir = Path(as_filled(backup_dir, "BackupAndRestore: backup_dir", "a folder such as 'backup'"))
        self.save_freq, self.delete_checkpoint = save_freq, delete_checkpoint
        self._every = batches_between(save_freq, "BackupAndRestore")
        self._checkpoints = Checkpoints(self.backup_dir)
        self._began: dict[str, Any] = {}
        self._settings: dict[str, str] = {}
        self._compared = False

    def on_train_begin(self, logs: Any = None) -> None:
        self._checkpoints.acquire(PATIENCE)
        self._began = {"learning_rate": constant_rate(self.model.engine()), "seed": self.model.seed}
        self._settings = settings_of(self.model, self.params["data"])
        self._compared = False

    def _release(self) -> None:
        super()._release()
        self._checkpoints.release()

    def on_restore(self) -> None:
        newest, problems = self._checkpoints.latest()
        if newest is not None:
            try:
                self._restore(*newest)
            except (ArgumentError, FileFormatError):  # of a checkpoint that does not fit this run
                raise
            except (DataError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise FileFormatError(
                    f"BackupAndRestore: {newest[0]} does not hold what a run needs ({type(error).__name__}: {error}); "
                    "remove it to go on from the checkpoint before."
                ) from error
        elif problems:
            raise FileFormatError(
                f"BackupAndRestore: no checkpoint in {self.backup_dir} is whole; remove the folder to begin anew. "
                + " ".join(problems)
            )

    def _restore(self, path: Path, tensors: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        model, engine = self.model, self.model.engine()
        self._check_callbacks(path, document)
        weights = self._checked_weights(path, tensors)
        seed = whole(document, "seed")
        epoch, batch, ahead = self._checked_position(document, tensors)
        stopped = found(document, "stop_training", bool)
        reason = found(document, "stop_reason", str, type(None), what="a text or None")
        # Earlier versions write neither settings nor a beginning.
        settings = found({"settings": {}, **document}, "settings", dict)
        began = found({"began": {}, **document}, "began", dict)
        saved: dict[str, list[tuple[int, Any]]] = {}
        for number, (kind, _, state) in enumerate(document["callbacks"]):
            saved.setdefault(kind, []).append((number, state))
        before = constant_rate(engine), model.seed if model.seed_is_given else None
        engine.load_training_state(part(tensors, "training/"))  # which checks before it changes anything, too
        for name, value in model.named_weights().items():
            value[...] = weights[name]
        engine.updater.go_on()
        model.seed = seed
        engine.executor.reseed(seed)
        model.position.epoch, model.position.batch, model.position.ahead = epoch, batch, ahead
        model.stop_training, model.stop_reason = stopped, reason
        for callback in self.peers:
            states = saved.get(type(callback).__name__)
            if states:
                number, state = states.pop(0)
                callback.set_state(unpacked(state, part(tensors, f"callbacks/{number}/")))
        if not self._compared:  # a run that goes on within an epoch is restored twice
            self._compared = True
            if settings:
                self._compare(path, settings, began, *before)

    def _check_callbacks(self, path: Path, document: Mapping[str, Any]) -> None:
        """Refuse a run that lacks a callback whose state counts, or has another one; the others may come and go."""
        older = "settings" not in document  # there those without a state are marked as essential, too
        before = [
            kind
            for kind, essential, state in document["callbacks"]
            if essential and not (older and state == {"map": []})
        ]
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
        for name, value in saved.items():
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                raise DataError(f"weights/{name}: expected finite floating-point numbers")
            if value.dtype != self.model.dtype:
                raise FileFormatError(
                    f"BackupAndRestore: {path} was written by a run in {value.dtype}, this model computes in "
                    f"{self.model.dtype}. Make it with dtype={value.dtype.name!r}, or remove {self.backup_dir} to "
                    "begin anew."
                )
        return saved

    def _checked_position(self, document: Mapping[str, Any], tensors: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return epoch, batch and the epochs of earlier runs, which have to agree with what else is known."""
        position = found(document, "position", dict)
        history = next(unpacked(state, {}) for kind, _, state in document["callbacks"] if kind == "History")
        epochs = found(history, "epoch", list)
        epoch = whole(position, "epoch")
        if epochs and epoch != whole({"epoch": epochs[-1]}, "epoch") + 1:
            raise DataError(f"epoch: expected {epochs[-1] + 1}, since the history ends before it, received {epoch}")
        if not epochs and "began" in document and epoch != whole(document["began"], "epoch"):
            raise DataError(f"epoch: expected {document['began']['epoch']}, with which the run began, received {epoch}")
        steps = int(np.asarray(tensors["training/steps"]))
        batch = whole(position, "batch", steps)
        return epoch, batch, whole({"ahead": 0, **position}, "ahead")

    def _compare(
        self,
        path: Path,
        settings: Mapping[str, str],
        began: Mapping[str, Any],
        rate: float | None,
        seed: int | None,
    ) -> None:
        """Warn of settings that are others than those of the run that wrote the checkpoint."""
        model = self.model
        changed = differences(settings, self._settings)
        words = []
        if changed:
            words.append(
                f"{'; '.join(changed)}. The run goes on with what this script says, so it does not end as it would have"
            )
        now = constant_rate(model.engine())
        if rate is not None and now is not None and rate not in (began.get("learning_rate"), now):
            words.append(
                f"The learning rate {rate:g} of this script is not followed: the run goes on with its own, {now:g}; "
                "to change it use a callback"
            )
        if seed not in (None, model.seed):
            words.append(f"The seed {seed} of this script is not followed: the run goes on with its own, {model.seed}")
        self._began = {"learning_rate": began.get("learning_rate"), "seed": began.get("seed")}
        if words:
            warnings.warn(
                f"BackupAndRestore: {path} was written by a run with other settings. {'. '.join(words)}. Remove "
                f"{self.backup_dir} to begin anew.",
                stacklevel=2,
            )

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
                states.append((name, _essential(callback), packed(state, arrays, "")))
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
            "began": {**self._began, "epoch": self.params["initial_epoch"]},
            "settings": self._settings,
        }
        self._checkpoints.save(tensors, document)


def _essential(callback: Callback) -> bool:
    """Say whether a resumed run needs a callback: one without a state may come and go."""
    return callback.essential and overrides(callback, ["get_state"])
