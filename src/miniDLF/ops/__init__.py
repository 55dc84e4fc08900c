"""Operations on tensors: each with its shape rule, its formula and its derivative; NumPy's and Keras' names for them.

``ops.softmax(x)``, ``ops.where(condition, a, b)``, ``ops.custom(forward, backward)``. NumPy's own functions work on
tensors as well: ``np.exp(x)`` is ``ops.exp(x)``. On nodes of a graph (``Input(shape)``, outputs of layers) they make
the node of a layer that does it: ``ops.relu(h)``.
"""

from inspect import isfunction as _isfunction

from miniDLF.names import names_of_keras as _names_of_keras
from miniDLF.ops import random as random
from miniDLF.ops.activations import *  # noqa: F403
from miniDLF.ops.arguments import cast as cast
from miniDLF.ops.arithmetic import *  # noqa: F403
from miniDLF.ops.branches import *  # noqa: F403
from miniDLF.ops.choices import *  # noqa: F403
from miniDLF.ops.comparing import *  # noqa: F403
from miniDLF.ops.creation import *  # noqa: F403
from miniDLF.ops.crossentropy import *  # noqa: F403
from miniDLF.ops.differentiation import *  # noqa: F403
from miniDLF.ops.exponentials import *  # noqa: F403
from miniDLF.ops.images import *  # noqa: F403
from miniDLF.ops.indexing import *  # noqa: F403
from miniDLF.ops.joining import *  # noqa: F403
from miniDLF.ops.likeness import *  # noqa: F403
from miniDLF.ops.loops import *  # noqa: F403
from miniDLF.ops.normalizing import *  # noqa: F403
from miniDLF.ops.piecewise import *  # noqa: F403
from miniDLF.ops.pooling import *  # noqa: F403
from miniDLF.ops.products import *  # noqa: F403
from miniDLF.ops.recurrent import *  # noqa: F403
from miniDLF.ops.reductions import *  # noqa: F403
from miniDLF.ops.scattering import *  # noqa: F403
from miniDLF.ops.shaping import *  # noqa: F403
from miniDLF.ops.sorting import *  # noqa: F403
from miniDLF.ops.statistics import *  # noqa: F403
from miniDLF.tensor.rules import open_to_nodes as _open_to_nodes

#: What asks whether something is a tensor, or makes a function of functions, is no operation on nodes.
_APART = ("GradientCheck", "check_gradients", "cond", "convert_to_numpy", "custom", "is_tensor", "scan")

# The public functions take nodes of a graph; as the operations call each other, they need not.
globals().update(
    {
        name: _open_to_nodes(value, name)
        for name, value in list(globals().items())
        if _isfunction(value) and not name.startswith("_") and name not in _APART
    }
)
vars(random).update(
    {
        name: _open_to_nodes(getattr(random, name), f"random.{name}")
        for name in random.__all__
        if _isfunction(getattr(random, name))
    }
)

__getattr__ = _names_of_keras(__name__)
