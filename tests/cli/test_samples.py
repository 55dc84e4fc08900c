"""What predict and evaluate read: every kind of file gives the same, in the form and the range that the model takes."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from miniDLF.cli import main
from miniDLF.errors import ArgumentError
from miniDLF.layers import Activation, Dense, Flatten
from miniDLF.models import DataInfo, Input, Model, Sequential, load
from tests.cli.test_commands import CONFIG, run

BYTES = np.random.default_rng(0).integers(0, 256, (8, 1, 6, 6), np.uint8)
TABLE = np.random.default_rng(1).normal(size=(12, 5))


def saved(path: Path, *shape: int, info: DataInfo | None = None, seen: Any = None, outputs: int = 3) -> Any:
    """Save a model of such samples, which was trained on `seen`, and return it."""
    model = Sequential([Flatten(input_shape=shape), Dense(outputs), Activation("softmax")], seed=0)
    model.compile("cce")
    if seen is not None:
        model.fit(seen, np.arange(len(seen)) % outputs, verbose=0, doctor=False)  # bytes, some of them
    model.data_info = info
    model.save(path / "m.safetensors")
    return model


def predicted(capsys: Any, path: Path, file: Any, *words: Any) -> tuple[Any, str]:
    """Return the outputs that ``minidlf predict`` prints, and what it says."""
    printed, said = run(capsys, "predict", path / "m.safetensors", file, "--json", *words)
    return np.array(json.loads(printed)["outputs"]), said


def refused(capsys: Any, *words: Any) -> str:
    return run(capsys, *words, status=2)[1]


def as_png(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_every_kind_of_file_gives_the_same(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    expected = saved(tmp_path, 5).predict(TABLE)
    files = {name: tmp_path / f"x.{name}" for name in ("npy", "npz", "csv", "txt")}
    np.save(files["npy"], np.asfortranarray(TABLE.astype(">f8")))
    np.savez_compressed(files["npz"], x=TABLE, more=np.zeros(3))
    np.savetxt(files["csv"], TABLE, delimiter=",", header="a,b,c,d,e", comments="")
    for name in ("npy", "npz", "csv"):
        close(predicted(capsys, tmp_path, files[name])[0], expected)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(files[name].read_bytes())))
        close(predicted(capsys, tmp_path, "-")[0], expected)
    files["npy"].rename(tmp_path / "X.NPY")
    close(predicted(capsys, tmp_path, tmp_path / "X.NPY")[0], expected)


def test_a_picture_and_an_array_of_its_bytes_are_the_same(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    for seen, factor in ((BYTES / 255, 1 / 255), (BYTES / 256, 1 / 256), (BYTES, 1), (BYTES / 127.5 - 1, None)):
        model = saved(tmp_path, 1, 6, 6, seen=seen)
        raw = BYTES[3:4]
        expected = model.predict(raw * factor if factor else raw / 127.5 - 1)
        png = as_png(tmp_path / "x.png", BYTES[3, 0])
        np.save(tmp_path / "x.npy", raw)
        for file in (png, tmp_path / "x.npy"):
            outputs, said = predicted(capsys, tmp_path, file)
            close(outputs, expected)
            assert not said
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(png.read_bytes())))
        close(predicted(capsys, tmp_path, "-")[0], expected)


def test_a_file_that_does_not_say_how_bytes_become_inputs(tmp_path: Path, capsys: Any) -> None:
    model = saved(tmp_path, 1, 6, 6)
    png = as_png(tmp_path / "x.png", BYTES[3, 0])
    np.save(tmp_path / "x.npy", BYTES[3:4])
    for file in (png, tmp_path / "x.npy"):
        outputs, said = predicted(capsys, tmp_path, file)
        close(outputs, model.predict(BYTES[3:4] / 255))
        assert "are divided by 255. Say it with --scale" in said
        outputs, said = predicted(capsys, tmp_path, file, "--scale", "1/64", "--offset", "-2")
        close(outputs, model.predict(BYTES[3:4] / 64 - 2.0))
        assert not said
    saved(tmp_path, 1, 6, 6, seen=(BYTES - 80.0) / 40)
    for file in (png, tmp_path / "x.npy"):
        said = refused(capsys, "predict", tmp_path / "m.safetensors", file)
        assert "the model was trained on inputs between -2 and 4.375, and its file does not say how the" in said


def test_the_preprocessing_in_the_file_is_followed(tmp_path: Path, capsys: Any) -> None:
    info = DataInfo(scale=[0.01, 0.02, 0.04], offset=[-1, 0, 1])
    model = saved(tmp_path, 3, 4, 5, info=info)
    pixels = np.random.default_rng(2).integers(0, 256, (4, 5, 3), np.uint8)
    expected = model.predict(info.prepare(pixels.transpose(2, 0, 1)[np.newaxis]))
    close(predicted(capsys, tmp_path, as_png(tmp_path / "x.png", pixels))[0], expected)
    large = np.broadcast_to(np.array([10, 100, 200], np.uint8), (64, 80, 3))
    said = refused(capsys, "predict", tmp_path / "m.safetensors", as_png(tmp_path / "x.png", large))
    assert (
        "the picture is 64 x 80 pixels (height x width), the model takes 4 x 5. Bring it to this size: --resize" in said
    )
    small = large[:4, :5].transpose(2, 0, 1)[np.newaxis]
    close(predicted(capsys, tmp_path, tmp_path / "x.png", "--resize")[0], model.predict(info.prepare(small)))
    photo = as_png(tmp_path / "x.jpg", np.full((40, 50, 3), 90, np.uint8))
    expected = model.predict(info.prepare(np.full((1, 3, 4, 5), 90)))
    np.testing.assert_allclose(predicted(capsys, tmp_path, photo, "--resize")[0], expected, atol=0.02)


def test_numbers_of_a_table_that_are_plainly_raw(tmp_path: Path, capsys: Any) -> None:
    model = saved(tmp_path, 36, info=DataInfo(scale=1 / 255), seen=BYTES.reshape(8, 36) / 255)
    np.savetxt(tmp_path / "x.csv", BYTES.reshape(8, 36), fmt="%d", delimiter=",")
    outputs, said = predicted(capsys, tmp_path, tmp_path / "x.csv")
    close(outputs, model.predict(BYTES.reshape(8, 36) / 255))
    assert "The values are taken as raw ones" in said
    np.save(tmp_path / "x.npy", BYTES.reshape(8, 36) / 255)
    outputs, said = predicted(capsys, tmp_path, tmp_path / "x.npy")
    close(outputs, model.predict(BYTES.reshape(8, 36) / 255))
    assert not said
    np.save(tmp_path / "x.npy", BYTES.reshape(8, 36) * 1e3)
    assert "The inputs lie between 0 and 255000; those that" in predicted(capsys, tmp_path, tmp_path / "x.npy")[1]
    saved(tmp_path, 36, seen=BYTES.reshape(8, 36))
    np.save(tmp_path / "x.npy", BYTES.reshape(8, 36) / 255)
    assert "Are they prepared in the same way" in predicted(capsys, tmp_path, tmp_path / "x.npy")[1]


#: The shape of a model's samples, that of an array, and whether only one order of its numbers can be meant.
ARRANGED = [
    ((3, 4, 4), (2, 3, 4, 4), True),
    ((3, 4, 4), (2, 4, 4, 3), False),
    ((3, 4, 4), (2, 4, 3, 4), False),
    ((3, 4, 4), (2, 48), True),
    ((3, 4, 4), (3, 4, 4), True),
    ((3, 4, 4), (4, 4, 3), False),
    ((3, 4, 4), (2, 3, 16), False),
    ((1, 4, 4), (2, 4, 4, 1), True),
    ((1, 4, 4), (2, 4, 4), True),
    ((1, 4, 4), (4, 4), True),
    ((1, 4, 4), (2, 16), True),
    ((16,), (2, 4, 4), True),
    ((16,), (2, 1, 4, 4), True),
    ((12,), (2, 2, 2, 3), False),
    ((16,), (16,), True),
    ((16,), (16, 1), False),
    ((4, 6), (2, 6, 4), False),
    ((4, 6), (2, 24), True),
    ((1,), (5,), True),
    ((5,), (7,), False),
    ((3, 4, 4), (2, 3, 4, 5), False),
]


@pytest.mark.parametrize(("takes", "given", "known"), ARRANGED, ids=str)
def test_arrays_of_another_shape(
    takes: tuple[int, ...], given: tuple[int, ...], known: bool, tmp_path: Path, capsys: Any
) -> None:
    x = np.random.default_rng(0).normal(size=given)
    model = saved(tmp_path, *takes)
    np.save(tmp_path / "x.npy", x)
    if known:
        close(predicted(capsys, tmp_path, tmp_path / "x.npy")[0], model.predict(x.reshape(-1, *takes)))
    else:
        said = refused(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy")
        assert f"expected (N, {', '.join(map(str, takes))}), received {given}" in said


def test_samples_larger_than_memory_are_read_in_blocks(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    model = saved(tmp_path, 1, 6, 6, seen=BYTES / 255)
    monkeypatch.setattr("miniDLF.cli.reading._IN_MEMORY", 200)
    monkeypatch.setattr("miniDLF.cli.preparing.BLOCK", 100)
    expected, y = model.predict(BYTES / 255), np.arange(8) % 3
    np.save(tmp_path / "y.npy", y)
    for shape in ((8, 1, 6, 6), (8, 36), (8, 6, 6)):
        for array in (BYTES, (BYTES / 255).astype(">f8")):
            np.save(tmp_path / "x.npy", array.reshape(shape))
            close(predicted(capsys, tmp_path, tmp_path / "x.npy")[0], expected)
    words = ("evaluate", tmp_path / "m.safetensors", tmp_path / "x.npy", "--y", tmp_path / "y.npy")
    measured = json.loads(run(capsys, *words, "--json")[0])
    assert measured["loss"] == pytest.approx(model.evaluate(BYTES / 255, y), rel=1e-5)
    assert measured["samples"] == 8
    np.save(tmp_path / "y.npy", y[:7])
    assert "there are 8 samples and 7 targets" in refused(capsys, *words)
    np.save(tmp_path / "x.npy", BYTES.transpose(0, 2, 3, 1).repeat(2, axis=3))
    said = refused(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy")
    assert "expected (N, 1, 6, 6), received (8, 6, 6, 2)" in said
    np.save(tmp_path / "x.npy", np.asfortranarray(BYTES.repeat(2, axis=0)))
    assert "save it in C order" in refused(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy")


def test_a_file_that_is_cut_while_the_model_predicts(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    saved(tmp_path, 36, seen=BYTES.reshape(8, 36))
    monkeypatch.setattr("miniDLF.cli.reading._IN_MEMORY", 1000)
    monkeypatch.setattr("miniDLF.cli.preparing.BLOCK", 10_000)
    np.save(tmp_path / "x.npy", np.repeat(BYTES.reshape(8, 36), 1000, axis=0))
    predict = Sequential.predict

    def cut(self: Any, *arguments: Any, **options: Any) -> Any:
        os.truncate(tmp_path / "x.npy", 20_000)
        return predict(self, *arguments, **options)

    monkeypatch.setattr(Sequential, "predict", cut)
    said = refused(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy")
    assert "as np.save writes it: it was changed while it was read" in said


def test_names_of_classes(tmp_path: Path, capsys: Any) -> None:
    saved(tmp_path, 5, info=DataInfo(classes=["ant", "bee", "cat"]))
    np.save(tmp_path / "x.npy", TABLE)
    classes = load(tmp_path / "m.safetensors").predict(TABLE).argmax(axis=1)
    (tmp_path / "names.txt").write_text("eins\nzwei\n\ndrei\n")
    for words, names in [
        ([], ["ant", "bee", "cat"]),
        (["--classes", "a, b,c"], ["a", "b", "c"]),
        (["--classes", tmp_path / "names.txt"], ["eins", "zwei", "drei"]),
    ]:
        printed, _ = run(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy", *words)
        assert [line.split("\t")[0] for line in printed.splitlines()] == [names[number] for number in classes]
    printed, _ = run(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "--json")
    assert json.loads(printed)["classes"] == classes.tolist()
    assert json.loads(printed)["names"] == [["ant", "bee", "cat"][number] for number in classes]
    for names, message in [
        ("a,b", "the model's output (3,) tells 3 classes apart, received 2 names"),
        ("a,b,a", "classes: expected two different names"),
        (tmp_path / "none.txt", "none.txt: the file cannot be read"),
    ]:
        words = ("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "--classes", names)
        assert message in refused(capsys, *words)


def test_the_names_of_two_classes_of_one_output(tmp_path: Path, capsys: Any) -> None:
    model = Sequential([Dense(1, input_shape=(5,)), Activation("sigmoid")], seed=0)
    model.data_info = DataInfo(classes=["no", "yes"])
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", TABLE)
    printed, _ = run(capsys, "predict", tmp_path / "m.safetensors", tmp_path / "x.npy")
    outputs = model.predict(TABLE)[:, 0]
    assert printed.splitlines() == [f"{'yes' if output > 0.5 else 'no'}\t{output:.4f}" for output in outputs]


def test_evaluate_takes_what_predict_takes(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    y = np.arange(12) % 3
    model = saved(tmp_path, 5)
    expected = model.evaluate(TABLE, y)
    np.savez(tmp_path / "d.npz", x=TABLE, y=y)
    np.savetxt(tmp_path / "x.csv", TABLE, delimiter=";", header="a;b;c;d;e", comments="")
    (tmp_path / "y.csv").write_text("species\n" + "\n".join(map(str, y)))
    x = tmp_path / "x.csv"
    for words in (
        ["--x", tmp_path / "d.npz"],
        [tmp_path / "d.npz"],
        [x, "--y", tmp_path / "y.csv"],
        ["--x", x, "--y", tmp_path / "d.npz"],
        ["--x", "-", "--y", tmp_path / "y.csv"],
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(x.read_bytes())))
        printed, _ = run(capsys, "evaluate", tmp_path / "m.safetensors", *words, "--json")
        assert json.loads(printed)["loss"] == pytest.approx(expected, rel=1e-5)
    np.savez(tmp_path / "z.npz", a=TABLE, b=y)
    for words, message in [
        ([x], "--x and --y go together; a .npz file may hold both"),
        (["--y", tmp_path / "y.csv"], "--x and --y go together"),
        ([x, "--x", x, "--y", tmp_path / "y.csv"], "the samples are there twice"),
        ([tmp_path / "z.npz"], "z.npz: expected an array 'x', the archive holds a, b"),
        ([x, "--y", tmp_path / "y.png"], "y.png: y is a .npy, .npz or .csv file"),
    ]:
        assert message in refused(capsys, "evaluate", tmp_path / "m.safetensors", *words)
    images = saved(tmp_path, 1, 6, 6, seen=BYTES / 255)
    np.savez(tmp_path / "b.npz", x=BYTES, y=np.arange(8) % 3)
    printed, _ = run(capsys, "evaluate", tmp_path / "m.safetensors", tmp_path / "b.npz", "--json")
    assert json.loads(printed)["loss"] == pytest.approx(images.evaluate(BYTES / 255, np.arange(8) % 3), rel=1e-5)


def test_a_run_remembers_what_its_configuration_says(tmp_path: Path, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 200, (60, 5))
    np.savetxt(tmp_path / "x.csv", raw, delimiter=",", fmt="%d", header="a,b,c,d,e", comments="")
    np.savetxt(tmp_path / "y.csv", raw[:, 0] // 67, fmt="%d")
    config = CONFIG.format(folder=tmp_path).replace(".npy", ".csv").replace("epochs = 4", "epochs = 1")
    said_of_data = 'scale = 0.005\noffset = -0.5\nclasses = ["low", "middle", "high"]\n[model]'
    (tmp_path / "run.toml").write_text(config.replace("[model]", said_of_data))
    run(capsys, "train", tmp_path / "run.toml", "--out", tmp_path / "out")
    info = load(tmp_path / "out" / "model.safetensors").data_info
    assert (info.scale, info.offset, info.classes) == (0.005, -0.5, ("low", "middle", "high"))
    assert info.input_range == pytest.approx((raw.min() * 0.005 - 0.5, raw.max() * 0.005 - 0.5), abs=0.02)
    run(capsys, "train", tmp_path / "run.toml", "--out", tmp_path / "other", "--classes", "a,b,c")
    assert load(tmp_path / "other" / "model.safetensors").data_info.classes == ("a", "b", "c")
    measured = json.loads(run(capsys, "evaluate", tmp_path / "out" / "model.safetensors", "--json")[0])
    assert measured["samples"] == 6
    for old, new, message in [
        ('"high"]', '"high", "more"]', "line 9: data_info.classes: the model's output (3,) tells 3 classes apart"),
        ('"high"]', "3]", "line 9: DataInfo: classes: every name is a text"),
        ("scale = 0.005", "scale = 0", "line 7: DataInfo: scale: a factor of 0"),
        ("scale = 0.005", "scale = [1, 2]", "line 7: scale is a number, received [1, 2]"),
    ]:
        (tmp_path / "wrong.toml").write_text(config.replace("[model]", said_of_data.replace(old, new)))
        assert message in refused(capsys, "train", tmp_path / "wrong.toml", "--out", tmp_path / "wrong")


def test_the_results_of_another_run_are_not_overwritten(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", TABLE)
    np.save(tmp_path / "y.npy", np.arange(12) % 3)
    (tmp_path / "run.toml").write_text(CONFIG.format(folder=tmp_path))
    words = ("train", tmp_path / "run.toml", "--out", tmp_path / "out", "--epochs", 1)
    run(capsys, *words)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert "out holds the results of another run (run.json, model.safetensors, history.csv): choose" in refused(
        capsys, *words, "--seed", 4
    )
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    run(capsys, *words, "--seed", 4, "--force")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != before
    assert "choose another --out" in refused(capsys, "demo", "--out", tmp_path / "out")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "history.csv").write_text("kept by hand")
    said = refused(capsys, "train", tmp_path / "run.toml", "--out", tmp_path / "own")
    assert "(history.csv)" in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_keeps_no_command_waiting(tmp_path: Path, capsys: Any) -> None:
    saved(tmp_path, 5)
    for name in ("p.npy", "p.npz", "p.csv", "p.png", "p.toml", "p.safetensors", "p.txt", "run.json"):
        os.mkfifo(tmp_path / name)
    model = tmp_path / "m.safetensors"
    for words in (
        *(["predict", model, tmp_path / name] for name in ("p.npy", "p.npz", "p.csv", "p.png")),
        ["predict", model, tmp_path / "p.npy", "--classes", tmp_path / "p.txt"],
        ["predict", tmp_path / "p.safetensors", tmp_path / "p.npy"],
        ["train", tmp_path / "p.toml"],
        ["train", "rnn", "--data", tmp_path / "p.txt", "--out", tmp_path / "out"],
        ["train", "mlp", "--data", tmp_path / "p.npy", "--out", tmp_path / "out2"],
        ["resume", tmp_path],
    ):
        assert "expected a file, but this is a pipe" in refused(capsys, *words)


def test_no_input_and_several(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    saved(tmp_path, 5)
    monkeypatch.setattr(sys, "stdin", None)
    assert "-: there is no standard input" in refused(capsys, "predict", tmp_path / "m.safetensors", "-")
    a, b = Input((5,), name="a"), Input((2,), name="b")
    Model([a, b], Dense(2)(a), seed=0).save(tmp_path / "two.safetensors")
    np.save(tmp_path / "x.npy", TABLE)
    said = refused(capsys, "predict", tmp_path / "two.safetensors", tmp_path / "x.npy")
    assert "the model takes 2 inputs, a file holds one" in said


def test_without_pillow_the_one_sentence_says_how_to_get_it(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    saved(tmp_path, 1, 6, 6)
    png = as_png(tmp_path / "x.png", BYTES[0, 0])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("PIL", "matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["predict", str(tmp_path / "m.safetensors"), str(png)]) == 1
    assert capsys.readouterr().err == (
        "minidlf: reading a picture needs the package 'Pillow', which is not installed: pip install 'miniDLF[images]'\n"
    )


def test_arrays_to_train_on_are_read_and_refused_where_there_is_no_memory_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from miniDLF.cli.reading import array_of

    path = tmp_path / "x.npy"
    np.save(path, np.arange(64.0))
    assert type(array_of(path, "x")) is np.ndarray  # not mapped: somebody may cut the file
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 256}[name], raising=False)
    with pytest.raises(ArgumentError, match=r"x\.npy: holds 640 bytes, and this machine has 256 of memory"):
        array_of(path, "x")
