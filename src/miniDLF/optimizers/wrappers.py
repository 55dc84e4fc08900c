"""Weight decay, averaging and accumulation: each wraps an optimizer, and wrappers nest.

The gradient passes them from the outside in: ``ClipNorm(Accumulate("adam", 4), 1.0)`` clips each of the four gradients,
``Accumulate(ClipNorm("adam", 1.0), 4)`` their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.core.buffers import Buffers
from miniDLF.core.ranges import require, require_count
from miniDLF.errors import ArgumentError, NotReadyError
from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.base import Optimizer, Scratch, State, zeros

__all__ = ["Accumulate", "MovingAverage", "WeightDecay", "Wrapper"]


class Wrapper(Optimizer):
    """An optimizer around another one (an object, a name or a configuration), to which it passes everything on."""

    optimizer: Any

    def __post_init__(self) -> None:
        from miniDLF.optimizers.choices import get_optimizer  # which knows the wrappers too, so it comes after them

        self.optimizer = get_optimizer(self.optimizer)
        if self.optimizer.full_batch:
            raise ArgumentError(
                f"{type(self).__name__} works on single steps and cannot wrap {type(self.optimizer).__name__}, which "
                "minimizes over the whole data set. Give it a stochastic optimizer, for example Adam()."
            )

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the optimizer inside."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.optimizer.learning_rate = value

    @property
    def uses_before(self) -> bool:
        """Whether `before` looks at the gradient, here or further inside."""
        return bool(self.optimizer.uses_before)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, with its decay."""
        return float(self.optimizer.rate(step))

    def updates(self, step: int) -> int:
        """Return how many updates have been made after a step, counted from 1."""
        return int(self.optimizer.updates(step))

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        """Return the arrays of the optimizer inside."""
        state: dict[str, Array] = self.optimizer.init_state(size, dtype)
        return state

    def _with(self, name: str, size: int, dtype: DTypeLike) -> dict[str, Array]:
        """Return the arrays of the optimizer inside, and one of our own."""
        state: dict[str, Array] = self.optimizer.init_state(size, dtype)
        if name in state:
            raise ArgumentError(f"{type(self).__name__} inside another one: {self!r}. Keep one of the two.")
        return {**state, name: zeros(size, dtype)}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        """Update a slice by the optimizer inside."""
        self.optimizer.update(value, grad, state, learning_rate, step, scratch)

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        """Pass the whole of the buffers on."""
        return bool(self.optimizer.before(buffers, state, step))

    def after(self, buffers: Buffers, state: State, step: int) -> None:
        """Pass the whole of the buffers on."""
        self.optimizer.after(buffers, state, step)

    def finished(self, state: State) -> Array | None:
        """Return what the optimizer inside wants a model to have when a run is over."""
        values: Array | None = self.optimizer.finished(state)
        return values

    def restart(self, state: State) -> None:
        """Pass on that values have been set anew."""
        self.optimizer.restart(state)

    def completed(self, saved: Mapping[str, Array], steps: int) -> dict[str, Array]:
        """Let the optimizer inside complete the arrays of a file."""
        arrays: dict[str, Array] = self.optimizer.completed(saved, steps)
        return arrays


class WeightDecay(Wrapper):
    """Decoupled weight decay: ``value -= learning_rate * weight_decay * value`` before each update.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", with the decay multiplied by the learning rate,
    as in PyTorch and Keras.

    Parameters
    ----------
    weight_decay
        The rate of the decay, 0 or more; the keyword ``rate`` means the same.
    exclude
        Names of the parameters that are left alone, also where they stand behind a prefix (``output_bias``).
    """

    weight_decay: float
    exclude: Any = ("bias", "gamma", "beta")

    aliases: ClassVar[Mapping[str, str]] = {"rate": "weight_decay"}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, weight_decay="[0, inf)")
        self.exclude = (self.exclude,) if isinstance(self.exclude, str) else tuple(self.exclude)

    def decays(self, path: str) -> bool:
        """Say whether the parameter at `path` (``dense_1/weight``) decays."""
        name = path.rpartition("/")[2]
        return not any(name == word or name.endswith("_" + word) for word in self.exclude)

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        if not super().before(buffers, state, step):
            return False
        kept = 1.0 - self.rate(step - 1) * self.weight_decay
        for slot in buffers.slots:
            if slot.trained and self.decays(slot.path):
                values = buffers.values[slot.slice]
                np.multiply(values, kept, out=values)
        return True


class MovingAverage(Wrapper):
    """Keep an exponential moving average of the values, and leave it in the model when a run is over.

    ``average = momentum * average + (1 - momentum) * value`` after each update; it begins as the values after the first
    update (Polyak & Juditsky 1992; the form of Keras' ``use_ema``).

    As in Keras, epochs are validated with the values themselves, and `fit` ends with the average in the model. What is
    saved during a run (`ModelCheckpoint`) holds the average as the model's weights. The next ``fit`` goes on from the
    last values, not from their average, unless the weights have been changed in between: then both begin anew.
    """

    momentum: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, momentum="[0, 1)")

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        return {**self._with("average", size, dtype), "_averages": np.zeros(1, np.int64)}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        self.optimizer.update(value, grad, state, learning_rate, step, scratch)
        average = state["average"]
        if not state["_averages"][0]:
            np.copyto(average, value)
            return
        np.subtract(value, average, out=grad)
        np.multiply(grad, 1.0 - self.momentum, out=grad)
        np.add(average, grad, out=average)

    def after(self, buffers: Buffers, state: State, step: int) -> None:
        super().after(buffers, state, step)
        state["_averages"][0] += 1

    def finished(self, state: State) -> Array | None:
        return state["average"] if state["_averages"][0] else super().finished(state)

    def restart(self, state: State) -> None:
        super().restart(state)
        state["_averages"][0] = 0

    def completed(self, saved: Mapping[str, Array], steps: int) -> dict[str, Array]:
        count = np.array([self.updates(steps)], np.int64)
        return {**({"_averages": count} if "average" in saved else {}), **super().completed(saved, steps)}

    @staticmethod
    def averaged(state: State) -> Array:
        """Return the averaged values: a view of `state`, laid out like ``buffers.values``.

        Raises
        ------
        NotReadyError
            If `state` holds no average, or no update has been made yet.
        """
        if "average" not in state or not state["_averages"][0]:
            raise NotReadyError(
                "there are no averaged weights: compile with MovingAverage(optimizer) and train at least one step."
            )
        return state["average"]

    @staticmethod
    def swap(buffers: Buffers, state: State) -> None:
        """Exchange the values and their average; a second call puts them back."""
        average = MovingAverage.averaged(state)
        kept = buffers.values.copy()
        np.copyto(buffers.values, average)
        np.copyto(average, kept)


class Accumulate(Wrapper):
    """Update once every `steps` steps, by the mean of their gradients: a large batch in small pieces.

    The optimizer inside, its schedule too, counts updates. What is left at the end of an epoch waits for the next one.
    """

    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(self, "steps")

    @property
    def uses_before(self) -> bool:
        return True

    def rate(self, step: int) -> float:
        return float(self.optimizer.rate(step // self.steps))

    def updates(self, step: int) -> int:
        return int(self.optimizer.updates(step // self.steps))

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        return self._with("accumulated", size, dtype)

    def before(self, buffers: Buffers, state: State, step: int) -> bool:
        total = state["accumulated"]
        np.add(total, buffers.gradients, out=total)
        if step % self.steps:
            return False
        np.multiply(total, 1.0 / self.steps, out=buffers.gradients)
        total.fill(0)
        return bool(self.optimizer.before(buffers, state, step // self.steps))

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        self.optimizer.update(value, grad, state, learning_rate, step // self.steps, scratch)

    def after(self, buffers: Buffers, state: State, step: int) -> None:
        self.optimizer.after(buffers, state, step // self.steps)
