"""fit and evaluate: weights, validation, iterables, memory-mapped data, what is printed."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.callbacks import BackupAndRestore, LambdaCallback, ProgressBar
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from miniDLF.layers import Activation, Dense
from miniDLF.models import Sequential
from miniDLF.optimizers import LBFGS, SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4))
Y = (X @ np.array([[1.0, -1, 0], [0, 1, 1], [1, 0, -1], [0, 0, 1]])).argmax(1)


def model(**compiled: Any) -> Sequential:
    made = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0, dtype="float64")
    made.compile("cce", compiled.pop("optimizer", "adam"), **compiled)
    return made


def losses_of(made: Sequential, x: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    return -np.log(made.predict(x)[np.arange(len(x)), y])


def test_sample_and_class_weights_enter_the_loss_as_in_keras() -> None:
    made = model(weighted_metrics=["accuracy"], metrics=["accuracy"])
    weights = RNG.random(50)
    each = losses_of(made)
    assert made.evaluate(X, Y, sample_weight=weights)[0] == pytest.approx(np.mean(each * weights))
    right = made.predict(X).argmax(1) == Y
    logs = list(made.evaluate(X, Y, sample_weight=weights, return_dict=True).values())
    assert logs[-1] == pytest.approx(np.sum(right * weights) / np.sum(weights))
    loss, gradients = made.gradients(X, Y, weights)
    assert loss == pytest.approx(np.mean(each * weights))
    error = (made.predict(X) - np.eye(3)[Y]) * weights[:, None] / 50
    np.testing.assert_allclose(gradients["dense_1/weight"], X.T @ error, atol=1e-12)
    by_class = {0: 2.0, 2: 0.5}
    once = {"epochs": 1, "verbose": 0, "shuffle": False, "batch_size": 10, "class_weight": by_class}
    batches = [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10)]
    whole = model(optimizer=SGD(lr=0.1)).fit(X, Y, **once).history["loss"]
    once.pop("batch_size")
    assert model(optimizer=SGD(lr=0.1)).fit(iter(batches), **once).history["loss"] == pytest.approx(whole)
    expected = np.mean(each * np.array([2.0, 1.0, 0.5])[Y])
    assert model().train_on_batch(X, Y, class_weight=by_class) == pytest.approx(expected)


def test_the_last_partial_batch_is_used_and_means_are_weighted_by_rows() -> None:
    made = model(optimizer=SGD(lr=0.0, decay=0.0, momentum=0.0, nesterov=False))
    sizes: list[int] = []
    seen = LambdaCallback(on_train_batch_end=lambda batch, logs: sizes.append(batch))
    history = made.fit(X, Y, batch_size=16, epochs=1, verbose=0, callbacks=[seen], shuffle=False).history
    assert sizes == [0, 1, 2, 3]
    assert history["loss"][0] == pytest.approx(np.mean(losses_of(made)))


def test_validation_in_its_forms() -> None:
    made = model()
    split = made.fit(X, Y, validation_split=0.2, verbose=0).history["val_loss"][0]
    assert split == pytest.approx(np.mean(losses_of(made, X[40:], Y[40:])))
    given = made.fit(X, Y, validation_data=(X[:10], Y[:10]), verbose=0).history["val_loss"][0]
    assert given == pytest.approx(np.mean(losses_of(made, X[:10], Y[:10])))
    batches = [(X[:5], Y[:5]), (X[5:10], Y[5:10])]
    assert "val_loss" in made.fit(X, Y, validation_data=batches, verbose=0).history
    every = made.fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=2, verbose=0).history
    assert (len(every["loss"]), len(every["val_loss"])) == (4, 2)
    listed = made.fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=[1], verbose=0).history
    assert len(listed["val_loss"]) == 1


def test_validation_data_take_the_place_of_the_test_split() -> None:
    made = model()
    given = made.fit(Dataset(X, Y, test_fraction=0.2), 2, validation_data=(X[:10], Y[:10]), verbose=0).history
    assert given["val_loss"][-1] == pytest.approx(np.mean(losses_of(made, X[:10], Y[:10])))
    assert {"loss", "accuracy", "val_loss"} == set(given)


@pytest.mark.parametrize(("stop", "epochs"), [(2, 3), (1, 2), (None, 20)])
def test_the_arguments_of_the_specification_in_their_order(stop: int | None, epochs: int) -> None:
    made, data = model(optimizer=SGD(lr=0.0)), Dataset(X, Y, test_fraction=0.2)
    steps: list[int] = []
    counting = [LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))]
    history = made.fit(data, 20, 8, stop, SGD(lr=0.0), shuffle=False, callbacks=counting)
    assert (len(history.epoch), max(steps)) == (epochs, 4)
    made.fit(data, 2, 50, 3, "adam")
    assert isinstance(made.optimizer, Adam)
    assert len(made.fit(data, 3, 50, 5, 0).epoch) == 3  # verbose, as Keras has it


def test_validation_steps_of_what_is_held_back() -> None:
    made = model()
    history = made.fit(X, Y, validation_split=0.2, validation_batch_size=2, validation_steps=3, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(np.mean(losses_of(made, X[40:46], Y[40:46])))


def test_weights_of_the_classes_of_a_hinge() -> None:
    made = Sequential([Dense(1, input_shape=(4,))], seed=0, dtype="float64")
    made.compile("hinge")
    sign = np.where(Y > 0, 1.0, -1.0)
    each = np.maximum(0, 1 - sign * made.predict(X)[:, 0])
    expected = np.mean(each * np.where(sign > 0, 3.0, 2.0))
    assert made.train_on_batch(X, sign[:, None], class_weight={-1: 2, 1: 3}) == pytest.approx(expected)


@pytest.mark.parametrize(
    "data",
    [(X, Y), (iter([(X, Y)] * 2),), ([(X, Y)] * 2,)],
    ids=["arrays", "a generator", "a list of batches"],
)
def test_fewer_batches_than_steps_are_said(data: Any) -> None:
    with pytest.warns(UserWarning, match=r" 2 batches, 7 were asked for; the epoch ends after 2"):
        model().fit(*data, steps_per_epoch=7, verbose=0)


def test_predictions_of_so_many_batches() -> None:
    made = model()
    every = made.predict(X)
    np.testing.assert_allclose(made.predict(X, batch_size=2, steps=3), every[:6])
    np.testing.assert_allclose(made.predict(X, steps=1), every[:32])


def test_generators_and_steps() -> None:
    def forever() -> Any:
        while True:
            for start in range(0, 50, 10):
                yield X[start : start + 10], Y[start : start + 10]

    made = model()
    history = made.fit(forever(), steps_per_epoch=5, epochs=2, verbose=0)
    assert len(history.epoch) == 2
    arrays = model()
    arrays.fit(X, Y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(made.get_weights(), arrays.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(DataError, match="exhausted"):
        made.fit(iter([(X, Y)]), epochs=2, verbose=0)
    with pytest.raises(ArgumentTypeError, match=r"must yield \(x, y\)"):
        made.fit(iter([X]), epochs=1, verbose=0)
    assert made.predict(iter([X[:3], X[3:7]])).shape == (7, 3)
    assert made.predict(forever(), steps=2).shape == (20, 3)


def test_predictions_of_what_is_no_number_are_no_number() -> None:
    made = model()
    x = X.copy()
    x[3, 2] = np.nan
    whole = made.predict(X)
    for predicted in (
        made.predict(x),
        made.predict(x.astype(np.float32)),
        made.predict(x, batch_size=7),
        made.predict(iter([x])),
    ):
        assert np.isnan(predicted[3]).all()
        np.testing.assert_allclose(np.delete(predicted, 3, 0), np.delete(whole, 3, 0), rtol=1e-5)


class Foreign:
    """An array of another library."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = array, array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.array, dtype)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> Foreign:
        return Foreign(self.array[key])

    def __iter__(self) -> Any:
        return map(Foreign, self.array)


def test_arrays_of_other_libraries() -> None:
    made = model()
    made.fit(Foreign(X), Foreign(Y), verbose=0)
    assert made.evaluate(Foreign(X), Foreign(Y)) == made.evaluate(X, Y)
    np.testing.assert_array_equal(made.predict(Foreign(X)), made.predict(X))
    np.testing.assert_array_equal(made.predict(Foreign(X), batch_size=20), made.predict(X, batch_size=20))


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    two = np.int64(2)
    made = model()
    history = made.fit(
        X,
        Y,
        epochs=np.int64(5),
        initial_epoch=two,
        validation_data=(X, Y),
        validation_freq=two,
        callbacks=BackupAndRestore(tmp_path),
        verbose=0,
    )
    assert (history.epoch, history.epochs["val_loss"]) == ([2, 3, 4], [3])
    listed = made.fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=np.array([2, 3]), verbose=0)
    assert listed.epochs["val_loss"] == [1, 2]


def test_the_logs_of_an_evaluation_have_the_same_names_in_fit_and_evaluate() -> None:
    seen: list[set[str]] = []
    watch = LambdaCallback(
        on_test_batch_end=lambda batch, logs: seen.append(set(logs)), on_test_end=lambda logs: seen.append(set(logs))
    )
    made = model(metrics=["accuracy"])
    history = made.fit(X, Y, validation_data=(X, Y), validation_batch_size=50, callbacks=watch, verbose=0)
    made.evaluate(X, Y, batch_size=50, callbacks=watch)
    assert seen == [{"loss", "accuracy"}] * 4
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_initial_epoch_and_stopping_in_the_middle() -> None:
    made = model()
    history = made.fit(X, Y, initial_epoch=2, epochs=5, verbose=0)
    assert history.epoch == [2, 3, 4]

    def stop(batch: int, logs: Any) -> None:
        made.stop_training = batch == 1

    history = made.fit(X, Y, epochs=5, batch_size=10, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=stop)])
    assert history.epoch == [0]


def test_memory_mapped_arrays_train_as_arrays_do(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    mapped = [np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy")]
    one, other = model(), model()
    one.fit(*mapped, batch_size=16, epochs=2, shuffle=False, verbose=0)
    other.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    one.fit(*mapped, batch_size=16, epochs=1, verbose=0)


def test_memory_mapped_arrays_are_never_read_whole(tmp_path: Path) -> None:
    rows, width = 80_000, 100
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(rows, width))
    y = np.arange(rows) % 3
    made = Sequential([Dense(3, input_shape=(width,)), Activation("softmax")], seed=0)
    made.compile("cce", "sgd", metrics=["accuracy"])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        made.fit(mapped, y, batch_size=1000, validation_split=0.1, verbose=0)
        made.evaluate(mapped, y, batch_size=1000)
        made.predict(mapped, batch_size=1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 3  # the order of the samples, targets and outputs are among it


def test_lbfgs_finds_the_minimum() -> None:
    x = RNG.normal(size=(60, 3))
    y = x @ np.array([[1.0], [2.0], [-1.0]]) + 0.5
    made = Sequential([Dense(1, input_shape=(3,))], seed=0, dtype="float64")
    made.compile("mse", LBFGS())
    assert made.fit(x, y, epochs=1, verbose=0).history["loss"][0] < 1e-8
    np.testing.assert_allclose(made.get_weights()[0].ravel(), [1, 2, -1], atol=1e-3)
    with pytest.raises(ArgumentError, match="all the data at once"):
        made.fit(iter([(x, y)]), verbose=0)


def test_the_printed_lines(capsys: pytest.CaptureFixture[str]) -> None:
    data = Dataset(X, Y, test_fraction=0.2)
    made = model()
    made.fit(data, 2, minibatch_size=10, optimizer="adam")
    lines = capsys.readouterr().out.splitlines()
    line = r"Epoch 0\d: =+> loss: \d+\.\d{5} train_acc = \d+\.\d\d% test_acc = \d+\.\d\d% time: \d+\.\d\ds"
    import re

    assert len(lines) == 3
    assert all(re.fullmatch(line, text) for text in lines[:2])
    assert re.fullmatch(r"Accuracy: Maximum=\d+\.\d\d%; With optimal loss=\d+\.\d\d%", lines[2])
    made.fit(data, epochs=50, minibatch_size=10, accuracy_threshold=0.01)
    assert "Terminating early (training accuracy threshold reached)" in capsys.readouterr().out
    made.fit(dataset=data, epochs=400, early_stop_after=1, optimizer=SGD(lr=50.0), doctor=False)
    assert "Terminating early (no better loss for 1 epochs)" in capsys.readouterr().out
    made.fit(X, Y, verbose=0)
    assert capsys.readouterr().out == ""


def test_the_bar_of_a_terminal_grows_and_shows_the_time_left() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    model().fit(X, Y, batch_size=1, epochs=1, verbose=0, callbacks=[ProgressBar(file=screen)])
    assert "left]" in screen.getvalue()
    assert "Epoch 01/01: " + "=" * 20 + ">" in screen.getvalue()


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        ({"epochs": 2}, ["Epoch 01/02", "Epoch 02/02"]),
        ({"epochs": 101, "initial_epoch": 99}, ["Epoch 100/101", "Epoch 101/101"]),
        ({"epochs": 100, "initial_epoch": 98}, ["Epoch 099/100", "Epoch 100/100"]),
    ],
)
def test_the_line_of_an_epoch_tells_how_many_there_are(
    options: dict[str, Any], titles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    model().fit(X, Y, **options)
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == titles


def test_the_line_of_the_specification_does_not_and_its_growing_bar_does(capsys: pytest.CaptureFixture[str]) -> None:
    data = Dataset(X, Y, test_fraction=0.2)
    made = model()
    made.fit(data, 2, 10, 5, "adam")
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()][:2] == ["Epoch 01", "Epoch 02"]
    made.fit(data, 2, minibatch_size=10, callbacks=[ProgressBar(live=True, specification=True)])
    shown = capsys.readouterr().out
    assert "Epoch 02/02: " in shown
    assert "Epoch 02: " + "=" * 20 + ">" in shown


def line(size: int = 1, **options: Any) -> Sequential:
    made = Sequential([Dense(size, input_shape=(4,), **options)], seed=0, dtype="float64")
    made.compile("mse")
    return made


REFUSED = {
    "weights of another length": (
        lambda m: m.fit(X, Y, sample_weight=np.ones(3)),
        ShapeError,
        r"\(50,\), received \(3,\)",
    ),
    "weights without a number": (
        lambda m: m.fit(X, Y, sample_weight=np.full(50, np.nan)),
        DataError,
        "sample_weight: sample 0 holds NaN",
    ),
    "no targets": (lambda m: m.fit(X, None), ArgumentError, "y is missing"),
    "ragged": (lambda m: m.fit([[1, 2], [3]], [0, 1]), ShapeError, "different lengths"),
    "text": (lambda m: m.fit(np.array([["a"] * 4]), [0]), ArgumentTypeError, "expected numbers"),
    "weights beside batches": (
        lambda m: m.fit(iter([(X, Y)]), sample_weight=np.ones(50)),
        ArgumentError,
        r"batches bring their own weights: yield \(x, y, sample_weight\)",
    ),
    "weights that are none": (
        lambda m: m.fit(X, Y, sample_weight="x"),
        ArgumentTypeError,
        "sample_weight: expected one number a sample, received 'x'",
    ),
    "weights of batches to evaluate": (
        lambda m: m.evaluate(iter([(X, Y)]), sample_weight=np.ones(50)),
        ArgumentError,
        r"y and sample_weight go with arrays: .* yield \(x, y, sample_weight\)",
    ),
    "weights of a data set to evaluate": (
        lambda m: m.evaluate(Dataset(X, Y), sample_weight=np.ones(5)),
        ArgumentError,
        "y and sample_weight go with arrays",
    ),
    "early_stop_after": (
        lambda m: m.fit(X, Y, early_stop_after="3"),
        ArgumentError,
        "fit: early_stop_after is a whole number of at least 0, received '3'",
    ),
    "twice": (
        lambda m: m.fit(Dataset(X, Y), 3, 10, 5, early_stop_after=5),
        ArgumentError,
        "epochs or early_stop_after is there twice; give each once",
    ),
    "shuffle": (lambda m: m.fit(X, Y, shuffle="batch"), ArgumentTypeError, "shuffle is True or False, .* 'batch'"),
    "steps of no validation": (
        lambda m: m.fit(X, Y, validation_steps=3),
        ArgumentError,
        "validation_steps=3 belongs to validation_data, which is not given",
    ),
    "batches of no validation": (
        lambda m: m.fit(Dataset(X, Y), 1, validation_batch_size=3),
        ArgumentError,
        "validation_batch_size=3 belongs to validation_data, which is not given",
    ),
    "objects": (lambda m: m.fit(X.astype(object), Y), ArgumentTypeError, r"array of objects; .* x.astype\('float32'\)"),
    "one tuple": (lambda m: m.fit((X, Y)), ArgumentError, r"one tuple of two and no targets; pass fit\(x, y\)"),
    "one list": (lambda m: m.fit([X, Y]), ArgumentError, r"one list of two and no targets; pass fit\(x, y\)"),
    "a list for validation": (
        lambda m: m.fit(X, Y, validation_data=[X, Y]),
        ArgumentTypeError,
        r"received a list of ndarray; validation_data is a tuple: \(x, y\)",
    ),
    "classes in a list": (
        lambda m: m.fit(X, Y, class_weight=[1, 2]),
        ArgumentTypeError,
        r"expected a dictionary from classes to weights, such as {0: 1.0, 1: 2.0}; received \[1, 2\]",
    ),
    "balanced classes": (
        lambda m: m.fit(X, Y, class_weight="balanced"),
        ArgumentTypeError,
        "received 'balanced'. Weights that balance",
    ),
    "a class too far": (
        lambda m: m.fit(X, Y, class_weight={5: 3.0}),
        ArgumentError,
        "the classes are whole numbers from 0 to 2 here, received 5",
    ),
    "a class by name": (lambda m: m.fit(X, Y, class_weight={"0": 3.0}), ArgumentError, "whole numbers .* received '0'"),
    "a negative class weight": (
        lambda m: m.fit(X, Y, class_weight={1: -3.0}),
        ArgumentError,
        "weights are finite numbers and not negative; that of class 1 is -3.0",
    ),
    "classes of numbers": (
        lambda m: line().fit(X, X[:, :1], class_weight={0: 2.0}),
        DataError,
        r"class_weight needs classes, and the targets are numbers such as [\d.-]+; use sample_weight",
    ),
    "classes of rows of numbers": (
        lambda m: line(2).fit(X, X[:, :2], class_weight={0: 2.0}),
        DataError,
        "the targets are no one-hot rows; use sample_weight",
    ),
    "empty": (lambda m: m.fit(X[:0], Y[:0]), DataError, "empty"),
    "batch size of a generator": (
        lambda m: m.fit(iter([(X, Y)]), batch_size=3),
        ArgumentError,
        "makes its own batches",
    ),
    "epochs": (lambda m: m.fit(X, Y, epochs="many"), ArgumentError, "whole number"),
    "both sizes": (lambda m: m.fit(X, Y, batch_size=3, minibatch_size=4), ArgumentError, "same argument"),
    "threshold without classes": (
        lambda m: (m.compile("mse"), m.fit(Dataset(X, np.eye(3)[Y], test_fraction=0.2), accuracy_threshold=0.5)),
        ArgumentError,
        "classification loss",
    ),
    "constraints of LBFGS": (
        lambda m: line(weight_constraint="non_neg").fit(X, X[:, :1], optimizer=LBFGS(), verbose=0),
        ArgumentError,
        "LBFGS cannot keep the constraints of dense_1/weight. Leave them out, or use a stochastic optimizer",
    ),
    "predict nothing": (lambda m: m.predict(3), ArgumentTypeError, "received int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    run, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        run(model())


@pytest.mark.parametrize("shards", [1, 2])
def test_a_program_that_lets_numpy_raise_trains_and_predicts(shards: int) -> None:
    """Scores far below the largest become 0 in a softmax, which NumPy may have been told to call an error."""
    made = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0, shards=shards)
    made.compile("cce", "adam", metrics=["accuracy"], doctor=False)
    with np.errstate(all="raise"):
        made.fit(X * 1e3, Y, epochs=8, batch_size=25, verbose=0, validation_data=(X, Y))
        for _ in range(8):
            made.predict(X[:1] * 1e4)
        assert np.isfinite(made.evaluate(X * 1e4, Y)[0])
        assert np.isfinite(made.gradients(X * 1e4, Y)[0])
        with pytest.raises(FloatingPointError):
            np.exp(np.float32(-500.0))
