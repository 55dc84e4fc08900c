"""Pictures: every plot draws what it says, and refuses what it cannot draw."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from miniDLF.errors import ArgumentError
from miniDLF.layers import LSTM, Activation, Add, Conv2D, Dense, Flatten, Pooling2D
from miniDLF.models import Input, Model, Sequential, plot_model

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
    with pytest.raises(ArgumentError, match="style is 'lines' or 'table'"):
        model.summary(style="poem")
