"""The cases of the losses: one line each; the suites and the parity tests run over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from miniDLF import losses
from miniDLF.losses import Loss

Maker = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng, shape):
    return rng.normal(size=shape)


def positive(rng, shape):
    return rng.uniform(0.2, 3.0, size=shape)


def counts(rng, shape):
    return rng.poisson(2.0, size=shape)


def unit(rng, shape):
    return rng.uniform(0.05, 0.95, size=shape)


def bits(rng, shape):
    return rng.integers(0, 2, size=shape)


def signs(rng, shape):
    return 2 * rng.integers(0, 2, size=shape) - 1


def labels(rng, shape):
    return rng.integers(0, shape[-1], size=shape[:-1])


def rows(rng, shape):
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


@dataclass
class LossCase:
    """A loss, the shape of the output, and what predictions and targets look like."""

    loss: Loss
    shape: tuple[int, ...]
    predictions: Maker = normal
    targets: Maker = normal

    def __str__(self) -> str:
        return f"{self.loss!r} on {self.shape}, {self.targets.__name__}"

    def sample(self, rng: np.random.Generator, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """Return float64 predictions and encoded targets, away from the points where the derivative jumps."""
        shape = (count, *self.shape)
        prediction, target = self.predictions(rng, shape), self.targets(rng, shape)
        return prediction.astype(np.float64), self.loss.encode(target, self.shape)


CASES = [
    LossCase(losses.MeanSquaredError(), (3,)),
    LossCase(losses.MeanSquaredError(), ()),
    LossCase(losses.MeanSquaredError(), (2, 3, 4)),
    LossCase(losses.MeanSquaredError(), (1,), normal, counts),
    LossCase(losses.MeanAbsoluteError(), (3,)),
    LossCase(losses.Huber(), (4,)),
    LossCase(losses.Huber(delta=0.3), (2, 3)),
    LossCase(losses.LogCosh(), (3,)),
    LossCase(losses.MeanAbsolutePercentageError(), (3,), normal, positive),
    LossCase(losses.MeanSquaredLogarithmicError(), (3,), positive, positive),
    LossCase(losses.MeanSquaredLogarithmicError(), (6,), normal, positive),
    LossCase(losses.Poisson(), (3,), positive, counts),
    LossCase(losses.CosineSimilarity(), (4,)),
    LossCase(losses.CosineSimilarity(), (3, 4)),
    LossCase(losses.Hinge(), (3,), normal, signs),
    LossCase(losses.Hinge(), (1,), normal, bits),
    LossCase(losses.SquaredHinge(), (3,), normal, signs),
    LossCase(losses.SquaredHinge(), (1,), normal, bits),
    LossCase(losses.CategoricalHinge(), (4,), normal, labels),
    LossCase(losses.CategoricalHinge(), (3, 4), normal, labels),
    LossCase(losses.KLDivergence(), (4,), rows, rows),
    LossCase(losses.KLDivergence(), (3, 4), rows, rows),
    LossCase(losses.CategoricalCrossentropy(), (4,), rows, labels),
    LossCase(losses.CategoricalCrossentropy(), (3, 4), rows, labels),
    LossCase(losses.CategoricalCrossentropy(), (3, 4), rows, rows),
    LossCase(losses.CategoricalCrossentropy(label_smoothing=0.1), (3, 4), rows, labels),
    LossCase(losses.CategoricalCrossentropy(label_smoothing=0.1), (4,), rows, rows),
    LossCase(losses.CategoricalCrossentropy(over_time="mean"), (3, 4), rows, labels),
    LossCase(losses.CategoricalCrossentropy(from_logits=True), (4,), normal, labels),
    LossCase(losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), (3, 4), normal, labels),
    LossCase(losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), (4,), normal, rows),
    LossCase(losses.CategoricalCrossentropy(from_logits=True, over_time="mean"), (2, 3, 4), normal, rows),
    LossCase(losses.SparseCategoricalCrossentropy(), (4,), rows, labels),
    LossCase(losses.SparseCategoricalCrossentropy(from_logits=True), (3, 4), normal, labels),
    LossCase(losses.BinaryCrossentropy(), (3,), unit, bits),
    LossCase(losses.BinaryCrossentropy(), (1, 4, 4), unit, unit),
    LossCase(losses.BinaryCrossentropy(label_smoothing=0.1), (1,), unit, bits),
    LossCase(losses.BinaryCrossentropy(from_logits=True), (3,), normal, bits),
    LossCase(losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), (3,), normal, unit),
    LossCase(losses.BinaryFocalCrossentropy(), (3,), unit, bits),
    LossCase(losses.BinaryFocalCrossentropy(apply_class_balancing=True, gamma=1.5), (3,), unit, bits),
    LossCase(losses.BinaryFocalCrossentropy(gamma=0.0), (3,), unit, unit),
    LossCase(losses.BinaryFocalCrossentropy(from_logits=True, alpha=0.4), (3,), normal, unit),
    LossCase(losses.BinaryFocalCrossentropy(from_logits=True, apply_class_balancing=True), (1,), normal, bits),
    LossCase(losses.CategoricalFocalCrossentropy(), (4,), rows, labels),
    LossCase(losses.CategoricalFocalCrossentropy(gamma=0.0), (3, 4), rows, rows),
    LossCase(losses.CategoricalFocalCrossentropy(from_logits=True, gamma=1.5), (3, 4), normal, labels),
    LossCase(losses.CategoricalFocalCrossentropy(label_smoothing=0.1, over_time="mean"), (3, 4), rows, labels),
]
