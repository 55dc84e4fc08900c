"""A described network as functions of JAX. Images are (N, H, W, C), which XLA's convolutions on the CPU work in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import networks as n

__all__ = ["adam", "forward", "initial", "loss_of"]


def initial(layers: Sequence[n.Layer], shape: n.Shape) -> tuple[list[Any], list[Any]]:
    """Return the parameters and the running statistics, one entry a layer."""
    rng = np.random.default_rng(0)

    def matrix(*size: int) -> Any:
        return jnp.asarray(rng.normal(0, (2 / np.prod(size[:-1])) ** 0.5, size), jnp.float32)

    parameters: list[Any] = []
    statistics: list[Any] = []
    for layer in layers:
        entry: dict[str, Any] = {}
        running: dict[str, Any] = {}
        match layer:
            case n.Dense(units):
                entry = {"w": matrix(shape[-1], units), "b": jnp.zeros(units)}
            case n.Conv(filters, kernel):
                entry = {"w": matrix(*kernel, shape[0], filters), "b": jnp.zeros(filters)}
            case n.BatchNorm():
                entry = {"gamma": jnp.ones(shape[0]), "beta": jnp.zeros(shape[0])}
                running = {"mean": jnp.zeros(shape[0]), "variance": jnp.ones(shape[0])}
            case n.Recurrent(kind, units):
                width = n.GATES[kind] * units
                entry = {
                    "w": matrix(shape[-1], width),
                    "u": matrix(units, width) * 0.5,
                    "b": jnp.zeros(width),
                    "v": matrix(units, shape[-1]),
                    "c": jnp.zeros(shape[-1]),
                }
        parameters.append(entry)
        statistics.append(running)
        shape = layer.output(shape)
    return parameters, statistics


def forward(
    layers: Sequence[n.Layer], parameters: list[Any], statistics: list[Any], x: Any, key: Any, unroll: int
) -> tuple[Any, list[Any]]:
    """Return the logits and the new statistics; ``key=None`` means inference."""
    new = list(statistics)
    for number, (layer, p) in enumerate(zip(layers, parameters, strict=True)):
        match layer:
            case n.Dense():
                x = x @ p["w"] + p["b"]
            case n.Conv(_, _, stride, padding):
                x = lax.conv_general_dilated(
                    x, p["w"], (stride, stride), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                x = x + p["b"]
            case n.Pool(size, mode):
                x = _pool(x, size, mode)
            case n.UpSample(size):
                rows, h, w, c = x.shape
                x = jnp.broadcast_to(x[:, :, None, :, None], (rows, h, size, w, size, c))
                x = x.reshape(rows, h * size, w * size, c)
            case n.Flatten():
                x = x.reshape(len(x), -1)
            case n.Dropout(rate):
                if key is not None:
                    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, x.shape)
                    x = jnp.where(kept, x / (1 - rate), 0)
            case n.BatchNorm():
                x, new[number] = _normalise(x, p, statistics[number], key is not None)
            case n.Activation(kind):
                x = jax.nn.relu(x) if kind == "relu" else jax.nn.leaky_relu(x, 1e-4)
            case n.Recurrent(kind):
                x = _recurrent(kind, x, p, unroll)
            case _:
                raise TypeError(f"no function for {layer}")
    return x, new


def _pool(x: Any, size: int, mode: str) -> Any:
    """Pool by a reshape: its gradient is elementwise, where that of a window reduction is a scatter."""
    rows, h, w, c = x.shape
    x = x[:, : h // size * size, : w // size * size]
    x = x.reshape(rows, h // size, size, w // size, size, c)
    return x.max((2, 4)) if mode == "max" else x.mean((2, 4))


def _normalise(x: Any, p: Any, running: Any, training: bool) -> tuple[Any, Any]:
    if training:
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        variance = (x * x).mean(axes) - mean * mean
        running = {
            "mean": 0.9 * running["mean"] + 0.1 * mean,
            "variance": 0.9 * running["variance"] + 0.1 * variance,
        }
    else:
        mean, variance = running["mean"], running["variance"]
    scale = p["gamma"] * lax.rsqrt(variance + 1e-5)
    return x * scale + (p["beta"] - mean * scale), running


def _recurrent(kind: str, x: Any, p: Any, unroll: int) -> Any:
    """Run over time: (N, T, D) -> (N, T, D). The input's products, and the projection, are one product each."""
    units = p["u"].shape[0]
    inputs = jnp.swapaxes(x, 0, 1) @ p["w"] + p["b"]  # (T, N, G H)
    h = jnp.zeros((len(x), units), x.dtype)

    def rnn(h: Any, a: Any) -> Any:
        h = jnp.tanh(a + h @ p["u"])
        return h, h

    def gru(h: Any, a: Any) -> Any:
        gates = jax.nn.sigmoid(a[:, : 2 * units] + h @ p["u"][:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        candidate = jnp.tanh(a[:, 2 * units :] + (r * h) @ p["u"][:, 2 * units :])
        h = z * h + (1 - z) * candidate
        return h, h

    def lstm(carry: Any, a: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(a + h @ p["u"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    cell: Any = {"rnn": rnn, "gru": gru, "lstm": lstm}[kind]
    _, states = lax.scan(cell, (h, h) if kind == "lstm" else h, inputs, unroll=unroll)
    return jnp.swapaxes(states @ p["v"] + p["c"], 0, 1)


def loss_of(kind: str, logits: Any, target: Any) -> Any:
    """Return the loss, fused with the last activation. Labels meet the logits as one-hot vectors: a scatter is slow."""
    if kind == "bce":
        return jnp.mean(jax.nn.softplus(logits) - target * logits)
    likelihood = jax.nn.log_softmax(logits) * jax.nn.one_hot(target, logits.shape[-1], dtype=logits.dtype)
    return -likelihood.sum() / len(logits)


def adam(parameters: Any, gradient: Any, first: Any, second: Any, count: Any) -> tuple[Any, Any, Any]:
    """Return parameters and moments after one step of Adam (Kingma and Ba 2015, algorithm 1)."""
    b1, b2, rate, epsilon = 0.9, 0.999, 1e-3, 1e-7
    first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradient)
    alpha = rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)
    parameters = jax.tree.map(lambda p, m, v: p - alpha * m / (jnp.sqrt(v) + epsilon), parameters, first, second)
    return parameters, first, second
