"""`Variable`: a tensor with a value that may be set anew, such as the weights of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.errors import ArgumentTypeError, ShapeError
from miniDLF.kernels.workspace import Array
from miniDLF.tensor import recording
from miniDLF.tensor.rules import rule_for
from miniDLF.tensor.tensor import SymbolicError, Tensor, as_tensor

__all__ = ["Variable"]


class Variable(Tensor):
    """A tensor whose value `assign` replaces; its shape and type stay.

    Gradients with respect to a trainable variable can be taken of whatever was made of it. In a program that is being
    recorded a variable is read when the program runs, not when it is recorded, and an assignment takes effect when the
    program is over; within, the variable then reads as its new value.

    Parameters
    ----------
    value : array_like
        The value it begins with, which is copied.
    trainable : bool
        Whether optimizers change it, and gradients follow it.
    dtype : optional
        The type to hold it in. Fractions in lists are float32, arrays keep their type.
    name : str, optional
        How messages call it.
    """

    __slots__ = ("name", "trainable", "version")

    def __init__(
        self, value: Any, trainable: bool = True, dtype: DTypeLike | None = None, name: str | None = None
    ) -> None:
        super().__init__(value, dtype)
        self.trainable = bool(trainable)
        self.name = name or "variable"
        self.version = 0

    @property
    def has_history(self) -> bool:
        """Whether gradients with respect to it can be taken."""
        return self.trainable or self._watched

    def refuse_reading(self) -> None:
        """Refuse to give numbers while a program is recorded: they would stay in it as constants.

        Raises
        ------
        SymbolicError
            If a program is being recorded.
        """
        if recording.current() is not None:
            raise SymbolicError(
                f"{recording.line_of_user()}: the numbers of {self.name!r} were asked for while the program is "
                "recorded; they are read when it runs. Calculate with the variable itself (ops.where for choices), or "
                "run it step by step with run_eagerly=True."
            )

    def numpy(self) -> Array:
        """Return the array."""
        self.refuse_reading()
        return super().numpy()

    def _number(self, what: str) -> Any:
        self.refuse_reading()
        return super()._number(what)

    @property
    def value(self) -> Tensor:
        """What it holds now, as a tensor that later assignments leave alone."""
        program = recording.current()
        if program is not None:
            return program.assignments.get(self, self)
        return Tensor(self.numpy())

    @classmethod
    def over(cls, array: Array, trainable: bool = True, name: str | None = None) -> Variable:
        """Return a variable that lives in the memory of `array`: whoever writes there tells it by `touch`."""
        variable = cls.__new__(cls)
        variable._set(array.shape, array.dtype, array, None, 0)
        variable.trainable, variable.name, variable.version = trainable, name or "variable", 0
        return variable

    def move(self, array: Array) -> None:
        """Live in the memory of `array` from now on, which holds the value."""
        self._array = array

    def touch(self) -> None:
        """Note that the array was written to: gradients of what was made of the old value are then refused."""
        self.version += 1

    def assign(self, value: Any) -> Variable:
        """Replace the value.

        Raises
        ------
        ShapeError
            If `value` has another shape.
        ArgumentTypeError
            If it holds fractions and the variable whole numbers.
        """
        tensor = as_tensor(value, self.dtype)
        if tensor.shape != self.shape:
            raise ShapeError(f"{self.name} has the shape {self.shape}, received a value of shape {tensor.shape}.")
        if tensor.dtype.kind == "f" and self.dtype.kind != "f":
            raise ArgumentTypeError(
                f"{self.name} holds {self.dtype}, received {tensor.dtype}: the fractions would be lost. Round the "
                "value and use astype, or make a variable of a floating type."
            )
        program = recording.current()
        if program is not None:
            program.assignments[self] = rule_for("cast")(tensor, self.dtype)
            return self
        np.copyto(self.data, tensor.data, casting="same_kind" if tensor.dtype.kind == "f" else "unsafe")
        self.touch()
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add `value` to what it holds."""
        return self.assign(self.value + value)

    def assign_sub(self, value: Any) -> Variable:
        """Subtract `value` from what it holds."""
        return self.assign(self.value - value)

    def __copy__(self) -> Variable:
        return Variable(self.numpy(), self.trainable, name=self.name)

    def __deepcopy__(self, memo: Any) -> Variable:
        return self.__copy__()

    def __reduce__(self) -> Any:
        return Variable, (self.numpy(), self.trainable, None, self.name)

    def __repr__(self) -> str:
        kind = "" if self.trainable else ", trainable=False"
        return f"Variable({self.name!r}, shape={self.shape}, dtype={self.dtype}{kind},\n{self._array})"
