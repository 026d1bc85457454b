"""The integer executor's reference: loops over Python's own integers; and small networks to hold it to."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.run.execute import execute

U8, S8 = QFormat(8, 4, signed=False), QFormat(8, 4)

WINDOWS = [
    Window(),
    Window((3, 3), pads=(1, 1, 1, 1)),
    Window((3, 3), (2, 2), (0, 0, 1, 1)),
    Window((1, 1), (2, 2)),
    Window((1, 1), pads=(1, 1, 1, 1)),
    Window((5, 2), (1, 3), (2, 0, 1, 1)),
    Window((3, 2), (2, 1), (2, 1, 2, 1), (2, 3)),
    Window((9, 7)),
]


# the reference: loops over Python integers, one rounding of an exact fraction


def elements(window: Window, height: int, width: int, oy: int, ox: int) -> list[tuple[int, int, int, int]]:
    """The kernel elements (ky, kx) of one output pixel that lie inside the input, with where (y, x)."""
    found = []
    for ky, kx in itertools.product(range(window.kernel[0]), range(window.kernel[1])):
        y = oy * window.stride[0] + ky * window.dilation[0] - window.pads[0]
        x = ox * window.stride[1] + kx * window.dilation[1] - window.pads[1]
        if 0 <= y < height and 0 <= x < width:
            found.append((ky, kx, y, x))
    return found


def reference_layer(network: Network, layer: Layer, values: dict[str, list]) -> list:
    """One layer of one image on nested lists [c][y][x] of Python integers."""
    tensors = network.tensors
    channels, height, width = tensors[layer.output].shape
    out_frac = tensors[layer.output].fmt.frac
    x = values[layer.inputs[0]]
    h, w = len(x[0]), len(x[0][0])

    def pixel(c: int, oy: int, ox: int) -> int:
        if isinstance(layer, Add):
            terms = [Fraction(values[n][c][oy][ox]) / Fraction(2) ** tensors[n].fmt.frac for n in layer.inputs]
            real = sum(terms, Fraction(0))
        elif isinstance(layer, Pool):
            inside = [x[c][iy][ix] for _, _, iy, ix in elements(layer.window, h, w, oy, ox)]
            if layer.kind == "max":
                return min(max(max(inside), layer.clip[0]), layer.clip[1])
            count = math.prod(layer.window.kernel) if layer.count_include_pad else len(inside)
            real = Fraction(sum(inside), count) / Fraction(2) ** tensors[layer.input].fmt.frac
        else:
            per_group = layer.weight.shape[1]
            first = c // (channels // layer.groups) * per_group
            acc = int(layer.bias[c])
            for ky, kx, iy, ix in elements(layer.window, h, w, oy, ox):
                for i in range(per_group):
                    acc += int(layer.weight[c, i, ky, kx]) * x[first + i][iy][ix]
            real = Fraction(acc) / Fraction(2) ** (tensors[layer.input].fmt.frac + int(layer.weight_frac[c]))
            if layer.residual is not None:
                real += Fraction(values[layer.residual][c][oy][ox]) / Fraction(2) ** tensors[layer.residual].fmt.frac
        return min(max(round(real * Fraction(2) ** out_frac), layer.clip[0]), layer.clip[1])

    if isinstance(layer, Concat):
        return [plane for name in layer.inputs for plane in values[name]]
    return [[[pixel(c, oy, ox) for ox in range(width)] for oy in range(height)] for c in range(channels)]


def reference(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of a network for images (N, C, H, W)."""
    results: dict[str, list] = {name: [] for name in network.tensors}
    for image in x:
        values = {network.inputs[0]: image.tolist()}
        for layer in network.layers:
            values[layer.output] = reference_layer(network, layer, values)
        for name, value in values.items():
            results[name].append(value)
    return {name: np.array(value) for name, value in results.items()}


# networks to try


def conv(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    outputs: int,
    window: Window,
    groups: int = 1,
    residual: str | None = None,
    clip: tuple[int, int] = (0, 255),
) -> Conv:
    weight = rng.integers(-128, 128, (outputs, shape[0] // groups, *window.kernel))
    return Conv(
        "conv",
        "x",
        "y",
        weight,
        weight_frac=rng.integers(3, 9, outputs),
        weight_bits=8,
        bias=rng.integers(-5000, 5000, outputs),
        window=window,
        groups=groups,
        clip=clip,
        residual=residual,
    )


def one_layer(
    layer: Layer, shape: tuple[int, int, int], out: tuple[int, int, int], fmt: QFormat, out_fmt: QFormat
) -> Network:
    tensors = {"x": Tensor("x", shape, fmt), layer.output: Tensor(layer.output, out, out_fmt)}
    return Network("net", tensors, (layer,), ("x",), (layer.output,))


def images(rng: np.random.Generator, network: Network, count: int = 2) -> np.ndarray:
    tensor = network.tensors[network.inputs[0]]
    return rng.integers(tensor.fmt.low, tensor.fmt.high + 1, (count, *tensor.shape))


def agrees(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """The executor's tensors, after every one was found equal to the reference's."""
    got, wanted = execute(network, x, network.tensors), reference(network, x)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].dtype == network.tensors[name].fmt.dtype
        assert (got[name] == value).all(), name
    return got


def branches(rng: np.random.Generator) -> Network:
    """A residual, a concatenation, both poolings, a depthwise and a fully connected layer in one network."""
    shapes = {"x": 3, "a": 4, "b": 4, "c": 4, "d": 8, "e": 8, "f": 8, "g": 5}
    sizes = {"x": 8, "a": 8, "b": 8, "c": 8, "d": 8, "e": 4, "f": 2, "g": 1}
    fmts = {n: QFormat(8, 2 if n in "bcde" else 3, signed=False) for n in shapes} | {"x": S8, "g": QFormat(16, 5)}
    tensors = {n: Tensor(n, (shapes[n], sizes[n], sizes[n]), fmts[n]) for n in shapes}
    same = Window((3, 3), pads=(1, 1, 1, 1))

    def part(name: str, source: str, outputs: int, window: Window, groups: int = 1, **fields) -> Conv:
        layer = conv(rng, tensors[source].shape, outputs, window, groups)
        return dataclasses.replace(layer, name=f"to_{name}", input=source, output=name, **fields)

    layers = (
        part("a", "x", 4, same),
        part("b", "a", 4, same, residual="a"),
        part("c", "b", 4, same, 4, clip=(0, 24)),
        Concat("to_d", ("b", "c"), "d"),
        Pool("to_e", "d", "e", "max", Window((3, 3), (2, 2), (0, 0, 1, 1)), (0, 255)),
        Pool("to_f", "e", "f", "average", Window((2, 2), (2, 2)), (0, 255)),
        part("g", "f", 5, Window((2, 2)), op="Gemm", clip=(-32768, 32767)),
    )
    return Network("branches", tensors, layers, ("x",), ("g", "e"))
