"""Operations on tensors: each with its shape rule, its formula and its derivative; NumPy's and Keras' names for them.

``ops.softmax(x)``, ``ops.where(condition, a, b)``, ``ops.custom(forward, backward)``. NumPy's own functions work on
tensors as well: ``np.exp(x)`` is ``ops.exp(x)``.
"""

from miniDLF.ops import random as random
from miniDLF.ops.activations import *  # noqa: F403
from miniDLF.ops.arguments import cast as cast
from miniDLF.ops.arithmetic import *  # noqa: F403
from miniDLF.ops.choices import *  # noqa: F403
from miniDLF.ops.creation import *  # noqa: F403
from miniDLF.ops.differentiation import *  # noqa: F403
from miniDLF.ops.exponentials import *  # noqa: F403
from miniDLF.ops.images import *  # noqa: F403
from miniDLF.ops.indexing import *  # noqa: F403
from miniDLF.ops.pooling import *  # noqa: F403
from miniDLF.ops.products import *  # noqa: F403
from miniDLF.ops.reductions import *  # noqa: F403
from miniDLF.ops.shaping import *  # noqa: F403
