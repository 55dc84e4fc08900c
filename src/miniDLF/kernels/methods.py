"""Which method a convolution takes, from its shapes alone, and its weights in the order that the method needs."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from miniDLF.kernels.batch_last import batch_last_weights
from miniDLF.kernels.blas import multiplies_in_place
from miniDLF.kernels.few_filters import few_filters_weights
from miniDLF.kernels.im2col import im2col_weights
from miniDLF.kernels.winograd import winograd_weights, winograd_weights_mirrored
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["Lend", "Matrices", "Method", "choose_method", "prepare_weights"]

#: Up to so many filters `few_filters` is faster than `batch_last`.
FEW_FILTERS = 4
#: Winograd's method takes at least so many channels and filters; and where BLAS packs small matrices.
FEWEST_CHANNELS, FEWEST_CHANNELS_PACKED = 16, 32

Method = Literal["winograd", "few_filters", "direct"]


class Lend(Protocol):
    """Lends memory that stays: ``empty(name, shape)``."""

    def __call__(self, name: str, shape: Shape) -> Array: ...


class Matrices(NamedTuple):
    """The weights in the order that a method multiplies with; made once a step.

    `forward` serves batches in batch-last memory, `few` smaller ones in channels-last memory. (Winograd's serves both.)
    """

    method: Method
    forward: Array
    few: Array
    backward: Array | None


def choose_method(kernel: tuple[int, int], stride: tuple[int, int], channels: int, filters: int) -> Method:
    """Return the fastest method, a function of the shapes alone.

    Winograd's transforms are products with blocks of (6, channels), too small for BLAS below 16 channels: forward and
    backward of 64 images 28x28, 16 -> 16: 5.2 ms, im2col 5.9; 14x14, 16 -> 8: 1.34 and 0.87; 32 images 32 -> 32 at
    32x32: 5.7 and 10.5; 64 -> 128 at 8x8: 1.6 and 4.5. Where BLAS packs, below 32: 32 images 28x28, 16 -> 16: 22.6 ms,
    im2col 12.3; 32 -> 64 at 16x16: 11.6 and 18.6.
    """
    fewest = FEWEST_CHANNELS if multiplies_in_place() else FEWEST_CHANNELS_PACKED
    if kernel == (3, 3) and stride == (1, 1) and min(channels, filters) >= fewest:
        return "winograd"
    return "few_filters" if filters <= FEW_FILTERS and stride == (1, 1) and kernel != (1, 1) else "direct"


def prepare_weights(method: Method, weight: Array, training: bool, empty: Lend) -> Matrices:
    """Order the weights (F, C, kh, kw) as `method` needs them; those for backward only in training."""
    filters, channels, kh, kw = weight.shape
    if method == "winograd":
        forward = winograd_weights(weight, empty("forward", (36, channels, filters)), empty)
        if not training:
            return Matrices(method, forward, forward, None)
        backward = empty("backward", (36, filters, channels))
        return Matrices(method, forward, forward, winograd_weights_mirrored(weight, backward, empty))
    few = im2col_weights(weight, empty("few", (kh * kw * channels, filters)))
    if method == "few_filters":
        return Matrices(method, few_filters_weights(weight, empty("forward", (kh * kw * filters, channels))), few, None)
    return Matrices(method, batch_last_weights(weight, empty("forward", (filters, kw * kh * channels))), few, None)
