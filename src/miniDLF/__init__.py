"""miniDLF: deep learning in plain NumPy, under Keras' names.

``from miniDLF.models import Sequential``, ``from miniDLF.layers import Dense``, and so on; the sub-packages are loaded
when they are first used, so ``import miniDLF`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from miniDLF.kernels.sharing import use_processes
from miniDLF.kernels.threads import get_threads, set_threads
from miniDLF.names import names_of_keras

if TYPE_CHECKING:  # at run time when it is asked for
    from miniDLF import ops
    from miniDLF.core.capture import use_notes
    from miniDLF.engine.function import function
    from miniDLF.tensor import GradientTape, Tensor, Variable, gradient

__all__ = [
    "GradientTape",
    "Tensor",
    "Variable",
    "__version__",
    "function",
    "get_threads",
    "gradient",
    "ops",
    "set_threads",
    "use_notes",
    "use_processes",
]

__version__ = "0.1.0"

_SUBPACKAGES = (
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "errors",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "utils",
)
#: What Keras has at the top too, by the module that holds it.
_OF_MODULES = {
    "Initializer": "initializers",
    "Input": "models",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Regularizer": "regularizers",
    "Sequential": "models",
}
_OF_TENSORS = ("GradientTape", "Tensor", "Variable", "gradient")


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "function":
        return importlib.import_module(f"{__name__}.engine.function").function
    if name in _OF_TENSORS:
        importlib.import_module(f"{__name__}.ops")  # what gives tensors their functions
        return getattr(importlib.import_module(f"{__name__}.tensor"), name)
    if name == "use_notes":
        return importlib.import_module(f"{__name__}.core.capture").use_notes
    if name in _OF_MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_OF_MODULES[name]}"), name)
    return _missing(name)


_missing = names_of_keras(__name__)


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES, *_OF_MODULES])
