"""Depthwise passes: the taps that one takes at once, where their weights lie, and how long a pass is.

In mode DEPTHWISE a pass multiplies up to TAP_ROWS x TAP_COLUMNS words of an input group, lane by lane.  It goes down
one column of pixels after the other and reads at each position TAP_COLUMNS words of one input row; the rows above it
are those of the positions before.  So where a kernel has several rows, a column of pixels has TAP_ROWS - 1 positions
before its first pixel, and further down only every stride-th position is a pixel.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

TAP_ROWS, TAP_COLUMNS = 3, 3
TAPS = TAP_ROWS * TAP_COLUMNS
"""Taps of a pass."""
BANKS = 4
"""Memories of the activation buffer (more where a beat has more words, `hw.contract.config`), word w in memory
w % BANKS: TAP_COLUMNS words that follow each other are in different ones."""

Ints = TypeVar("Ints", int, np.ndarray)


def slides(kernel_rows: Ints, dilation_rows: Ints) -> Ints:
    """Whether a pass takes TAP_ROWS rows of taps, those of the positions before (bool); else it takes one."""
    return (kernel_rows > 1) & (dilation_rows == 1)


def block_rows(kernel_rows: Ints, dilation_rows: Ints) -> Ints:
    """Rows of taps of a pass."""
    return 1 + (TAP_ROWS - 1) * slides(kernel_rows, dilation_rows)


def block_columns(dilation_columns: Ints) -> Ints:
    """Columns of taps of a pass: neighbours, so only one where taps lie apart."""
    return 1 + (TAP_COLUMNS - 1) * (dilation_columns == 1)


def tap_blocks(rows: Ints, columns: Ints, dilation_rows: Ints, dilation_columns: Ints) -> Ints:
    """Passes that a kernel takes for each input group."""
    return -(-rows // block_rows(rows, dilation_rows)) * -(-columns // block_columns(dilation_columns))


def meets(kernel_rows: Ints, row_offset: Ints, out_rows: Ints, stride_rows: Ints, in_rows: Ints) -> Ints:
    """Whether the first and the last row that a column of pixels reads are padding, so that the last row of a column
    can be the first one of the next (bool): CONV.meet."""
    last = row_offset + (out_rows - 1) * stride_rows + TAP_ROWS - 1
    return (kernel_rows <= TAP_ROWS) & (row_offset < 0) & (last >= in_rows)


def positions(out_rows: Ints, out_columns: Ints, stride_rows: Ints, meet: Ints) -> Ints:
    """Positions of a pass of TAP_ROWS rows of taps."""
    column = (out_rows - 1) * stride_rows + TAP_ROWS
    return out_columns * column - meet * (out_columns - 1)


def in_blocks(taps: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """Weights (..., rows, columns, N) of the taps of a kernel to (..., passes, TAPS, N); what no tap has is 0.

    The row read last is the last of TAP_ROWS: there are the taps of a pass of one row.
    """
    *before, rows, columns, lanes = taps.shape
    high, wide = block_rows(rows, dilation[0]), block_columns(dilation[1])
    down, across = -(-rows // high), -(-columns // wide)
    whole = np.zeros((*before, down * high, across * wide, lanes), taps.dtype)
    whole[..., :rows, :columns, :] = taps
    split = np.swapaxes(whole.reshape(*before, down, high, across, wide, lanes), -4, -3)
    blocks = np.zeros((*before, down, across, TAP_ROWS, TAP_COLUMNS, lanes), taps.dtype)
    blocks[..., TAP_ROWS - high :, :wide, :] = split
    return blocks.reshape(*before, down * across, TAPS, lanes)


def from_blocks(blocks: np.ndarray, rows: int, columns: int, dilation: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Inverse of `in_blocks`: the taps of a kernel, and whether what is beyond them is 0."""
    *before, _, _, lanes = blocks.shape
    high, wide = block_rows(rows, dilation[0]), block_columns(dilation[1])
    down, across = -(-rows // high), -(-columns // wide)
    split = blocks.reshape(*before, down, across, TAP_ROWS, TAP_COLUMNS, lanes)
    found = np.swapaxes(split[..., TAP_ROWS - high :, :wide, :], -4, -3)
    taps = found.reshape(*before, down * high, across * wide, lanes)[..., :rows, :columns, :]
    return taps, np.count_nonzero(taps) == np.count_nonzero(blocks)
