"""The recurrent layers, with their built-in projection of the states back to the input's features."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call
from miniDLF.core.initializers import Constant, Initializer, get_initializer
from miniDLF.core.layer import Layer
from miniDLF.core.ranges import require
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.elementwise import ones
from miniDLF.kernels.gru import GRURecurrence
from miniDLF.kernels.lstm import LSTMRecurrence
from miniDLF.kernels.recurrent import Recurrence, flat
from miniDLF.kernels.rnn import SimpleRecurrence
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.whole import is_whole

__all__ = ["GRU", "LSTM", "RNN", "Recurrent"]


class Recurrent(Layer):
    """Base of the recurrent layers: (N, T, D) -> (N, T, O), or the last state (N, H) without ``return_sequences``.

    The states are h_t (N, H), starting from zero; the output is ``y_t = h_t @ output_weight + output_bias``.

    Parameters
    ----------
    n_units
        Number H of hidden units.
    output_units
        Number O of the projection's outputs; 0 or ``False`` for no projection, then the states are the output and O is
        H. ``None`` is the number of the input's features D for sequences, and no projection for the last step alone.
    return_sequences
        Whether the output holds all steps or the last alone.
    input_initializer, output_initializer
        Draw the matrices from the input and of the projection: by default He's normal form, since Glorot's, which
        counts the units of all gates, makes learning slow (docs/initial_weights.md).
    recurrent_initializer
        Draws the (H, H) matrix of each gate by itself.
    bias_initializer
        Of the gates' bias; that of an LSTM's forget gate is `forget_bias`.

    Raises
    ------
    ArgumentError
        If a number of units is not a whole number that makes sense.
    ShapeError
        If the input is not a sequence (timesteps, features).
    """

    n_units: int  # type: ignore[misc]  # the base has it by keyword, this class by position
    input_shape: Shape | None = None
    trainable: bool = True
    output_units: int | bool | None = None
    return_sequences: bool = True
    input_initializer: Any = "he_normal"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    output_initializer: Any = "he_normal"
    input_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    output_regularizer: Any = None
    input_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    output_constraint: Any = None

    aliases: ClassVar = {
        "units": "n_units",
        "kernel_initializer": "input_initializer",
        "kernel_regularizer": "input_regularizer",
        "kernel_constraint": "input_constraint",
    }
    gives_away = True
    #: The loops over time.
    recurrence: ClassVar[type[Recurrence]]
    #: The same in tensors.
    states: ClassVar[Callable[..., Any]]

    def __post_init__(self) -> None:
        self.n_units = _whole(self, "n_units", self.n_units, 1)
        if isinstance(self.return_sequences, int | np.bool_):
            self.return_sequences = bool(self.return_sequences)
        if self.output_units is not None:
            self.output_units = _whole(self, "output_units", self.output_units, 0)

    @property
    def initial_bias(self) -> Initializer:
        """Gives the bias (G * H,) of the gates."""
        return self.argument(get_initializer, self.bias_initializer)

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(
                f"{self.described} expects sequences (timesteps, features), received {input_shape}. "
                "Put Reshape((timesteps, features)) before it."
            )
        steps, features = input_shape
        columns = self.recurrence.gates * self.n_units
        self.input_weight = self.parameter(
            "input_weight",
            (features, columns),
            self.input_initializer,
            regularizer=self.input_regularizer,
            constraint=self.input_constraint,
        )
        self.recurrent_weight = self.parameter(
            "recurrent_weight",
            (self.n_units, columns),
            GateByGate(self.argument(get_initializer, self.recurrent_initializer), self.recurrence.gates),
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = self.parameter(
            "bias", (columns,), self.initial_bias, regularizer=self.bias_regularizer, constraint=self.bias_constraint
        )
        outputs = self.output_units
        if outputs is None:
            outputs = features if self.return_sequences else 0
        self.projects = outputs > 0
        if self.projects:
            self.output_weight = self.parameter(
                "output_weight",
                (self.n_units, outputs),
                self.output_initializer,
                regularizer=self.output_regularizer,
                constraint=self.output_constraint,
            )
            self.output_bias = self.parameter("output_bias", (outputs,), "zeros")
        outputs = outputs or self.n_units
        return (steps, outputs) if self.return_sequences else (outputs,)

    def call(self, x: Any) -> Any:  # x (N, T, D)
        h = self.states(x, self.input_weight, self.recurrent_weight, self.bias)  # (N, T, H)
        if not self.return_sequences:
            h = h[:, -1]
        return h @ self.output_weight + self.output_bias if self.projects else h

    def forward(self, x: Array, call: Call) -> Array:  # x (N, T, D)
        call.x = x
        call.cell = self._unroll(x, call, call.training or call.wants(self.recurrent_weight))
        h = self._states(x, call.cell)  # (T, N, H)
        if not self.return_sequences:
            h = h[-1:]  # (1, N, H)
        if not self.projects:
            return self._batch_first(h, call)
        weight = self.output_weight.value
        y = call.scratch("y", (*h.shape[:2], weight.shape[1]))
        np.matmul(flat(h), weight, out=flat(y))  # (T N, H) @ (H, O) -> (T N, O)
        np.add(y, self.output_bias.value, out=y)
        return self._batch_first(y, call)

    def backward(self, dy: Array, call: Call) -> Array | None:  # dy (N, T, O) or (N, O)
        cell: Recurrence = call.cell
        if not cell.keep:
            cell = self._unroll(call.x, call, True)
            self._states(call.x, cell)
        h, dh = cell.h, cell.dh  # (T, N, H)
        if not self.return_sequences:
            dh[:-1] = 0
            h, dh, dy = h[-1:], dh[-1:], dy[:, np.newaxis]
        if self.projects:
            dy_rows = call.scratch("dy", (len(h), len(dy), dy.shape[2]))
            np.copyto(dy_rows, dy.transpose(1, 0, 2))
            np.matmul(flat(h).T, flat(dy_rows), out=call.grad(self.output_weight))  # (H, T N) @ (T N, O)
            flat(dy_rows).T.dot(ones(len(flat(dy_rows)), dy_rows.dtype), call.grad(self.output_bias))
            np.matmul(flat(dy_rows), self.output_weight.value.T, out=flat(dh))  # (T N, O) @ (O, H)
        else:
            np.copyto(dh, dy.transpose(1, 0, 2))
        dz = cell.backward(self.recurrent_weight.value)  # (G, T, N, H)
        if call.wants(self.recurrent_weight):
            gradients = [call.grad(weight) for weight in (self.input_weight, self.recurrent_weight, self.bias)]
            for gate in range(cell.gates):
                call.later(cell.weight_gradients, gate, dz, *gradients)
        if not call.needs_dx:
            return None
        return cell.input_gradient(dz, self.input_weight.value, call.empty("dx", call.x.shape))

    def _states(self, x: Array, cell: Recurrence) -> Array:
        return cell.forward(x, self.input_weight.value, self.recurrent_weight.value, self.bias.value)

    def _unroll(self, x: Array, call: Call, keep: bool) -> Recurrence:
        """Return the cell unrolled over the shape of `x`: that of the call's last use, if it fits."""
        known: Recurrence | None = call.__dict__.get("cell")
        if known is None or known.shape != x.shape or known.keep != keep:
            known = call.cell = self.recurrence(x.shape, self.n_units, keep, call.empty, call.scratch)
        return known

    def _batch_first(self, y: Array, call: Call) -> Array:  # y (T, N, O)
        if not self.return_sequences:
            out = call.empty("y", y.shape[1:])
            np.copyto(out, y[0])
        else:
            out = call.empty("y", (y.shape[1], y.shape[0], y.shape[2]))
            np.copyto(out, y.transpose(1, 0, 2))
        return out

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        steps, features = input_shape
        gates = 2 * steps * (features + self.n_units) * self.recurrence.gates * self.n_units
        rows = steps if self.return_sequences else 1
        return gates + (2 * rows * self.n_units * output_shape[-1] if self.projects else 0)

    def backward_flops(self, input_shape: Shape, output_shape: Shape, needs_dx: bool) -> int:
        """Return those of backward: only the product with the input is spared where no input gradient is needed."""
        steps, features = input_shape
        on_input = 2 * steps * features * self.recurrence.gates * self.n_units
        trained = any(parameter.trainable for parameter in self.parameters)
        return (1 + trained) * self.flops(input_shape, output_shape) - (0 if needs_dx else on_input)


class RNN(Recurrent):  # type: ignore[misc]  # the fields with defaults are the base's
    """Simple recurrent layer: ``h_t = tanh(x_t W + h_{t-1} U + b)`` (Elman 1990); see `Recurrent` for the arguments."""

    captures = True
    recurrence: ClassVar = SimpleRecurrence
    states: ClassVar = staticmethod(ops.simple_rnn)

    if TYPE_CHECKING:  # the base has some of the fields by keyword, this class by position

        def __init__(self, n_units: int, input_shape: Any = None, trainable: bool = True, **options: Any) -> None: ...


class LSTM(Recurrent):  # type: ignore[misc]
    """Long short-term memory: ``c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t)``; see `Recurrent` for the arguments.

    ``i, f, o = sigmoid(x_t W + h_{t-1} U + b)``, ``g = tanh(...)``; the columns of W, U and b come in the order
    i, f, g, o (Hochreiter & Schmidhuber 1997; the forget gate is of Gers et al. 2000).

    Parameters
    ----------
    forget_bias
        The initial bias of the forget gate, so that the cell remembers at first (Jozefowicz et al. 2015). ``None`` or
        ``False`` leaves it to `bias_initializer`, as Keras' ``unit_forget_bias=False`` does; ``True`` is 1.
    """

    forget_bias: Any = 1.0
    aliases: ClassVar = {**Recurrent.aliases, "unit_forget_bias": "forget_bias"}

    captures = True
    recurrence: ClassVar = LSTMRecurrence
    states: ClassVar = staticmethod(ops.lstm)

    if TYPE_CHECKING:  # the base has some of the fields by keyword, this class by position

        def __init__(self, n_units: int, input_shape: Any = None, trainable: bool = True, **options: Any) -> None: ...

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.forget_bias, bool | np.bool_):
            self.forget_bias = 1.0 if self.forget_bias else None
        if self.forget_bias is not None:
            if not isinstance(self.forget_bias, Real):
                raise ArgumentTypeError(f"LSTM: forget_bias is a number; received {self.forget_bias!r}.")
            require(self, forget_bias="(-inf, inf)")

    @property
    def initial_bias(self) -> Initializer:
        bias = super().initial_bias
        return bias if self.forget_bias is None else GateByGate(bias, 4, {1: Constant(self.forget_bias)})


class GRU(Recurrent):  # type: ignore[misc]
    """Gated recurrent unit: ``h_t = z * h_{t-1} + (1 - z) * tanh(x_t W + (r * h_{t-1}) U + b)``; see `Recurrent`.

    ``z, r = sigmoid(x_t W + h_{t-1} U + b)``; the columns of W, U and b come in the order z, r, h (Cho et al. 2014;
    Keras' ``reset_after=False``).
    """

    captures = True
    recurrence: ClassVar = GRURecurrence
    states: ClassVar = staticmethod(ops.gru)

    if TYPE_CHECKING:  # the base has some of the fields by keyword, this class by position

        def __init__(self, n_units: int, input_shape: Any = None, trainable: bool = True, **options: Any) -> None: ...


class GateByGate(Initializer):
    """Draws the columns of each gate by themselves, those of some gates by initializers of their own."""

    initializer: Any
    gates: int
    others: Any = None

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        inner, others = get_initializer(self.initializer), self.others or {}
        part = (*shape[:-1], shape[-1] // self.gates)
        drawn = (others.get(gate, inner)(part, rng, (fans[0], part[-1])) for gate in range(self.gates))
        return np.concatenate(list(drawn), axis=-1)


def _whole(layer: Layer, name: str, value: Any, least: int) -> int:
    value = 0 if value is False else value
    if not is_whole(value, least):
        raise ArgumentError(
            f"{layer.described}: {name} has to be a whole number of at least {least}, received {value!r}."
        )
    return int(value)
