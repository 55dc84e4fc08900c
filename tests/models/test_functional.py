"""Graphs: branches, shared layers, several inputs and outputs, blocks, nested models, derived layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniDLF.errors import ArgumentError, ArgumentTypeError, ShapeError
from miniDLF.layers import (
    LSTM,
    Activation,
    Add,
    Average,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DerivedLayer,
    Dropout,
    Flatten,
    Layer,
    Multiply,
    Pooling2D,
    ReLU,
    Reshape,
)
from miniDLF.losses import ElementwiseLoss
from miniDLF.metrics import Accuracy
from miniDLF.models import Autoencoder, GradientError, Input, Model, Sequential
from miniDLF.optimizers import Adam


def data(rows: int = 8, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


def test_shared_layers_add_up_their_gradients() -> None:
    x = Input((5,))
    dense = Dense(5)
    once = dense(x)
    joined = Concatenate()([dense(once), x, Multiply()([once, x])])
    model = Model(x, Dense(2)(joined), seed=1)
    model.compile("mse", "sgd")
    assert len(model.layers) == 4
    assert model.check_gradients(data(6, 5), data(6, 2)).ok


@pytest.mark.parametrize("pattern", ["aab", "aaa", "aabb", "aba", "abb", "aa"])
@pytest.mark.parametrize("merge", [Add, Average, Multiply, Concatenate])
def test_an_input_may_come_several_times(merge: type[Layer], pattern: str) -> None:
    start = Input((4,))
    nodes = {name: Dense(4)(start) for name in "ab"}
    model = Model(start, merge()([nodes[name] for name in pattern]), seed=0, dtype="float64")
    model.compile("mse", "sgd")
    x = data(5)
    assert model.check_gradients(x, np.zeros((5, *model.output_shape))).ok


@pytest.mark.parametrize("sizes", [(7, 6), (6, 7)])
@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_pooling_shared_by_images_that_it_tiles_and_others_that_it_does_not(
    sizes: tuple[int, int], mode: str
) -> None:
    shared, results, weights = Pooling2D(2, 2, mode), [], []
    for pools in ([shared, shared], [Pooling2D(2, 2, mode) for _ in sizes]):
        inputs = [Input((2, size, size)) for size in sizes]
        images = [ReLU()(Conv2D(8, 3, padding=1)(node)) for node in inputs]
        nodes = [Flatten()(pool(image)) for pool, image in zip(pools, images, strict=True)]
        model = Model(inputs, Dense(2)(Concatenate()(nodes)), seed=0, dtype="float64")
        model.compile("mse", "sgd")
        weights = model.get_weights() if not results else weights
        model.set_weights(weights)
        x = [np.random.default_rng(0).normal(size=(32, 2, size, size)) for size in sizes]
        losses = [model.train_on_batch(x, data(32, 2)) for _ in range(3)]
        results.append([losses, model.predict(x)])
    for together, apart in zip(*results, strict=True):
        np.testing.assert_allclose(together, apart, rtol=1e-10)


def test_one_reshape_for_inputs_of_two_shapes() -> None:
    inputs, flat = [Input((2, 2)), Input((3, 3))], Reshape((-1,))
    model = Model(inputs, Dense(2)(Concatenate()([flat(node) for node in inputs])), seed=0)
    model.compile("mse", "sgd")
    x = [np.random.default_rng(0).normal(size=(5, *node.shape)) for node in inputs]
    assert model.check_gradients(x, data(5, 2)).ok
    assert np.isfinite(model.train_on_batch(x, data(5, 2)))


def test_several_inputs_and_outputs_by_list_and_by_name() -> None:
    a, b = Input((4,), name="a"), Input((3,), name="b")
    hidden = Activation("tanh")(Dense(6)(Concatenate()([a, b])))
    model = Model([a, b], {"size": Dense(1, name="s")(hidden), "kind": Activation("softmax")(Dense(3)(hidden))}, seed=2)
    model.compile(
        {"size": "mse", "kind": "cce"}, "adam", metrics={"kind": ["accuracy"]}, loss_weights={"size": 0.5, "kind": 2}
    )
    x = {"a": data(30, 4), "b": data(30, 3, 1)}
    y = {"size": data(30, 1, 2), "kind": np.arange(30) % 3}
    history = model.fit(x, y, epochs=3, batch_size=7, verbose=0).history
    assert {"loss", "size_loss", "kind_loss", "kind_accuracy"} <= set(history)
    assert history["loss"][0] == pytest.approx(0.5 * history["size_loss"][0] + 2 * history["kind_loss"][0], rel=1e-5)
    predicted = model.predict([x["a"], x["b"]])
    size, kind = predicted["size"], predicted["kind"]
    assert size.shape == (30, 1)
    assert kind.shape == (30, 3)
    assert model.check_gradients({k: v[:5] for k, v in x.items()}, {k: v[:5] for k, v in y.items()}).ok
    with pytest.raises(ArgumentError, match="no output is called"):
        model.compile({"size": "mse", "sort": "cce"})
    with pytest.raises(ArgumentError, match=r"expected the names \['a', 'b'\]"):
        model.predict({"a": x["a"]})


class Residual(Layer):
    """x + W2 relu(W1 x)."""

    size: int

    def __post_init__(self) -> None:
        self.first, self.second = Dense(self.size), Dense(self.size)

    def compose(self, x: object) -> object:
        return Add()([x, self.second(ReLU()(self.first(x)))])


def test_a_block_in_ten_lines() -> None:
    x = Input((4,))
    block = Residual(4)
    model = Model(x, Dense(1)(block(block(x))), seed=3)
    model.compile("mse", "adam")
    assert model.count_params() == 2 * 20 + 5
    assert "residual_1/dense_1" in model.graph.names.values()
    assert model.check_gradients(data(), data(8, 1)).ok
    chain = Sequential([Dense(4, input_shape=(3,)), Residual(4), Dense(1)], seed=0)
    assert chain.predict(data(2, 3)).shape == (2, 1)


def test_a_model_is_a_layer_and_shares_its_weights() -> None:
    inner = Sequential([Dense(4, input_shape=(4,)), Activation("tanh")], seed=4)
    x = Input((4,))
    outer = Model(x, Dense(1)(inner(inner(x))), seed=5)
    outer.compile("mse", "adam")
    before = inner.predict(data())
    outer.fit(data(), data(8, 1), epochs=2, verbose=0)
    assert (inner.predict(data()) != before).any()
    np.testing.assert_array_equal(inner.get_weights()[0], outer.get_weights()[0])
    inner.compile("mse", "sgd", doctor=False)  # of numbers beyond the reach of tanh
    inner.fit(data(), data(), epochs=1, verbose=0)
    np.testing.assert_array_equal(inner.get_weights()[0], outer.get_weights()[0])
    first = outer.train_on_batch(data(), data(8, 1))
    assert np.isfinite(first)
    np.testing.assert_array_equal(inner.get_weights()[0], outer.get_weights()[0])


def test_autoencoder() -> None:
    encoder = Sequential([Dense(3, input_shape=(6,)), Activation("tanh")], seed=6)
    decoder = Sequential([Dense(6, input_shape=(3,))], seed=7)
    model = Autoencoder(encoder, decoder, "mse", Adam(lr=0.02), seed=8)
    x = data(64, 3) @ data(3, 6, 9)
    history = model.fit(x, epochs=60, batch_size=16, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    np.testing.assert_allclose(model.decode(model.encode(x)), model.autoencode(x), rtol=1e-5)
    with pytest.raises(ShapeError, match=r"encoder gives \(3,\), the decoder takes \(4,\)"):
        Autoencoder(encoder, Sequential([Dense(6, input_shape=(4,))]))


class Sine(DerivedLayer):
    """factor * sin(x) ** power, differentiated by autograd."""

    power: float = 1.0

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.parameter("factor", (), "ones")
        return input_shape

    def compute(self, np: object, x: object, parameters: dict[str, object]) -> object:
        return parameters["factor"] * np.sin(x) ** self.power


def test_a_forward_only_layer_gets_its_backward_derived() -> None:
    model = Sequential([Dense(5, input_shape=(4,)), Sine(2.0), Dense(2)], seed=0)
    model.compile("mse", "adam")
    report = model.check_gradients(data(), data(8, 2))
    assert report.ok
    assert any("'factor'" in check.where for check in report.checks)
    assert np.isfinite(model.fit(data(), data(8, 2), epochs=2, verbose=0).history["loss"][-1])


class Wrong(Layer):
    """A square whose derivative is wrong by a factor of two."""

    def forward(self, x: np.ndarray, call: object) -> np.ndarray:
        call.x = x
        return x * x

    def backward(self, dy: np.ndarray, call: object) -> np.ndarray:
        return dy * call.x


def test_check_gradients_names_the_guilty_layer() -> None:
    model = Sequential([Dense(5, input_shape=(4,)), Wrong(name="guilty"), Dense(2)], seed=0)
    model.compile("mse", "adam")
    before = model.get_weights()
    with pytest.raises(GradientError, match="'guilty': the input gradient is wrong"):
        model.check_gradients(data(), data(8, 2))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not model.check_gradients(data(), data(8, 2), raise_error=False).ok


class Forgetful(Layer):
    def forward(self, x: np.ndarray, call: Any) -> np.ndarray:
        return x * 2

    def backward(self, dy: np.ndarray, call: Any) -> Any:
        dy * 2


class Lazy(ElementwiseLoss):
    def terms(self, prediction: Any, target: Any, grad: Any, empty: Any) -> Any:
        grad[...] = 0
        return np.square(prediction - target)


def test_check_gradients_names_a_layer_that_returns_nothing_and_a_loss() -> None:
    model = Sequential([Dense(5, input_shape=(4,)), Forgetful(), Dense(2)], seed=0)
    model.compile("mse", "adam")
    with pytest.raises(ArgumentTypeError, match="Forgetful 'forgetful_1': backward returned None"):
        model.check_gradients(data(), data(8, 2))
    model = Sequential([Dense(5, input_shape=(4,)), Dense(2)], seed=0)
    model.compile(Lazy(), "adam")
    with pytest.raises(
        GradientError, match="loss: the gradient of .*Compare the gradient that the loss gives with its"
    ):
        model.check_gradients(data(), data(8, 2))


@pytest.mark.parametrize(
    "parts",
    [
        [Dense(6, input_shape=(4,)), ReLU(), Dense(2)],
        [Dense(6, input_shape=(4,)), Dropout(0.4), Activation("selu"), Dense(2)],
        [Reshape((1, 2, 2), input_shape=(4,)), Conv2D(3, 1), Dropout(0.5), Pooling2D(2), Flatten(), Dense(2)],
    ],
)
def test_check_gradients_accuses_nobody_at_a_kink(parts: list[Layer]) -> None:
    model = Sequential(parts, seed=0)
    model.compile("mse", "sgd")
    x = data()
    x[:3] = 0  # and the biases are 0
    weights = model.get_weights()
    for number in range(4):  # other masks
        model.engine().steps = number
        assert model.check_gradients(x, np.ones((8, 2))).ok
    assert all(map(np.array_equal, weights, model.get_weights()))


def test_mistakes_in_graphs() -> None:
    x = Input((4,))
    with pytest.raises(ArgumentTypeError, match="expected a node"):
        Dense(3)("a text")
    with pytest.raises(ArgumentTypeError, match="expected nodes"):
        Model(x, np.zeros(3))
    with pytest.raises(ShapeError, match="takes one input, received 2"):
        Dense(3)([x, x])
    with pytest.raises(ShapeError, match=r"the first is \(4,\), number 2 is \(3,\)"):
        Add()([x, Dense(3)(x)])
    with pytest.raises(ArgumentError, match="not among the model's inputs"):
        Model(Input((4,)), Dense(3)(x))
    with pytest.raises(ArgumentError, match="two layers of the model are called 'one'"):
        Model(x, Dense(3, name="one")(Dense(3, name="one")(x)))
    with pytest.raises(ArgumentError, match="has no layer 'two'; it has one"):
        Model(x, Dense(3, name="one")(x)).get_layer("two")
    shared = Dense(4)
    shared(x)
    with pytest.raises(ShapeError, match="A shared layer needs inputs of one shape"):
        shared(Input((5,)))


def test_profile_prints_a_line_for_every_layer(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential([Dense(8, input_shape=(4,)), Activation("relu"), Dense(3), Activation("softmax")], seed=0)
    model.compile("cce", "adam")
    before = model.get_weights()
    report = model.profile(data(16), np.arange(16) % 3, repeats=3)
    names = ["dense_1", "activation_1", "dense_2"]  # the loss absorbs softmax
    assert [layer.name for layer in report.layers] == names
    first, _, last = report.layers
    assert (first.forward_flops, first.backward_flops) == (2 * 4 * 8 * 16, 2 * 4 * 8 * 16)  # no gradient of the input
    assert (last.forward_flops, last.backward_flops) == (2 * 8 * 3 * 16, 2 * 2 * 8 * 3 * 16)
    assert all(layer.forward_ms > 0 and layer.backward_ms > 0 for layer in report.layers)
    assert sum(layer.forward_ms + layer.backward_ms for layer in report.layers) < 3 * report.pass_ms
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    printed = capsys.readouterr().out
    assert printed == str(report) + "\n"
    for name in (*names, "all layers", "MFLOP", "of GEMM", "activations"):
        assert name in printed


def test_profile_of_a_layer_in_two_places_and_of_recurrent_and_normalised_models() -> None:
    a, b = Input((6,)), Input((6,))
    shared = Dense(6, activation="relu")
    model = Model([a, b], Dense(2)(Add()([shared(a), shared(b)])), seed=0)
    model.compile("mse", "sgd")
    report = model.profile([data(8, 6), data(8, 6)], np.zeros((8, 2)), repeats=2)
    assert [layer.name for layer in report.layers].count("dense_1") == 2

    text = Sequential([LSTM(5, input_shape=(7, 3)), Activation("softmax")], seed=0)
    text.compile("cce", "adam")
    (line,) = text.profile(np.ones((4, 7, 3)), np.zeros((4, 7), np.int64), repeats=2).layers
    on_input, inner = 2 * 7 * 3 * 20, 2 * 7 * 5 * (20 + 3)
    assert line.forward_flops == 4 * (on_input + inner)
    assert line.backward_flops == 4 * (on_input + 2 * inner)

    images = Sequential([Conv2D(2, (3, 3), input_shape=(1, 6, 6)), BatchNormalization(), Flatten(), Dense(2)], seed=0)
    images.compile("mse", "adam")
    running = images.get_weights()[4]
    names = [layer.name for layer in images.profile(np.ones((4, 1, 6, 6)), np.ones((4, 2)), repeats=2).layers]
    assert names == ["conv2d_1", "batch_normalization_1", "flatten_1", "dense_1"]
    assert np.array_equal(running, images.get_weights()[4])


def test_a_layer_that_another_model_has_named_keeps_its_name_beside_new_ones() -> None:
    shared = Dense(4, input_shape=(3,))
    Sequential([shared, Dense(2)]).get_weights()
    x = Input((5,))
    other = Model(x, Dense(1)(shared(Dense(3)(x))))
    assert [layer.name for layer in other.layers] == ["dense_2", "dense_1", "dense_3"]


def test_every_output_measures_by_a_metric_of_its_own() -> None:
    x = Input((3,))
    model = Model(x, [Activation("softmax", name=name)(x) for name in ("right", "wrong")], seed=0)
    metric = Accuracy()
    model.compile("cce", "sgd", metrics=[metric])
    labels = np.arange(6) % 3
    logs = model.evaluate(np.eye(3)[labels], [labels, (labels + 1) % 3], return_dict=True)
    assert (logs["right_accuracy"], logs["wrong_accuracy"]) == (1.0, 0.0)


def test_a_weighted_metric_stays_unweighted_elsewhere() -> None:
    metric = Accuracy()
    x, y = np.eye(2), np.array([0, 0])
    measured = []
    for which in ("weighted_metrics", "metrics"):
        model = Sequential([Activation("softmax", input_shape=(2,))], seed=0)
        model.compile("cce", "sgd", **{which: [metric]})
        measured.append(model.evaluate(x, y, sample_weight=[3, 1], return_dict=True)["accuracy"])
    assert measured == [0.75, 0.5]


def test_outputs_of_one_layer_bear_different_names() -> None:
    x = Input((3,))
    dense = Dense(2, name="d")
    y = dense(x)
    model = Model(x, [y, dense(x), y, Dense(2, name="d_1")(x)], seed=0)
    assert model.output_names == ["d", "d_1", "d_2", "d_1_1"]
