"""What the commands do."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from miniDLF.callbacks import BackupAndRestore, CSVLogger, ProgressBar
from miniDLF.cli.config import OF_DATA, Run, problem_of, read_config, read_run
from miniDLF.cli.folders import HISTORY, MODEL, RUN, is_repeated, make_room
from miniDLF.cli.making import make
from miniDLF.cli.networks import NETWORKS
from miniDLF.cli.preparing import Inputs, class_names, inputs_of
from miniDLF.cli.reading import array_of, called, data_of
from miniDLF.cli.results import classes_of, pictures, predictions, samples, say, write_json
from miniDLF.datasets import Dataset
from miniDLF.errors import ArgumentError, FileFormatError, MiniDLFError, nearest
from miniDLF.models import DataInfo, Sequential, load, plot_model
from miniDLF.optimizers import get_optimizer

__all__ = ["demo", "evaluate", "predict", "resume", "summary", "train"]


def train(options: Any) -> None:
    """``minidlf train``."""
    what = options.what
    if what in NETWORKS:
        run = Run({}, {"network": what}, {})
    elif what.endswith(".toml"):
        run = read_config(Path(what))
    else:
        raise ArgumentError(
            f"train: {what!r} is neither one of {', '.join(NETWORKS)} nor a .toml file.{nearest(what, NETWORKS)}"
        )
    if options.data is not None:
        run.data["path"] = options.data
    for name in ("path", "x", "y"):
        if run.data.get(name):  # so that resume and evaluate find them from any folder
            run.data[name] = os.path.abspath(os.path.expanduser(run.data[name]))
    run.model.update(_given(options, "model", "seed"))
    run.training.update(_given(options, "training", "epochs", "batch_size"))
    if options.classes is not None:
        run.data["classes"] = list(class_names(options.classes) or ())
    out = options.out or Path(run.training.get("out", Path("out") / Path(what).stem))
    make_room(out, options.force)
    _run(run, out, options.json)


def _given(options: Any, section: str, *names: str) -> dict[str, Any]:
    """Return those of the options that are given, with the limits that they have in a file."""
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    for name, value in given.items():
        if problem := problem_of(section, name, value):
            raise ArgumentError(f"--{name.replace('_', '-')}: {problem}.")
    return given


def resume(options: Any) -> None:
    """``minidlf resume``."""
    run = read_run(options.directory / RUN)
    if run.finished:
        raise ArgumentError(f"{options.directory}: this run has ended as planned; there is nothing to resume.")
    _run(run, options.directory, options.json, resumed=True)


def demo(options: Any) -> None:
    """``minidlf demo``: the convolutional network on embedded digits."""
    training = {**_given(options, "training", "epochs"), "batch_size": 128}
    run = Run({"source": "digits"}, {"network": "cnn", "seed": 1}, training)
    make_room(options.out, options.force or is_repeated(run, options.out))
    say("Training the specification's convolutional network on drawn digits (no download needed).")
    _run(run, options.out, options.json)


def _run(run: Run, out: Path, as_json: bool, resumed: bool = False) -> None:
    if not resumed:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(f"--out {out}: the folder cannot be written to ({error}).") from None
        run.write(out / RUN)
    model, data, settings = _build(run)
    say(
        f"{len(data.train)} samples to train on, {0 if data.test is None else len(data.test)} to test on; "
        f"results in {out}"
    )
    model.summary(print_fn=say)
    callbacks = [make("callbacks", config) for config in run.callbacks]
    callbacks += [
        CSVLogger(out / HISTORY),
        ProgressBar(specification=True, file=sys.stderr),
        BackupAndRestore(out / "backup"),
    ]
    history = model.fit(data, callbacks=callbacks, **settings)
    if model.interrupted:
        say(f"To go on: minidlf resume {out}")
        raise KeyboardInterrupt  # the status tells a script that there is no result yet
    model.save(out / MODEL)
    run.finished = True
    run.write(out / RUN)
    files = {"model": out / MODEL, "history": out / HISTORY, **samples(model, data, out)}
    try:
        files.update(pictures(model, data, history, out))
    except (MiniDLFError, OSError) as error:  # matplotlib is an extra; results do not depend on it
        say(f"There are no pictures: {error}")
    results = {name: values[-1] for name, values in history.history.items() if values}
    results["epochs"] = len(history.epoch)
    results["files"] = {name: str(path) for name, path in files.items()}
    if as_json:
        write_json(results)
        return
    for name, value in results.items():
        if isinstance(value, float):
            shown = f"{value:.2%}" if "accuracy" in name else f"{value:.5f}"
            sys.stdout.write(f"{name:<13} {shown}\n")
    for name, path in files.items():
        sys.stdout.write(f"{name:<13} {path}\n")


def _build(run: Run) -> tuple[Sequential, Dataset, dict[str, Any]]:
    """Make the model, the data and the arguments of fit."""
    training = dict(run.training)
    training.pop("out", None)
    network = NETWORKS.get(run.model.get("network", ""))
    data = _data_of(run)
    shape = tuple(int(length) for length in data.input_shape)
    model = Sequential(
        seed=run.model.get("seed", 0), dtype=run.model.get("dtype", "float32"), shards=run.model.get("shards")
    )
    if network is not None:
        layers: Any = network.layers(shape)
        defaults = {
            "epochs": network.epochs,
            "batch_size": network.batch_size,
            "early_stop_after": network.early_stop_after,
            "accuracy_threshold": network.accuracy_threshold,
        }
        training = {**defaults, **training}
    else:
        layers = [make("model.layers", config) for config in run.model["layers"]]
        layers[0].input_shape = shape
        training.setdefault("epochs", 10)
    for number, layer in enumerate(layers):
        with run.blamed(f"model.layers.{number}"):
            model.add(layer)
    with run.blamed("data.classes", "data.0"):
        model.data_info = DataInfo(**{key: run.data[key] for key in OF_DATA if key in run.data})
        model.check_data_info()
    optimizer = {key: value for key, value in run.optimizer.items() if value is not None}
    try:
        model.compile(run.model.get("loss", "cce"), get_optimizer(optimizer), run.model.get("metrics"))
    except MiniDLFError:
        raise
    except (MemoryError, ValueError):  # what NumPy says of arrays that are larger than memory, or than any could be
        sizes = [sum(math.prod(weight.shape) for weight in layer.parameters) for layer in layers]
        with run.blamed(f"model.layers.{sizes.index(max(sizes))}"):
            raise ArgumentError(
                f"the model has {sum(sizes):,} weights, which do not fit into memory. Make it smaller."
            ) from None
    return model, data, training


def _data_of(run: Run) -> Dataset:
    network = NETWORKS.get(run.model.get("network", ""))
    with run.blamed("data.path", "data.x", "data.0"):
        return data_of(run.data, network.kind if network else None)


def predict(options: Any) -> None:
    """``minidlf predict``."""
    model = load(options.model)
    if len(model.graph.outputs) != 1:
        raise ArgumentError(
            f"predict: expected a model with one output, this one has {', '.join(model.output_names)}. In Python "
            "load(path).predict(x) gives all of them."
        )
    if options.out is not None and options.out.suffix not in (".npy", ".csv"):
        raise ArgumentError(f"--out: a .npy or .csv file, received {options.out}.")
    info = DataInfo(classes=class_names(options.classes)).over(model.data_info)
    info.check_classes(model.output_shape)
    inputs = inputs_of(options.file, model, options)
    outputs = np.concatenate([np.asarray(model.predict(x)) for _, x in inputs.blocks()])
    if options.out is not None:
        with _writing("--out", options.out):
            if options.out.suffix == ".npy":
                np.save(options.out, outputs)
            else:
                np.savetxt(options.out, outputs.reshape(len(outputs), -1), delimiter=",")
    classes, names = classes_of(outputs, model, info.classes)
    if options.json:
        write_json({"outputs": outputs, "classes": classes, **({} if names is None else {"names": names})})
        return
    for line in predictions(outputs, classes, names):
        sys.stdout.write(line + "\n")


@contextmanager
def _writing(option: str, path: Path) -> Iterator[None]:
    """Make the folder of a file that is written within; where either fails, the message names the option."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise FileFormatError(f"{option} {path}: the file cannot be written ({error}).") from None


def evaluate(options: Any) -> None:
    """``minidlf evaluate``."""
    model = load(options.model)
    x, y, data = _measured(options, model)
    heads = model.engine().heads
    names = [metric.name for head in heads for metric in head.metrics]
    if len(heads) == 1 and heads[0].loss.classifies and "accuracy" not in names:
        model.compile(heads[0].loss, model.optimizer, [*heads[0].metrics, "accuracy"])
    logs = x.measured(model, y) if isinstance(x, Inputs) else model.evaluate(x, y, return_dict=True)
    results = {**logs, "data": data, "samples": len(x)}
    if options.json:
        write_json(results)
        return
    for name, value in results.items():
        if isinstance(value, float):
            shown = f"{value:.5f}"
        elif isinstance(value, np.ndarray):  # a matrix begins on a line of its own
            shown = "\n" * (value.ndim > 1) + np.array2string(value, max_line_width=10_000, threshold=value.size)
        else:
            shown = str(value)
        sys.stdout.write(f"{name:<13} {shown}\n")


def _measured(options: Any, model: Any) -> tuple[Any, Any, str]:
    """Return the samples and targets to measure a model on, and what they are called.

    They are what the options name, else the data of the run that the model lies in, else what is embedded.
    """
    shape, x = model.input_shape, options.file if options.x is None else options.x
    if options.file is not None and options.x is not None:
        raise ArgumentError("evaluate: the samples are there twice, as a file and as --x; give one.")
    if (x is None) != (options.y is None) and (x is None or x.suffix.lower() != ".npz"):
        raise ArgumentError("evaluate: --x and --y go together; a .npz file may hold both.")
    if x is not None:
        if options.data is not None:
            raise ArgumentError("evaluate: give either --data, or --x and --y.")
        return inputs_of(x, model, options), array_of(options.y or x, "y"), str(x)
    run = None
    if options.data is None:
        with suppress(FileFormatError):
            run = read_run(options.model.parent / RUN)
    if run is not None:
        data, config = _data_of(run), run.data
        if tuple(data.input_shape) != shape:
            raise ArgumentError(
                f"evaluate: the model takes samples of shape {shape}, those of the run in {options.model.parent} have "
                f"{tuple(map(int, data.input_shape))}. Name other data with --data, or with --x and --y."
            )
    elif not isinstance(shape, tuple) or (shape not in ((784,), (1, 28, 28)) and len(shape) != 2):
        raise ArgumentError(
            f"evaluate: the model takes samples of shape {shape}, which neither the digits nor a text has. Give --x "
            "and --y, two files."
        )
    else:
        kind = "text" if len(shape) == 2 else "vectors" if len(shape) == 1 else "images"
        config = {"timesteps": shape[0]} if kind == "text" else {}
        data = data_of({**config, **({} if options.data is None else {"path": options.data})}, kind)
    split = data.test if data.test is not None else data.train
    return split.x, split.y, f"{called(data, config)}, {'train' if data.test is None else 'test'} split"


def summary(options: Any) -> None:
    """``minidlf summary``."""
    model = load(options.model)
    if options.svg is not None:
        if options.svg.suffix.lower() != ".svg":
            raise ArgumentError(f"--svg: a .svg file, received {options.svg}.")
        with _writing("--svg", options.svg):
            plot_model(model, options.svg)
    if options.json:
        from miniDLF.models.structure import describe

        write_json({**describe(model), "parameters": model.count_params()})
        return
    model.summary(style=options.style)
