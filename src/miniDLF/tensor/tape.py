"""`GradientTape`, as Keras and TensorFlow have it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from miniDLF.errors import ArgumentTypeError, NotReadyError
from miniDLF.tensor import recording
from miniDLF.tensor.gradients import gradient
from miniDLF.tensor.tensor import Tensor

__all__ = ["GradientTape"]

#: How many tapes are open here.
_OPEN: ContextVar[int] = ContextVar("miniDLF.open_tapes", default=0)


class GradientTape:
    """Watches what is calculated within, so that its gradients can be taken afterwards.

    ::

        with GradientTape() as tape:
            loss = ((x @ weight - y) ** 2).mean()
        step = tape.gradient(loss, weight)

    Trainable variables are watched by themselves, other tensors by `watch`. A gradient that is taken while another tape
    is open has gradients too.

    Parameters
    ----------
    persistent : bool
        Whether `gradient` may be called several times.
    """

    def __init__(self, persistent: bool = False) -> None:
        self.persistent = persistent
        self._spent = False
        self._tokens: list[Any] = []

    def __enter__(self) -> GradientTape:
        self._tokens.append(_OPEN.set(_OPEN.get() + 1))
        return self

    def __exit__(self, *error: object) -> None:
        _OPEN.reset(self._tokens.pop())

    def watch(self, tensor: Any) -> None:
        """Let gradients follow `tensor` (or each of a sequence), which is no variable.

        Raises
        ------
        ArgumentTypeError
            If it is no tensor: arrays of NumPy remember nothing.
        """
        for one in tensor if isinstance(tensor, (list, tuple)) else (tensor,):
            if not isinstance(one, Tensor):
                raise ArgumentTypeError(
                    f"tape.watch: expected a Tensor, received {type(one).__name__}. Write x = Tensor(x) first, and "
                    "calculate with it."
                )
            if one.dtype.kind != "f":
                raise ArgumentTypeError(
                    f"tape.watch: there are no gradients with respect to {one.dtype}; use x.astype('float32')."
                )
            one._watched = True

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None, unconnected: str = "none") -> Any:
        """Return the gradients of `target` with respect to `sources`: see `miniDLF.gradient`.

        Raises
        ------
        NotReadyError
            If it is the second call, and the tape is not persistent.
        """
        if self._spent and not self.persistent:
            raise NotReadyError(
                "this tape has given its gradients already. Ask for all of them in one call (sources may be a list), "
                "or make it by GradientTape(persistent=True)."
            )
        self._spent = True
        nested = _OPEN.get() > 0 or recording.current() is not None
        with contextlib.nullcontext() if nested else recording.no_history():
            return gradient(target, sources, output_gradients, unconnected=unconnected)

    @contextlib.contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Let what is calculated within have no gradients."""
        with recording.no_history():
            yield

    def reset(self) -> None:
        """Forget that gradients have been taken."""
        self._spent = False
