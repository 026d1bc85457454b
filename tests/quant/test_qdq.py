"""Quantized files: what is written is read back identical, and ONNX Runtime computes the same integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from quant import qdq
from quant.errors import BadInput, UnsupportedNetwork
from quant.execute import execute, quantize_input
from quant.files import write_atomic
from quant.fixedpoint import QFormat, average
from quant.network import Add, Concat, Conv, Layer, Network, Pool, Tensor, Window
from quant.onnx_import import INPUT_SHAPE

S8, U8 = QFormat(8, 4), QFormat(8, 4, signed=False)


def assert_same(one: Any, other: Any, where: str = "network") -> None:
    """Equal in every field, arrays in type too."""
    assert type(one) is type(other), where
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and np.array_equal(one, other), where
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for place, (part, counterpart) in enumerate(zip(one, other, strict=True)):
            assert_same(part, counterpart, f"{where}[{place}]")
    else:
        assert one == other, where


class Net:
    """Builds an integer network; each method returns the new tensor's name."""

    def __init__(self, shape: tuple[int, int, int], fmt: QFormat, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors = {"x": Tensor("x", shape, fmt)}
        self.layers: list[Layer] = []

    def put(self, make: Callable[[str], Layer], shape: tuple[int, ...], fmt: QFormat) -> str:
        name = f"t{len(self.layers)}"
        self.layers.append(make(name))
        self.tensors[name] = Tensor(name, (shape[0], shape[1], shape[2]), fmt)
        return name

    def clip(self, fmt: QFormat, clip: tuple[int, int] | None) -> tuple[int, int]:
        return (fmt.low, fmt.high) if clip is None else clip

    def conv(
        self,
        x: str,
        out: int,
        fmt: QFormat,
        *,
        window: Window = Window(),  # noqa: B008  frozen
        groups: int = 1,
        bits: int = 8,
        clip: tuple[int, int] | None = None,
        residual: str | None = None,
    ) -> str:
        channels, height, width = self.tensors[x].shape
        size = (out, channels // groups, *window.kernel)
        half = 1 << (bits - 1)
        needed = 0 if residual is None else max(0, self.tensors[residual].fmt.frac - self.tensors[x].fmt.frac)
        frac = self.random.integers(needed, needed + 5, out)
        bias = self.random.integers(-1000, 1000, out)
        weight = self.random.integers(-half, half, size)
        return self.put(
            lambda name: Conv(f"conv_{name}", x, name, weight, frac, bits, bias, window, groups,
                              self.clip(fmt, clip), residual),
            (out, *window.output_size(height, width)), fmt,
        )  # fmt: skip

    def gemm(self, x: str, out: int, fmt: QFormat, **options: Any) -> str:
        name = self.conv(x, out, fmt, window=Window(self.tensors[x].shape[1:]), **options)
        self.layers[-1] = dataclasses.replace(self.layers[-1], op="Gemm")  # type: ignore[arg-type,call-arg]
        return name

    def pool(
        self,
        x: str,
        kind: Literal["max", "average"],
        window: Window,
        fmt: QFormat | None = None,
        include: bool = True,
        clip: tuple[int, int] | None = None,
    ) -> str:
        tensor = self.tensors[x]
        fmt = fmt or tensor.fmt
        shape = (tensor.shape[0], *window.output_size(*tensor.shape[1:]))
        return self.put(
            lambda name: Pool(f"pool_{name}", x, name, kind, window, self.clip(fmt, clip), include), shape, fmt
        )

    def add(self, one: str, other: str, fmt: QFormat, clip: tuple[int, int] | None = None) -> str:
        shape = self.tensors[one].shape
        return self.put(lambda name: Add(f"add_{name}", (one, other), name, self.clip(fmt, clip)), shape, fmt)

    def concat(self, *parts: str) -> str:
        first = self.tensors[parts[0]]
        channels = sum(self.tensors[part].shape[0] for part in parts)
        return self.put(lambda name: Concat(f"concat_{name}", parts, name), (channels, *first.shape[1:]), first.fmt)

    def network(self, *outputs: str, **fields: Any) -> Network:
        shapes = {name: self.own(name) for name in outputs} | fields.pop("output_shapes", {})
        return Network("net", self.tensors, tuple(self.layers), "x", outputs, output_shapes=shapes, **fields)

    def own(self, name: str) -> tuple[int, ...]:
        layer = next(layer for layer in self.layers if layer.output == name)
        shape = self.tensors[name].shape
        return shape[:1] if isinstance(layer, Conv) and layer.op == "Gemm" else shape


def images(network: Network, count: int = 3, seed: int = 0) -> np.ndarray:
    """Real images that reach beyond the input's format and lie on ties of its rounding."""
    fmt = network.tensors[network.input].fmt
    shape = (count, *network.tensors[network.input].shape)
    units = np.random.default_rng(seed).uniform(2.5 * fmt.low - 2, 2.5 * fmt.high, shape)
    return np.ldexp(np.rint(units) / 2, -fmt.frac).astype(np.float32)


def check(network: Network) -> onnx.ModelProto:
    """Write, read back, run in ONNX Runtime; returns the model."""
    model = qdq.to_model(network)
    onnx.checker.check_model(model, full_check=True)
    assert_same(qdq.load(model), network)
    x = images(network)
    ours = execute(network, quantize_input(network, x), keep=network.tensors)
    theirs = qdq.run_layers(model, x, batch=2)
    assert list(theirs) == [network.input, *(layer.output for layer in network.layers)]
    for name, integers in theirs.items():
        assert integers.dtype == np.int64
        np.testing.assert_array_equal(integers, ours[name], err_msg=name)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    """The operators apart from QuantizeLinear and DequantizeLinear."""
    return [node.op_type for node in model.graph.node if "quantize" not in node.op_type.lower()]


# each kind of layer


def test_convolution_with_everything(tmp_path: Path) -> None:
    net = Net((4, 9, 8), S8)
    window = Window((3, 2), (2, 1), (1, 0, 2, 1), (2, 1))
    y = net.conv("x", 6, U8, window=window, groups=2, clip=(0, 96))
    z = net.conv("x", 6, S8, window=window, groups=2, clip=(-100, 90), residual=y)
    network = net.network(z, metadata={"preprocess.mean": "1,2,3"})
    model = check(network)
    assert operators(model) == ["Conv", "Clip", "Conv", "Add", "Clip"]
    assert [node.name for node in model.graph.node if node.op_type == "Conv"] == ["conv_t0", "conv_t1"]
    assert (model.opset_import[0].version, model.ir_version) == (21, 10)
    path = tmp_path / "net.onnx"
    qdq.save(network, path)
    assert_same(qdq.load(path), network)
    assert path.read_bytes() == model.SerializeToString(deterministic=True)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("fmt", "clip", "expected"),
    [
        (S8, None, []),
        (S8, (0, 127), ["Relu"]),
        (S8, (0, 100), ["Clip"]),
        (S8, (-100, 127), ["Clip"]),
        (S8, (-128, 5), ["Clip"]),
        (U8, None, ["Relu"]),
        (U8, (0, 96), ["Clip"]),
        (U8, (3, 255), ["Clip"]),
        (QFormat(6, 2), None, ["Clip"]),
        (QFormat(6, 2), (0, 31), ["Clip"]),
        (QFormat(6, 2, signed=False), (0, 63), ["Clip"]),
    ],
)
def test_bounds(fmt: QFormat, clip: tuple[int, int] | None, expected: list[str]) -> None:
    net = Net((2, 3, 3), S8)
    assert operators(check(net.network(net.conv("x", 2, fmt, clip=clip)))) == ["Conv", *expected]


@pytest.mark.parametrize("weight_bits", [2, 4, 5, 8, 11, 16])
@pytest.mark.parametrize("bits", [2, 3, 4, 8, 12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_widths(weight_bits: int, bits: int, signed: bool) -> None:
    few = QFormat(min(bits, 22 - weight_bits), 3, signed)  # so that the sums stay below 2**24
    net = Net((2, 3, 3), few)
    model = check(net.network(net.conv("x", 2, QFormat(bits, 1, signed), bits=weight_bits)))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    weight = {4: TensorProto.INT4, 8: TensorProto.INT8, 16: TensorProto.INT16}
    assert kinds["conv_t0.weight_quantized"] == next(kind for width, kind in weight.items() if weight_bits <= width)


def test_fully_connected_layers_keep_the_shapes_of_the_float_network() -> None:
    net = Net((2, 3, 4), S8)
    hidden = net.gemm("x", 5, U8, clip=(0, 255))
    y = net.gemm(hidden, 5, S8, residual=hidden)
    logits = net.gemm(y, 3, QFormat(16, 6))
    model = check(net.network(logits, softmax=frozenset({logits})))
    assert operators(model) == ["Flatten", "Gemm", "Relu", "Gemm", "Add", "Gemm", "Softmax"]
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [0, 3]


def test_flat_input() -> None:
    net = Net((6, 1, 1), S8)
    model = check(net.network(net.gemm("x", 2, S8), metadata={INPUT_SHAPE: "6"}))
    assert operators(model) == ["Gemm"]
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [0, 6]


def test_flat_tensors_where_maps_are_needed() -> None:
    net = Net((3, 2, 2), S8)
    a, b = net.gemm("x", 4, S8), net.gemm("x", 4, S8)
    total = net.add(a, a, S8)
    joined = net.concat(a, b)
    mixed = net.gemm(net.conv(joined, 4, S8, residual=total), 4, S8, residual=net.conv(total, 4, S8))
    check(net.network(mixed, joined, a))


@pytest.mark.parametrize("own", [(5,), (5, 1, 1)])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("softmax", [True, False])
def test_output_shapes(own: tuple[int, ...], flat: bool, softmax: bool) -> None:
    net = Net((2, 3, 4), S8)
    y = net.gemm("x", 5, S8) if flat else net.conv("x", 5, S8, window=Window((3, 4)))
    network = net.network(y, output_shapes={y: own}, softmax=frozenset({y} if softmax else ()))
    model = check(network)
    assert model.graph.output[0].name == (f"{y}_softmax" if softmax else y)
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [0, *own]


def test_outputs_that_layers_read_and_flattened_maps() -> None:
    net = Net((2, 3, 4), S8)
    y = net.conv("x", 2, S8)
    z = net.conv(y, 3, S8)
    check(net.network(z, y, output_shapes={y: (24,)}))


def test_concatenation_and_addition() -> None:
    net = Net((2, 4, 4), S8)
    a, b = net.conv("x", 3, U8), net.pool(net.conv("x", 1, U8), "max", Window((3, 3), pads=(1, 1, 1, 1)))
    joined = net.concat(a, b, a)
    total = net.add(net.conv(joined, 2, QFormat(8, 6)), net.conv("x", 2, QFormat(8, 1)), QFormat(8, 3), (0, 127))
    model = check(net.network(total))
    assert operators(model).count("Concat") == 1


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("window", [
    Window((2, 2), (2, 2)), Window((3, 3), (2, 2), (1, 1, 1, 1)), Window((3, 2), (2, 1), (2, 1, 1, 0)),
    Window((2, 3), (1, 2), (0, 2, 1, 1), (2, 1)), Window((7, 7)), Window((5, 3), (1, 1), (4, 2, 4, 2)),
])  # fmt: skip
@pytest.mark.parametrize("frac", [2, 4, 7])
def test_average_pools(window: Window, include: bool, frac: int) -> None:
    net = Net((3, 9, 8), S8)
    y = net.pool("x", "average", window, QFormat(8, frac), include)
    assert operators(check(net.network(y))) == ["AveragePool"]


@pytest.mark.parametrize("kernel", [(1, 2), (3, 1), (2, 2), (5, 1), (3, 3), (7, 7), (8, 8), (25, 5), (13, 13)])
@pytest.mark.parametrize("frac", [-2, 0, 3])
def test_every_average_of_8_bit_maps_is_exact(kernel: tuple[int, int], frac: int) -> None:
    """ONNX Runtime sums and divides in float32; rounding its quotient gives the exact result for every sum."""
    count = kernel[0] * kernel[1]
    totals = np.arange(-128 * count, 127 * count + 1)
    share, rest = np.divmod(totals, count)
    x = np.repeat(share[:, None], count, axis=1) + (np.arange(count) < rest[:, None])
    net = Net((len(totals), *kernel), QFormat(8, 0))
    y = net.pool("x", "average", Window(kernel), QFormat(16, frac))
    integers = qdq.run_layers(qdq.to_model(net.network(y)), x.reshape(1, -1, *kernel).astype(np.float32))
    np.testing.assert_array_equal(integers["x"].sum((0, 2, 3)), totals)
    np.testing.assert_array_equal(integers[y].reshape(-1), average(totals, count, -frac))


@pytest.mark.parametrize("kernel", [(7, 7), (3, 5), (16, 12)])
@pytest.mark.parametrize("frac", [-3, 0, 1])
def test_average_ties_and_their_neighbours_at_the_largest_sums(kernel: tuple[int, int], frac: int) -> None:
    count = kernel[0] * kernel[1]
    top = (1 << 23 - max(frac, 0)) - 1
    halves = np.arange(1, 4000) * (2 * (top // 4000) // 2) + 1
    totals = np.unique(np.clip(np.concatenate([halves * count // 2 + d for d in (-1, 0, 1)]), -top, top))
    share, rest = np.divmod(totals, count)
    x = np.repeat(share[:, None], count, axis=1) + (np.arange(count) < rest[:, None])
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=list(kernel))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:]), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 21)])  # fmt: skip
    mean = qdq.run.plain_session(model, "g").run(None, {"x": x.reshape(1, -1, *kernel).astype(np.float32)})[0]
    rounded = np.rint(np.ldexp(mean.reshape(-1).astype(np.float64), frac)).astype(np.int64)
    np.testing.assert_array_equal(rounded, average(totals, count, -frac))


# whole networks


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_random_networks(seed: int) -> None:
    random = np.random.default_rng(seed)

    def fmt() -> QFormat:
        return QFormat(int(random.choice([3, 4, 6, 8, 8, 8])), int(random.integers(-2, 9)), bool(random.integers(2)))

    def clip(of: QFormat) -> tuple[int, int] | None:
        low, high = sorted(int(bound) for bound in random.integers(of.low, of.high + 1, 2))
        return [None, (max(of.low, 0), of.high), (max(of.low, 0), max(high, 0)), (low, high)][random.integers(4)]

    net = Net((int(random.integers(1, 4)), 6, 5), fmt(), seed)
    names = ["x"]
    for _ in range(int(random.integers(1, 9))):
        x = names[random.integers(max(0, len(names) - 3), len(names))]
        tensor, out = net.tensors[x], fmt()
        kernel = [int(min(3, size)) for size in tensor.shape[1:]]
        window = Window((kernel[0], kernel[1]), (1, 1), ((kernel[0] - 1) // 2, 0, kernel[0] // 2, kernel[1] - 1))
        like = [
            name for name in names if net.tensors[name].shape == tensor.shape and net.tensors[name].fmt == tensor.fmt
        ]
        same = [name for name in names if net.tensors[name].shape == tensor.shape]
        other = same[random.integers(len(same))]
        match random.integers(7):
            case 0:
                residual = other if random.integers(2) else None
                groups, bits = int(random.choice([1, tensor.shape[0]])), int(random.choice([2, 4, 8]))
                y = net.conv(x, tensor.shape[0], out, window=window, bits=bits, groups=groups, clip=clip(out),
                             residual=residual)  # fmt: skip
            case 1:
                y = net.conv(x, int(random.integers(1, 5)), out, clip=clip(out))
            case 2:
                y = net.pool(x, "max", window, clip=clip(tensor.fmt))
            case 3:
                y = net.pool(x, "average", window, out, bool(random.integers(2)), clip(out))
            case 4:
                y = net.add(x, other, out, clip(out))
            case 5:
                y = net.concat(x, like[random.integers(len(like))])
            case _:
                y = net.gemm(x, int(random.integers(1, 5)), out, clip=clip(out))
        names.append(y)
    outputs = [names[-1], *([names[1]] if len(names) > 2 and random.integers(2) else [])]
    check(net.network(*outputs))


# beyond float32


def test_layers_that_float32_computes_exactly_are_told() -> None:
    net = Net((64, 4, 4), QFormat(8, 4, signed=False))
    few = net.conv("x", 2, S8)
    many = net.conv("x", 2, S8, window=Window((4, 4)), bits=12)
    mean = net.pool("x", "average", Window((4, 4)), QFormat(16, 12))
    network = net.network(few, many, mean)
    assert qdq.beyond_float32(network) == ("conv_t1",)
    net.tensors["x"] = Tensor("x", (64, 4, 4), QFormat(16, 4, signed=False))
    net.tensors[mean] = Tensor(mean, (64, 1, 1), QFormat(16, 12, signed=False))
    assert qdq.beyond_float32(network) == ("conv_t0", "conv_t1")
    net.layers[2] = dataclasses.replace(net.layers[2], window=Window((16, 8)))  # type: ignore[arg-type,call-arg]
    assert qdq.beyond_float32(net.network(few)) == ("conv_t0", "conv_t1", "pool_t2")


@pytest.mark.parametrize("include", [True, False])
def test_16_bit_networks_are_exact_in_float64(include: bool) -> None:
    fmt = QFormat(16, 11)
    net = Net((8, 7, 6), fmt, seed=int(include))
    window = Window((3, 2), (2, 1), (1, 0, 2, 1), (2, 1))
    y = net.conv("x", 8, QFormat(16, 3, signed=False), window=window, groups=4, bits=16, clip=(0, 60000))
    z = net.conv("x", 8, QFormat(16, 4), window=window, groups=8, bits=16, residual=y)
    pooled = net.pool(net.add(y, z, QFormat(16, 5), (-32768, 30000)), "average", Window((3, 3), pads=(1, 2, 0, 1)),
                      QFormat(16, 9), include)  # fmt: skip
    flat = net.gemm(net.pool(pooled, "max", Window((2, 2))), 6, QFormat(16, 1), bits=16)
    layer = dataclasses.replace(net.layers[0], bias=np.arange(8) + (1 << 30) + 1)  # type: ignore[call-arg]
    net.layers[0] = layer
    network = net.network(flat)
    model = qdq.to_model(network)
    wide = [layer.name for layer in network.layers if layer.name != "pool_t4"]
    assert set(qdq.beyond_float32(network)) <= set(wide)
    x = images(network, 20)
    ours = execute(network, quantize_input(network, x), keep=network.tensors)
    theirs = qdq.run_layers(model, x, wide=wide)
    narrow = qdq.run_layers(model, x)
    for name, integers in theirs.items():
        np.testing.assert_array_equal(integers, ours[name], err_msg=name)
    assert any((narrow[name] != ours[name]).any() for name in ours)  # so the test would see a sum in float32
    with pytest.raises(ValueError, match="^no layer that sums is called pool_t4$"):
        qdq.run_layers(model, x, wide=["pool_t4"])


# errors of writing


def test_numbers_that_a_file_cannot_hold() -> None:
    def refused(change: Callable[[Net], None], error: type[Exception] = BadInput) -> str:
        net = Net((1, 2, 2), S8)
        net.conv("x", 1, S8)
        change(net)
        with pytest.raises(error) as caught:
            qdq.to_model(net.network("t0"))
        return str(caught.value)

    def layer(**fields: Any) -> Callable[[Net], None]:
        def change(net: Net) -> None:
            net.layers[0] = dataclasses.replace(net.layers[0], **fields)

        return change

    def tensor(name: str, fmt: QFormat) -> Callable[[Net], None]:
        def change(net: Net) -> None:
            net.tensors[name] = Tensor(name, net.tensors[name].shape, fmt)

        return change

    assert refused(layer(bias=np.array([2**31]))) == (
        "layer conv_t0: the bias 2147483648 does not fit the int32 of a quantized file"
    )
    assert (
        refused(layer(weight_bits=17)) == "the weight of layer conv_t0 has 17 bits; a quantized file holds at most 16"
    )
    assert refused(tensor("x", QFormat(24, 0))) == "tensor x has 24 bits; a quantized file holds at most 16"
    assert refused(tensor("x", QFormat(8, 130))) == (
        "tensor x has the fractional length 130, which no float32 scale expresses"
    )
    assert refused(layer(weight=np.full((1, 1, 1, 1), 128)), ValueError) == (
        "layer conv_t0: a weight does not fit its 8 bits"
    )
    assert refused(layer(clip=(-200, 0)), ValueError) == (
        "conv_t0: the bounds (-200, 0) are not within those of s8.4, (-128, 127)"
    )
    assert refused(layer(op="Gemm"), ValueError).startswith("layer conv_t0: the kernel of a Gemm covers the map")
    text = refused(lambda net: net.concat("x", net.conv("x", 1, U8)) and None, ValueError)
    assert text.startswith("layer concat_t2: a concatenation has one format, not [")


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    net = Net((1, 2, 2), S8)
    network = net.network(net.conv("x", 1, S8))
    with pytest.raises(BadInput, match="cannot be written: No such file or directory$"):
        qdq.save(network, tmp_path / "none" / "a.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="folder: cannot be written: Is a directory$"):
        write_atomic(tmp_path / "folder", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# errors of reading


def written() -> onnx.ModelProto:
    net = Net((2, 4, 4), S8)
    y = net.conv("x", 2, U8, clip=(0, 96))
    z = net.conv(net.pool(y, "max", Window((2, 2))), 2, S8)
    return qdq.to_model(net.network(z))


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def set_constant(model: onnx.ModelProto, name: str, value: Any) -> None:
    old = constant(model, name)
    old.CopyFrom(numpy_helper.from_array(np.asarray(value, numpy_helper.to_array(old).dtype), name))


def message(model: onnx.ModelProto) -> str:
    with pytest.raises((BadInput, UnsupportedNetwork)) as caught:
        qdq.load(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("t0_scale", 0.3, "the scale of tensor t0 is 0.3, not a power of two; the nearest is 0.25 (2**-2)"),
        ("t0_scale", 0.4, "the scale of tensor t0 is 0.4, not a power of two; the nearest is 0.5 (2**-1)"),
        ("x_scale", 3e5, "the scale of tensor x is 300000, not a power of two; the nearest is 262144 (2**18)"),
        ("x_scale", -1, "the scale of tensor x is -1, not a positive number"),
        ("x_scale", np.nan, "the scale of tensor x is nan, not a positive number"),
        ("x_scale", [1.0, 2.0], "tensor x has 2 scales; only weights have one for each channel"),
        ("zero_uint8", 3, "the zero point of tensor t0 is 3; in uint8, only 0 and 128 are supported"),
        (
            "conv_t0.weight_scale",
            [0.3, 0.5],
            "the scale of the weight of layer conv_t0 is 0.3, not a power of two; the nearest is 0.25 (2**-2)",
        ),
        (
            "conv_t0.weight_scale",
            [0.5, 0.5, 0.5],
            "the weight of layer conv_t0 has scales (3,) that are not one for each output channel",
        ),
        (
            "conv_t0.bias_scale",
            [2.0**-9, 2.0**-9],
            "the bias of layer conv_t0 has another scale than its products "
            "(that of the input times that of the weight); `complete` rounds it",
        ),
        ("conv_t0_high", np.nan, "a bound of conv_t0/clip (Clip) is not a number"),
    ],
)
def test_numbers_of_another_kind(name: str, value: Any, expected: str) -> None:
    model = written()
    set_constant(model, name, value)
    assert message(model) == f"net: {expected}"


def test_files_that_are_not_quantized(tmp_path: Path) -> None:
    path = tmp_path / "float.onnx"
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2, 4, 4]) for name in "xy"]
    relu = helper.make_node("Relu", ["x"], ["y"], "relu")
    onnx.save(helper.make_model(helper.make_graph([relu], "g", infos[:1], infos[1:])), path)
    with pytest.raises(BadInput, match=r"^float\.onnx: not a quantized network: it has no QuantizeLinear nodes$"):
        qdq.load(path)
    with pytest.raises(BadInput, match=r"no such file$"):
        qdq.load(tmp_path / "none.onnx")


def test_tensors_that_are_not_quantized() -> None:
    model = written()
    node(model, "conv_t0").input[0] = "x"
    assert (
        message(model) == "net: conv_t0 (Conv) reads x, which is not quantized (no QuantizeLinear and DequantizeLinear)"
    )
    model = written()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "w"))
    node(model, "conv_t0").input[1] = "w"
    assert message(model) == "net: the weight of layer conv_t0 is not quantized (no DequantizeLinear)"
    model = written()
    node(model, "conv_t0").input[2] = "x"
    assert message(model) == "net: the bias of layer conv_t0 is not quantized (no DequantizeLinear)"
    model = written()
    node(model, "t0/dequantize").input[1] = "t2_scale"
    set_constant(model, "t2_scale", 2.0)
    assert message(model) == "net: tensor t0 is dequantized with another scale than it was quantized with"


def test_nodes_of_another_kind() -> None:
    model = written()
    node(model, "pool_t1").op_type = "GlobalLpPool"
    del node(model, "pool_t1").attribute[:]
    assert message(model) == "net: node pool_t1 (GlobalLpPool) is no operator of a quantized layer"
    model = written()
    model.graph.node.append(helper.make_node("Relu", ["t2"], ["more"], "extra"))
    assert message(model) == "net: nodes that belong to no quantized layer: extra (Relu)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "the metadata shiftpoint.widths are damaged"),
        ("[]", "the metadata shiftpoint.widths are damaged"),
        ('{"tensors": {"x": "wide"}}', "the metadata shiftpoint.widths are damaged"),
        ('{"weights": {"conv_t0": 40}}', "the metadata shiftpoint.widths hold a width outside 2 to 16 bits"),
    ],
)
def test_damaged_metadata(text: str, expected: str) -> None:
    model = written()
    helper.set_model_props(model, {"shiftpoint.widths": text})
    assert message(model) == f"net: {expected}"


def test_other_files_of_the_same_form_are_read() -> None:
    """Unnamed tensors, a bias and zero points left out, one scale for all channels."""
    model = written()
    del node(model, "conv_t2").input[2]
    model.graph.node.remove(node(model, "conv_t2.bias/dequantize"))
    set_constant(model, "conv_t2.weight_scale", 0.5)
    for name in ("t0/quantize", "t0/dequantize", "t1/quantize", "t1/dequantize"):
        del node(model, name).input[2]
    node(model, "t0/quantize").output[0] = "integers"
    node(model, "t0/dequantize").input[0] = "integers"
    onnx.checker.check_model(model, full_check=True)
    network = qdq.load(model)
    conv = network.layers[2]
    assert isinstance(conv, Conv)
    assert (conv.bias.tolist(), conv.weight_frac.tolist()) == ([0, 0], [1, 1])
    assert network.layers[0].output == "conv_t0_clipped"  # what is quantized
    assert network.tensors["conv_t0_clipped"].fmt == U8
    x = images(network)
    ours = execute(network, quantize_input(network, x), keep=network.tensors)
    for name, integers in qdq.run_layers(model, x).items():
        np.testing.assert_array_equal(integers, ours["conv_t0_clipped" if name == "integers" else name])


def test_images_that_do_not_fit() -> None:
    model = written()
    with pytest.raises(BadInput, match=r"^net: takes images \(N, 2, 4, 4\), not \(1, 2, 4, 5\)$"):
        qdq.run_layers(model, np.zeros((1, 2, 4, 5)))
    with pytest.raises(BadInput, match=r"^net: the images have NaN or infinite values$"):
        qdq.run_layers(model, np.full((1, 2, 4, 4), np.nan))
