"""A run described by a TOML file, or by the words after ``minidlf train``; every mistake is named with its line."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from miniDLF.cli.networks import NETWORKS
from miniDLF.errors import ArgumentError, FileFormatError, MiniDLFError, import_extra, nearest
from miniDLF.losses import get_loss
from miniDLF.metrics import get_metric

__all__ = ["Run", "read_config"]

_KEYS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "data": {"source": str, "path": str, "x": str, "y": str, "test_fraction": float, "timesteps": int},
    "model": {"network": str, "layers": list, "loss": str, "metrics": list, "seed": int, "dtype": str, "shards": int},
    "optimizer": {},  # its own arguments, checked by the optimizer
    "training": {
        "epochs": int,
        "batch_size": int,
        "early_stop_after": int,
        "accuracy_threshold": float,
        "out": str,
    },
    "callbacks": {},
}


SOURCES = ("mnist", "digits", "text", "arrays")
#: The least and the greatest value of a number, where it has limits.
_LIMITS: Mapping[str, tuple[float, float]] = {
    "epochs": (1, float("inf")),
    "batch_size": (1, float("inf")),
    "early_stop_after": (0, float("inf")),
    "accuracy_threshold": (0, 1),
    "test_fraction": (0, 1),
    "timesteps": (1, float("inf")),
    "seed": (0, float("inf")),
    "shards": (1, float("inf")),
}
#: Classes that only mean something with code of one's own.
_BASES = (
    *("Callback", "DerivedLayer", "History", "LambdaCallback", "Layer"),
    *("Minimum", "Optimizer", "UpdateRule", "Wrapper"),
)
_KINDS: Mapping[str, tuple[Any, str]] = {
    "str": (str, "a text in quotes"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


@dataclass
class Run:
    """Everything that makes a run: what is trained on what, how long, and where the results go."""

    data: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any]
    optimizer: dict[str, Any] = field(default_factory=lambda: {"class": "Adam"})
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = False
    #: The file that describes the run, and the lines in it: of keys ("data.x") and of layers ("model.layers.0").
    file: str = ""
    lines: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def blamed(self, *places: str) -> Iterator[None]:
        """Put file and line before the message of an error; the first of `places` that the file has counts."""
        try:
            yield
        except MiniDLFError as error:
            known = [self.lines[place] for place in places if place in self.lines]
            where = f"{self.file}, line {known[0]}: " if known else ""
            raise type(error)(f"{where}{error}") from None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for the file that `resume` reads."""
        return asdict(self)


def read_config(path: Path) -> Run:
    """Read and check a TOML file.

    Raises
    ------
    FileFormatError
        If it is missing or no TOML.
    ArgumentError
        If a section, a key or a value is wrong; the message names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: the configuration cannot be read ({error}).") from None
    toml = _toml()
    try:
        values = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise FileFormatError(f"{path}: not valid TOML: {error}.") from None
    lines = _Lines(path, text)
    for section, content in values.items():
        if section not in _KEYS:
            raise lines.error(section, None, f"unknown section [{section}]; there are {', '.join(_KEYS)}", _KEYS)
        if section == "callbacks":
            if not isinstance(content, list):
                raise lines.error(section, None, "callbacks are a list: write [[callbacks]]")
            continue
        if not isinstance(content, dict):
            raise lines.error(None, section, f"{section} is a section: write [{section}]")
        for key, value in content.items():
            _check(lines, section, key, value)
    model = values.get("model", {})
    _check_names(lines, values)
    if ("network" in model) == ("layers" in model):
        raise lines.error("model", None, "give either network = 'mlp' (or another one) or [[model.layers]]")
    if "network" in model and model["network"] not in NETWORKS:
        raise lines.error(
            "model",
            "network",
            f"unknown network {model['network']!r}; there are {', '.join(NETWORKS)}",
            NETWORKS,
            model["network"],
        )
    optimizer = dict(values.get("optimizer", {"class": "Adam"}))
    optimizer.setdefault("class", optimizer.pop("name", "Adam"))
    _try(lines, "optimizer", optimizer)
    for number, callback in enumerate(values.get("callbacks", [])):
        _try(lines, "callbacks", callback, number)
    for number, layer in enumerate(model.get("layers", [])):
        _try(lines, "model.layers", layer, number)
    return Run(
        values.get("data", {}),
        model,
        values.get("training", {}),
        optimizer,
        values.get("callbacks", []),
        file=str(path),
        lines=lines.table(),
    )


def _check_names(lines: _Lines, values: Mapping[str, Any]) -> None:
    """Check what stands for something else: the source of the data, the loss, the metrics, the type of numbers."""
    data, model = values.get("data", {}), values.get("model", {})
    source = data.get("source")
    if source is not None and source not in SOURCES:
        raise lines.error(
            "data", "source", f"unknown source {source!r}; there are {', '.join(SOURCES)}", SOURCES, source
        )
    if (source == "arrays" or "x" in data or "y" in data) and not ("x" in data and "y" in data):
        raise lines.error("data", "source", "arrays need both x = 'x.npy' and y = 'y.npy'")
    if model.get("dtype") not in (None, "float32", "float64"):
        raise lines.error("model", "dtype", f"dtype is 'float32' or 'float64', received {model['dtype']!r}")
    for key, check, names in (
        ("loss", get_loss, [model.get("loss", "mse")]),
        ("metrics", get_metric, model.get("metrics", [])),
    ):
        try:
            for name in names:
                check(name)
        except MiniDLFError as error:
            raise lines.error("model", key, str(error).rstrip(".")) from None


def make(kind: str, config: Mapping[str, Any]) -> Any:
    """Make the optimizer, callback or layer that a section describes."""
    arguments = {key: value for key, value in config.items() if key != "class"}
    module = importlib.import_module(
        {"optimizer": "miniDLF.optimizers", "callbacks": "miniDLF.callbacks", "model.layers": "miniDLF.layers"}[kind]
    )
    if "class" not in config:
        raise ArgumentError("class is missing: every entry has one, such as class = 'Dense' or class = 'EarlyStopping'")
    name = str(config["class"])
    names = [entry for entry in module.__all__ if isinstance(getattr(module, entry), type) and entry not in _BASES]
    if name not in names:
        raise ArgumentError(f"class = {name!r}: choose from {', '.join(names)}.{nearest(name, names)}")
    made = getattr(module, name)
    _check_kinds(made, arguments)
    try:
        return made(**arguments)
    except MiniDLFError:
        raise
    except TypeError as error:
        raise ArgumentError(f"{name}: {str(error).partition('__init__() ')[2] or error}") from None


def _check_kinds(made: type, arguments: Mapping[str, Any]) -> None:
    """Refuse a text where the class says number, and the like; the parser gives any value for any key."""
    for key, parameter in inspect.signature(made).parameters.items():
        wanted = _KINDS.get(str(parameter.annotation))
        if wanted is None or key not in arguments:
            continue
        value, (kind, called) = arguments[key], wanted
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ArgumentError(f"{made.__name__}: {key} is {called}, received {value!r}")


def _try(lines: _Lines, section: str, config: Mapping[str, Any], number: int = 0) -> None:
    try:
        make(section, config)
    except MiniDLFError as error:
        guilty = next((key for key in config if f"{key!r}" in str(error) or f"{key} " in str(error)), "class")
        raise lines.error(section, guilty, str(error).rstrip("."), number=number) from None


def _check(lines: _Lines, section: str, key: str, value: Any) -> None:
    known = _KEYS[section]
    if not known:
        return
    if key not in known:
        raise lines.error(section, key, f"unknown key {key!r}; [{section}] has {', '.join(known)}", known)
    wanted: Any = (int, float) if known[key] is float else known[key]
    if not isinstance(value, wanted) or isinstance(value, bool):
        expected = {str: "a text in quotes", int: "a whole number", list: "a list"}.get(wanted, "a number")
        raise lines.error(section, key, f"{key} is {expected}, received {value!r}")
    least, most = _LIMITS.get(key, (float("-inf"), float("inf")))
    if isinstance(value, int | float) and not least <= value <= most:
        limits = f"at least {least:g}" if most == float("inf") else f"between {least:g} and {most:g}"
        raise lines.error(section, key, f"{key} is {limits}, received {value!r}")


class _Lines:
    """Finds the line of a section or of a key in it, which the TOML parser does not tell."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._sections: dict[tuple[str, int], int] = {}
        self._keys: dict[tuple[str, int, str], int] = {}
        section, counts = "", {"": 1}
        for number, line in enumerate(text.splitlines(), 1):
            if header := re.match(r"\s*\[\[?\s*([\w.\-]+)\s*\]\]?", line):
                section = header[1]
                counts[section] = counts.get(section, 0) + 1
                self._sections[section, counts[section] - 1] = number
            elif pair := re.match(r"\s*([\w\-]+)\s*=", line):
                self._keys[section, counts[section] - 1, pair[1]] = number

    def error(
        self, section: str | None, key: str | None, problem: str, choices: Any = (), given: Any = None, number: int = 0
    ) -> ArgumentError:
        """Return the error that names file, line and problem."""
        line = self._keys.get((section or "", number, key or ""), self._sections.get((section or "", number), 1))
        stop = "" if problem.endswith("?") else "."
        return ArgumentError(
            f"{self.path}, line {line}: {problem}{stop}{nearest(given or key or section or '', choices)}"
        )

    def table(self) -> dict[str, int]:
        """Return the lines of keys and of the entries of lists, for messages of a later time."""
        result = {f"{section}.{key}": line for (section, number, key), line in self._keys.items() if number == 0}
        result.update({f"{section}.{number}": line for (section, number), line in self._sections.items()})
        return result


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    return import_extra("tomli", "toml", "reading a configuration")
