"""Paired passes: dense ones of inputs thinner than the lanes, which take two taps of a kernel row at once.

In mode PAIRED the upper half of the input lanes multiplies the lower half of the next word: the activation buffer reads
neighbouring words anyway (`hw.contract.depthwise`).  So an input group of N / 2 channels fills the array, and a kernel
takes half as many passes, and weight blocks.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Mode

PAIR = 2
"""Taps of a pass, neighbours in a row of the kernel."""


def modes(config: AcceleratorConfig) -> tuple[Mode, ...]:
    """Those that an engine has: one of a single input lane has no halves that could take two taps."""
    return tuple(mode for mode in Mode if mode is not Mode.PAIRED or config.ic_lanes >= PAIR)


Ints = TypeVar("Ints", int, np.ndarray)


def tap_pairs(rows: Ints, columns: Ints) -> Ints:
    """Passes that a kernel takes for each input group."""
    return rows * -(-columns // PAIR)


def in_pairs(taps: np.ndarray) -> np.ndarray:
    """Weights (..., rows, columns, M, N) of the taps of a kernel, whose upper input lanes have none, to the blocks of
    its passes, (..., passes, M, N); a last tap without a neighbour leaves the upper lanes 0."""
    *before, rows, columns, m, n = taps.shape
    across = -(-columns // PAIR)
    whole = np.zeros((*before, rows, across * PAIR, m, n // PAIR), taps.dtype)
    whole[..., :columns, :, :] = taps[..., : n // PAIR]
    split = whole.reshape(*before, rows * across, PAIR, m, n // PAIR)
    return np.ascontiguousarray(np.swapaxes(split, -3, -2)).reshape(*before, rows * across, m, n)


def from_pairs(blocks: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, bool]:
    """Inverse of `in_pairs`: the taps of a kernel, and whether what is beyond them is 0."""
    *before, _, m, n = blocks.shape
    across = -(-columns // PAIR)
    split = np.swapaxes(blocks.reshape(*before, rows * across, m, PAIR, n // PAIR), -3, -2)
    whole = split.reshape(*before, rows, across * PAIR, m, n // PAIR)
    taps = np.zeros((*before, rows, columns, m, n), blocks.dtype)
    taps[..., : n // PAIR] = whole[..., :columns, :, :]
    return taps, not whole[..., columns:, :, :].any()
