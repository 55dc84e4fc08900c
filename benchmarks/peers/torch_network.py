"""A described network as a module of PyTorch, with its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import networks as n

__all__ = ["loss_of", "network", "output_of"]


class Projected(nn.Module):
    """A recurrent layer of PyTorch and the projection back to the features.

    Its GRU applies the reset gate after the recurrent product (Cho et al. 2014, first version), which lets one product
    serve all three gates; miniDLF's applies it before, as the specification's parameter counts demand. So this GRU has
    `units` more biases and the same products.
    """

    def __init__(self, kind: str, features: int, units: int) -> None:
        super().__init__()
        cells: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        self.core = cells[kind](features, units, batch_first=True)
        self.project = nn.Linear(units, features)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.core(x)
        return self.project(states)


def network(layers: Sequence[n.Layer], shape: n.Shape) -> nn.Sequential:
    """Return the module; it gives logits."""
    parts: list[nn.Module] = []
    for layer in layers:
        match layer:
            case n.Dense(units):
                parts.append(nn.Linear(shape[-1], units))
            case n.Conv(filters, kernel, stride, padding):
                parts.append(nn.Conv2d(shape[0], filters, kernel, stride, padding))
            case n.Pool(size, mode):
                parts.append(nn.MaxPool2d(size) if mode == "max" else nn.AvgPool2d(size))
            case n.UpSample(size):
                parts.append(nn.Upsample(scale_factor=size))
            case n.Flatten():
                parts.append(nn.Flatten())
            case n.Dropout(rate):
                parts.append(nn.Dropout(rate))
            case n.BatchNorm():
                parts.append(nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0]))
            case n.Activation(kind):
                parts.append(nn.ReLU(inplace=True) if kind == "relu" else nn.LeakyReLU(1e-4, inplace=True))
            case n.Recurrent(kind, units):
                parts.append(Projected(kind, shape[-1], units))
            case _:
                raise TypeError(f"no module for {layer}")
        shape = layer.output(shape)
    return nn.Sequential(*parts)


def loss_of(kind: str, logits: Tensor, target: Tensor) -> Tensor:
    """Return the loss: fused with softmax or sigmoid, as its documentation advises."""
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, target)
    if logits.ndim == 3:  # summed over the steps, a mean over the batch
        return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum") / len(logits)
    return F.cross_entropy(logits, target)


def output_of(kind: str, logits: Tensor) -> Tensor:
    """Return the prediction."""
    return torch.sigmoid(logits) if kind == "bce" else torch.softmax(logits, -1)
