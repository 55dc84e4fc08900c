"""Callbacks that watch a log: which way is better, they ask the metric and never its name."""

from __future__ import annotations

import numpy as np
import pytest

from miniDLF import metrics
from miniDLF.callbacks import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError
from miniDLF.layers import Dense
from miniDLF.metrics import MeanMetric
from miniDLF.models import Input, Model, Sequential
from miniDLF.models.compiling import LossMetric
from miniDLF.training.stopping import Watcher

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.arange(12) % 3
WATCHERS = [EarlyStopping, lambda *a, **k: ModelCheckpoint("path", *a, save_best_only=True, **k), ReduceLROnPlateau]


def classifier(*measured, **settings):
    model = Sequential([Dense(3, activation="softmax", input_shape=(3,))], seed=1)
    model.compile("cce", "adam", metrics=list(measured), **settings)
    return model


def sign_in(model, watcher: Watcher) -> float:
    watcher.set_model(model)
    return watcher.sign


def error(target, prediction):
    return np.abs(prediction.max(-1) - 1)


RISING = [
    metrics.Accuracy(name="x"),
    metrics.TopKCategoricalAccuracy(k=2, name="mean_error"),
    metrics.AUC(name="loss_of_rank"),
    metrics.F1Score("macro", name="mse"),
    metrics.R2Score(name="x"),
    metrics.CosineSimilarity(name="x"),
    MeanMetric(error, better="max"),
]
FALLING = [
    metrics.Perplexity(name="accuracy"),
    metrics.MeanSquaredError(name="auc"),
    metrics.RootMeanSquaredError(name="x"),
    LossMetric("mape", name="x"),
    MeanMetric(error, name="accuracy", better="min"),
]


@pytest.mark.parametrize("make", WATCHERS)
@pytest.mark.parametrize("metric", [*RISING, *FALLING], ids=repr)
def test_the_metric_decides_whatever_its_name(metric, make) -> None:
    model = classifier(metric)
    for monitor in (metric.name, f"val_{metric.name}"):
        assert sign_in(model, make(monitor)) == (1.0 if metric in RISING else -1.0)
        assert sign_in(model, make(monitor, mode="min")) == -1.0
        assert sign_in(model, make(monitor, mode="max")) == 1.0


def test_losses_fall_also_those_of_several_outputs_and_names_are_told_apart() -> None:
    x = Input((3,))
    model = Model(x, {"accuracy": Dense(1)(x), "error": Dense(3, activation="softmax")(x)})
    settings = {"accuracy": ["mse"], "error": ["accuracy", "accuracy"]}
    model.compile({"accuracy": "mse", "error": "cce"}, "adam", settings, weighted_metrics={"error": ["accuracy"]})
    logs = model.engine().directions()
    assert {name for name, better in logs.items() if better == "min"} == {
        "loss",
        "accuracy_loss",
        "accuracy_mse",
        "error_loss",
    }
    assert list(logs) == list(model.engine().logs())
    assert sign_in(model, EarlyStopping("val_error_weighted_accuracy")) == 1.0
    assert sign_in(model, EarlyStopping("val_accuracy_loss")) == -1.0


@pytest.mark.parametrize("make", WATCHERS)
def test_where_nothing_is_known_it_is_refused_before_the_first_step(make) -> None:
    model = classifier(error)
    before = model.get_weights()[0]
    with pytest.raises(
        ArgumentError, match=r"nothing says whether more or less of 'error' is better\. Write mode='max'"
    ):
        model.fit(X, Y, verbose=0, callbacks=[make("error")])
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_a_metric_and_a_callback_of_ones_own_say_which_way() -> None:
    class Rows(metrics.Metric):
        name = "rows"
        better = "max"

        def reset(self):
            self.rows = 0

        def update(self, target, prediction, weights=None):
            self.rows += len(target)

        def result(self):
            return float(self.rows)

    class Adds(Callback):
        better = {"added": "max"}

        def on_epoch_end(self, epoch, logs=None):
            logs["added"], logs["silent"] = -float(epoch), 0.0

    model = classifier(Rows())
    assert sign_in(model, EarlyStopping("val_rows")) == 1.0
    stop = EarlyStopping("added", patience=1)
    model.fit(X, Y, epochs=9, verbose=0, callbacks=[Adds(), stop])
    assert stop.stopped_epoch == 1
    with pytest.raises(ArgumentError, match="more or less of 'silent' is better"):
        model.fit(X, Y, verbose=0, callbacks=[Adds(), EarlyStopping("silent")])


def test_the_accuracies_of_a_data_set_rise() -> None:
    stop = EarlyStopping("val_accuracy", patience=1, restore_best_weights=True)
    model = classifier()
    history = model.fit(Dataset(X, Y, test=(X, Y)), 4, verbose=0, callbacks=[stop])
    assert stop.best == max(history.history["val_accuracy"])


def test_a_checkpoint_has_to_beat_its_first_value(tmp_path) -> None:
    for limit, saved in ((0.0, True), (1.0, False)):
        model = classifier("accuracy")
        path = tmp_path / f"{limit}.safetensors"
        best = ModelCheckpoint(path, "accuracy", save_best_only=True, initial_value_threshold=limit)
        model.fit(X, Y, verbose=0, epochs=1, callbacks=[best])
        assert path.exists() == saved
