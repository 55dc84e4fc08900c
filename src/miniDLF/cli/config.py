"""A run described by a TOML file, or by the words after ``minidlf train``; every mistake is named with its line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from miniDLF.cli.lines import Lines
from miniDLF.cli.making import make
from miniDLF.cli.networks import NETWORKS
from miniDLF.errors import FileFormatError, MiniDLFError, import_extra
from miniDLF.files import read_text
from miniDLF.losses import get_loss
from miniDLF.metrics import get_metric
from miniDLF.models import DataInfo
from miniDLF.storage.atomic import atomic_file

__all__ = ["OF_DATA", "Run", "problem_of", "read_config", "read_run"]

_KEYS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "data": {
        "source": str,
        "path": str,
        "x": str,
        "y": str,
        "test_fraction": float,
        "timesteps": int,
        "scale": float,
        "offset": float,
        "classes": list,
    },
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


#: Bytes of a configuration: whoever writes one by hand writes a few thousand.
LARGEST = 1 << 20
#: What the [data] section says that the model file remembers.
OF_DATA = ("scale", "offset", "classes")
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
#: The kinds of what the file of a run holds beside its sections.
_REST: Mapping[str, type] = {"finished": bool, "file": str, "lines": dict}


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

    def write(self, path: Path) -> None:
        """Write the file that `resume` reads; where that fails, the one that was there is still whole."""
        with atomic_file(path) as file:
            file.write(json.dumps(asdict(self), indent=2).encode())


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
        text = read_text(path, "utf-8-sig", LARGEST)  # some editors put a byte-order mark before the text
    except FileFormatError:
        raise
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path}: the configuration cannot be read ({error}).") from None
    toml = _toml()
    try:
        values = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise FileFormatError(f"{path}: not valid TOML: {error}.") from None
    except (ValueError, RecursionError):
        raise FileFormatError(f"{path}: not valid TOML: a number is too long, or brackets are too deep.") from None
    lines = Lines(path, text)
    return replace(_checked(values, lines), file=str(path), lines=lines.table())


def read_run(path: Path) -> Run:
    """Read and check the file that `Run.write` wrote.

    Raises
    ------
    FileFormatError
        If it is missing or describes no run.
    ArgumentError
        If a section, a key or a value is wrong, as `read_config`.
    """
    try:
        values = json.loads(read_text(path, "utf-8", LARGEST))
    except FileFormatError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise FileFormatError(
            f"{path}: no run to resume here ({reason}). Name the folder that train wrote to."
        ) from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not {"data", "model", "training"} <= set(values) <= {*_KEYS, *_REST}:
        raise FileFormatError(f"{path} is damaged: it describes no run. Train again.")
    rest = {key: values.pop(key) for key in _REST if key in values}
    if not all(isinstance(value, _REST[key]) for key, value in rest.items()):
        raise FileFormatError(f"{path} is damaged: {', '.join(_REST)} are not what train writes. Train again.")
    return replace(_checked(values, Lines(path)), **rest)


def _checked(values: dict[str, Any], lines: Lines) -> Run:
    """Return the run that the sections of a file describe."""
    _check_plain(lines, values, "", "")
    for section, content in values.items():
        if section not in _KEYS:
            raise lines.error(section, None, f"unknown section [{section}]; there are {', '.join(_KEYS)}", _KEYS)
        if section == "callbacks":
            _check_tables(lines, section, None, content)
            continue
        if not isinstance(content, dict):
            raise lines.error(None, section, f"{section} is a section{lines.advice(f'[{section}]')}")
        for key, value in content.items():
            if problem := problem_of(section, key, value):
                raise lines.error(section, key, problem, () if key in _KEYS[section] else _KEYS[section])
    model = values.get("model", {})
    if "layers" in model:
        _check_tables(lines, "model", "layers", model["layers"])
        if not model["layers"]:
            raise lines.error("model", "layers", f"layers is empty{lines.advice('a [[model.layers]] for each layer')}")
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
    )


def _check_names(lines: Lines, values: Mapping[str, Any]) -> None:
    """Check what stands for something else: the source of the data, the loss, the metrics, the type of numbers."""
    data, model = values.get("data", {}), values.get("model", {})
    source = data.get("source")
    if source is not None and source not in SOURCES:
        raise lines.error(
            "data", "source", f"unknown source {source!r}; there are {', '.join(SOURCES)}", SOURCES, source
        )
    both = "x" in data and ("y" in data or str(data["x"]).lower().endswith(".npz"))
    if (source == "arrays" or "x" in data or "y" in data) and not both:
        raise lines.error("data", "source", "arrays need both x = 'x.npy' and y = 'y.npy'")
    for key in OF_DATA:
        try:
            DataInfo(**({key: data[key]} if key in data else {}))
        except MiniDLFError as error:
            raise lines.error("data", key, str(error).rstrip(".")) from None
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


def _try(lines: Lines, section: str, config: Mapping[str, Any], number: int = 0) -> None:
    try:
        make(section, config)
    except MiniDLFError as error:
        guilty = next((key for key in config if f"{key!r}" in str(error) or f"{key} " in str(error)), "class")
        raise lines.error(section, guilty, str(error).rstrip("."), number=number) from None


def problem_of(section: str, key: str, value: Any) -> str:
    """Return what is wrong with a key of a section, or an empty text."""
    known = _KEYS[section]
    if not known:
        return ""
    if key not in known:
        return f"unknown key {key!r}; [{section}] has {', '.join(known)}"
    wanted: Any = (int, float) if known[key] is float else known[key]
    if not isinstance(value, wanted) or isinstance(value, bool):
        expected = {str: "a text in quotes", int: "a whole number", list: "a list"}.get(wanted, "a number")
        return f"{key} is {expected}, received {value!r}"
    if _is_long(value):
        return f"{key} is a whole number of more than 64 bits"
    least, most = _LIMITS.get(key, (float("-inf"), float("inf")))
    if isinstance(value, int | float) and not least <= value <= most:
        limits = f"at least {least:g}" if most == float("inf") else f"between {least:g} and {most:g}"
        return f"{key} is {limits}, received {value!r}"
    return ""


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _check_tables(lines: Lines, section: str, key: str | None, content: Any) -> None:
    """Check that a list holds sections, each of which has a class."""
    name = f"{section}.{key}" if key else section
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise lines.error(section, key, f"{key or section} are a list of sections{lines.advice(f'[[{name}]]')}")


def _check_plain(lines: Lines, value: Any, section: str, key: str, number: int = 0) -> None:
    """Refuse dates, and whole numbers that have no place in 64 bits; TOML allows the first and not the second."""
    if isinstance(value, dict):
        for name, content in value.items():
            _check_plain(lines, content, f"{section}.{key}" if section else key, name, number)
    elif isinstance(value, list):
        for place, content in enumerate(value):
            _check_plain(lines, content, section, key, place if isinstance(content, dict) else number)
    elif _is_long(value):
        raise lines.error(section, key, f"{key} is a whole number of more than 64 bits", number=number)
    elif not isinstance(value, str | int | float | None):
        raise lines.error(section, key, f"{key} is a number, a text, true or false; received {value}", number=number)


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    return import_extra("tomli", "toml", "reading a configuration")
