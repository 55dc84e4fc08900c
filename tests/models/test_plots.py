"""Pictures: every plot draws what it says, and refuses what it cannot draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from miniDLF.errors import ArgumentError
from miniDLF.layers import LSTM, Activation, Add, Conv2D, Dense, Dropout, Flatten, Pooling2D, Reshape
from miniDLF.models import Input, Model, Sequential, plot_model
from miniDLF.models.describing import settings
from miniDLF.models.drawing import graph_svg
from miniDLF.training.plots import plot_curves

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((12, 1, 8, 8)), np.arange(12) % 3


def network() -> Sequential:
    layers = [Conv2D(4, 3, input_shape=(1, 8, 8)), Activation("relu"), Pooling2D(), Flatten(), Dense(3)]
    model = Sequential([*layers, Activation("softmax")], seed=0)
    model.compile("cce", "adam", metrics=["accuracy"])
    return model


def test_learning_curves(tmp_path: Path) -> None:
    history = network().fit(IMAGES, LABELS, epochs=3, validation_split=0.25, verbose=0)
    drawing = history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    loss, accuracy = drawing.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), history.history["accuracy"])
    assert len(history.plot(metrics=["loss"]).axes) == 1
    seldom = network().fit(IMAGES, LABELS, epochs=5, validation_split=0.25, validation_freq=2, verbose=0).plot()
    np.testing.assert_array_equal(seldom.axes[0].lines[1].get_xdata(), [2, 4])
    assert history.plot()._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match=r"no log \['auc'\]; this run has loss, accuracy"):
        history.plot(metrics=["auc"])


def test_weights_and_activations(tmp_path: Path) -> None:
    model = network()
    shown = [axes for axes in model.plot.weights(tmp_path / "w.png").axes if axes.get_visible()]
    assert [axes.get_title().split()[0] for axes in shown] == list(model.named_weights())
    maps = [axes for axes in model.plot.activations(IMAGES, path=tmp_path / "a.png").axes if axes.get_visible()]
    assert len(maps) == 4
    assert model.plot.activations(IMAGES, "dense_1").axes[0].patches
    text = Sequential([LSTM(5, input_shape=(7, 3))], seed=0)
    assert text.plot.activations(RNG.random((2, 7, 3))).axes[0].images
    with pytest.raises(ArgumentError, match="has no layer 'nothing'"):
        model.plot.activations(IMAGES, "nothing")
    assert all((tmp_path / name).exists() for name in ("w.png", "a.png"))


def test_confusion_and_predictions(tmp_path: Path) -> None:
    model = network()
    guesses = model.predict(IMAGES).argmax(1)
    drawing = model.plot.confusion(IMAGES, LABELS, names="abc", path=tmp_path / "c.png")
    counts = np.array([int(text.get_text()) for text in drawing.axes[0].texts]).reshape(3, 3)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (LABELS, guesses), 1)
    np.testing.assert_array_equal(counts, expected)
    titles = [axes.get_title() for axes in model.plot.predictions(IMAGES, LABELS, count=6).axes if axes.get_visible()]
    assert titles == [
        f"{guess}" if guess == label else f"{guess}, not {label}"
        for guess, label in zip(guesses[:6], LABELS[:6], strict=True)
    ]
    vectors = Sequential([Dense(3, input_shape=(5,))], seed=0)
    with pytest.raises(ArgumentError, match="are not pictures"):
        vectors.plot.predictions(np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (Conv2D(32, (6, 6), 2), "filters=32, kernel=6x6, stride=2"),
        (Conv2D(8, 3, padding="same", activation="relu"), "filters=8, kernel=3, stride=1, padding=same, relu"),
        (Pooling2D(), "size=2, stride=2, mode=max"),
        (Pooling2D(2, 2, "avg"), "size=2, stride=2, mode=avg"),
        (
            Dense(10, use_bias=False, weight_initializer="zeros", name="head", trainable=False),
            "size=10, use_bias=False",
        ),
        (Activation("leaky_relu", 0.1), "leaky_relu, alpha=0.1"),
        (Activation(np.tanh), "tanh"),
        (Dropout(0.25), "p_dropout=0.25"),
        (Reshape((1, 28, 28)), "new_shape=1x28x28"),
        (LSTM(32, return_sequences=False), "n_units=32, return_sequences=False"),
        (Flatten(), ""),
    ],
)
def test_the_settings_of_a_layer_in_a_few_words(layer: Any, told: str) -> None:
    assert settings(layer) == told


def test_an_activation_that_a_layer_brings_along_is_told_once() -> None:
    model = Sequential([Dense(3, activation="tanh", input_shape=(2,))], seed=0)
    told: list[str] = []
    model.summary("details", told.append)
    assert [line.partition("(size")[2] or line[-6:] for line in told[:2]] == ["=3)", "(tanh)"]
    assert graph_svg(model.graph).count("tanh") == 1


@pytest.mark.parametrize("width", [60, 72, 80, 99, 100, 140])
def test_a_table_keeps_to_the_length_of_its_lines_and_loses_nothing(width: int) -> None:
    x = Input((4,), name="a_rather_long_name_of_an_input")
    node = x
    for number in range(3):
        node = Dense(4, name=f"a_layer_with_a_very_long_name_number_{number}")(node)
    for model in (Model(x, Add()([node, x]), seed=0), network()):
        lines: list[str] = []
        model.summary(line_length=width, print_fn=lines.append)
        assert max(map(len, lines)) <= width
        first = "".join(line[: lines[2].index("class")].strip(" -") for line in lines[3:-2])
        assert first == "".join(model.graph.names.values())
    table: list[str] = []
    network().summary("table", table.append)
    assert "KiB a sample" in table[2]
    assert "connected to" not in table[2]
    assert "Conv2D filters=4, kernel=3, stride=1" in table[4]


def test_the_graph_as_pixels(tmp_path: Path) -> None:
    model = network()
    drawn = plot_model(model, tmp_path / "m.png")
    pixels = pytest.importorskip("matplotlib.image").imread(tmp_path / "m.png")
    root = ElementTree.fromstring(drawn)
    assert pixels.shape[:2] == (2 * int(root.get("height", 0)), 2 * int(root.get("width", 0)))
    assert pixels[..., :3].std() > 0.05
    plot_model(model, tmp_path / "m.PDF")
    assert (tmp_path / "m.PDF").read_bytes().startswith(b"%PDF")
    assert drawn._repr_svg_() == drawn  # a notebook shows it
    assert repr(drawn).startswith("<a drawing as SVG, ")
    words = ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]
    assert {"conv2d_1", "Conv2D, 40 parameters", "filters=4, kernel=3, stride=1", "Activation relu"} <= set(words)


def test_the_most_frequent_mistake_is_as_red_as_the_picture_can_be() -> None:
    truths, guesses = np.repeat([0, 1, 2], [1000, 500, 4]), np.repeat([0, 1, 2], [1000, 500, 4])
    guesses[:3] = 1  # 0.3 % of a class
    model = Sequential([Activation("linear", input_shape=(3,))], seed=0)
    model.compile("mse", "sgd")
    axes = model.plot.confusion(np.eye(3)[guesses], truths).axes[0]
    hits, mistakes = axes.images
    assert mistakes.norm.vmax == pytest.approx(0.003)
    np.testing.assert_allclose(mistakes.get_array()[0, 1:], [0.003, 0.0])
    assert np.ma.getmaskarray(mistakes.get_array()).diagonal().all()
    assert np.ma.getmaskarray(hits.get_array())[~np.eye(3, dtype=bool)].all()
    deepest = mistakes.cmap(mistakes.norm(0.003))
    assert deepest[0] > 2 * deepest[1]  # red
    assert axes.get_title() == "1501 of 1504 right, 3 wrong"
    perfect = model.plot.confusion(np.eye(3)[truths], truths).axes[0]
    assert perfect.get_title() == "1504 of 1504 right, 0 wrong"


def test_filters_are_shown_as_pictures_and_other_weights_as_histograms() -> None:
    layers = [Conv2D(5, 3, input_shape=(1, 9, 9)), Conv2D(20, 3), Conv2D(3, 1), Conv2D(4, 3, name="last")]
    model = Sequential(layers, seed=0)
    panels = {axes.get_title().split()[0]: axes for axes in model.plot.weights().axes if axes.get_visible()}
    named = model.named_weights()
    assert [name for name, axes in panels.items() if axes.images] == [
        name for name, value in named.items() if value.ndim == 4 and value.shape[2] > 1
    ]
    first = panels["conv2d_1/weight"].images[0].get_array()
    np.testing.assert_array_equal(first[1:4, 1:4], named["conv2d_1/weight"][0, 0])
    np.testing.assert_array_equal(first[5:8, 5:8], named["conv2d_1/weight"][4, 0])  # three a row
    second = panels["conv2d_2/weight"].images[0].get_array()
    np.testing.assert_array_equal(second[5:8, 9:12], named["conv2d_2/weight"][1, 2])
    assert panels["conv2d_2/weight"].get_xlabel() == "channels (5 of 5); rows: filters (16 of 20)"
    coloured = panels["last/weight"].images[0].get_array()
    weight = named["last/weight"]
    assert coloured.shape[-1] == 3
    np.testing.assert_allclose(coloured[1, 1], weight[0, :, 0, 0] / (2 * np.abs(weight).max()) + 0.5, rtol=1e-6)


def test_the_worst_predictions_come_first() -> None:
    scores = np.array([[9, 1, 0], [0, 5, 4], [2, 3.5, 0], [0, 1, 8], [1, 0, 6.0]])
    truths = np.array([0, 2, 0, 0, 2])
    model = Sequential([Flatten(input_shape=(1, 1, 3)), Activation("linear")], seed=0)
    drawing = model.plot.predictions(scores.reshape(5, 1, 1, 3), truths, count=4, worst=True)
    titles = [axes.get_title() for axes in drawing.axes if axes.get_visible()]
    assert titles == ["2, not 0", "1, not 0", "1, not 2", "2"]  # 8 - 0, 3.5 - 2, 5 - 4, then the least sure
    one_hot = model.plot.predictions(scores.reshape(5, 1, 1, 3), np.eye(3)[truths], count=4, worst=True)
    assert [axes.get_title() for axes in one_hot.axes if axes.get_visible()] == titles
    binary = Sequential([Flatten(input_shape=(1, 1, 1)), Activation("linear")], seed=0)
    chances = np.array([0.9, 0.2, 0.6]).reshape(3, 1, 1, 1)
    shown = binary.plot.predictions(chances, [[1], [1], [0]], worst=True).axes
    assert [axes.get_title() for axes in shown if axes.get_visible()] == ["0, not 1", "1, not 0", "1"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 40])
def test_epochs_have_ticks_at_whole_numbers(epochs: int) -> None:
    drawing = plot_curves({"loss": list(np.linspace(1, 0, epochs)), "val_loss": [0.5] * epochs})
    drawing.draw_without_rendering()
    (axes,) = drawing.axes
    left, right = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
    assert ticks
    assert all(tick == int(tick) for tick in ticks)


def test_the_graph_as_svg(tmp_path: Path) -> None:
    x = Input((4,), name="start & 'end' <1>")
    dense = Dense(4)
    model = Model(x, Add()([dense(x), dense(dense(x))]), seed=0)
    text = plot_model(model, tmp_path / "m.svg")
    assert ">start &amp; 'end' &lt;1&gt;<" in text
    root = ElementTree.fromstring(text)
    words = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"start & 'end' <1>", "dense_1", "add_1"} <= set(words)
    assert len(root.findall(".//{http://www.w3.org/2000/svg}g")) == 1 + len(model.graph.nodes)
    assert model._repr_html_().startswith("<svg")
    assert "empty" in Sequential()._repr_html_()


SVG = "{http://www.w3.org/2000/svg}"


def test_boxes_lie_apart_and_no_connection_runs_through_one(tmp_path: Path) -> None:
    x, z = Input((8,), name="left"), Input((8,), name="right")
    tower = Sequential([Dense(16, input_shape=(8,)), Activation("relu"), Dense(8)], name="tower")
    node = tower(x)
    for _ in range(3):  # short cuts over two ranks
        node = Add()([node, Dense(8, name=None)(Dense(8)(node))])
    model = Model([x, z], [Add()([node, tower(z), x]), Dense(3)(node)], seed=0)
    root = ElementTree.fromstring(plot_model(model, tmp_path / "m.svg"))
    boxes = [
        tuple(float(box.get(key, 0)) for key in ("x", "y", "width", "height"))
        for box in (group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g"))
        if box is not None
    ]
    assert len(boxes) == 2 + len(model.graph.nodes)
    for number, (left, top, width, height) in enumerate(boxes):
        assert left >= 0
        assert left + width <= float(root.get("width", 0))
        for other in boxes[number + 1 :]:
            assert left + width <= other[0] or other[0] + other[2] <= left or abs(top - other[1]) >= height
    connections = [path.get("d", "") for path in root.findall(f"{SVG}path")]
    assert len(connections) == sum(len(node.inputs) for node in model.graph.nodes)
    for path in connections:  # "M x,y C ... x,y L x,y C ...": an L goes straight down past a rank
        for part in path.split("L")[1:]:
            across, down = map(float, part.split()[0].split(","))
            assert not any(
                left < across < left + width and top < down <= top + height for left, top, width, height in boxes
            )


def test_summary_styles(capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    model.summary(style="table")
    printed = capsys.readouterr().out
    assert "conv2d_1" in printed
    assert "parameters: 151 trained" in printed.replace("\n", " ")
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert lines[-1] == "Total # trainable parameters: 151"
    assert not any("conv2d_1" in line for line in lines)  # the specification's lines
    detailed: list[str] = []
    model.summary("details", detailed.append)
    assert [long.startswith(short) for short, long in zip(lines, detailed, strict=True)] == [True] * len(lines)
    assert detailed[0].endswith("  conv2d_1  (filters=4, kernel=3, stride=1)")
    assert detailed[1].endswith("  activation_1  (relu)")
    with pytest.raises(ArgumentError, match="style is 'lines', 'details' or 'table'"):
        model.summary(style="poem")


def test_what_plot_model_returns_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    formatters = pytest.importorskip("IPython.core.formatters")
    drawn = plot_model(network(), tmp_path / "m.svg")
    shown, _ = formatters.DisplayFormatter().format(drawn)
    assert shown["image/svg+xml"] == (tmp_path / "m.svg").read_text(encoding="utf-8")
    assert "<svg" not in shown["text/plain"]
