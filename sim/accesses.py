"""How many bytes the instructions of a program read and write in on-chip buffers; time plays no part."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_ROWS, block_columns, slides
from hw.contract.isa import (
    ConvInstruction,
    Instruction,
    LoadInstruction,
    Mode,
    PoolInstruction,
    SetupInstruction,
    StoreInstruction,
    Target,
)
from hw.contract.paired import PAIR
from hw.contract.program import Program
from hw.contract.weights import weight_format
from hw.contract.weights.listed import stream_beats
from hw.contract.widths import bytes_of
from sim.taps import TapGrid, conv_grid, conv_passes, group_passes, pool_grid, weight_blocks


def buffer_bytes(program: Program) -> Counter[int]:
    """Bytes read and written in all buffers, by the layer that instructions name.

    Raises BadInput for a program that no engine can run.
    """
    found: Counter[int] = Counter()
    setup = SetupInstruction()
    for i in program.decode():
        if isinstance(i, SetupInstruction):
            setup = i
        found[i.layer] += _bytes(program.config, i, setup)
    return found


def _bytes(config: AcceleratorConfig, i: Instruction, setup: SetupInstruction) -> int:
    d = config.derived
    result = config.oc_lanes * d.lane_bytes  # of one pixel, M channels
    if isinstance(i, LoadInstruction):
        return i.rows * i.beats * d.beat_bytes
    if isinstance(i, StoreInstruction):
        return i.planes * i.rows * i.words * d.word_bytes * (1 if i.target == Target.MEMORY else 2)
    if isinstance(i, PoolInstruction):
        grid = pool_grid(i)
        return (_present(grid) + grid.pixels * (1 + i.wide)) * result
    if isinstance(i, SetupInstruction):
        return i.table_load * d.table_bytes
    if not isinstance(i, ConvInstruction):
        return 0
    grid = conv_grid(setup, i)
    passes, every = conv_passes(setup, i), i.input_groups * group_passes(setup)
    format_ = weight_format(setup.weight_format)
    beats = stream_beats(config, format_, weight_blocks(setup, i), i.blocks > 0, setup.mode)
    ahead = (d.parameter_beats if i.first or i.reload else 0) + i.codebook * d.codebook_beats
    weights = (beats + ahead) * d.beat_bytes
    # Each pass reads and writes the sums, but the first of a tile starts from the bias, and the last hands them on.
    moves = 2 * passes - i.first - i.last
    if i.second:  # read once
        moves = 1
    elif format_.groups > 1:  # those of the second output group are written by the last pass, too
        moves += 2 * passes - i.first
    sums = grid.pixels * moves * config.oc_lanes * bytes_of(config.acc_bits)
    results = i.first * i.residual + i.last * (i.to_output * (1 + setup.wide) + i.to_pool)
    read = _present(_read(grid, setup.mode))
    # Of listed blocks, as many as blocks have in the mean.
    words = 0 if i.second else i.input_groups * read * passes // every
    return words * d.word_bytes + weights + sums + grid.pixels * results * result


def _read(grid: TapGrid, mode: int) -> TapGrid:
    """What passes read for a grid: whole blocks of columns of taps, and where depthwise ones slide, each row of a
    column of pixels once in a pass."""
    rows, columns = grid.rows, grid.columns
    wide = {Mode.DENSE: 1, Mode.DEPTHWISE: block_columns(columns.dilation), Mode.PAIRED: PAIR}[Mode(mode)]
    columns = replace(columns, taps=-(-columns.taps // wide) * wide)
    if mode == Mode.DEPTHWISE and slides(rows.taps, rows.dilation):
        down, walked = -(-rows.taps // TAP_ROWS), (rows.count - 1) * rows.stride + TAP_ROWS
        rows = replace(rows, count=walked, stride=1, taps=down, dilation=TAP_ROWS)
    return TapGrid(rows, columns)


def _present(grid: TapGrid) -> int:
    """Taps of all pixels that are not padding."""
    return int(grid.rows.inside().sum()) * int(grid.columns.inside().sum())
