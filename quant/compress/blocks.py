"""Weights that go together: a block is one tap of the kernel, some inputs, some outputs, as the engine's array has
them.

A single weight is a block of one input and one output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

Taps = tuple[int, int]
"""Rows and columns of a kernel."""


class Block(NamedTuple):
    """How many neighbouring inputs and outputs a block has; at the end of a layer, fewer.

    taps: of the kernel, those that lie beside the inputs, as if they were inputs, too: (1, 1), all of a row, or all of
    the kernel.  The engine folds first layers so, whose inputs are fewer than its lanes.
    folded: the taps of such layers, by name.
    """

    inputs: int
    outputs: int
    taps: Taps = (1, 1)
    folded: Mapping[str, Taps] = {}  # not changed, and JSON knows it: checkpoints of trainings are named for it

    def of(self, layer: str) -> Block:
        """The blocks of a layer."""
        return Block(self.inputs, self.outputs, self.folded.get(layer, self.taps))

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """Values (O, I, KH, KW) with the taps of the block beside the inputs: (O, taps * I, rows, columns)."""
        outputs, inputs, height, width = values.shape
        rows, columns = self.taps
        apart = values.reshape(outputs, inputs, height // rows, rows, width // columns, columns)
        beside = apart.transpose(0, 3, 5, 1, 2, 4)
        return beside.reshape(outputs, rows * columns * inputs, height // rows, width // columns)

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums over blocks.  values: (O, I, KH, KW).  Returns (blocks of O, blocks of I, KH, KW), as `arranged`."""
        rows = np.add.reduceat(self.arranged(values), np.arange(0, values.shape[0], self.outputs), axis=0)
        found: np.ndarray = np.add.reduceat(rows, np.arange(0, rows.shape[1], self.inputs), axis=1)
        return found

    def sizes(self, shape: tuple[int, ...]) -> np.ndarray:
        """How many weights each block has, float64, for weights of a shape (O, I, KH, KW)."""
        return self.summed(np.ones(shape))

    def spread(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The value of each weight's block: the inverse of `summed`, (O, I, KH, KW)."""
        outputs, inputs, height, width = shape
        rows, columns = self.taps
        every = np.repeat(np.repeat(values, self.outputs, 0), self.inputs, 1)[:outputs, : rows * columns * inputs]
        beside = every.reshape(outputs, rows, columns, inputs, height // rows, width // columns)
        return beside.transpose(0, 3, 4, 1, 5, 2).reshape(shape)


SINGLE = Block(1, 1)
