"""Layers refuse what makes no sense, where it is said, with what was expected, what came, and the fix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.constraints import Constraint
from miniDLF.errors import ArgumentError, ArgumentTypeError, MissingExtraError, ShapeError, import_extra
from miniDLF.initializers import Initializer, RandomInitializer
from miniDLF.layers import (
    ELU,
    GRU,
    LSTM,
    RNN,
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
    Pooling2D,
    ReLU,
    Reshape,
    Subtract,
    UpSampling2D,
)
from miniDLF.losses import CategoricalCrossentropy
from miniDLF.metrics import Precision
from miniDLF.models import Input, Model, Sequential
from miniDLF.optimizers import SGD
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
        lambda: Dense(3, activation=np.spacing)(A),
        ArgumentTypeError,
        r"Activation.*: np.spacing has no rule.*give its derivative: Activation\(np.spacing, derivative=df\)",
    ),
    "number as activation": (
        lambda: Conv2D(3, 3, activation=2)(IMAGE),
        ArgumentTypeError,
        r"Conv2D: activation: expected a name such as 'relu' or a layer such as ReLU\(0.1\), received 2.$",
    ),
    "text as size": (lambda: Dense("3"), ArgumentTypeError, "Dense: size is a whole number, at least 1; received '3'"),
    "size": (lambda: Dense(0), ArgumentError, "Dense: size is a whole number, at least 1; received 0"),
    "broken size": (lambda: Dense(3.0), ArgumentTypeError, "Dense: size is a whole number, at least 1; received 3.0"),
    "activation by position": (
        lambda: Dense(3, "relu"),
        ArgumentTypeError,
        r"Dense: input_shape is a shape .* or None; received 'relu'. An .* goes by its name: activation='relu'",
    ),
    "number as regularizer": (
        lambda: Dense(3, weight_regularizer=0.01, name="d")(A),
        ArgumentTypeError,
        r"Dense 'd': weight_regularizer: 0.01 does not say of which kind; write L2\(0.01\)",
    ),
    "array as initializer": (
        lambda: Dense(3, weight_initializer=np.ones((4, 3)))(A),
        ArgumentTypeError,
        r"Dense: weight_initializer: expected an Initializer.*received an array of shape \(4, 3\).*set_weights",
    ),
    "initializer of a gate": (
        lambda: LSTM(3, recurrent_initializer="ortogonal")(Input((5, 3))),
        ArgumentError,
        "LSTM: recurrent_initializer: unknown initializer 'ortogonal'.*Did you mean 'orthogonal'",
    ),
    "initial bias": (
        lambda: LSTM(3, bias_initializer=[1])(Input((5, 3))),
        ArgumentTypeError,
        r"LSTM: bias_initializer: expected an Initializer .*received \[1\]",
    ),
    "grey images, channels last": (
        lambda: Conv2D(8, 3)(Input((28, 28, 1))),
        ShapeError,
        r"larger than its padded input of 28 x 1 .* Images are channels-first: input_shape=\(1, 28, 28\)",
    ),
    "pooling, channels last": (
        lambda: Pooling2D()(Input((28, 28, 1))),
        ShapeError,
        r"larger than its input of 28 x 1 .* Images are channels-first: input_shape=\(1, 28, 28\)",
    ),
    "negative length": (lambda: Reshape((-2, 5)), ArgumentError, r"Reshape: the lengths .*; received \(-2, 5\)"),
    "no length": (lambda: Reshape((0, 5)), ArgumentError, r"Reshape: the lengths .*; received \(0, 5\)"),
    "two lengths that are left": (lambda: Reshape((-1, -1)), ArgumentError, "Reshape: .*one of them may be -1"),
    "epsilon": (lambda: BatchNormalization(epsilon=-1e-3), ArgumentError, "epsilon is finite and not negative"),
    "epsilon that is none": (lambda: BatchNormalization(epsilon=math.nan), ArgumentError, "received nan"),
    "alpha of ELU": (lambda: ELU(math.nan), ArgumentError, "ELU: alpha and scale are finite"),
    "scale of ELU": (lambda: ELU(scale=0.0), ArgumentError, "scale is positive; received 1.0 and 0.0"),
    "ceiling of ELU": (lambda: Activation("elu", max_value=-1.0), ArgumentError, "ELU: max_value must be positive"),
    "alpha nobody reads": (
        lambda: Activation("relu", alpha=0.1),
        ArgumentError,
        r"Activation\('relu'\) takes no alpha; received 0.1. Write 'leaky_relu' for a slope",
    ),
    "ceiling nobody reads": (lambda: Activation("tanh", max_value=1.0), ArgumentError, "'tanh'.* takes no max_value"),
    "axes of three inputs": (
        lambda: Dot(axes=(1, 1, 1)),
        ArgumentError,
        r"Dot: axes is .*received \(1, 1, 1\)",
    ),
    "axes that are no numbers": (lambda: Dot(axes=1.5), ArgumentError, "Dot: axes is .*received 1.5"),
    "repetitions": (lambda: UpSampling2D(1e5), ArgumentTypeError, "UpSampling2D: size is a whole number"),
    "images of any size": (
        lambda: UpSampling2D(100_000)(IMAGE),
        ArgumentError,
        r"UpSampling2D makes more than 2,147,483,648 numbers a sample: \(N, 2, 500000, 500000\)",
    ),
    "padding": (
        lambda: Conv2D(1, 1, padding=10**6)(IMAGE),
        ArgumentError,
        "Conv2D makes more than 2,147,483,648 numbers",
    ),
    "units": (
        lambda: Model(A, Dense(10**9)(A)).ready(),
        ArgumentError,
        r"Dense.*: weight would have the shape \(4, 1000000000\), more than",
    ),
    "filters": (
        lambda: Conv2D(10**9, 3)(IMAGE),
        ArgumentError,
        "Conv2D makes more than 2,147,483,648 numbers a sample",
    ),
    "hidden units": (
        lambda: Sequential([LSTM(10**6, input_shape=(5, 3))]).ready(),
        ArgumentError,
        r"LSTM.*: recurrent_weight would have the shape",
    ),
    "new shape": (lambda: Reshape("8"), ArgumentTypeError, "Reshape: new_shape is a shape .*; received '8'"),
    "mean": (lambda: Pooling2D(2, 2, "mean"), ArgumentError, "mode is 'max' or 'avg', .* Did you mean 'avg'"),
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReLU("x"), "ReLU: alpha is a number; received 'x'"),
        (lambda: BatchNormalization(epsilon="1e-3"), "BatchNormalization: epsilon is a number; received '1e-3'"),
        (lambda: LSTM(3, forget_bias="a"), "LSTM: forget_bias is a number; received 'a'"),
        (lambda: Dense(3, use_bias="False"), "Dense: use_bias is True or False; received 'False'"),
        (lambda: GRU(3, return_sequences="no"), "GRU: return_sequences is True or False; received 'no'"),
        (lambda: Dense(True), "Dense: size is a whole number; received True"),
        (lambda: Dense(3, name=5), "Dense: name is a string that is not empty or None; received 5"),
        (lambda: Dense(3, name=""), "Dense: name is a string that is not empty or None; received ''"),
        (lambda: Own(name=5), "Own: name is a string"),
        (lambda: Dense(3, trainable="no"), "Dense: trainable is True or False; received 'no'"),
        (lambda: SGD(nesterov="no"), "SGD: nesterov is True or False; received 'no'"),
        (lambda: CategoricalCrossentropy(from_logits="no"), "from_logits is True or False; received 'no'"),
        (lambda: Precision(multi_label="no"), "Precision: multi_label is True or False; received 'no'"),
    ],
)
def test_fields_take_what_they_are_annotated_with(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        make()


@pytest.mark.parametrize("make", [lambda **shape: Conv2D(8, 3, **shape), Pooling2D])
def test_a_first_layer_that_seems_to_be_given_channels_last_images_warns(make: Callable[..., Layer]) -> None:
    with pytest.warns(UserWarning, match=r"means 32 channels. Images are channels-first: input_shape=\(3, 32, 32\)"):
        Sequential([make(input_shape=(32, 32, 3))])
    for shape in ((3, 32, 32), (4, 4, 4), (32, 16, 3)):  # warnings are errors in tests
        Sequential([make(input_shape=shape)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("from miniDLF.layers import MaxPooling2D", r"use Pooling2D\(size, stride, 'max'\)"),
        ("from miniDLF.layers import Input", "use miniDLF.models.Input"),
        ("from miniDLF.layers import Dens", "cannot import name 'Dens'"),
        ("from miniDLF.models import load_model", r"use load\(path\)"),
    ],
)
def test_names_of_keras_say_what_is_meant(line: str, message: str) -> None:
    with pytest.raises(ImportError, match=message):
        exec(line)


def test_numbers_of_numpy_are_numbers() -> None:
    dense = Dense(np.int64(3), use_bias=np.bool_(False), name=np.str_("d"))
    assert (dense.size, bool(dense.use_bias), dense.name) == (3, False, "d")
    assert ReLU(np.float32(0.5)).alpha == 0.5
    assert Dropout(0).p_dropout == 0
    assert RNN(3, output_units=False).output_units == 0


class Own(Layer):
    """Has a constructor of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)


class Bare(Layer):
    """Gives nothing."""


class OfKeras(Bare):
    """Defines what Keras asks for."""

    def call(self, x: Any) -> Any:
        return x


class BareDerived(DerivedLayer):
    """Gives nothing either."""


class BareRandom(RandomInitializer):
    """Nor does this."""


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda: Model(A, Bare()(A)).predict(np.ones((2, 4))),
            r"Bare has no forward\(\): define forward\(self, x, call\) and backward, or call\(self, x\) in tensors$",
        ),
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
