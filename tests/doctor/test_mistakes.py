"""What goes wrong without an error, each mistake with the finding that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.layers import (
    GRU,
    RNN,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Sigmoid,
    Softmax,
)
from miniDLF.losses import BinaryCrossentropy, CategoricalCrossentropy
from miniDLF.models import Sequential
from miniDLF.optimizers import SGD, Adam, ClipGlobalNorm, WeightDecay
from miniDLF.regularizers import L2
from tests.doctor.data import (
    IMAGES,
    LABELS,
    MANY,
    NUMBER,
    ONE_HOT,
    ORDER,
    SEQUENCES,
    SIDES,
    SUMS,
    YES,
    N,
    X,
    silent,
    told,
)


def net(*layers: Any) -> Sequential:
    return Sequential(layers, seed=3)


def mlp(last: Any = "softmax", units: int = 3, hidden: str = "relu", **options: Any) -> Sequential:
    end = [Activation(last)] if isinstance(last, str) else [last] if last else []
    return net(Dense(12, input_shape=(8,), **options), Activation(hidden), Dense(units, **options), *end)


def cnn(*options: Any) -> Sequential:
    return net(Conv2D(4, 3, input_shape=(1, 8, 8)), Activation("relu"), Flatten(), Dense(2), Activation("softmax"))


COMPILED: dict[str, tuple[Callable[[], Sequential], dict[str, Any], str]] = {
    "cce without softmax": (lambda: mlp(None), {"loss": "cce"}, "cce_without_softmax"),
    "cce behind a sigmoid": (lambda: mlp("sigmoid"), {"loss": "cce"}, "cce_without_softmax"),
    "cce behind relu": (lambda: mlp("relu"), {"loss": "scce"}, "cce_without_softmax"),
    "cce behind states": (
        lambda: net(GRU(3, output_units=0, return_sequences=False, input_shape=(6, 3))),
        {"loss": "cce"},
        "cce_without_softmax",
    ),
    "bce without sigmoid": (lambda: mlp(None, 1), {"loss": "bce"}, "bce_without_sigmoid"),
    "bce behind tanh": (lambda: mlp("tanh", 1), {"loss": "bce"}, "bce_without_sigmoid"),
    "bce behind a softmax": (lambda: mlp("softmax", 3), {"loss": "bce"}, "bce_with_softmax"),
    "softmax twice": (
        lambda: net(Dense(3, activation="softmax", input_shape=(8,)), Activation("softmax")),
        {"loss": "cce"},
        "activation_twice",
    ),
    "sigmoid twice, with a dropout between": (
        lambda: net(Dense(1, input_shape=(8,)), Sigmoid(), Flatten(), Sigmoid()),
        {"loss": "bce"},
        "activation_twice",
    ),
    "softmax and logits": (
        lambda: mlp(Softmax()),
        {"loss": CategoricalCrossentropy(from_logits=True)},
        "activation_twice",
    ),
    "sigmoid and logits": (
        lambda: mlp("sigmoid", 1),
        {"loss": BinaryCrossentropy(from_logits=True)},
        "activation_twice",
    ),
    "softmax of one unit": (lambda: mlp("softmax", 1), {"loss": "bce"}, "softmax_of_one"),
    "cce of one unit": (lambda: mlp("sigmoid", 1), {"loss": "cce"}, "one_class"),
    "softmax over the width of images": (
        lambda: net(Conv2D(3, 3, input_shape=(1, 8, 8)), Activation("softmax")),
        {"loss": "mse"},
        "softmax_over_width",
    ),
    "accuracy of a regression": (lambda: mlp(None, 1), {"loss": "mae", "metrics": ["acc"]}, "accuracy_of_numbers"),
    "hinge behind a sigmoid": (lambda: mlp("sigmoid", 1), {"loss": "hinge"}, "hinge_cannot_be_met"),
    "counts of a linear output": (lambda: mlp(None, 1), {"loss": "poisson"}, "needs_positive_output"),
}


@pytest.mark.parametrize("mistake", COMPILED)
def test_compile_warns_of_what_contradicts_itself(mistake: str) -> None:
    make, options, name = COMPILED[mistake]
    assert told(lambda: make().compile(**options)) == [name]


def frozen() -> Sequential:
    model = mlp()
    model.trainable = False
    return model


def dead() -> Sequential:
    return mlp(bias_initializer=-20.0)


def deep() -> Sequential:
    return net(*(layer for _ in range(14) for layer in (Dense(4), Activation("sigmoid"))), Dense(1))


STEADY = {"epochs": 5, "batch_size": 32, "verbose": 0}
ONCE = {"epochs": 1, "batch_size": 32, "verbose": 0}
CLASSES, NUMBERS = {"loss": "cce", "optimizer": "adam"}, {"loss": "mse", "optimizer": "adam"}

#: Model, what compile is given, x and y, what fit is given, and the finding.
FITTED: dict[str, tuple[Any, dict[str, Any], Any, Any, dict[str, Any], str]] = {
    "bytes of images": (cnn, CLASSES, (IMAGES * 255).astype(np.uint8), SIDES, ONCE, "inputs_not_scaled"),
    "large inputs": (mlp, CLASSES, X * 1000 + 5000, LABELS, ONCE, "inputs_not_scaled"),
    "enormous inputs": (lambda: mlp(hidden="tanh"), CLASSES, X * 1e20, LABELS, ONCE, "inputs_not_scaled"),
    "divided by 255 twice": (cnn, CLASSES, IMAGES / 255**2, SIDES, ONCE, "inputs_not_scaled"),
    "constant inputs": (mlp, CLASSES, np.ones_like(X), LABELS, STEADY, "inputs_constant"),
    "prices as targets": (
        lambda: mlp(None, 1),
        NUMBERS,
        X,
        NUMBER * 8e4 + 2e5,
        ONCE,
        "targets_not_scaled",
    ),
    "relu and negative targets": (lambda: mlp("relu", 1), NUMBERS, X, NUMBER, ONCE, "targets_out_of_reach"),
    "sigmoid and targets beyond 1": (lambda: mlp("sigmoid", 1), NUMBERS, X, NUMBER, ONCE, "targets_out_of_reach"),
    "tanh and bytes": (lambda: mlp("tanh", 1), NUMBERS, X, np.round(NUMBER * 20 + 128), ONCE, "targets_out_of_reach"),
    "softmax and mse": (mlp, NUMBERS, X, ONE_HOT, ONCE, "mse_on_softmax"),
    "accuracy of several numbers": (
        lambda: mlp(None, 3),
        {**NUMBERS, "metrics": ["accuracy"]},
        X,
        X[:, :3] * 2,
        ONCE,
        "accuracy_of_numbers",
    ),
    "binary accuracy of classes": (
        mlp,
        {**CLASSES, "metrics": ["binary_accuracy"]},
        X,
        ONE_HOT,
        ONCE,
        "metric_does_not_fit",
    ),
    "best five of three": (
        mlp,
        {**CLASSES, "metrics": ["top_k_categorical_accuracy"]},
        X,
        LABELS,
        ONCE,
        "metric_does_not_fit",
    ),
    "one class of several that may hold": (
        lambda: mlp("sigmoid", 4),
        {"loss": "bce", "metrics": ["categorical_accuracy"]},
        X,
        MANY,
        ONCE,
        "metric_does_not_fit",
    ),
    "dropout of 0.95": (
        lambda: net(Dense(12, input_shape=(8,)), Activation("relu"), Dropout(0.95), Dense(1)),
        NUMBERS,
        X,
        NUMBER,
        ONCE,
        "dropped_too_much",
    ),
    "dropout of the answers": (
        lambda: net(Dense(3, input_shape=(8,)), Activation("softmax"), Dropout(0.5)),
        CLASSES,
        X,
        LABELS,
        ONCE,
        "dropout_of_answers",
    ),
    "a bottleneck of one unit": (
        lambda: net(Dense(1, input_shape=(8,)), Activation("tanh"), Dense(3), Activation("softmax")),
        CLASSES,
        X,
        LABELS,
        ONCE,
        "bottleneck",
    ),
    "too strong weight decay": (
        mlp,
        {"loss": "cce", "optimizer": WeightDecay(SGD(lr=0.1), 1.0)},
        X,
        LABELS,
        ONCE,
        "decays_too_much",
    ),
    "weights of zero": (mlp, CLASSES, X, LABELS, {**ONCE, "sample_weight": np.zeros(N)}, "weights_of_zero"),
    "normalisation of one sample": (
        lambda: net(
            Dense(6, input_shape=(8,)), BatchNormalization(), Activation("relu"), Dense(3, activation="softmax")
        ),
        CLASSES,
        X[:30],
        LABELS[:30],
        {**ONCE, "batch_size": 1},
        "batch_of_one",
    ),
    "the end of sorted labels": (
        mlp,
        CLASSES,
        X[ORDER],
        LABELS[ORDER],
        {**ONCE, "validation_split": 0.2},
        "labels_sorted",
    ),
    "the end of sorted one-hot rows": (
        mlp,
        CLASSES,
        X[ORDER],
        ONE_HOT[ORDER],
        {**ONCE, "validation_split": 0.4},
        "labels_sorted",
    ),
    "the end of sorted numbers": (
        lambda: mlp(None, 1),
        NUMBERS,
        X[NUMBER[:, 0].argsort()],
        np.sort(NUMBER, axis=0),
        {**ONCE, "validation_split": 0.2},
        "labels_sorted",
    ),
    "sorted and not shuffled": (mlp, CLASSES, X[ORDER], LABELS[ORDER], {**ONCE, "shuffle": False}, "labels_sorted"),
    "labels from 1": (lambda: mlp(units=4), CLASSES, X, LABELS + 1, ONCE, "labels_from_one"),
    "validation on another scale": (
        cnn,
        CLASSES,
        IMAGES,
        SIDES,
        {**ONCE, "validation_data": (IMAGES * 255, SIDES)},
        "validation_not_alike",
    ),
    "everything frozen": (frozen, CLASSES, X, LABELS, ONCE, "nothing_trained"),
    "weights of one": (lambda: mlp(weight_initializer="ones"), CLASSES, X, LABELS, ONCE, "units_alike"),
    "weights of zero everywhere": (lambda: mlp(weight_initializer="zeros"), CLASSES, X, LABELS, ONCE, "units_alike"),
    "dead by their biases": (dead, CLASSES, X, LABELS, ONCE, "units_dead"),
    "an output that is dead": (
        lambda: mlp("relu", 1, hidden="elu", bias_initializer=-20.0),
        NUMBERS,
        X,
        np.abs(NUMBER),
        ONCE,
        "gradients_zero",
    ),
    "saturated by large weights": (
        lambda: net(
            Dense(12, weight_initializer={"class": "RandomNormal", "stddev": 40.0}, input_shape=(8,)),
            Activation("tanh"),
            Dense(3, activation="softmax"),
        ),
        CLASSES,
        X,
        LABELS,
        ONCE,
        "units_saturated",
    ),
    "exploding recurrence": (
        lambda: net(
            RNN(
                8,
                output_units=0,
                return_sequences=False,
                recurrent_initializer={"class": "RandomNormal", "stddev": 2.0},
                input_initializer={"class": "RandomNormal", "stddev": 1e-4},
                input_shape=(40, 3),
            ),
            Dense(2, activation="softmax"),
        ),
        CLASSES,
        np.tile(SEQUENCES, (1, 7, 1))[:, :40] * 1e-3 + 1e-3,
        SUMS,
        ONCE,
        "gradients_explode",
    ),
    "fourteen sigmoids": (deep, NUMBERS, X, NUMBER, ONCE, "gradients_vanish"),
    "a regularizer that rules": (lambda: mlp(weight_regularizer=L2(10.0)), CLASSES, X, LABELS, ONCE, "penalties_rule"),
    "certain before it has learned": (
        lambda: mlp(weight_initializer={"class": "RandomNormal", "stddev": 8.0}),
        CLASSES,
        X,
        LABELS,
        ONCE,
        "loss_far_above_guessing",
    ),
    "a rate too large": (mlp, {"loss": "cce", "optimizer": Adam(lr=30.0)}, X, LABELS, STEADY, "loss_rises"),
    "a rate too small": (mlp, {"loss": "cce", "optimizer": SGD(lr=1e-7)}, X, LABELS, STEADY, "weights_do_not_move"),
    "clipped to nothing": (
        mlp,
        {"loss": "cce", "optimizer": ClipGlobalNorm(SGD(), 1e-6)},
        X,
        LABELS,
        STEADY,
        "weights_do_not_move",
    ),
    "one answer for all": (
        lambda: mlp(None, 1),
        {"loss": "mse", "optimizer": SGD(lr=0.02)},
        X * 2e-3,
        NUMBER,
        {**STEADY, "epochs": 10},
        "same_answer",
    ),
}


@pytest.mark.parametrize("mistake", FITTED)
def test_fit_warns_once_of_what_keeps_it_from_learning(mistake: str) -> None:
    make, compiled, x, y, fitted, name = FITTED[mistake]
    model = make()
    assert told(lambda: model.compile(**compiled)) == []
    assert told(lambda: model.fit(x, y, **fitted)) == [name]
    assert told(lambda: model.fit(x, y, **fitted)) == []


SEEN_BEFORE = {"same_answer"}  # what needs some epochs first


@pytest.mark.parametrize("mistake", [key for key, case in FITTED.items() if case[-1] not in SEEN_BEFORE])
def test_diagnose_names_the_same_mistakes_first(mistake: str) -> None:
    make, compiled, x, y, fitted, name = FITTED[mistake]
    model = make()
    model.compile(**compiled)
    keys = ("sample_weight", "validation_data", "validation_split", "shuffle", "batch_size")
    found = model.diagnose(x, y, **{key: fitted[key] for key in keys if key in fitted}, print_fn=silent)
    assert name in found.names
    assert not next(finding for finding in found.findings if finding.name == name).follows


COPIED = (np.concatenate([X[:60], X[:40]]), np.concatenate([LABELS[:60], LABELS[:40]]))
UNLIKE = X * np.array([1, 1, 1, 1, 1, 1, 1, 5e3], np.float32) * 1e-2

#: What only `diagnose` looks for.
DIAGNOSED: dict[str, tuple[Any, dict[str, Any], Any, Any, dict[str, Any], str]] = {
    "a constant column": (
        mlp,
        CLASSES,
        np.where(np.arange(8) == 5, np.float32(17), X),
        LABELS,
        {},
        "columns_constant",
    ),
    "columns of different size": (mlp, CLASSES, UNLIKE, LABELS, {}, "columns_of_different_size"),
    "training samples in validation": (
        mlp,
        CLASSES,
        X,
        LABELS,
        {"validation_data": COPIED},
        "same_samples",
    ),
    "labels shuffled against inputs": (
        mlp,
        CLASSES,
        X,
        np.random.default_rng(5).permutation(LABELS),
        {},
        "nothing_to_learn",
    ),
    "an accuracy of the majority": (
        lambda: mlp("sigmoid", 1),
        {"loss": "bce", "metrics": ["accuracy"]},
        X,
        (X[:, :1] > 1.9).astype(np.float32),
        {},
        "classes_not_balanced",
    ),
    "two linear layers": (
        lambda: net(Dense(12, input_shape=(8,)), Dense(3, activation="softmax")),
        CLASSES,
        X,
        LABELS,
        {},
        "nothing_between",
    ),
}


@pytest.mark.parametrize("mistake", DIAGNOSED)
def test_diagnose_finds_what_takes_longer(mistake: str) -> None:
    make, compiled, x, y, options, name = DIAGNOSED[mistake]
    model = make()
    model.compile(**compiled)
    first, *others = model.diagnose(x, y, **options, print_fn=silent).findings
    assert first.name == name
    assert all(other.follows == (name,) for other in others)


def test_several_questions_are_no_mistake_of_the_table() -> None:
    assert told(lambda: mlp("sigmoid", 4).compile("bce", "adam", metrics=["accuracy"])) == []
    assert MANY.shape == (N, 4)
    assert YES.shape == (N, 1)
