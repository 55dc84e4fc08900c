"""Constraints: the condition holds afterwards, and what fulfilled it before is not touched."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

import miniDLF.constraints as module
from miniDLF.constraints import Constraint, MaxNorm, NonNeg, UnitNorm, get_constraint
from miniDLF.core.constraints import CHOICES
from miniDLF.errors import ArgumentError, ArgumentTypeError, UnknownNameError

CASES: list[Constraint] = [NonNeg(), MaxNorm(), MaxNorm(0.5, axis=1), UnitNorm(), UnitNorm(axis=[0, 1])]
every_case = pytest.mark.parametrize("constraint", CASES, ids=repr)
#: The axes over which all inputs of a unit lie.
DEFAULT_AXES = [((5,), (0,)), ((4, 6), (0,)), ((3, 2, 4), (1, 2)), ((5, 3, 2, 2), (1, 2, 3))]


def test_every_exported_constraint_has_a_case() -> None:
    exported = {
        cls for name in module.__all__ if isinstance(cls := getattr(module, name), type) and issubclass(cls, Constraint)
    } - {Constraint}
    assert {type(constraint) for constraint in CASES} == exported == set(CHOICES.values())


@pytest.mark.parametrize(("shape", "axes"), DEFAULT_AXES)
def test_max_norm(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    value = np.random.default_rng(0).normal(size=shape)
    before = value.copy()
    norms = np.sqrt(np.sum(before**2, axis=axes, keepdims=True))
    limit = float(np.median(norms)) * 0.999
    MaxNorm(limit).apply(value)
    np.testing.assert_allclose(value, before * np.minimum(1.0, limit / norms), rtol=1e-12)
    within = np.broadcast_to(norms <= limit, shape)
    np.testing.assert_array_equal(value[within], before[within])  # to the last bit


@pytest.mark.parametrize(("shape", "axes"), DEFAULT_AXES)
def test_unit_norm(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    value = np.random.default_rng(0).normal(size=shape)
    before = value.copy()
    UnitNorm().apply(value)
    np.testing.assert_allclose(np.sum(value**2, axis=axes), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.sum(value * before, axis=axes), np.sqrt(np.sum(before**2, axis=axes)), rtol=1e-12)


def test_axes_of_ones_own() -> None:
    value = np.random.default_rng(1).normal(size=(3, 4, 5))
    for axis in (0, -1, [0, 2], (1,)):
        array = value.copy()
        UnitNorm(axis).apply(array)
        np.testing.assert_allclose(np.sum(array**2, axis=tuple(np.atleast_1d(axis))), 1.0, rtol=1e-12)


def test_non_negative() -> None:
    value = np.array([[1.0, -2.0], [-0.0, 3.0]])
    NonNeg().apply(value)
    np.testing.assert_array_equal(value, [[1, 0], [0, 3]])


def test_units_of_zeros_stay() -> None:
    for constraint in (UnitNorm(), MaxNorm()):
        value = np.zeros((3, 2))
        value[:, 0] = 3.0
        constraint.apply(value)
        assert np.isfinite(value).all()
        assert not value[:, 1].any()


@pytest.mark.parametrize("size", [1e-30, 1e20, 3e38])
@pytest.mark.parametrize("axis", [None, 1, [0, 1]])
def test_norms_of_weights_of_any_size(size: float, axis: Any) -> None:
    """3e38 has a norm that is no number of single precision, and 1e-30 one whose square is none."""
    value = np.full((3, 3), size, np.float32)
    axes = tuple(np.atleast_1d(0 if axis is None else axis))
    for constraint, length in ((MaxNorm(2.0, axis), 2.0), (UnitNorm(axis), 1.0)):
        array = value.copy()
        constraint.apply(array)
        norms = np.sqrt(np.sum(array.astype(np.float64) ** 2, axis=axes))
        if size > 1 or length == 1.0:
            np.testing.assert_allclose(norms, length, rtol=1e-6)
        else:
            np.testing.assert_array_equal(array, value)


def test_only_units_that_are_too_long_change() -> None:
    value = np.float32([[1e20, 1.0, 3.0], [1e20, 1.0, 4.0]])
    MaxNorm(2.0).apply(value)
    np.testing.assert_allclose(value, [[2**0.5, 1, 1.2], [2**0.5, 1, 1.6]], rtol=1e-6)
    assert value[:, 1].tolist() == [1, 1]


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_and_idempotent(constraint: Constraint, dtype: Any) -> None:
    flat = np.random.default_rng(2).normal(size=60).astype(dtype) * 3
    value = flat[4:34].reshape(5, 6)
    outside = flat[:4].copy()
    assert constraint.apply(value) is None
    once = value.copy()
    assert not np.array_equal(once, np.random.default_rng(2).normal(size=60).astype(dtype)[4:34].reshape(5, 6) * 3)
    constraint.apply(value)
    np.testing.assert_allclose(value, once, rtol=1e-6)
    np.testing.assert_array_equal(flat[:4], outside)
    assert value.dtype == dtype


@every_case
def test_nothing_large_is_allocated(constraint: Constraint) -> None:
    value = np.random.default_rng(3).normal(size=(600, 500)).astype(np.float32)
    constraint.apply(value)
    tracemalloc.start()
    try:
        constraint.apply(value)
        assert tracemalloc.get_traced_memory()[1] < 65536
    finally:
        tracemalloc.stop()


@every_case
def test_configuration_round_trip(constraint: Constraint) -> None:
    again = get_constraint(json.loads(json.dumps({"class": type(constraint).__name__, **constraint.config()})))
    assert repr(again) == repr(constraint)


def test_names_and_bad_arguments() -> None:
    assert get_constraint(None) is None
    assert type(get_constraint("NonNeg")) is type(get_constraint("non_neg")) is NonNeg
    with pytest.raises(UnknownNameError, match=r"unknown constraint 'maxnrm'.*Did you mean 'max_norm'"):
        get_constraint("maxnrm")
    with pytest.raises(ArgumentError, match=r"MaxNorm: max_value must lie in \(0, inf\); received 0"):
        MaxNorm(0)
    with pytest.raises(ArgumentTypeError, match=r"UnitNorm: axis is None, an integer or a list of integers; received"):
        UnitNorm("rows")
    with pytest.raises(ArgumentError, match=r"axis 2 does not exist in a parameter of shape \(3, 4\). Give axes"):
        UnitNorm(2).apply(np.ones((3, 4)))
