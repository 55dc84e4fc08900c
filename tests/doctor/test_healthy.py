"""Networks that learn: of these the doctor says nothing, in `compile`, in `fit` and in `diagnose`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF.core.call import Call
from miniDLF.kernels.workspace import Array, Shape
from miniDLF.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    Multiply,
    Pooling2D,
    Reshape,
    UpSampling2D,
)
from miniDLF.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss
from miniDLF.metrics import F1Score
from miniDLF.models import Autoencoder, Input, Model, Sequential
from miniDLF.optimizers import LBFGS, SGD, Adam, ClipGlobalNorm, WeightDecay
from miniDLF.optimizers.schedules import CosineDecay
from miniDLF.regularizers import L2
from tests.doctor.data import (
    IMAGES,
    LABELS,
    MANY,
    NUMBER,
    ONE_HOT,
    SEQUENCES,
    SIDES,
    SUMS,
    YES,
    N,
    X,
    silent,
    told,
)

NEXT = np.eye(4, dtype=np.float32)[(np.arange(N)[:, None] + np.arange(9)) % 4]
COUNTS = np.random.default_rng(2).poisson(np.exp(0.5 * X[:, :1] + 0.5)).astype(np.float32)


def net(*layers: Any) -> Sequential:
    return Sequential(layers, seed=4)


def table(*end: Any) -> Sequential:
    return net(Dense(16, activation="relu", input_shape=(8,)), Dense(12, activation="relu"), *end)


class Heteroscedastic(Loss):
    """``(p - t)^2 / (2 s^2) + log s`` of a mean p and the logarithm of a deviation s, (N, 2), and targets (N, 1)."""

    def encode(self, target: Any, output_shape: Shape) -> Array:
        return np.asarray(target)

    def value_and_grad(self, prediction: Array, target: Array, weights: Array, empty: Any) -> tuple[float, Array]:
        mean, log_s = prediction[:, :1], prediction[:, 1:]
        z = (mean - target.astype(prediction.dtype)) * np.exp(-log_s)
        grad = np.concatenate([z * np.exp(-log_s), 1 - z * z], axis=1) * weights[:, None]
        return float(((z * z / 2 + log_s)[:, 0] * weights).sum()), grad

    def per_sample(self, prediction: Array, target: Array) -> Array:
        z = (prediction[:, :1] - target) * np.exp(-prediction[:, 1:])
        return (z * z / 2 + prediction[:, 1:])[:, 0]


class Standardise(Layer):
    """A layer of one's own that scales the bytes of images itself."""

    def forward(self, x: Array, call: Call) -> Array:
        return x * np.asarray(1 / 255, x.dtype)

    def backward(self, dy: Array, call: Call) -> Array:
        return dy * np.asarray(1 / 255, dy.dtype)


def residual() -> Model:
    inputs = Input((8,))
    x = Dense(12)(inputs)
    for _ in range(3):
        branch = Dense(12, activation="relu")(BatchNormalization()(x))
        x = Add()([x, Dense(12, weight_initializer="zeros")(branch)])
    return Model(inputs, Dense(3, activation="softmax")(x), seed=4)


def two_heads() -> Model:
    inputs = Input((8,))
    hidden = Dense(16, activation="tanh")(inputs)
    return Model(inputs, [Dense(3, activation="softmax")(hidden), Dense(1)(hidden)], seed=4)


def gated() -> Model:
    a, b = Input((8,)), Input((8,))
    gate = Dense(8, activation="sigmoid")(b)
    joined = Concatenate()([Multiply()([a, gate]), b])
    return Model([a, b], Dense(1, activation="sigmoid")(Dense(8, activation="relu")(joined)), seed=4)


def autoencoder() -> Autoencoder:
    encoder = Sequential([Dense(12, activation="relu", input_shape=(64,)), Dense(3)], seed=4)
    decoder = Sequential([Dense(12, activation="relu", input_shape=(3,)), Dense(64, activation="sigmoid")], seed=4)
    return Autoencoder(encoder, decoder, loss="bce", optimizer="adam", seed=4)


def images(*end: Any) -> Sequential:
    first = Conv2D(6, 3, input_shape=(1, 8, 8)), Activation("relu"), Pooling2D(2, 2)
    return net(*first, *(end or (Flatten(), Dense(2, activation="softmax"))))


CLASSES = {"loss": "cce", "optimizer": "adam", "metrics": ["accuracy"]}
FLAT = IMAGES.reshape(N, 64)

#: Model, what compile is given, x and y, what fit is given beside epochs.
HEALTHY: dict[str, tuple[Callable[[], Any], dict[str, Any], Any, Any, dict[str, Any]]] = {
    "perceptron": (lambda: table(Dense(3, activation="softmax")), CLASSES, X, LABELS, {"validation_split": 0.2}),
    "perceptron with dropout, one-hot": (
        lambda: table(Dropout(0.3), Dense(3), Activation("softmax")),
        {**CLASSES, "optimizer": SGD(lr=0.05)},
        X,
        ONE_HOT,
        {"validation_data": (X[:80], ONE_HOT[:80])},
    ),
    "logits": (
        lambda: table(Dense(3)),
        {**CLASSES, "loss": CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)},
        X,
        LABELS,
        {},
    ),
    "yes or no": (
        lambda: table(Dense(1, activation="sigmoid")),
        {"loss": "bce", "optimizer": "rmsprop", "metrics": ["accuracy", "auc"]},
        X,
        YES,
        {"class_weight": {0: 1.0, 1: 2.0}},
    ),
    "yes or no from logits": (
        lambda: table(Dense(1)),
        {"loss": BinaryCrossentropy(from_logits=True), "optimizer": "nadam", "metrics": ["binary_accuracy"]},
        X,
        YES,
        {},
    ),
    "several labels": (
        lambda: table(Dense(4, activation="sigmoid")),
        {"loss": "bce", "optimizer": "adam", "metrics": ["accuracy", F1Score(average="macro")]},
        X,
        MANY,
        {},
    ),
    "hinge": (
        lambda: table(Dense(1)),
        {"loss": "hinge", "optimizer": "adam", "metrics": ["accuracy"]},
        X,
        2 * YES - 1,
        {},
    ),
    "categorical hinge": (lambda: table(Dense(3)), {**CLASSES, "loss": "categorical_hinge"}, X, LABELS, {}),
    "regression": (
        lambda: table(Dense(1)),
        {"loss": "mse", "optimizer": Adam(lr=CosineDecay(0.01, 100)), "metrics": ["mae", "r2"]},
        X,
        NUMBER,
        {"validation_split": 0.25},
    ),
    "house prices in thousands": (
        lambda: table(Dense(1)),
        {"loss": "mae", "optimizer": "adam", "metrics": ["mae"]},
        X,
        22 + 9 * NUMBER,
        {},
    ),
    "counts": (
        lambda: table(Dense(1, activation="softplus")),
        {"loss": "poisson", "optimizer": "adam"},
        X,
        COUNTS,
        {},
    ),
    "heteroscedastic": (
        lambda: table(Dense(2, weight_initializer="zeros")),
        {"loss": Heteroscedastic(), "optimizer": "adam"},
        X,
        NUMBER,
        {},
    ),
    "penalties and decay": (
        lambda: net(
            Dense(16, activation="relu", weight_regularizer=L2(1e-3), input_shape=(8,)), Dense(3), Activation("softmax")
        ),
        {**CLASSES, "optimizer": ClipGlobalNorm(WeightDecay("adam", 0.01), 1.0)},
        X,
        LABELS,
        {"sample_weight": np.linspace(0.5, 1.5, N)},
    ),
    "the whole data set at once": (
        lambda: net(Dense(6, activation="tanh", input_shape=(8,)), Dense(1)),
        {"loss": "mse", "optimizer": LBFGS(max_iterations=2)},
        X,
        NUMBER,
        {"batch_size": None},
    ),
    "small batches": (
        lambda: net(Dense(8, activation="tanh", input_shape=(8,)), Dense(1)),
        {"loss": "mse", "optimizer": SGD(lr=0.005)},
        X[:90],
        NUMBER[:90],
        {"batch_size": 1},
    ),
    "convolutions": (images, CLASSES, IMAGES, SIDES, {"validation_split": 0.2}),
    "convolutions that normalise": (
        lambda: net(
            Conv2D(6, 3, use_bias=False, input_shape=(1, 8, 8)),
            BatchNormalization(),
            Activation("relu"),
            GlobalAveragePooling2D(),
            Dense(2, activation="softmax"),
        ),
        CLASSES,
        IMAGES,
        SIDES,
        {},
    ),
    "bytes that a normalisation meets first": (
        lambda: net(
            BatchNormalization(input_shape=(1, 8, 8)),
            Flatten(),
            Dense(8, activation="elu"),
            Dense(2, activation="softmax"),
        ),
        CLASSES,
        np.round(IMAGES * 255),
        SIDES,
        {},
    ),
    "bytes that a layer of one's own scales": (
        lambda: net(
            Standardise(input_shape=(1, 8, 8)), Flatten(), Dense(8, activation="relu"), Dense(2, activation="softmax")
        ),
        CLASSES,
        np.round(IMAGES * 255).astype(np.uint8),
        SIDES,
        {},
    ),
    "convolutional autoencoder": (
        lambda: images(
            UpSampling2D(2), Conv2D(4, 3, padding=2, activation="relu"), Conv2D(1, 3, padding=1, activation="sigmoid")
        ),
        {"loss": "mse", "optimizer": "adam"},
        IMAGES,
        IMAGES,
        {},
    ),
    "autoencoder": (autoencoder, {"loss": "bce", "optimizer": "adam"}, FLAT, FLAT, {}),
    "recurrent, the specification's": (
        lambda: net(RNN(12, input_shape=(8, 4)), Activation("softmax")),
        CLASSES,
        NEXT[:, :-1],
        NEXT[:, 1:],
        {},
    ),
    "LSTM of sums": (
        lambda: net(
            LSTM(8, output_units=0, return_sequences=False, input_shape=(6, 3)), Dense(2, activation="softmax")
        ),
        CLASSES,
        SEQUENCES,
        SUMS,
        {},
    ),
    "GRU that gives numbers": (
        lambda: net(GRU(8, output_units=1, return_sequences=False, input_shape=(6, 3))),
        {"loss": "mse", "optimizer": "adam"},
        SEQUENCES,
        SEQUENCES[:, :, :1].mean(1),
        {},
    ),
    "residual": (residual, CLASSES, X, LABELS, {}),
    "two heads": (
        two_heads,
        {"loss": ["cce", "mse"], "optimizer": "adam", "metrics": [["accuracy"], ["mae"]], "loss_weights": [1.0, 0.3]},
        X,
        [LABELS, NUMBER],
        {},
    ),
    "gated, two inputs": (gated, {"loss": "bce", "optimizer": "adam"}, [X, X[:, ::-1].copy()], YES, {}),
    "one unit that is an answer": (
        lambda: net(Dense(8, activation="relu", input_shape=(8,)), Dense(1), Reshape((1,)), Activation("sigmoid")),
        {"loss": "bce", "optimizer": "adam"},
        X,
        YES,
        {},
    ),
}


@pytest.mark.parametrize("network", HEALTHY)
def test_the_doctor_is_silent_where_a_network_learns(network: str) -> None:
    make, compiled, x, y, fitted = HEALTHY[network]
    model = make()
    options = {"epochs": 10, "batch_size": 32, "verbose": 0, **fitted}
    assert told(lambda: model.compile(**compiled)) == []
    assert model.diagnose(x, y, print_fn=silent).names == []
    assert told(lambda: model.fit(x, y, **options)) == []
    assert model.diagnose(x, y, print_fn=silent).names == []
    losses = model.history.history["loss"]
    assert losses[-1] < 0.98 * losses[0]  # it does learn
