"""Listed weight blocks: a CONV that leaves blocks out says of the others which they are.

A block of zeros adds nothing to any sum.  CONV.blocks is how many blocks a CONV has, or 0 where it has one for each tap
of each of its input groups.  Listed blocks come in the order of these, and a tag says of each which it is.  Tags stand
in beats between the blocks, each ahead of the blocks whose tags it holds, the first one's in its lowest bits.  So what
a CONV takes, in beats and in cycles, is known from the instruction alone, and which data it meets from the weights.
"""

from __future__ import annotations

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.weights.format import WeightFormat

COLUMN_BITS, ROW_BITS, GROUP_BITS = 5, 5, 6
"""Of a tag, from its lowest bit on: column and row of the tap in the kernel, input group of the CONV."""
TAG_BITS = COLUMN_BITS + ROW_BITS + GROUP_BITS
_TAG = np.dtype("<u2")
LONGEST_KERNEL = 1 << min(COLUMN_BITS, ROW_BITS)
"""Rows, and columns, of taps that tags tell apart."""
MOST_GROUPS = 1 << GROUP_BITS
"""Input groups that they tell apart."""


def beat_tags(config: AcceleratorConfig) -> int:
    """Tags that a beat holds."""
    return config.axi_bits // TAG_BITS


def stream_beats(
    config: AcceleratorConfig, weights: WeightFormat, blocks: int, listed: bool, mode: int = Mode.DENSE
) -> int:
    """Beats of so many blocks of a CONV, with their tags if they are listed; without what lies ahead of them."""
    return blocks * weights.block_beats(config, mode) + listed * tag_beats(config, blocks)


def tag_beats(config: AcceleratorConfig, blocks: int) -> int:
    """Beats of the tags of so many blocks; of a number, or of an array of them."""
    return -(-blocks // beat_tags(config))


def encode_listed(
    weights: WeightFormat, blocks: np.ndarray, taps: np.ndarray, kernel: tuple[int, int], config: AcceleratorConfig
) -> bytes:
    """Blocks with their tags as the bytes of a CONV.

    blocks: integers (n, M, N).  taps: int64 (n,), of each the number of its tap, those of input group after input
    group.  kernel: rows and columns of these.
    """
    group, tap = np.divmod(taps, kernel[0] * kernel[1])
    row, column = np.divmod(tap, kernel[1])
    tags = np.zeros(tag_beats(config, len(taps)) * beat_tags(config), _TAG)
    tags[: len(taps)] = column | row << COLUMN_BITS | group << COLUMN_BITS + ROW_BITS
    beats = np.frombuffer(weights.encode(blocks, config), np.uint8).reshape(-1, config.derived.beat_bytes)
    ahead = np.arange(0, len(taps), beat_tags(config)) * weights.block_beats(config)
    return np.insert(beats, ahead, tags.view(np.uint8).reshape(-1, config.derived.beat_bytes), axis=0).tobytes()


def decode_listed(
    weights: WeightFormat, data: np.ndarray, blocks: int, kernel: tuple[int, int], config: AcceleratorConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of encode_listed: from uint8 (bytes,) the blocks, (blocks, M, N), and their taps, int64 (blocks,).

    Raises ValueError for a tag whose row or column is none of the kernel's, and for tags that do not ascend.
    """
    beats = data.reshape(-1, config.derived.beat_bytes)
    where = np.arange(tag_beats(config, blocks)) * (beat_tags(config) * weights.block_beats(config) + 1)
    tags = np.ascontiguousarray(beats[where]).reshape(-1).view(_TAG)[:blocks].astype(np.int64)
    column, row = tags & (1 << COLUMN_BITS) - 1, tags >> COLUMN_BITS & (1 << ROW_BITS) - 1
    if (row >= kernel[0]).any() or (column >= kernel[1]).any():
        raise ValueError(f"lists a block of row {row.max()}, column {column.max()} of a kernel of {kernel}")
    taps = ((tags >> COLUMN_BITS + ROW_BITS) * kernel[0] + row) * kernel[1] + column
    if (np.diff(taps) <= 0).any():
        raise ValueError("lists blocks out of order")
    return weights.decode(np.delete(beats, where, axis=0).reshape(-1), config), taps
