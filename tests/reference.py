"""The image kernels as their definitions say them: plain loops, slow and obvious."""

from __future__ import annotations

import numpy as np

__all__ = ["conv2d", "conv2d_gradients", "pool2d", "pool2d_gradient"]


def _padded(x, padding):
    top, bottom, left, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


def conv2d(x, weight, bias, stride=(1, 1), padding=(0, 0, 0, 0)):
    """Convolve x (N, C, H, W) with weight (F, C, kh, kw); padding is (top, bottom, left, right)."""
    x = _padded(x, padding)
    count, _, height, width = x.shape
    filters, _, kh, kw = weight.shape
    oh, ow = (height - kh) // stride[0] + 1, (width - kw) // stride[1] + 1
    y = np.empty((count, filters, oh, ow), x.dtype)
    for n in range(count):
        for f in range(filters):
            for i in range(oh):
                for j in range(ow):
                    a, b = i * stride[0], j * stride[1]
                    y[n, f, i, j] = np.sum(x[n, :, a : a + kh, b : b + kw] * weight[f]) + bias[f]
    return y


def conv2d_gradients(x, weight, dy, stride=(1, 1), padding=(0, 0, 0, 0)):
    """Return dx, dweight and dbias of `conv2d`, by the product rule term by term."""
    top, bottom, left, right = padding
    x = _padded(x, padding)
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(weight[:, 0, 0, 0])
    kh, kw = weight.shape[2:]
    for n, f, i, j in np.ndindex(*dy.shape):
        a, b = i * stride[0], j * stride[1]
        dx[n, :, a : a + kh, b : b + kw] += dy[n, f, i, j] * weight[f]
        dweight[f] += dy[n, f, i, j] * x[n, :, a : a + kh, b : b + kw]
        dbias[f] += dy[n, f, i, j]
    return dx[:, :, top : dx.shape[2] - bottom, left : dx.shape[3] - right], dweight, dbias


def pool2d(x, size, stride, mode):
    """Return the largest value, the mean or the sum of every window of x (N, C, H, W)."""
    count, channels, height, width = x.shape
    oh, ow = (height - size[0]) // stride[0] + 1, (width - size[1]) // stride[1] + 1
    y = np.empty((count, channels, oh, ow), x.dtype)
    for n, c, i, j in np.ndindex(*y.shape):
        window = x[n, c, i * stride[0] : i * stride[0] + size[0], j * stride[1] : j * stride[1] + size[1]]
        y[n, c, i, j] = {"max": np.max, "avg": np.mean, "sum": np.sum}[mode](window)
    return y


def pool2d_gradient(x, dy, size, stride, mode):
    """Return dx of `pool2d`; the gradient of a maximum goes to the first of the largest, row by row."""
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(*dy.shape):
        a, b = i * stride[0], j * stride[1]
        window = x[n, c, a : a + size[0], b : b + size[1]]
        if mode == "max":
            row, column = np.unravel_index(np.argmax(window), window.shape)
            dx[n, c, a + row, b + column] += dy[n, c, i, j]
        else:
            dx[n, c, a : a + size[0], b : b + size[1]] += dy[n, c, i, j] / (window.size if mode == "avg" else 1)
    return dx
