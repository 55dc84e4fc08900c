"""Initial values of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from miniDLF.core.configurable import Configurable, resolve
from miniDLF.kernels.workspace import Array, Shape

__all__ = ["CHOICES", "HeNormal", "Initializer", "Normal", "Ones", "Orthogonal", "Zeros", "get_initializer"]


class Initializer(Configurable):
    """Gives the initial value of a parameter: ``initializer(shape, rng, fans)``."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        """Return a float64 array of `shape`, drawn from `rng`; `fans` are (inputs, outputs) of one unit."""
        raise NotImplementedError


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return np.ones(shape)


class Normal(Initializer):
    """Normal(mean, stddev)."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


class HeNormal(Initializer):
    """Normal(0, sqrt(2 / fan_in)) (He et al. 2015, equation 10)."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return rng.normal(0.0, np.sqrt(2.0 / fans[0]), shape)


class Orthogonal(Initializer):
    """Random orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al. 2014)."""

    gain: float = 1.0

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        rows, columns = shape[0], int(np.prod(shape[1:]))
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # make the factor unique, so that the distribution is uniform (Mezzadri 2007)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


CHOICES: dict[str, Any] = {
    "zeros": Zeros,
    "ones": Ones,
    "normal": Normal,
    "he_normal": HeNormal,
    "orthogonal": Orthogonal,
}


def get_initializer(value: Any) -> Initializer:
    """Return the initializer that `value` is or names."""
    return resolve(value, CHOICES, "initializer", Initializer)
