"""Callbacks: everything that happens around the training step, under Keras' hook names."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from miniDLF.core.own import check_call, is_own
from miniDLF.errors import ArgumentError, ArgumentTypeError, answering, nearest
from miniDLF.writing import encodable

__all__ = ["Callback", "CallbackList", "LambdaCallback", "as_filled", "overrides", "say"]


class Callback:
    """Base of callbacks: override the hooks you need.

    ``self.model`` is the model and ``self.params`` a dictionary with ``epochs``, ``steps``, ``verbose`` and
    ``validates``, whether the run has validation data. `logs` is
    the same dictionary for all callbacks of an epoch, so one may add to it what a later one reads; in the hooks of a
    batch it is a read-only mapping whose values are computed when they are looked at.
    """

    model: Any = None
    params: Mapping[str, Any] = {}
    #: All callbacks of the run, in order.
    peers: Sequence[Callback] = ()
    #: Which way is better, "max" or "min", of the logs that it adds: for callbacks that watch them.
    better: Mapping[str, str] = {}
    #: Whether a resumed run needs it as the first one had it; a callback that only shows something may come and go.
    essential = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in cls.__dict__:
            cls.__init__ = answering(cls.__init__)  # type: ignore[method-assign]

    def set_model(self, model: Any) -> None:
        """Remember the model."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Remember the parameters of the run."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Any = None) -> None:
        """After the last epoch, also where the run was stopped or interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch and its validation."""

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a training batch."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a training batch."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a training batch (Keras' longer name)."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a training batch (Keras' longer name)."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Any = None) -> None:
        """Before an evaluation."""

    def on_test_end(self, logs: Any = None) -> None:
        """After an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Any = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of a prediction; ``logs["outputs"]`` are its outputs."""

    def on_restore(self) -> None:
        """After every ``on_train_begin``: put back the state of an earlier run, if there is one.

        A run that goes on within an epoch calls it a second time, when every callback's ``on_epoch_begin`` has been
        called: the epoch began in the earlier run, so what they changed is undone.
        """

    def on_batch_saved(self, batch: int, logs: Any = None) -> None:
        """After every ``on_train_batch_end``: the batch is over and everybody's state is that of its end."""

    def on_epoch_saved(self) -> None:
        """After every ``on_epoch_end``: the epoch is over and everybody's state is that of its end."""

    def on_interrupted(self) -> None:
        """After Ctrl-C has ended the run between two steps, before any ``on_train_end``."""

    def on_diverged(self, error: Exception) -> bool:
        """Answer a loss or gradient that is not finite: return True to end the run quietly instead of raising."""
        return False

    def _release(self) -> None:
        """After everything else, however the run has ended: give back what was held for it."""
        self.peers = ()

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed run needs of this callback, as values that JSON can hold."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `get_state` gave."""


def as_filled(path: Any, what: str, example: str) -> str:
    """Return a path as text; one that is empty, or none at all, is refused before the first epoch and not behind it."""
    if not isinstance(path, str | os.PathLike) or not (text := os.fspath(path)) or "\0" in text:
        raise ArgumentError(f"{what}: expected {example}, received {path!r}.")
    return str(text)


def say(line: str) -> None:
    """Print what a callback with ``verbose=1`` has to say, above a bar that may be growing."""
    from tqdm import tqdm  # 30 ms that `import miniDLF` need not spend

    if sys.stdout is not None:  # as under pythonw
        tqdm.write(encodable(line, sys.stdout))


#: How much a name has to be like a hook's to be taken for it with a mistake in it.
CLOSE = 0.85

_BATCH_HOOKS = {
    "on_train_batch_begin": ("on_train_batch_begin", "on_batch_begin"),
    "on_train_batch_end": ("on_train_batch_end", "on_batch_end"),
    "on_batch_saved": ("on_batch_saved",),
    "on_test_batch_begin": ("on_test_batch_begin",),
    "on_test_batch_end": ("on_test_batch_end",),
    "on_predict_batch_begin": ("on_predict_batch_begin",),
    "on_predict_batch_end": ("on_predict_batch_end",),
}


class CallbackList:
    """Calls the hooks of several callbacks in order; those of a batch only where a callback has one."""

    def __init__(self, callbacks: Iterable[Callback], model: Any, params: Mapping[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:  # before any of them hears of the others
            if not isinstance(callback, Callback):
                raise ArgumentTypeError(
                    f"callbacks: expected objects of miniDLF.callbacks.Callback, received {callback!r}."
                    + (
                        " Create the object: add ()."
                        if isinstance(callback, type)
                        else " Derive its class from Callback."
                    )
                )
            _check_hooks(callback)
        for callback in self.callbacks:
            callback.peers = self.callbacks
            callback.set_model(model)
            callback.set_params(params)
        self._batch = {
            hook: [getattr(callback, hook) for callback in self.callbacks if overrides(callback, names)]
            for hook, names in _BATCH_HOOKS.items()
        }

    def call(self, hook: str, *arguments: Any) -> None:
        """Call ``hook(*arguments)`` of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def batch_hooks(self, hook: str) -> list[Any]:
        """The bound methods that a batch hook has to call; usually few or none."""
        return self._batch[hook]

    def release(self) -> None:
        """Let every callback go: a history that is kept, or pickled with its model, takes none of them with it."""
        for callback in self.callbacks:
            callback._release()

    def on_diverged(self, error: Exception) -> bool:
        """Ask the callbacks about a loss that is not finite."""
        answers = [callback.on_diverged(error) for callback in self.callbacks]
        return any(answers)


def _check_hooks(callback: Callback) -> None:
    """Refuse hooks of one's own whose names nobody calls, or that take other arguments than they are called with."""
    if not is_own(type(callback)) and not any(name.startswith("on_") for name in vars(callback)):
        return
    from difflib import get_close_matches  # for messages only

    who, hooks = type(callback).__name__, [name for name in dir(Callback) if name.startswith("on_")]
    own = dict.fromkeys(name for name in (*dir(type(callback)), *vars(callback)) if name.startswith("on_"))
    for name in own:
        method = getattr(callback, name)
        if not callable(method) or not is_own(method):
            continue
        if name not in hooks:
            close = get_close_matches(name, hooks, n=1, cutoff=CLOSE)
            if close:
                raise ArgumentTypeError(f"{who}: {name} is never called: there is no such hook. Call it {close[0]}.")
            warnings.warn(f"{who}: {name} is never called. The hooks are {', '.join(hooks)}.", stacklevel=4)
    for name in dir(type(callback)):
        if hasattr(Callback, name) or name.startswith(("_", "on_")) or not is_own(getattr(type(callback), name)):
            continue
        close = get_close_matches(name, hooks, n=1, cutoff=CLOSE)
        if close and callable(getattr(callback, name)) and not is_own(getattr(callback, close[0])):
            warnings.warn(f"{who}: nobody calls {name}. If it is to be a hook, call it {close[0]}.", stacklevel=4)
    for name in (*own, "set_model", "set_params", "get_state", "set_state"):
        method = getattr(callback, name)
        if is_own(method) and hasattr(Callback, name):
            arguments = list(inspect.signature(getattr(Callback, name)).parameters)[1:]
            check_call(who, name, method, arguments, bound=inspect.ismethod(method))


def overrides(callback: Callback, names: Iterable[str]) -> bool:
    """Say whether a callback has hooks of its own: methods, or functions that stand in its class or its attributes."""
    return any(getattr(getattr(callback, name), "__func__", None) is not getattr(Callback, name) for name in names)


class LambdaCallback(Callback):
    """Calls functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``. Any hook's name is a keyword."""

    def __init__(self, **hooks: Any) -> None:
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                choices = [key for key in vars(Callback) if key.startswith("on_")]
                raise ArgumentTypeError(
                    f"LambdaCallback has no hook {name!r}; choose from {', '.join(choices)}.{nearest(name, choices)}"
                )
            setattr(self, name, function)
