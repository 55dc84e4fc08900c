"""The convolution layer."""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import miniDLF.ops as ops
from miniDLF.core.call import Call, Shared
from miniDLF.core.layer import Layer
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.kernels.convolution import Convolution, arranged
from miniDLF.kernels.methods import choose_method, prepare_weights
from miniDLF.kernels.pooled import PooledConvolution
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.layers.activations import with_activation

__all__ = ["Conv2D", "channels_first", "image_shape", "pair", "warn_of_channels_last"]


class Conv2D(Layer):
    """Convolution of images: (N, C, H, W) -> (N, filters, OH, OW), ``OH = (H + 2 padding - kh) // stride + 1``.

    ``y[n, f, i, j] = bias[f] + sum over c, a, b of weight[f, c, a, b] x[n, c, i sy + a - py, j sx + b - px]``

    Parameters
    ----------
    filters
        Number of output channels.
    kernel
        Size of the window, one number or (height, width).
    stride
        Step of the window, one number or (down, right).
    padding
        Rows and columns of zeros on each side, one number or (rows, columns); ``"valid"`` is 0, and ``"same"`` pads so
        that the output has ``ceil(size / stride)`` rows and columns, an odd one below and to the right (as in Keras).
    activation
        Name of an activation that follows, as a layer of its own.
    use_bias
        Whether there is a bias; a batch normalisation right behind the layer would take it off again.
    weight_initializer
        Draws the kernels: by default Glorot's uniform form, the best in docs/initial_weights.md.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    ShapeError
        If the input is no image, or the window does not fit.
    """

    filters: int  # type: ignore[misc]  # the base has it by keyword, this class by position
    kernel: Any  # type: ignore[misc]
    stride: Any = 1
    padding: Any = 0
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

    label: ClassVar = "Conv2D"
    gives_away = True
    captures = True
    absorbs_enlarging = absorbs_pooling = False  # until the input's shape is known
    aliases: ClassVar = {
        "kernel_size": "kernel",
        "strides": "stride",
        "kernel_initializer": "weight_initializer",
        "kernel_regularizer": "weight_regularizer",
        "kernel_constraint": "weight_constraint",
    }

    if TYPE_CHECKING:  # the base has some of the fields by keyword, this class by position

        def __init__(
            self,
            filters: int,
            kernel: Any,
            stride: Any = 1,
            padding: Any = 0,
            input_shape: Any = None,
            trainable: bool = True,
            **options: Any,
        ) -> None: ...

    def __post_init__(self) -> None:
        self.filters = pair(self.filters, "Conv2D: filters", single=True)[0]
        self._kernel = pair(self.kernel, "Conv2D: kernel")
        self._stride = pair(self.stride, "Conv2D: stride")
        self._padding: tuple[int, int] | None = (0, 0)
        if not isinstance(self.padding, str):
            self._padding = pair(self.padding, "Conv2D: padding", least=0)
        elif self.padding.lower() == "same":
            self._padding = None
        elif self.padding.lower() != "valid":
            raise ArgumentError(
                f"Conv2D: padding is a number, a pair of numbers, 'same' or 'valid'; received {self.padding!r}."
            )

    def build(self, input_shape: Shape) -> Shape:
        channels, height, width = image_shape(self, input_shape, ", or use Dense")
        window = self._window(height, width)
        output = window.positions(height, width)
        if min(output) < 1:
            rows, columns = height + sum(window.padding[:2]), width + sum(window.padding[2:])
            raise ShapeError(
                f"{self.described} has a window of {self._kernel[0]} x {self._kernel[1]}, larger than its padded input "
                f"of {rows} x {columns} (input_shape {tuple(input_shape)}). Use a smaller kernel or more padding, "
                f"or fewer layers that shrink the image before it.{channels_first(input_shape)}"
            )
        warn_of_channels_last(self)
        self.weight = self.parameter(
            "weight",
            (self.filters, channels, *self._kernel),
            self.weight_initializer,
            regularizer=self.weight_regularizer,
            constraint=self.weight_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.parameter(
                "bias",
                (self.filters,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self._method = choose_method(self._kernel, self._stride, channels, self.filters)
        # Winograd's method saves more than a convolution of the small image would.
        self.absorbs_enlarging = self._stride == (1, 1) and self._method != "winograd"
        self.absorbs_pooling = self._method == "direct"
        return (self.filters, *output)

    def call(self, x: Any) -> Any:  # x (N, C, H, W)
        y = ops.conv2d(x, self.weight, self._stride, "same" if self._padding is None else self._padding)
        return y if self.bias is None else y + np.reshape(self.bias, (-1, 1, 1))

    def prepare(self, shared: Shared) -> None:
        shared.matrices = prepare_weights(self._method, self.weight.value, shared.training, shared.empty)

    def forward(self, x: Array, call: Call) -> Array:  # x (N, C, H, W)
        convolution = call.convolution = call.once(arranged(x, call.empty), self._convolution)
        bias = self.bias.value if self.bias is not None else call.zeros("bias", (self.filters,))
        y: Array = convolution.run(self.weight.value, bias, call.shared.matrices)
        return y  # (N, F, OH, OW)

    def backward(self, dy: Array, call: Call) -> Array | None:  # dy (N, F, OH, OW)
        dweight = call.grad(self.weight)
        dbias = call.grad(self.bias) if self.bias is not None else call.scratch("dbias", (self.filters,))
        empty = call.empty if call.needs_dx else None
        dx: Array | None = call.convolution.backward(dy, self.weight.value, call.shared.matrices, dweight, dbias, empty)
        return dx

    def _convolution(self, x: Array, call: Call) -> Convolution | PooledConvolution:
        (down, across), (height, width) = call.enlarges, x.shape[2:]
        window, shape = self._window(height * down, width * across), self.weight.shape
        if call.pools is not None:
            pools, keeps = call.pools, call.keeps
            return PooledConvolution(x, shape, self._method, window, pools, keeps, call.empty, call.scratch)
        return Convolution(x, shape, self._method, window, call.empty, call.scratch, call.enlarges)

    def parts(self) -> tuple[Layer, ...]:
        return with_activation(self, self.activation)

    def flops(self, input_shape: Shape, output_shape: Shape) -> int:
        filters, height, width = output_shape
        return 2 * filters * height * width * input_shape[0] * self._kernel[0] * self._kernel[1]

    def _window(self, height: int, width: int) -> Window:
        return window_on((height, width), self._kernel, self._stride, self._padding)


@functools.lru_cache(maxsize=256)
def window_on(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int] | None
) -> Window:
    """Return the window with its padding on images of `size`; ``None`` is "same", which depends on it."""
    if padding is not None:
        rows, columns = padding
        return Window(kernel, stride, (rows, rows, columns, columns))
    sides = []
    for length, reach, step in zip(size, kernel, stride, strict=True):
        total = max((-(-length // step) - 1) * step + reach - length, 0)
        sides += [total // 2, total - total // 2]
    top, bottom, left, right = sides
    return Window(kernel, stride, (top, bottom, left, right))


def pair(value: Any, where: str, *, least: int = 1, single: bool = False) -> tuple[int, int]:
    """Return `value`, a whole number or two of them, as two.

    Raises
    ------
    ArgumentTypeError
        If it is neither.
    ArgumentError
        If a number is less than `least`.
    """
    expected = f"a whole number{'' if single else ' or a pair of them'}, at least {least}"
    items = value if isinstance(value, tuple | list) and len(value) == 2 and not single else (value, value)
    try:
        numbers = [operator.index(item) for item in items]
    except TypeError:
        raise ArgumentTypeError(f"{where} is {expected}; received {value!r}.") from None
    if min(numbers) < least:
        raise ArgumentError(f"{where} is {expected}; received {value!r}.")
    return numbers[0], numbers[1]


def image_shape(layer: Layer, input_shape: Shape, instead: str = "") -> tuple[int, int, int]:
    """Return (channels, height, width), or say that `input_shape` is no image and what to do.

    Raises
    ------
    ShapeError
        If `input_shape` does not have three axes, or an axis is empty.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        received = {1: "a vector", 2: "a sequence or an image without channels"}.get(len(shape), "a shape")
        first = "Reshape((channels, height, width))" if len(shape) != 2 else f"Reshape((1, {shape[0]}, {shape[1]}))"
        raise ShapeError(
            f"{layer.described} expects images (channels, height, width), received {received} {shape}. "
            f"Put {first} before it{instead}."
        )
    if min(shape) < 1:
        raise ShapeError(f"{layer.described} expects images of at least one channel, row and column, received {shape}.")
    return shape[0], shape[1], shape[2]


def channels_first(shape: Any) -> str:
    """Return what to write instead of a shape that looks like channels-last images, or an empty string."""
    if not isinstance(shape, Sequence) or len(shape) != 3 or shape[2] not in (1, 3, 4):
        return ""
    rows, columns, channels = shape
    square = rows == columns > channels
    return f" Images are channels-first: input_shape=({channels}, {rows}, {columns})." if square else ""


def warn_of_channels_last(layer: Layer) -> None:
    """Warn where a layer's own ``input_shape`` fits it, but is most likely meant to be channels-last."""
    shape = layer.input_shape
    advice = channels_first(shape)
    if shape and advice:
        message = f"{layer.described}: input_shape={shape} means {shape[0]} channels.{advice}"
        warnings.warn(message, UserWarning, stacklevel=2)
