"""A physics-informed network: a damped oscillator that is known by its differential equation alone.

``u'' + 2 d u' + w^2 u = 0`` with ``u(0) = 1`` and ``u'(0) = 0``. A network u(t) is trained to fulfil the equation at
random times; it never sees the solution. The derivatives with respect to t come from `gradient`, the second from the
gradient of the first, and every step takes a third one, with respect to the weights.

As it stands, 5000 steps, it takes 2 to 4 seconds and ends within 0.0006 of the exact solution, whose amplitude is 1.
"""

from __future__ import annotations

import argparse

import numpy as np

from miniDLF import Variable, function, gradient
from miniDLF.optimizers import Adam
from miniDLF.optimizers.schedules import CosineDecay

DAMPING, FREQUENCY = 0.5, 4.0
END = 4.0


def exact(t):
    """Return the solution: a cosine and a sine that fade."""
    w = np.sqrt(FREQUENCY**2 - DAMPING**2)
    return np.exp(-DAMPING * t) * (np.cos(w * t) + DAMPING / w * np.sin(w * t))


def network(units, rng):
    """Return the weights of 1 -> units -> units -> 1, and the function u(t) of tensors (N, 1)."""
    sizes = [(1, units), (units, units), (units, 1)]
    matrices = [Variable(rng.normal(size=size) / np.sqrt(size[0]), name=f"w{n}") for n, size in enumerate(sizes)]
    offsets = [Variable(rng.uniform(-1, 1, size[1]), name=f"b{n}") for n, size in enumerate(sizes)]

    def u(t):
        h = 2 * t / END - 1  # -1 to 1
        for w, b in zip(matrices[:-1], offsets[:-1], strict=True):
            h = np.tanh(3 * (h @ w) + b) if w is matrices[0] else np.tanh(h @ w + b)
        return 1 + t**2 / (1 + t**2) * (h @ matrices[-1] + offsets[-1])  # u(0) = 1, u'(0) = 0 whatever the weights are

    return [*matrices, *offsets], u


def main(steps=5000, points=64, units=32, seed=0, verbose=True):
    """Train; return the largest error on a fine grid."""
    rng = np.random.default_rng(seed)
    weights, u = network(units, rng)
    optimizer = Adam(CosineDecay(0.01, steps))

    @function
    def step(times):
        value = u(times)
        speed = gradient(value, times)
        acceleration = gradient(speed, times)
        residual = acceleration + 2 * DAMPING * speed + FREQUENCY**2 * value
        loss = np.mean(residual**2) / FREQUENCY**4
        optimizer.apply_gradients(zip(gradient(loss, weights), weights, strict=True))
        return loss

    for number in range(1, steps + 1):
        loss = step(rng.uniform(0, END, (points, 1)))
        if verbose and number % max(steps // 10, 1) == 0:
            print(f"step {number:>5}  loss {float(loss):.2e}")
    grid = np.linspace(0, END, 401)[:, None]
    error = float(np.max(np.abs(function(u)(grid).numpy() - exact(grid))))
    if verbose:
        print(f"largest error against the exact solution: {error:.1e}")
    return error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
