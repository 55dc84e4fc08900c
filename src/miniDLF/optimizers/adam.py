"""Adam and its kin: rules that keep a running mean of the gradient and one of its square.

Both means are kept as sums, ``first_sum = first_moment / (1 - beta_1)`` and
``second_sum = second_moment / (1 - beta_2)``, which saves two passes; the constants go into the length of the step and
into epsilon. Adam is then ten NumPy calls a slice. Results are given by position, as in `kernels.rows`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.elementwise import constant
from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.base import Scratch, State, UpdateRule

__all__ = ["AMSGrad", "Adam", "AdamW", "Adamax", "Nadam"]


class _TwoMoments(UpdateRule):
    """What Adam's kin have in common: their arguments, and the sums behind both moments."""

    lr: Any = 0.001
    decay: float = 1e-6
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-6

    state_names: ClassVar[tuple[str, ...]] = ("first_sum", "second_sum")
    intervals: ClassVar[Mapping[str, str]] = {"beta_1": "[0, 1)", "beta_2": "[0, 1)", "epsilon": "(0, inf)"}

    def _first(self, grad: Array, state: State) -> Array:
        """Bring the sum of gradients up to date (two calls)."""
        first = state["first_sum"]
        np.multiply(first, constant(self.beta_1, first.dtype), first)
        return np.add(first, grad, first)

    def _second(self, grad: Array, state: State) -> Array:
        """Bring the sum of squares up to date (three calls); `grad` holds its own square afterwards."""
        second = state["second_sum"]
        np.multiply(grad, grad, grad)
        np.multiply(second, constant(self.beta_2, second.dtype), second)
        return np.add(second, grad, second)

    def _root(self, step: int) -> float:
        """Return sqrt(second_sum / corrected second moment)."""
        return math.sqrt((1.0 - self.beta_2**step) / (1.0 - self.beta_2))

    def _descend(self, value: Array, first: Array, second: Array, work: Array, learning_rate: float, step: int) -> None:
        """``value -= lr * first_moment' / (sqrt(second_moment') + epsilon)`` from the sums (five calls)."""
        root = self._root(step)
        np.sqrt(second, work)
        np.add(work, np.array(self.epsilon * root, work.dtype), work)
        np.divide(first, work, work)
        scale = learning_rate * root * (1.0 - self.beta_1) / (1.0 - self.beta_1**step)
        np.multiply(work, np.array(scale, work.dtype), work)
        np.subtract(value, work, value)


class Adam(_TwoMoments):
    """Adaptive moments::

        first_moment  = beta_1 * first_moment  + (1 - beta_1) * gradient
        second_moment = beta_2 * second_moment + (1 - beta_2) * gradient ** 2
        first_moment'  = first_moment  / (1 - beta_1 ** step)
        second_moment' = second_moment / (1 - beta_2 ** step)
        value -= lr * first_moment' / (sqrt(second_moment') + epsilon)

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1. Epsilon stands outside the root of the
    corrected moment, as in the algorithm and in PyTorch; Keras adds it to the root of the uncorrected one.
    """

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        first, second = self._first(grad, state), self._second(grad, state)
        self._descend(value, first, second, grad, learning_rate, step)


class AdamW(_TwoMoments):
    """`Adam` with decoupled weight decay: ``value -= lr * weight_decay * value`` before Adam's step.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2; the decay is multiplied by the
    learning rate, as in PyTorch and Keras. It takes every value, biases as well; ``WeightDecay(Adam(), rate)`` leaves
    those out.
    """

    weight_decay: float = 0.004

    intervals: ClassVar = {**_TwoMoments.intervals, "weight_decay": "[0, inf)"}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        np.multiply(value, 1.0 - learning_rate * self.weight_decay, out=value)
        first, second = self._first(grad, state), self._second(grad, state)
        self._descend(value, first, second, grad, learning_rate, step)


class AMSGrad(_TwoMoments):
    """`Adam` whose second moment never falls::

        largest = maximum(largest, second_moment)
        value -= lr * first_moment' / (sqrt(largest / (1 - beta_2 ** step)) + epsilon)

    Reddi, Kale & Kumar 2018, "On the convergence of Adam and beyond", algorithm 2: the running maximum of the second
    moment, before its correction. Adam's corrections, which the paper leaves out, are kept, as in PyTorch and Keras.
    """

    state_names: ClassVar = ("first_sum", "second_sum", "largest_sum")

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        first, second, largest = self._first(grad, state), self._second(grad, state), state["largest_sum"]
        np.maximum(largest, second, out=largest)
        self._descend(value, first, largest, grad, learning_rate, step)


class Nadam(_TwoMoments):
    """`Adam` with Nesterov's momentum and a momentum that warms up::

        mu(t)   = beta_1 * (1 - 0.96 ** (t / 250) / 2)
        ahead   = mu(step + 1) * first_moment / (1 - mu(1) * ... * mu(step + 1))
        present = (1 - mu(step)) * gradient / (1 - mu(1) * ... * mu(step))
        value  -= lr * (ahead + present) / (sqrt(second_moment') + epsilon)

    Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2 with the warm-up of section 2.1 of its longer
    version; as in PyTorch (``momentum_decay=0.004``). Keras 3 warms up 250 times faster.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        products = [1.0]
        while products[-1] > 2.0**-60:  # from here on 1 - product is 1 in double precision
            products.append(products[-1] * self._momentum(len(products)))
        self._products = tuple(products)  # by step, so that no running product needs to be kept and saved

    def _momentum(self, step: int) -> float:
        return self.beta_1 * (1.0 - 0.5 * 0.96 ** (step / 250.0))

    def _product(self, step: int) -> float:
        return self._products[step] if step < len(self._products) else 0.0

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        root = self._root(step)
        present = (1.0 - self._momentum(step)) / (1.0 - self._product(step))
        ahead = (1.0 - self.beta_1) * self._momentum(step + 1) / (1.0 - self._product(step + 1))
        direction = scratch("direction", value.size)
        np.multiply(self._first(grad, state), ahead / present, out=direction)
        np.add(direction, grad, out=direction)
        np.sqrt(self._second(grad, state), out=grad)
        np.add(grad, self.epsilon * root, out=grad)
        np.divide(direction, grad, out=grad)
        np.multiply(grad, learning_rate * root * present, out=grad)
        np.subtract(value, grad, out=value)


class Adamax(_TwoMoments):
    """`Adam` with the largest gradient, slowly forgotten, in place of the second moment::

        first_moment = beta_1 * first_moment + (1 - beta_1) * gradient
        largest      = maximum(beta_2 * largest, |gradient|)
        value -= lr / (1 - beta_1 ** step) * first_moment / (largest + epsilon)

    Kingma & Ba 2015, algorithm 2; epsilon, which the paper leaves out, as in Keras.
    """

    state_names: ClassVar = ("first_sum", "largest")

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        first, largest = self._first(grad, state), state["largest"]
        np.multiply(largest, self.beta_2, out=largest)
        np.absolute(grad, out=grad)
        np.maximum(largest, grad, out=largest)
        np.add(largest, self.epsilon, out=grad)
        np.divide(first, grad, out=grad)
        scale = learning_rate * (1.0 - self.beta_1) / (1.0 - self.beta_1**step)
        np.multiply(grad, scale, out=grad)
        np.subtract(value, grad, out=value)
