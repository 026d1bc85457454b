"""Which buffer words the windows of CONV and POOL read: addresses, and taps that fall into the padding.

Rows and columns are independent: a tap's word is base + row part + column part, and it is inside when its
row and its column both are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hw.contract.depthwise import tap_blocks
from hw.contract.isa import ConvInstruction, Mode, PoolInstruction, SetupInstruction
from hw.contract.paired import tap_pairs

AT_ONCE = 1 << 22
"""Values that are gathered at once: more than any tile of a preset has, and what bounds the memory for others."""


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: rows or columns.

    count, taps: outputs and taps.  stride, dilation: input positions from output to output, tap to tap.
    step, tap_step: words from output to output, tap to tap.  offset: input position of output 0, tap 0.
    size: input positions present, from 0.
    """

    count: int
    taps: int
    stride: int
    dilation: int
    step: int
    tap_step: int
    offset: int
    size: int

    def words(self) -> np.ndarray:
        """Offset in words of each (output, tap): int64 (count, taps)."""
        return np.add.outer(np.arange(self.count) * self.step, np.arange(self.taps) * self.tap_step)

    def inside(self) -> np.ndarray:
        """Whether each (output, tap) is present: bool (count, taps)."""
        positions = np.add.outer(np.arange(self.count) * self.stride, np.arange(self.taps) * self.dilation)
        positions += self.offset
        return (positions >= 0) & (positions < self.size)


@dataclass(frozen=True)
class TapGrid:
    """The taps of a window at every place where it stands; pixels and taps are counted row by row."""

    rows: Axis
    columns: Axis

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.rows.count * self.columns.count

    @property
    def taps(self) -> int:
        """Taps of one pixel."""
        return self.rows.taps * self.columns.taps


@lru_cache(maxsize=64)
def touched(grid: TapGrid, depth: int, groups: int = 1, group_step: int = 0) -> np.ndarray:
    """Words of a ring of `depth` that a grid reads, counted from its base: int64, sorted, each once; shared.

    groups, group_step: it is laid so often over the ring, so many words apart.
    """
    rows, columns = (np.unique(axis.words()[axis.inside()] % depth) for axis in (grid.rows, grid.columns))
    steps = np.unique(np.arange(groups) * group_step % depth)
    return _sums(_sums(rows, columns, depth), steps, depth)


def _sums(left: np.ndarray, right: np.ndarray, depth: int) -> np.ndarray:
    """Words of a ring that are a sum of one of each: int64, sorted, each once."""
    found = np.zeros(depth, bool)
    step = max(1, AT_ONCE // max(1, len(right)))
    for k in range(0, len(left), step):
        found[np.add.outer(left[k : k + step], right) % depth] = True
    return np.flatnonzero(found)


def slices(pixels: int, values: int) -> Iterator[tuple[int, int]]:
    """Pixels in parts that have AT_ONCE values at most, where each has `values`: (first, behind the last)."""
    step = max(1, AT_ONCE // values)
    return ((k, min(k + step, pixels)) for k in range(0, pixels, step))


@lru_cache(maxsize=64)
def gather(grid: TapGrid, first: int, end: int) -> tuple[np.ndarray, np.ndarray | None]:
    """What every tap of the pixels from `first` to before `end` reads.

    Returns offsets in words from the base, int64 (pixels, taps), and whether the tap is inside, bool of the
    same shape, or None where all are.  The arrays are shared: not to be written to.
    """
    row, column = np.divmod(np.arange(first, end), grid.columns.count)
    shape = (end - first, grid.taps)
    words = grid.rows.words()[row][:, :, None] + grid.columns.words()[column][:, None, :]
    inside = grid.rows.inside()[row][:, :, None] & grid.columns.inside()[column][:, None, :]
    return words.reshape(shape), None if inside.all() else inside.reshape(shape)


def conv_grid(setup: SetupInstruction, conv: ConvInstruction) -> TapGrid:
    """The grid of a CONV under its SETUP; its base is `activation_base` + group * `group_step`."""
    return TapGrid(
        Axis(
            count=conv.out_rows,
            taps=setup.kernel_rows,
            stride=setup.stride_rows,
            dilation=setup.dilation_rows,
            step=setup.row_step,
            tap_step=setup.tap_row_step,
            offset=conv.row_offset,
            size=conv.in_rows,
        ),
        Axis(
            count=conv.out_columns,
            taps=setup.kernel_columns,
            stride=setup.stride_columns,
            dilation=setup.dilation_columns,
            step=setup.stride_columns,
            tap_step=setup.dilation_columns,
            offset=conv.column_offset,
            size=setup.in_columns,
        ),
    )


def group_passes(setup: SetupInstruction) -> int:
    """Passes that a CONV under a SETUP makes for each input group."""
    if setup.mode == Mode.DEPTHWISE:
        return tap_blocks(setup.kernel_rows, setup.kernel_columns, setup.dilation_rows, setup.dilation_columns)
    if setup.mode == Mode.PAIRED:
        return tap_pairs(setup.kernel_rows, setup.kernel_columns)
    return setup.kernel_rows * setup.kernel_columns


def conv_passes(setup: SetupInstruction, conv: ConvInstruction) -> int:
    """Passes of a CONV under its SETUP: one for each weight block, and one of a second output group, which has none."""
    return max(1, weight_blocks(setup, conv))


def weight_blocks(setup: SetupInstruction, conv: ConvInstruction) -> int:
    """Weight blocks of a CONV under its SETUP."""
    return conv.blocks or conv.input_groups * group_passes(setup)


def pool_grid(pool: PoolInstruction) -> TapGrid:
    """The grid of a POOL; its base is `base`."""
    return TapGrid(
        Axis(
            count=pool.out_rows,
            taps=pool.kernel_rows,
            stride=pool.stride_rows,
            dilation=1,
            step=pool.row_step,
            tap_step=pool.tap_row_step,
            offset=pool.row_offset,
            size=pool.in_rows,
        ),
        Axis(
            count=pool.out_columns,
            taps=pool.kernel_columns,
            stride=pool.stride_columns,
            dilation=1,
            step=pool.stride_columns,
            tap_step=1,
            offset=pool.column_offset,
            size=pool.in_columns,
        ),
    )
