"""Depthwise passes: the taps that one takes at once, and how rows must lie for that.

In mode DEPTHWISE a pass multiplies TAP_ROWS x TAP_COLUMNS words of an input group, a word a tap, lane by lane, and adds
up the products of each lane.  It reads all of them in one cycle: the activation buffer is made of BANKS memories, word
w in memory w % BANKS, and rows lie so that no two of these words are in one memory (`apart`).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

TAP_ROWS, TAP_COLUMNS = 3, 3
TAPS = TAP_ROWS * TAP_COLUMNS
"""Taps of a pass; columns are one word apart, rows SETUP.tap_row_step."""
BANKS = 16
"""Memories of the activation buffer (more where a beat has more words, `hw.contract.config`)."""

Ints = TypeVar("Ints", int, np.ndarray)

_APART = np.array(
    [
        len({(row * step + column) % BANKS for row in range(TAP_ROWS) for column in range(TAP_COLUMNS)}) == TAPS
        for step in range(BANKS)
    ]
)


def apart(step: int | np.ndarray) -> np.ndarray:
    """Whether the words of a pass lie in different memories where tap rows are `step` words apart: bool."""
    return _APART[np.asarray(step) % BANKS]


def tap_blocks(rows: Ints, columns: Ints) -> Ints:
    """Passes that a kernel takes for each input group."""
    return -(-rows // TAP_ROWS) * -(-columns // TAP_COLUMNS)


def in_blocks(taps: np.ndarray) -> np.ndarray:
    """Weights (..., rows, columns, N) of the taps of a kernel to (..., passes, TAPS, N); what no tap has is 0."""
    *before, rows, columns, lanes = taps.shape
    down, across = -(-rows // TAP_ROWS), -(-columns // TAP_COLUMNS)
    whole = np.zeros((*before, down * TAP_ROWS, across * TAP_COLUMNS, lanes), taps.dtype)
    whole[..., :rows, :columns, :] = taps
    split = whole.reshape(*before, down, TAP_ROWS, across, TAP_COLUMNS, lanes)
    return np.swapaxes(split, -4, -3).reshape(*before, down * across, TAPS, lanes)


def from_blocks(blocks: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, bool]:
    """Inverse of `in_blocks`: the taps of a kernel, and whether what is beyond them is 0."""
    *before, _, _, lanes = blocks.shape
    down, across = -(-rows // TAP_ROWS), -(-columns // TAP_COLUMNS)
    split = blocks.reshape(*before, down, across, TAP_ROWS, TAP_COLUMNS, lanes)
    whole = np.swapaxes(split, -4, -3).reshape(*before, down * TAP_ROWS, across * TAP_COLUMNS, lanes)
    beyond = np.any(whole[..., rows:, :, :]) or np.any(whole[..., columns:, :])
    return whole[..., :rows, :columns, :], not beyond
