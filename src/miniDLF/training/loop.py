"""The training loop: epochs of batches, with callbacks around them. It knows none of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from miniDLF.errors import DivergedError
from miniDLF.kernels.threads import single_threaded_blas
from miniDLF.training.callbacks import Callback, CallbackList
from miniDLF.training.engine import Engine
from miniDLF.training.history import History

__all__ = ["Position", "evaluate", "run"]


@dataclass
class Position:
    """Where a run is: the epoch, and how many of its batches are done. A resumed run begins there.

    The order of the samples goes on over several runs: that of an epoch is the one of ``epoch + ahead``.
    """

    epoch: int = 0
    batch: int = 0
    ahead: int = 0


class _Logs(Mapping[str, Any]):
    """The running loss and metrics, computed when somebody looks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getitem__(self, name: str) -> Any:
        return self._engine.logs()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._engine.logs())

    def __len__(self) -> int:
        return len(self._engine.logs())

    def __repr__(self) -> str:
        return repr(self._engine.logs())


@single_threaded_blas
def run(
    model: Any,
    engine: Engine,
    feed: Any,
    *,
    epochs: int,
    callbacks: Sequence[Callback] = (),
    initial_epoch: int = 0,
    validation: Any = None,
    validation_freq: int | Sequence[int] = 1,
    verbose: int = 0,
) -> History:
    """Train `engine` on the batches of `feed` until `epochs` are done or a callback sets ``model.stop_training``.

    Ctrl-C ends the run after the present step, and the history up to there is returned; a second one stops at once.
    """
    history = History()
    params = {
        "epochs": epochs,
        "initial_epoch": initial_epoch,
        "steps": feed.steps,
        "verbose": verbose,
        "validates": validation is not None or any(getattr(callback, "validates", False) for callback in callbacks),
        "data": feed.described(),
    }
    hooks = CallbackList([*callbacks, history], model, params)
    position = model.position = Position(initial_epoch, 0, max(model.epochs_seen - initial_epoch, 0))
    model.history, model.stop_training, model.interrupted, model.finished = history, False, False, False
    model.stop_reason = None
    engine.reset()
    engine.begin()
    logs: dict[str, Any] = {}
    try:
        hooks.call("on_train_begin", {})
        hooks.call("on_restore")
        with _gentle_interrupt(model):
            while position.epoch < epochs and (position.batch or not model.stop_training) and not model.interrupted:
                epoch, resumed = position.epoch, position.batch > 0
                if not resumed:
                    engine.reset()
                hooks.call("on_epoch_begin", epoch, {})
                if resumed:  # what the beginning of an epoch changes has happened already
                    hooks.call("on_restore")
                if not _epoch(model, engine, feed, position, hooks):
                    break
                logs = engine.logs()
                if validation is not None and _due(epoch, validation_freq):
                    before = sum(_due(past, validation_freq) for past in range(initial_epoch, epoch))
                    logs.update(evaluate(engine, validation, hooks, prefix="val_", number=before))
                position.epoch, position.batch = epoch + 1, 0
                model.epochs_seen = position.epoch + position.ahead
                hooks.call("on_epoch_end", epoch, logs)
                hooks.call("on_epoch_saved")
        if model.interrupted:
            hooks.call("on_interrupted")
        model.finished = not model.interrupted
    finally:
        model.epochs_seen = position.epoch + position.ahead + (position.batch > 0)
        engine.finish()
        try:
            hooks.call("on_train_end", logs)
        finally:
            hooks.release()
    return history


def _epoch(model: Any, engine: Engine, feed: Any, position: Position, hooks: CallbackList) -> bool:
    """Do the batches of an epoch that are left; return whether it was finished."""
    if position.batch and model.stop_training:  # stopped by a callback before it was killed
        return True
    before = hooks.batch_hooks("on_train_batch_begin")
    after = hooks.batch_hooks("on_train_batch_end") + hooks.batch_hooks("on_batch_saved")
    logs = _Logs(engine)
    batches = feed.epoch(position.epoch, position.batch, position.ahead)
    for number, batch in enumerate(batches, position.batch):
        for hook in before:
            hook(number, logs)
        try:
            engine.train(batch)
        except DivergedError as error:
            if not hooks.on_diverged(error):
                raise
            model.stop_training = True
            return True
        position.batch = number + 1
        for hook in after:
            hook(number, logs)
        if model.interrupted:
            return False
        if model.stop_training and position.batch != feed.steps:
            return True
    return True


def evaluate(
    engine: Engine, feed: Any, hooks: CallbackList | None = None, prefix: str = "", number: int = 0
) -> dict[str, Any]:
    """Return the mean loss and the metrics over `feed`, in inference mode; the running ones of training stay.

    `number` counts the evaluations that the run has done before: a feed that goes on over them finds its place.
    """
    kept = engine.set_aside()
    before = after = ()  # type: Any
    if hooks is not None:
        hooks.call("on_test_begin", {})
        before, after = hooks.batch_hooks("on_test_batch_begin"), hooks.batch_hooks("on_test_batch_end")
    try:
        running = _Logs(engine)
        for place, batch in enumerate(feed.epoch(number)):
            for hook in before:
                hook(place, running)
            engine.test(batch)
            for hook in after:
                hook(place, running)
        logs = engine.logs()
    finally:
        engine.put_back(kept)
    if hooks is not None:
        hooks.call("on_test_end", logs)
    return {prefix + name: value for name, value in logs.items()}


def _due(epoch: int, frequency: int | Sequence[int]) -> bool:
    """Say whether an epoch is validated: every so many, or those listed (counted from 1, as in Keras)."""
    if isinstance(frequency, int):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency


@contextmanager
def _gentle_interrupt(model: Any) -> Iterator[None]:
    """Turn the first Ctrl-C into a stop after the present step; the second one interrupts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, old)
        model.interrupted = True

    if old is None or not callable(old):  # somebody ignores it on purpose, or it was not set from Python
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
