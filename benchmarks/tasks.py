"""What `initial_weights.py` trains: networks with data, small enough for a dozen seeds, and the specification's five.

A task makes its data and its model from one seed and returns one figure: how good the model is on data that it was not
trained on (on the training data for the specification's recurrent networks, as the specification measures them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from miniDLF.cli.networks import NETWORKS
from miniDLF.datasets import MNIST, TEXT2SEQ, Digits
from miniDLF.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Pooling2D,
)
from miniDLF.models import Input, Model, Sequential

__all__ = ["TASKS", "Task"]

#: Samples to train on and to test on.
ROWS = 1000, 1000
Data = tuple[Any, Any, Any, Any]  # x, y to train on; x, y to test on


@dataclass(frozen=True)
class Task:
    """One network on one kind of data.

    Attributes
    ----------
    title
        What the table calls it.
    data
        Makes the data of a seed; takes the folder of the real data too.
    model
        Makes the model of a seed, not compiled, for such data.
    figure
        'accuracy', 'error' (the loss on the test data), or 'training accuracy'.
    long
        Whether it takes so long that three seeds have to do.
    """

    title: str
    data: Callable[[int, Path], Data]
    model: Callable[[int, Data], Model]
    loss: str
    epochs: int
    batch_size: int = 32
    figure: str = "accuracy"
    optimizer: str = "adam"
    long: bool = False

    @property
    def more_is_better(self) -> bool:
        """Whether a higher figure is the better one."""
        return self.figure != "error"

    def run(self, seed: int, folder: Path, change: Callable[[Model], None], factor: float = 1.0) -> float:
        """Train once, `factor` times the epochs, after `change` has seen the built model; return the figure."""
        epochs = max(1, round(factor * self.epochs))
        x, y, x_test, y_test = data = self.data(seed, folder)
        model = self.model(seed, data)
        change(model)
        model.compile(self.loss, self.optimizer, metrics=["accuracy"] if "accuracy" in self.figure else [])
        model.fit(x, y, epochs=epochs, batch_size=self.batch_size, verbose=0)
        held = (x, y) if self.figure == "training accuracy" else (x_test, y_test)
        logs = model.evaluate(*held, batch_size=500, return_dict=True)
        return float(logs["accuracy" if "accuracy" in self.figure else "loss"])


# Data -----------------------------------------------------------------------------------------------------------------


def _split(x: Any, y: Any) -> Data:
    cut = ROWS[0]
    return x[:cut], y[:cut], x[cut:], y[cut:]


def _scores(seed: int, outputs: int) -> tuple[Any, Any]:
    """Return a table of 20 columns and `outputs` numbers a row, which a random network of tanh makes from it."""
    rng = np.random.default_rng([20, seed])
    x = rng.normal(size=(sum(ROWS), 20)).astype(np.float32)
    hidden = np.tanh(x @ rng.normal(size=(20, 40)) / 2)
    scores = hidden @ rng.normal(size=(40, outputs))
    return x, scores + 0.1 * scores.std() * rng.normal(size=scores.shape)


def table(seed: int, folder: Path) -> Data:
    x, scores = _scores(seed, 5)
    return _split(x, scores.argmax(axis=1))


def labels(seed: int, folder: Path) -> Data:
    x, scores = _scores(seed, 6)
    return _split(x, (scores > np.median(scores, axis=0)).astype(np.float32))


def images(seed: int, folder: Path) -> Data:
    digits = Digits(*ROWS, seed=seed)
    return digits.train.x, digits.train.y, digits.test.x, digits.test.y


def pixels(seed: int, folder: Path) -> Data:
    x, y, x_test, y_test = images(seed, folder)
    return x.reshape(len(x), -1), y, x_test.reshape(len(x_test), -1), y_test


def same_pixels(seed: int, folder: Path) -> Data:
    x, _, x_test, _ = pixels(seed, folder)
    return x, x, x_test, x_test


def diabetes(seed: int, folder: Path) -> Data:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = (((a - a.mean(axis=0)) / a.std(axis=0))[order].astype(np.float32) for a in (x, y[:, np.newaxis]))
    return x[:300], y[:300], x[300:], y[300:]


def recall(seed: int, folder: Path) -> Data:
    """Sequences of 20 symbols out of 8; the first one is asked for."""
    symbols = np.random.default_rng([8, seed]).integers(0, 8, (sum(ROWS), 20))
    return _split(np.eye(8, dtype=np.float32)[symbols], symbols[:, 0])


def adding(seed: int, folder: Path) -> Data:
    """Twenty numbers, two of which are marked; their sum is asked for (Hochreiter & Schmidhuber 1997)."""
    rng = np.random.default_rng([2, seed])
    x = np.zeros((sum(ROWS), 20, 2), np.float32)
    x[..., 0] = rng.uniform(-1, 1, x.shape[:2])
    rows = np.arange(len(x))
    for half in (0, 10):
        x[rows, half + rng.integers(0, 10, len(x)), 1] = 1
    return _split(x, (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True))


@cache
def _mnist(folder: Path) -> Any:
    return MNIST(folder / "MNIST" / "mnist.pkl.gz", n_classes=10, input_shape=(1, 28, 28))


def mnist_images(seed: int, folder: Path) -> Data:
    data = _mnist(folder)
    return data.train.x, data.train.y, data.test.x, data.test.y


def mnist_vectors(seed: int, folder: Path) -> Data:
    x, y, x_test, y_test = mnist_images(seed, folder)
    return x.reshape(len(x), -1), y, x_test.reshape(len(x_test), -1), y_test


@cache
def _text(folder: Path) -> Any:
    return TEXT2SEQ(folder / "TEXT" / "basic_rnn_from_wiki.txt", 60)


def text(seed: int, folder: Path) -> Data:
    data = _text(folder)
    return data.train.x, data.train.y, data.test.x, data.test.y


# Models ---------------------------------------------------------------------------------------------------------------


def chain(*layers: Callable[[], Any]) -> Callable[[int, Data], Model]:
    """Return what makes a model of new layers, one after another."""

    def model(seed: int, data: Data) -> Model:
        result = Sequential([make() for make in layers], seed=seed)
        result.build(data[0].shape[1:])
        return result

    return model


def specified(name: str) -> Callable[[int, Data], Model]:
    """Return what makes a network of the specification."""
    return lambda seed, data: Sequential(NETWORKS[name].layers(data[0].shape[1:]), seed=seed)


def dense(size: int, activation: str | None = None) -> Callable[[], Any]:
    return lambda: Dense(size, activation=activation)


def residual(seed: int, data: Data) -> Model:
    """Blocks of two dense layers with batch normalisation, around which the input goes, too."""
    inputs = Input(data[0].shape[1:])
    y = Dense(64)(inputs)
    for _ in range(4):
        inner = Activation("relu")(BatchNormalization()(Dense(64)(y)))
        y = Activation("relu")(Add()([y, BatchNormalization()(Dense(64)(inner))]))
    return Model(inputs, Dense(5, activation="softmax")(y), seed=seed)


def skipping(normalised: bool) -> Callable[[int, Data], Model]:
    """Blocks of two dense layers around which the input goes, and one batch normalisation behind them all, or none."""

    def model(seed: int, data: Data) -> Model:
        inputs = Input(data[0].shape[1:])
        y = Dense(64)(inputs)
        for _ in range(4):
            y = Add()([y, Dense(64)(Dense(64, activation="relu")(y))])
        if normalised:
            y = BatchNormalization()(y)
        return Model(inputs, Dense(5, activation="softmax")(y), seed=seed)

    return model


def convolutional(normalised: bool) -> Callable[[int, Data], Model]:
    def block(filters: int) -> list[Callable[[], Any]]:
        normalisation = [BatchNormalization] if normalised else []
        return [
            lambda: Conv2D(filters, 3, padding=1),
            *normalisation,
            lambda: Activation("relu"),
            lambda: Pooling2D(2, 2, "max"),
        ]

    return chain(*block(8), *block(16), *block(32), Flatten, dense(10, "softmax"))


SOFTMAX = dense(10, "softmax")
TASKS: dict[str, Task] = {
    "residual": Task("residual network, BatchNormalization in each block, a table", table, residual, "cce", 20),
    "skipping": Task("residual network, BatchNormalization at its end, a table", table, skipping(True), "cce", 20),
    "plain": Task("residual network without BatchNormalization, a table", table, skipping(False), "cce", 20),
    "tanh": Task("8 layers of tanh, digits", pixels, chain(*[dense(64, "tanh")] * 8, SOFTMAX), "cce", 20),
    "shallow": Task("3 layers of tanh, a table", table, chain(*[dense(64, "tanh")] * 3, SOFTMAX), "cce", 20),
    "deep": Task("8 layers of tanh, a table", table, chain(*[dense(64, "tanh")] * 8, SOFTMAX), "cce", 20),
    "relu": Task("8 layers of ReLU, digits", pixels, chain(*[dense(64, "relu")] * 8, SOFTMAX), "cce", 20),
    "swish": Task("5 layers of swish, a table", table, chain(*[dense(64, "swish")] * 5, SOFTMAX), "cce", 20),
    "sigmoid": Task("2 layers of sigmoid, digits", pixels, chain(*[dense(64, "sigmoid")] * 2, SOFTMAX), "cce", 20),
    "wide": Task("one wide layer of ReLU, SGD, digits", pixels, chain(dense(1000, "relu"), SOFTMAX), "cce", 10,
                 optimizer="sgd"),
    "softmax": Task("softmax regression, digits", pixels, chain(SOFTMAX), "cce", 20),
    "regression": Task("regression, 2 layers of ReLU, diabetes", diabetes,
                       chain(dense(64, "relu"), dense(64, "relu"), dense(1)), "mse", 15, figure="error"),
    "labels": Task("six labels, 2 layers of ReLU, a table", labels,
                   chain(dense(64, "relu"), dense(64, "relu"), dense(6, "sigmoid")), "bce", 15),
    "convolutions": Task("3 convolutions, digits", images, convolutional(False), "cce", 10),
    "normalised": Task("3 convolutions with BatchNormalization, digits", images, convolutional(True), "cce", 10),
    "autoencoder": Task("autoencoder 784-128-16-128-784, digits", same_pixels,
                        chain(dense(128, "relu"), dense(16), dense(128, "relu"), dense(784, "sigmoid")), "bce", 15,
                        figure="error"),
    "recall": Task("LSTM that recalls the first of 20 symbols", recall,
                   chain(lambda: LSTM(32, output_units=0, return_sequences=False), dense(8, "softmax")), "cce", 40),
    "adding": Task("GRU that adds two of 20 numbers", adding,
                   chain(lambda: GRU(32, output_units=0, return_sequences=False), dense(1)), "mse", 40,
                   figure="error"),
    "mlp": Task("the specification's MLP, 4 epochs", mnist_vectors, specified("mlp"), "cce", 4, 512, long=True),
    "cnn": Task("the specification's CNN, 4 epochs", mnist_images, specified("cnn"), "cce", 4, 512, long=True),
    "rnn": Task("the specification's RNN, 2 epochs", text, specified("rnn"), "cce", 2, 25, "training accuracy",
                long=True),
    "lstm": Task("the specification's LSTM, 5 epochs", text, specified("lstm"), "cce", 5, 25, "training accuracy",
                 long=True),
    "gru": Task("the specification's GRU, 3 epochs", text, specified("gru"), "cce", 3, 25, "training accuracy",
                long=True),
}  # fmt: skip
