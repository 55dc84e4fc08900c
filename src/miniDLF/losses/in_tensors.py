"""Losses that are written in tensors, as a function or as ``call(y_true, y_pred)``: their gradients are derived."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.core.recorded import Recorded, crosses_samples
from miniDLF.engine.batch_axis import Mixes, Partial, Placed, Split, follows_samples
from miniDLF.errors import ArgumentTypeError, MiniDLFError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = ["loss_of", "mixes_samples", "value_and_grad"]

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


def loss_of(loss: Any, y_true: Any, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
    """Return the mean of a loss over the samples, as a tensor: weighted, where there are weights.

    Parameters
    ----------
    loss : Loss
        Of either kind: written in tensors, or with a derivative by hand.
    y_true
        Targets as `fit` takes them, as a tensor or an array.
    y_pred : (N, ...)
    sample_weight : (N,), optional
    """
    target = as_tensor(y_true)
    rows = y_pred.shape[0]
    weights = as_tensor(np.ones(rows) if sample_weight is None else sample_weight, y_pred.dtype) * (1 / max(rows, 1))
    if callable(getattr(type(loss), "call", None)):
        if y_pred.ndim == target.ndim + 1 and y_pred.shape[-1] == 1:
            target = target.reshape((*target.shape, 1))
        return _weighted(loss, target, y_pred, weights)
    return apply(LossValue(loss), y_pred, target, weights)


class LossValue(Primitive):
    """The weighted sum of a loss with a derivative by hand, ``sum_i w_i loss(prediction_i, target_i)``."""

    loss: Any

    @property
    def name(self) -> str:
        return type(self.loss).__name__

    def shape(self, *shapes: Shape) -> Shape:
        return ()

    def evaluate(self, *arrays: Array, out: Any = None) -> Any:
        value = np.asarray(self._taken(*arrays)[0], arrays[0].dtype)
        if out is None:
            return value
        out[...] = value
        return out

    def _taken(self, prediction: Array, target: Array, weights: Array) -> tuple[Any, Array]:
        encoded = self.loss.encode(target, prediction.shape[1:])
        if encoded.dtype.kind == "f":
            encoded = encoded.astype(prediction.dtype, copy=False)

        def empty(name: str, shape: Shape, dtype: Any = None) -> Array:
            return np.empty(shape, prediction.dtype if dtype is None else dtype)

        found: tuple[Any, Array] = self.loss.value_and_grad(np.ascontiguousarray(prediction), encoded, weights, empty)
        return found

    def derivative(self, dy: Any, y: Any, *inputs: Tensor) -> Any:
        return lambda: dy * apply(LossSlope(self), *inputs), None, None


class LossSlope(Primitive):
    """The derivative of `LossValue` with respect to the prediction; it has none of its own."""

    value: LossValue

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def evaluate(self, *arrays: Array, out: Any = None) -> Any:
        found = self.value._taken(*arrays)[1]
        if out is None:
            return np.array(found)
        np.copyto(out, found)
        return out

    def derivative(self, dy: Any, y: Any, *inputs: Tensor) -> Any:
        raise MiniDLFError(
            f"{self.value.name}: a gradient of a gradient goes through this loss, whose derivative is written by hand. "
            "Write the loss as a function of tensors."
        )


def _every_sample(operation: Any, splits: Sequence[Split | None]) -> tuple[Split | None, ...]:
    """Return how prediction, target and weights must lie, which all have the samples in front."""
    if {split for split in splits if split is not None} != {Split(0)}:
        raise Mixes
    rows = operation.inputs[0].shape[0]
    return tuple(Split(0) if tensor.shape[:1] == (rows,) else None for tensor in operation.inputs)


@follows_samples(LossValue)
def _value_of_samples(operation: Any, splits: Sequence[Split | None], rows: int) -> Placed:
    return Placed(Partial(), operation.primitive, _every_sample(operation, splits))


@follows_samples(LossSlope)
def _slope_of_samples(operation: Any, splits: Sequence[Split | None], rows: int) -> Placed:
    return Placed(Split(0), operation.primitive, _every_sample(operation, splits))
