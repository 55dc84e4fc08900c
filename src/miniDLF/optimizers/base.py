"""What every optimizer fulfils, and what every elementwise update rule shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import DTypeLike

from miniDLF.core.buffers import Buffers
from miniDLF.core.configurable import Configurable
from miniDLF.core.ranges import number, require
from miniDLF.core.update import Scratch
from miniDLF.errors import ArgumentTypeError
from miniDLF.kernels.workspace import Array, aligned_empty
from miniDLF.optimizers.applying import apply_gradients
from miniDLF.optimizers.schedules import Schedule, get_schedule

__all__ = ["Optimizer", "Scratch", "State", "UpdateRule", "zeros"]

#: Named arrays, each as long as the flat buffers (or as the slice of them at hand).
State = Mapping[str, Array]


class Optimizer(Configurable):
    """Changes the flat vector of trained values by the flat vector of their gradients.

    `update` works element by element and in place, so that the caller may walk the vectors in slices that fit the
    cache and share the slices over threads: the result is the same to the last bit. What needs the whole gradient
    (a norm) or the map of the parameters does its part in `before` or `after`, once a step.

    Steps are counted from 1 in `update`, `before` and `after`, and from 0 in `rate`, as in schedules. Nothing else
    is kept than `init_state` gives, so that a resumed run needs these arrays and the number of the step.
    """

    #: Whether it needs loss and gradient of the whole data set, many times a step; then ``fit`` calls ``minimize``.
    full_batch: ClassVar[bool] = False

    @property
    def learning_rate(self) -> Any:
        """The learning rate, a number or a `Schedule`; callbacks set it. Before any decay."""
        raise NotImplementedError(f"{type(self).__name__} has no learning_rate")

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no learning_rate")

    @property
    def uses_before(self) -> bool:
        """Whether `before` looks at the gradient: then the gradients of all shards are summed before it is called."""
        return type(self).before is not Optimizer.before

    @property
    def iterations(self) -> int:
        """How many updates it has made for the model that it trains, which counts them; 0 for none."""
        applied = vars(self).get("_applied")
        if applied is not None:
            return self.updates(int(applied.steps))
        held = vars(self).get("_engine")
        engine = held and held()
        return self.updates(engine.steps) if engine else 0

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: it trains no model yet."""
        return {name: value for name, value in vars(self).items() if name not in ("_engine", "_applied")}

    def apply_gradients(self, grads_and_vars: Any) -> None:
        """Make one step with gradients of one's own: pairs of a gradient and the `Variable` that it is of.

        The first call takes the variables into one flat buffer, and every later one must give the same. In a function
        that is compiled the step is made when the function is over. A gradient of ``None`` counts as 0.

        Raises
        ------
        ArgumentError
            If the variables are not those of the first call, or no gradient is there.
        DivergedError
            If a gradient is not finite; nothing is changed then.
        """
        apply_gradients(self, grads_and_vars)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, with its decay."""
        raise NotImplementedError(f"{type(self).__name__} has no rate()")

    def updates(self, step: int) -> int:
        """Return how many updates have been made after a step, counted from 1."""
        return step

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        """Return the arrays, each of `size` elements, that the rule keeps between steps.

        An array whose name begins with an underscore may have another size: `update` gets it whole with every slice,
        and only `before` and `after` may change it.
        """
        return {}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        """Change `value` in place; `grad` and the arrays of `state` are the matching slices, and may be overwritten.

        `learning_rate` is ``rate(step - 1)``; `step` counts from 1. Where value, gradient and state are 0, as between
        the parameters of two layers, they must stay 0.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update()")

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        """See the whole of the buffers before a step; it may change the gradients. ``False`` skips the update."""
        return True

    def after(self, buffers: Buffers, state: State, step: int) -> None:
        """See the whole of the buffers after a step."""

    def finished(self, state: State) -> Array | None:
        """Return the values that a model is to have when a run is over, where they are not the last ones."""
        return None

    def restart(self, state: State) -> None:
        """Forget what `finished` would return: the values have been set anew between two runs."""

    def completed(self, saved: Mapping[str, Array], steps: int) -> dict[str, Array]:
        """Return the arrays of a file after so many `steps`, with those that an earlier version did not keep."""
        return dict(saved)


class UpdateRule(Optimizer):
    """Base of the elementwise rules: a learning rate and the names of the arrays that the rule keeps.

    A rule of one's own gives `update`, and `state_names` if it keeps anything.

    Parameters
    ----------
    lr
        Learning rate, a number or a `Schedule`. The keyword ``learning_rate`` means the same.
    decay
        Inverse time decay of a constant rate: ``lr / (1 + decay * step)`` with steps from 0. A schedule stands alone.
    """

    lr: Any = 0.01
    decay: float = 1e-6

    aliases: ClassVar[Mapping[str, str]] = {"learning_rate": "lr"}
    #: The arrays of `init_state`; they begin as zeros.
    state_names: ClassVar[tuple[str, ...]] = ()
    #: Where the fields of a rule must lie.
    intervals: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        require(self, decay="[0, inf)", **self.intervals)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self._checked(value) if name == "lr" else value)

    def _checked(self, value: Any) -> Any:
        if isinstance(value, Schedule | Mapping):
            return get_schedule(value)
        advice = " Give a number such as 0.001, or a Schedule."
        return number(type(self).__name__, "lr", value, "[0, inf)", advice)

    @property
    def learning_rate(self) -> Any:
        """The learning rate, a number or a `Schedule`; callbacks set it. Before any decay."""
        return self.lr

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(self.lr, Schedule) and not isinstance(value, Schedule | Mapping):
            raise ArgumentTypeError(
                f"{type(self).__name__}: the learning rate follows {self.lr!r} and cannot be set to {value!r}. Make "
                "the optimizer with a number as its lr if a callback is to change it, or set another schedule."
            )
        self.lr = value

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, with its decay."""
        lr = self.lr
        if isinstance(lr, Schedule):
            return float(lr(step))
        return float(lr) / (1.0 + self.decay * step)

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        """Return the arrays, each of `size` elements, that the rule keeps between steps."""
        return {name: zeros(size, dtype) for name in self.state_names}


def zeros(size: int, dtype: DTypeLike) -> Array:
    """Return a vector of zeros that begins on a cache line, like the flat buffers."""
    vector = aligned_empty(size, dtype)
    vector.fill(0)
    return vector
