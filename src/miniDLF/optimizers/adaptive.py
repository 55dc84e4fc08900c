"""Rules that scale every step by the root of the gradients' squares: Adagrad, RMSProp, Adadelta.

A running mean ``mean = rho * mean + (1 - rho) * square`` is kept as the sum ``mean / (1 - rho)``, which saves a pass;
the constant goes into the length of the step and into epsilon.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from miniDLF.kernels.workspace import Array
from miniDLF.optimizers.base import Scratch, State, UpdateRule

__all__ = ["Adadelta", "Adagrad", "RMSProp"]


class Adagrad(UpdateRule):
    """A learning rate for each value, smaller the more gradient it has seen::

        sum_of_squares += gradient ** 2
        value -= lr * gradient / (sqrt(sum_of_squares) + epsilon)

    Duchi, Hazan & Singer 2011, "Adaptive subgradient methods", figure 1 (diagonal case). Epsilon stands outside the
    root, as in PyTorch; Keras 3 has it inside, and begins with sums of 0.1.
    """

    lr: Any = 0.01
    decay: float = 1e-6
    epsilon: float = 1e-7

    state_names: ClassVar = ("sum_of_squares",)
    intervals: ClassVar = {"epsilon": "(0, inf)"}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        squares, root = state["sum_of_squares"], scratch("root", value.size)
        np.multiply(grad, grad, out=root)
        np.add(squares, root, out=squares)
        np.sqrt(squares, out=root)
        np.add(root, self.epsilon, out=root)
        np.divide(grad, root, out=root)
        np.multiply(root, learning_rate, out=root)
        np.subtract(value, root, out=value)


class RMSProp(UpdateRule):
    """Gradients over the root of the running mean of their squares::

        mean_square = rho * mean_square + (1 - rho) * gradient ** 2
        value -= lr * gradient / (sqrt(mean_square) + epsilon)

    Tieleman & Hinton 2012, Coursera "Neural networks for machine learning", lecture 6e. Epsilon stands outside the
    root, as in PyTorch; Keras 3 has it inside.

    Parameters
    ----------
    rho
        Share of the running mean that is kept, from 0 to below 1.
    """

    lr: Any = 0.001
    decay: float = 1e-6
    rho: float = 0.9
    epsilon: float = 1e-6

    state_names: ClassVar = ("square_sum",)
    intervals: ClassVar = {"rho": "[0, 1)", "epsilon": "(0, inf)"}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        squares, root = state["square_sum"], scratch("root", value.size)
        scale = 1.0 / math.sqrt(1.0 - self.rho)  # sqrt(square_sum) = scale * sqrt(mean_square)
        np.multiply(squares, self.rho, out=squares)
        np.multiply(grad, grad, out=root)
        np.add(squares, root, out=squares)
        np.sqrt(squares, out=root)
        np.add(root, scale * self.epsilon, out=root)
        np.divide(grad, root, out=root)
        np.multiply(root, scale * learning_rate, out=root)
        np.subtract(value, root, out=value)


class Adadelta(UpdateRule):
    """RMSProp whose learning rate is the running root mean square of its own steps::

        mean_square = rho * mean_square + (1 - rho) * gradient ** 2
        change      = gradient * sqrt(mean_change + epsilon) / sqrt(mean_square + epsilon)
        mean_change = rho * mean_change + (1 - rho) * change ** 2
        value      -= lr * change

    Zeiler 2012, "Adadelta: an adaptive learning rate method", algorithm 1. Epsilon stands inside the roots, as in the
    paper, PyTorch and Keras: it sets the length of the first steps.
    """

    lr: Any = 1.0
    decay: float = 1e-6
    rho: float = 0.95
    epsilon: float = 1e-6

    state_names: ClassVar = ("square_sum", "change_sum")
    intervals: ClassVar = {"rho": "[0, 1)", "epsilon": "(0, inf)"}

    def update(
        self, value: Array, grad: Array, state: State, learning_rate: float, step: int, scratch: Scratch
    ) -> None:
        squares, changes = state["square_sum"], state["change_sum"]
        above, below = scratch("above", value.size), scratch("below", value.size)
        epsilon = self.epsilon / (1.0 - self.rho)  # both means are sums here, and their common factor cancels
        np.multiply(squares, self.rho, out=squares)
        np.multiply(grad, grad, out=below)
        np.add(squares, below, out=squares)
        np.add(squares, epsilon, out=below)
        np.add(changes, epsilon, out=above)
        np.divide(above, below, out=above)
        np.sqrt(above, out=above)
        np.multiply(above, grad, out=above)  # the change
        np.multiply(above, above, out=below)
        np.multiply(changes, self.rho, out=changes)
        np.add(changes, below, out=changes)
        if learning_rate != 1.0:
            np.multiply(above, learning_rate, out=above)
        np.subtract(value, above, out=value)
