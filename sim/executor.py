"""The instruction-level executor: runs a program's bytes, one instruction after the other, bit-exact.

It reads what the engine reads, in the order of the program, and keeps the engine's buffers as rings of
words, so that every address, wrap, padding and partial beat of the program is exercised.  Time is not its
matter (`sim/cycles`), nor what else the tokens would allow (`sim/hazards.py`).  What a program is without its data
has been asked before (`hw/contract/validator.py`); here only data can still be at fault.
"""

from __future__ import annotations

import numpy as np

from hw.contract.config import CODEBOOK_ENTRIES, AcceleratorConfig
from hw.contract.depthwise import from_blocks
from hw.contract.isa import (
    Buffer,
    ConvInstruction,
    Instruction,
    LoadInstruction,
    Mode,
    PoolInstruction,
    SetupInstruction,
    Source,
    StoreInstruction,
    Target,
)
from hw.contract.layout import Placement
from hw.contract.paired import from_pairs
from hw.contract.parameters import parameters_of
from hw.contract.program import Program
from hw.contract.shifts import SHIFTS, residual_shifts
from hw.contract.table import table_of
from hw.contract.weights import WeightFormat, weight_format
from hw.contract.weights.codebook import codebook_of
from hw.contract.weights.listed import decode_listed, stream_beats
from quant.base.errors import VerificationError
from quant.ir.fixedpoint import Reciprocal
from quant.ir.inputs import Given, Image, single
from sim import datapath, hazards
from sim.taps import TapGrid, conv_grid, gather, pool_grid, slices, weight_blocks


class ExecutionError(VerificationError):
    """A program that cannot run on these data: one line with instruction, layer and reason."""


class _Fault(Exception):
    """What is wrong with the instruction that is running."""


def run(program: Program, x: Image, check: bool = False) -> dict[str, np.ndarray]:
    """Run a program on one image.

    x: integers (C, H, W) of the network's input, before folding, of several by name.  check: prove first that the
    tokens allow no other result (`sim.hazards.check`).
    Returns the integers of every tensor that the program leaves in memory, int64 (C, H, W), by name.
    Raises BadInput (no engine can run it), ExecutionError, VerificationError (hazard), ValueError (shape of x).
    """
    if check:
        hazards.check(program)
    return ProgramExecutor(program).run(x)


class ProgramExecutor:
    """Runs one program, image by image; instructions are decoded once.

    Raises BadInput for a program that no engine can run.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._instructions = list(program.decode())

    def run(self, x: Image) -> dict[str, np.ndarray]:
        """As `run`."""
        return {name: values[0] for name, values in self.run_batch(single(x)).items()}

    def run_batch(self, images: Given) -> dict[str, np.ndarray]:
        """Several images in one run, on memory that holds nothing but the program and these.

        images: integers (n, C, H, W), of each input, as many as the program's batch at most.
        Returns int64 (n, C, H, W) by name.
        """
        memory = self.memory(images)
        self.run_memory(memory)
        return {name: values[: len(images)] for name, values in self.tensors(memory).items()}

    def memory(self, images: Given) -> np.ndarray:
        """The memory window before a run: uint8 (memory_bytes,)."""
        program = self.program
        memory = np.zeros(program.memory_bytes, np.uint8)
        memory[: len(program.image)] = np.frombuffer(program.image, np.uint8)
        for address, data in program.packed(images):
            memory[address : address + len(data)] = np.frombuffer(data, np.uint8)
        return memory

    def tensors(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        """Every tensor of the program from a memory window: int64 (batch, C, H, W) by name."""

        def read(placement: Placement) -> np.ndarray:
            return memory[placement.address :][: placement.size(self.program.config)]

        return {name: self.program.tensor(name, read) for name in self.program.placements}

    def run_memory(self, memory: np.ndarray) -> None:
        """Run the program on a memory window, uint8 (memory_bytes,), in place.  Raises ExecutionError."""
        machine = _Machine(self.program.config, memory)
        for index, instruction in enumerate(self._instructions):
            try:
                machine.step(instruction)
            except (_Fault, ArithmeticError) as fault:
                raise ExecutionError(f"{self.program.describe(index)}: {fault}") from None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise _Fault(message)


def _require_shifts(what: str, found: np.ndarray, possible: range) -> None:
    low, high = int(found.min()), int(found.max())
    _require(
        low in possible and high in possible,
        f"shifts {what}by {low} to {high} bits, and the engine by {possible[0]} to {possible[-1]}",
    )


class _Machine:
    """The engine's state between instructions: memory, buffers, partial sums."""

    def __init__(self, config: AcceleratorConfig, memory: np.ndarray) -> None:
        c, d = config, config.derived
        self.config, self.memory = config, memory
        n, m = c.ic_lanes, c.oc_lanes
        lane = datapath.lane_type(c.data_bits, signed=False)
        self.activation = np.zeros((c.activation_depth, n), lane)
        self.weight = np.zeros((c.weight_depth, d.beat_bytes), np.uint8)
        self.residual = np.zeros((d.planes, c.residual_depth, n), lane)
        self.output = np.zeros((c.output_depth, m), lane)
        self.pool = np.zeros((c.pool_depth, m), lane)
        self.pooled = np.zeros((c.pooled_depth, m), lane)
        self.sums = np.zeros((c.partial_sum_depth, m), np.int64)
        self.second = np.zeros((c.partial_sum_depth, m), np.int64)  # sums of second output groups
        self.shift = np.zeros(m, np.int64)
        self.table = np.zeros(d.table_entries, np.int64)
        self.codebook = np.zeros(CODEBOOK_ENTRIES, np.int8)
        self.setup = SetupInstruction()

    def step(self, instruction: Instruction) -> None:
        match instruction:
            case LoadInstruction():
                self._load(instruction)
            case SetupInstruction():
                self._setup(instruction)
            case ConvInstruction():
                self._conv(instruction)
            case PoolInstruction():
                self._pool(instruction)
            case StoreInstruction():
                self._store(instruction)

    def _load(self, i: LoadInstruction) -> None:
        beat = self.config.derived.beat_bytes
        rows = np.arange(i.rows)
        source = np.add.outer(i.address + rows * i.pitch, np.arange(i.beats) * beat) // beat
        data = self.memory.reshape(-1, beat)[source]
        if i.target == Buffer.RESIDUAL:
            ring = self.residual.view(np.uint8).reshape(self.config.derived.planes, -1, beat)
            ring[rows[:, None], (i.destination + np.arange(i.beats)) % ring.shape[1]] = data
            return
        beats = self.weight if i.target == Buffer.WEIGHT else self.activation.view(np.uint8).reshape(-1, beat)
        beats[np.add.outer(i.destination + rows * i.destination_pitch, np.arange(i.beats)) % len(beats)] = data

    def _setup(self, i: SetupInstruction) -> None:
        self.setup = i
        if i.table_load:
            self.table = table_of(self._weight_beats(i.table_base, self.config.derived.table_beats), self.config)

    def _conv(self, i: ConvInstruction) -> None:
        setup = self.setup
        grid = conv_grid(setup, i)
        kept = hazards.partial_sums(i, len(self.sums))
        sums, weights = self._weights(i, self.sums[kept], setup)
        if setup.product:
            sums = sums + self._products(setup, i, grid)
            weights = np.zeros_like(weights)
        if i.second:
            sums = datapath.held(sums + self.second[kept], self.config.acc_bits)
        elif weight_format(setup.weight_format).groups > 1:
            beside = np.zeros_like(sums) if i.first else self.second[kept]
            sums = self._accumulated(setup, i, grid, sums, weights[:, 0::2])
            self.second[kept] = self._accumulated(setup, i, grid, beside, weights[:, 1::2])
        else:
            sums = self._accumulated(setup, i, grid, sums, weights)
        self.sums[kept] = sums
        if i.last:
            results = datapath.output_stage(sums, self.shift, setup.low, setup.high)
            if setup.table:
                results = self.table[results & (len(self.table) - 1)]
            if i.to_output:
                self._write(self.output, i.output_base, results, bool(setup.wide))
            if i.to_pool:
                self._write(self.pool, i.pool_base, results, False)

    def _accumulated(
        self, setup: SetupInstruction, i: ConvInstruction, grid: TapGrid, sums: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Sums, int64 (pixels, M), after the passes with some weights, (passes, M, N)."""
        return np.concatenate(
            [
                datapath.accumulate(
                    sums[first:end],
                    self._inputs(setup, i, grid, first, end),
                    weights,
                    self.config.acc_bits,
                    first,
                )
                for first, end in slices(grid.pixels, len(weights) * self.config.ic_lanes)
            ]
        )

    def _weights(self, i: ConvInstruction, sums: np.ndarray, setup: SetupInstruction) -> tuple[np.ndarray, np.ndarray]:
        """What the first pass of a CONV adds to, int64 (pixels, M), and its weights, (input groups * taps, M, N); those
        of two output groups, (input groups * taps, 2 M, N), lane by lane.

        sums: those that are kept for its pixels; with `first` they start anew.
        """
        c, d = self.config, self.config.derived
        weights = weight_format(setup.weight_format)
        passes, base = weight_blocks(setup, i), i.weight_base
        if i.first or i.reload:
            bias, self.shift, residual_shift = parameters_of(self._weight_beats(base, d.parameter_beats))
            base += d.parameter_beats
            _require_shifts("", self.shift, SHIFTS)
            if i.first:
                sums = np.broadcast_to(bias, sums.shape)
            if i.first and i.residual and not setup.product:
                _require_shifts("a residual ", residual_shift, residual_shifts(c.acc_bits))
                sums = sums + (self._residuals(i, len(sums), setup) << residual_shift)
        if i.codebook:
            self.codebook = codebook_of(self._weight_beats(base, d.codebook_beats))
            base += d.codebook_beats
        if i.second:
            return sums, np.zeros((0, c.oc_lanes, c.ic_lanes), np.int8)
        data = self._weight_beats(base, stream_beats(c, weights, passes, i.blocks > 0, setup.mode))
        if i.blocks:
            return sums, self._listed(i, weights, data, setup)
        blocks = self._meant(weights, weights.decode(data, c, setup.mode))
        if setup.mode == Mode.PAIRED:
            blocks = self._alone(i, blocks, setup)
        elif setup.mode == Mode.DEPTHWISE:
            blocks = self._diagonal(i, blocks, setup)
        return sums, blocks

    def _meant(self, weights: WeightFormat, stored: np.ndarray) -> np.ndarray:
        """The weights that are stored so."""
        return self.codebook[stored] if weights.indexed else stored

    def _listed(
        self, i: ConvInstruction, weights: WeightFormat, data: np.ndarray, setup: SetupInstruction
    ) -> np.ndarray:
        """Listed blocks among those that were left out, which are zeros."""
        kernel = setup.kernel_rows, setup.kernel_columns
        try:
            blocks, taps = decode_listed(weights, data, i.blocks, kernel, self.config)
        except ValueError as error:
            raise _Fault(str(error)) from None
        blocks = self._meant(weights, blocks)
        every = np.zeros((i.input_groups * kernel[0] * kernel[1], *blocks.shape[1:]), blocks.dtype)
        _require(int(taps[-1]) < len(every), f"lists a block of tap {taps[-1]} of {len(every)}")
        every[taps] = blocks
        return every

    def _residuals(self, i: ConvInstruction, pixels: int, setup: SetupInstruction) -> np.ndarray:
        """The residuals of a CONV, int64 (pixels, M)."""
        index = np.zeros(pixels, np.int64) if setup.broadcast else np.arange(pixels)
        words = self.residual[:, (i.residual_base + index) % self.config.residual_depth]
        words = np.ascontiguousarray(words.swapaxes(0, 1)).reshape(pixels, self.config.oc_lanes)
        return datapath.lanes(words, bool(setup.residual_signed)).astype(np.int64)

    def _products(self, setup: SetupInstruction, i: ConvInstruction, grid: TapGrid) -> np.ndarray:
        """What a CONV adds where residuals multiply, int64 (pixels, M): the kernel has one tap."""
        lanes = i.input_groups * self.config.ic_lanes
        products = self._residuals(i, grid.pixels, setup)
        products[:, :lanes] *= self._inputs(setup, i, grid, 0, grid.pixels).reshape(grid.pixels, lanes)
        products[:, lanes:] = 0
        return products

    def _diagonal(self, i: ConvInstruction, blocks: np.ndarray, setup: SetupInstruction) -> np.ndarray:
        """Depthwise blocks, (passes, TAPS, N), as the dense weights that compute the same."""
        n = self.config.ic_lanes
        blocks = blocks.reshape(i.input_groups, -1, *blocks.shape[1:])
        dilation = setup.dilation_rows, setup.dilation_columns
        taps, nothing_else = from_blocks(blocks, setup.kernel_rows, setup.kernel_columns, dilation)
        _require(nothing_else, "weights where the kernel has no tap")
        taps = taps.reshape(i.input_groups, -1, n)
        dense = np.zeros((*taps.shape[:2], self.config.oc_lanes, n), taps.dtype)
        lanes = np.arange(n)
        for group in range(i.input_groups):
            dense[group, :, group * n + lanes, lanes] = taps[group].T
        return dense.reshape(-1, self.config.oc_lanes, n)

    def _alone(self, i: ConvInstruction, blocks: np.ndarray, setup: SetupInstruction) -> np.ndarray:
        """Blocks of pairs of taps, (passes, M, N), as the dense weights of a tap each that compute the same."""
        blocks = blocks.reshape(i.input_groups, -1, *blocks.shape[1:])
        taps, nothing_else = from_pairs(blocks, setup.kernel_rows, setup.kernel_columns)
        _require(nothing_else, "weights where the kernel has no tap")
        return taps.reshape(-1, *blocks.shape[2:])

    def _weight_beats(self, base: int, beats: int) -> np.ndarray:
        return self.weight[(base + np.arange(beats)) % len(self.weight)].reshape(-1)

    def _inputs(self, setup: SetupInstruction, i: ConvInstruction, grid: TapGrid, first: int, end: int) -> np.ndarray:
        """What the array's rows see of the pixels from `first` to before `end`: integers (pixels, passes, N)."""
        c = self.config
        words, inside = gather(grid, first, end)
        groups = i.activation_base + np.arange(i.input_groups) * i.group_step
        index = (groups[:, None] + words[:, None, :]) & (c.activation_depth - 1)
        ring = self.activation.view(np.dtype((np.void, c.derived.word_bytes))).reshape(-1)
        data = ring[index].view(self.activation.dtype)
        data = data.reshape(end - first, i.input_groups, grid.taps, c.ic_lanes)
        values = datapath.lanes(data, bool(setup.input_signed))
        if inside is not None:
            pad = datapath.lanes(np.array(setup.pad_value).astype(self.activation.dtype), bool(setup.input_signed))
            values = np.where(inside[:, None, :, None], values, pad)
        return values.reshape(end - first, -1, c.ic_lanes)

    def _pool(self, i: PoolInstruction) -> None:
        grid = pool_grid(i)
        divide = Reciprocal(i.multiplier, i.shift, i.sum_bits)
        results = []
        for first, end in slices(grid.pixels, grid.taps * self.config.oc_lanes):
            words, inside = gather(grid, first, end)
            data = datapath.lanes(self.pool[(i.base + words) & (len(self.pool) - 1)], bool(i.input_signed))
            results.append(datapath.pool(data, inside, i.kind, divide, i.low, i.high))
        self._write(self.pooled, i.output_base, np.concatenate(results), bool(i.wide))

    def _write(self, ring: np.ndarray, base: int, results: np.ndarray, wide: bool) -> None:
        """Results, int64 (pixels, M), to a buffer; wide ones as their low bits, then their high ones."""
        pixels = len(results)
        where = base + np.arange(pixels)
        ring[where % len(ring)] = results.astype(ring.dtype)  # keeps the lowest data_bits
        if wide:
            whole = self.config.derived.words_per_beat
            high = results >> self.config.data_bits
            ring[(where + -(-pixels // whole) * whole) % len(ring)] = high.astype(ring.dtype)

    def _store(self, i: StoreInstruction) -> None:
        c, d = self.config, self.config.derived
        ring = self.pooled if i.source == Source.POOLED else self.output
        rows, planes = np.arange(i.rows), np.arange(i.planes)
        words = np.add.outer(i.base + rows * i.source_pitch, np.arange(i.words)) % len(ring)
        starts = np.add.outer(i.address + planes * i.plane_pitch, rows * i.row_pitch)
        data = ring.reshape(len(ring), d.planes, c.ic_lanes)[words[None], planes[:, None, None]]
        whole = min(d.word_bytes, d.beat_bytes)  # every address is a multiple of it
        index = starts[:, :, None] // whole + np.arange(i.words * d.word_bytes // whole)
        data = np.ascontiguousarray(data).view(np.uint8).reshape(*index.shape, whole)
        if i.target == Target.MEMORY:
            self.memory.reshape(-1, whole)[index] = data
        elif i.target == Target.ACTIVATION:
            pieces = self.activation.view(np.uint8).reshape(-1, whole)
            pieces[index % len(pieces)] = data
        else:
            buffer = self.residual.view(np.uint8).reshape(d.planes, -1, whole)
            buffer[planes[:, None, None], index % buffer.shape[1]] = data
