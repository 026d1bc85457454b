"""What the importer refuses: one line, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.quant.onnx_nets import Net, message, single


def test_files_that_are_no_network(tmp_path: Path) -> None:
    missing, text, empty, cut = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx", "d.onnx"))
    text.write_text("This is not a network.")
    empty.write_bytes(b"")
    net = Net(2, 4, 4)
    content = net.model(net.conv("x", 2, 2)).SerializeToString()
    cut.write_bytes(content[: len(content) // 2])
    assert message(missing) == f"{missing}: no such file"
    assert message(tmp_path) == f"{tmp_path}: no such file"
    for path in (text, empty, cut):
        assert message(path) == f"{path}: not an ONNX file, or truncated"


def test_any_truncation_is_one_clear_line(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    content = net.model(net.conv("x", 2, 2)).SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert message(path).startswith(str(tmp_path)) or message(path).startswith("cut.onnx: ")


def test_invalid_models() -> None:
    net = Net(2, 4, 4)
    assert message(net.model(net.node("Relu", "nowhere"))).startswith("net: not a valid ONNX model: Nodes in a graph")
    net = Net(2, 4, 4)
    flat = net.node("Flatten", "x")
    text = message(net.model(net.node("Gemm", flat, net.constant(np.ones((31, 2))))))
    assert text.startswith("net: the shapes of the network do not fit: ")


def test_every_unsupported_node_is_named() -> None:
    net = Net(4, 8, 8)
    y = net.node("LpNormalization", net.conv("x", 4, 4), axis=1, name="norm1")
    y = net.node("Relu", net.conv(y, 4, 4))
    y = net.node("Div", y, net.node("Round", y, name="gate"), name="over")
    y = net.node("Transpose", y, perm=[0, 2, 3, 1], name="swap")
    y = net.node("Conv", y, "x", name="dynamic")
    y = net.node("Thing", y, domain="mine", name="own")
    assert message(net.model(net.node("Relu", y), domain="mine")) == (
        "net: 5 nodes are not supported: norm1 (LpNormalization: divides by the "
        "norm of data); gate (Round: operator not supported); "
        "over (Div: divides by data); swap (Transpose: moves data in a way that no layer can: channels, rows or "
        "columns change places with one another); own (mine.Thing: operator not supported)"
    )


ONES = np.ones
MOVED = "moves data in a way that no layer can: channels, rows or columns change places with one another"
REASONS = [
    (
        single((4, 4, 4, 4), "Relu"),
        "net: input x has 5 dimensions; (N, C, H, W), (N, C, W) and (N, C) are supported",
    ),
    (single((6,), "Gemm", constants=(ONES((1, 2)),), transA=1), "transA = 1"),
    (single((6,), "Softmax", opset=11, axis=0), "along axis 0, the batch"),
    (single((2, 4, 4), "MatMul", constants=(ONES((4, 4)),)), "multiplies along another axis than the channels"),
    (
        single((2, 4, 4), "Add", constants=(np.arange(16.0).reshape(4, 4),)),
        "its constant differs from place to place within a channel",
    ),
    (single((2, 4, 4), "Add", constants=(ONES((1, 1, 2, 1, 1)),)), "its constant has the shape (1, 1, 2, 1, 1)"),
    (single((2, 4, 4), "Div", constants=(np.zeros(1),)), "division by a data tensor or by zero"),
    (
        single((2, 4, 4), "Clip", constants=(np.array(2.0), np.array(1.0))),
        "its lower bound 2 is above its upper bound 1",
    ),
    (
        single((2, 4, 4), "Pad", constants=([0, 0, 1, 1, 0, 0, 1, 1],), mode="wrap"),
        "mode wrap; constant, edge and reflect are supported",
    ),
    (
        single((2, 4, 4), "Pad", constants=([0, 0, 4, 1, 0, 0, 1, 1],), mode="reflect"),
        "mirrors 4 rows or columns beside the edge, and the map has 4",
    ),
    (
        single((2, 4, 4), "Pad", constants=([0, 1, 1, 1, 0, 0, 1, 1],), mode="reflect"),
        "copies channels around, or crops",
    ),
    (single((2, 4, 4), "Pad", constants=([1, 0, 0, 0, 0, 0, 0, 0],)), "pads [1, 0, 0, 0, 0, 0, 0, 0]: of the batch"),
    (single((2, 4, 4), "Pad", constants=([0, 0, -4, 0, 0, 0, 0, 0],)), "leaves nothing of its input"),
    (
        single((2, 4, 4), "Slice", constants=([3], [-9], [2], [-1])),
        "takes axis 2 backwards (step -1), and rows and columns go forwards only",
    ),
    (
        single((2, 4, 4), "Gather", constants=([0, 1, 3],), axis=3),
        "picks elements of axis 3 that are not evenly spaced",
    ),
    (
        single((2, 4, 4), "Tile", constants=([1, 1, 2, 1],)),
        "lays the whole beside itself [1, 1, 2, 1] times, and layers do that to channels only",
    ),
    (single((2, 4, 4), "Transpose", perm=[0, 2, 1, 3]), MOVED),
    (single((2, 4, 4), "Transpose", perm=[1, 0, 2, 3]), "moves the batch"),
    (single((2, 4, 4), "Reshape", constants=([2, 16],)), "mixes the batch with data: its result has the shape (2, 16)"),
    (single((2, 4, 4), "ReduceMax", axes=[1]), "over the axes [1] of (N, 2, 4, 4); rows and columns are supported"),
    (single((2, 4, 4), "Cast", to=TensorProto.DOUBLE), "casts data to double"),
    (
        single(
            (2, 4, 4),
            "AveragePool",
            kernel_shape=[2, 2],
            strides=[2, 2],
            pads=[1, 1, 0, 0],
            ceil_mode=1,
            count_include_pad=1,
        ),
        "ceil_mode with padding that counts (count_include_pad = 1)",
    ),
    (
        single((2, 4, 4), "Conv", constants=(ONES((3, 3, 1, 1)),)),
        "weights (3, 3, 1, 1), bias (3,), groups 1 do not fit its input of 2 channels",
    ),
    (single((2, 1, 4), "Squeeze"), "squeezes the batch"),
    (
        single((2, 4, 4), "MaxPool", kernel_shape=[2, 2], pads=[2, 0, 0, 0]),
        "its padding [2, 0, 0, 0] is as large as its kernel",
    ),
    (
        single((2, 4, 4), "BatchNormalization", constants=(ONES(2), ONES(2), ONES(2), -ONES(2))),
        "its variance is not positive (-1 in channel 0, epsilon 1e-05)",
    ),
    (single((2, 4, 4), "Clip", constants=(np.array([1.0, 2.0]),)), "c0 is 2 numbers, not one"),
    (single((2, 4, 4), "Elu", alpha=float("nan")), "its attribute alpha is nan"),
    (single((2, 4, 4), "HardSigmoid", beta=float("inf")), "its attribute beta is inf"),
    (
        single((2, 4, 4), "Conv", constants=(ONES((2, 2, 3, 3)),), kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        "its kernel_shape [5, 5] is not that of its weights, (3, 3)",
    ),
    (
        single((2, 4, 4), "Conv", constants=(ONES((2, 2, 3, 3)),), pads=[9, 9, 9, 9]),
        "its padding [9, 9, 9, 9] is larger than its kernel, which spans 3",
    ),
    (
        single((2, 4, 4), "Pad", constants=([0, 0, 10**7, 0, 0, 0, 0, 0],)),
        "makes 80,000,032 numbers, in the shape (2, 10000004, 4); 33,554,432 are the most",
    ),
    (
        single((2, 4, 4), "Tile", constants=([1, 10**9, 10**9, 1],)),
        "makes 32,000,000,000,000,000,000 numbers, in the shape (2000000000, 4000000000, 4); 33,554,432 are the most",
    ),
    (single((2, 4, 4), "DepthToSpace", blocksize=2), "no blocks of 2 by 2 of (N, 2, 4, 4), mode DCR"),
]


@pytest.mark.parametrize(("model", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_reasons(model: onnx.ModelProto, reason: str) -> None:
    node = model.graph.node[0]
    expected = reason if reason.startswith("net:") else f"net: 1 node is not supported: n ({node.op_type}: {reason})"
    assert message(model) == expected


def test_reasons_of_nodes_within_a_network() -> None:
    net = Net(2, 4, 4)
    flat = net.node("Flatten", "x")
    z = net.node("Concat", "x", "x", axis=2, name="stack")
    p = net.node("Softmax", flat, name="inner")
    values = net.node("MaxPool", "x", kernel_shape=[2, 2], outputs=2, name="pool")
    wide = net.node("Add", "x", net.node("ReduceMean", "x", axes=[1], keepdims=0), name="wide")
    outputs = [z, net.node("Relu", p, name="after"), values, f"{values}_1", wide]
    assert message(net.model(*outputs)) == (
        "net: 4 nodes are not supported: stack (Concat: along axis 2, the rows; only channels are supported); inner "
        "(Softmax: supported at an output only); pool (MaxPool: its output Indices is used); wide (Add: its inputs "
        "differ in shape: (2, 4, 4) and (4, 4))"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value: float) -> None:
    net = Net(1, 4, 4)
    model = net.model(net.node("Conv", "x", net.constant([[[[value]]]]), name="conv"))
    assert message(model) == "net: tensor c0, read by conv, has NaN or infinite values"


def test_folding_that_overflows() -> None:
    net = Net(1, 4, 4)
    y = net.node("Conv", "x", net.constant([[[[1e30]]]]), name="conv")
    assert message(net.model(net.node("Mul", y, net.constant(1e30)))) == (
        "net: layer conv has infinite weights once what follows it is folded in"
    )


@pytest.mark.parametrize("value", [1e38, -1e38])
def test_weights_and_biases_that_no_format_holds(value: float) -> None:
    net = Net(1, 4, 4)
    y = net.node("Conv", "x", net.constant([[[[1.0]]]]), net.constant([value]), name="conv")
    assert message(net.model(net.node("HardSigmoid", net.node("Relu", y)))) == (
        "net: layer conv has weights or a bias of 1e+38, at most 1e+18 can be quantized: "
        "train the network again, or repair the file"
    )


def test_inputs_and_outputs() -> None:
    net = Net(2, 4, 4)
    nothing = net.node("Add", net.constant(1.0), net.constant(2.0))
    assert message(net.model(nothing, inputs=())) == "net: a network has an input, this one has none"
    net = Net(2, 4, 4)
    model = net.model(net.node("Add", "x", net.node("Cast", "y", to=TensorProto.FLOAT)), inputs=("x", "y"))
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    assert message(model) == "net: input y is of type int64, only float32 is supported"
    net = Net(2, 4, 4)
    conv = net.conv("x", 2, 2)
    assert message(net.model(conv, net.node("Identity", conv, name="again"))) == (
        "net: output again is another output once more"
    )
    assert message(net.model(net.node("Identity", "x", name="same"))) == (
        "net: output same is not computed from the input by any layer"
    )
    model = net.model(conv)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    assert message(model) == "net: input x is of type float16, only float32 is supported"
    net = Net(2, 4, 4, opset=6)
    assert message(net.model(net.node("Relu", "x"))) == "net: opset 6 is too old; 7 is the oldest supported"
