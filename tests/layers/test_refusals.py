"""Layers refuse what makes no sense, where it is said, with what was expected, what came, and the fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.constraints import Constraint
from miniDLF.errors import ArgumentError, ArgumentTypeError, MissingExtraError, ShapeError, import_extra
from miniDLF.initializers import Initializer, RandomInitializer
from miniDLF.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DerivedLayer,
    Dot,
    Dropout,
    Layer,
    ReLU,
    Reshape,
    Subtract,
)
from miniDLF.models import Input, Model, Sequential
from miniDLF.regularizers import Regularizer

A, B, IMAGE = Input((4,)), Input((3,)), Input((2, 5, 5))

REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "slope": (lambda: ReLU(2.0), ArgumentError, "ReLU: alpha is the slope for x < 0, between 0 and 1; received 2.0"),
    "ceiling": (lambda: ReLU(max_value=-1.0), ArgumentError, "ReLU: max_value must be positive, received -1.0"),
    "scale": (lambda: Activation("tanh", scale=2.0), ArgumentError, r"Activation\('tanh'\): only 'elu' takes a scale"),
    "activation": (lambda: Dense(3, activation="reul")(A), ArgumentError, "unknown activation 'reul'.*Did you mean"),
    "one input": (lambda: Add()([A]), ShapeError, "joins at least two inputs, received 1. Call it on a list"),
    "three inputs": (lambda: Subtract()([A, A, A]), ShapeError, "Subtract.* takes two inputs, received 3"),
    "axis": (lambda: Concatenate(axis=3)([A, B]), ArgumentError, r"axis 3 is not an axis of .*\(4,\); choose 1 to 1"),
    "batch axis": (lambda: Concatenate(axis=0)([A, B]), ArgumentError, r"choose 1 to 1, or -1 \(axis 0 is the batch\)"),
    "other axes": (
        lambda: Concatenate(axis=1)([IMAGE, Input((3, 5, 6))]),
        ShapeError,
        r"joins along axis 1, so the other axes must agree: the first input is \(2, 5, 5\), number 2 is \(3, 5, 6\)",
    ),
    "inner product": (
        lambda: Dot()([A, B]),
        ShapeError,
        r"sums over an axis of one length, received \(4,\) with 4 and \(3,\) with 3",
    ),
    "three products": (lambda: Dot()([A, A, A]), ShapeError, "Dot takes two inputs, received 3"),
    "no such axis": (lambda: Dot(axes=2)([A, A]), ArgumentError, r"axis 2 is not an axis of .*\(4,\); choose 1 to 1"),
    "batches": (lambda: Dot(axes=0)([A, A]), ArgumentError, r"Dot: axis 0 is not an axis of .*axis 0 is the batch"),
    "three axes": (lambda: Dot(axes=[1, 1, 1])([A, A]), ArgumentError, r"axes is a number, or one for each input"),
    "momentum": (
        lambda: BatchNormalization(momentum=2.0),
        ArgumentError,
        "momentum lies between 0 and 1, received 2.0",
    ),
    "reshape": (
        lambda: Reshape((3, 2))(A),
        ShapeError,
        r"Reshape expects 6 elements a sample for \(3, 2\), received \(4,\) with 4. Choose a new_shape",
    ),
    "share": (lambda: Dropout(1.0), ArgumentError, "Dropout: p_dropout .* at least 0 and below 1; received 1.0"),
    "percentage": (lambda: Dropout(rate=20), ArgumentError, "p_dropout is the share that is dropped.*received 20"),
    "all dropped": (
        lambda: Dropout(0.999999),
        ArgumentError,
        "Dropout: p_dropout is met to within 1 / 65536, and 0.999999 would drop everything. Use less",
    ),
    "class of an activation": (
        lambda: Dense(3, activation=ReLU, name="d")(A),
        ArgumentTypeError,
        r"Dense 'd': activation: received the class ReLU; create it: ReLU\(\)",
    ),
    "function as activation": (
        lambda: Dense(3, activation=np.tanh)(A),
        ArgumentTypeError,
        "Dense: activation: expected a name such as 'relu' .*received <ufunc 'tanh'>. A function has no derivative",
    ),
    "number as activation": (
        lambda: Conv2D(3, 3, activation=2)(IMAGE),
        ArgumentTypeError,
        r"Conv2D: activation: expected a name such as 'relu' or a layer such as ReLU\(0.1\), received 2.$",
    ),
    "twice": (lambda: Dense(size=3, units=3), ArgumentTypeError, "Dense: 'units' and 'size' are the same argument"),
    "size missing": (lambda: Dense(), ArgumentTypeError, r"Dense\(size, .*\): missing 1 required .*'size'"),
    "keyword": (lambda: Conv2D(3, 3, strids=2), ArgumentTypeError, "no argument 'strids'.*Did you mean 'stride'"),
    "empty axis": (
        lambda: Input((0,)),
        ArgumentError,
        r"Input: every axis of a shape needs at least one element, received \(0,\). Leave the batch axis out",
    ),
    "no axis known": (
        lambda: Input((None, 4)),
        ArgumentTypeError,
        r"Input: expected a shape such as .*received \(None",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    run, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        run()


class Bare(Layer):
    """Gives nothing."""


class BareDerived(DerivedLayer):
    """Gives nothing either."""


class BareRandom(RandomInitializer):
    """Nor does this."""


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: Model(A, Bare()(A)).predict(np.ones((2, 4))), r"Bare has no forward\(\)"),
        (lambda: Bare().backward(np.ones(2), None), r"Bare has no backward\(\)"),
        (lambda: Model(A, BareDerived()(A)).predict(np.ones((2, 4))), r"BareDerived has no compute\(\)"),
        (lambda: Bare().partial(np.ones(2), None), r"Bare has no partial\(\)"),
        (lambda: Bare().merge(1, 2), r"Bare has no merge\(\)"),
        (lambda: Bare().backward_partial(np.ones(2), None), r"Bare has no backward_partial\(\)"),
        (lambda: Constraint().apply(np.ones(2)), r"Constraint has no apply\(\)"),
        (lambda: Regularizer().value_and_grad(np.ones(2), np.ones(2)), r"Regularizer has no value_and_grad\(\)"),
        (lambda: Initializer()((2,), np.random.default_rng(0), (1, 1)), r"Initializer has no __call__\(\)"),
        (lambda: BareRandom().draw((2,), np.random.default_rng(0), (1, 1)), r"BareRandom has no draw\(\)"),
    ],
)
def test_what_a_class_of_ones_own_has_to_give(run: Callable[[], Any], message: str) -> None:
    with pytest.raises(NotImplementedError, match=message):
        run()


def test_a_missing_extra_names_the_installation() -> None:
    with pytest.raises(
        MissingExtraError, match=r"a plot needs the package 'no_such_package'.*install 'miniDLF\[plots\]'"
    ):
        import_extra("no_such_package.inside", "plots", "a plot")


def test_a_chain_tells_the_position() -> None:
    with pytest.raises(
        ShapeError, match=r"layer 2 \(Conv2D 'conv2d_1'\) expects images .* received a vector .*Reshape"
    ):
        Sequential([Dense(8, input_shape=(4,)), Conv2D(3, 3)])
