"""Operations of one's own, and the proof that a gradient is right."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.errors import ArgumentTypeError, MiniDLFError, ShapeError
from miniDLF.kernels.workspace import Array
from miniDLF.tensor.gradients import gradient
from miniDLF.tensor.primitive import Primitive
from miniDLF.tensor.tensor import Tensor, apply, as_tensor

__all__ = ["GradientCheck", "check_gradients", "custom"]


class Custom(Primitive):
    """A function of arrays that somebody wrote, with the derivative that they wrote beside it."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    probes: tuple[np.dtype[Any], ...]

    @property
    def name(self):
        return getattr(self.forward, "__name__", "custom")

    def _found(self, *shapes):
        """Return what forward makes of ones: its shape and its type are those of any result."""
        arrays = [np.ones(shape, kind) for shape, kind in zip(shapes, self.probes, strict=True)]
        return _array_of(self.name, self.forward(*arrays))

    def shape(self, *shapes):
        return self._found(*shapes).shape

    def dtype(self, *types):
        floating = [kind for kind in types if kind.kind == "f"]
        return np.result_type(*floating) if floating else types[0]

    def evaluate(self, *arrays, out=None):
        found = _array_of(self.name, self.forward(*[_read_only(array) for array in arrays]))
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def derivative(self, dy, y, *inputs):
        wanted = tuple(number for number, x in enumerate(inputs) if x.dtype.kind == "f")
        found = apply(CustomGradient(self.name, self.backward, wanted), dy, y, *inputs)
        result: list[Any] = [None] * len(inputs)
        for number, one in zip(wanted, found if isinstance(found, tuple) else (found,), strict=True):
            result[number] = one
        return tuple(result)


class CustomGradient(Primitive):
    """The derivative that somebody wrote; it has none of its own."""

    title: str
    backward: Callable[..., Any]
    wanted: tuple[int, ...]

    @property
    def name(self):
        return f"gradient of {self.title}"

    @property
    def outputs(self):
        return len(self.wanted)

    def shape(self, dy, y, *shapes):
        found = tuple(shapes[number] for number in self.wanted)
        return found if len(found) != 1 else found[0]

    def dtype(self, dy, y, *types):
        found = tuple(types[number] for number in self.wanted)
        return found if len(found) != 1 else found[0]

    def evaluate(self, dy, y, *arrays, out=None):
        found = self.backward(_read_only(dy), _read_only(y), *[_read_only(array) for array in arrays])
        parts = found if isinstance(found, tuple) else (found,)
        if len(parts) != len(arrays):
            raise ShapeError(
                f"{self.name}: backward gave {len(parts)} gradients for {len(arrays)} inputs; give a tuple with one "
                "for each, None for whole numbers."
            )
        made = []
        for number in self.wanted:
            array = np.zeros_like(arrays[number]) if parts[number] is None else _array_of(self.name, parts[number])
            if array.shape != arrays[number].shape:
                raise ShapeError(
                    f"{self.name}: input {number} has the shape {arrays[number].shape}, its gradient {array.shape}."
                )
            made.append(array.astype(arrays[number].dtype, copy=False))
        if out is not None:
            for target, array in zip(out if isinstance(out, tuple) else (out,), made, strict=True):
                np.copyto(target, array)
        return tuple(made) if len(made) != 1 else made[0]

    def derivative(self, dy, y, *inputs):
        raise MiniDLFError(
            f"{self.title}: a gradient of a gradient goes through an operation made by ops.custom, whose backward is "
            "arrays in, arrays out. Write it with tensors instead; then it has gradients of every order."
        )


def _array_of(name: str, value: Any) -> Array:
    if isinstance(value, Tensor) or value is None:
        what = "nothing" if value is None else "a tensor"
        raise ArgumentTypeError(f"{name}: a function given to ops.custom returns an array, this one returned {what}.")
    return np.asarray(value)


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def custom(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operation on tensors, given as two functions of arrays.

    Parameters
    ----------
    forward : callable
        ``forward(*arrays)`` returns the result, an array. The arrays are read-only.
    backward : callable
        ``backward(dy, y, *arrays)`` returns the gradient of each input, for the gradient `dy` of the result `y`: a
        tuple, or one array where there is one input.

    Returns
    -------
    callable
        A function of tensors, for eager and recorded programs alike. Where a program is recorded `forward` is called
        once more, with ones, to find the shape of its result.
    """
    for name, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise ArgumentTypeError(f"ops.custom: {name} is a function, received {type(function).__name__}.")

    def operation(*values: Any) -> Tensor:
        types = [value.dtype for value in values if isinstance(value, Tensor) and value.dtype.kind == "f"]
        tensors = [as_tensor(value, types[0] if types else None) for value in values]
        return apply(Custom(forward, backward, tuple(tensor.dtype for tensor in tensors)), *tensors)

    _check_backward(backward)
    operation.__name__ = getattr(forward, "__name__", "custom")
    operation.__doc__ = forward.__doc__
    return operation


def _check_backward(backward: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(backward)
    except (TypeError, ValueError):  # written in C
        return
    places = [
        one for one in signature.parameters.values() if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if len(places) < 3 and not any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values()):
        raise ArgumentTypeError(
            f"ops.custom: backward{signature} takes too little: it receives the gradient of the result, the result, "
            "and every input: backward(dy, y, x)."
        )


class GradientCheck:
    """What `check_gradients` found.

    Attributes
    ----------
    ok : bool
        Whether all gradients agree.
    errors : list of float
        For each input the largest difference, relative to the largest gradient.
    """

    def __init__(self, errors: list[float], tolerance: float, worst: list[str]) -> None:
        self.errors, self.tolerance, self._worst = errors, tolerance, worst
        self.ok = all(error <= tolerance for error in errors)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        lines = [f"gradients {'agree' if self.ok else 'DISAGREE'} with finite differences"]
        for number, (error, where) in enumerate(zip(self.errors, self._worst, strict=True)):
            mark = "ok" if error <= self.tolerance else f"WRONG {where}"
            lines.append(f"  input {number}: relative difference {error:.1e}  {mark}")
        return "\n".join(lines)


def check_gradients(
    function: Callable[..., Any], *arrays: Any, step: float = 1e-6, tolerance: float = 1e-5, seed: int = 0
) -> GradientCheck:
    """Compare the gradients of a function of tensors with finite differences, in float64.

    Parameters
    ----------
    function : callable
        ``function(*tensors)`` returns a tensor of any shape; its elements are weighted at random, so that errors do not
        cancel.
    *arrays : array_like
        Where to compare. Whole numbers and booleans are handed on as they are.
    step : float
        Half the distance of the two points of every difference, relative to 1.
    tolerance : float
        The largest difference allowed, relative to the largest gradient of that input.

    Returns
    -------
    GradientCheck
        True if all agree; printed it says where they do not.
    """
    given = [np.asarray(value.numpy() if isinstance(value, Tensor) else value) for value in arrays]
    values = [np.array(array, np.float64) if array.dtype.kind == "f" else np.array(array) for array in given]
    tensors = [Tensor(array) for array in values]
    for tensor in tensors:
        tensor._watched = tensor.dtype.kind == "f"
    result = function(*tensors)
    if not isinstance(result, Tensor):
        raise ArgumentTypeError(f"check_gradients: the function returned {type(result).__name__}, not a tensor.")
    weights = np.random.default_rng(seed).normal(size=result.shape)
    followed = [tensor for tensor in tensors if tensor._watched]
    if result.has_history:
        found = gradient(result, followed, weights, unconnected="zero")
    else:  # a constant: its gradients are 0, which is compared like any others
        found = [Tensor(np.zeros(tensor.shape)) for tensor in followed]
    errors, worst = [], []
    for tensor, one in zip(followed, found, strict=True):
        number = next(i for i, other in enumerate(tensors) if other is tensor)
        numeric = np.zeros(tensor.shape)
        for place in np.ndindex(tensor.shape):
            ends = []
            for sign in (1, -1):
                moved = values[number].copy()
                moved[place] += sign * step
                parts = [Tensor(moved) if i == number else Tensor(array) for i, array in enumerate(values)]
                ends.append(float(np.sum(function(*parts).numpy() * weights)))
            numeric[place] = (ends[0] - ends[1]) / (2 * step)
        difference = np.abs(one.numpy() - numeric)
        if not difference.size:
            errors.append(0.0)
            worst.append("")
            continue
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(difference), np.inf, difference))), difference.shape)
        scale = max(float(np.max(np.abs(numeric))), 1e-3)
        error = float(difference[at]) / scale
        errors.append(np.inf if np.isnan(error) else error)
        worst.append(f"at {tuple(map(int, at))}: {float(one.numpy()[at]):.6g}, by differences {numeric[at]:.6g}")
    return GradientCheck(errors, tolerance, worst)
