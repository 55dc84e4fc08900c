"""Losses that are written in tensors, as a function or as ``call(y_true, y_pred)``: their gradients are derived."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from miniDLF.core.recorded import Recorded, crosses_samples
from miniDLF.errors import ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.tensor.tensor import Tensor, as_tensor

__all__ = ["mixes_samples", "value_and_grad"]

#: Samples with which a loss is tried to see whether it is one number for each.
PROBE = 2
_LOCK = threading.Lock()


def value_and_grad(loss: Any, prediction: Array, target: Array, weights: Array, empty: Any) -> tuple[float, Array]:
    """Return ``sum_i weights_i loss_i`` and its gradient with respect to `prediction`; see `Loss.value_and_grad`."""
    key = (prediction.shape, prediction.dtype, target.shape, target.dtype)
    with _LOCK:
        pools: dict[Any, deque[Recorded]] = vars(loss).setdefault("_recorded", {})
        pool = pools.setdefault(key, deque())
        run = pool.popleft() if pool else None
    if run is None:
        given = [
            (array.shape, array.dtype) for array in (prediction, target, np.broadcast_to(weights, len(prediction)))
        ]
        run = Recorded(lambda y_pred, y_true, w: _weighted(loss, y_true, y_pred, w), given, (), (True, False, False))
    value = float(run.forward(prediction, target, weights))
    found = run.backward(np.ones((), prediction.dtype))[0]
    grad: Array = empty("loss grad", prediction.shape)
    np.copyto(grad, np.asarray(found))  # the plan's own memory is the next caller's
    with _LOCK:
        pool.append(run)
    return value, grad


def _weighted(loss: Any, y_true: Tensor, y_pred: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of the losses of samples."""
    each = _each(loss, y_true, y_pred)
    if each.ndim == 0:  # a number for the whole batch
        return each * np.sum(weights)
    if each.ndim > 1:
        each = np.mean(each, axis=tuple(range(1, each.ndim)))
    return np.sum(each * weights)


def _each(loss: Any, y_true: Tensor, y_pred: Tensor) -> Tensor:
    result = loss.call(y_true, y_pred)
    if isinstance(result, (int, float, np.ndarray, np.generic)):
        result = as_tensor(result)
    who = getattr(loss, "title", type(loss).__name__)
    if not isinstance(result, Tensor):
        raise ArgumentTypeError(
            f"loss {who}: returned {type(result).__name__}; return a tensor, made with NumPy's functions or "
            "miniDLF.ops."
        )
    if result.ndim and result.shape[0] != y_pred.shape[0]:
        raise ShapeError(
            f"loss {who}: for {y_pred.shape[0]} samples it returned the shape {result.shape}; return one number for "
            "each sample, or one for all."
        )
    return result.astype(y_pred.dtype)


def mixes_samples(loss: Any, output_shape: Shape, dtype: Any) -> bool:
    """Say whether a part of a batch would not do: the loss is one number for all, or compares samples.

    Where the kind of targets is not known, and neither such as the output nor labels can be taken, it is supposed so.
    """
    for shape, kind in (((PROBE, *output_shape), dtype), ((PROBE,), np.intp), ((PROBE, 1), dtype)):
        given = [((PROBE, *output_shape), dtype), (shape, kind)]
        try:
            return bool(crosses_samples(lambda y_pred, y_true: _each(loss, y_true, y_pred), given))
        except Exception:  # noqa: BLE001 - other targets are tried; what is wrong shows with the real ones
            continue
    return True
