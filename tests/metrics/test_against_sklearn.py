"""Values against scikit-learn, with weights, streamed in uneven batches."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF import losses, metrics

sk = pytest.importorskip("sklearn.metrics")

N = 200
RNG = np.random.default_rng(11)
WEIGHTS = RNG.uniform(0.1, 2.0, size=N)
BINARY = RNG.integers(0, 2, size=(N, 1))
SCORES = np.round(np.clip(0.4 * BINARY + 0.6 * RNG.uniform(size=(N, 1)), 0, 1), 2)
CLASSES = RNG.integers(0, 5, size=N)
PROBABILITIES = RNG.dirichlet(np.ones(5), size=N) + 0.2 * np.eye(5)[CLASSES]
PROBABILITIES /= PROBABILITIES.sum(axis=1, keepdims=True)
MANY = RNG.integers(0, 2, size=(N, 3))
MANY_SCORES = np.round(np.clip(0.3 * MANY + 0.7 * RNG.uniform(size=(N, 3)), 0, 1), 2)
NUMBERS = RNG.normal(1e4, 1.0, size=(N, 3))
ESTIMATES = NUMBERS + RNG.normal(size=(N, 3))


def _measured(metric, target, prediction, weights):
    for start, stop in ((0, 60), (60, 61), (61, 150), (150, N)):
        metric.update(target[start:stop], prediction[start:stop], None if weights is None else weights[start:stop])
    return metric.result()


@pytest.fixture(params=[None, WEIGHTS], ids=["even", "weighted"])
def weights(request):
    return request.param


def test_accuracies(weights) -> None:
    expected = sk.accuracy_score(BINARY[:, 0], SCORES[:, 0] > 0.5, sample_weight=weights)
    for metric in (metrics.Accuracy(), metrics.BinaryAccuracy()):
        assert _measured(metric, BINARY, SCORES, weights) == pytest.approx(expected)
    expected = sk.accuracy_score(CLASSES, PROBABILITIES.argmax(1), sample_weight=weights)
    for metric in (metrics.Accuracy(), metrics.CategoricalAccuracy(), metrics.SparseCategoricalAccuracy()):
        for target in (CLASSES, CLASSES[:, None], np.eye(5)[CLASSES]):
            assert _measured(metric, target, PROBABILITIES, weights) == pytest.approx(expected)
            metric.reset()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k(k, weights) -> None:
    expected = sk.top_k_accuracy_score(CLASSES, PROBABILITIES, k=k, sample_weight=weights, labels=range(5))
    assert _measured(metrics.TopKCategoricalAccuracy(k), CLASSES, PROBABILITIES, weights) == pytest.approx(expected)


COUNTED = [
    (metrics.Precision, "precision_score"),
    (metrics.Recall, "recall_score"),
    (metrics.F1Score, "f1_score"),
]


@pytest.mark.parametrize(("kind", "name"), COUNTED)
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_counts_of_classes(kind, name, average, weights) -> None:
    expected = getattr(sk, name)(CLASSES, PROBABILITIES.argmax(1), average=average, sample_weight=weights)
    np.testing.assert_allclose(_measured(kind(average), CLASSES, PROBABILITIES, weights), expected, rtol=1e-12)
    expected = getattr(sk, name)(MANY, MANY_SCORES > 0.5, average=average, sample_weight=weights)
    measured = _measured(kind(average, multi_label=True), MANY, MANY_SCORES, weights)
    np.testing.assert_allclose(measured, expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "name"), COUNTED)
def test_counts_of_yes(kind, name, weights) -> None:
    expected = getattr(sk, name)(BINARY[:, 0], SCORES[:, 0] > 0.3, sample_weight=weights)
    assert _measured(kind(threshold=0.3), BINARY, SCORES, weights) == pytest.approx(expected)
    for average in ("macro", "micro", "weighted", None):  # of both answers
        expected = getattr(sk, name)(BINARY[:, 0], SCORES[:, 0] > 0.3, average=average, sample_weight=weights)
        measured = _measured(kind(average, threshold=0.3), BINARY, SCORES, weights)
        np.testing.assert_allclose(measured, expected, rtol=1e-12)
    two = np.hstack([1 - SCORES, SCORES])
    expected = getattr(sk, name)(BINARY[:, 0], two.argmax(1), sample_weight=weights)
    assert _measured(kind(), BINARY[:, 0], two, weights) == pytest.approx(expected)


def test_areas(weights) -> None:
    expected = sk.roc_auc_score(BINARY[:, 0], SCORES[:, 0], sample_weight=weights)
    assert _measured(metrics.AUC(), BINARY, SCORES, weights) == pytest.approx(expected, rel=1e-12)
    expected = sk.average_precision_score(BINARY[:, 0], SCORES[:, 0], sample_weight=weights)
    assert _measured(metrics.AUC("PR"), BINARY, SCORES, weights) == pytest.approx(expected, rel=1e-12)
    expected = sk.roc_auc_score(CLASSES, PROBABILITIES, multi_class="ovr", sample_weight=weights)
    assert _measured(metrics.AUC(), CLASSES, PROBABILITIES, weights) == pytest.approx(expected, rel=1e-12)
    expected = sk.roc_auc_score(MANY, MANY_SCORES, sample_weight=weights)
    assert _measured(metrics.AUC(), MANY, MANY_SCORES, weights) == pytest.approx(expected, rel=1e-12)
    expected = sk.average_precision_score(MANY, MANY_SCORES, sample_weight=weights)
    assert _measured(metrics.AUC("PR"), MANY, MANY_SCORES, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_matrix(normalize, weights) -> None:
    settings = {"sample_weight": weights, "normalize": normalize}
    expected = sk.confusion_matrix(CLASSES, PROBABILITIES.argmax(1), **settings)
    measured = _measured(metrics.ConfusionMatrix(normalize), CLASSES, PROBABILITIES, weights)
    np.testing.assert_allclose(measured, expected, rtol=1e-12)
    expected = sk.confusion_matrix(BINARY[:, 0], SCORES[:, 0] > 0.5, **settings)
    measured = _measured(metrics.ConfusionMatrix(normalize), BINARY, SCORES, weights)
    np.testing.assert_allclose(measured, expected, rtol=1e-12)


def test_numbers(weights) -> None:
    for metric, function in (
        (metrics.MeanAbsoluteError(), sk.mean_absolute_error),
        (metrics.MeanSquaredError(), sk.mean_squared_error),
        (metrics.R2Score(), sk.r2_score),
    ):
        expected = function(NUMBERS, ESTIMATES, sample_weight=weights)
        assert _measured(metric, NUMBERS, ESTIMATES, weights) == pytest.approx(expected, rel=1e-10)
    squared = sk.mean_squared_error(NUMBERS, ESTIMATES, sample_weight=weights)
    assert _measured(metrics.RootMeanSquaredError(), NUMBERS, ESTIMATES, weights) == pytest.approx(np.sqrt(squared))
    cosine = np.average(
        [sk.pairwise.cosine_similarity(a[None], b[None])[0, 0] for a, b in zip(NUMBERS, ESTIMATES, strict=True)],
        weights=weights,
    )
    assert _measured(metrics.CosineSimilarity(), NUMBERS, ESTIMATES, weights) == pytest.approx(cosine, rel=1e-12)


def test_r2_of_a_constant_target_is_scikit_learns() -> None:
    constant = np.column_stack([np.ones(N), np.full(N, 2.0), np.arange(N)])
    estimates = constant.copy()
    estimates[:, 1] += 0.5
    assert _measured(metrics.R2Score(), constant, estimates, None) == pytest.approx(sk.r2_score(constant, estimates))


def test_perplexity(weights) -> None:
    expected = np.exp(sk.log_loss(CLASSES, PROBABILITIES, sample_weight=weights))
    for target in (CLASSES, np.eye(5)[CLASSES]):
        assert _measured(metrics.Perplexity(), target, PROBABILITIES, weights) == pytest.approx(expected, rel=1e-12)
        logits = np.log(PROBABILITIES) + 3.0
        metric = metrics.Perplexity(from_logits=True)
        assert _measured(metric, target, logits, weights) == pytest.approx(expected, rel=1e-12)


def test_a_loss_and_the_metric_of_its_name_agree() -> None:
    each = losses.MeanSquaredError().per_sample(ESTIMATES, NUMBERS)
    assert _measured(metrics.MeanSquaredError(), NUMBERS, ESTIMATES, None) == pytest.approx(each.mean())
    each = losses.CosineSimilarity().per_sample(ESTIMATES, NUMBERS)
    assert _measured(metrics.CosineSimilarity(), NUMBERS, ESTIMATES, None) == pytest.approx(-each.mean())
