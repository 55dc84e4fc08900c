"""What a model file remembers of its data: told by hand, seen by fit, saved and loaded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.datasets import TEXT2SEQ, Digits, Text
from miniDLF.errors import ArgumentError, ArgumentTypeError, FileFormatError
from miniDLF.layers import LSTM, Activation, Add, Dense, Flatten
from miniDLF.models import DataInfo, Input, Model, Sequential, load
from miniDLF.storage import read_tensors, write_tensors


def made(*shape: int, outputs: int = 2) -> Sequential:
    model = Sequential([Flatten(input_shape=shape), Dense(outputs), Activation("softmax")], seed=0)
    model.compile("cce", "sgd")
    return model


def again(model: Any, path: Path) -> Any:
    model.save(path / "m.safetensors")
    return load(path / "m.safetensors")


def test_what_is_told_is_loaded(tmp_path: Path) -> None:
    model = made(3, 4, 4)
    assert model.data_info == DataInfo()
    model.data_info = DataInfo(scale=[0.5, 0.25, 1], offset=np.float32(-1), classes=["cat", "dog"])
    loaded = again(model, tmp_path)
    assert loaded.data_info == DataInfo(None, (0.5, 0.25, 1.0), -1.0, ("cat", "dog"))
    assert again(loaded, tmp_path).data_info == copy.deepcopy(loaded).data_info == model.data_info
    model.data_info = None
    assert again(model, tmp_path).data_info == DataInfo()


def test_fit_sees_the_range_and_takes_whole_numbers_for_raw_values(tmp_path: Path) -> None:
    model = made(4)
    x = np.random.default_rng(0).normal(size=(50, 4))
    model.fit(x, np.arange(50) % 2, verbose=0)
    assert again(model, tmp_path).data_info == DataInfo((x.min(), x.max()))
    model.fit(np.arange(200, dtype=np.uint8).reshape(50, 4), np.arange(50) % 2, verbose=0)
    assert again(model, tmp_path).data_info == DataInfo((0, 199), 1.0)
    model.fit(x, np.arange(50) % 2, verbose=0)  # what was seen before is forgotten
    assert model.data_info == DataInfo((x.min(), x.max()))
    model.data_info = DataInfo(scale=0.1, input_range=(-9, 9))  # and what the user says counts more
    model.fit(x, np.arange(50) % 2, verbose=0)
    assert again(model, tmp_path).data_info == DataInfo((-9, 9), 0.1)


def test_data_sets_know_their_scale_and_their_classes(tmp_path: Path) -> None:
    model = made(1, 28, 28, outputs=10)
    model.fit(Digits(60, 20), 1, 30, verbose=0)
    info = again(model, tmp_path).data_info
    assert (info.scale, info.classes) == (1 / 256, None)
    assert info.input_range[0] == 0
    assert 0.9 < info.input_range[1] < 1
    data = TEXT2SEQ(Text.from_string("the sea is calm tonight, " * 3), 10)
    network = Sequential([LSTM(4, input_shape=tuple(data.input_shape)), Activation("softmax")], seed=0)
    network.compile("cce")
    network.fit(data, 1, 10, verbose=0)
    assert again(network, tmp_path).data_info.classes == tuple(data.text.alphabet)


def test_several_inputs_have_no_one_range(tmp_path: Path) -> None:
    a, b = Input((3,)), Input((3,))
    model = Model([a, b], Dense(1)(Add()([a, b])), seed=0)
    model.compile("mse")
    model.fit([np.ones((4, 3))] * 2, np.ones((4, 1)), verbose=0)
    assert again(model, tmp_path).data_info == DataInfo()


def test_raw_values_become_inputs() -> None:
    raw = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    assert DataInfo().prepare(raw) is raw
    np.testing.assert_allclose(DataInfo(scale=1 / 255).prepare(raw), raw / 255)
    np.testing.assert_allclose(DataInfo(offset=-1).prepare(raw), raw - 1.0)
    by_channel = DataInfo(scale=(1, 10, 100), offset=(0.5, 0, 0)).prepare(raw)
    np.testing.assert_allclose(by_channel[:, 0], raw[:, 0] + 0.5)
    np.testing.assert_allclose(by_channel[:, 2], raw[:, 2] * 100.0)
    np.testing.assert_allclose(DataInfo(scale=(1, 10)).prepare(raw[:, 0, 0]), raw[:, 0, 0] * [1.0, 10.0])
    with pytest.raises(ArgumentError, match=r"data_info.scale: 3 numbers do not fit samples of shape \(2,\)"):
        DataInfo(scale=(1, 2, 3)).prepare(raw[:, 0, 0])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input_range": 3}, "input_range is .least, greatest."),
    ({"input_range": (2, 1)}, "input_range is .least, greatest., received .2.0, 1.0."),
    ({"input_range": (0, np.inf)}, "input_range: expected finite numbers"),
    ({"scale": 0}, "a factor of 0 makes all inputs alike"),
    ({"scale": (1, 0)}, "a factor of 0 makes all inputs alike"),
    ({"scale": np.nan}, "scale: expected finite numbers"),
    ({"scale": "fast"}, "scale is a number or a row of numbers, received 'fast'"),
    ({"scale": []}, "scale is a number or a row of numbers"),
    ({"offset": [[1]]}, "offset is a number or a row of numbers"),
    ({"offset": True}, "offset is a number or a row of numbers"),
    ({"classes": "cat"}, "classes is a list of names, received 'cat'"),
    ({"classes": 3}, "classes is a list of names"),
    ({"classes": [1, 2]}, "every name is a text"),
    ({"classes": ["", "a"]}, "every name is a text"),
    ({"classes": ["a", "a"]}, "expected two different names or more"),
    ({"classes": ["a"]}, "expected two different names or more"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=str)
def test_what_makes_no_sense(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((ArgumentError, ArgumentTypeError), match=f"DataInfo: .*{message}"):
        DataInfo(**arguments)
    model = made(4)
    model.save(tmp_path / "m.safetensors")
    tensors, document = read_tensors(tmp_path / "m.safetensors")
    plain = {
        key: value if isinstance(value, str | bool) else np.asarray(value).tolist() for key, value in arguments.items()
    }
    if "nan" not in str(plain) and "inf" not in str(plain):
        write_tensors(tmp_path / "m.safetensors", tensors, {**document, "data": {"told": plain, "seen": {}}})
        with pytest.raises(FileFormatError, match=f"m.safetensors: the description of the data .*{message}"):
            load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "data", [1, [], {"told": {}}, {"told": {"x": 1}, "seen": {}}, {"told": [], "seen": {}}], ids=str
)
def test_a_description_of_another_form(data: Any, tmp_path: Path) -> None:
    made(4).save(tmp_path / "m.safetensors")
    tensors, document = read_tensors(tmp_path / "m.safetensors")
    write_tensors(tmp_path / "m.safetensors", tensors, {**document, "data": data})
    with pytest.raises(FileFormatError, match=r"m.safetensors: the description of the data is damaged"):
        load(tmp_path / "m.safetensors")


def test_names_of_more_classes_than_there_are_outputs(tmp_path: Path) -> None:
    model = made(4)
    with pytest.raises(ArgumentTypeError, match="data_info is a DataInfo"):
        model.data_info = {"classes": ["a", "b"]}
    model.data_info = DataInfo(classes=["a", "b", "c"])
    with pytest.raises(
        ArgumentError, match=r"data_info.classes: the model's output \(2,\) tells 2 classes apart, rece"
    ):
        model.save(tmp_path / "m.safetensors")
    one = Sequential([Dense(1, input_shape=(4,)), Activation("sigmoid")])
    one.data_info = DataInfo(classes=["no", "yes"])
    assert again(one, tmp_path).data_info.classes == ("no", "yes")


def test_files_without_it_are_as_they_were(tmp_path: Path) -> None:
    made(4).save(tmp_path / "m.safetensors")
    assert "data" not in read_tensors(tmp_path / "m.safetensors")[1]
    assert load(tmp_path / "m.safetensors").data_info == DataInfo()
