"""Files of version 0.1, in which some defaults of layers meant something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.errors import FileFormatError
from miniDLF.layers import GELU, GRU, LSTM, RNN, Activation, Conv2D, Dense, Flatten
from miniDLF.models import Sequential, load
from miniDLF.models.structure import describe
from miniDLF.storage import write_tensors

RNG = np.random.default_rng(0)


def as_then(model: Sequential, path: Path, *left_out: str, meaning: int | None = None) -> Any:
    """Save a model as 0.1 did: without a word on the meaning of defaults, and with these arguments left out."""
    structure = describe(model)
    del structure["meaning"]
    if meaning is not None:
        structure["meaning"] = meaning
    for layer in structure["layers"]:
        for name in left_out:
            layer["config"].pop(name, None)
            if isinstance(layer["config"].get("activation"), dict):
                layer["config"]["activation"] = "gelu"
    weights = {f"weights/{name}": value for name, value in model.named_weights().items()}
    write_tensors(path, weights, {"kind": "model", "model": structure})
    return path


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_a_recurrent_layer_without_sequences_projected_to_its_input(layer: Any, tmp_path: Path) -> None:
    recurrent = layer(6, output_units=3, return_sequences=False, input_shape=(4, 3))
    model = Sequential([recurrent, Dense(2)], seed=1)
    x = RNG.normal(size=(5, 4, 3))
    again = load(as_then(model, tmp_path / "m", "output_units"))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.save(tmp_path / "again")
    np.testing.assert_array_equal(load(tmp_path / "again").predict(x), model.predict(x))


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_other_recurrent_layers_are_what_they_were(layer: Any, tmp_path: Path) -> None:
    x = RNG.normal(size=(5, 4, 3))
    for options in ({}, {"output_units": 0, "return_sequences": False}, {"output_units": 7}):
        model = Sequential([layer(6, input_shape=(4, 3), **options)], seed=1)
        np.testing.assert_array_equal(load(as_then(model, tmp_path / "m")).predict(x), model.predict(x))


def test_gelu_was_the_form_with_tanh(tmp_path: Path) -> None:
    close = Activation("gelu", approximate=True)
    model = Sequential([Dense(4, activation=close, input_shape=(3,)), GELU(approximate=True)], seed=1)
    model.add(Activation("gelu", approximate=True))
    x = RNG.normal(size=(5, 3))
    again = load(as_then(model, tmp_path / "m", "approximate"))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.save(tmp_path / "again")
    np.testing.assert_array_equal(load(tmp_path / "again").predict(x), model.predict(x))


class Heir(Dense):
    """A layer of one's own with the defaults of its base."""


class Decided(Dense):
    """A layer of one's own with a default of its own, which has become that of the base."""

    weight_initializer: Any = "glorot_uniform"


class Narrow(Dense):
    """A layer of one's own that does not take the argument."""

    def __init__(self, size: int = 2, **common: Any) -> None:
        super().__init__(size, **common)


OWN = {kind.__name__: kind for kind in (Heir, Decided, Narrow)}


def weighted(*last: Any) -> Sequential:
    return Sequential([Conv2D(2, 3, activation="relu", input_shape=(1, 5, 5)), Flatten(), Dense(4), *last], seed=1)


def initializers(model: Any) -> list[Any]:
    layers = [layer for layer in model.layers if layer.parameters]
    drawn = [type(layer.parameters[0].initializer).__name__ for layer in layers]
    assert drawn == ["".join(map(str.capitalize, layer.weight_initializer.split("_"))) for layer in layers]
    return [layer.weight_initializer for layer in layers]


@pytest.mark.parametrize("meaning", [None, 1])
def test_dense_and_convolution_had_the_weights_of_he(meaning: int | None, tmp_path: Path) -> None:
    last = Dense(2, weight_initializer="zeros"), Heir(2), Decided(2)
    model, x = weighted(*last), RNG.normal(size=(2, 1, 5, 5))
    path = as_then(model, tmp_path / "m", meaning=meaning)
    again = load(path, custom_objects=OWN)
    meant = ["he_normal", "he_normal", "zeros", "he_normal", "glorot_uniform"]
    assert initializers(again) == meant
    np.testing.assert_array_equal(again.predict(x), model.predict(x))  # the weights are those of the file
    again.save(path)
    assert initializers(load(path, custom_objects=OWN)) == meant
    assert initializers(load(as_then(weighted(Narrow()), path, meaning=meaning), custom_objects=OWN))[-1] == "he_normal"


def test_initializers_of_today_are_kept(tmp_path: Path) -> None:
    model = weighted(Dense(3, weight_initializer="he_normal"), Heir(2), Decided(2), Narrow(2))
    model.save(tmp_path / "m")
    kept = ["glorot_uniform", "glorot_uniform", "he_normal", "glorot_uniform", "glorot_uniform", "glorot_uniform"]
    assert initializers(load(tmp_path / "m", custom_objects=OWN)) == initializers(model) == kept


def test_files_of_today_mean_what_they_say(tmp_path: Path) -> None:
    model = Sequential([LSTM(6, return_sequences=False, input_shape=(4, 3)), Dense(4, activation="gelu")], seed=1)
    x = RNG.normal(size=(5, 4, 3))
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.graph.nodes[0].shape == (6,)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


@pytest.mark.parametrize("meaning", [99, -1, "new"])
def test_a_meaning_that_nobody_knows_is_refused(meaning: Any, tmp_path: Path) -> None:
    model = Sequential([Dense(2, input_shape=(3,))])
    with pytest.raises(FileFormatError, match="meaning: expected a whole number up to 2, received .*Upgrade"):
        load(as_then(model, tmp_path / "m", meaning=meaning))
