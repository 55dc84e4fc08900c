"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from miniDLF.core.call import Call, Shared
from miniDLF.core.layer import Layer
from miniDLF.core.parameter import Parameter
from miniDLF.errors import ShapeError
from miniDLF.kernels.elementwise import ones
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.layers.activations import with_activation
from miniDLF.layers.convolution import pair
from miniDLF.layers.normalization import BatchNormalization
from miniDLF.layers.recurrent import Recurrent
from miniDLF.layers.shaping import Reshape

__all__ = ["Dense"]


class Dense(Layer):
    """Fully connected: ``y = x @ weight + bias``, (N, D) -> (N, size).

    Parameters
    ----------
    size
        Number of units.
    activation
        Name of an activation that follows, as a layer of its own.
    use_bias
        Whether there is a bias; a normalisation right behind the layer would take it off again.
    weight_initializer
        Draws the matrix: by default Glorot's uniform form, the best in docs/initial_weights.md.
    """

    size: int  # type: ignore[misc]  # see below
    input_shape: Shape | None = None
    trainable: bool = True
    activation: Any = None
    use_bias: bool = True
    weight_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    weight_regularizer: Any = None
    bias_regularizer: Any = None
    weight_constraint: Any = None
    bias_constraint: Any = None

    gives_away = True
    captures = True
    aliases: ClassVar = {
        "units": "size",
        "kernel_initializer": "weight_initializer",
        "kernel_regularizer": "weight_regularizer",
        "kernel_constraint": "weight_constraint",
    }

    if TYPE_CHECKING:  # the base has some of the fields by keyword, this class by position

        def __init__(self, size: int, input_shape: Any = None, trainable: bool = True, **options: Any) -> None: ...

    def __post_init__(self) -> None:
        self.size = pair(self.size, "Dense: size", single=True)[0]

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ShapeError(
                f"{self.described} expects vectors (features,), received {input_shape}. Put Flatten() before it."
            )
        (features,) = input_shape
        self.weight = self.parameter(
            "weight",
            (features, self.size),
            self.weight_initializer,
            regularizer=self.weight_regularizer,
            constraint=self.weight_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.parameter(
                "bias",
                (self.size,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        return (self.size,)

    def misfit(self, error: ShapeError, before: Sequence[Layer]) -> ShapeError:
        for layer in before:
            if isinstance(layer, Recurrent):
                kind = type(layer).__name__
                return ShapeError(
                    f"{self.described} expects vectors (features,), and {layer.described} gives one for each time step."
                    f" For the last of them write {kind}({layer.n_units}, return_sequences=False); {self.size} outputs "
                    f"for every step come from the layer's own projection, {kind}({layer.n_units}, "
                    f"output_units={self.size})."
                )
            if isinstance(layer, Reshape):
                break
        return error

    def parts(self) -> tuple[Layer, ...]:
        return with_activation(self, self.activation)

    def row_matrix(self) -> Parameter:
        return self.weight

    def call(self, x: Any) -> Any:
        y = x @ self.weight  # (N, D) @ (D, U) -> (N, U)
        return y if self.bias is None else y + self.bias

    def forward(self, x: Array, call: Call) -> Array:  # x (N, D)
        call.x = x
        y = x.dot(self.weight.value, call.empty("y", (len(x), self.size)))  # (N, D) @ (D, U) -> (N, U)
        return y if self.bias is None else np.add(y, self.bias.value[np.newaxis], y)  # as a row: 0.5 us less for N = 1

    def backward(self, dy: Array, call: Call) -> Array | None:  # dy (N, U)
        call.product_over_rows(call.x, dy, self.weight)  # (D, N) @ (N, U) -> (D, U)
        if self.bias is not None:
            dy.T.dot(ones(len(dy), dy.dtype), call.grad(self.bias))  # (U, N) @ (N,) -> (U,)
        if not call.needs_dx:
            return None
        return dy.dot(self.weight.value.T, call.empty("dx", call.x.shape))  # (N, U) @ (U, D) -> (N, D)

    def folded(self, before: Layer) -> Layer | None:
        return _NormalisedDense(before, self) if type(before) is BatchNormalization else None

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        return 2 * input_shape[0] * self.size


class _NormalisedDense(Layer):
    """A batch normalisation and a dense layer in inference, as one: ``(x s + t) W + b = x (s W) + (t W + b)``."""

    gives_away = True
    captures = True

    def __init__(self, normalisation: BatchNormalization, dense: Dense) -> None:
        super().__init__(name=dense.name)
        self._normalisation, self._dense = normalisation, dense

    def prepare(self, shared: Shared) -> None:
        weight, bias = self._dense.weight.value, self._dense.bias
        self._normalisation.prepare(shared)  # leaves scale and shift
        shared.weight = np.multiply(weight, shared.scale[:, np.newaxis], out=shared.empty("weight", weight.shape))
        shared.bias = np.matmul(shared.shift, weight, out=shared.empty("bias", weight.shape[1:]))
        if bias is not None:
            np.add(shared.bias, bias.value, out=shared.bias)

    def forward(self, x: Array, call: Call) -> Array:  # x (N, D)
        y = x.dot(call.shared.weight, call.empty("y", (len(x), self._dense.size)))  # (N, D) @ (D, U) -> (N, U)
        return np.add(y, call.shared.bias[np.newaxis], out=y)
