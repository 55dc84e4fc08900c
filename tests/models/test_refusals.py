"""Models refuse what makes no sense, and say where, what was expected, what came, and the fix."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniDLF.datasets import Dataset
from miniDLF.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    DivergedError,
    FileFormatError,
    NotReadyError,
    ShapeError,
)
from miniDLF.layers import Activation, Conv2D, Dense, Flatten, Layer
from miniDLF.models import Autoencoder, Input, Model, Sequential, load, plot_model
from miniDLF.optimizers import Adam
from miniDLF.storage import read_tensors, write_tensors

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)), np.arange(20) % 3
DATA = Dataset(X, Y, test_fraction=0.2)


def model() -> Sequential:
    made = Sequential([Dense(3, input_shape=(4,)), Activation("softmax")], seed=0)
    made.compile("cce", "adam")
    return made


def forked() -> Model:
    x = Input((4,))
    made = Model(x, [Dense(2, name="one")(x), Dense(3, name="two")(x)], seed=0)
    made.compile("mse", "adam")
    return made


def fails(target: Any, prediction: Any) -> Any:
    return np.concatenate([target, target]) - prediction


class Fork(Layer):
    """A block with two outputs."""

    def compose(self, x: Any) -> Any:
        return [Dense(2)(x), Dense(2)(x)]


def images() -> Sequential:
    return Sequential([Conv2D(2, 3, input_shape=(1, 6, 6)), Flatten(), Dense(3), Activation("softmax")], seed=0)


def huge(m: Sequential) -> Any:
    line = Sequential([Dense(3, input_shape=(4,))], seed=0, dtype="float64")
    line.compile("mse", "adam")
    return line.check_gradients(X * 1e200, np.eye(3)[Y])


REFUSED: dict[str, tuple[Callable[[Sequential], Any], type[Exception], str]] = {
    # fit, evaluate, predict
    "targets of a data set": (
        lambda m: m.fit(DATA, Y, verbose=0),
        ArgumentError,
        "a data set brings its own targets and test split; leave y and validation_split",
    ),
    "two sources": (lambda m: m.fit(X, Y, dataset=DATA), ArgumentError, "either x .* or dataset, not both"),
    "nothing": (lambda m: m.fit(), ArgumentError, r"nothing to learn from: pass fit\(x, y\) or fit\(dataset\)"),
    "share": (lambda m: m.fit(X, Y, validation_split=20), ArgumentError, "a share between 0 and 1, received 20"),
    "small share": (
        lambda m: m.fit(X[:4], Y[:4], validation_split=0.99),
        ArgumentError,
        "validation_split=0.99 of 4 samples leaves one side empty",
    ),
    "epochs": (lambda m: m.fit(X, Y, epochs=-1), ArgumentError, "epochs is a whole number of at least 0, received -1"),
    "first epoch": (lambda m: m.fit(X, Y, initial_epoch=-1), ArgumentError, "initial_epoch.*received -1"),
    "batch size": (lambda m: m.fit(X, Y, batch_size=0), ArgumentError, "batch_size: expected .* received 0"),
    "steps": (
        lambda m: m.fit(X, Y, steps_per_epoch=0),
        ArgumentError,
        "fit: steps_per_epoch is a whole number of at least 1, received 0",
    ),
    "validation steps": (
        lambda m: m.fit(X, Y, validation_data=(X, Y), validation_steps=0),
        ArgumentError,
        "validation_steps.*at least 1.*received 0",
    ),
    "frequency": (
        lambda m: m.fit(X, Y, validation_data=(X, Y), validation_freq=0),
        ArgumentError,
        "validation_freq.*at least 1, or a list of epochs; received 0",
    ),
    **{
        f"frequency {value!r}": (
            partial(lambda value, m: m.fit(X, Y, validation_data=(X, Y), validation_freq=value), value),
            ArgumentError,
            "validation_freq is a whole number of at least 1, or a list of epochs; received",
        )
        for value in (2.0, "2", None, True, [0.5], ["2"])
    },
    "verbose": (lambda m: m.fit(X, Y, verbose=3), ArgumentError, "fit: verbose is 0, 1, 2 or 'auto'; received 3"),
    "verbose word": (
        lambda m: m.evaluate(X, Y, verbose="yes"),
        ArgumentError,
        "evaluate: verbose is 0, 1, 2 or 'auto'",
    ),
    "predict by": (lambda m: m.predict(X, batch_size=0), ArgumentError, "predict: batch_size .* received 0"),
    "no callback": (lambda m: m.fit(X, Y, callbacks=["early"]), ArgumentTypeError, "callbacks: .* received 'early'"),
    "threshold": (
        lambda m: m.fit(DATA, accuracy_threshold=95, verbose=0),
        ArgumentError,
        "accuracy_threshold: a share between 0 and 1, such as 0.95; received 95",
    ),
    "patience": (
        lambda m: m.fit(DATA, early_stop_after=-1),
        ArgumentError,
        "fit: early_stop_after is a whole number of at least 0, received -1",
    ),
    # keywords
    "keyword of compile": (
        lambda m: m.compile(metrcs=["acc"]),
        ArgumentTypeError,
        "compile has no argument 'metrcs'.*metrics",
    ),
    "keyword of fit": (
        lambda m: m.fit(X, Y, epoch=3),
        ArgumentTypeError,
        "fit has no argument 'epoch'.* mean 'epochs'",
    ),
    "old keyword of fit": (lambda m: m.fit(X, Y, nb_epoch=3), ArgumentTypeError, "Did you mean 'epochs'"),
    "keyword of summary": (
        lambda m: m.summary(line_width=80),
        ArgumentTypeError,
        "summary has no argument 'line_width'; it takes style, print_fn, line_length",
    ),
    "short lines": (
        lambda m: m.summary(line_length=30),
        ArgumentError,
        "line_length is at least 60 letters",
    ),
    "no length": (
        lambda m: m.summary(line_length="wide"),
        ArgumentTypeError,
        "line_length is a whole number .* 'wi",
    ),
    "keyword of load_weights": (
        lambda m: m.load_weights("x", by_name=True),
        ArgumentTypeError,
        "load_weights has no argument 'by_name'; it takes path, strict, skip_mismatch",
    ),
    "keyword of plot_model": (
        lambda m: plot_model(m, to_file="a.png"),  # type: ignore[call-arg]
        ArgumentTypeError,
        "plot_model has no argument 'to_file'; it takes model, path",
    ),
    "keyword of a model": (
        lambda m: Sequential(sed=1),  # type: ignore[call-arg]
        ArgumentTypeError,
        "Sequential has no argument 'sed'.*Did you mean 'seed'",
    ),
    # files
    "no path to save": (lambda m: m.save(None), ArgumentTypeError, "path: expected a file .* received None"),
    "no path to load": (lambda m: load(None), ArgumentTypeError, "path: expected a file .* received None"),
    "objects in a list": (
        lambda m: load("x", custom_objects=[Fork]),  # type: ignore[arg-type]
        ArgumentTypeError,
        "custom_objects is a dictionary from names to classes, such as {'Name': Name}; received \\[<class",
    ),
    "no class": (
        lambda m: load("x", custom_objects={"Fork": 3}),
        ArgumentTypeError,
        r"custom_objects\['Fork'\] is no class; received 3",
    ),
    "a picture of another kind": (
        lambda m: plot_model(m, "a.bmp"),
        ArgumentError,
        r"plot_model draws .svg, or with matplotlib .png, .*; received 'a.bmp'. Name the file \*.svg",
    ),
    # arrays
    "one array for two": (
        lambda m: forked().fit(X, Y),
        ArgumentError,
        r"y: the model has 2 of them \(one, two\); pass a list or a dictionary of as many arrays, received ndarray",
    ),
    "class weights of two": (
        lambda m: forked().fit(X, [X[:, :2], X[:, :3]], class_weight={0: 1.0}),
        ArgumentError,
        "class_weight works with one output; use sample_weight for several",
    ),
    "class weights of pictures": (
        lambda m: Autoencoder(*(Sequential([Activation("tanh", input_shape=(3, 3))], seed=0) for _ in "12")).fit(
            np.ones((4, 3, 3)), class_weight={0: 1.0}
        ),
        ArgumentError,
        "class_weight needs one class a sample; use sample_weight",
    ),
    "halves that are no models": (
        lambda m: Autoencoder([Dense(2)], [Dense(4)]),  # type: ignore[arg-type]
        ArgumentTypeError,
        "Autoencoder: encoder is a model, .* received list",
    ),
    "targets of an autoencoder": (
        lambda m: Autoencoder(*(Sequential([Dense(4, input_shape=(4,))], seed=0) for _ in "12")).fit(X, Y),
        ShapeError,
        r"an autoencoder learns x itself: fit\(x\), .* expected \(N, 4\), received y of shape \(20,\)",
    ),
    "a metric that fails": (
        lambda m: (m.compile("cce", metrics=[fails]), m.fit(X, Y, verbose=0)),
        ArgumentError,
        r"metric 'fails' failed on target \(\d+,\), prediction \(\d+, 3\): ValueError: operands could not",
    ),
    "uneven inputs": (
        lambda m: two_inputs().predict([X, X[:5]]),
        ArgumentError,
        r"the inputs have different numbers of samples: \[20, 5\]",
    ),
    "a number": (
        lambda m: m.fit(3.0, Y),
        ArgumentTypeError,
        "expected an array with one entry a sample, received float",
    ),
    "one sample": (lambda m: m.predict(X[0]), ArgumentError, "A single sample needs a batch axis"),
    "a list for one input": (
        lambda m: m.predict([X, X]),
        ArgumentError,
        r"The model has one input, and this looks like a list of 2 arrays for several\.",
    ),
    "channels last": (
        lambda m: Sequential([Conv2D(2, 3, input_shape=(3, 6, 6))]).predict(np.ones((8, 6, 6, 3))),
        ArgumentError,
        r"received \(8, 6, 6, 3\). These images are channels-last; transpose them: x.transpose\(0, 3, 1, 2\)",
    ),
    "grey images, channels last": (
        lambda m: images().predict(np.ones((8, 6, 6, 1))),
        ArgumentError,
        r"Reshape it: x.reshape\(-1, 1, 6, 6\)",
    ),
    "nan": (lambda m: m.fit(np.where(X > 1.5, np.nan, X), Y), DataError, "sample .* holds NaN or infinity. Clean"),
    # building and compiling
    "empty": (lambda m: Sequential().summary(), NotReadyError, "the model has no layers yet: add some, the first one"),
    "class": (lambda m: m.add(Dense), ArgumentTypeError, r"received the class Dense; create a layer: Dense\(\.\.\.\)"),
    "late input": (lambda m: m.add(Input((4,))), ArgumentError, "an Input can only come first"),
    "two outputs": (
        lambda m: m.add(Fork()),
        ArgumentError,
        "layer 3: a Sequential needs one output, Fork.* has several",
    ),
    "late shape": (
        lambda m: Sequential([Dense(3), Dense(3, input_shape=(3,))]),
        ArgumentError,
        "input_shape belongs to the first layer; an earlier one has none",
    ),
    "batches unseen": (
        lambda m: waiting().fit(iter([(X, Y)]), verbose=0),
        ArgumentError,
        r"the first layer needs input_shape=\(...\), since the batches are not seen beforehand",
    ),
    "inputs of a model": (lambda m: two_inputs()(Input((4,))), ArgumentError, "takes 2 inputs, received 1"),
    "dtype": (lambda m: Sequential(dtype="int8"), ArgumentError, "dtype: 'float32' or 'float64', received 'int8'"),
    "shards": (lambda m: Sequential(shards=0), ArgumentError, "shards: .* at least 1, or None; received 0"),
    "losses": (
        lambda m: forked().compile(["mse", "mse", "mse"]),
        ArgumentError,
        r"compile\(loss=...\): the model has 2 outputs \(one, two\), received a list of 3",
    ),
    "order of Keras": (
        lambda m: m.compile("adam", "mse"),
        ArgumentError,
        "'adam' is an optimizer, and the loss comes first",
    ),
    "object first": (lambda m: m.compile(Adam(), "mse"), ArgumentError, "Adam.* is an optimizer, and the loss comes"),
    "loss": (lambda m: m.compile("mes"), ArgumentError, "unknown loss 'mes'; choose from .*Did you mean 'mse'"),
    "optimizer": (lambda m: m.compile("mse", "adamm"), ArgumentError, "unknown optimizer 'adamm'.*Did you mean 'adam'"),
    "metric": (
        lambda m: m.compile("mse", metrics=["acuracy"]),
        ArgumentError,
        "unknown metric.*Did you mean 'accuracy'",
    ),
    "before compile": (
        lambda m: Sequential([Dense(1, input_shape=(4,))]).fit(X, Y),
        NotReadyError,
        r"not compiled: call compile\(loss=",
    ),
    # weights, pictures, gradients
    "too few arrays": (lambda m: m.set_weights([]), ArgumentError, "set_weights: the model has 2 arrays, received 0"),
    "another shape": (
        lambda m: m.set_weights([np.ones((4, 3)), np.ones(2)]),
        ArgumentError,
        r"set_weights: dense_1/bias has shape \(3,\), received \(2,\)",
    ),
    "nothing to draw": (
        lambda m: Sequential([Activation("tanh", input_shape=(3,))]).plot.weights(),
        ArgumentError,
        "plot.weights: the model has no parameters",
    ),
    "no epoch": (lambda m: m.fit(X, Y, epochs=0, verbose=0).plot(), ArgumentError, "plot: the history is empty; train"),
    "names": (
        lambda m: m.plot.confusion(X, Y, names="ab"),
        ArgumentError,
        "names: expected 3, one a class; received 2",
    ),
    "no classes": (lambda m: m.plot.confusion(X, np.ones((20, 3, 2))), ArgumentError, "expected a class a sample"),
    "no pictures": (lambda m: m.plot.predictions(RNG.random((2, 5))), ArgumentError, r"shape \(5,\) are not pictures"),
    "pictures of pictures": (
        lambda m: Sequential([Activation("tanh", input_shape=(1, 6, 6))]).plot.predictions(RNG.random((2, 1, 6, 6))),
        ArgumentError,
        r"expected a model that gives classes, received outputs of shape \(1, 6, 6\)",
    ),
    "the worst of no classes": (
        lambda m: images().plot.predictions(RNG.random((2, 1, 6, 6)), worst=True),
        ArgumentError,
        r"plot.predictions: worst=True needs the right classes; pass predictions\(x, y, ...\)",
    ),
    "the worst of other classes": (
        lambda m: images().plot.predictions(RNG.random((2, 1, 6, 6)), [1, 7], worst=True),
        ArgumentError,
        "plot.predictions: expected 2 classes from 0 to 2, received 2 from 0 to 7",
    ),
    "directions": (
        lambda m: m.check_gradients(X, Y, directions=0),
        ArgumentError,
        "directions is at least 1, received 0",
    ),
    "not finite": (huge, DivergedError, "the loss is not finite; check on ordinary data"),
    "poem": (
        lambda m: m.summary(style="poem"),
        ArgumentError,
        "style is 'lines', 'details' or 'table', received",
    ),
}


def two_inputs() -> Model:
    a, b = Input((4,), name="a"), Input((4,), name="b")
    from miniDLF.layers import Add

    return Model([a, b], Add()([a, b]), seed=0)


def waiting() -> Sequential:
    made = Sequential([Dense(3), Activation("softmax")])
    made.compile("cce", "adam")
    return made


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    run, kind, message = REFUSED[case]
    with pytest.raises((kind, ValueError) if kind is ArgumentError else kind, match=message):
        run(model())


# Files ----------------------------------------------------------------------------------------------------------------


def _changed(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Return the file of a model whose structure was changed by somebody who knows the format."""
    return _with_state(tmp_path, lambda _, structure: change(structure), False)


def _with_state(tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any], state: bool = True) -> Path:
    path = tmp_path / "m.safetensors"
    model().save(path, include_optimizer=state)
    tensors, document = read_tensors(path)
    change(tensors, document["model"])
    write_tensors(path, tensors, document)
    return path


FILES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no such key": (lambda s: s.pop("nodes"), "the model's structure is damaged .*KeyError.*Save the model anew"),
    "a loop": (
        lambda s: s["nodes"][0].update(inputs=[2]),
        "structure is damaged .*IndexError: node 2 does not come before its use",
    ),
    "no layer": (
        lambda s: s["layers"][0].update({"class": "Model"}),
        "layers.0. of the model's structure cannot be rebuilt: unknown layer 'Model'; choose from",
    ),
    "an argument": (
        lambda s: s["layers"][0]["config"].update(size=-3),
        "cannot be rebuilt: Dense: size is a whole number, at least 1; received -3",
    ),
    "a dtype": (lambda s: s.update(dtype="int8"), "dtype: expected 'float32' or 'float64', received 'int8'"),
    "no dtype": (lambda s: s.update(dtype=None), "dtype: expected 'float32' or 'float64', received 'None'"),
    "a kind": (lambda s: s.update({"class": "System"}), "class: expected one of Model, .* received 'System'"),
    "a kind of kinds": (lambda s: s.update({"class": ["Model"]}), "class: expected one of Model"),
    "a name": (lambda s: s.update(name={"a": 1}), "name: expected a text or null, received"),
    "a seed below zero": (lambda s: s.update(seed=-1), "seed: expected a whole number of at least 0, received '-1'"),
    "a seed in words": (lambda s: s.update(seed="5"), "seed: expected a whole number of at least 0, received '5'"),
    "a broken seed": (lambda s: s.update(seed=0.5), "seed: expected a whole number of at least 0, received '0.5'"),
    "many shards": (lambda s: s.update(shards=10**9), "shards: expected null or a whole number from 1 to 65536"),
    "names of outputs": (lambda s: s.update(output_names=[1, 2, 3]), "output_names: expected a list of texts"),
    "more names of outputs": (
        lambda s: s.update(output_names=["a", "b"]),
        "output_names: expected 1 names or none, received 2",
    ),
    "no inputs": (lambda s: s.update(inputs=[]), "inputs: expected a list, received"),
    "an input's shape": (lambda s: s["inputs"][0].update(shape=["4"]), "shape: expected a list of whole numbers"),
    "an endless input": (lambda s: s["inputs"][0].update(shape=[10**40]), "input 0 takes more than 2,147,483,648"),
    "an input's name": (lambda s: s["inputs"][0].update(name=[1]), "name: expected a text or null"),
    "a layer's name": (lambda s: s["layers"][0].update(path=1), r"layers\[0\] .*path: expected a text, received '1'"),
    "a layer's class": (lambda s: s["layers"][1].update({"class": 5}), r"layers\[1\] .*class: expected a text"),
    "trainable": (lambda s: s["layers"][0].update(trainable="no"), "trainable: expected true or false, received 'no'"),
    "a layer that is none": (lambda s: s["layers"].append(5), r"layers\[2\] of the model's structure is damaged"),
    "a last layer": (lambda s: s["nodes"][0].update(layer=-1), "layer: expected a whole number of at least 0"),
    "two inputs": (lambda s: s["nodes"][1].update(inputs=[0, 1]), "Activation 'activation_1' cannot have 2 inputs"),
    "a large layer": (
        lambda s: s["layers"][0]["config"].update(size=10**7),
        r"do not fit the model's structure.*\n.*\n.*dense_1/weight expected .4, 10000000., received .4, 3.",
    ),
    "an endless layer": (
        lambda s: s["layers"][0]["config"].update(size=10**40),
        "Dense 'dense_1' makes more than 2,147,483,648 numbers a sample",
    ),
    "a number's class": (
        lambda s: s["layers"][1]["config"].update(max_value={"class": "float", "value": "x"}),
        r"layers\[1\] .*is damaged .ValueError: could not convert string to float",
    ),
    "compiled with a number": (lambda s: s.update(compile=5), "what the model was compiled with is damaged"),
    "no losses": (lambda s: s["compile"].update(loss=[]), "loss: expected a list with an entry for each of 1 outputs"),
    "weights of losses": (
        lambda s: s["compile"].update(loss_weights=1.0),
        "loss_weights: expected a list with an entry for each of 1 outputs",
    ),
    "a loss": (
        lambda s: s["compile"]["loss"][0].update({"class": "none"}),
        "what the model was compiled with cannot be rebuilt: unknown loss 'none'",
    ),
}
TRAINING: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], Any], str]] = {
    "not compiled": (lambda t, s: s.update(compile=None), "the model is not compiled"),
    "steps": (lambda t, s: t.pop("training/steps"), r"steps: expected an array of shape .*, received nothing"),
    "many steps": (
        lambda t, s: t.update({"training/steps": np.zeros(3)}),
        r"steps: expected an array of shape \(\), received \(3,\)",
    ),
    "no number of steps": (
        lambda t, s: t.update({"training/steps": np.array(np.nan)}),
        "steps: expected a whole number of at least 0, received nan",
    ),
    "steps back": (
        lambda t, s: t.update({"training/steps": np.array(-1)}),
        "steps: expected a whole number of at least 0, received -1",
    ),
    "a reference of three numbers": (
        lambda t, s: t.update({"training/reference": np.zeros(3)}),
        r"reference: expected an array of shape \(\), received \(3,\)",
    ),
    "a rate below zero": (
        lambda t, s: t.update({"training/learning_rate": np.array(-1.0)}),
        "learning_rate: expected a number of at least 0, received -1.0",
    ),
    "epochs that are no number": (
        lambda t, s: t.update({"training/epochs": np.array(0.5)}),
        "epochs: expected a whole number of at least 0, received 0.5",
    ),
    "a mean of three numbers": (
        lambda t, s: t.update({"training/mean/0/total": np.zeros(3)}),
        r"mean/0/total: expected an array of shape \(\), received \(3,\)",
    ),
    "half a mean": (
        lambda t, s: t.pop("training/mean/0/weight"),
        r"mean/0/weight: expected an array of shape \(\), received nothing",
    ),
    "a mean of less than nothing": (
        lambda t, s: t.update({"training/mean/0/weight": np.array(-1.0)}),
        "mean/0/weight: expected a number of at least 0, received -1.0",
    ),
    "a mean of another name": (
        lambda t, s: t.update({"training/mean/0/sum": np.array(1.0)}),
        "mean/0/sum: .* has no such sum",
    ),
    "no moments": (
        lambda t, s: [t.pop(name) for name in list(t) if name.startswith("training/optimizer/")],
        r"the saved optimizer state has \[\], this optimizer .Adam. needs",
    ),
    "short moments": (
        lambda t, s: t.update({name: value[:3] for name, value in t.items() if "/optimizer/" in name}),
        r"optimizer/[a-z_]*: expected an array of shape .*, received \(3,\)",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_changed_structure_is_refused(case: str, tmp_path: Path) -> None:
    change, message = FILES[case]
    path = _changed(tmp_path, change)
    with pytest.raises(FileFormatError, match=message):
        load(path)


@pytest.mark.parametrize("case", TRAINING)
def test_a_changed_state_of_training_is_refused(case: str, tmp_path: Path) -> None:
    change, message = TRAINING[case]
    path = _with_state(tmp_path, change)
    with pytest.raises(FileFormatError, match=rf"m.safetensors: the training state cannot be rebuilt: .*{message}"):
        load(path)


def test_a_small_file_that_describes_a_large_model_makes_nothing_large(tmp_path: Path) -> None:
    def described(structure: dict[str, Any]) -> None:
        structure["inputs"][0]["shape"], structure["layers"][0]["config"]["size"] = [8000], 3000

    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"dense_1/weight expected \(8000, 3000\), received \(4, 3\)"):
            load(_changed(tmp_path, described))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("field", "value"), [("name", 5), ("shards", 100_000)])
def test_what_would_not_be_read_back_is_not_written(field: str, value: Any, tmp_path: Path) -> None:
    made = model()
    setattr(made, field, value)
    with pytest.raises(ArgumentError, match=rf"{field}: expected .*, received '{value}'"):
        made.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_class_that_is_no_layer_is_refused(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda s: s["layers"][0].update({"class": "Other", "config": {}}))
    with pytest.raises(FileFormatError, match="cannot be rebuilt: 'Other' is not a layer"):
        load(path, custom_objects={"Other": dict})
