"""Initial values: their distribution, their reproducibility and their names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import miniDLF.initializers as module
from miniDLF.core.initializers import CHOICES
from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError, UnknownNameError
from miniDLF.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Normal,
    Ones,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Zeros,
    get_initializer,
)

SHAPE = (200, 300)
FANS = (200, 300)
CUT = stats.truncnorm(-2, 2)

#: What is drawn for SHAPE, as a distribution of SciPy's.
DISTRIBUTIONS: list[tuple[Initializer, Any]] = [
    (Normal(), stats.norm(0.0, 0.05)),
    (Normal(1.0, 2.0), stats.norm(1.0, 2.0)),
    (Uniform(), stats.uniform(-0.05, 0.1)),
    (Uniform(1.0, 3.0), stats.uniform(1.0, 2.0)),
    (TruncatedNormal(), stats.truncnorm(-2, 2, 0.0, 0.05)),
    (TruncatedNormal(1.0, 2.0), stats.truncnorm(-2, 2, 1.0, 2.0)),
    (GlorotNormal(), stats.norm(0, math.sqrt(2 / 500))),
    (GlorotUniform(), stats.uniform(-math.sqrt(6 / 500), 2 * math.sqrt(6 / 500))),
    (HeNormal(), stats.norm(0, math.sqrt(2 / 200))),
    (HeUniform(), stats.uniform(-math.sqrt(6 / 200), 2 * math.sqrt(6 / 200))),
    (LecunNormal(), stats.norm(0, math.sqrt(1 / 200))),
    (LecunUniform(), stats.uniform(-math.sqrt(3 / 200), 2 * math.sqrt(3 / 200))),
    (VarianceScaling(), stats.truncnorm(-2, 2, 0, math.sqrt(1 / 200) / CUT.std())),
    (VarianceScaling(2.0, "fan_out", "normal"), stats.norm(0, math.sqrt(2 / 300))),
    (VarianceScaling(3.0, "fan_avg", "uniform"), stats.uniform(-math.sqrt(9 / 250), 2 * math.sqrt(9 / 250))),
]
OTHERS: list[Initializer] = [Zeros(), Ones(), Constant(0.3), Identity(2.0), Orthogonal(), Orthogonal(0.5, seed=2)]
EVERY = [*(initializer for initializer, _ in DISTRIBUTIONS), *OTHERS]


def drawn(initializer: Initializer, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return initializer(shape, np.random.default_rng(seed), FANS)


def test_every_exported_initializer_has_a_case() -> None:
    exported = {
        cls
        for name in module.__all__
        if isinstance(cls := getattr(module, name), type) and issubclass(cls, Initializer)
    } - {Initializer, module.RandomInitializer}
    assert {type(initializer) for initializer in EVERY} == exported == set(CHOICES.values())


@pytest.mark.parametrize(("initializer", "distribution"), DISTRIBUTIONS, ids=lambda value: repr(value)[:50])
def test_distribution(initializer: Initializer, distribution: Any) -> None:
    values = drawn(initializer).ravel()
    assert stats.kstest(values, distribution.cdf).pvalue > 0.01
    assert values.std() == pytest.approx(distribution.std(), rel=0.01)
    low, high = distribution.support()
    assert values.min() >= low
    assert values.max() <= high


def test_a_wrong_distribution_would_be_noticed() -> None:
    assert stats.kstest(drawn(HeNormal()).ravel(), stats.norm(0, math.sqrt(2.1 / 200)).cdf).pvalue < 0.01


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_shape_type_and_reproducibility(initializer: Initializer) -> None:
    shapes = [(4, 6), (6, 4)] + ([] if isinstance(initializer, Identity) else [(5, 3, 2, 2)])
    for shape in shapes:
        values = drawn(initializer, shape)
        assert values.shape == shape
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, drawn(initializer, shape))
    random = not isinstance(initializer, Zeros | Ones | Constant | Identity)
    same = np.array_equal(drawn(initializer), drawn(initializer, seed=1))
    assert same == (not random or initializer.seed is not None)


def test_a_seed_of_its_own() -> None:
    first, second = HeNormal(seed=3), HeNormal(seed=4)
    np.testing.assert_array_equal(drawn(first), drawn(HeNormal(seed=3), seed=9))
    assert not np.array_equal(drawn(first), drawn(second))
    rng = np.random.default_rng(0)
    first(SHAPE, rng, FANS)
    assert rng.random() == np.random.default_rng(0).random()  # the model's stream is left alone


def test_constants() -> None:
    np.testing.assert_array_equal(drawn(Zeros(), (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(drawn(Ones(), (2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(drawn(Constant(0.3), (4,)), np.full(4, 0.3))
    np.testing.assert_array_equal(drawn(Identity(2.0), (2, 3)), [[2, 0, 0], [0, 2, 0]])


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5), (4, 3, 2, 2), (20, 3, 2, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = drawn(Orthogonal(1.5), shape).reshape(shape[0], -1)
    square = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(square, 1.5**2 * np.eye(len(square)), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """Without the fixed signs LAPACK's first diagonal elements would all be negative."""
    rng = np.random.default_rng(0)
    corner = np.array([Orthogonal()((3, 3), rng, (3, 3))[0, 0] for _ in range(2000)])
    assert stats.kstest(corner, stats.uniform(-1, 2).cdf).pvalue > 0.01  # Archimedes: uniform on the sphere's axis


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_configuration_round_trip(initializer: Initializer) -> None:
    again = get_initializer(json.loads(json.dumps({"class": type(initializer).__name__, **initializer.config()})))
    assert repr(again) == repr(initializer)
    np.testing.assert_array_equal(drawn(again), drawn(initializer))


def test_names() -> None:
    assert type(get_initializer("GlorotUniform")) is type(get_initializer("glorot_uniform")) is GlorotUniform
    assert type(get_initializer("random_normal")) is type(get_initializer(module.RandomNormal)) is Normal
    assert repr(get_initializer(0.5)) == "Constant(value=0.5)"
    with pytest.raises(UnknownNameError, match=r"unknown initializer 'he_norml'.*Did you mean 'he_normal'"):
        get_initializer("he_norml")
    with pytest.raises(ArgumentTypeError, match="initializer: expected an Initializer"):
        get_initializer([1.0])


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: Normal(stddev=-1), ArgumentError, r"Normal: stddev must lie in \[0, inf\); received -1"),
        (lambda: TruncatedNormal(math.nan), ArgumentError, "TruncatedNormal: mean must lie in"),
        (lambda: Uniform(1, 0), ArgumentError, "Uniform: expected minval <= maxval, received 1.0 and 0.0. Exchange"),
        (lambda: Constant("a"), ArgumentTypeError, "Constant: value must be a number"),
        (lambda: HeNormal(seed=1.5), ArgumentTypeError, "HeNormal: seed must be a whole number"),
        (lambda: VarianceScaling(0), ArgumentError, "VarianceScaling: scale must lie in"),
        (lambda: VarianceScaling(1, "fan"), ArgumentError, "mode is one of 'fan_in', .* received 'fan'.* Did you mean"),
        (lambda: VarianceScaling(distribution="cauchy"), ArgumentError, "distribution is one of 'truncated_normal'"),
        (lambda: drawn(Orthogonal(), (4,)), ShapeError, r"two axes or more, received the shape \(4,\). Use HeNormal"),
        (lambda: drawn(Identity(), (4, 4, 4)), ShapeError, r"Identity expects a matrix.*\(4, 4, 4\). Use Orthogonal"),
    ],
)
def test_bad_arguments(act: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act()
