"""Model files that ask for too much: one clear error, in time and memory that the size of the file bounds."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.errors import FileFormatError
from miniDLF.layers import Activation, Dense
from miniDLF.models import Sequential, load
from miniDLF.models.structure import describe
from miniDLF.storage import write_tensors

Structure = dict[str, Any]


def written(path: Path, change: Callable[[Structure], object], tensors: dict[str, np.ndarray] | None = None) -> Path:
    """Write the file of a small model whose structure somebody has changed, with a digest that is right."""
    model = Sequential([Activation("tanh", input_shape=(1, 4, 4))], seed=0)
    model.compile("mse", "adam")
    structure = describe(model)
    change(structure)
    write_tensors(path, tensors or {}, {"kind": "model", "model": structure})
    return path


def layer(kind: str, path: str = "a", **config: Any) -> dict[str, Any]:
    return {"path": path, "trainable": True, "class": kind, "config": config}


def chain(structure: Structure, layers: list[dict[str, Any]], inputs: int = 1) -> None:
    """Put one layer behind the other; each takes the one before it so many times."""
    structure["class"] = "Model"
    structure["layers"] = layers
    structure["nodes"] = [{"layer": number, "inputs": [number] * inputs} for number in range(len(layers))]
    structure["outputs"] = [len(layers)]


#: What is changed, and what is said of it.
TOO_MUCH: dict[str, tuple[Callable[[Structure], object], str]] = {
    "enlarged": (
        lambda s: chain(s, [layer("UpSampling2D", size=100_000)]),
        r"UpSampling2D 'a' makes more than 2,147,483,648 numbers a sample: .*\(N, 1, 400000, 400000\)",
    ),
    "padded": (
        lambda s: chain(s, [layer("Conv2D", filters=1, kernel=[1, 1], padding=100_000)]),
        "makes more than 2,147,483,648 numbers",
    ),
    "doubled again and again": (
        lambda s: chain(s, [layer("Concatenate", f"c{n}") for n in range(300)], inputs=2),
        "Concatenate 'c27' makes more than 2,147,483,648 numbers",
    ),
    "a huge input": (
        lambda s: s["inputs"][0].update(shape=[2**40, 2**40, 2**40]),
        "input 0 takes more than 2,147,483,648 numbers a sample: .N, 1.1e.12, ",
    ),
    "a layer without weights": (
        lambda s: chain(s, [layer("Flatten"), layer("Dense", "d", size=10**9)]),
        "the weights do not fit",
    ),
    "as many layers as there are": (lambda s: s.update(layers=s["layers"] * 2000, nodes=[]), "is damaged .IndexError"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_structure_that_asks_for_too_much(case: str, tmp_path: Path) -> None:
    change, message = TOO_MUCH[case]
    path = written(tmp_path / "m.safetensors", change)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=message) as caught:
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 4e6 + 100 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_many_arrays_that_do_not_belong_to_the_model_are_counted(tmp_path: Path) -> None:
    tensors = {f"weights/t{number}": np.zeros(0) for number in range(3000)}
    path = written(tmp_path / "m.safetensors", lambda s: None, tensors)
    with pytest.raises(FileFormatError, match=r"only in the file: +t0 \(0,\)(.*\n)*.*\.\.\. and 2,950 more") as caught:
        load(path)
    assert len(str(caught.value)) < 5000
    model = Sequential([Activation("tanh", input_shape=(1, 4, 4))])
    with pytest.raises(FileFormatError, match="and 2,950 more"):
        model.load_weights(path)


def test_many_layers_take_the_time_of_their_number(tmp_path: Path) -> None:
    """20 000 layers took 50 seconds, since each was compared with all the others, and take 2."""
    seconds = []
    for count in (50, 1000):
        layers = [layer("Activation", f"l{n}", activation="tanh") for n in range(count)]
        path = written(tmp_path / "m.safetensors", lambda s, layers=layers: chain(s, layers))
        began = time.process_time()
        model = load(path)
        model.summary(print_fn=str)
        model.save(path)
        seconds.append(time.process_time() - began)
        assert len(model.layers) == count
    assert seconds[1] < 40 * max(seconds[0], 0.02)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_model_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    model = Sequential([Dense(2, input_shape=(4,))])
    for read in (load, model.load_weights):
        with pytest.raises(FileFormatError, match=r"m.safetensors: expected a file, but this is a pipe"):
            read(tmp_path / "m.safetensors")


def test_a_layer_that_is_used_again_and_again(tmp_path: Path) -> None:
    """Each use was compared with all earlier ones: 2000 of them took 4 seconds, and take 0.3."""

    def change(structure: Structure) -> None:
        structure["nodes"] = [{"layer": 0, "inputs": [number]} for number in range(2000)]
        structure["outputs"] = [2000]

    path = written(tmp_path / "m.safetensors", change)
    began = time.process_time()
    assert len(load(path).graph.nodes) == 2000
    assert time.process_time() - began < 2
