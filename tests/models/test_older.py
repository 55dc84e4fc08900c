"""Files of version 0.1, in which some defaults of layers meant something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.errors import FileFormatError
from miniDLF.layers import GELU, GRU, LSTM, RNN, Activation, Dense
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
    with pytest.raises(FileFormatError, match="meaning: expected a whole number up to 1, received .*Upgrade"):
        load(as_then(model, tmp_path / "m", meaning=meaning))
