"""From the integer network to the layers that the engine runs.

The engine knows one kind of layer: a convolution with bias, an optional residual, one rounding, and an
optional pooling behind it.  Everything else becomes one: a pooling that stands alone is an identity
convolution into the pool buffer, an addition is an identity convolution with the other operand as residual.
A concatenation is none: its parts are written where they belong (`Lowered.joins`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from host.compiler.errors import CannotCompile
from host.compiler.limits import check_layer, check_tensors, pool_divisor
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Fold
from quant.ir.bounds import prove
from quant.ir.fixedpoint import Reciprocal
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool

HIDDEN = "\0"
"""Stands in the name of every tensor that the network itself does not have."""


@dataclass(frozen=True)
class Pooling:
    """Pooling of a layer's results on their way out.  divisor: of an average."""

    name: str
    result: Tensor
    kind: Literal["max", "average"]
    window: Window
    clip: tuple[int, int]
    divisor: Reciprocal | None


@dataclass(frozen=True, eq=False)
class EngineLayer:
    """One layer of the engine.

    source: tensor read (a view of the network's input may be folded).  weight: int64
    (O, I / groups, KH, KW) over the source's channels.  bias, shift, residual_shift: int64 (O,).
    result: format and shape of the convolution's results, kept in memory or not.  keep: they are.
    pooling: what else is done with them.  macs, input_elements: of the network's layer.
    """

    name: str
    op: str
    source: str
    weight: np.ndarray
    groups: int
    bias: np.ndarray
    shift: np.ndarray
    window: Window
    clip: tuple[int, int]
    result: Tensor
    keep: bool
    residual: str | None
    residual_shift: np.ndarray
    pooling: Pooling | None
    macs: int
    input_elements: int

    @property
    def outputs(self) -> tuple[str, ...]:
        """Tensors it leaves in memory."""
        kept = (self.result.name,) if self.keep else ()
        return kept if self.pooling is None else (*kept, self.pooling.result.name)


@dataclass
class Lowered:
    """A network as the engine sees it.

    tensors: by name, those of the network that are left in memory, and hidden ones that it does not name.
    views: hidden or plain tensors that hold the network's input, each with its fold.  joins: the parts of
    each concatenation, in order; every part belongs to one join only.  layers: in execution order.
    """

    network: Network
    tensors: dict[str, Tensor] = field(default_factory=dict)
    views: dict[str, Fold | None] = field(default_factory=dict)
    joins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    layers: list[EngineLayer] = field(default_factory=list)


def lower(network: Network, config: AcceleratorConfig) -> Lowered:
    """The engine's layers of a network.

    Raises CannotCompile for what the engine cannot run, UnsupportedNetwork where its accumulator is too narrow.
    """
    check_tensors(network)
    for layer in network.layers:
        check_layer(network, layer, config)
    prove(network, config.acc_bits)
    return _Lowering(_pool_parts(network)).run()


def _pool_parts(network: Network) -> Network:
    """Pool the parts of a concatenation instead of the whole, where each is a convolution's result that nobody
    else reads: then each pooling runs behind its convolution, and the unpooled maps never reach memory."""
    layers: list[Layer] = []
    tensors = dict(network.tensors)
    split: dict[str, Concat] = {}
    for layer in network.layers:
        if isinstance(layer, Concat) and _only_pooled(network, layer):
            split[layer.output] = layer
        elif isinstance(layer, Pool) and layer.input in split:
            parts = []
            for index, part in enumerate(split[layer.input].inputs):
                whole = tensors[layer.output]
                name = f"{layer.output}{HIDDEN}{index}"
                tensors[name] = Tensor(name, (tensors[part].shape[0], *whole.shape[1:]), whole.fmt)
                layers.append(dataclasses.replace(layer, input=part, output=name))
                parts.append(name)
            layers.append(Concat(layer.name, tuple(parts), layer.output))
        else:
            layers.append(layer)
    return dataclasses.replace(network, layers=tuple(layers), tensors=tensors)


def _only_pooled(network: Network, concat: Concat) -> bool:
    consumers = network.consumers(concat.output)
    if concat.output in network.outputs or len(consumers) != 1 or not isinstance(consumers[0], Pool):
        return False
    return all(
        isinstance(network.producer(part), Conv | Add)
        and len(network.consumers(part)) == 1
        and part not in network.outputs
        and concat.inputs.count(part) == 1
        for part in concat.inputs
    )


class _Lowering:
    """The state of one lowering."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.lowered = Lowered(network)
        self.fused: set[str] = set()
        """Outputs of poolings that run behind the layer before them."""
        self.parts: set[str] = set()

    def run(self) -> Lowered:
        for layer in self.network.layers:
            if isinstance(layer, Conv):
                self._conv(layer)
            elif isinstance(layer, Add):
                self._add(layer)
            elif isinstance(layer, Concat):
                self._concat(layer)
            elif isinstance(layer, Pool) and layer.output not in self.fused:
                self._pool(layer)
        return self.lowered

    def _conv(self, layer: Conv) -> None:
        tensors = self.network.tensors
        fmt, out = tensors[layer.input].fmt, tensors[layer.output]
        residual = None if layer.residual is None else self._source(layer.residual)
        acc_frac = fmt.frac + layer.weight_frac
        left = np.zeros_like(acc_frac) if residual is None else acc_frac - tensors[layer.residual or ""].fmt.frac
        self._emit(
            layer.name, layer.op, self._source(layer.input), layer.weight, layer.groups, layer.bias,
            acc_frac - out.fmt.frac, _single_stride(layer.window, out), layer.clip, out, residual, left,
            macs=int(out.shape[1] * out.shape[2] * layer.weight.size),
            input_elements=_used(layer.window, tensors[layer.input], out),
        )  # fmt: skip

    def _add(self, layer: Add) -> None:
        """The operand with the smaller fractional length goes through the residual path, shifted left."""
        tensors = self.network.tensors
        fine, coarse = sorted(layer.inputs, key=lambda name: -tensors[name].fmt.frac)
        frac, out = tensors[fine].fmt.frac, tensors[layer.output]
        channels = out.shape[0]
        self._emit(
            layer.name, "Add", self._source(fine), *_identity(channels), np.full(channels, frac - out.fmt.frac),
            Window(), layer.clip, out, self._source(coarse), np.full(channels, frac - tensors[coarse].fmt.frac),
            macs=0, input_elements=int(np.prod(tensors[fine].shape)),
        )  # fmt: skip

    def _pool(self, layer: Pool) -> None:
        """A pooling that stands alone: its input, unchanged, into the pool buffer."""
        source, out = (self.network.tensors[name] for name in (layer.input, layer.output))
        self.fused.add(layer.output)
        self._unchanged(
            layer.name, _pool_op(layer), source, source, self._pooling(layer), _used(layer.window, source, out)
        )

    def _concat(self, layer: Concat) -> None:
        parts = []
        for index, name in enumerate(layer.inputs):
            part = name
            if name == self.network.input:
                part = self._view(f"{layer.output}{HIDDEN}{index}")
            elif name in self.parts:
                part = self._copy(layer, name, f"{layer.output}{HIDDEN}{index}")
            self.parts.add(part)
            parts.append(part)
        self.lowered.joins[layer.output] = tuple(parts)
        self.lowered.tensors[layer.output] = self.network.tensors[layer.output]

    def _copy(self, layer: Concat, name: str, hidden: str) -> str:
        """A second copy of a tensor that already belongs to another concatenation."""
        tensor = self.network.tensors[name]
        if tensor.fmt.bits != 8:
            raise CannotCompile(layer.name, f"joins {name}, which has {tensor.fmt.bits} bits, a second time")
        self._unchanged(
            layer.name, "Concat", tensor, dataclasses.replace(tensor, name=hidden), None, int(np.prod(tensor.shape))
        )  # fmt: skip
        return hidden

    def _unchanged(
        self, name: str, op: str, source: Tensor, result: Tensor, pooling: Pooling | None, input_elements: int
    ) -> None:
        """Append a layer that changes nothing but where its input lies, or pools it."""
        zeros = np.zeros(source.shape[0], np.int64)
        self._append(
            EngineLayer(
                name, op, self._source(source.name), *_identity(source.shape[0]), zeros, Window(),
                (source.fmt.low, source.fmt.high), result, pooling is None, None, zeros, pooling, 0, input_elements,
            )
        )  # fmt: skip

    def _emit(
        self, name: str, op: str, source: str, weight: np.ndarray, groups: int, bias: np.ndarray, shift: np.ndarray,
        window: Window, clip: tuple[int, int], out: Tensor, residual: str | None, residual_shift: np.ndarray,
        macs: int, input_elements: int,
    ) -> None:  # fmt: skip
        """Append a layer, with the first pooling that reads its output behind it."""
        consumers = self.network.consumers(out.name)
        pool = next((c for c in consumers if isinstance(c, Pool)), None)
        keep = out.name in self.network.outputs or any(c is not pool for c in consumers) or pool is None
        pooling = None
        if pool is not None:
            self.fused.add(pool.output)
            pooling = self._pooling(pool)
        self._append(
            EngineLayer(
                name, op, source, weight, groups, bias, shift, window, clip, out, keep, residual, residual_shift,
                pooling, macs, input_elements,
            )
        )  # fmt: skip

    def _append(self, layer: EngineLayer) -> None:
        if layer.keep:
            self.lowered.tensors[layer.result.name] = layer.result
        if layer.pooling is not None:
            self.lowered.tensors[layer.pooling.result.name] = layer.pooling.result
        self.lowered.layers.append(layer)

    def _pooling(self, layer: Pool) -> Pooling:
        out = self.network.tensors[layer.output]
        divisor = pool_divisor(self.network, layer) if layer.kind == "average" else None
        return Pooling(layer.name, out, layer.kind, _single_stride(layer.window, out), layer.clip, divisor)

    def _source(self, name: str) -> str:
        return self._view(name) if name == self.network.input else name

    def _view(self, name: str) -> str:
        """A tensor of this name that holds the network's input."""
        source = self.network.tensors[self.network.input]
        self.lowered.views[name] = None
        self.lowered.tensors[name] = dataclasses.replace(source, name=name)
        return name


def _identity(channels: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Weights, groups and bias of a convolution that changes nothing."""
    return np.ones((channels, 1, 1, 1), np.int64), channels, np.zeros(channels, np.int64)


def _single_stride(window: Window, out: Tensor) -> Window:
    """Along an axis with one output the stride means nothing; 1 always fits its field."""
    rows, columns = out.shape[1:]
    stride = window.stride[0] if rows > 1 else 1, window.stride[1] if columns > 1 else 1
    return dataclasses.replace(window, stride=stride)


def _pool_op(layer: Pool) -> str:
    return "MaxPool" if layer.kind == "max" else "AveragePool"


def _used(window: Window, source: Tensor, out: Tensor) -> int:
    """Elements of the source that a window visits, padding left out."""
    used = source.shape[0]
    for axis in (0, 1):
        size, pad = source.shape[axis + 1], window.pads[axis]
        first = np.arange(out.shape[axis + 1]) * window.stride[axis] - pad
        taps = (first[:, None] + np.arange(window.kernel[axis]) * window.dilation[axis]).ravel()
        used *= len(np.unique(taps[(taps >= 0) & (taps < size)]))
    return used
