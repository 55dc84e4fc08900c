"""The contract that every layer fulfils."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from miniDLF.core.call import Call, Shared
from miniDLF.core.capture import Watched
from miniDLF.core.configurable import Configurable, describes_itself
from miniDLF.core.constraints import get_constraint
from miniDLF.core.contents import Contents, shown
from miniDLF.core.graph import apply
from miniDLF.core.held import held_parameters
from miniDLF.core.initializers import Initializer, get_initializer
from miniDLF.core.kinds import check_kinds
from miniDLF.core.own import is_own, misspelt
from miniDLF.core.parameter import Parameter
from miniDLF.core.regularizers import get_regularizer
from miniDLF.errors import ArgumentError, ArgumentTypeError, MiniDLFError, ShapeError, answering
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.tensor import recording
from miniDLF.tensor.tensor import Tensor

__all__ = ["Layer"]

T = TypeVar("T")

#: Keywords that every layer takes; a layer that lists one among its own fields takes it there by position as well.
COMMON: dict[str, tuple[str, Any]] = {
    "input_shape": ("Shape | None", None),
    "trainable": ("bool", True),
    "name": ("str | None", None),
}
COMMON_KINDS = {name: annotation.split(" | ") for name, (annotation, _) in COMMON.items()}


class Layer(Watched, Contents, Configurable):
    """A differentiable function of arrays, with parameters.

    A layer declares its hyper-parameters as annotated fields and gives `build`, `forward` and `backward`. It keeps
    nothing of a call on itself: what backward needs, forward leaves on `call`. So one layer may be shared in a graph,
    run on several threads and predict while it trains.

    Every layer takes ``name``, ``trainable`` (``False`` freezes it) and ``input_shape`` (no batch axis).
    """

    if TYPE_CHECKING:  # at run time __init_subclass__ adds these to every layer's own fields
        _: dataclasses.KW_ONLY
        name: str | None = None
        trainable: bool = True
        input_shape: Shape | None = None

    else:  # for a class whose own __init__ does not call this one's
        name, trainable, input_shape = None, True, None

    #: Whether `build` has run. Set by itself; a layer written for Keras may set it as well.
    built = False  # type: bool
    #: The word in the specification's summary, if it is not the name of the class.
    label: ClassVar[str | None] = None
    #: Whether training needs statistics of the whole batch: then `partial` and `merge` are called (see there).
    synchronises: ClassVar[bool] = False
    #: Whether a layer that is not trained (``trainable=False``) works as in inference, also in training.
    freezes: ClassVar[bool] = False
    #: Whether the layer takes several inputs: then ``x`` is a tuple, and backward returns a tuple.
    takes_many = False  # type: bool
    #: Whether forward returns its input unchanged outside training: then inference passes the layer over.
    only_trains: ClassVar[bool] = False
    #: Whether what forward returns is memory of this call's own that backward does not read: the next layer may then
    #: overwrite it (see `Call.output_like`). A layer that returns its input, or a view of it, must not say so.
    gives_away = False  # type: bool
    #: Whether the layer is a function of one number that never falls: it may change places with one that `chooses`.
    rises = False  # type: bool
    #: Whether each output is the largest of some inputs.
    chooses = False  # type: bool
    #: How often the layer repeats every row and column of its images, if that is all it does.
    enlarges = None  # type: tuple[int, int] | None
    #: Whether forward and backward can do that themselves on the way, given ``call.enlarges``.
    absorbs_enlarging = False  # type: bool
    #: The slope for x < 0 if the layer is a rectifier and nothing else, 0 for the plain one.
    rectifies = None  # type: float | None
    #: Whether forward and backward can rectify their input themselves on the way, given ``call.rectifies``.
    absorbs_rectifier = False  # type: bool
    #: What becomes of every window (a `kernels.tiles.Pooling`) if the layer is a pooling; it `joins` where they tile.
    pools = None  # type: Any
    #: Whether forward and backward can pool their output themselves on the way, given ``call.pools``.
    absorbs_pooling = False  # type: bool
    #: Whether forward and backward of this very class do nothing but call NumPy on what they are lent, whatever the
    #: numbers are: then the calls of a step are noted once and made again (see `core.capture`). Not inherited.
    #: What its `prepare` leaves lies in lent memory too.
    captures = False  # type: bool
    #: The activation a loss may absorb ("Softmax", "Sigmoid"), if this layer is one (see `Loss.absorbs`).
    absorbable = None  # type: str | None

    def __init_subclass__(cls, **keywords: Any) -> None:
        if "__init__" not in cls.__dict__:
            annotations = _annotations(cls)
            inherited = {field.name for base in cls.__mro__[1:] for field in _fields(base)}
            for name, (annotation, default) in COMMON.items():
                if name not in annotations and name not in inherited:
                    annotations[name] = annotation
                    setattr(cls, name, dataclasses.field(default=default, kw_only=True))
            for name in annotations:  # a field called `weights` has no default, whatever a layer shows by that name
                if name not in cls.__dict__ and isinstance(inspect.getattr_static(cls, name, None), shown):
                    setattr(cls, name, dataclasses.field())
            cls.__annotations__ = annotations
        super().__init_subclass__(**keywords)
        if "build" in cls.__dict__:
            cls.build = _noted(cls.__dict__["build"])  # type: ignore[method-assign]
        if callable(cls.__dict__.get("call")) and "forward" not in cls.__dict__:
            for name, method in _IN_TENSORS.items():
                setattr(cls, name, method)
            for name in _OF_FORWARD:  # what a base with a forward of its own does beside it
                if name not in cls.__dict__:
                    setattr(cls, name, vars(Layer)[name])

    @answering
    def __init__(
        self, *, name: str | None = None, trainable: bool = True, input_shape: Sequence[int] | None = None
    ) -> None:
        check_kinds(type(self), COMMON_KINDS, {"name": name, "trainable": trainable, "input_shape": input_shape})
        self.name, self.trainable = name, trainable
        self.input_shape = None if input_shape is None else tuple(input_shape)

    # What a layer gives ---------------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> Shape:
        """Check `input_shape` (no batch axis), declare parameters with `parameter`, return the output shape.

        It may run again for another use of the same layer: declaring the same parameter twice gives the first one.
        With several inputs `input_shape` is a tuple of shapes.
        """
        return tuple(input_shape)

    @property
    def is_derived(self) -> bool:
        """Whether forward and backward follow from `call`, which is written in tensors."""
        return type(self).forward is _IN_TENSORS["forward"]

    def shape_for(self, received: Any) -> Any:
        """Build the layer for inputs of this shape (or of these), and return the shape of its output.

        A layer that is written in tensors, by `call`, is tried with symbolic ones: nobody writes its shapes.
        """
        if not self.is_derived:
            return self.build(received)
        from miniDLF.core import in_tensors  # loaded with the first such layer

        return in_tensors.output_shape(self, received if self.takes_many else [received])

    def forward(self, x: Any, call: Call) -> Array:
        """Return the output for the inputs `x` (N, ...); never write to `x`."""
        of_keras = "; Keras' call() is not used" if hasattr(self, "call") else ""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward(): define forward(self, x, call){of_keras} and backward, or "
            "call(self, x) in tensors" + (misspelt(self, "call") or misspelt(self, "forward"))
        )

    def backward(self, dy: Array, call: Call) -> Any:
        """Return dx, given dy; fill ``call.grad(p)`` of every parameter. It may overwrite `dy`, and return it.

        Where ``call.needs_dx`` is false the result is not looked at.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no backward(): define backward(self, dy, call){misspelt(self, 'backward')}"
        )

    # What a layer may give ------------------------------------------------------------------------------------------

    def prepare(self, shared: Shared) -> None:
        """Make, once a step and before the shards run, what they all read: attributes on `shared`.

        A function of the parameters' values and the layer's arguments: predictions one after the other that find the
        same values may use the same result.
        """

    def partial(self, x: Array, call: Call) -> Any:
        """Return this shard's statistics of `x` (only where `synchronises`, in training)."""
        raise NotImplementedError(f"{type(self).__name__} has no partial()")

    def merge(self, a: Any, b: Any) -> Any:
        """Join the statistics of two shards; `forward` then reads the result for all of them as ``call.total``."""
        raise NotImplementedError(f"{type(self).__name__} has no merge()")

    def backward_partial(self, dy: Array, call: Call) -> Any:
        """Return this shard's sums for backward; added up, backward reads them as ``call.backward_total``."""
        raise NotImplementedError(f"{type(self).__name__} has no backward_partial()")

    def update_state(self, call: Call) -> None:
        """Advance state that is not trained (running means), once a training step, after backward."""

    def settle_state(self, call: Call) -> None:
        """Leave the state of this batch alone, which is the whole data set (`LBFGS`), and of nothing before it.

        Without a method of its own a layer advances its state by one step.
        """
        self.update_state(call)

    def flops(self, input_shape: Any, output_shape: Shape) -> int:
        """Return the floating-point operations of forward for one sample; a product of two matrices counts 2 m n k."""
        total = 1
        for length in output_shape:
            total *= length
        return total

    def backward_flops(self, input_shape: Any, output_shape: Shape, needs_dx: bool) -> int:
        """Return those of backward: a product costs one of its size for each gradient, the weight's and the input's."""
        trained = any(parameter.trainable for parameter in self.parameters)
        return self.flops(input_shape, output_shape) * (trained + needs_dx if self.parameters else 1)

    def parts(self) -> tuple[Layer, ...]:
        """Return the layers that this one stands for: itself, and the activation that one of its fields names."""
        return (self,)

    def misfit(self, error: ShapeError, before: Sequence[Layer]) -> ShapeError:
        """Return what to say where `build` has raised `error` behind these layers, the nearest first."""
        return error

    def trains(self, parameter: Parameter) -> bool:
        """Say whether a parameter is trained where the layer is."""
        return True

    def row_matrix(self) -> Parameter | None:
        """Return the matrix whose gradient backward leaves to `Call.product_over_rows`, if there is one."""
        return None

    def joins(self, input_shape: Any) -> bool:
        """Say whether, on inputs of this shape, it may do work of its neighbours or leave its own to one.

        What work that is, `absorbs_rectifier`, `pools` and their like say.
        """
        return True

    def folded(self, before: Layer) -> Layer | None:
        """Return a layer that does in inference what `before` and then this one do, if their weights can become one.

        It needs `prepare`, which combines the weights, and `forward`.
        """
        return None

    # What every layer has -------------------------------------------------------------------------------------------

    def says(self, name: str) -> Any:
        """Return the attribute `name`, which promises something of forward and backward; ``None`` if it is not kept.

        A subclass with another forward or backward has not made the promises of its base; it may make them anew, by an
        attribute in its own class.
        """
        for owner in (self, *type(self).__mro__):
            if owner is not self and name in vars(owner):
                return getattr(self, name)
            if "forward" in vars(owner) or "backward" in vars(owner):
                break
        return None

    @property
    def parameters(self) -> list[Parameter]:
        """The declared parameters, in the order of `get_weights`; then those of layers that the layer holds."""
        declared = list(self._declared().values())
        if not self.is_derived:
            return declared
        return declared + [parameter for _, parameter in held_parameters(self)]

    def parameter(
        self,
        name: str,
        shape: Shape,
        initializer: Initializer | str | None = None,
        *,
        trainable: bool = True,
        fans: tuple[int, int] | None = None,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Parameter:
        """Declare a parameter, or return it where it is declared already with this shape.

        What is not given is taken from the fields ``<name>_initializer``, ``<name>_regularizer`` and
        ``<name>_constraint``, if the layer has them.
        """
        declared = self._declared()
        if initializer is None:
            initializer = getattr(self, f"{name}_initializer", None)
            initializer = "glorot_uniform" if initializer is None else initializer
        if regularizer is None:
            regularizer = getattr(self, f"{name}_regularizer", None)
        if constraint is None:
            constraint = getattr(self, f"{name}_constraint", None)
        known = declared.get(name)
        if any(isinstance(length, bool) or not isinstance(length, Integral) or length < 1 for length in shape):
            raise ArgumentError(
                f"{self.described}: {name} would have the shape {tuple(shape)}, but every length is a whole number of "
                "at least 1. Look at the sizes that the layer was given."
            )
        if known is None:
            known = declared[name] = Parameter(
                name,
                tuple(shape),
                self.argument(get_initializer, initializer),
                trainable=trainable,
                fans=fans,
                regularizer=self.argument(get_regularizer, regularizer),
                constraint=self.argument(get_constraint, constraint),
            )
        elif known.shape != tuple(shape):
            raise ShapeError(
                f"{self.described} was built with {name} of shape {known.shape}; this use needs {tuple(shape)}. "
                "A shared layer needs inputs of one shape; make a second layer."
            )
        return known

    def argument(self, get: Callable[[Any], T], value: Any) -> T:
        """Return ``get(value)``, or say which of the layer's arguments `value` is."""
        try:
            return get(value)
        except MiniDLFError as error:
            kind = get.__name__.partition("_")[2]  # of get_initializer, get_regularizer or get_constraint
            held = (name for name, field in vars(self).items() if field is value and name.endswith(kind))
            said = str(error).removeprefix(f"{kind}: ")
            raise type(error)(f"{self.described}: {next(held, kind)}: {said}") from None

    def get_config(self) -> dict[str, Any]:
        """Return all arguments by name, as values that JSON can hold; own classes add to ``super().get_config()``."""
        config = super().get_config()
        if describes_itself(type(self)):
            config.update(name=self.name, trainable=self.trainable)
        return config

    @answering
    def add_weight(
        self,
        *values: Any,
        name: str | None = None,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Parameter:
        """Declare a parameter, as in Keras: ``add_weight((3, 4), "zeros", name="kernel")``.

        Without a keyword come `shape` and `initializer` (Keras 3), or `name`, `shape` and `initializer` (Keras 2).
        Without a shape it is a single number, without an initializer 'glorot_uniform' draws it. `dtype` is the
        model's; an argument is there for Keras' sake.
        """
        order = ("name", "shape", "initializer") if values and isinstance(values[0], str) else ("shape", "initializer")
        given = {"name": name, "shape": shape, "initializer": initializer}
        if len(values) > len(order):
            raise ArgumentTypeError(
                f"{self.described}: add_weight takes {', '.join(order)} without keywords; name what follows: "
                "trainable=..., regularizer=..., constraint=..."
            )
        for place, value in zip(order, values, strict=False):
            if given[place] is not None:
                raise ArgumentTypeError(f"{self.described}: add_weight has received {place} twice.")
            given[place] = value
        name, shape, initializer = given["name"], given["shape"], given["initializer"]
        lengths = (shape,) if isinstance(shape, Integral) else tuple(shape or ())
        if name is None:
            name = "weight" if "weight" not in self._declared() else f"weight_{len(self._declared())}"
        return self.parameter(
            name,
            lengths,
            "glorot_uniform" if initializer is None else initializer,
            trainable=trainable,
            regularizer=regularizer,
            constraint=constraint,
        )

    def state(self, name: str, shape: Shape, initializer: Any = "zeros") -> Parameter:
        """Declare an array that is not trained: `call` changes it by ``self.name.assign(value)``, once a step."""
        return self.parameter(name, shape, initializer, trainable=False)

    def add_loss(self, loss: Any) -> None:
        """Add a number, made of tensors in `call`, to the loss: an activity's penalty, a divergence.

        It counts in training and in evaluation, beside the losses of the outputs.
        """
        program = recording.current()
        if program is not None:
            program.losses.append(loss if loss.ndim == 0 else loss.sum())

    def _declared(self) -> dict[str, Parameter]:
        declared: dict[str, Parameter] = self.__dict__.setdefault("_parameters", {})
        return declared

    def __call__(self, inputs: Any, *, training: bool | None = None, mask: Any = None) -> Any:
        """Use the layer on a node of a graph, or on a list of nodes, and return the node of its output.

        On tensors or arrays (N, ...) it computes: their gradients, and those of the layer's parameters, can be taken.
        Without `training` it does as the layer or model in whose `call` it is called, or else as in inference. `mask`
        says which time steps count.

        A layer that defines ``compose(self, x)`` is a block of other layers: ``compose`` receives the node and returns
        the node of the block's output, and the graph holds the parts.
        """
        first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else inputs
        if isinstance(first, (Tensor, np.ndarray)):
            from miniDLF.core import in_tensors  # loaded with the first call on tensors

            return in_tensors.on_tensors(self, inputs, training, mask=mask)
        return apply(self, inputs)

    @property
    def described(self) -> str:
        """How error messages call the layer: ``Conv2D 'conv2d_2'``."""
        return type(self).__name__ + (f" {self.name!r}" if self.name else "")


def _noted(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a layer's `build` that notes that it ran.

    The package's own take shapes of samples. Layers that are written for Keras build those they hold with the batch,
    ``self.dense.build((None, 8))``, which is left out.
    """
    of_samples = not is_own(build)

    @functools.wraps(build)
    def noted(self: Layer, input_shape: Any) -> Any:
        shape = build(self, _of_a_sample(input_shape) if of_samples else input_shape)
        vars(self)["built"] = True
        return shape

    return noted


def _of_a_sample(shape: Any) -> Any:
    """Return a shape, or several, without the ``None`` in front that stands for the batch."""
    if isinstance(shape, (list, tuple)) and len(shape):
        if shape[0] is None:
            return tuple(shape[1:])
        if isinstance(shape[0], (list, tuple)):
            return tuple(_of_a_sample(one) for one in shape)
    return shape


def _by_tensors(name: str) -> Callable[..., Any]:
    """Return the method that does for a layer written in tensors what others write by hand."""

    def method(self: Layer, *arguments: Any) -> Any:
        from miniDLF.core import in_tensors  # what it needs is loaded with the first such layer

        return getattr(in_tensors, name)(self, *arguments)

    return method


#: What a class that defines `call` and no `forward` gets.
_IN_TENSORS = {name: _by_tensors(name) for name in ("forward", "backward", "update_state")}
#: What it does not inherit.
_OF_FORWARD = (
    "backward_partial", "folded", "merge", "only_trains", "partial", "prepare", "row_matrix", "settle_state",
    "synchronises",
)  # fmt: skip


def _annotations(cls: type) -> dict[str, Any]:
    """Return a class' own annotations; names that are defined further down stay names (PEP 649, Python 3.14)."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def _fields(base: type) -> tuple[Any, ...]:
    return dataclasses.fields(base) if dataclasses.is_dataclass(base) else ()
