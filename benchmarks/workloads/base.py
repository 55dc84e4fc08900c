"""What a workload is: a network, a data set, a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.networks import (
    Conv,
    Layer,
    Recurrent,
    Shape,
    count_parameters,
    forward_flops,
    output_shape,
    training_flops,
)

__all__ = ["Data", "Workload"]


class Data(NamedTuple):
    """Inputs (N, ...) as float32, and targets: class labels as int64 (N,) or (N, steps); ``None``: the inputs."""

    x: np.ndarray
    y: np.ndarray | None


@dataclass(frozen=True)
class Workload:
    """One line of the report.

    Parameters
    ----------
    name, title
        The key on the command line, and the words in the report.
    layers, input_shape
        The network (see `benchmarks.networks`) and the shape of a sample.
    batch
        Samples a step.
    loss
        'cce' on labels (with a sequence: summed over its steps, averaged over the batch), or 'bce' on the inputs.
    samples
        Rows of the data set that batches are gathered from.
    mode
        'train': gather, forward, loss, backward, Adam. 'predict': forward of one NumPy batch to a NumPy result.
        'epoch': a whole program, from the start of its process to the printed line of the first epoch.
    specified
        Whether it is one of the specification's five.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    input_shape: Shape
    batch: int
    loss: str = "cce"
    samples: int = 4096
    mode: str = "train"
    specified: bool = False

    @property
    def output_shape(self) -> Shape:
        """Shape of a prediction."""
        return output_shape(self.layers, self.input_shape)

    @property
    def parameters(self) -> int:
        """Trained parameters."""
        return count_parameters(self.layers, self.input_shape)

    @property
    def flops(self) -> int:
        """Flops of the matrix products of one step (2 m n k each); nothing elementwise is counted."""
        each = (forward_flops if self.mode == "predict" else training_flops)(self.layers, self.input_shape)
        return each * (self.samples if self.mode == "epoch" else self.batch)

    @property
    def convolves(self) -> bool:
        """Whether there are convolutions: then the memory order of images matters."""
        return any(isinstance(layer, Conv) for layer in self.layers)

    @property
    def recurs(self) -> bool:
        """Whether there are recurrent layers."""
        return any(isinstance(layer, Recurrent) for layer in self.layers)

    def data(self) -> Data:
        """Make the data set: random numbers in the shapes and ranges of the real thing."""
        rng = np.random.default_rng(7)
        rows = max(self.samples, self.batch)
        if self.recurs:
            steps, features = self.input_shape
            text = rng.integers(0, features, (rows, steps + 1))
            x = np.zeros((rows, steps, features), np.float32)
            np.put_along_axis(x, text[:, :-1, None], 1, axis=2)
            return Data(x, text[:, 1:].astype(np.int64))
        x = rng.random((rows, *self.input_shape), dtype=np.float32)
        if self.loss == "bce":
            return Data(x, None)
        return Data(x, rng.integers(0, self.output_shape[-1], rows))
