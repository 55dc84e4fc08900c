"""Rules that keep one moment: stochastic gradient descent and Lion."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.base import Scratch, State, UpdateRule

__all__ = ["SGD", "Lion"]


class SGD(UpdateRule):
    """Stochastic gradient descent with momentum::

        velocity = momentum * velocity - lr * gradient
        value   += velocity                                      # plain (Polyak 1964)
        value   += momentum * velocity - lr * gradient           # Nesterov

    Nesterov's momentum is that of Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", rewritten for the gradient at the present point (Bengio et al. 2013, equation 7). The learning rate is a
    part of the velocity, as in Keras; PyTorch multiplies by it afterwards, which is the same while it is constant.

    Parameters
    ----------
    momentum
        Share of the velocity that is kept, from 0 (none) to below 1.
    """

    lr: Any = 0.01
    decay: float = 1e-6
    momentum: float = 0.9
    nesterov: bool = True

    state_names: ClassVar = ("velocity",)
    intervals: ClassVar = {"momentum": "[0, 1)"}

    def init_state(self, size: int, dtype: DTypeLike) -> dict[str, Array]:
        return super().init_state(size, dtype) if self.momentum else {}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        np.multiply(grad, learning_rate, out=grad)
        if not self.momentum:
            np.subtract(value, grad, out=value)
            return
        velocity = state["velocity"]
        np.multiply(velocity, self.momentum, out=velocity)
        np.subtract(velocity, grad, out=velocity)
        if not self.nesterov:
            np.add(value, velocity, out=value)
            return
        np.subtract(value, grad, out=value)
        np.multiply(velocity, self.momentum, out=grad)
        np.add(value, grad, out=value)


class Lion(UpdateRule):
    """Steps of one length, in the direction of the sign of an interpolated moment::

        value -= lr * sign(beta_1 * moment + (1 - beta_1) * gradient)
        moment = beta_2 * moment + (1 - beta_2) * gradient

    Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2, without its weight decay: wrap it in
    `WeightDecay`. The paper advises a third to a tenth of Adam's learning rate.
    """

    lr: Any = 0.001
    decay: float = 1e-6
    beta_1: float = 0.9
    beta_2: float = 0.99

    state_names: ClassVar = ("moment_sum",)
    intervals: ClassVar = {"beta_1": "[0, 1)", "beta_2": "[0, 1)"}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        total = state["moment_sum"]  # moment / (1 - beta_2): one pass less to keep
        direction = scratch("direction", value.size)
        np.multiply(total, self.beta_1 * (1.0 - self.beta_2) / (1.0 - self.beta_1), out=direction)
        np.add(direction, grad, out=direction)
        np.sign(direction, out=direction)
        np.multiply(direction, learning_rate, out=direction)
        np.subtract(value, direction, out=value)
        np.multiply(total, self.beta_2, out=total)
        np.add(total, grad, out=total)
