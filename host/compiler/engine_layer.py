"""What the engine runs: one kind of layer, a convolution with all that can follow it on the way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Fold
from hw.contract.weights import WeightFormat
from hw.contract.widths import BYTE_BITS, as_signed
from quant.ir.fixedpoint import Reciprocal
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window

HIDDEN = "\0"
"""Stands in the name of every tensor that the network itself does not have, behind the one that it is made for."""


@dataclass(frozen=True)
class Spread:
    """Where a layer's rows of results go in a larger map: row r becomes row r * step + first, for each of `firsts`.

    whole: that map.  left: the column of it where rows begin.
    """

    whole: Tensor
    step: int
    firsts: tuple[int, ...]
    left: int = 0

    @property
    def pitch(self) -> int:
        """Words of a plane from row to row."""
        return self.step * self.whole.shape[2]

    def word(self, row: int, first: int) -> int:
        """The word of a plane where a row of results begins."""
        return (row * self.step + first) * self.whole.shape[2] + self.left

    def words(self, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[int, int]:
        """The words of a plane, first and behind the last, between which some rows and columns of results go."""
        return self.word(rows[0], self.firsts[0]) + columns[0], self.word(rows[1] - 1, self.firsts[-1]) + columns[1]


@dataclass(frozen=True)
class OutputPooling:
    """OutputPooling of a layer's results on their way out.  divisor: of an average.  spread: as of `EngineLayer`."""

    name: str
    result: Tensor
    kind: Literal["max", "average"]
    window: Window
    clip: tuple[int, int]
    divisor: Reciprocal | None
    spread: Spread | None = None

    @property
    def written(self) -> Tensor:
        """The tensor that it leaves in memory, of a spread result the whole."""
        return self.result if self.spread is None else self.spread.whole

    @property
    def op(self) -> str:
        """ONNX's name for it."""
        return "MaxPool" if self.kind == "max" else "AveragePool"


@dataclass(frozen=True, eq=False)
class OutputTable:
    """What results are looked up in.  name: of the layer.  entries: int64 (table_entries,), by code."""

    name: str
    entries: np.ndarray


@dataclass(frozen=True, eq=False)
class EngineLayer:
    """One layer of the engine.

    source: tensor read (a view of the network's input may be folded).  weight: int64 (O, I / groups, KH, KW)
    over the source's channels.  weights: the format it is stored in.  bias, shift, residual_shift: int64 (O,).
    table: what its results, clipped, are looked up in.
    result: format and shape of the convolution's results, looked up, kept in memory or not.  keep: they are.
    pooling: what else is done with them.  spread: where its results go, if not into a map of their own.
    padding: the integer that its window sees outside the source.  product: its residual multiplies, in the place of
    its weights, which are zeros then.  broadcast: its residual is one number for each channel.
    macs, input_elements, weight_elements: of the network's layer: what it computes, and cannot avoid to read.
    """

    name: str
    op: str
    source: str
    weight: np.ndarray
    weights: WeightFormat
    groups: int
    bias: np.ndarray
    shift: np.ndarray
    residual_shift: np.ndarray
    window: Window
    clip: tuple[int, int]
    result: Tensor
    residual: str | None = None
    table: OutputTable | None = None
    pooling: OutputPooling | None = None
    keep: bool = True
    spread: Spread | None = None
    padding: int = 0
    product: bool = False
    broadcast: bool = False
    macs: int = 0
    input_elements: int = 0
    weight_elements: int = 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tensors it reads from memory."""
        return tuple(name for name in (self.source, self.residual) if name is not None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Tensors it leaves in memory."""
        return tuple(tensor.name for tensor in self.written)

    @cached_property
    def values(self) -> np.ndarray:
        """The different weights that it has, of 8 bits, ascending: int64 (n,)."""
        seen = np.zeros(1 << BYTE_BITS, bool)
        seen[np.ascontiguousarray(self.weight, np.int8).view(np.uint8)] = True
        return np.sort(as_signed(np.flatnonzero(seen), BYTE_BITS))

    @property
    def residual_map(self) -> bool:
        """Whether it has a residual that differs from pixel to pixel."""
        return self.residual is not None and not self.broadcast

    def weight_room(self, config: AcceleratorConfig) -> int:
        """Beats of the weight buffer that are there for weights and parameters, beside its table."""
        return config.weight_depth - (0 if self.table is None else config.derived.table_beats)

    @property
    def copies(self) -> int:
        """How often a kept result lies in memory."""
        return 1 if self.spread is None else len(self.spread.firsts)

    @property
    def written(self) -> tuple[Tensor, ...]:
        """As `outputs`: the tensors, of a spread result the whole."""
        kept = (self.result if self.spread is None else self.spread.whole,) if self.keep else ()
        return kept if self.pooling is None else (*kept, self.pooling.written)


@dataclass(frozen=True)
class View:
    """An input of the network as it lies in memory.  source: its name."""

    source: str
    fold: Fold | None = None


UNCHANGED_BITS = 2
"""Width of the weight 1 in two's complement."""


def unchanged(name: str, op: str, source: str, result: Tensor, weights: WeightFormat) -> EngineLayer:
    """A layer whose result is its source, wherever that then goes: one weight of 1 for each channel."""
    channels = result.shape[0]
    zeros = np.zeros(channels, np.int64)
    return EngineLayer(
        name=name,
        op=op,
        source=source,
        weight=np.ones((channels, 1, 1, 1), np.int64),
        weights=weights,
        groups=channels,
        bias=zeros,
        shift=zeros,
        residual_shift=zeros,
        window=Window(),
        clip=(result.fmt.low, result.fmt.high),
        result=result,
        input_elements=int(np.prod(result.shape)),
    )


@dataclass
class Lowered:
    """A network as the engine sees it.

    tensors: by name, those of the network that are left in memory, and hidden ones that it does not name.
    views: hidden or plain tensors that hold an input of the network, each as what it does.  joins: the parts of
    each concatenation, in order; every part belongs to one join only.  reshaped: hidden tensors that are another one,
    with other rows and columns of the same words.  alike: tensors whose channels should lie in the lanes of those of
    another.  asked: physical channels that a layer asks for, of tensors whose channels nothing else decides.  outputs:
    those that hold the network's.  layers: in execution order.
    """

    network: Network
    tensors: dict[str, Tensor] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    joins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reshaped: dict[str, str] = field(default_factory=dict)
    alike: dict[str, str] = field(default_factory=dict)
    asked: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    layers: list[EngineLayer] = field(default_factory=list)


def single_stride(window: Window, out: Tensor) -> Window:
    """The window with strides that always fit their fields: along an axis with one output they mean nothing."""
    rows, columns = out.shape[1:]
    stride = window.stride[0] if rows > 1 else 1, window.stride[1] if columns > 1 else 1
    return Window(window.kernel, stride, window.pads, window.dilation)


def visited(window: Window, source: Tensor, out: Tensor) -> int:
    """Elements of the source that a window visits, padding left out."""
    used = source.shape[0]
    for axis in (0, 1):
        size, pad = source.shape[axis + 1], window.pads[axis]
        first = np.arange(out.shape[axis + 1]) * window.stride[axis] - pad
        taps = (first[:, None] + np.arange(window.kernel[axis]) * window.dilation[axis]).ravel()
        used *= len(np.unique(taps[(taps >= 0) & (taps < size)]))
    return used
