"""`Tensor`: an array that remembers how it was made, or the place of one in a program that is being recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.errors import ArgumentTypeError, MiniDLFError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.tensor import recording
from miniDLF.tensor.operators import Operators
from miniDLF.tensor.primitive import Operation, Primitive
from miniDLF.tensor.rules import rule_for
from miniDLF.tensor.types import constant_type

__all__ = ["SymbolicError", "Tensor", "apply", "as_tensor", "output", "placeholder"]


class SymbolicError(MiniDLFError, TypeError):
    """A tensor without numbers was asked for numbers."""


class _Elsewhere:
    """An attribute of other libraries' tensors: asked for, it says what to write here."""

    def __init__(self, code: str) -> None:
        self.code, self.name = code, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        raise AttributeError(f"tensors have no {self.name!r}; write {self.code}.", name=self.name, obj=instance)


class Tensor(Operators):
    """An n-dimensional array with NumPy's arithmetic, and with gradients.

    An *eager* tensor holds an array; what is made of variables, or of tensors that a tape watches, remembers how. A
    *symbolic* one has a shape and a type and no numbers: it stands for a value in a program that is being recorded.
    NumPy's functions work on both (``np.exp(t)``, ``np.where(t > 0, t, 0)``), with NumPy's broadcasting.

    Parameters
    ----------
    value : array_like
        It is copied. Fractions in lists and Python's numbers are float32; arrays keep their type.
    dtype : optional
        The type to hold it in.

    Raises
    ------
    ArgumentTypeError
        If `value` is no array of numbers or booleans.
    """

    __slots__ = ("__weakref__", "_array", "_watched", "dtype", "index", "mask", "operation", "shape")

    shape: Shape
    dtype: np.dtype[Any]
    operation: Operation | None
    index: int
    mask: Any
    _array: Array | None
    _watched: bool

    def __init__(self, value: Any, dtype: DTypeLike | None = None) -> None:
        if isinstance(value, Tensor):
            value = value.numpy()
        kind = constant_type(value, None) if dtype is None else np.dtype(dtype)
        array = _checked(value, kind)
        self._set(array.shape, array.dtype, array, None, 0)

    def _set(self, shape: Shape, dtype: Any, array: Array | None, operation: Operation | None, index: int) -> None:
        self.shape, self.dtype, self._array, self.operation, self.index = shape, dtype, array, operation, index
        self._watched, self.mask = False, None

    # What PyTorch has -----------------------------------------------------------------------------------------------

    backward = _Elsewhere("gradient(loss, variables), which returns the gradients")
    grad = _Elsewhere("gradient(loss, variables), which returns the gradients")
    requires_grad = _Elsewhere("Variable(value), or tape.watch(tensor)")
    detach = _Elsewhere("ops.stop_gradient(tensor)")
    view = _Elsewhere("tensor.reshape(...)")
    permute = _Elsewhere("tensor.transpose(...)")
    unsqueeze = _Elsewhere("np.expand_dims(tensor, axis)")

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        total = 1
        for length in self.shape:
            total *= length
        return total

    @property
    def is_symbolic(self) -> bool:
        """Whether it stands for a value of a program that is being recorded, and has no numbers."""
        return self._array is None

    @property
    def has_history(self) -> bool:
        """Whether gradients with respect to something it depends on can be taken."""
        return self._watched or self.operation is not None

    def numpy(self) -> Array:
        """Return the array.

        Raises
        ------
        SymbolicError
            If the tensor is symbolic.
        """
        if self._array is None:
            raise _no_numbers("an array")
        return self._array

    @property
    def data(self) -> Array:
        """The memory itself, of a value that has numbers: whoever writes to it changes the value."""
        if self._array is None:
            raise _no_numbers("an array")
        return self._array

    def item(self) -> Any:
        """Return the only element as a number of Python."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """Return the elements as (nested lists of) Python's numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=bool(copy) or dtype is not None)

    def __float__(self) -> float:
        return float(self._number("a number"))

    def __int__(self) -> int:
        return int(self._number("a number"))

    def __index__(self) -> int:
        return self._number("a number").__index__()

    def __bool__(self) -> bool:
        return bool(self._number("true or false"))

    def _number(self, what: str) -> Any:
        if self._array is None:
            raise _no_numbers(what)
        if self._array.size != 1:
            raise ShapeError(
                f"a tensor of shape {self.shape} is not {what}: it has {self._array.size} elements. Use np.any, np.all "
                "or an index."
            )
        return self._array.reshape(())[()]

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError("a tensor without axes has no length.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return iter([self[number] for number in range(len(self))])

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self == value))

    def __repr__(self) -> str:
        if self._array is None:
            return f"{type(self).__name__}(symbolic, shape={self.shape}, dtype={self.dtype})"
        shown = np.array2string(self._array, separator=", ", prefix=type(self).__name__ + "(")
        return f"{type(self).__name__}({shown}, shape={self.shape}, dtype={self.dtype})"

    def __format__(self, specification: str) -> str:
        return format(self._number("a number") if self.size == 1 else str(self), specification)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ArgumentTypeError(
            "tensors are not changed in place, since gradients need what they were. Use np.where(condition, new, old), "
            "ops.scatter_update(tensor, key, value), or a Variable's assign()."
        )

    __hash__ = object.__hash__


def _no_numbers(what: str) -> SymbolicError:
    if recording.current() is None:
        return SymbolicError(
            f"{recording.line_of_user()}: a tensor without numbers was asked for {what}: it belongs to a program that "
            "was recorded, and something kept it, in a list or on an object. Return such values from the function, or "
            "assign them to a Variable."
        )
    layer = recording.scope()
    where = f"layer {layer!r}, {recording.line_of_user()}" if layer else recording.line_of_user()
    return SymbolicError(
        f"{where}: a value was asked for {what} while the program is recorded; it has a shape and a type, but no "
        "numbers yet. Let the choice be part of the program (ops.where, ops.cond, ops.scan), or run it step by step "
        "with run_eagerly=True."
    )


def _checked(value: Any, dtype: np.dtype[Any] | None) -> Array:
    """Return a copy of `value` as an array of numbers."""
    if isinstance(value, np.ma.MaskedArray):
        raise ArgumentTypeError("a masked array has numbers that are none; fill them first: array.filled(value).")
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
        return rule_for(np.stack)(value).numpy()
    try:
        array = np.array(value, dtype=dtype, subok=False)
    except (ValueError, TypeError) as error:
        raise ArgumentTypeError(f"a tensor is made of numbers; NumPy says: {error}.") from None
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(f"a tensor is made of real numbers or booleans; received {array.dtype}.")
    return array


def _made(shape: Shape, dtype: Any, array: Array | None, operation: Operation | None, index: int = 0) -> Tensor:
    tensor = Tensor.__new__(Tensor)
    tensor._set(shape, dtype, array, operation, index)
    return tensor


def placeholder(shape: Shape, dtype: DTypeLike) -> Tensor:
    """Return a symbolic tensor that nothing has made: an input of a program."""
    return _made(tuple(shape), np.dtype(dtype), None, None)


def as_tensor(value: Any, beside: np.dtype[Any] | None = None) -> Tensor:
    """Return `value` if it is a tensor, else a constant with a copy of it, in the type it takes beside `beside`."""
    if isinstance(value, Tensor):
        return value
    converted = getattr(value, "__tensor__", None)
    if converted is not None:
        return converted()
    array = _checked(value, constant_type(value, beside))
    return _made(array.shape, array.dtype, array, None)


def output(operation: Operation, index: int = 0) -> Tensor:
    """Return one of the outputs of `operation`."""
    arrays = operation.arrays
    return _made(
        operation.shapes[index], operation.dtypes[index], None if arrays is None else arrays[index], operation, index
    )


def apply(primitive: Primitive, *inputs: Tensor) -> Any:
    """Apply `primitive` to tensors: compute now, or record where a program is being recorded.

    Returns
    -------
    Tensor, or a tuple of them where the primitive has several outputs.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    shapes = primitive.shape(*[tensor.shape for tensor in inputs])
    types = primitive.dtype(*[tensor.dtype for tensor in inputs])
    if primitive.outputs == 1:
        shapes, types = (shapes,), (types,)
    if _records(primitive, inputs):
        operation = Operation(primitive, inputs, shapes, types, None, recording.scope())
        noted = recording.noted()
        if noted is not None:
            noted.append(operation)
    else:
        found = primitive.evaluate(*[tensor.data for tensor in inputs])
        arrays = (found,) if primitive.outputs == 1 else tuple(found)
        arrays = tuple(
            array if isinstance(array, np.ndarray) and array.dtype == dtype else np.asarray(array, dtype)
            for array, dtype in zip(arrays, types, strict=True)
        )
        if not (recording.remembers() and any(tensor.has_history for tensor in inputs)):
            made = tuple(_made(array.shape, array.dtype, array, None) for array in arrays)
            return made if primitive.outputs > 1 else made[0]
        versions = tuple(getattr(tensor, "version", 0) for tensor in inputs)
        operation = Operation(primitive, inputs, shapes, types, arrays, recording.scope(), versions)
    if primitive.outputs == 1:
        return output(operation)
    return tuple(output(operation, index) for index in range(primitive.outputs))


def _records(primitive: Primitive, inputs: tuple[Tensor, ...]) -> bool:
    """Say whether the operation is recorded and not computed: it depends on what has no numbers, or may change."""
    if any(tensor._array is None for tensor in inputs):
        return True
    return recording.current() is not None and (
        not primitive.pure or any(getattr(tensor, "version", None) is not None for tensor in inputs)
    )
