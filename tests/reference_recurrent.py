"""The recurrent cells as their papers write them: one step and one gate after the other, nothing shared or fused."""

from __future__ import annotations

import numpy as np

__all__ = ["CELLS", "gru", "lstm", "rnn"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rnn(x, w, u, b):
    """States (T, N, H) of the simple recurrent cell for x (N, T, D)."""
    h = np.zeros((len(x), len(u)))
    states = []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ w + h @ u + b)
        states.append(h)
    return np.array(states)


def lstm(x, w, u, b):
    """States (T, N, H) of the long short-term memory; gates i, f, g, o."""
    units = len(u)
    h = c = np.zeros((len(x), units))
    states = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ w + h @ u + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def gru(x, w, u, b):
    """States (T, N, H) of the gated recurrent unit; gates z, r, h; the reset gate acts before the product."""
    units = len(u)
    (wz, wr, wh), (uz, ur, uh), (bz, br, bh) = (np.split(a, 3, axis=-1) for a in (w, u, b))
    h = np.zeros((len(x), units))
    states = []
    for t in range(x.shape[1]):
        z = sigmoid(x[:, t] @ wz + h @ uz + bz)
        r = sigmoid(x[:, t] @ wr + h @ ur + br)
        candidate = np.tanh(x[:, t] @ wh + (r * h) @ uh + bh)
        h = z * h + (1 - z) * candidate
        states.append(h)
    return np.array(states)


CELLS = {"rnn": rnn, "lstm": lstm, "gru": gru}
