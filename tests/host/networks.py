"""Integer networks to compile: a builder, and random ones of every operator."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from host.compiler.limits import highest
from hw.contract.isa import Opcode
from quant.compress.blocks import Block
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.conv import Conv
from quant.kinds.depth_to_space import DepthToSpace, Mode
from quant.kinds.edge_pad import EdgeMode, EdgePad
from quant.kinds.multiply import Multiply
from quant.kinds.padding import Padding, Pads
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from quant.run.execute import execute

SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))


class Builder:
    """Adds layers one by one; formats are such that results fill their range without saturating everywhere."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int, int], signed: bool = True) -> None:
        self.rng = rng
        self.tensors = {"x": Tensor("x", shape, QFormat(8, 4, signed))}
        self.layers: list[Layer] = []

    def shape(self, name: str) -> tuple[int, int, int]:
        return self.tensors[name].shape

    def _tensor(self, shape: tuple[int, int, int], fmt: QFormat) -> str:
        name = f"t{len(self.layers)}"
        self.tensors[name] = Tensor(name, shape, fmt)
        return name

    def _format(self, bits: int = 8) -> QFormat:
        return QFormat(bits, int(self.rng.integers(2, 7)), bool(self.rng.integers(2)))

    def conv(
        self, source: str, outputs: int, window: Window = SAME, groups: int = 1, residual: str | None = None,
        bits: int = 8, fmt: QFormat | None = None, op: str = "Conv",
    ) -> str:  # fmt: skip
        channels, height, width = self.shape(source)
        fmt = fmt or self._format(bits)
        taps = channels // groups * math.prod(window.kernel)
        spread = 13 + math.ceil(math.log2(taps) / 2) - (fmt.bits - 1) + int(self.rng.integers(-1, 2))
        frac = spread + fmt.frac - self.tensors[source].fmt.frac + self.rng.integers(0, 2, outputs)
        if residual is not None:
            frac = np.maximum(frac, self.tensors[residual].fmt.frac - self.tensors[source].fmt.frac)
        low = 0 if self.rng.integers(2) else fmt.low
        out = self._tensor((outputs, *window.output_size(height, width)), fmt)
        self.layers.append(
            Conv(
                f"layer{len(self.layers)}", source, out,
                self.rng.integers(-128, 128, (outputs, channels // groups, *window.kernel)), frac, 8,
                self.rng.integers(-4000, 4000, outputs), window, groups, (low, fmt.high), residual, op,  # type: ignore[arg-type]
            )
        )  # fmt: skip
        return out

    def pool(self, source: str, kind: str, window: Window, bits: int = 8) -> str:
        channels, height, width = self.shape(source)
        fmt = self.tensors[source].fmt
        if kind == "average":
            fmt = QFormat(bits, fmt.frac + (4 if bits == 16 else int(self.rng.integers(-1, 3))), fmt.signed)
        out = self._tensor((channels, *window.output_size(height, width)), fmt)
        clip = (fmt.low, fmt.high - int(self.rng.integers(2)))
        self.layers.append(Pool(f"layer{len(self.layers)}", source, out, kind, window, clip))  # type: ignore[arg-type]
        return out

    def add(self, one: str, other: str) -> str:
        fmt = self._format()
        out = self._tensor(self.shape(one), fmt)
        self.layers.append(Add(f"layer{len(self.layers)}", (one, other), out, (fmt.low, fmt.high)))
        return out

    def concat(self, *parts: str) -> str:
        channels = sum(self.shape(part)[0] for part in parts)
        out = self._tensor((channels, *self.shape(parts[0])[1:]), self.tensors[parts[0]].fmt)
        self.layers.append(Concat(f"layer{len(self.layers)}", parts, out))
        return out

    def resize(self, source: str, factors: tuple[int, int]) -> str:
        channels, height, width = self.shape(source)
        out = self._tensor((channels, height * factors[0], width * factors[1]), self.tensors[source].fmt)
        self.layers.append(Resize(f"layer{len(self.layers)}", source, out, factors))
        return out

    def depth_to_space(self, source: str, block: int, mode: Mode) -> str:
        channels, height, width = self.shape(source)
        out = self._tensor((channels // block**2, height * block, width * block), self.tensors[source].fmt)
        self.layers.append(DepthToSpace(f"layer{len(self.layers)}", source, out, block, mode))
        return out

    def edge_pad(self, source: str, pads: Pads, mode: EdgeMode = "edge") -> str:
        return self._pad(EdgePad(f"layer{len(self.layers)}", source, f"t{len(self.layers)}", pads, mode))

    def constant_pad(self, source: str, pads: Pads, uniform: bool = False) -> str:
        fmt, channels = self.tensors[source].fmt, self.shape(source)[0]
        values = np.resize(self.rng.integers(fmt.low, fmt.high + 1, 1 if uniform else channels), channels)
        return self._pad(ConstantPad(f"layer{len(self.layers)}", source, f"t{len(self.layers)}", pads, values))

    def _pad(self, layer: Padding) -> str:
        shape = layer.output_shape({name: tensor.shape for name, tensor in self.tensors.items()})
        out = self._tensor(shape, self.tensors[layer.input].fmt)
        self.layers.append(layer)
        return out

    def gated(self, source: str) -> str:
        """A map by a number for each channel, made of its averages; the map itself where no kernel covers it."""
        channels, height, width = self.shape(source)
        if max(height, width) > highest(Opcode.SETUP, "kernel_columns"):
            return source
        fmt = QFormat(8, 5)
        mean = self.pool(source, "average", Window((height, width))) if height * width < 900 and width < 128 else None
        gate = self.conv(mean or source, channels, Window((1, 1) if mean else (height, width)), fmt=fmt)
        return self.multiply(source, gate)

    def multiply(self, source: str, gate: str, bits: int = 8) -> str:
        fmt = self._format(bits)
        out = self._tensor(self.shape(source), fmt)
        clip = (fmt.low, fmt.high - int(self.rng.integers(3)))
        self.layers.append(Multiply(f"layer{len(self.layers)}", (source, gate), out, clip))
        return out

    def table(self, source: str, bits: int = 8) -> str:
        fmt = self._format(bits)
        out = self._tensor(self.shape(source), fmt)
        entries = self.rng.integers(fmt.low, fmt.high + 1, 256)
        self.layers.append(Table(f"layer{len(self.layers)}", source, out, entries, "f(x)"))
        return out

    def network(self, *outputs: str) -> Network:
        """With the tensors that nobody reads as outputs, and those named."""
        read = {name for layer in self.layers for name in layer.inputs}
        found = [name for name in self.tensors if name != "x" and (name not in read or name in outputs)]
        return Network("net", dict(self.tensors), tuple(self.layers), ("x",), tuple(found))


def image(network: Network, rng: np.random.Generator) -> np.ndarray:
    """Random integers (C, H, W) for a network's input."""
    tensor = network.tensors[network.inputs[0]]
    return rng.integers(tensor.fmt.low, tensor.fmt.high + 1, tensor.shape)


def expected(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of a network for one image, (C, H, W)."""
    return {name: values[0] for name, values in execute(network, x[None], keep=list(network.tensors)).items()}


def random_window(rng: np.random.Generator, height: int, width: int, pooling: bool = False) -> Window:
    """A window that fits a map; a pooling's padding is smaller than its kernel."""
    kernel = (int(rng.integers(1, min(5, height) + 1)), int(rng.integers(1, min(5, width) + 1)))
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    pads = tuple(int(rng.integers(0, kernel[i % 2] + (not pooling))) for i in range(4)) if rng.integers(2) else (0,) * 4
    dilation = (1, 1)
    if not pooling and rng.integers(4) == 0:
        most = (max(1, min(9, s // k)) for s, k in zip((height, width), kernel, strict=True))
        dilation = (int(rng.integers(1, 1 + next(most))), int(rng.integers(1, 1 + next(most))))
    return Window(kernel, stride, pads, dilation)  # type: ignore[arg-type]


def random_network(rng: np.random.Generator, kinds: int = 17) -> Network:
    """A network of up to seven layers, of all operators; of `kinds`, of the first so many cases of `_random_layer`."""
    height, width = (int(rng.integers(1, 24)) for _ in range(2))
    if rng.integers(12) == 0:
        height, width = int(rng.integers(1, 10)), int(rng.integers(200, 500))
    b = Builder(
        rng, (int(rng.integers(1, 40) if rng.integers(2) else rng.integers(1, 5)), height, width), bool(rng.integers(2))
    )
    live = ["x"]
    for _ in range(int(rng.integers(1, 6))):
        made = _random_layer(b, rng, live, kinds)
        if made is not None and math.prod(b.shape(made)) < 40_000:
            live.append(made)
    if rng.integers(3) == 0 or not b.layers:
        source = live[int(rng.integers(len(live)))]
        if rng.integers(4) == 0 and kinds > 12:
            b.table(source, bits=16)
        elif rng.integers(2):
            b.conv(source, int(rng.integers(1, 40)), random_window(rng, *b.shape(source)[1:]), bits=16)
        else:
            b.pool(source, "average", random_window(rng, *b.shape(source)[1:], pooling=True), bits=16)
    extra = live[int(rng.integers(len(live)))]
    return compressed(b.network(*([extra] if rng.integers(3) == 0 else [])))


def compressed(network: Network) -> Network:
    """The network, half of its convolutions without some of the blocks of an array that has so many lanes, half of them
    with so few different weights that a codebook holds them, or with one more.

    Which is drawn from the weights themselves, so that no other draw is another one.
    """
    return replace(network, layers=tuple(map(_compressed, network.layers)))


def _compressed(layer: Layer) -> Layer:
    if not isinstance(layer, Conv):
        return layer
    rng = np.random.default_rng(int(np.abs(layer.weight).sum()))
    inputs, outputs = (int(n) for n in rng.choice([(4, 4), (4, 4), (8, 8), (8, 16)]))
    stay = rng.choice([0.1, 0.5, 0.8, 1, 1, 1])
    rows, columns = (-(-size // n) for size, n in zip(layer.weight.shape, (outputs, inputs), strict=False))
    kept = Block(inputs, outputs).spread(
        rng.random((rows, columns, *layer.weight.shape[2:])) < stay, layer.weight.shape
    )
    number = int(rng.choice([0, 0, 0, 0, 2, 3, 4, 5, 15, 16, 17]))
    if not number:
        return replace(layer, weight=layer.weight * kept)
    values = rng.choice(layer.weight.reshape(-1), number)
    return replace(layer, weight=rng.choice(values, layer.weight.shape) * kept)


def narrowed(network: Network) -> Network:
    """The network with weights of 4 bits: of the 8 that they have the high ones."""

    def narrow(layer: Layer) -> Layer:
        return replace(layer, weight=layer.weight >> 4, weight_bits=4) if isinstance(layer, Conv) else layer

    return replace(network, layers=tuple(map(narrow, network.layers)))


def widened(network: Network, rng: np.random.Generator) -> Network:
    """The network with some of its tensors and weights of 8 bits made 16, which have eight bits more behind the point,
    drawn where a weight is not 0."""
    tensors, layers = dict(network.tensors), []
    for group in _of_one_width(network):
        if rng.integers(4):
            more = {name: QFormat(16, (fmt := tensors[name].fmt).frac + 8, fmt.signed) for name in group}
            tensors |= {name: replace(tensors[name], fmt=fmt) for name, fmt in more.items()}
    for layer in network.layers:
        grown = tensors[layer.output].fmt.frac - network.tensors[layer.output].fmt.frac
        if isinstance(layer, Conv):
            layer = _widened(layer, tensors, rng)
        elif isinstance(layer, ConstantPad):
            layer = replace(layer, values=layer.values << grown)
        if isinstance(layer, Conv | Pool | Add | Multiply):
            low, high = layer.clip
            layer = replace(layer, clip=(low << grown, (high + 1 << grown) - 1))
        layers.append(layer)
    return replace(network, tensors=tensors, layers=tuple(layers))


def _widened(layer: Conv, tensors: dict[str, Tensor], rng: np.random.Generator) -> Conv:
    grown = 8 * (tensors[layer.input].fmt.bits > 8)
    finest = None if layer.residual is None else tensors[layer.residual].fmt.frac
    coarse = finest is not None and finest > tensors[layer.input].fmt.frac + int(layer.weight_frac.min())
    bias = layer.bias << grown
    if not (coarse or rng.integers(4)):
        return replace(layer, bias=bias)
    weight = layer.weight * 256 + rng.integers(0, 256, layer.weight.shape) * (layer.weight != 0)
    return replace(layer, weight=weight, weight_frac=layer.weight_frac + 8, weight_bits=16, bias=bias << 8)


def _of_one_width(network: Network) -> list[set[str]]:
    """Tensors of 8 bits, together where layers hand integers on or where their formats depend on one another."""
    groups = [{name} for name, tensor in network.tensors.items() if tensor.fmt.bits == 8]
    for layer in network.layers:
        if not isinstance(layer, Conv):
            joined = {layer.output, *layer.inputs}
            together = [group for group in groups if group & joined]
            groups = [group for group in groups if not group & joined] + [set().union(*together)] * bool(together)
    return groups


def _around(rng: np.random.Generator) -> Pads:
    top, left, bottom, right = (int(pad) for pad in rng.integers(0, 3, 4))
    return top, left, bottom, right


def _random_layer(b: Builder, rng: np.random.Generator, live: list[str], kinds: int) -> str | None:
    source = live[int(rng.integers(len(live)))]
    channels, height, width = b.shape(source)
    alike = [name for name in live if b.shape(name) == b.shape(source)]
    other = alike[int(rng.integers(len(alike)))]
    window = random_window(rng, height, width)
    match rng.integers(kinds):
        case 0 | 1:
            return b.conv(source, int(rng.integers(1, 70)), window)
        case 2:
            return b.conv(source, channels * int(rng.integers(1, 3)), window, groups=channels)
        case 3:
            groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
            return b.conv(source, groups * int(rng.integers(1, 6)), window, groups=groups)
        case 4 if channels * height * width < 6000:
            return b.conv(source, int(rng.integers(1, 70)), Window((height, width)), op="Gemm")
        case 5:
            whole = (
                Window((height, width))
                if height * width < 900 and width < 128
                else Window((2, 2), (2, 2), (0, 0, 1, 1))
            )
            window = whole if rng.integers(4) == 0 else random_window(rng, height, width, pooling=True)
            return b.pool(source, str(rng.choice(["max", "average"])), window)
        case 6:
            return b.add(source, other)
        case 7:
            return b.conv(source, channels, SAME, residual=other)
        case 8:
            fmt = QFormat(8, int(rng.integers(2, 7)), bool(rng.integers(2)))
            parts = [b.conv(source, int(rng.integers(1, 30)), w, fmt=fmt) for w in (SAME, Window())]
            if rng.integers(3) == 0:
                live.append(parts[0])
            return b.concat(*parts, *(parts[:1] if rng.integers(4) == 0 else []))
        case 9 if channels * height * width < 3000:
            return b.resize(source, (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
        case 12:
            return b.table(source)
        case 13 if channels * height * width < 6000:
            return b.gated(source)
        case 11 if channels * height * width < 3000:
            return b.edge_pad(source, _around(rng))
        case 14 if channels * height * width < 3000:
            return b.constant_pad(source, _around(rng), bool(rng.integers(2)))
        case 16:
            return b.multiply(source, other)
        case 15 if channels * height * width < 3000 and min(height, width) > 2:
            return b.edge_pad(source, _around(rng), "reflect")
        case 10 if height * width < 300:
            block = int(rng.integers(1, 4))
            made = b.conv(source, block * block * int(rng.integers(1, 20)), window)
            return b.depth_to_space(made, block, "DCR" if rng.integers(2) else "CRD")
    return None
