"""Random streams that begin anew at every step."""

from __future__ import annotations

import random

import numpy as np

__all__ = ["Stream", "fresh_seed"]

#: Numbers thrown away before the first: what SFC64's author does after seeding with three words (PractRand, Chris
#: Doty-Humphrey). Two seeds that differ in one bit then have nothing in common.
DISCARDED = 18


class Stream:
    """The random numbers of one use of a layer in one shard: a pure function of its key and the step.

    NumPy hashes the key into the three words of an SFC64 once; a step is added to the third. Setting the words takes 3
    us where a new generator takes 11, and 21 in the midst of other work.
    """

    __slots__ = ("_state", "_third", "_words", "generator")

    def __init__(self, *key: int) -> None:
        self.generator = np.random.Generator(np.random.SFC64(list(key)))
        self._state = self.generator.bit_generator.state
        self._words = self._state["state"]["state"]  # three words and a counter
        self._third = int(self._words[2])

    def begin(self, step: int) -> None:
        """Go to the beginning of the numbers of a step."""
        self._words[2] = (self._third + step) & 0xFFFF_FFFF_FFFF_FFFF
        self._words[3] = 1
        bits = self.generator.bit_generator
        bits.state = self._state
        bits.random_raw(DISCARDED, output=False)


def fresh_seed() -> int:
    """Return the seed of a model that was given none.

    It comes from Python's own random numbers, as Keras' seeds do, so that ``random.seed`` (and
    `miniDLF.utils.set_random_seed`) fix it.
    """
    return random.getrandbits(32)
