"""Programs made by hand: one convolution, with what can be fused into it, and the network that it computes.

Independent of the compiler, so that executor, cycle model and gateware can be held against one another, and
against `quant.run.execute`, without it.  Buffers are used in two halves, starting off their beginning so that
addresses wrap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.contract.config import INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.isa import INSTRUCTIONS, Buffer, Opcode, PoolKind, Source, Unit
from hw.contract.layout import Placement
from hw.contract.parameters import parameter_block
from hw.contract.program import LayerEntry, Program
from hw.contract.weights import gateware_format
from quant.ir.fixedpoint import QFormat, reciprocal
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.run.execute import execute

LOAD, COMPUTE, POOL, STORE = (1 << unit for unit in Unit)


@dataclass(frozen=True)
class Case:
    """One convolution.

    shape: (C, H, W) of the input.  outputs: output channels.  tile_rows: output rows of a tile, all when 0 (or
    with pooling).  chunk_groups: input groups of one CONV, all when 0.  pool: kind of the pooling after
    it, its window in `pool_window`.  residual: adds the input to the output, whose shape must be the same.
    wide: 16-bit results.
    """

    shape: tuple[int, int, int]
    outputs: int
    window: Window = field(default_factory=Window)
    tile_rows: int = 0
    chunk_groups: int = 0
    pool: str | None = None
    pool_window: Window = field(default_factory=lambda: Window((2, 2), (2, 2)))
    residual: bool = False
    wide: bool = False
    signed: bool = True
    seed: int = 1


@dataclass(frozen=True)
class Handmade:
    """A program, the network that it computes, and an image with every tensor that must come out of it."""

    program: Program
    network: Network
    x: np.ndarray
    expected: dict[str, np.ndarray]


def build(config: AcceleratorConfig, case: Case) -> Handmade:
    """The program of a case for a configuration; raises ValueError where it does not fit the buffers."""
    rng = np.random.default_rng(case.seed)
    network = _network(config, case, rng)
    program = _Builder(config, case, network).program()
    fmt = network.tensors["x"].fmt
    x = rng.integers(fmt.low, fmt.high + 1, case.shape)
    results = execute(network, x[None], [layer.output for layer in network.layers])
    return Handmade(program, network, x, {name: values[0].astype(np.int64) for name, values in results.items()})


def _network(config: AcceleratorConfig, case: Case, rng: np.random.Generator) -> Network:
    channels, height, width = case.shape
    data_bits, most = config.data_bits, 1 << config.weight_bits - 1
    source = QFormat(data_bits, 4, case.signed)
    bits = 16 if case.wide else data_bits
    kh, kw = case.window.kernel
    weight = rng.integers(-most, most, (case.outputs, channels, kh, kw))
    spread = int(np.ceil(np.log2(channels * kh * kw) / 2))  # so that results fill their range
    frac = rng.integers(5, 8, case.outputs)
    result = QFormat(bits, bits + 4 - (data_bits + config.weight_bits - 5) - spread, True)
    clip = (0 if rng.integers(2) else result.low, result.high - int(rng.integers(3)))
    bias = rng.integers(-(1 << 12), 1 << 12, case.outputs)
    tensors = {
        "x": Tensor("x", case.shape, source),
        "y": Tensor("y", (case.outputs, *case.window.output_size(height, width)), result),
    }
    conv = Conv(
        "conv", "x", "y", weight, frac, config.weight_bits, bias, case.window, 1, clip, "x" if case.residual else None
    )
    if case.pool is None:
        return Network("handmade", tensors, (conv,), ("x",), ("y",))
    fmt = result if case.pool == "max" else QFormat(bits, result.frac + 1, True)
    shape = (case.outputs, *case.pool_window.output_size(*tensors["y"].shape[1:]))
    tensors["z"] = Tensor("z", shape, fmt)
    pool = Pool("pool", "y", "z", case.pool, case.pool_window, (fmt.low, fmt.high))  # type: ignore[arg-type]
    return Network("handmade", tensors, (conv, pool), ("x",), ("z",))


class _Builder:
    def __init__(self, config: AcceleratorConfig, case: Case, network: Network) -> None:
        self.config, self.case, self.network = config, case, network
        self.conv: Conv = network.layers[0]  # type: ignore[assignment]
        self.image = bytearray()
        self.instructions: list[dict[str, Any]] = []
        d = config.derived
        self.groups = -(-case.shape[0] // config.ic_lanes)
        self.blocks = -(-case.outputs // config.oc_lanes)
        _, self.rows, self.columns = network.tensors["y"].shape
        self.tile_rows = self.rows if case.pool else case.tile_rows or self.rows
        self.chunk = case.chunk_groups or self.groups
        _fits(self.tile_rows * self.columns, config.partial_sum_depth, "pixels of a tile")
        words = self.tile_rows * self.columns + d.words_per_beat
        _fits(2 * words * (1 + case.wide), config.output_depth, "words of two tiles")
        _fits(self.groups * self._plane("x") // d.word_bytes, config.activation_depth, "words of the input")

    def _plane(self, name: str) -> int:
        """Bytes of a plane of a tensor."""
        beat = self.config.derived.beat_bytes
        _, height, width = self.network.tensors[name].shape
        return -(-height * width * self.config.derived.word_bytes // beat) * beat

    def program(self) -> Program:
        weights, memory = self._place()
        self._emit(weights)
        code = b"".join(self._encode(i) for i in self.instructions)
        if len(code) > self.code_bytes:
            raise ValueError("more instructions than places")
        self.image[: len(code)] = code
        tensors = tuple(self.placements[layer.output] for layer in self.network.layers)
        layers = tuple(
            LayerEntry(layer.name, "Conv" if layer is self.conv else "Pool", (), layer.output, 0, 0, 0)
            for layer in self.network.layers
        )
        return Program(
            self.config, "handmade", {"x": self.case.shape}, bytes(self.image), 0, len(self.instructions), memory,
            (self.placements["x"],), tensors, self.network.outputs, layers,
        )  # fmt: skip

    code_bytes = 16384

    def _place(self) -> tuple[dict[tuple[int, int], tuple[int, int]], int]:
        """Weights into the image: (address, bytes) of each (block, first group); tensors behind it."""
        beat = self.config.derived.beat_bytes
        self.image = bytearray(self.code_bytes)
        where = {}
        for block in range(self.blocks):
            for first in range(0, self.groups, self.chunk):
                data = self._weights(block, first)
                where[block, first] = (len(self.image), len(data))
                self.image += data
        at = -(-len(self.image) // beat) * beat + 3 * beat
        self.placements: dict[str, Placement] = {}
        for name, tensor in self.network.tensors.items():
            placement = Placement(name, at, tensor.shape, tensor.fmt, tuple(range(tensor.shape[0])))
            # Whole blocks are stored, lanes that no channel uses included.
            whole = -(-tensor.shape[0] // self.config.oc_lanes) * self.config.oc_lanes
            at += whole // self.config.ic_lanes * placement.parts(self.config) * self._plane(name) + beat
            self.placements[name] = placement
        return where, -(-at // 4096) * 4096

    def _weights(self, block: int, first: int) -> bytes:
        c, conv = self.config, self.conv
        n, m = c.ic_lanes, c.oc_lanes
        outputs = slice(block * m, min((block + 1) * m, self.case.outputs))
        count = outputs.stop - outputs.start
        data = b""
        if first == 0:
            tensors = self.network.tensors
            acc = tensors["x"].fmt.frac + conv.weight_frac[outputs]
            lanes = [np.zeros(m, np.int64) for _ in range(3)]
            lanes[0][:count] = conv.bias[outputs]
            lanes[1][:count] = acc - tensors["y"].fmt.frac
            lanes[2][:count] = acc - tensors["x"].fmt.frac if self.case.residual else 0
            data = parameter_block(*lanes)
        for group in range(first, min(first + self.chunk, self.groups)):
            inputs = slice(group * n, min((group + 1) * n, self.case.shape[0]))
            for ky, kx in np.ndindex(conv.weight.shape[2:]):
                tap = np.zeros((m, n), np.int64)
                tap[:count, : inputs.stop - inputs.start] = conv.weight[outputs, inputs, ky, kx]
                data += gateware_format(c).encode(tap, c)
        return data

    def _encode(self, values: dict[str, Any]) -> bytes:
        data = INSTRUCTIONS[values["opcode"]](**{k: int(v) for k, v in values.items() if k != "opcode"}).encode()
        assert len(data) == INSTRUCTION_BYTES
        return data

    def _add(self, opcode: Opcode, wait: int = 0, signal: int = 0, **values: Any) -> None:
        self.instructions.append({"opcode": opcode, "wait": wait, "signal": signal, **values})

    def _emit(self, weights: dict[tuple[int, int], tuple[int, int]]) -> None:
        c, d = self.config, self.config.derived
        tiles = [(r, min(self.tile_rows, self.rows - r)) for r in range(0, self.rows, self.tile_rows)]
        steps = [(block, *tile) for block in range(self.blocks) for tile in tiles]
        chunks = list(range(0, self.groups, self.chunk))
        self.activation = c.activation_depth * 3 // 4
        plane = self._plane("x")
        self._add(
            Opcode.LOAD, target=Buffer.ACTIVATION, destination=self.activation * d.word_bytes // d.beat_bytes,
            destination_pitch=plane // d.beat_bytes, address=self.placements["x"].address,
            beats=plane // d.beat_bytes, rows=self.groups, pitch=plane,
        )  # fmt: skip
        self._setup()
        number, total = 0, len(steps) * len(chunks)
        for step, (block, row, rows) in enumerate(steps):
            for first in chunks:
                wait = COMPUTE if number >= 2 else 0
                if self.case.residual and first == 0:
                    self._load_residual(step, block, row, rows, wait)
                    wait = 0
                self._load_weights(number, weights[block, first], wait)
                self._conv(number, step, first, row, rows, number + 2 < total, step >= 2)
                number += 1
            if self.case.pool:
                self._pool(step, step >= 2)
            self._store(step, block, row, rows, step + 2 < len(steps))

    def _setup(self) -> None:
        w, y = self.case.window, self.network.tensors["y"]
        width = self.case.shape[2]
        self._add(
            Opcode.SETUP, kernel_rows=w.kernel[0], kernel_columns=w.kernel[1], stride_rows=w.stride[0],
            stride_columns=w.stride[1], dilation_rows=w.dilation[0], dilation_columns=w.dilation[1],
            row_step=w.stride[0] * width, tap_row_step=w.dilation[0] * width, in_columns=width,
            input_signed=self.case.signed, residual_signed=self.case.signed, wide=y.fmt.bits > self.config.data_bits,
            weight_format=gateware_format(self.config).number,
            low=self.conv.clip[0], high=self.conv.clip[1],
        )  # fmt: skip

    def _load_weights(self, number: int, weights: tuple[int, int], wait: int) -> None:
        beats = weights[1] // self.config.derived.beat_bytes
        _fits(beats, self.config.weight_depth // 2, "beats of weights")
        self._add(
            Opcode.LOAD, wait, COMPUTE, target=Buffer.WEIGHT, destination=self._weight_slot(number),
            address=weights[0], beats=beats, rows=1,
        )  # fmt: skip

    def _weight_slot(self, number: int) -> int:
        depth = self.config.weight_depth
        return (depth - depth // 8 + number % 2 * (depth // 2)) % depth

    def _half(self, depth: int, step: int, row: int) -> int:
        """A word in one half of a buffer, at its place within a beat as in memory."""
        whole = self.config.derived.words_per_beat
        base = depth - depth // 8 + step % 2 * (depth // 2)
        return (base // whole * whole + row * self.columns % whole) % depth

    def _load_residual(self, step: int, block: int, row: int, rows: int, wait: int) -> None:
        d, depth = self.config.derived, self.config.residual_depth
        plane = self._plane("x")
        start = row * self.columns * d.word_bytes // d.beat_bytes * d.beat_bytes
        end = (row + rows) * self.columns * d.word_bytes
        base = self._half(depth, step, 0)
        beats = -(-(end - start) // d.beat_bytes)
        _fits(beats * d.beat_bytes // d.word_bytes, depth // 2, "words of a residual")
        planes = min(d.planes, self.groups - block * d.planes)
        self._add(
            Opcode.LOAD, wait, target=Buffer.RESIDUAL, destination=base * d.word_bytes // d.beat_bytes,
            address=self.placements["x"].address + block * d.planes * plane + start, beats=beats, rows=planes,
            pitch=plane,
        )  # fmt: skip

    def _conv(self, number: int, step: int, first: int, row: int, rows: int, more: bool, slots_used: bool) -> None:
        c, w, case = self.config, self.case.window, self.case
        groups = min(self.chunk, self.groups - first)
        last = first + groups == self.groups
        width, words = case.shape[2], self._plane("x") // c.derived.word_bytes
        top, left = row * w.stride[0] - w.pads[0], -w.pads[1]
        base = self.activation + first * words + top * width + left
        wait, signal = LOAD, LOAD if more else 0
        if last:
            wait |= STORE | (POOL if case.pool else 0) if slots_used else 0
            signal |= STORE | (POOL if case.pool else 0)
        residual = self._half(c.residual_depth, step, 0) + row * self.columns % c.derived.words_per_beat
        self._add(
            Opcode.CONV, wait, signal, activation_base=base % c.activation_depth, group_step=words,
            in_rows=case.shape[1], row_offset=top, column_offset=left, out_rows=rows, out_columns=self.columns,
            input_groups=groups, weight_base=self._weight_slot(number), residual_base=residual,
            output_base=self._half(c.output_depth, step, row), pool_base=self._half(c.pool_depth, step, 0),
            first=first == 0, last=last, residual=case.residual, to_output=last, to_pool=last and bool(case.pool),
            partial_base=self._half(c.partial_sum_depth, step, 0),
        )  # fmt: skip

    def _pool(self, step: int, slots_used: bool) -> None:
        c, w, tensors = self.config, self.case.pool_window, self.network.tensors
        pool = self.network.layers[1]
        (_, rows, columns), fmt = tensors["z"].shape, tensors["z"].fmt
        _fits(2 * rows * columns + c.derived.words_per_beat, c.pooled_depth, "pooled words of two tiles")
        base = self._half(c.pool_depth, step, 0) - w.pads[0] * self.columns - w.pads[1]
        count = w.kernel[0] * w.kernel[1]
        divide = reciprocal(count, tensors["y"].fmt.frac - fmt.frac, (count << c.data_bits - 1).bit_length())
        self._add(
            Opcode.POOL, COMPUTE | (STORE if slots_used else 0), COMPUTE * self._more(step) | STORE, layer=1,
            base=base % c.pool_depth, row_step=w.stride[0] * self.columns, tap_row_step=self.columns,
            in_rows=self.rows, in_columns=self.columns, row_offset=-w.pads[0], column_offset=-w.pads[1],
            out_rows=rows, out_columns=columns, kernel_rows=w.kernel[0], kernel_columns=w.kernel[1],
            stride_rows=w.stride[0], stride_columns=w.stride[1],
            kind=PoolKind.AVERAGE if self.case.pool == "average" else PoolKind.MAX, input_signed=1,
            output_base=self._half(c.pooled_depth, step, 0), multiplier=divide.multiplier, shift=divide.shift,
            sum_bits=divide.sum_bits, low=pool.clip[0], high=pool.clip[1],  # type: ignore[attr-defined]
        )  # fmt: skip

    def _more(self, step: int) -> int:
        return int(step + 2 < self.blocks)

    def _store(self, step: int, block: int, row: int, rows: int, more: bool) -> None:
        c, d = self.config, self.config.derived
        words = rows * self.columns
        back = COMPUTE if more else 0
        wide = self.network.tensors["y"].fmt.bits > c.data_bits
        planes = min(d.planes, -(-self.case.outputs // c.ic_lanes) - block * d.planes)
        for byte in range(1 + wide):
            last = byte == wide
            self._add(
                Opcode.STORE, 0 if byte else COMPUTE, back if last else 0, source=Source.OUTPUT,
                base=self._half(c.output_depth, step, row) + byte * -(-words // d.words_per_beat) * d.words_per_beat,
                address=self._out("y", block, byte) + row * self.columns * d.word_bytes, words=words, rows=1,
                planes=planes, plane_pitch=self._plane("y") * (1 + wide),
            )  # fmt: skip
        if self.case.pool:
            _, height, width = self.network.tensors["z"].shape
            self._add(
                Opcode.STORE, POOL, POOL if more else 0, layer=1, source=Source.POOLED,
                base=self._half(c.pooled_depth, step, 0), address=self._out("z", block, 0), words=height * width,
                rows=1, planes=planes, plane_pitch=self._plane("z"),
            )  # fmt: skip

    def _out(self, name: str, block: int, byte: int) -> int:
        placement = self.placements[name]
        plane = self._plane(name)
        return placement.address + (block * self.config.derived.planes * placement.parts(self.config) + byte) * plane


def _fits(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise ValueError(f"{size} {what} do not fit {limit}")


CASES = {
    "pointwise": Case((8, 5, 5), 8),
    "padded": Case((8, 7, 6), 8, Window((3, 3), pads=(1, 1, 1, 1))),
    "tiles": Case((12, 11, 9), 20, Window((3, 3), pads=(1, 1, 1, 1)), tile_rows=3),
    "chunks": Case((40, 8, 7), 24, Window((3, 3), pads=(1, 1, 1, 1)), tile_rows=5, chunk_groups=1),
    "strided": Case((5, 15, 13), 6, Window((5, 3), (2, 3), (2, 1, 2, 1)), signed=False),
    "dilated": Case((4, 12, 12), 9, Window((3, 2), (1, 2), (2, 3, 2, 3), (2, 3))),
    "one_pixel": Case((64, 1, 1), 40, chunk_groups=2),
    "residual": Case((16, 9, 7), 16, Window((3, 3), pads=(1, 1, 1, 1)), tile_rows=4, residual=True),
    "wide": Case((9, 7, 7), 33, Window((3, 3)), tile_rows=2, wide=True),
    "max_pool": Case((8, 10, 10), 24, pool="max", pool_window=Window((3, 3), (2, 2), (1, 1, 0, 1))),
    "average_pool": Case((8, 7, 7), 40, pool="average", pool_window=Window((7, 7))),
    "average_padded": Case((8, 8, 8), 8, pool="average", pool_window=Window((3, 3), (2, 2), (1, 1, 0, 0))),
}
"""What every model and the gateware must agree on."""
