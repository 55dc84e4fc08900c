"""What moves together is rolled back, averaged and counted together: over divergence, best epochs, and several runs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from miniDLF.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    TensorBoard,
    TerminateOnNaN,
)
from miniDLF.core.update import SNAPSHOT
from miniDLF.errors import DivergedError
from miniDLF.layers import BatchNormalization, Dense, Dropout, Layer, ReLU
from miniDLF.models import Sequential, load
from miniDLF.optimizers import LBFGS, SGD, Accumulate, Adam, AMSGrad, ClipGlobalNorm, MovingAverage, WeightDecay

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
Y = (X[:, :1] - 2 * X[:, 1:2]).astype(np.float32)

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: SGD(0.01),
    "AMSGrad": lambda: AMSGrad(0.01),
    "WeightDecay": lambda: WeightDecay(Adam(0.01), 0.1),
    "WeightDecay(SGD)": lambda: WeightDecay(SGD(0.01, momentum=0.0), 0.1),
    "MovingAverage": lambda: MovingAverage(Adam(0.01), 0.9),
    "Accumulate": lambda: Accumulate(SGD(0.01), 3),
    "everything": lambda: ClipGlobalNorm(WeightDecay(MovingAverage(Accumulate(Adam(0.01), 2), 0.9), 0.1), 9.0),
}


class Spoiled(Layer):
    """Passes everything on; once it is spoiled the gradient becomes infinite."""

    spoiled: ClassVar = False

    def forward(self, x: np.ndarray, call: Any) -> np.ndarray:
        return x

    def backward(self, dy: np.ndarray, call: Any) -> np.ndarray:
        return dy * np.float32(np.inf) if self.spoiled else dy


def network(optimizer: Any = "adam", *more: Layer, **options: Any) -> Sequential:
    layers = [Dense(8, input_shape=(4,)), BatchNormalization(), ReLU(), *more, Dense(1)]
    made = Sequential(layers, seed=0, **options)
    made.compile("mse", optimizer)
    return made


def everything(model: Sequential) -> dict[str, np.ndarray]:
    """All that moves in training, by name."""
    return {name: np.array(value) for name, value in model.engine().moment().items()}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def weights_of(model: Sequential) -> list[np.ndarray]:
    return [array.copy() for array in model.get_weights()]


def same(one: Sequential, other: Sequential) -> bool:
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


# A run that diverges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 5, SNAPSHOT, SNAPSHOT + 3])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_diverges_is_undone_as_a_whole(name: str, shards: int, steps: int) -> None:
    layer = Spoiled()
    model = network(OPTIMIZERS[name](), layer, shards=shards)
    moments = [everything(model)]
    for _ in range(steps):
        model.train_on_batch(X, Y)
        moments.append(everything(model))
    layer.spoiled = True  # type: ignore[misc]
    with pytest.raises(DivergedError, match=f"step {steps + 1}: a gradient is not finite"):
        model.train_on_batch(X, Y)
    assert equal(everything(model), moments[steps // SNAPSHOT * SNAPSHOT])
    layer.spoiled = False  # type: ignore[misc]
    for step in range(steps // SNAPSHOT * SNAPSHOT, steps):  # the same steps once more
        model.train_on_batch(X, Y)
        assert equal(everything(model), moments[step + 1])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("batch_size", [8, 64])
@pytest.mark.parametrize("epochs", [20, 23])
def test_after_a_lower_rate_a_diverged_model_trains_on(epochs: int, batch_size: int, momentum: float) -> None:
    model = network(SGD(0.01, momentum=momentum))
    options = {"batch_size": batch_size, "verbose": 0}
    model.fit(X, Y, epochs=epochs, **options)
    loss = model.evaluate(X, Y)
    model.optimizer.learning_rate = 1e6

    def many() -> None:
        for _ in range(50):  # each of them a run of its own
            model.fit(X, Y, epochs=1, **options)

    with pytest.raises(DivergedError, match=r"Lower the learning rate.*; then fit again"):
        many()
    assert model.evaluate(X, Y) < 2 * loss + 1
    model.optimizer.learning_rate = 1e-3
    assert model.fit(X, Y, epochs=20, **options).history["loss"][-1] < 2 * loss + 1


def test_a_run_that_is_ended_quietly_is_rolled_back_as_well() -> None:
    model, moments = network(SGD(0.01)), []
    model.fit(X, Y, epochs=3, batch_size=16, verbose=0)
    moments.append(everything(model))
    model.optimizer.learning_rate = 1e20
    model.fit(X, Y, epochs=5, batch_size=16, verbose=0, callbacks=[TerminateOnNaN()])
    assert "after step 12, whose loss was finite" in str(model.stop_reason)
    assert equal(everything(model), moments[0])


def test_the_best_epoch_is_put_back_as_a_whole() -> None:
    moments: list[dict[str, np.ndarray]] = []
    model = network(Adam(0.01))
    best = EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)  # that is the first one
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: moments.append(everything(model)))
    model.fit(X, Y, epochs=4, batch_size=16, verbose=0, callbacks=[keep, best])
    assert equal(everything(model), moments[0])
    assert not equal(moments[3], moments[0])
    assert model.engine().steps == 4
    assert best.best_epoch == 0


def test_the_best_epoch_of_an_earlier_run_is_not_put_back_after_one_that_did_not_begin() -> None:
    class Refuses(Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            raise ZeroDivisionError

    model, best = network(), EarlyStopping("loss", restore_best_weights=True)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[best])
    model.set_weights([array + 1 for array in model.get_weights()])
    before = weights_of(model)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[Refuses(), best])
    assert all(map(np.array_equal, model.get_weights(), before))


def test_values_of_a_run_that_lbfgs_is_interrupted_in_are_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(LBFGS())
    before = weights_of(model)
    step = model.engine().executor.step

    def interrupted(*arguments: Any, **options: Any) -> Any:
        result = step(*arguments, **options)
        if not np.array_equal(model.get_weights()[0], before[0]):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(model.engine().executor, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(X, Y)
    assert all(map(np.array_equal, model.get_weights(), before))


# Averages -------------------------------------------------------------------------------------------------------------


def averaged_by_hand(momentum: float = 0.75, epochs: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    model, average = network(Adam(0.05)), None  # type: ignore[var-annotated]
    for _ in range(epochs):
        model.fit(X, Y, batch_size=64, epochs=1, verbose=0)
        values = weights_of(model)
        if average is None:
            average = values
        average = [momentum * a + (1 - momentum) * v for a, v in zip(average, values, strict=True)]
    assert average is not None
    for number in (4, 5):  # statistics are no trained values
        average[number] = values[number]
    return average, values


def test_the_average_is_in_the_model_after_fit_and_in_what_is_saved(tmp_path: Path) -> None:
    average, values = averaged_by_hand()
    path, weights, during = tmp_path / "m", tmp_path / "w", []
    model = network(MovingAverage(Adam(0.05), 0.75))
    callbacks = [
        LambdaCallback(on_epoch_end=lambda epoch, logs: during.append(weights_of(model))),
        ModelCheckpoint(path),
        ModelCheckpoint(weights, save_weights_only=True),
    ]
    model.fit(X, Y, batch_size=64, epochs=4, verbose=0, callbacks=callbacks)
    for got, wanted in zip(during[-1], values, strict=True):  # validated, as in Keras, with the values themselves
        np.testing.assert_array_equal(got, wanted)
    other = network()
    other.load_weights(weights)
    loaded = load(path)
    for one in (model, loaded, other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        for got, wanted in zip(one.get_weights(), average, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "after", include_optimizer=True)
    np.testing.assert_array_equal(load(tmp_path / "after").predict(X), model.predict(X))


def test_the_next_run_goes_on_from_the_values_and_not_from_their_average(tmp_path: Path) -> None:
    def run(*epochs: int, save: bool = False) -> Sequential:
        model = network(MovingAverage(Adam(0.05), 0.9))
        for count in epochs:
            model.fit(X, Y, batch_size=16, epochs=count, verbose=0)
            if save:
                model.save(tmp_path / "m", include_optimizer=True)
                model = load(tmp_path / "m")
        return model

    whole = run(4)
    assert same(whole, run(2, 2))
    assert same(whole, run(2, 2, save=True))
    model = run(2)
    model.train_on_batch(X, Y)
    by_hand = run(2, 0)
    by_hand.engine().updater.begin()
    by_hand.train_on_batch(X, Y)
    assert same(model, by_hand)


def test_weights_that_are_set_between_two_runs_begin_another_average() -> None:
    model = network(MovingAverage(SGD(0.0), 0.9))
    model.fit(X, Y, epochs=3, verbose=0)
    for array in model.named_weights().values():
        array[...] = 0.5
    model.fit(X, Y, epochs=1, verbose=0)
    trained = [array for path, array in model.named_weights().items() if "running" not in path]
    assert all(np.all(array == 0.5) for array in trained)


def test_an_average_of_zeros_is_one() -> None:
    model = Sequential([Dense(1, input_shape=(4,), weight_initializer="zeros")])
    model.compile("mse", MovingAverage(SGD(0.0)))
    model.train_on_batch(X, Y)
    assert not MovingAverage.averaged(model.engine().updater.state).any()


def test_the_best_epoch_of_an_averaged_run_is_its_average(tmp_path: Path) -> None:
    model = network(MovingAverage(Adam(0.05), 0.75))
    stop = EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    first = ModelCheckpoint(tmp_path / "{epoch}")
    model.fit(X, Y, batch_size=16, epochs=4, verbose=0, callbacks=[stop, first])
    assert same(model, load(tmp_path / "1"))


# Several runs ---------------------------------------------------------------------------------------------------------


def dropping(optimizer: Any = "adam") -> Sequential:
    model = Sequential([Dense(8, input_shape=(4,)), BatchNormalization(), Dropout(0.3), Dense(1)], seed=3)
    model.compile("mse", optimizer)
    return model


@pytest.mark.parametrize("options", [{}, {"steps_per_epoch": 3}, {"shuffle": False, "steps_per_epoch": 3}], ids=repr)
def test_two_runs_of_two_epochs_are_one_of_four(options: dict[str, Any], tmp_path: Path) -> None:
    def run(*epochs: int, **more: Any) -> Sequential:
        model = dropping()
        for count in epochs:
            model.fit(X, Y, batch_size=10, epochs=count, verbose=0, **options, **more)
        return model

    whole = run(4)
    assert same(whole, run(2, 2))
    assert same(whole, run(1, 1, 1, 1))
    later = run(2)
    later.fit(X, Y, batch_size=10, epochs=4, initial_epoch=2, verbose=0, **options)
    assert same(whole, later)
    saved = run(2)
    saved.save(tmp_path / "m", include_optimizer=True)
    for other in (load(tmp_path / "m"), copy.deepcopy(saved), pickle.loads(pickle.dumps(saved))):  # noqa: S301
        other.fit(X, Y, batch_size=10, epochs=2, verbose=0, **options)
        assert same(whole, other)


@pytest.mark.parametrize("shuffle", [True, False])
def test_short_epochs_see_all_data(shuffle: bool) -> None:
    x = np.arange(64, dtype=np.float32)[:, None] / 64
    for runs, epochs in ((5, 1), (1, 5)):
        seen: list[float] = []
        model = Sequential([Dense(1, input_shape=(1,))], seed=1)

        def note(target: np.ndarray, prediction: np.ndarray, seen: list[float] = seen) -> np.ndarray:
            seen.extend(target.ravel().tolist())
            return target[:, 0]

        model.compile("mse", "sgd", metrics=[note])
        for _ in range(runs):
            model.fit(x, x, batch_size=8, steps_per_epoch=2, epochs=epochs, shuffle=shuffle, verbose=0)
        seen = seen[-80:]  # before them a function of one's own is tried
        assert sorted(seen[:64]) == x.ravel().tolist()


class Source:
    """Batches by number, which notes what it is asked for."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.made: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.told.append(epoch)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        self.made.append(number)
        return X[:8], Y[:8]


def test_a_source_is_told_how_many_epochs_there_have_been_in_all() -> None:
    source, model = Source(), dropping()
    model.fit(source, epochs=2, verbose=0)
    model.fit(source, epochs=1, verbose=0)
    model.compile("mse", "sgd")
    model.fit(source, epochs=5, initial_epoch=3, verbose=0)
    assert source.told == [0, 1, 2, 3, 4]
    short = Source()
    dropping().fit(short, epochs=3, steps_per_epoch=3, verbose=0)
    assert short.made == [0, 1, 2, 3, 0, 1, 2, 3, 0]


def test_a_resumed_second_run_has_the_order_of_the_second_run(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(batch: int, logs: Any) -> None:
        if batch == 2:
            raise Killed

    def second(model: Sequential, *callbacks: Callback) -> Sequential:
        model.fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[*callbacks])
        return model

    def first() -> Sequential:
        model = dropping()
        model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
        return model

    whole = second(first())
    first().save(tmp_path / "m", include_optimizer=True)
    with pytest.raises(Killed):
        second(first(), LambdaCallback(on_train_batch_end=kill), BackupAndRestore(tmp_path / "b", 1))
    assert same(whole, second(load(tmp_path / "m"), BackupAndRestore(tmp_path / "b", 1)))


# Copies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("fails", [False, True])
def test_a_model_can_be_copied_after_any_run(fails: bool, tmp_path: Path) -> None:
    def end(epoch: int, logs: Any) -> None:
        if fails:
            raise ZeroDivisionError

    pytest.importorskip("tensorboardX")
    given: list[Callback] = [
        CSVLogger(tmp_path / "log.csv"),
        TensorBoard(tmp_path / "t"),
        ModelCheckpoint(tmp_path / "m", monitor="loss", save_best_only=True),
        LambdaCallback(on_epoch_begin=lambda epoch, logs: None, on_epoch_end=end),
        LearningRateScheduler(lambda epoch, rate: rate),
        EarlyStopping("loss", restore_best_weights=True),
        BackupAndRestore(tmp_path / "b"),
    ]
    model = network()
    try:
        model.fit(X, Y, verbose=0, callbacks=given)
    except ZeroDivisionError:
        assert fails
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        assert same(model, other)
        assert other.history.history == model.history.history
    assert not any(callback.peers for callback in given)
    assert model.history.model is None
