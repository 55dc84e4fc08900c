"""Convolutions by the kernels of the shapes: im2col, Winograd's method, few filters, batch-last memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from miniDLF.engine.lowering.base import Call, Scratch, lowers
from miniDLF.kernels.convolution import Convolution
from miniDLF.kernels.im2col import im2col_backward
from miniDLF.kernels.methods import choose_method, prepare_weights
from miniDLF.kernels.windows import Window
from miniDLF.kernels.workspace import Array, Workspace
from miniDLF.ops import images

__all__: list[str] = []


@lowers(images.Convolution)
def _convolution(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call] | None:
    x, weight = inputs
    return _convolve(x, weight, primitive.window, out) if out.size else None


@lowers(images.ConvolutionInputGradient)
def _input_gradient(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call] | None:
    """With steps of one it is a convolution with the kernels turned by half a circle."""
    dy, weight = inputs
    if primitive.window.stride != (1, 1) or not out.size:
        return None
    turned = np.empty((weight.shape[1], weight.shape[0], *weight.shape[2:]), weight.dtype)
    source = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return [(np.copyto, (turned, source)), *_convolve(dy, turned, primitive.window.mirrored(), out)]


@lowers(images.ConvolutionKernelGradient)
def _kernel_gradient(primitive: Any, inputs: Sequence[Array], out: Array, scratch: Scratch) -> list[Call] | None:
    x, dy = (array.transpose(0, 2, 3, 1) for array in inputs)
    if not (x.size and dy.size) or not out.flags.c_contiguous:
        return None
    lend = Workspace(out.dtype).empty
    return [(im2col_backward, (x, dy, out, out, None, primitive.window, lend))]


def _convolve(x: Array, weight: Array, window: Window, out: Array) -> list[Call]:
    """Return the calls that convolve by the method that suits the shapes, whose results lie channels-last.

    (Batch-last memory would save a third of the convolution of raw images, and cost more in copies to and from it.)
    """
    filters, channels, *kernel = weight.shape
    method = choose_method((kernel[0], kernel[1]), window.stride, channels, filters)
    empty, lend = Workspace(out.dtype).empty, Workspace(out.dtype).empty
    no_bias = np.zeros(filters, out.dtype)
    convolution = Convolution(x, weight.shape, method, window, empty, lend)

    def run(weight: Array, bias: Array) -> None:
        convolution.run(weight, bias, prepare_weights(method, weight, False, empty))

    return [(run, (weight, no_bias)), (np.copyto, (out, convolution.y))]
