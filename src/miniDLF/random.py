"""Random numbers under Keras' name for them: what `miniDLF.ops.random` has."""

from miniDLF import ops
from miniDLF.names import names_of_keras

__all__ = list(ops.random.__all__)

globals().update({name: getattr(ops.random, name) for name in __all__})
_missing = names_of_keras(__name__)


def __getattr__(name: str) -> object:
    return _missing(name)
