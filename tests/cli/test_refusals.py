"""Every mistake at the command line is answered: in a file with its line, else with what was expected and what came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.cli import main
from miniDLF.layers import Activation, Dense
from miniDLF.models import Input, Model, Sequential
from tests.cli.test_commands import CONFIG


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data, a configuration, and a model of vectors (5,) and one of pictures."""
    path = tmp_path_factory.mktemp("refusals")
    rng = np.random.default_rng(0)
    np.save(path / "x.npy", rng.normal(size=(40, 5)))
    np.save(path / "y.npy", np.arange(40) % 3)
    np.save(path / "flat.npy", np.arange(40))
    (path / "text.npy").write_text("1,2\n")
    (path / "bad.csv").write_text("1,2,3,4,five\n")
    (path / "bad.png").write_text("no picture")
    (path / "file").write_text("")
    (path / "text.txt").write_text("The sea is calm tonight. " * 100)
    np.save(path / "0d.npy", np.array(1.0))
    np.save(path / "names.npy", np.array(["a", "b"]))
    np.save(path / "objects.npy", np.array([1, None]))
    with (path / "zip.npy").open("wb") as file:
        np.savez(file, np.zeros((2, 5)))
    (path / "empty.npy").touch()
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000000000000, 5), }\n"
    for name, text in (("huge", header), ("broken", header.replace(b"(", b"((("))):
        (path / f"{name}.npy").write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text)
    (path / "empty.csv").touch()
    (path / "ragged.csv").write_text("1,2,3,4,5\n1,2\n")
    (path / "comment.csv").write_text("# x, y\n")
    (path / "run.toml").write_text(CONFIG.format(folder=path))
    Sequential([Dense(3, input_shape=(5,)), Activation("softmax")], seed=0).save(path / "m.safetensors")
    Sequential([Activation("tanh", input_shape=(1, 28, 28))], seed=0).save(path / "picture.safetensors")
    x = Input((5,))
    Model(x, [Dense(2)(x), Dense(3)(x)], seed=0).save(path / "two.safetensors")
    (path / "edited").mkdir()
    run = {"data": {"source": "csv"}, "model": {"network": "mlp"}, "training": {}}
    (path / "edited" / "run.json").write_text(json.dumps(run))
    (path / "other").mkdir()
    run = {"data": {"x": str(path / "x.npy"), "y": str(path / "y.npy")}, "model": {"network": "mlp"}, "training": {}}
    (path / "other" / "run.json").write_text(json.dumps(run))
    Sequential([Dense(3, input_shape=(4,))], seed=0).save(path / "other" / "m.safetensors")
    from matplotlib.image import imsave

    imsave(path / "small.png", rng.random((4, 4)), cmap="gray")
    return path


# What is changed in the configuration, and what is said of it; the line is that of the changed one.
CHANGES: dict[str, tuple[str, str, str]] = {
    "no TOML": ("[data]", "[data", r"not valid TOML: .*line 2"),
    "unknown section": ("[data]", "[date]", r"line 2: unknown section \[date\].*Did you mean 'data'\?"),
    "unknown key": ("epochs = 4", "epoch = 4", "line 32: unknown key 'epoch'; .training. has epochs.*Did you mean"),
    "wrong type": ("epochs = 4", 'epochs = "4"', "line 32: epochs is a whole number, received '4'"),
    "no epochs": ("epochs = 4", "epochs = 0", "line 32: epochs is at least 1, received 0"),
    "no batch": ("batch_size = 16", "batch_size = -1", "line 33: batch_size is at least 1, received -1"),
    "percentage": (
        "epochs = 4",
        "accuracy_threshold = 95",
        "line 32: accuracy_threshold is between 0 and 1, received 95",
    ),
    "unknown source": ('"arrays"', '"array"', "line 3: unknown source 'array'; there are .*Did you mean 'arrays'"),
    "half the data": ('y = "{folder}/y.npy"', "", r"line 3: arrays need both x = 'x.npy' and y = 'y.npy'"),
    "no such data": ("/x.npy", "/z.npy", r"line 4: .*z.npy: there is no such file. Check the path"),
    "no numbers": ("/x.npy", "/text.npy", r"line 4: .*text.npy: expected a .npy file of numbers"),
    "unknown loss": ('"cce"', '"cee"', "line 8: unknown loss 'cee'; choose from .*Did you mean 'cce'"),
    "unknown metric": (
        "seed = 3",
        'metrics = ["acuracy"]',
        "line 9: unknown metric 'acuracy'.*Did you mean 'accuracy'",
    ),
    "half precision": ("seed = 3", 'dtype = "float16"', "line 9: dtype is 'float32' or 'float64', received 'float16'"),
    "two models": ("seed = 3", 'network = "mlp"', r"line 7: give either network = 'mlp' .* or \[\[model.layers\]\]"),
    "unknown layer": ('"Dense"', '"Dens"', "line 12: class = 'Dens': choose from .*Did you mean 'Dense'"),
    "no class": ('class = "Dense"\nsize = 8', "size = 8", "line 11: class is missing: every entry has one"),
    "misspelled": ("size = 8", "sise = 8", "line 13: Dense has no argument 'sise'; .*Did you mean 'size'"),
    "negative": ("size = 8", "size = -8", "line 13: Dense: size is a whole number, at least 1; received -8"),
    "base class": ('"Adam"', '"Wrapper"', "line 28: class = 'Wrapper': choose from LBFGS, SGD"),
    "optimizer": ('"Adam"', '"Adamm"', "line 28: class = 'Adamm': .*Did you mean 'Adam'"),
    "rate": ("lr = 0.05", "lr = -1", r"line 29: Adam: lr must lie in \[0, inf\); received -1"),
    "rate in words": ("lr = 0.05", 'lr = "fast"', r"line 29: Adam: lr must be a number in .* received 'fast'"),
    "one callback": (
        "[[callbacks]]",
        "[callbacks]",
        r"line 35: callbacks are a list of sections: write \[\[callbacks\]\]",
    ),
    "callback": (
        "ReduceLR",
        "ReduceRL",
        "line 36: class = 'ReduceRLOnPlateau': choose from .*Did you mean 'ReduceLROn",
    ),
    "patience": (
        "patience = 2",
        'patience = "two"',
        "line 38: ReduceLROnPlateau: patience is a whole number, received",
    ),
    "no layers": (
        CONFIG[CONFIG.index("[[model.layers]]") : CONFIG.index("[optimizer]")],
        "layers = []\n",
        r"line 11: layers is empty: write a \[\[model.layers\]\] for each layer",
    ),
    "a date": ("lr = 0.05", "lr = 1979-05-27", "line 29: lr is a number, a text, true or false; received 1979-05-27"),
    "dates": ("seed = 3", "metrics = [1979-05-27]", "line 9: metrics is a number, a text, .* received 1979"),
    "a date of a layer": ("size = 8", "size = 1979-05-27", "line 13: size is a number, .* received 1979-05-27"),
    "a number for a name": ("size = 8", "size = 8\nname = 3", "line 14: Dense: name is a text in quotes, received 3"),
    "a large layer": ("size = 8", f"size = {10**14}", "line 11: .* makes more than 2,147,483,648 numbers a sample"),
    "a larger layer": ("size = 8", f"size = {10**18}", "line 11: .* makes more than 2,147,483,648 numbers a sample"),
    "more than 64 bits": ("size = 8", f"size = {10**26}", "line 13: size is a whole number of more than 64 bits"),
    "very long": ("size = 8", f"size = 0x{'f' * 5000}", "line 13: size is a whole number of more than 64 bits"),
    "longer": ("size = 8", f"size = {'1' * 5001}", "not valid TOML: a number is too long, or"),
    "deep": ("size = 8", f"size = {'[' * 5000}{']' * 5000}", "not valid TOML: "),
    "argument": ("patience = 2", "waiting = 2", "line 38: ReduceLROnPlateau has no argument 'waiting'"),
    "mode": (
        "patience = 2",
        'mode = "up"',
        "line 38: ReduceLROnPlateau: mode is 'auto', 'min' or 'max'; received 'up'",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_mistake_in_the_file_is_named_with_its_line(
    case: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = CHANGES[case]
    path = tmp_path / "changed.toml"
    assert old in CONFIG
    path.write_text(CONFIG.replace(old, new, 1).format(folder=folder))
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "--json"]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith(f"minidlf: {path}")
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[model]\nnetwork = "mpl"\n',
            "line 2: unknown network 'mpl'; there are mlp, cnn, rnn, lstm, gru. Did you mean",
        ),
        ("training = 3\n", "line 1: training is a section: write [training]"),
        ("", "line 1: give either network = 'mlp'"),
        ("[model]\nlayers = [1]\n", "line 2: layers are a list of sections: write [[model.layers]]."),
        ('[model]\nlayers = ["Dense"]\n', "line 2: layers are a list of sections: write [[model.layers]]."),
        ('callbacks = [1]\n[model]\nnetwork = "mlp"', "line 1: callbacks are a list of sections: write [[callbacks]]."),
    ],
)
def test_short_files(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert main(["train", str(path)]) == 2
    assert f"minidlf: {path}, {message}" in capsys.readouterr().err


# What is changed in the file of a run, and what is said of it.
DAMAGES: dict[str, tuple[dict[str, Any] | str, str]] = {
    "no JSON": ("{", " it describes no run"),
    "no text": ("", " it describes no run"),
    "deep": ("[" * 100_000, " it describes no run"),
    "no object": ("[1]", " it describes no run"),
    "other keys": ({"x": 1}, " it describes no run"),
    "an own file": ({"file": 3}, " finished, file, lines are not what train writes"),
    "no data": ({"data": None}, " data is a section"),
    "no model": ({"model": None}, " model is a section"),
    "counted layers": ({"model": {"layers": 3}}, " layers is a list, received 3"),
    "no layers": ({"model": {"layers": []}}, " layers is empty"),
    "optimizer": ({"optimizer": "adam"}, " optimizer is a section"),
    "callbacks": ({"callbacks": [1]}, " callbacks are a list of sections"),
    "callback": ({"callbacks": [{"class": "Stop"}]}, " class = 'Stop': choose from .*"),
    "networks": ({"model": {"network": ["mlp"]}}, r" network is a text in quotes, received \['mlp'\]"),
    "data in a number": ({"data": {"x": 1}}, " x is a text in quotes, received 1"),
    "a number": ({"data": {"timesteps": 10**30}}, " timesteps is a whole number of more than 64 bits"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_edited_run_is_checked_as_a_configuration_is(damage: str, tmp_path: Path, capsys: Any) -> None:
    changes, message = DAMAGES[damage]
    run = {"data": {}, "model": {"network": "mlp"}, "training": {}}
    (tmp_path / "run.json").write_text(changes if isinstance(changes, str) else json.dumps({**run, **changes}))
    assert main(["resume", str(tmp_path)]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert re.match(rf"minidlf: {re.escape(str(tmp_path))}/run.json is damaged:{message}[^\n]*\n$", said), said


WORDS: dict[str, tuple[Callable[[Path], list[Any]], str]] = {
    "no such network": (
        lambda f: ["train", "mpl"],
        r"'mpl' is neither one of mlp, cnn, rnn, lstm, gru nor a .toml file. Did you mean 'mlp'\?",
    ),
    "no file": (lambda f: ["train", f / "none.toml"], "none.toml: the configuration cannot be read"),
    "no text": (lambda f: ["train", f / "x.npy"], "neither one of mlp"),
    "out is a file": (
        lambda f: ["train", f / "run.toml", "--out", f / "file"],
        "--out .*file: the folder cannot be writ",
    ),
    "no model": (lambda f: ["predict", f / "none.safetensors", f / "x.npy"], "there is no such file"),
    "no model file": (
        lambda f: ["predict", f / "x.npy", f / "x.npy"],
        "x.npy is not a safetensors file",
    ),
    "no samples": (lambda f: ["predict", f / "m.safetensors", f / "none.csv"], "none.csv: there is no such file"),
    "no kind": (
        lambda f: ["predict", f / "m.safetensors", f / "run.toml"],
        "samples are a .npy, .npz, .csv, .png or .jpg file, or - for",
    ),
    "no numbers": (lambda f: ["predict", f / "m.safetensors", f / "text.npy"], "expected a .npy file of numbers"),
    "words": (
        lambda f: ["predict", f / "m.safetensors", f / "bad.csv"],
        "expected rows of numbers separated by commas",
    ),
    "two outputs": (
        lambda f: ["predict", f / "two.safetensors", f / "x.npy"],
        "predict: expected a model with one output, this one has dense_1, dense_2",
    ),
    "edited by hand": (lambda f: ["resume", f / "edited"], "run.json is damaged: unknown source 'csv'"),
    "no picture": (
        lambda f: ["predict", f / "picture.safetensors", f / "bad.png"],
        "bad.png: not a readable .png file",
    ),
    "small picture": (
        lambda f: ["predict", f / "picture.safetensors", f / "small.png"],
        r"small.png: the picture is 4 x 4 pixels .height x width., the model takes 28 x 28. .* --resize",
    ),
    "other shape": (lambda f: ["predict", f / "m.safetensors", f / "flat.npy"], r"expected \(N, 5\), received \(40,\)"),
    "out of another kind": (
        lambda f: ["predict", f / "m.safetensors", f / "x.npy", "--out", f / "p.txt"],
        "--out: a .npy or .csv file, received .*p.txt",
    ),
    "not compiled": (
        lambda f: ["evaluate", f / "m.safetensors", "--x", f / "x.npy", "--y", f / "y.npy"],
        r"the model is not compiled",
    ),
    "out into a file": (
        lambda f: ["predict", f / "m.safetensors", f / "x.npy", "--out", f / "file" / "p.npy"],
        "--out .*p.npy: the file cannot be written .*file",
    ),
    "svg into a file": (
        lambda f: ["summary", f / "m.safetensors", "--svg", f / "file" / "m.svg"],
        "--svg .*m.svg: the file cannot be written .*file",
    ),
    "two kinds of data": (
        lambda f: ["evaluate", f / "m.safetensors", "--x", f / "x.npy", "--y", f / "y.npy", "--data", f / "file"],
        "evaluate: give either --data, or --x and --y",
    ),
    "data of another run": (
        lambda f: ["evaluate", f / "other" / "m.safetensors"],
        r"the model takes samples of shape \(4,\), those of the run in .*other have \(5,\). Name other data",
    ),
    "half the data": (
        lambda f: ["evaluate", f / "m.safetensors", "--x", f / "x.npy"],
        "--x and --y go together; a .npz",
    ),
    "data of another shape": (
        lambda f: ["evaluate", f / "m.safetensors"],
        r"the model takes samples of shape \(5,\), which neither the digits nor a text has. Give --x and --y",
    ),
    "nothing to resume": (
        lambda f: ["resume", f],
        "run.json: no run to resume here .*Name the folder that train wrote",
    ),
    "no axis": (
        lambda f: ["predict", f / "m.safetensors", f / "0d.npy"],
        r"0d.npy: expected a .npy file of numbers, an entry a sample, .* received an array \(\) of float64",
    ),
    "no array": (
        lambda f: ["predict", f / "m.safetensors", f / "zip.npy"],
        "expected a .npy file of numbers.* it: its header is damaged",
    ),
    "nothing": (
        lambda f: ["predict", f / "m.safetensors", f / "empty.npy"],
        "expected a .npy file of numbers.* it: its header is damaged",
    ),
    "objects": (
        lambda f: ["predict", f / "m.safetensors", f / "objects.npy"],
        "expected a .npy file of numbers.* received an array .2,. of object",
    ),
    "names": (lambda f: ["predict", f / "m.safetensors", f / "names.npy"], "of numbers.* received an array .* of <U1"),
    "more than there is": (lambda f: ["predict", f / "m.safetensors", f / "huge.npy"], "a .npy file of numbers.* it: "),
    "no header": (lambda f: ["predict", f / "m.safetensors", f / "broken.npy"], "a .npy file of numbers.* it: "),
    "no row": (lambda f: ["predict", f / "m.safetensors", f / "empty.csv"], "separated by commas, found no row"),
    "comments": (lambda f: ["predict", f / "m.safetensors", f / "comment.csv"], "separated by commas, found no row"),
    "a long name": (
        lambda f: ["predict", f / "m.safetensors", "x" * 300 + ".csv"],
        "there is no such file .looked in /",
    ),
    "seed": (lambda f: ["train", "mlp", "--seed", -1], "--seed: seed is at least 0, received -1"),
    "no epochs": (lambda f: ["train", "mlp", "--epochs", 0], "--epochs: epochs is at least 1, received 0"),
    "a long seed": (lambda f: ["train", "mlp", "--seed", 2**64], "--seed: seed is a whole number of more than 64 bits"),
    "rows of two lengths": (
        lambda f: ["predict", f / "m.safetensors", f / "ragged.csv"],
        r"commas \(the number of columns changed from 5 to 2 at row 2\)",
    ),
    "no demo": (lambda f: ["demo", "--epochs", 0], "--epochs: epochs is at least 1, received 0"),
    "no batch": (lambda f: ["train", "mlp", "--batch-size", 0], "--batch-size: batch_size is at least 1, received 0"),
    "a text as images": (
        lambda f: ["train", "mlp", "--data", f / "text.txt", "--out", f / "out"],
        "text.txt: is cut short or no pickle .it begins with b'T'",
    ),
    "other drawing": (
        lambda f: ["summary", f / "m.safetensors", "--svg", f / "m.png"],
        "--svg: a .svg file, received .*m.png",
    ),
    "no summary": (lambda f: ["summary", f / "none"], "none: there is no such file. Check the path, or save the model"),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_mistake_in_the_words(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = WORDS[case]
    assert main([str(word) for word in words(folder)]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith("minidlf: ")
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: COMMAND"),
        (["train"], "required: what"),
        (["train", "mlp", "--epochs", "many"], "--epochs: invalid int value: 'many'"),
        (["trian", "mlp"], "Did you mean 'train'?"),
        (["train", "mlp", "--epoch-s", "3"], "unrecognized arguments: --epoch-s 3. Did you mean '--epochs'?"),
        (["train", "mlp", "--batchsize=3"], "Did you mean '--batch-size'?"),
        (["summary", "m", "more"], "unrecognized arguments: more."),
        (["summary", "m", "--style", "poem"], "--style: invalid choice: 'poem'"),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(words: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
