"""Random integer networks: small, of every kind of layer, and such that their integers fill their ranges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.inputs import Given, together
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.conv import Conv
from quant.kinds.depth_to_space import DepthToSpace
from quant.kinds.edge_pad import EdgePad
from quant.kinds.multiply import Multiply
from quant.kinds.padding import Padding, Pads
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from tests.host.networks import compressed


class _Maker:
    def __init__(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> None:
        self.rng = rng
        signed = bool(rng.integers(2))
        self.tensors = {"x": Tensor("x", shape, QFormat(8, int(rng.integers(3, 8)), signed))}
        self.layers: list[Layer] = []
        self.last = "x"
        self.inputs = ["x"]

    def second(self) -> None:
        """Another input, like the first: convolved by itself, added to the first, or joined with it."""
        first = self.tensors["x"]
        self.tensors["second"] = replace(first, name="second")
        self.inputs.append("second")
        channels, height, width = first.shape
        match self.pick("conv", "sum", "join"):
            case "conv":
                self.last = "second"
                self.conv("alone")
            case "sum":
                fmt = replace(first.fmt, frac=first.fmt.frac - 1)
                self.add(Add("sum", ("x", "second"), "t_sum", (fmt.low, fmt.high)), first.shape, fmt)
            case _:
                self.add(Concat("join", ("second", "x"), "t_join"), (2 * channels, height, width), first.fmt)

    def pick(self, *choices: object) -> object:
        return choices[int(self.rng.integers(len(choices)))]

    def add(self, layer: Layer, shape: tuple[int, ...], fmt: QFormat) -> None:
        channels, height, width = shape
        self.tensors[layer.output] = Tensor(layer.output, (channels, height, width), fmt)
        self.layers.append(layer)
        self.last = layer.output

    def window(self, height: int, width: int, largest: int) -> Window:
        """A window that fits the map, padding smaller than the kernel."""
        kernel, stride, dilation, pads = [], [], [], []
        for size in (height, width):
            k = int(self.rng.integers(1, min(largest, size) + 1))
            d = int(self.pick(1, 1, 2)) if (k - 1) * 2 < size else 1  # type: ignore[call-overload]
            kernel.append(k)
            dilation.append(d)
            stride.append(int(self.rng.integers(1, 4)))
            pads.append([int(p) for p in self.rng.integers(0, k, 2)])
        (top, bottom), (left, right) = pads
        return Window(
            (kernel[0], kernel[1]), (stride[0], stride[1]), (top, left, bottom, right), (dilation[0], dilation[1])
        )

    def conv(self, name: str, wide: bool = False, wanted: int | None = None) -> None:
        source = self.tensors[self.last]
        outputs = wanted or int(self.rng.integers(1, 25))
        channels, height, width = source.shape
        residual = self._residual(outputs) if not wide and wanted is None and self.rng.integers(3) == 0 else None
        if residual is not None and self.tensors[residual].shape[1:] == source.shape[1:]:
            outputs, k = self.tensors[residual].shape[0], int(self.pick(1, 3))  # type: ignore[call-overload]
            window = Window((k, k), pads=(k // 2,) * 4)
        else:
            residual, window = None, self.window(height, width, 5)
        gemm = wide or (residual is None and self.rng.integers(6) == 0)
        if gemm:
            window = Window((height, width))
        groups = 1
        if not gemm and residual is None and self.rng.integers(6) == 0:
            groups = math.gcd(channels, outputs)
        shape = (outputs, *window.output_size(height, width))
        taps = channels // groups * window.kernel[0] * window.kernel[1]
        frac = self.rng.integers(6, 9, outputs)
        result = self._result(source, taps, int(frac.max()), wide)
        if residual is not None and self.tensors[residual].fmt.frac > source.fmt.frac + int(frac.min()):
            residual = None
        weight = self.rng.integers(-128, 128, (outputs, channels // groups, *window.kernel))
        bias = self.rng.integers(-(1 << 12), 1 << 12, outputs)
        clip = (max(result.low, 0 if self.rng.integers(2) else result.low), result.high - int(self.rng.integers(4)))
        layer = Conv(
            name,
            self.last,
            f"t_{name}",
            weight,
            frac,
            8,
            bias,
            window,
            groups,
            clip,
            residual,
            "Gemm" if gemm else "Conv",
        )
        self.add(layer, shape, result)

    def _result(self, source: Tensor, taps: int, frac: int, wide: bool) -> QFormat:
        """A format that the sums of `taps` products fill."""
        bits = 16 if wide else 8
        reach = source.fmt.frac + frac - (14 + math.ceil(math.log2(taps) / 2))
        return QFormat(bits, reach + bits - 1 + int(self.rng.integers(-1, 2)), wide or bool(self.rng.integers(2)))

    def _residual(self, outputs: int) -> str | None:
        shapes = [n for n, t in self.tensors.items() if t.shape[1:] == self.tensors[self.last].shape[1:]]
        return str(self.pick(*shapes)) if shapes else None

    def pool(self, name: str, kind: str, wide: bool = False) -> None:
        source = self.tensors[self.last]
        channels, height, width = source.shape
        window = replace(self.window(height, width, 4), dilation=(1, 1))
        if self.rng.integers(4) == 0:
            window = Window((height, width))
        # every window must see the input
        rows, columns = window.output_size(height, width)
        top, left, _, _ = window.pads
        if (rows - 1) * window.stride[0] - top >= height or (columns - 1) * window.stride[1] - left >= width:
            window = replace(window, pads=(0, 0, 0, 0))
        fmt = source.fmt
        include = bool(self.rng.integers(2))
        if kind == "average":
            more = 4 if wide else int(self.rng.integers(-1, 3))
            fmt = QFormat(16 if wide else 8, fmt.frac + more, fmt.signed)
        layer = Pool(name, self.last, f"t_{name}", kind, window, (fmt.low, fmt.high), include)  # type: ignore[arg-type]
        self.add(layer, (channels, *window.output_size(height, width)), fmt)

    def join(self, name: str) -> None:
        source = self.tensors[self.last]
        alike = [n for n, t in self.tensors.items() if t.shape == source.shape and n != self.last]
        if alike and self.rng.integers(2):
            other = self.tensors[str(self.pick(*alike))]
            fmt = QFormat(8, min(source.fmt.frac, other.fmt.frac) - 1, source.fmt.signed or other.fmt.signed)
            self.add(Add(name, (self.last, other.name), f"t_{name}", (fmt.low, fmt.high)), source.shape, fmt)
            return
        alike = [n for n, t in self.tensors.items() if t.fmt == source.fmt and t.shape[1:] == source.shape[1:]]
        parts = tuple(str(n) for n in self.rng.permutation(alike)[:3])
        if len(parts) > 1:
            channels = sum(self.tensors[n].shape[0] for n in parts)
            self.add(Concat(name, parts, f"t_{name}"), (channels, *source.shape[1:]), source.fmt)

    def enlarge(self, name: str) -> None:
        """By copies, by edges, by numbers around, or by channels that become blocks."""
        down, across = (int(factor) for factor in self.rng.integers(1, 4, 2))
        channels, height, width = self.tensors[self.last].shape
        how = self.pick("copies", "edges", "numbers", "blocks")
        if how in ("edges", "numbers"):
            self.pad(name, (down - 1, across - 1, 1, 2), how == "edges")
            return
        if how == "copies":
            shape = channels, height * down, width * across
            self.add(Resize(name, self.last, f"t_{name}", (down, across)), shape, self.tensors[self.last].fmt)
            return
        if self.tensors[self.last].shape[0] % down**2:
            self.conv(f"{name}_conv", wanted=down**2 * int(self.rng.integers(1, 10)))
        source = self.tensors[self.last]
        channels, height, width = source.shape
        layer = DepthToSpace(name, self.last, f"t_{name}", down, "DCR" if across == 1 else "CRD")
        self.add(layer, (channels // down**2, height * down, width * down), source.fmt)

    def pad(self, name: str, pads: Pads, copied: bool) -> None:
        """With copies of the map's own rows and columns, or with one number, or with one for each channel."""
        source = self.tensors[self.last]
        channels, height, width = source.shape
        layer: Padding
        if copied:
            mirrored = min(height, width) > max(pads) and bool(self.rng.integers(2))
            layer = EdgePad(name, self.last, f"t_{name}", pads, "reflect" if mirrored else "edge")
        else:
            count = int(self.pick(1, channels))  # type: ignore[call-overload]
            values = np.resize(self.rng.integers(source.fmt.low, source.fmt.high + 1, count), channels)
            layer = ConstantPad(name, self.last, f"t_{name}", pads, values)
        self.add(layer, layer.output_shape({self.last: source.shape}), source.fmt)

    def multiply(self, name: str, wide: bool = False) -> None:
        """By a gate that a fully connected layer makes of the same map."""
        source, bits = self.last, 16 if wide else 8
        channels, height, width = self.tensors[source].shape
        weight = self.rng.integers(-128, 128, (channels, channels, height, width))
        frac, bias = self.rng.integers(6, 9, channels), self.rng.integers(-(1 << 12), 1 << 12, channels)
        fmt = self._result(self.tensors[source], channels * height * width, int(frac.max()), False)
        window, clip = Window((height, width)), (fmt.low, fmt.high)
        gate = Conv(f"{name}_gate", source, f"t_{name}_gate", weight, frac, 8, bias, window, 1, clip, None, "Gemm")
        self.add(gate, (channels, 1, 1), fmt)
        shift = int(self.rng.integers(5, 8)) - (8 if wide else 0)
        fmt = QFormat(bits, self.tensors[source].fmt.frac + fmt.frac - shift, bool(self.rng.integers(2)) or wide)
        layer = Multiply(name, (source, gate.output), f"t_{name}", (fmt.low, fmt.high))
        self.add(layer, self.tensors[source].shape, fmt)

    def square(self, name: str, wide: bool = False) -> None:
        """The product of two maps of one shape, perhaps of a map with itself."""
        source, bits = self.tensors[self.last], 16 if wide else 8
        other = self.tensors[str(self.pick(*(n for n, t in self.tensors.items() if t.shape == source.shape)))]
        shift = int(self.rng.integers(5, 8)) - (8 if wide else 0)
        signed = source.fmt.signed or other.fmt.signed or wide
        fmt = QFormat(bits, source.fmt.frac + other.fmt.frac - shift, signed)
        layer = Multiply(name, (source.name, other.name), f"t_{name}", (fmt.low, fmt.high))
        self.add(layer, source.shape, fmt)

    def table(self, name: str, wide: bool = False) -> None:
        source, bits = self.tensors[self.last], 16 if wide else 8
        fmt = QFormat(bits, int(self.rng.integers(3, 8)), bool(self.rng.integers(2)))
        entries = self.rng.integers(fmt.low, fmt.high + 1, 1 << source.fmt.bits)
        self.add(Table(name, self.last, f"t_{name}", entries, "f(x)"), source.shape, fmt)

    def network(self) -> Network:
        read = {name for layer in self.layers for name in layer.inputs}
        outputs = tuple(layer.output for layer in self.layers if layer.output not in read)
        return Network("random", self.tensors, tuple(self.layers), tuple(self.inputs), outputs)


def random_network(seed: int, layers: int = 4, largest: int = 14, inputs: int = 1) -> Network:
    """A network of about so many layers, the one input or two at most `largest` pixels wide and high."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(3, largest + 1, 2))
    maker = _Maker(rng, (int(rng.integers(1, 13)), height, width))
    maker.conv("l0")
    if inputs > 1:
        maker.second()
    for k in range(1, layers):
        kind = str(
            maker.pick("conv", "conv", "conv", "max", "average", "join", "enlarge", "table", "multiply", "square")
        )
        name = f"l{k}"
        if kind == "conv":
            maker.conv(name, wide=k == layers - 1 and bool(rng.integers(2)))
        elif kind == "table":
            maker.table(name, wide=k == layers - 1 and bool(rng.integers(2)))
        elif kind == "square":
            maker.square(name, wide=k == layers - 1 and bool(rng.integers(2)))
        elif kind == "multiply":
            if math.prod(maker.tensors[maker.last].shape) < 2000:
                maker.multiply(name, wide=k == layers - 1 and bool(rng.integers(2)))
        elif kind == "join":
            maker.join(name)
        elif kind == "enlarge":
            if math.prod(maker.tensors[maker.last].shape[1:]) < 200:
                maker.enlarge(name)
        else:
            maker.pool(name, kind, wide=kind == "average" and k == layers - 1 and bool(rng.integers(2)))
    return compressed(maker.network())


def random_images(network: Network, count: int, seed: int) -> np.ndarray:
    """Integers of the network's input: (count, C, H, W)."""
    images = random_inputs(network, count, seed)
    assert isinstance(images, np.ndarray)
    return images


def random_inputs(network: Network, count: int, seed: int) -> Given:
    """Integers of each of the network's inputs: (count, C, H, W)."""
    rng, tensors = np.random.default_rng(seed), [network.tensors[name] for name in network.inputs]
    return together({t.name: rng.integers(t.fmt.low, t.fmt.high + 1, (count, *t.shape)) for t in tensors})
