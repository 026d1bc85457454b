"""Weights that go together: a block is one tap of the kernel, some inputs, some outputs, as the engine's array has
them.

A single weight is a block of one input and one output.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """How many neighbouring inputs and outputs a block has; at the end of a layer, fewer."""

    inputs: int
    outputs: int

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums over blocks.  values: (O, I, KH, KW).  Returns (blocks of O, blocks of I, KH, KW)."""
        rows = np.add.reduceat(values, np.arange(0, values.shape[0], self.outputs), axis=0)
        found: np.ndarray = np.add.reduceat(rows, np.arange(0, values.shape[1], self.inputs), axis=1)
        return found

    def sizes(self, shape: tuple[int, ...]) -> np.ndarray:
        """How many weights each block has, float64, for weights of a shape (O, I, KH, KW)."""
        return self.summed(np.ones(shape))

    def spread(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The value of each weight's block: the inverse of `summed`, (O, I, KH, KW)."""
        every = np.repeat(np.repeat(values, self.outputs, 0), self.inputs, 1)
        return every[: shape[0], : shape[1]]


SINGLE = Block(1, 1)
