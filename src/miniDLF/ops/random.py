"""Random numbers: a pure function of a seed, the number of the run, the operation and the shard.

Nothing random has a state to save. Outside of recorded programs every call draws new numbers, from a generator that
``set_random_seed`` of `miniDLF.utils` seeds; in a program each operation has a stream of its own, which begins anew at
every run. With ``seed=`` a function draws the same numbers each time.
"""

from __future__ import annotations

import math
import random as python_random
from operator import index
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.errors import ArgumentError, ShapeError
from miniDLF.kernels.elementwise import kept_of_65536
from miniDLF.kernels.workspace import Shape
from miniDLF.ops.arguments import cast, floating
from miniDLF.tensor import recording
from miniDLF.tensor.primitive import Elementwise, Primitive
from miniDLF.tensor.tensor import Tensor, apply, as_tensor
from miniDLF.tensor.types import DEFAULT

__all__ = [
    "SeedGenerator", "bernoulli", "categorical", "dropout", "exponential", "gumbel", "normal", "randint", "shuffle",
    "truncated_normal", "uniform",
]  # fmt: skip


class Draw(Primitive):
    """Random numbers of a distribution ("uniform", "normal", ...), of the shape `target`."""

    kind: str
    target: Shape
    type: np.dtype[Any]
    stream: tuple[int, ...]
    pure = False

    def shape(self):
        return self.target

    def dtype(self):
        return self.type

    def evaluate(self, out=None):
        return self.draw(_generator(self.stream), out)

    def draw(self, generator, out=None):
        """Return numbers of this generator, in `out` where it is given."""
        kind = np.dtype(np.float64) if self.type == np.float64 else np.dtype(np.float32)
        draw = {"uniform": generator.random, "normal": generator.standard_normal}.get(
            self.kind, generator.standard_exponential
        )
        found = draw(self.target, dtype=kind)
        if out is None:
            return np.asarray(found).astype(self.type, copy=False)
        np.copyto(out, found)
        return out


class Keep(Elementwise):
    """``1 / (1 - rate)`` with the probability ``1 - rate``, else 0, for every element of x; what it is does not matter.

    16 random bits decide, so `rate` is met to within 1 / 65536, and the scale is that of the probability really used.
    """

    rate: float
    stream: tuple[int, ...]
    pure = False

    def evaluate(self, x, out=None):
        return self.draw(_generator(self.stream), x, out)

    def draw(self, generator, x, out=None):
        """Return the factors by the bits of this generator."""
        kept = kept_of_65536(self.rate)
        bits = generator.bit_generator.random_raw(-(-x.size // 4)).view(np.uint16)[: x.size].reshape(x.shape)
        return np.multiply(bits < kept, x.dtype.type(65536 / kept if kept else 0), out=out)


def _generator(stream: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(list(stream)))


class SeedGenerator:
    """A seed that gives other numbers at every use: ``random.normal(shape, seed=self.seeds)``, as in Keras.

    In a program each run draws anew; the numbers depend on the program's seed as well.

    Parameters
    ----------
    seed
        Where it begins; drawn anew if ``None``.
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self.seed = python_random.getrandbits(31) if seed is None else index(seed)
        self.name = name
        self._used = 0

    def next(self) -> int:
        """Return another seed each time."""
        self._used += 1
        return int(np.random.SeedSequence([abs(self.seed), self._used]).generate_state(1)[0])

    def get_config(self) -> dict[str, Any]:
        """Return what makes another one that begins at the same place."""
        return {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """Return the generator that `get_config` described."""
        return cls(**config)


#: What `seed=` takes: a number draws the same each time.
Seed: TypeAlias = "int | SeedGenerator | None"


def stream_of(seed: Seed) -> tuple[int, ...]:
    """Return the key of the numbers of one operation."""
    program = recording.current()
    if isinstance(seed, SeedGenerator):
        return (program.seed ^ abs(seed.seed), program.draw()) if program is not None else (seed.next(), 0)
    if seed is not None:
        return (int(seed),)
    if program is not None:
        return (program.seed, program.draw())
    return (python_random.getrandbits(63), 0)


def _drawn(kind: str, shape: Any, dtype: DTypeLike | None, seed: Seed) -> Tensor:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return apply(Draw(kind, lengths, np.dtype(dtype or DEFAULT), stream_of(seed)))


def uniform(
    shape: Any,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    dtype: DTypeLike | None = None,
    seed: Seed = None,
) -> Tensor:
    """Return numbers from `minval` to below `maxval`, all equally likely."""
    drawn = _drawn("uniform", shape, dtype, seed)
    return drawn if (minval, maxval) == (0.0, 1.0) else drawn * (maxval - minval) + minval


def normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: DTypeLike | None = None,
    seed: Seed = None,
) -> Tensor:
    """Return normal numbers of this mean and standard deviation."""
    drawn = _drawn("normal", shape, dtype, seed)
    return drawn if (mean, stddev) == (0.0, 1.0) else drawn * stddev + mean


def truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: DTypeLike | None = None,
    seed: Seed = None,
) -> Tensor:
    """Return normal numbers, none of them further than two standard deviations from the mean."""
    return mean + stddev * _normal_between(_drawn("uniform", shape, dtype, seed))


def _normal_between(u: Tensor) -> Tensor:
    """Return the quantile of a normal distribution cut at -2 and 2 (Winitzki's inverse error function, one step)."""
    low = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
    p = low + (1 - 2 * low) * u
    x = 2 * p - 1
    logarithm = np.log(1 - x * x)
    part = 2 / (math.pi * 0.147) + logarithm / 2
    root = np.sign(x) * np.sqrt(np.sqrt(part * part - logarithm / 0.147) - part) * math.sqrt(2)
    return np.clip(root, -2.0, 2.0)


def exponential(shape: Any, dtype: DTypeLike | None = None, seed: Seed = None) -> Tensor:
    """Return numbers with the density ``e^-x``."""
    return _drawn("exponential", shape, dtype, seed)


def gumbel(shape: Any, dtype: DTypeLike | None = None, seed: Seed = None) -> Tensor:
    """Return ``-log`` of exponential numbers: the largest of scores with these added is a draw of their softmax."""
    return -np.log(exponential(shape, dtype, seed) + 1e-20)


def bernoulli(shape: Any, p: Any = 0.5, dtype: DTypeLike | None = None, seed: Seed = None) -> Tensor:
    """Return 1 with the probability `p`, else 0."""
    return cast(_drawn("uniform", shape, None, seed) < p, dtype or DEFAULT)


def randint(shape: Any, minval: int, maxval: int, dtype: DTypeLike = "int64", seed: Seed = None) -> Tensor:
    """Return whole numbers from `minval` to below `maxval`."""
    drawn = _drawn("uniform", shape, "float64", seed)
    return cast(np.floor(drawn * (maxval - minval)) + minval, dtype)


def categorical(logits: Any, num_samples: int = 1, dtype: DTypeLike = "int64", seed: Seed = None) -> Tensor:
    """Return, for each row of `logits` (N, C), `num_samples` draws of a class by the softmax: (N, num_samples)."""
    scores = floating(logits)
    noise = gumbel((*scores.shape[:-1], num_samples, scores.shape[-1]), scores.dtype, seed)
    return cast(np.argmax(np.expand_dims(scores, -2) + noise, axis=-1), dtype)


def shuffle(x: Any, axis: int = 0, seed: Seed = None) -> Tensor:
    """Return the parts of `x` along `axis` in random order."""
    x = as_tensor(x)
    order = np.argsort(_drawn("uniform", (x.shape[axis],), "float64", seed))
    return np.take(x, order, axis=axis)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Seed = None) -> Tensor:
    """Return `inputs` with elements set to 0 with the probability `rate`, and the others divided by ``1 - rate``.

    With `noise_shape`, whose lengths are those of `inputs` or 1, what is broadcast stays or goes together.
    """
    if not 0 <= rate < 1:
        raise ArgumentError(f"dropout: rate is at least 0 and below 1, received {rate}.")
    x = floating(inputs)
    if rate == 0:
        return x
    if noise_shape is None:
        return x * keep(x, rate, seed)
    lengths = tuple(noise_shape)
    if len(lengths) != x.ndim or any(n not in (1, m, None) for n, m in zip(lengths, x.shape, strict=True)):
        raise ShapeError(f"dropout: noise_shape has the lengths of inputs, {x.shape}, or 1; received {noise_shape!r}.")
    drawn = x[tuple(slice(0, 1) if n == 1 else slice(None) for n in lengths)]
    return x * keep(drawn, rate, seed)


def keep(x: Tensor, rate: float, seed: Seed = None) -> Tensor:
    """Return the factors with which `dropout` multiplies."""
    return apply(Keep(float(rate), stream_of(seed)), x)
