"""Recurrent networks over time: formulas of a step each, carried through sequences by `scan`.

What the inputs and the bias bring is computed for all steps at once; only the product with the previous state is in the
loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from miniDLF.errors import ShapeError
from miniDLF.ops.arguments import floating
from miniDLF.ops.exponentials import sigmoid
from miniDLF.ops.loops import scan
from miniDLF.tensor.tensor import Tensor

__all__ = ["gru", "lstm", "simple_rnn"]


def simple_rnn(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Tensor:
    """Return the states ``h_t = tanh(x_t W + h_{t-1} U + b)`` from zero on: (N, T, D) -> (N, T, H) (Elman 1990).

    Parameters
    ----------
    kernel, recurrent_kernel, bias
        W (D, H), U (H, H) and b (H,).
    """

    def step(h, z, u):
        return (np.tanh(z + h[0] @ u),)

    return _unrolled("simple_rnn", step, 1, 1, x, kernel, recurrent_kernel, bias)


def lstm(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Tensor:
    """Return the states of a long short-term memory from zero on: (N, T, D) -> (N, T, H).

    ``i, f, o = sigmoid(x_t W + h_{t-1} U + b)``, ``g = tanh(...)``, ``c_t = f * c_{t-1} + i * g``,
    ``h_t = o * tanh(c_t)`` (Hochreiter & Schmidhuber 1997).

    Parameters
    ----------
    kernel, recurrent_kernel, bias
        W (D, 4 H), U (H, 4 H) and b (4 H,), with the columns of i, f, g, o.
    """

    def step(carry, z, u):
        h, c = carry
        i, f, g, o = np.split(z + h @ u, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return _unrolled("lstm", step, 4, 2, x, kernel, recurrent_kernel, bias)


def gru(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Tensor:
    """Return the states of a gated recurrent unit from zero on: (N, T, D) -> (N, T, H).

    ``z, r = sigmoid(x_t W + h_{t-1} U + b)``, ``h_t = z * h_{t-1} + (1 - z) * tanh(x_t W + (r * h_{t-1}) U + b)``
    (Cho et al. 2014).

    Parameters
    ----------
    kernel, recurrent_kernel, bias
        W (D, 3 H), U (H, 3 H) and b (3 H,), with the columns of z, r, h.
    """

    def step(carry, x, u):
        (h,), units = carry, u.shape[0]
        z, r = np.split(sigmoid(x[:, : 2 * units] + h @ u[:, : 2 * units]), 2, axis=-1)
        candidate = np.tanh(x[:, 2 * units :] + (r * h) @ u[:, 2 * units :])
        return (candidate + z * (h - candidate),)

    return _unrolled("gru", step, 3, 1, x, kernel, recurrent_kernel, bias)


def _unrolled(
    name: str, step: Callable[..., Any], gates: int, carries: int, x: Any, kernel: Any, recurrent: Any, bias: Any
) -> Tensor:
    x, w, u, b = floating(x, kernel, recurrent, bias)
    units = u.shape[0] if u.ndim == 2 else 0
    right = w.shape == (x.shape[-1], gates * units) and u.shape == (units, gates * units) and b.shape == w.shape[1:]
    if x.ndim != 3 or not right:
        raise ShapeError(
            f"{name}: expected x (N, T, D), kernel (D, {gates} H), recurrent_kernel (H, {gates} H) and bias "
            f"({gates} H,); received {x.shape}, {w.shape}, {u.shape} and {b.shape}."
        )
    z = np.swapaxes(x @ w + b, 0, 1)  # (T, N, G H)
    first = tuple(np.zeros((x.shape[0], units)) for _ in range(carries))

    def one(carry: Any, z: Any) -> Any:
        new = step(carry, z, u)
        return new, new[0]

    _, h = scan(one, first, z)
    return np.swapaxes(h, 0, 1)
