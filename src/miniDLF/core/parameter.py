"""A trainable array of a layer, and its declaration."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.arrays import plain_array, refuse_beyond
from miniDLF.core.initializers import Initializer
from miniDLF.errors import ArgumentTypeError, NotReadyError, ShapeError
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.tensor import recording
from miniDLF.tensor.operators import Operators
from miniDLF.tensor.tensor import Tensor
from miniDLF.tensor.types import DEFAULT
from miniDLF.tensor.variable import Variable

__all__ = ["Parameter"]


class Parameter(Operators):
    """One named array of a layer, which calculates like a tensor.

    `value` and `grad` are views into the flat buffers of the model that trains the parameter; names and shapes are
    only the map of those buffers. An array that is assigned to `value` is copied there. Before a model is built `value`
    is ``None``.

    Attributes
    ----------
    name : str
        The name within the layer, e.g. ``"weight"``.
    shape : tuple of int
    trainable : bool
        Whether the layer wants it trained at all; a running mean does not, and the layer's own ``trainable`` rules
        over the rest.
    fans : (int, int)
        Inputs and outputs of one unit, by which initializers scale.
    """

    __slots__ = (
        "_value",
        "constraint",
        "fans",
        "grad",
        "initializer",
        "name",
        "owner",
        "regularizer",
        "shape",
        "tensor",
        "trainable",
    )

    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__  # a key of dictionaries

    def __init__(
        self,
        name: str,
        shape: Shape,
        initializer: Initializer,
        *,
        trainable: bool = True,
        fans: tuple[int, int] | None = None,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> None:
        self.name = name
        self.shape = shape
        self.tensor: ParameterVariable | None = None
        self.owner: Any = None
        self.initializer = initializer
        self.trainable = trainable
        self.fans = fans or _fans(shape)
        self.regularizer = regularizer
        self.constraint = constraint
        self._value: Array | None = None
        self.grad: Array | None = None

    @property
    def value(self) -> Array:
        """The array, ``None`` before a model is built; in a program that is being recorded the tensor that it is."""
        if recording.current() is not None:
            return self.__tensor__().value  # type: ignore[return-value]  # an array would be a constant there
        return self._value  # type: ignore[return-value]

    @value.setter
    def value(self, value: Any) -> None:
        if value is not None:
            value = self.checked(value, self.name)
            if self.owner is not None and self._value is not None:
                self.owner.settle()
                self._value[...] = value
                self.owner.written = True
                return
        self._value = value

    def checked(self, value: Any, where: str) -> Array:
        """Return what `value` may be set to as a plain array, or say what is wrong with it; `where` is its name there.

        Raises
        ------
        ShapeError
            If its shape is another one.
        ArgumentTypeError
            If it holds no real numbers.
        DataError
            If it is masked, or holds a number that becomes infinite in the model's type. NaN and infinity pass.
        """
        array = plain_array(value, where, ShapeError)
        if array.shape != self.shape:
            raise ShapeError(f"{where} has the shape {self.shape}, received values of shape {array.shape}.")
        if array.dtype.kind not in "fiub":
            raise ArgumentTypeError(f"{where}: expected real numbers, received an array of {array.dtype}.")
        if self._value is not None:
            refuse_beyond(np.atleast_1d(array), self._value.dtype, where, entry="row")
        return array

    def move(self, owner: Any, value: Array, grad: Array | None) -> None:
        """Let the parameter live in the buffers of a model: `value` and `grad` are views of them."""
        self.owner = None
        self.value, self.grad, self.owner = value, grad, owner

    def __getstate__(self) -> dict[str, Any]:
        """A copy belongs to no model yet, so it has a value and no place for a gradient."""
        return {name: getattr(self, name) for name in self.__slots__} | {"grad": None, "owner": None, "tensor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.tensor = None
        for name in ("owner", *state):
            setattr(self, name, state[name])

    @property
    def is_drawn(self) -> bool:
        """Whether it has a value yet."""
        return self._value is not None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def dtype(self) -> Any:
        """The type of its numbers, ``None`` before a model is built."""
        return None if self._value is None else self._value.dtype

    def numpy(self) -> Array:
        """Return a copy of the value.

        Raises
        ------
        NotReadyError
            If no model has drawn it yet.
        """
        if self._value is None:
            raise NotReadyError(f"{self.name} has no value yet: a model draws it. Make the model first.")
        self.__tensor__().refuse_reading()
        return self._value.copy()

    def assign(self, value: Any) -> None:
        """Set the value, which keeps its shape and type; the same as ``parameter.value = value``.

        In a program that is being recorded the assignment takes effect when the program is over.
        """
        if recording.current() is not None:
            self.__tensor__().assign(value)
        else:
            self.value = value.numpy() if isinstance(value, Tensor) else value

    def assign_add(self, value: Any) -> None:
        """Add to the value."""
        self.assign(self.__tensor__().value + value)

    def assign_sub(self, value: Any) -> None:
        """Subtract from the value."""
        self.assign(self.__tensor__().value - value)

    def __tensor__(self) -> ParameterVariable:
        """Return the variable that stands for the parameter in calculations with tensors."""
        if self.tensor is None:
            self.tensor = ParameterVariable(self)
        return self.tensor

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        """Return the value for NumPy: ``np.asarray(parameter)``."""
        value = self.numpy()
        return value if dtype is None else value.astype(dtype)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.shape}, trainable={self.trainable})"


class ParameterVariable(Variable):
    """The variable that lives where its parameter does: in the buffers of whichever model trains it."""

    __slots__ = ("parameter",)

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.operation, self.index, self.mask, self._watched = None, 0, None, False
        self.version = 0

    @property
    def _array(self) -> Array | None:  # type: ignore[override]
        return self.parameter._value

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.parameter.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        return DEFAULT if self.parameter._value is None else self.parameter._value.dtype

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.parameter.name

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        return self.parameter.trainable

    def numpy(self) -> Array:
        """Return a copy of the value."""
        return self.parameter.numpy()

    def assign(self, value: Any) -> Variable:
        """Replace the value."""
        if recording.current() is not None:
            return super().assign(value)
        self.parameter.assign(value)
        self.touch()
        return self


def _fans(shape: Shape) -> tuple[int, int]:
    """Return (inputs, outputs) of one unit: (in, out) matrices and (filters, channels, kh, kw) kernels."""
    if len(shape) < 2:
        length = shape[0] if shape else 1
        return length, length
    if len(shape) == 2:
        return shape[0], shape[1]
    field = int(np.prod(shape[2:]))
    return shape[1] * field, shape[0] * field
