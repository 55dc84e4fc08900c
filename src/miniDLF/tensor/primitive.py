"""What operations do: the contract of every primitive, and the record of one application of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from miniDLF.errors import ShapeError
from miniDLF.kernels.workspace import Array, Shape

if TYPE_CHECKING:
    from miniDLF.tensor.tensor import Tensor

__all__ = ["Elementwise", "Operation", "Primitive", "broadcast_shape"]


class Primitive:
    """A function of arrays with a shape rule, a plain formula and a derivative. What graphs are made of.

    It holds no state: everything but its tensors is an attribute, declared as an annotation of the class and fixed when
    the operation is recorded. Two primitives of one class with equal attributes are the same function.

    A primitive with several outputs says so in `outputs`; then `shape`, `dtype` and `evaluate` return tuples, and
    `derivative` receives tuples as `dy` (with ``None`` for outputs that nothing depends on) and `y`.
    """

    #: The names of what is fixed when the operation is recorded.
    attributes: ClassVar[tuple[str, ...]] = ()
    #: How many arrays it returns.
    outputs: ClassVar[int] = 1
    #: Whether it is a function of its inputs alone. One that is not (random numbers) is never computed while a program
    #: is recorded, and never twice for once.
    pure: ClassVar[bool] = True
    #: Whether the result is another view of its input's memory.
    is_view: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = [name for name, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar")]
        cls.attributes = (*cls.attributes, *(name for name in own if name not in cls.attributes))

    def __init__(self, *values: Any, **named: Any) -> None:
        for name, value in zip(self.attributes, values, strict=False):
            setattr(self, name, value)
        for name, value in named.items():
            setattr(self, name, value)

    @property
    def name(self) -> str:
        """How reports and messages call it: the name of its class."""
        return type(self).__name__

    def key(self) -> tuple[Any, ...]:
        """Return what tells this function from others."""
        return (type(self), *(getattr(self, name) for name in self.attributes))

    def shape(self, *shapes: Shape) -> Any:
        """Return the shape of the result, for inputs of these shapes; refuse those that do not fit.

        Raises
        ------
        ShapeError
            If there is no such result.
        """
        raise NotImplementedError(f"{self.name} has no shape rule")

    def dtype(self, *types: np.dtype[Any]) -> Any:
        """Return the type of the result; the first input's, if nothing else is said."""
        return types[0]

    def evaluate(self, *arrays: Array, out: Array | None = None) -> Any:
        """Return the result for these arrays, in `out` where one is given (of the right shape and type)."""
        raise NotImplementedError(f"{self.name} has no formula")

    def derivative(self, dy: Any, y: Any, *inputs: Tensor) -> Any:
        """Return, for every input, the gradient that `dy`, the gradient of the result `y`, gives it; in tensors.

        A tuple, or one value where there is one input. ``None`` stands for no gradient; a function without arguments
        is called only if the gradient is asked for.
        """
        return (None,) * len(inputs)

    def flops(self, *shapes: Shape) -> int:
        """Return the floating-point operations for inputs of these shapes; one for each number of the result."""
        result = self.shape(*shapes)
        total = 0
        for shape in result if self.outputs > 1 else (result,):
            count = 1
            for length in shape:
                count *= length
            total += count
        return total

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.attributes)
        return f"{self.name}({shown})"


class Elementwise(Primitive):
    """A function of numbers, applied to each: inputs are broadcast against each other as NumPy does.

    `derivative` need not think of broadcasting: what is returned is summed over what was broadcast.
    """

    #: The NumPy function that does it, where there is one.
    ufunc: ClassVar[Any] = None

    def shape(self, *shapes: Shape) -> Shape:
        """The shape that all broadcast to."""
        return broadcast_shape(self.name, *shapes)

    def evaluate(self, *arrays: Array, out: Array | None = None) -> Array:
        """Call the ufunc."""
        return self.ufunc(*arrays, out=out)


def broadcast_shape(name: str, *shapes: Shape) -> Shape:
    """Return the shape to which `shapes` broadcast.

    Raises
    ------
    ShapeError
        If they do not.
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(map(str, shapes))
        raise ShapeError(
            f"{name}: the shapes {shown} do not fit together. From the last axis backwards, lengths must be equal, or "
            "one of them 1. Use expand_dims or reshape to line the axes up."
        ) from None


class Operation:
    """One application of a primitive: which one, to which tensors, and what came out.

    Attributes
    ----------
    primitive : Primitive
    inputs : tuple of Tensor
    shapes, dtypes : tuple
        Of the outputs.
    arrays : tuple of arrays, or None
        The outputs, if they were computed; ``None`` in a recorded program.
    scope : str
        The layer in which it was recorded, or an empty string.
    """

    __slots__ = ("arrays", "dtypes", "inputs", "primitive", "scope", "shapes", "versions")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Tensor, ...],
        shapes: tuple[Shape, ...],
        dtypes: tuple[np.dtype[Any], ...],
        arrays: tuple[Array, ...] | None = None,
        scope: str = "",
        versions: tuple[int, ...] | None = None,
    ) -> None:
        self.primitive, self.inputs, self.shapes, self.dtypes = primitive, inputs, shapes, dtypes
        self.arrays, self.scope, self.versions = arrays, scope, versions

    def __repr__(self) -> str:
        return f"Operation({self.primitive!r}, {self.shapes})"
