"""The chain: building, refusing, summarising, training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from miniDLF.core.graph import Graph
from miniDLF.core.update import SNAPSHOT
from miniDLF.errors import ArgumentError, ArgumentTypeError, NotReadyError, ShapeError, UnknownNameError
from miniDLF.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Layer, Pooling2D
from miniDLF.models import Input, Sequential, load
from miniDLF.optimizers import SGD, Accumulate, Adam, ClipGlobalNorm


def blobs(rows: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds of points that a small network can tell apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    centres = np.array([[2.0, 0.0, 1.0, -1.0], [-2.0, 1.0, 0.0, 1.0], [0.0, -2.0, -1.0, 0.0]])
    return (centres[y] + 0.6 * rng.normal(size=(rows, 4))).astype(np.float32), y


def small(seed: int = 0, **settings: object) -> Sequential:
    layers = [Dense(16, input_shape=(4,)), BatchNormalization(), Activation("relu"), Dropout(0.1), Dense(3)]
    model = Sequential([*layers, Activation("softmax")], seed=seed, **settings)
    model.compile("cce", "adam", metrics=["accuracy"])
    return model


def test_the_same_seed_gives_the_same_bits() -> None:
    x, y = blobs()
    weights = []
    for _ in range(2):
        model = small()
        model.fit(x, y, batch_size=50, epochs=3, verbose=0)
        weights.append(model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
    assert any((a != b).any() for a, b in zip(weights[0], small(seed=1).get_weights(), strict=True))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_fixed_shards_give_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    import miniDLF
    from miniDLF.core import executor

    x, y = blobs(600)
    results = []
    before, limit = miniDLF.get_threads(), executor.SMALL_STEP
    try:
        executor.SMALL_STEP = 0  # so that this small model too runs on the threads
        for count in (1, threads):
            miniDLF.set_threads(count)
            model = small(shards=4)
            model.fit(x, y, batch_size=128, epochs=2, verbose=0)
            results.append([*model.get_weights(), model.predict(x)])
    finally:
        miniDLF.set_threads(before)
        executor.SMALL_STEP = limit
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


def test_it_learns_and_reports_as_keras_does() -> None:
    x, y = blobs()
    model = small()
    model.compile("cce", Adam(lr=0.02), metrics=["accuracy"])
    history = model.fit(x, y, batch_size=32, epochs=15, validation_split=0.25, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(history.epoch) == 15
    assert history.history["val_accuracy"][-1] > 0.95
    loss, accuracy = model.evaluate(x, y)
    assert model.evaluate(x, y, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert np.mean(np.argmax(model.predict(x), axis=1) == y) == pytest.approx(accuracy)


def test_a_model_without_input_shape_is_built_from_the_data() -> None:
    x, y = blobs()
    model = Sequential([Dense(8), Activation("tanh"), Dense(3), Activation("softmax")], seed=0)
    model.compile("cce", "sgd")
    with pytest.raises(NotReadyError, match="input_shape"):
        model.summary()
    model.fit(x, y, epochs=1, verbose=0)
    assert model.input_shape == (4,)


def test_a_built_model_that_is_built_again_keeps_its_layers() -> None:
    model = Sequential([Dense(4, input_shape=(3,))])
    model.build((3,))
    model.add(Dense(2))
    assert [layer.name for layer in model.layers] == ["dense_1", "dense_2"]
    with pytest.raises(ShapeError, match=r"build: the model takes samples of shape \(3,\), received \(5,\)"):
        model.build((5,))
    assert len(model.layers) == 2


def test_a_shape_that_does_not_fit_leaves_the_layers_waiting() -> None:
    model = Sequential([Activation("tanh"), Dense(2)])
    with pytest.raises(ShapeError, match="expects vectors"):
        model.build((2, 2))
    model.build((3,))
    assert [layer.name for layer in model.layers] == ["activation_1", "dense_1"]


def test_activation_as_an_argument() -> None:
    model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(3, activation="softmax")], seed=0)
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dense"]
    np.testing.assert_allclose(model.predict(np.ones((2, 4))).sum(axis=1), 1, rtol=1e-6)


def test_frozen_layers_keep_their_weights_and_the_summary_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = blobs()
    model = Sequential([Dense(8, input_shape=(4,), trainable=False), Activation("relu"), Dense(3)], seed=0)
    model.add(Activation("softmax"))
    model.compile("cce", "adam")
    before = model.get_weights()
    model.fit(x, y, epochs=1, verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[2] != after[2]).any()
    model.summary()
    printed = capsys.readouterr().out
    assert "trainable parameters =  0  (frozen: 40)" in printed
    assert "Total # trainable parameters: 27\nTotal # frozen parameters: 40" in printed
    assert list(model.gradients(x, y)[1]) == ["dense_2/weight", "dense_2/bias"]


def test_train_on_batch_is_one_step_of_the_documented_gradient() -> None:
    x, y = blobs(20)
    model = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0, dtype="float64")
    model.compile("cce", SGD(lr=0.5, decay=0.0, momentum=0.0, nesterov=False))
    loss, gradients = model.gradients(x, y)
    before = model.get_weights()
    assert model.train_on_batch(x, y) == pytest.approx(loss)
    for old, new, gradient in zip(before, model.get_weights(), gradients.values(), strict=True):
        np.testing.assert_allclose(new, old - 0.5 * gradient, rtol=1e-12)


def test_the_last_good_weights_stay_when_the_loss_diverges() -> None:
    from miniDLF.errors import DivergedError

    x, y = blobs()
    target = np.eye(3)[y] * 1e3
    model = Sequential([Dense(32, input_shape=(4,)), Activation("relu"), Dense(3, name="last")], seed=0)
    model.compile("mse", SGD(lr=1e6, decay=0.0, momentum=0.0, nesterov=False), doctor=False)
    with pytest.raises(DivergedError, match=r"step \d+: .* began in .*(last|dense_1|activation_1)"):
        model.fit(x, target, epochs=20, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.isfinite(model.evaluate(x, target))


MISTAKES = {
    "a class for a layer": (lambda: Sequential([Dense]), ArgumentTypeError, r"create a layer: Dense\(\.\.\.\)"),
    "no layer": (lambda: Sequential([3]), ArgumentTypeError, "expected a layer, received int"),
    "vectors wanted": (
        lambda: Sequential([Dense(3, input_shape=(2, 3))]),
        ShapeError,
        r"layer 1 \(Dense 'dense_1'\) expects vectors .* received \(2, 3\). Put Flatten\(\) before it",
    ),
    "contradicting input_shape": (
        lambda: Sequential([Dense(3, input_shape=(4,)), Dense(2, input_shape=(5,))]),
        ShapeError,
        r"layer 2: .*input_shape=\(5,\).*gives \(3,\)",
    ),
    "unknown keyword": (lambda: Dense(3, actvation="relu"), ArgumentTypeError, "Did you mean 'activation'"),
    "unknown activation": (lambda: Activation("rleu"), UnknownNameError, "Did you mean 'relu'"),
    "unknown loss": (lambda: small().compile("msee"), UnknownNameError, "Did you mean 'mse'"),
    "unknown optimizer": (lambda: small().compile("cce", "adm"), UnknownNameError, "Did you mean 'adam'"),
    "fit before compile": (
        lambda: Sequential([Dense(3, input_shape=(4,))]).fit(*blobs(), verbose=0),
        NotReadyError,
        r"call compile\(",
    ),
    "data of another shape": (
        lambda: small().fit(np.zeros((5, 3)), np.zeros(5, int)),
        ShapeError,
        r"expected \(N, 4\), received \(5, 3\)",
    ),
    "images for vectors": (
        lambda: small().predict(np.zeros((5, 2, 2))),
        ShapeError,
        r"x\.reshape\(-1, 4\)",
    ),
    "one sample without a batch axis": (lambda: small().predict(np.zeros(4)), ShapeError, r"x\[np\.newaxis\]"),
    "NaN in the data": (
        lambda: small().fit(np.full((5, 4), np.nan), np.zeros(5, int)),
        ValueError,
        "sample 0 holds NaN",
    ),
    "labels out of range": (lambda: small().fit(np.zeros((5, 4)), np.full(5, 3)), ValueError, "3"),
    "as many targets as samples": (
        lambda: small().fit(np.zeros((5, 4)), np.zeros(4, int)),
        ShapeError,
        "5 samples and y has 4",
    ),
    "dataset and x": (lambda: small().fit(1, dataset=2), ArgumentError, "not both"),
    "no data": (lambda: small().fit(), ArgumentError, r"fit\(x, y\)"),
    "negative epochs": (lambda: small().fit(*blobs(), epochs=-1), ArgumentError, "whole number"),
    "batch size": (lambda: small().fit(*blobs(), batch_size=0), ArgumentError, "batch_size"),
    "validation split": (lambda: small().fit(*blobs(), validation_split=1.5), ArgumentError, "between 0 and 1"),
    "dtype": (lambda: Sequential(dtype="float16"), ArgumentError, "'float32' or 'float64'"),
    "no dtype": (lambda: Sequential(dtype="flot32"), ArgumentError, "'float32' or 'float64', received 'flot32'"),
    "seed": (lambda: Sequential(seed=1.5), ArgumentError, "Sequential: seed is a whole number .* received 1.5"),
    "seed in words": (lambda: Sequential(seed="a"), ArgumentError, "seed is a whole number .* received 'a'"),
    "shape in words": (lambda: Sequential([Dense(3, input_shape="4")]), ArgumentTypeError, "a shape .* received '4'"),
    "build in words": (lambda: Sequential([Dense(3)]).build("4"), ArgumentTypeError, "build: .* received '4'"),
    "half an element": (lambda: Sequential([Dense(3)]).build((4.5,)), ArgumentTypeError, r"received \(4.5,\)"),
    "a layer for a list": (
        lambda: Sequential(Dense(3)),
        ArgumentTypeError,
        r"Sequential takes a list of layers: Sequential\(\[Dense\(size=3\)\]\)",
    ),
    "a list for a layer": (lambda: Sequential().add([Dense(3)]), ArgumentTypeError, "received a list. Add one layer"),
    "a name for a layer": (
        lambda: Sequential().add("relu"),
        ArgumentTypeError,
        r"received 'relu'. For an activation write Activation\('relu'\)",
    ),
    "shards": (lambda: Sequential(shards=0), ArgumentError, "at least 1"),
    "batch axis in input_shape": (lambda: Sequential([Dense(3, input_shape=(None, 4))]), ArgumentTypeError, "shape"),
    "Input in the middle": (
        lambda: Sequential([Dense(3, input_shape=(4,)), Input((3,))]),
        ArgumentError,
        "only come first",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_mistakes_are_answered(mistake: str) -> None:
    make, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        make()


def test_specification_summary_lines(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential()
    model.add(Dense(400, input_shape=(784,)))
    model.add(Activation("leaky_relu"))
    model.add(Dropout(0.2))
    model.add(Dense(10))
    model.add(Activation("softmax"))
    model.compile(loss="cce")
    model.summary()
    assert capsys.readouterr().out.splitlines() == [
        "Dense      :   input_shape =  [784]  output_shape =  (400,)  trainable parameters =  314000",
        "Activation :   input_shape =  (400,)  output_shape =  (400,)  trainable parameters =  0",
        "Dropout    :   input_shape =  (400,)  output_shape =  (400,)  trainable parameters =  0",
        "Dense      :   input_shape =  (400,)  output_shape =  (10,)  trainable parameters =  4010",
        "Activation :   input_shape =  (10,)  output_shape =  (10,)  trainable parameters =  0",
        "Total # trainable parameters: 318010",
    ]


def test_predictions_while_training_on_another_thread() -> None:
    import threading

    x, y = blobs(400)
    model = small()
    model.fit(x, y, epochs=1, verbose=0)
    errors: list[BaseException] = []

    def predict() -> None:
        try:
            for _ in range(50):
                assert np.isfinite(model.predict(x)).all()
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    model.fit(x, y, epochs=5, verbose=0)
    for thread in threads:
        thread.join()
    assert not errors


def test_two_models_train_in_two_threads_as_they_do_alone() -> None:
    import threading

    x, y = blobs(600)

    def train(seed: int) -> list[np.ndarray]:
        model = small(seed=seed, shards=2)
        model.fit(x, y, batch_size=100, epochs=4, verbose=0)
        return model.get_weights()

    alone = [train(seed) for seed in range(3)]
    together: dict[int, list[np.ndarray]] = {}
    threads = [threading.Thread(target=lambda s=seed: together.update({s: train(s)})) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        for one, other in zip(alone[seed], together[seed], strict=True):
            np.testing.assert_array_equal(one, other)


def test_flatten_first() -> None:
    model = Sequential([Flatten(input_shape=(2, 2)), Dense(3), Activation("softmax")], seed=0)
    assert model.predict(np.zeros((4, 2, 2))).shape == (4, 3)


def test_after_a_loss_that_is_not_finite_the_model_holds_the_weights_of_the_step_it_names() -> None:
    from miniDLF.errors import DivergedError

    model = Sequential([Dense(3, input_shape=(4,)), Dense(1)], seed=0)
    model.compile("mse", "adam")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    weights = [model.get_weights()]
    for _ in range(SNAPSHOT + 3):
        model.train_on_batch(x, y)
        weights.append([array.copy() for array in model.get_weights()])
    model.layers[0].parameters[0].value[...] = np.nan
    message = f"step {SNAPSHOT + 4}: the loss is nan.* the weights after step {SNAPSHOT}, whose"
    with pytest.raises(DivergedError, match=message):
        model.train_on_batch(x, y)
    assert model.engine().steps == SNAPSHOT
    for held, known in zip(model.get_weights(), weights[SNAPSHOT], strict=True):
        np.testing.assert_array_equal(held, known)


class Spoiled(Layer):
    """Passes everything on; once it is spoiled the gradient becomes infinite."""

    spoiled: ClassVar = False

    def forward(self, x: np.ndarray, call: Any) -> np.ndarray:
        return x

    def backward(self, dy: np.ndarray, call: Any) -> np.ndarray:
        return dy * np.float32(np.inf) if self.spoiled else dy


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("optimizer", [Adam(), ClipGlobalNorm(Adam(), 1.0), Accumulate(Adam(), 2)], ids=repr)
@pytest.mark.parametrize("good", [0, 7, SNAPSHOT, SNAPSHOT + 4])
def test_after_a_gradient_that_is_not_finite_the_model_holds_the_weights_of_the_step_it_names(
    good: int, optimizer: Any, shards: int
) -> None:
    from miniDLF.errors import DivergedError

    layer = Spoiled()
    model = Sequential([Dense(500, input_shape=(300,)), layer, Dense(1)], seed=0, shards=shards)
    model.compile("mse", optimizer)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 300)).astype(np.float32), rng.normal(size=(6, 1)).astype(np.float32)

    def held() -> list[np.ndarray]:
        return [array.copy() for array in model.get_weights()]

    weights = [held()]
    for _ in range(good):
        model.train_on_batch(x, y)
        weights.append(held())
    layer.spoiled = True  # type: ignore[misc]
    with pytest.raises(DivergedError, match=rf"step {good + 1}: a gradient is not finite; it began in .*dense_1") as e:
        model.train_on_batch(x, y)
    named = int(re.search(r"weights after step (\d+)", str(e.value))[1])  # type: ignore[index]
    assert named == good // SNAPSHOT * SNAPSHOT
    for array, known in zip(model.get_weights(), weights[named], strict=True):
        np.testing.assert_array_equal(array, known)
    assert all(np.isfinite(array).all() for array in model.engine().updater.state.values())


@pytest.mark.parametrize("rows", [1, 3, 20, 700])
def test_predictions_follow_what_the_arrays_hold(rows: int) -> None:
    rng = np.random.default_rng(0)
    model = Sequential(
        [
            Conv2D(4, 3, input_shape=(1, 10, 10)),
            Activation("relu"),
            Pooling2D(2, 2, "avg"),
            Flatten(),
            BatchNormalization(),
            Dense(3),
        ],
        seed=0,
        dtype="float64",
    )
    x, other = rng.normal(size=(2, rows, 1, 10, 10))
    before, expected = model.predict(x), model.predict(other)
    x[...] = other  # the same place in memory holds something else
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-12)
    np.testing.assert_allclose(model.predict(x[::-1])[::-1], expected, rtol=1e-12)
    assert not np.allclose(before, expected)


def test_a_layer_of_another_model_keeps_its_name(tmp_path: Path) -> None:
    first = Sequential([Dense(4, input_shape=(3,)), Dense(2)], seed=0)
    shared = first.layers[0]
    x = np.ones((2, 3), np.float32)
    for parts, names in [
        ([shared, Dense(5), Dense(1)], ["dense_1", "dense_2", "dense_3"]),
        ([Dense(3, input_shape=(3,)), shared, Dense(1)], ["dense_2", "dense_1", "dense_3"]),
        ([shared, Dense(3), shared], ["dense_1", "dense_2"]),
    ]:
        model = Sequential(parts, seed=1)
        assert [layer.name for layer in model.layers] == names
        path = tmp_path / "model.minidlf"
        model.save(path)
        again = load(path)
        np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert [layer.name for layer in first.layers] == ["dense_1", "dense_2"]


def test_weights_that_were_set_survive_a_run_that_diverges(tmp_path: Path) -> None:
    from miniDLF.errors import DivergedError

    def made() -> Sequential:
        model = Sequential([Dense(8, activation="relu", input_shape=(6,)), Dense(1)], seed=5)
        model.compile("mse", "adam", doctor=False)
        return model

    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    trained = made()
    trained.fit(x, x[:, :1], epochs=3, verbose=0)
    trained.save_weights(tmp_path / "weights")
    wanted = trained.get_weights()

    def by_value(model: Sequential) -> None:
        for layer, values in zip(model.layers, (wanted[:2], wanted[2:]), strict=True):
            layer.weight.value, layer.bias.value = values

    def in_place(model: Sequential) -> None:
        for array, values in zip(model.named_weights().values(), wanted, strict=True):
            array[...] = values

    ways: list[Any] = [
        lambda model: model.load_weights(tmp_path / "weights"),
        lambda model: model.set_weights(wanted),
        by_value,
        in_place,
    ]
    for steps in (0, 3):
        for way in ways:
            for train in ("fit", "train_on_batch"):
                if way is in_place and train == "train_on_batch":
                    continue  # of which nobody knows
                model = made()
                for _ in range(steps):
                    model.train_on_batch(x, x[:, :1])
                way(model)
                with pytest.raises(DivergedError, match="holds the weights that it began with"):
                    getattr(model, train)(x * 1e25, x[:, :1])
                assert all(map(np.array_equal, model.get_weights(), wanted))


def test_an_array_that_is_assigned_to_a_parameter_is_trained() -> None:
    model = Sequential([Dense(4, input_shape=(6,)), Dense(2)], seed=1)
    model.compile("mse", "sgd")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    for _ in range(12):  # so that steps and predictions are made again from notes
        model.train_on_batch(x, x[:, :2])
        before = model.predict(x)
    weight = model.layers[0].weight
    values = np.ones((6, 4))
    weight.value = values
    np.testing.assert_array_equal(weight.value, values)
    assert not np.allclose(model.predict(x), before)
    model.train_on_batch(x, x[:, :2])
    assert not np.array_equal(weight.value, values)
    assert (values == 1).all()
    with pytest.raises(ShapeError, match=r"weight has the shape \(6, 4\), received values of shape \(4, 6\)"):
        weight.value = np.ones((4, 6))


def test_predictions_heed_arguments_that_change() -> None:
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    model = Sequential([BatchNormalization(input_shape=(6,)), Dense(3)], seed=1)
    before = model.predict(x)
    model.layers[0].epsilon = 3.0
    np.testing.assert_allclose(model.predict(x), before / 2, rtol=1e-4)


def test_a_chain_that_grows_is_the_graph_that_is_made_at_once() -> None:
    def layers() -> list[Any]:
        named = Dense(3, name="activation_4")
        return [
            Dense(4, activation="relu", input_shape=(4,)),
            Dense(4, activation="tanh"),
            named,
            Activation("relu"),
            Dense(4, activation="relu"),
            Sequential([Dense(4, input_shape=(4,)), Activation("tanh")], name="block"),
            Dense(5, activation="softmax"),
            Activation("linear", name="last"),
        ]

    model = Sequential(layers())
    whole = Graph(model.graph.inputs, model.graph.outputs)
    grown = model.graph
    assert grown.nodes == whole.nodes
    assert grown.layers == whole.layers
    assert grown.given == whole.given
    assert grown.hosts == whole.hosts
    assert list(grown.names.items()) == list(whole.names.items())
    assert len(set(grown.names.values())) == len(grown.layers)
    model.pop()
    model.add(Dense(2, activation="relu"))
    assert list(model.graph.names.items()) == list(Graph(model.graph.inputs, model.graph.outputs).names.items())
    with pytest.raises(ArgumentError, match="two layers of the model are called .activation_4."):
        model.add(Dense(2, name="activation_4"))
