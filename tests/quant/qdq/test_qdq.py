"""Quantized files: what is written is read back identical, and ONNX Runtime computes the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from quant import qdq
from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.host import HostOperation
from quant.ir.inputs import INPUT_SHAPE
from quant.ir.scales import tensor_scales, with_scales
from quant.ir.window import Window
from tests.quant.integer_nets import S8, U8, Net, assert_same, check, operators

# each kind of layer


SOFTMAX = HostOperation("Softmax", (("axis", 1),))


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
    model = check(net.network(logits, results=((logits, SOFTMAX),)))
    assert operators(model) == ["Flatten", "Gemm", "Relu", "Gemm", "Add", "Gemm", "Softmax"]
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [0, 3]


def test_flat_input() -> None:
    net = Net((6, 1, 1), S8)
    model = check(net.network(net.gemm("x", 2, S8), metadata={INPUT_SHAPE: "6"}))
    assert operators(model) == ["Gemm"]
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [0, 6]


@pytest.mark.parametrize("scales", [None, [1.0, 2.0, 0.5]])
def test_an_input_of_one_dimension(scales: list[float] | None) -> None:
    """It has the float network's shape, and becomes a map of one row."""
    net = Net((3, 1, 9), S8)
    network = net.network(net.conv("x", 2, S8, window=Window((1, 3))), metadata={INPUT_SHAPE: "3,9"})
    if scales:
        network = with_scales(network, tensor_scales(network) | {"x": np.array(scales)})
    model = check(network)
    assert operators(model) == ["Unsqueeze", *(["Mul"] if scales else []), "Conv"]
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [0, 3, 9]


@pytest.mark.parametrize("scales", [None, [0.5, 1.0, 4.0, 2.0, 1.0]])
def test_several_inputs(scales: list[float] | None) -> None:
    """A map, a row and a vector, each with its own format, shape and scales."""
    net = Net((3, 4, 4), S8)
    row, vector = net.input("row", (2, 1, 6), U8), net.input("vector", (5, 1, 1), S8)
    seen = net.conv("x", 4, S8, window=Window((4, 4)))
    heard = net.conv(row, 4, S8, window=Window((1, 6)))
    joined = net.concat(seen, heard, vector)
    metadata = {f"{INPUT_SHAPE}.row": "2,6", f"{INPUT_SHAPE}.vector": "5"}
    network = net.network(net.gemm(joined, 3, S8), metadata=metadata)
    if scales:
        network = with_scales(network, tensor_scales(network) | {vector: np.array(scales)})
    model = check(network)
    shapes = [[d.dim_value for d in value.type.tensor_type.shape.dim] for value in model.graph.input]
    assert shapes == [[0, 3, 4, 4], [0, 2, 6], [0, 5]]


def test_inputs_of_which_one_is_missing() -> None:
    net = Net((2, 3, 3), S8)
    model = qdq.to_model(net.network(net.add("x", net.input("y", (2, 3, 3), S8), S8)))
    with pytest.raises(BadInput, match="^the inputs x, y are needed, and x are given$"):
        qdq.run_layers(model, np.zeros((1, 2, 3, 3), np.float32))


def test_an_input_of_one_dimension_that_stays_one_is_refused() -> None:
    net = Net((3, 1, 9), S8)
    model = qdq.to_model(net.network(net.conv("x", 2, S8, window=Window((1, 3))), metadata={INPUT_SHAPE: "3,9"}))
    model.graph.node[0].op_type = "Identity"
    del model.graph.node[0].input[1:]
    with pytest.raises(UnsupportedNetwork, match="input x of one dimension is not reshaped to a map of one row"):
        qdq.load(model)


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
    network = net.network(y, output_shapes={y: own}, results=((y, SOFTMAX),) if softmax else ())
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


# whole networks


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
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
