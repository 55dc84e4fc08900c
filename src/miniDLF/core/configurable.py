"""Objects whose hyper-parameters are their fields: repr, configuration and saving come free.

A class that derives from `Configurable` and declares annotated fields becomes a dataclass by itself. One that
writes its own ``__init__`` keeps it; its arguments must then be attributes of the same names.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np

from miniDLF.core.kinds import check_kinds, kinds_of
from miniDLF.errors import ArgumentTypeError, MiniDLFError, UnknownNameError, answering, nearest, no_argument
from miniDLF.names import Explained, hint_for

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        """Stand in for `typing.dataclass_transform`, which Python 3.10 lacks; it tells type checkers only."""
        return lambda cls: cls


__all__ = ["Configurable", "as_config", "canonical", "describes_itself", "from_config", "make", "registered", "resolve"]

T = TypeVar("T")


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
class Configurable(Explained):
    """Base of layers, losses, optimizers and their kin: fields in, ``repr`` and ``config()`` out."""

    #: Other frameworks' keywords and the field each one means, e.g. ``{"units": "size"}``.
    aliases: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" not in cls.__dict__:
            documented = cls.__doc__ is not None
            dataclasses.dataclass(init=False, eq=False, repr=False)(cls)
            cls.__init__ = _initialiser(cls)  # type: ignore[method-assign]
            if not documented:
                cls.__doc__ = f"{cls.__name__}{inspect.signature(cls)}".removesuffix(" -> None")

    def config(self) -> dict[str, Any]:
        """Return the arguments that make an equal object, as values that JSON can hold; defaults are left out.

        A class of one's own with a `get_config` says itself what they are.
        """
        if describes_itself(type(self)):
            return {name: _plain(value) for name, value in self.get_config().items()}
        result = {}
        for name, parameter in _arguments(type(self)).items():
            value = _plain(getattr(self, name))
            if parameter.default is parameter.empty or value != _plain(parameter.default):
                result[name] = value
        return result

    def get_config(self) -> dict[str, Any]:
        """Return all arguments by name, also those at their defaults, as values that JSON can hold.

        Where a class of one's own adds to it, ``super().get_config() | {...}``, arguments that are no attributes of the
        same name are its to add.
        """
        known = _arguments(type(self))
        if describes_itself(type(self)):
            return {name: _plain(vars(self)[name]) for name in known if name in vars(self)}
        return {name: _plain(getattr(self, name)) for name in known}

    @classmethod
    @answering
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Make an object of what `get_config` or `config` gave.

        Raises
        ------
        ArgumentTypeError
            If `config` is no dictionary, or an argument is of a wrong kind or unknown.
        """
        if not isinstance(config, Mapping):
            raise ArgumentTypeError(
                f"{cls.__name__}.from_config takes a dictionary of arguments, received {type(config).__name__}."
            )
        return cls(**{name: value for name, value in config.items() if name != "class"})

    def __repr__(self) -> str:
        def shown(value: Any) -> str:
            if isinstance(value, dict) and "class" in value:
                inside = {k: v for k, v in value.items() if k != "class"}
                return f"{value['class']}({', '.join(f'{k}={shown(v)}' for k, v in inside.items())})"
            return repr(value)

        return shown({"class": type(self).__name__, **self.config()})


def describes_itself(cls: type) -> bool:
    """Say whether a class of one's own has a `get_config`."""
    return not cls.get_config.__module__.startswith("miniDLF.")  # type: ignore[attr-defined]


def make(cls: Any, arguments: Mapping[str, Any]) -> Any:
    """Make the object of a saved configuration: by the ``from_config`` of a class that has a `get_config`."""
    if isinstance(cls, type) and issubclass(cls, Configurable) and describes_itself(cls):
        return cls.from_config(dict(arguments))
    return cls(**arguments)


def registered(module: str, name: str) -> type | None:
    """Return the class of this name and module that ``register_keras_serializable`` was given, the newest of them."""
    pending: list[type] = [Configurable]
    found = None
    while pending:
        cls = pending.pop()
        pending.extend(reversed(cls.__subclasses__()))
        if cls.__name__ == name and cls.__module__ == module and "_registered_as" in vars(cls):
            found = cls
    return found


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments with which objects of a class are made."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


class _Factory:
    """Stands in signatures for a default that is made anew for every object, as in those of dataclasses."""

    def __repr__(self) -> str:
        return "<factory>"


def _initialiser(cls: type) -> Callable[..., None]:
    """Return an ``__init__`` that sets the fields: it bridges aliases and answers wrong arguments with the right ones.

    A dataclass would write one as text and compile it, which for all classes of miniDLF takes a third of its import.
    """
    real = dataclasses.fields(cls)
    declared: Mapping[str, dataclasses.Field[Any]] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    passed_on = [field.name for field in declared.values() if field not in real and "InitVar" in str(field.type)]
    fields = [field for field in declared.values() if field in real or field.name in passed_on]
    taken = sorted((field for field in fields if field.init), key=lambda field: bool(field.kw_only))
    names = [field.name for field in taken]
    positional = [field for field in taken if not field.kw_only]
    for before, field in pairwise(positional):
        if _is_required(field) and not _is_required(before):
            raise TypeError(f"non-default argument {field.name!r} follows default argument {before.name!r}")
    kinds = kinds_of(cls)

    def __init__(self: Any, *values: Any, **keywords: Any) -> None:
        for alias in [key for key in keywords if key in cls.aliases and key not in names]:  # type: ignore[attr-defined]
            field = cls.aliases[alias]  # type: ignore[attr-defined]
            if field in keywords:
                raise ArgumentTypeError(f"{cls.__name__}: {alias!r} and {field!r} are the same argument; give one.")
            keywords[field] = keywords.pop(alias)
        for key in keywords:
            if key not in names:
                raise no_argument(cls.__name__, key, names, hint_for(cls, f"({key})"))
        given = dict(zip(names, values, strict=False)) | keywords
        problem = _misfit(taken, values, keywords)
        if problem:
            check_kinds(cls, kinds, given)
            raise ArgumentTypeError(f"{cls.__name__}({', '.join(names)}): {problem}.")
        try:
            others: dict[str, Any] = {}
            for field in fields:
                if field.name in given:
                    value = given[field.name]
                elif field.default is not dataclasses.MISSING:
                    value = field.default
                elif field.default_factory is not dataclasses.MISSING:
                    value = field.default_factory()
                else:  # not an argument, and set by __post_init__
                    continue
                if field.name in passed_on:
                    others[field.name] = value
                else:
                    setattr(self, field.name, value)
            if hasattr(cls, "__post_init__"):
                self.__post_init__(*others.values())
        except MiniDLFError:  # what a class says of its own arguments comes first
            raise
        except (TypeError, ValueError, AttributeError):
            check_kinds(cls, kinds, given)
            raise
        check_kinds(cls, kinds, given)

    __init__.__module__, __init__.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
    __init__.__annotations__ = {field.name: field.type for field in taken} | {"return": None}
    __init__.__signature__ = _signature(taken)  # type: ignore[attr-defined]
    return __init__


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _signature(taken: Sequence[dataclasses.Field[Any]]) -> inspect.Signature:
    """Return the signature of an ``__init__`` with these fields."""
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for field in taken:
        default = inspect.Parameter.empty if _is_required(field) else field.default
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=_Factory() if default is dataclasses.MISSING else default,
                annotation=field.type,
            )
        )
    return inspect.Signature(parameters, return_annotation=None)


def _misfit(taken: Sequence[dataclasses.Field[Any]], values: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    """Return what Python says of arguments that do not fit, or an empty string."""
    positional = [field for field in taken if not field.kw_only]
    if len(values) > len(positional):
        most, least = len(positional) + 1, sum(map(_is_required, positional)) + 1  # self counts
        of = f"{most}" if most == least else f"from {least} to {most}"
        return f"takes {of} positional argument{'s' * (most > 1)} but {len(values) + 1} were given"
    for field in positional[: len(values)]:
        if field.name in keywords:
            return f"got multiple values for argument {field.name!r}"
    for kind, fields in (
        ("positional", positional[len(values) :]),
        ("keyword-only", [field for field in taken if field.kw_only]),
    ):
        missing = [repr(field.name) for field in fields if _is_required(field) and field.name not in keywords]
        if missing:
            start = ", ".join(missing[:-1]) + "," * (len(missing) > 2)
            listed = f"{start} and {missing[-1]}" if len(missing) > 1 else missing[0]
            return f"missing {len(missing)} required {kind} argument{'s' * (len(missing) > 1)}: {listed}"
    return ""


def _plain(value: Any) -> Any:
    """Turn a field into something JSON can hold."""
    if isinstance(value, Configurable):
        return {"class": type(value).__name__, **value.config()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def as_config(thing: Any) -> Any:
    """Return the configuration, with its class, that makes an equal object; a name, or ``None``, is its own."""
    return _plain(thing)


def canonical(name: str) -> str:
    """Fold the spellings of one name into one: ``'LeakyReLU'``, ``'leaky_relu'`` and ``'leaky-relu'`` are the same."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def resolve(value: Any, choices: Mapping[str, Callable[..., Any]], kind: str, base: type[T]) -> T:
    """Return the object that `value` names or already is: the one resolver of names in miniDLF.

    Parameters
    ----------
    value
        An object of class `base`, such a class, a name, or a configuration ``{"class": name, **arguments}``.
    choices
        What the names stand for.
    kind
        What is looked for, for the error message ("optimizer").

    Raises
    ------
    UnknownNameError
        If the name is not among the choices.
    ArgumentTypeError
        If `value` is of another type.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, type) and issubclass(value, base):
        return value()
    if isinstance(value, str):
        return cast(T, _lookup(value, choices, kind)())
    if isinstance(value, Mapping) and isinstance(value.get("class"), str):
        return cast(T, from_config(value, choices, kind))
    raise ArgumentTypeError(
        f"{kind}: expected {_article(base.__name__)} or one of the names {_listed(choices)}; received {_shown(value)}."
    )


def from_config(config: Mapping[str, Any], choices: Mapping[str, Callable[..., Any]], kind: str) -> Any:
    """Make the object that a ``config()`` with its ``"class"`` describes."""
    arguments = {key: value for key, value in config.items() if key != "class"}
    return _lookup(config["class"], choices, kind)(**arguments)


def _lookup(name: str, choices: Mapping[str, Callable[..., Any]], kind: str) -> Callable[..., Any]:
    folded = {canonical(key): value for key, value in choices.items()}
    found = folded.get(canonical(name))
    if found is None:
        raise UnknownNameError(f"unknown {kind} {name!r}; choose from {_listed(choices)}.{nearest(name, choices)}")
    return found


def _listed(choices: Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in choices)


def _shown(value: Any) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)


def _article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
