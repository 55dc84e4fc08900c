"""Losses next to PyTorch's (value and gradient) and Keras' (the loss of each sample)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniDLF import losses
from tests.losses.cases import bits, counts, labels, normal, positive, rows, signs, unit

pytestmark = pytest.mark.parity

N = 6


def _fresh(name: str, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
    return np.empty(shape, dtype or np.float64)


def _sum_over_time(each: Any) -> Any:
    """PyTorch's losses of every step (N, T), or of every sample (N,), as ours: added up."""
    return each.reshape(N, -1).sum(1)


def _mean(each: Any) -> Any:
    return each.reshape(N, -1).mean(1)


def _cross_entropy(**settings: Any) -> Callable[[Any, Any], Any]:
    def function(z: Any, t: Any) -> Any:
        import torch

        target = t.reshape(-1, z.shape[-1]) if t.ndim == z.ndim else t.reshape(-1)
        return _sum_over_time(
            torch.nn.functional.cross_entropy(z.reshape(-1, z.shape[-1]), target, reduction="none", **settings)
        )

    return function


def _functional(name: str, join: Callable[[Any], Any] = _mean, **settings: Any) -> Callable[[Any, Any], Any]:
    def function(p: Any, t: Any) -> Any:
        import torch

        return join(getattr(torch.nn.functional, name)(p, t.to(p.dtype), reduction="none", **settings))

    return function


def _kl(p: Any, t: Any) -> Any:
    import torch

    return torch.nn.functional.kl_div(p.log(), t, reduction="none").sum(-1).reshape(N, -1).mean(1)


def _cosine(p: Any, t: Any) -> Any:
    import torch

    return -torch.nn.functional.cosine_similarity(p, t, dim=-1).reshape(N, -1).mean(1)


def _nll(p: Any, t: Any) -> Any:
    import torch

    flat = p.reshape(-1, p.shape[-1]).log()
    return _sum_over_time(torch.nn.functional.nll_loss(flat, t.reshape(-1), reduction="none"))


TORCH = [
    (losses.MeanSquaredError(), (3, 4), normal, normal, _functional("mse_loss")),
    (losses.MeanAbsoluteError(), (3,), normal, normal, _functional("l1_loss")),
    (losses.Huber(0.7), (3,), normal, normal, _functional("huber_loss", delta=0.7)),
    (losses.Poisson(), (3,), positive, counts, _functional("poisson_nll_loss", log_input=False, eps=1e-7)),
    (losses.CosineSimilarity(), (3, 4), normal, normal, _cosine),
    (losses.KLDivergence(), (3, 4), rows, rows, _kl),
    (losses.CategoricalCrossentropy(), (3, 4), rows, labels, _nll),
    (losses.CategoricalCrossentropy(from_logits=True), (4,), normal, labels, _cross_entropy()),
    (losses.CategoricalCrossentropy(from_logits=True), (60, 43), normal, labels, _cross_entropy()),
    (losses.CategoricalCrossentropy(from_logits=True), (3, 4), normal, rows, _cross_entropy()),
    (
        losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        (3, 4),
        normal,
        labels,
        _cross_entropy(label_smoothing=0.1),
    ),
    (losses.SparseCategoricalCrossentropy(from_logits=True), (4,), normal, labels, _cross_entropy()),
    (losses.BinaryCrossentropy(), (3,), unit, unit, _functional("binary_cross_entropy")),
    (
        losses.BinaryCrossentropy(from_logits=True),
        (1, 5, 5),
        normal,
        bits,
        _functional("binary_cross_entropy_with_logits"),
    ),
]


@pytest.mark.parametrize(("loss", "shape", "predictions", "targets", "function"), TORCH, ids=lambda value: repr(value))
def test_value_and_gradient_are_pytorchs(loss, shape, predictions, targets, function) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    prediction, target = predictions(rng, (N, *shape)), targets(rng, (N, *shape))
    weights = rng.uniform(0.1, 1.0, size=N)
    p = torch.tensor(prediction, requires_grad=True)
    expected = (function(p, torch.tensor(target)) * torch.tensor(weights)).sum()
    expected.backward()
    value, gradient = loss.value_and_grad(prediction, loss.encode(target, shape), weights, _fresh)
    assert value == pytest.approx(expected.item(), rel=1e-10)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "shape", "targets", "name"),
    [
        (losses.CategoricalCrossentropy(), (60, 43), labels, "softmax"),
        (losses.CategoricalCrossentropy(), (4,), rows, "softmax"),
        (losses.BinaryCrossentropy(), (3,), bits, "sigmoid"),
    ],
    ids=repr,
)
def test_the_fused_forms_are_pytorchs(loss, shape, targets, name) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    logits, target = 3 * rng.normal(size=(N, *shape)), targets(rng, (N, *shape))
    weights = np.full(N, 1 / N)
    z = torch.tensor(logits, requires_grad=True)
    function = _cross_entropy() if name == "softmax" else _functional("binary_cross_entropy_with_logits")
    expected = function(z, torch.tensor(target)).mean()
    expected.backward()
    value, gradient, prediction = loss.fused_value_and_grad(logits, loss.encode(target, shape), weights, _fresh)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, z.grad.numpy(), rtol=1e-9, atol=1e-13)
    answer = torch.softmax(z, -1) if name == "softmax" else torch.sigmoid(z)
    np.testing.assert_allclose(prediction, answer.detach().numpy(), rtol=1e-12)


#: Our loss, Keras' class of the same name with these arguments, the output's shape, predictions and targets.
KERAS: list[tuple[losses.Loss, dict[str, Any], tuple[int, ...], Any, Any]] = [
    (losses.MeanSquaredError(), {}, (3,), normal, normal),
    (losses.MeanAbsoluteError(), {}, (3,), normal, normal),
    (losses.Huber(0.7), {"delta": 0.7}, (3,), normal, normal),
    (losses.LogCosh(), {}, (3,), normal, normal),
    (losses.MeanAbsolutePercentageError(), {}, (3,), normal, positive),
    (losses.MeanSquaredLogarithmicError(), {}, (3,), normal, positive),
    (losses.Poisson(), {}, (3,), positive, counts),
    (losses.CosineSimilarity(), {}, (3,), normal, normal),
    (losses.Hinge(), {}, (3,), normal, signs),
    (losses.Hinge(), {}, (3,), normal, bits),
    (losses.SquaredHinge(), {}, (3,), normal, bits),
    (losses.CategoricalHinge(), {}, (4,), normal, labels),
    (losses.KLDivergence(), {}, (4,), rows, rows),
    (losses.CategoricalCrossentropy(), {}, (4,), rows, rows),
    (losses.CategoricalCrossentropy(label_smoothing=0.1), {"label_smoothing": 0.1}, (4,), rows, labels),
    (losses.CategoricalCrossentropy(over_time="mean"), {}, (5, 4), rows, rows),
    (losses.SparseCategoricalCrossentropy(), {}, (4,), rows, labels),
    (losses.SparseCategoricalCrossentropy(from_logits=True), {"from_logits": True}, (4,), normal, labels),
    (losses.BinaryCrossentropy(), {}, (3,), unit, unit),
    (losses.BinaryCrossentropy(label_smoothing=0.1), {"label_smoothing": 0.1}, (3,), unit, bits),
    (losses.BinaryFocalCrossentropy(gamma=1.5), {"gamma": 1.5}, (3,), unit, bits),
    (losses.BinaryFocalCrossentropy(label_smoothing=0.2), {"label_smoothing": 0.2}, (3,), unit, bits),
    (
        losses.BinaryFocalCrossentropy(from_logits=True, apply_class_balancing=True, alpha=0.4),
        {"from_logits": True, "apply_class_balancing": True, "alpha": 0.4},
        (3,),
        normal,
        bits,
    ),
    (losses.CategoricalFocalCrossentropy(), {}, (4,), rows, labels),
    (losses.CategoricalFocalCrossentropy(alpha=0.5, gamma=3.0), {"alpha": 0.5, "gamma": 3.0}, (4,), rows, labels),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("loss", "settings", "shape", "predictions", "targets"), KERAS, ids=lambda value: repr(value))
def test_the_loss_of_each_sample_is_keras(loss, settings, shape, predictions, targets) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(2)
    prediction, target = predictions(rng, (N, *shape)), targets(rng, (N, *shape))
    theirs = getattr(keras.losses, type(loss).__name__)(reduction=None, **settings)
    given = np.eye(shape[-1])[target] if targets is labels and not type(loss).__name__.startswith("Sparse") else target
    expected = np.asarray(theirs(given.astype(np.float32), prediction.astype(np.float32)))
    expected = expected.reshape(N, -1).mean(axis=1)
    measured = loss.per_sample(prediction, loss.encode(target, shape))
    np.testing.assert_allclose(measured, expected, rtol=2e-5, atol=1e-6)


def test_every_loss_that_keras_has_too_is_compared() -> None:
    compared = {type(case[0]) for case in KERAS}
    classes = {getattr(losses, name) for name in losses.__all__} - {losses.Loss, losses.ElementwiseLoss}
    assert compared == {one for one in classes if isinstance(one, type)}
