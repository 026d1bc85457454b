"""What the compute unit does: SETUP and CONV in NumPy, with their cycles by the rules of docs/architecture.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from hw.contract import timing
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Instruction, Mode, Opcode
from hw.contract.parameters import parameters_of
from hw.contract.weights import gateware_format, weight_format
from quant.ir.fixedpoint import requantize
from tests.hw.gateware.helpers.build import settings

CONFIG: AcceleratorConfig = settings()["config"]
SIZES, WEIGHTS = CONFIG.derived, gateware_format(CONFIG)
N, M = CONFIG.ic_lanes, CONFIG.oc_lanes
LANE, WEIGHT = (np.dtype(f"<{kind}{SIZES.lane_bytes}") for kind in "ui")
"""Of an activation in its buffer; of a weight."""
WHOLE = WEIGHTS.number
"""The weight format of what the multipliers take."""
PAIRS = 4
"""That of two output groups whose weights, of 4 bits, share multipliers."""


@dataclass
class Buffers:
    """Contents of the buffers, as words of lanes (activation, residual) and bytes (weight)."""

    activation: np.ndarray
    weight: np.ndarray
    residual: np.ndarray

    @staticmethod
    def randomized(rng: np.random.Generator) -> Buffers:
        def corners_among(*shape: int) -> np.ndarray:
            middle = 1 << 8 * SIZES.lane_bytes - 1
            values = rng.integers(0, 2 * middle, shape)
            corners = rng.choice([0, 1, middle - 1, middle, middle + 1, 2 * middle - 1], shape)
            return np.where(rng.random(shape) < 0.25, corners, values).astype(LANE)

        return Buffers(
            corners_among(CONFIG.activation_depth, N),
            corners_among(CONFIG.weight_depth * SIZES.beat_bytes // SIZES.lane_bytes).view(np.uint8),
            corners_among(CONFIG.residual_depth, M),
        )


@dataclass
class Expectation:
    """What the unit does, by cycle, when instruction i is at the queue's head from cycle `offered[i]` on."""

    ready: dict[int, int] = field(default_factory=dict)
    done: dict[int, int] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    outputs: dict[int, tuple[int, int]] = field(default_factory=dict)
    pools: dict[int, tuple[int, int]] = field(default_factory=dict)

    def in_flight(self) -> list[int]:
        """How many instructions are under way, by cycle."""
        changes = Counter(start + 1 for start in self.starts)
        changes.subtract(end + 1 for end in self.ends)
        return list(accumulate(changes[cycle] for cycle in range(max(self.ends) + 4)))


class Reference:
    """Executes instructions in NumPy and keeps their time by the rules of docs/architecture.md."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers
        self.setup: Instruction | None = None
        self.kept = np.zeros((CONFIG.partial_sum_depth, M), np.int64)
        self.sums = self.kept[:0]
        self.kept_beside = np.zeros_like(self.kept)  # of second output groups
        self.shift = np.zeros(M, np.int64)
        self.table = np.zeros(256, np.int64)
        self.codebook = np.zeros(16, np.int64)
        self.passes_end = 0
        self.prepare_free = 0
        self.occupied: list[tuple[int, int]] = []
        self.expected = Expectation()

    def run(self, program: list[Instruction], offered: list[int]) -> Expectation:
        e = self.expected
        for i, head in enumerate(program):
            earliest = max(offered[i], e.starts[-1] + timing.QUEUE_INTERVAL if e.starts else 0)
            start = earliest
            while not self.is_ready(start):
                start += 1
            e.starts.append(start)
            if head.opcode == Opcode.SETUP:
                self.take(head, start)
                e.ends.append(start + 1)
                e.done.setdefault(start + 1, 0)
            else:
                e.ends.append(self.conv(head, start))
                e.done[e.ends[-1]] = head.signal
        return e

    def take(self, setup: Instruction, start: int) -> None:
        self.setup, weight = setup, self.buffers.weight
        if setup.table_load:
            data = weight[(setup.table_base * SIZES.beat_bytes + np.arange(512)) % weight.size].astype(np.int64)
            self.table = data[::2] + 256 * data[1::2]
            self.prepare_free = start + 1 + 512 // 4
            self.occupied.append((start, self.prepare_free))

    def is_ready(self, cycle: int) -> bool:
        before = cycle - timing.FRONT_LATENCY
        return before >= self.prepare_free and sum(before <= end for end in self.expected.ends) < 2

    def conv(self, c: Instruction, start: int) -> int:
        s = self.setup
        pixels = c.out_rows * c.out_columns
        high, wide = at_once(s)
        passes = c.blocks or c.input_groups * -(-s.kernel_rows // high) * -(-s.kernel_columns // wide) or 1
        listed = c.blocks > 0
        weights = weight_format(s.weight_format)
        parameters, codebook = bool(c.first or c.reload), bool(c.codebook)
        prepare = timing.compute_prepare(CONFIG, weights, parameters, s.mode, listed, codebook, not c.input_groups)
        begin = max(start + prepare, self.passes_end)
        before, last = timing.compute_passes(
            CONFIG, weights, passes, len(positions(s, c)), bool(c.last), bool(s.wide), s.mode, listed
        )
        self.passes_end = begin + before + last
        self.prepare_free = begin + before
        self.occupied.append((start, self.prepare_free))
        self.accumulate(c, pixels)
        if c.last:
            self.results(c, begin + before)
        return self.passes_end + timing.compute_latency(CONFIG)

    def accumulate(self, c: Instruction, pixels: int) -> None:
        s, b = self.setup, self.buffers
        base = c.weight_base * SIZES.beat_bytes
        where = (c.partial_base + np.arange(pixels)) % len(self.kept)
        self.sums = self.kept[where]
        self.beside = self.kept_beside[where] * (not c.first)
        if c.first or c.reload:
            block = b.weight[(base + np.arange(8 * M)) % b.weight.size]
            base += 8 * M
            bias, self.shift, residual_shift = parameters_of(block)
            if c.first:
                self.sums[:] = bias
            if c.first and c.residual and not s.product:
                self.sums += self.residuals(c) << residual_shift
        if c.codebook:
            self.codebook = b.weight[(base + np.arange(16)) % b.weight.size].view(np.int8).astype(np.int64)
            base += max(16, SIZES.beat_bytes)
        for g in range(0 if c.blocks else c.input_groups):
            if s.mode == Mode.DEPTHWISE:
                base = self.depthwise(c, g, base)
                continue
            for ky in range(s.kernel_rows):
                for kx in range(0, s.kernel_columns, at_once(s)[1]):
                    weights, base = self.block(base)
                    words = self.words(c, g, ky, kx)
                    if s.mode == Mode.PAIRED:
                        words = np.hstack([words[:, : N // 2], self.words(c, g, ky, kx + 1)[:, : N // 2]])
                    self.multiply(words, weights)
        self.listed(c, base)
        if not c.input_groups:
            self.sums += self.kept_beside[where]
        elif s.weight_format == PAIRS:
            self.kept_beside[where] = wrapped(self.beside)
        self.sums = wrapped(self.sums)
        self.kept[where] = self.sums

    def listed(self, c: Instruction, base: int) -> None:
        """The passes of listed blocks: their tags, 16 bits each, fill a beat ahead of as many blocks."""
        weight, each = self.buffers.weight, SIZES.beat_bytes // 2
        for k in range(c.blocks):
            if k % each == 0:
                low, high = weight[(base + np.arange(2 * each)) % weight.size].astype(int).reshape(-1, 2).T
                tags, base = low + 256 * high, base + SIZES.beat_bytes
            tag = int(tags[k % each])
            weights, base = self.block(base)
            self.multiply(self.words(c, tag >> 10, tag >> 5 & 31, tag & 31), weights)

    def multiply(self, words: np.ndarray, weights: np.ndarray) -> None:
        """A pass of words, (pixels, N), with a block."""
        if self.setup.weight_format == PAIRS:
            low = (weights + 8 & 15) - 8
            self.sums += words @ low
            self.beside += words @ (((weights - low >> 4) + 8 & 15) - 8)
        else:
            self.sums += words @ weights

    def block(self, base: int) -> tuple[np.ndarray, int]:
        """A dense block, (N, M), and where it ends: weights for the multipliers, a pair in each, or 2 or 4 indices in a
        byte."""
        weight, whole = self.buffers.weight, self.setup.weight_format in (WHOLE, PAIRS)
        each = 1 if whole else (1, 2, 4)[self.setup.weight_format]
        size = N * M * SIZES.lane_bytes if whole else N * M // each
        data = weight[(base + np.arange(size)) % weight.size]
        if whole:
            return data.view(WEIGHT).reshape(N, M).astype(np.int64), base + size
        bits = 8 // each
        indices = np.stack([data >> bits * k & (1 << bits) - 1 for k in range(each)], axis=1)
        return self.codebook[indices].reshape(N, M), base + size

    def residuals(self, c: Instruction) -> np.ndarray:
        """Of all pixels, (pixels, M)."""
        pixels = np.arange(c.out_rows * c.out_columns) * (not self.setup.broadcast)
        words = self.buffers.residual[(c.residual_base + pixels) % CONFIG.residual_depth]
        return integers(words, self.setup.residual_signed)

    def words(self, c: Instruction, g: int, ky: int, kx: int) -> np.ndarray:
        """What a tap of an input group sees of all pixels, (pixels, N)."""
        s, b = self.setup, self.buffers
        rows, columns = np.divmod(np.arange(c.out_rows * c.out_columns), c.out_columns)
        down, across = (1, 1) if c.blocks else (s.dilation_rows, s.dilation_columns)
        address = c.activation_base + g * c.group_step + ky * s.tap_row_step + kx * across
        address = address + rows * s.row_step + columns * s.stride_columns
        y = c.row_offset + ky * down + rows * s.stride_rows
        x = c.column_offset + kx * across + columns * s.stride_columns
        words = b.activation[address % CONFIG.activation_depth]
        inside = (y >= 0) & (y < c.in_rows) & (x >= 0) & (x < s.in_columns)
        return integers(np.where(inside[:, None], words, np.array(s.pad_value).astype(LANE)), s.input_signed)

    def depthwise(self, c: Instruction, g: int, base: int) -> int:
        """The passes of an input group, all taps of a block each, though the kernel have fewer; where its weights end.

        A block of one row has the last three taps, one of one column the first of each row.
        """
        s, b = self.setup, self.buffers
        high, wide = at_once(s)
        for block_row in range(0, s.kernel_rows, high):
            for block_column in range(0, s.kernel_columns, wide):
                weights = b.weight[(base + np.arange(9 * N * SIZES.lane_bytes)) % b.weight.size]
                weights = weights.view(WEIGHT).reshape(9, N)
                base += WEIGHTS.block_beats(CONFIG, 1) * SIZES.beat_bytes
                for row, column in np.ndindex(high, wide):
                    words = self.words(c, g, block_row + row, block_column + column)
                    tap = (3 - high + row) * 3 + column
                    factors = weights[tap].astype(np.int64)
                    if s.product and tap == 6:
                        factors = self.residuals(c)[:, g * N : (g + 1) * N]
                    self.sums[:, g * N : (g + 1) * N] += words * factors
        return base

    def results(self, c: Instruction, begin: int) -> None:
        s = self.setup
        values = requantize(self.sums, self.shift, s.low, s.high)
        values = self.table[values & 255] if s.table else values
        step = 2 if s.wide else 1
        pixels, whole = len(values), SIZES.words_per_beat
        for place, p in enumerate(positions(s, c)):
            if p is None:
                continue
            at = begin + place * step + timing.compute_latency(CONFIG)
            for part in range(step):
                word = int.from_bytes((values[p] >> CONFIG.data_bits * part).astype(LANE).tobytes(), "little")
                offset = p + part * (-(-pixels // whole) * whole)
                if c.to_output:
                    address = (c.output_base + offset) % CONFIG.output_depth
                    self.expected.outputs[at + part] = (address, word)
                if c.to_pool:
                    address = (c.pool_base + offset) % CONFIG.pool_depth
                    self.expected.pools[at + part] = (address, word)


def wrapped(sums: np.ndarray) -> np.ndarray:
    """Sums as the accumulators hold them."""
    half = 1 << (CONFIG.acc_bits - 1)
    found: np.ndarray = ((sums + half) & (2 * half - 1)) - half
    return found


def integers(words: np.ndarray, signed: int) -> np.ndarray:
    """What lanes stand for: int64, same shape."""
    return words.view(WEIGHT if signed else LANE).astype(np.int64)


def at_once(s: Instruction) -> tuple[int, int]:
    """Rows and columns of taps of a pass."""
    rows = 3 if s.mode == Mode.DEPTHWISE and s.kernel_rows > 1 and s.dilation_rows == 1 else 1
    return rows, (1, 3, 2)[s.mode] if s.dilation_columns == 1 else 1


def positions(s: Instruction, c: Instruction) -> list[int | None]:
    """What is issued in the cycles of a pass: pixels, by number, down each column; None where rows are read ahead."""
    column: list[int | None]
    found: list[int | None] = []
    for x in range(c.out_columns):
        if at_once(s)[0] == 1:
            column = [y * c.out_columns + x for y in range(c.out_rows)]
        else:
            column = [None] * ((c.out_rows - 1) * s.stride_rows + 3)
            column[2 :: s.stride_rows] = [y * c.out_columns + x for y in range(c.out_rows)]
        found += column[1:] if x and c.meet else column
    return found
