"""The five networks of the specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from miniDLF.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pooling2D,
)

__all__ = ["NETWORKS", "Network"]


@dataclass(frozen=True)
class Network:
    """A network of the specification with the settings of its example."""

    layers: Callable[[Any], list[Layer]]  # of the input's shape
    kind: str  # "vectors", "images" or "text"
    epochs: int
    batch_size: int
    early_stop_after: int
    accuracy_threshold: float | None = None


def _mlp(shape: Any) -> list[Layer]:
    layers: list[Layer] = [Dense(400, input_shape=shape), Activation("leaky_relu"), Dropout(0.2)]
    for _ in range(2):
        layers += [Dense(400), Activation("leaky_relu"), Dropout(0.2)]
    return [*layers, Dense(10), Activation("softmax")]


def _cnn(shape: Any) -> list[Layer]:
    return [
        Conv2D(32, (6, 6), 2, input_shape=shape),
        Activation("leaky_relu"),
        Pooling2D(2, 2, "avg"),
        Conv2D(32, (3, 3), 2),
        Activation("leaky_relu"),
        Pooling2D(2, 2, "avg"),
        Flatten(),
        Dense(100),
        Activation("leaky_relu"),
        BatchNormalization(),
        Dense(10),
        Activation("softmax"),
    ]


def _rnn(shape: Any) -> list[Layer]:
    return [RNN(256, input_shape=shape), RNN(256), RNN(256), Activation("softmax")]


def _lstm(shape: Any) -> list[Layer]:
    return [LSTM(256, input_shape=shape), Activation("softmax")]


def _gru(shape: Any) -> list[Layer]:
    return [GRU(256, input_shape=shape), Activation("softmax")]


NETWORKS: Mapping[str, Network] = {
    "mlp": Network(_mlp, "vectors", 25, 512, 10),
    "cnn": Network(_cnn, "images", 15, 512, 10),
    "rnn": Network(_rnn, "text", 1000, 25, 30, 0.95),
    "lstm": Network(_lstm, "text", 1000, 25, 30, 0.95),
    "gru": Network(_gru, "text", 1000, 25, 30, 0.95),
}
