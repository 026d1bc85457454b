"""The integer executor against a naive reference in Python's own integers, and the proof of its bounds."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.ir.bounds import accumulator_bits, accumulator_bound, prove, tensor_bounds
from quant.ir.digest import digest
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Bound, Tensor
from quant.ir.window import Window
from quant.kinds import kernels
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.run.execute import Executor, execute, quantize_input

U8, S8 = QFormat(8, 4, signed=False), QFormat(8, 4)


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
        values = {network.input: image.tolist()}
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
    return Network("net", tensors, (layer,), "x", (layer.output,))


def images(rng: np.random.Generator, network: Network, count: int = 2) -> np.ndarray:
    tensor = network.tensors[network.input]
    return rng.integers(tensor.fmt.low, tensor.fmt.high + 1, (count, *tensor.shape))


def agrees(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """The executor's tensors, after every one was found equal to the reference's."""
    got, wanted = execute(network, x, network.tensors), reference(network, x)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].dtype == network.tensors[name].fmt.dtype
        assert (got[name] == value).all(), name
    return got


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


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("groups", "outputs"), [(1, 5), (2, 6), (4, 4), (4, 8)])
@pytest.mark.parametrize("fmt", [U8, S8])
def test_convolution(seed, window, groups, outputs, fmt):
    rng = np.random.default_rng(seed)
    layer = conv(rng, (4, 9, 7), outputs, window, groups)
    network = one_layer(layer, (4, 9, 7), (outputs, *window.output_size(9, 7)), fmt, QFormat(8, 2, signed=False))
    agrees(network, images(rng, network))


@pytest.mark.parametrize("scale", [1, 2**7, 2**36])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolution_in_float32_float64_and_integers(seed, scale, groups):
    """Weights and bias grow until the bound passes 2**24, then 2**53; the result stays exact."""
    rng = np.random.default_rng(seed)
    fmt = QFormat(16, 4)
    layer = conv(rng, (4, 5, 5), 4, Window((3, 3)), groups, clip=(-32768, 32767))
    layer = dataclasses.replace(layer, weight=layer.weight * scale + 1, bias=layer.bias * scale + 1)
    layer = dataclasses.replace(layer, weight_frac=layer.weight_frac + scale.bit_length(), weight_bits=46)
    x = rng.integers(-900, 900, (3, 4, 5, 5))
    network = one_layer(layer, (4, 5, 5), (4, 3, 3), QFormat(11, 4), fmt)
    types = {1: np.float32, 2**7: np.float64, 2**36: np.int64}
    assert layer.prepare(network.tensors, tensor_bounds(network)).dtype == types[scale]
    agrees(network, x)


def test_ties_are_rounded_to_even():
    """A weight of 1 and a shift of 1 make every odd input a tie."""
    ones = np.ones((1, 1, 1, 1), np.int64)
    layer = Conv("conv", "x", "y", ones, np.array([1]), 8, np.array([0]), Window(), 1, (-128, 127))
    network = one_layer(layer, (1, 1, 256), (1, 1, 256), QFormat(8, 3), QFormat(8, 3))
    x = np.arange(-128, 128).reshape(1, 1, 1, 256)
    assert (agrees(network, x)["y"] == np.rint(x / 2)).all()


@pytest.mark.parametrize("right", [-15, -9, -1, 0, 1, 14, 32])
def test_shifts_of_either_sign(seed, right):
    rng = np.random.default_rng(seed)
    layer = conv(rng, (3, 4, 4), 2, Window(), clip=(-128, 127))
    layer = dataclasses.replace(
        layer, weight_frac=np.array([right, right + 3]), weight=layer.weight % 3 - 1, bias=layer.bias % 5
    )
    network = one_layer(layer, (3, 4, 4), (2, 4, 4), QFormat(8, 5), QFormat(8, 5))
    agrees(network, images(rng, network))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
def test_residual_shares_the_one_rounding(seed, kernel):
    rng = np.random.default_rng(seed)
    window = Window(kernel, pads=(kernel[0] - 1, 0, 0, kernel[1] - 1))
    layer = conv(rng, (4, 6, 6), 4, window, residual="r", clip=(0, 200))
    stem = dataclasses.replace(conv(rng, (4, 6, 6), 4, Window()), name="stem", output="r")
    tensors = {
        "x": Tensor("x", (4, 6, 6), S8),
        "r": Tensor("r", (4, 6, 6), QFormat(8, 3, signed=False)),
        "y": Tensor("y", (4, 6, 6), QFormat(8, 1, signed=False)),
    }
    network = Network("net", tensors, (stem, layer), "x", ("y", "r"))
    right, left = layer.shifts(network.tensors)
    assert (left == layer.weight_frac + 4 - 3).all() and (right == layer.weight_frac + 4 - 1).all()
    agrees(network, images(rng, network))


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.pads != (1, 1, 1, 1) or w.kernel != (1, 1)])
@pytest.mark.parametrize("fmt", [U8, S8, QFormat(16, 9)])
def test_max_pooling(seed, window, fmt):
    rng = np.random.default_rng(seed)
    layer = Pool("pool", "x", "y", "max", window, (max(fmt.low, -100), min(fmt.high, 200)))
    network = one_layer(layer, (3, 9, 7), (3, *window.output_size(9, 7)), fmt, fmt)
    agrees(network, images(rng, network))


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.pads != (1, 1, 1, 1) or w.kernel != (1, 1)])
@pytest.mark.parametrize("include_pad", [True, False])
@pytest.mark.parametrize(
    ("fmt", "out"), [(U8, U8), (S8, QFormat(8, 6)), (U8, QFormat(16, 11, signed=False)), (S8, QFormat(8, 2))]
)
def test_average_pooling(seed, window, include_pad, fmt, out):
    rng = np.random.default_rng(seed)
    layer = Pool("pool", "x", "y", "average", window, (out.low, out.high), include_pad)
    network = one_layer(layer, (3, 9, 7), (3, *window.output_size(9, 7)), fmt, out)
    agrees(network, images(rng, network))


@pytest.mark.parametrize(("first", "second", "out"), [(4, 4, 4), (4, 7, 3), (-2, 3, 5), (5, 1, -1)])
def test_add_aligns_and_rounds_once(seed, first, second, out):
    rng = np.random.default_rng(seed)
    stem = dataclasses.replace(conv(rng, (4, 3, 3), 4, Window(), clip=(-128, 127)), name="stem", output="a")
    layer = Add("add", ("x", "a"), "y", (-100, 127))
    shape = (4, 3, 3)
    tensors = {n: Tensor(n, shape, QFormat(8, f)) for n, f in (("x", first), ("a", second), ("y", out))}
    network = Network("net", tensors, (stem, layer), "x", ("y",))
    agrees(network, images(rng, network))


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
    return Network("branches", tensors, layers, "x", ("g", "e"))


def test_a_whole_network_tensor_by_tensor(seed):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    agrees(network, images(rng, network, 3))


def test_batches_and_rows_change_nothing(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    x = images(rng, network, 7)
    whole = execute(network, x, network.tensors)
    monkeypatch.setattr("quant.kinds.kernels.BATCH_BYTES", 3 * 8 * 8 * (4 + 4 + 8) * 8)
    monkeypatch.setattr(kernels, "COLUMN_BYTES", 2000)
    pieces = execute(network, x, network.tensors)
    assert all((whole[name] == pieces[name]).all() for name in network.tensors)


def test_only_what_is_asked_for_is_returned(seed):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    x = images(rng, network)
    assert list(execute(network, x)) == ["g", "e"]
    assert list(execute(network, x, ["c", "x"])) == ["c", "x"]
    assert (execute(network, x, ["x"])["x"] == x).all()
    assert execute(network, x[:0])["g"].shape == (0, 5, 1, 1)
    with pytest.raises(KeyError, match="network branches has no tensor nobody"):
        execute(network, x, ["nobody"])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3, 8, 9), int), r"the network takes \(N, 3, 8, 8\), not \(2, 3, 8, 9\)"),
        (np.zeros((3, 8, 8), int), r"the network takes \(N, 3, 8, 8\), not \(3, 8, 8\)"),
        (np.zeros((2, 3, 8, 8)), "the network takes integers, not float64"),
        (np.full((2, 3, 8, 8), 128), "the network takes integers from -128 to 127, not 128 to 128"),
    ],
)
def test_unfit_inputs_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        execute(branches(np.random.default_rng(0)), x)


def test_contradicting_formats_are_refused():
    network = branches(np.random.default_rng(0))
    for name, layer in (("b", "to_d"), ("e", "to_e")):
        other = network.tensors | {name: dataclasses.replace(network.tensors[name], fmt=QFormat(8, 1, signed=False))}
        with pytest.raises(ValueError, match=f"layer {layer}: computes nothing"):
            Executor(dataclasses.replace(network, tensors=other))
    finer = network.tensors | {"a": dataclasses.replace(network.tensors["a"], fmt=QFormat(8, 9, signed=False))}
    conv_b = dataclasses.replace(network.layers[1], weight_frac=np.array([0, 0, -1, 0]))
    with pytest.raises(ValueError, match="layer to_b: residual a has more fractional bits"):
        Executor(dataclasses.replace(network, tensors=finer, layers=(network.layers[0], conv_b, *network.layers[2:])))


def test_images_become_integers_of_the_input():
    network = branches(np.random.default_rng(0))
    x = quantize_input(network, np.full((1, 3, 8, 8), 0.53125, np.float32))
    assert x.dtype == np.int8 and (x == 8).all()  # 8.5 to even


# bounds


def test_widths():
    cases = [(0, 0, 1), (0, 127, 8), (-128, 0, 8), (-129, 0, 9), (0, 128, 9), (-(2**31), 2**31 - 1, 32), (0, 2**31, 33)]
    assert [Bound(low, high).bits for low, high, _ in cases] == [bits for *_, bits in cases]
    assert Bound(-300, 20).magnitude == 300


@pytest.mark.parametrize("fmt", [U8, S8, QFormat(3, 0), QFormat(3, 0, signed=False)])
def test_the_bound_is_reached_by_some_order_and_passed_by_none(seed, fmt):
    """Partial sums of every subset of terms are its definition: the extremes are built here term by term."""
    rng = np.random.default_rng(seed)
    layer = conv(rng, (2, 3, 3), 3, Window((3, 3)), residual="x2", clip=(0, 7))
    tensors = {
        "x": Tensor("x", (2, 3, 3), fmt),
        "x2": Tensor("x2", (3, 1, 1), QFormat(8, 2)),
        "y": Tensor("y", (3, 1, 1), QFormat(8, 0, signed=False)),
    }
    stem = dataclasses.replace(conv(rng, (2, 3, 3), 3, Window((3, 3)), clip=(-50, 100)), name="stem", output="x2")
    network = Network("net", tensors, (stem, layer), "x", ("y",))
    low = high = 0
    for o in range(3):
        left = fmt.frac + int(layer.weight_frac[o]) - 2
        terms = [[int(w) * fmt.low, int(w) * fmt.high, 0] for w in layer.weight[o].ravel()]
        terms += [[int(layer.bias[o]), 0], [-50 << left, 100 << left, 0]]
        low, high = min(low, sum(map(min, terms))), max(high, sum(map(max, terms)))
    assert accumulator_bound(network, layer) == Bound(low, high)


def test_the_bound_uses_the_clip_of_the_layer_before():
    network = branches(np.random.default_rng(0))
    assert tensor_bounds(network)["c"] == Bound(0, 24)
    assert tensor_bounds(network)["d"] == tensor_bounds(network)["e"] == Bound(0, 255)
    pool = network.layers[5]
    assert accumulator_bound(network, pool) == Bound(0, 4 * 255) and accumulator_bits(network, pool) == 11


def test_bound_of_an_add():
    tensors = {n: Tensor(n, (1, 1, 1), QFormat(8, f)) for n, f in (("x", 4), ("y", 0))}
    layer = Add("add", ("x", "x"), "y", (-128, 127))
    network = Network("net", tensors, (layer,), "x", ("y",))
    assert accumulator_bound(network, layer) == Bound(-256, 254) and accumulator_bits(network, layer) == 9


def test_no_accumulator_leaves_its_bound(seed):
    rng = np.random.default_rng(seed)
    network = branches(rng)
    layer = network.layers[0]
    x = images(rng, network, 50)
    acc = kernels.convolve(x.swapaxes(0, 1), layer.weight, layer.window, 1, np.dtype(np.int64))
    acc += layer.bias.reshape(-1, 1, 1, 1)
    bound = accumulator_bound(network, layer)
    assert bound.low <= acc.min() and acc.max() <= bound.high
    assert -(2 ** (bound.bits - 1)) <= bound.low and bound.high < 2 ** (bound.bits - 1)


def test_prove_names_layer_bound_and_width():
    network = branches(np.random.default_rng(0))
    prove(network, 32)
    needed = [accumulator_bits(network, layer) for layer in network.layers]
    worst = network.layers[int(np.argmax(needed))]
    prove(network, max(needed))
    magnitude = accumulator_bound(network, worst).magnitude
    bits = max(needed)
    message = (
        f"^layer {worst.name}: the accumulator can reach {magnitude}, which needs {bits} bits, and has {bits - 1}$"
    )
    with pytest.raises(UnsupportedNetwork, match=message):
        prove(network, max(needed) - 1)


# digest


def test_digest_is_of_the_values_and_not_of_how_they_lie():
    x = np.arange(-60, 60).reshape(2, 3, 4, 5)
    wanted = hashlib.sha256(b"".join(struct.pack("<i", v) for v in range(-60, 60))).hexdigest()
    assert digest(x) == wanted
    for dtype in (np.int8, np.int16, np.int32, ">i4"):
        assert digest(x.astype(dtype)) == wanted
    assert digest(np.asfortranarray(x)) == wanted
    assert digest(x[::-1]) != wanted and digest(x.reshape(2, 60)) == wanted


def test_digest_refuses_what_it_cannot_hold():
    with pytest.raises(TypeError, match="not of float32"):
        digest(np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="32-bit integers"):
        digest(np.array([2**31]))
    assert digest(np.array([2**31 - 1])) == digest(np.array([2**31 - 1], np.uint32))
