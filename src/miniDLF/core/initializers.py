"""Initial values of parameters, under Keras' names.

`fans` are the inputs and outputs of one unit. The normal forms of Glorot, He and Lecun draw from a plain normal
distribution, as in the papers and in PyTorch; Keras cuts theirs off at two standard deviations, which
``VarianceScaling(distribution="truncated_normal")`` gives.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from miniDLF.core.configurable import Configurable, resolve
from miniDLF.core.ranges import number, require, require_count
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError, nearest
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.whole import is_real

__all__ = [
    "CHOICES",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Ones",
    "Orthogonal",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Zeros",
    "get_initializer",
]

#: Standard deviation of a standard normal distribution cut off at -2 and 2.
TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Configurable):
    """Gives the initial value of a parameter: ``initializer(shape, rng, fans)``."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        """Return a float64 array of `shape`, drawn from `rng`; `fans` are (inputs, outputs) of one unit."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__()")


class Constant(Initializer):
    """Every element is `value`."""

    value: float = 0.0

    def __post_init__(self) -> None:
        require(self, value="(-inf, inf)")

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return np.full(shape, self.value)


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return np.ones(shape)


class Identity(Initializer):
    """`gain` on the diagonal, 0 elsewhere; for matrices."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        require(self, gain="(-inf, inf)")

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        if len(shape) != 2:
            raise ShapeError(f"Identity expects a matrix (rows, columns), received the shape {shape}. Use Orthogonal.")
        return self.gain * np.eye(*shape)


class RandomInitializer(Initializer):
    """Base of those that draw: from the model's stream, or, with `seed`, the same numbers whatever the model."""

    _: dataclasses.KW_ONLY
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None:
            require_count(self, "seed", least=0)

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return self.draw(shape, rng if self.seed is None else np.random.default_rng(self.seed), fans)

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        """Return a float64 array of `shape`, drawn from `rng`."""
        raise NotImplementedError(f"{type(self).__name__} has no draw()")


class Normal(RandomInitializer):
    """Normal(mean, stddev)."""

    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, mean="(-inf, inf)", stddev="[0, inf)")

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomInitializer):
    """Normal(mean, stddev) without what lies more than two `stddev` from the mean; that is drawn again."""

    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, mean="(-inf, inf)", stddev="[0, inf)")

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return self.mean + self.stddev * _truncated(shape, rng)


class Uniform(RandomInitializer):
    """Uniform(minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, minval="(-inf, inf)", maxval="(-inf, inf)")
        if self.maxval < self.minval:
            raise ArgumentError(
                f"Uniform: expected minval <= maxval, received {self.minval} and {self.maxval}. Exchange the two."
            )

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)


RandomNormal = Normal
RandomUniform = Uniform


class VarianceScaling(RandomInitializer):
    """Mean 0 and variance ``scale / n``, where ``n`` is the fan that `mode` names.

    Parameters
    ----------
    mode
        'fan_in', 'fan_out' or 'fan_avg'.
    distribution
        'truncated_normal' (cut off at two standard deviations of the uncut one), 'normal' (or 'untruncated_normal') or
        'uniform' (within ``sqrt(3 * scale / n)``).
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, scale="(0, inf)")
        for name, choices in (
            ("mode", ("fan_in", "fan_out", "fan_avg")),
            ("distribution", ("truncated_normal", "normal", "untruncated_normal", "uniform")),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ArgumentError(
                    f"VarianceScaling: {name} is one of {', '.join(map(repr, choices))}; received {value!r}."
                    f"{nearest(str(value), choices)}"
                )

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, self.scale, self.mode, self.distribution)


class GlorotNormal(RandomInitializer):
    """Normal(0, sqrt(2 / (fan_in + fan_out))) (Glorot & Bengio 2010, equation 12)."""

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, 1.0, "fan_avg", "normal")


class GlorotUniform(RandomInitializer):
    """Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16)."""

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, 1.0, "fan_avg", "uniform")


class HeNormal(RandomInitializer):
    """Normal(0, sqrt(2 / fan_in)) (He et al. 2015, equation 10)."""

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, 2.0, "fan_in", "normal")


class HeUniform(RandomInitializer):
    """Uniform within sqrt(6 / fan_in): the variance of `HeNormal` (He et al. 2015, equation 10)."""

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, 2.0, "fan_in", "uniform")


class LecunNormal(RandomInitializer):
    """Normal(0, sqrt(1 / fan_in)) (LeCun et al. 1998, "Efficient backprop", equation 16)."""

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, 1.0, "fan_in", "normal")


class LecunUniform(RandomInitializer):
    """Uniform within sqrt(3 / fan_in): the variance of `LecunNormal`."""

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        return _scaled(shape, rng, fans, 1.0, "fan_in", "uniform")


class Orthogonal(RandomInitializer):
    """Random orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al. 2014).

    Kernels (filters, channels, kh, kw) are taken as matrices (filters, channels * kh * kw).
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, gain="(-inf, inf)")

    def draw(self, shape: Shape, rng: np.random.Generator, fans: tuple[int, int]) -> Array:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal expects two axes or more, received the shape {shape}. Use HeNormal.")
        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # make the factor unique, so that the distribution is uniform (Mezzadri 2007)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


def _truncated(shape: Shape, rng: np.random.Generator) -> Array:
    """Draw from a standard normal distribution cut off at -2 and 2."""
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2.0]
    return values.reshape(shape)


def _scaled(
    shape: Shape, rng: np.random.Generator, fans: tuple[int, int], scale: float, mode: str, distribution: str
) -> Array:
    fan_in, fan_out = fans
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[mode]
    stddev = math.sqrt(scale / max(fan, 1.0))
    if distribution == "uniform":
        limit = math.sqrt(3.0) * stddev
        return rng.uniform(-limit, limit, shape)
    if distribution == "truncated_normal":
        return stddev / TRUNCATED_STDDEV * _truncated(shape, rng)
    return rng.normal(0.0, stddev, shape)


CHOICES: dict[str, Any] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "normal": Normal,
    "random_normal": Normal,
    "uniform": Uniform,
    "random_uniform": Uniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "xavier_normal": GlorotNormal,
    "xavier_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "orthogonal": Orthogonal,
    "identity": Identity,
}


def get_initializer(value: Any) -> Initializer:
    """Return the initializer that `value` is or names; a number means `Constant`."""
    if is_real(value):
        return Constant(number("initializer", "value", value, "(-inf, inf)"))
    if isinstance(value, np.ndarray):
        raise ArgumentTypeError(
            f"initializer: expected an Initializer, a name or a number, received an array of shape {value.shape}. "
            "Values go into a built model by its set_weights()."
        )
    if callable(value) and not isinstance(value, type | Initializer):
        raise ArgumentTypeError(
            f"initializer: received {getattr(value, '__name__', value)!r}, a function. Derive a class from "
            "miniDLF.initializers.Initializer with __call__(self, shape, rng, fans), which returns the values."
        )
    return resolve(value, CHOICES, "initializer", Initializer)
