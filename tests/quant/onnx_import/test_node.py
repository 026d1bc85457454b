"""A node as its function sees it: inputs, constants by channel, who reads it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quant.base.errors import BadInput
from quant.ir.host import HostOperation
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.lowering import Lowering, Record
from quant.onnx_import.node import Node
from tests.quant.onnx_nets import Net


def made(net: Net, *outputs: str, index: int = 0) -> Node:
    """One node of a model, lowered as far as its input."""
    model = net.model(*outputs)
    state = Lowering(model, {"x": (1, *net.shape)})  # type: ignore[arg-type]
    node: onnx.NodeProto = model.graph.node[index]
    state.records.append(Record(node.name, node.op_type, tuple(node.output), layer=node.name))
    return Node(state, node, node.name, 0)


def test_inputs_constants_and_optional_ones() -> None:
    net = Net(2, 3, 4)
    node = made(net, net.node("Clip", "x", "", net.constant(6.0), name="y"))
    assert node.has(0) and not node.has(1) and node.has(2) and not node.has(3)
    assert not node.is_constant(0) and node.is_constant(2) and node.array(2) == 6
    assert node.shape(node.data()) == (2, 3, 4) and node.own_text(node.data()) == "(N, 2, 3, 4)"
    with pytest.raises(NotSupportedError, match=r"^input c0 is a constant$"):
        node.data(2)
    with pytest.raises(NotSupportedError, match=r"^x is not a constant$"):
        node.array(0)


def test_a_constant_with_nan_is_the_files_fault() -> None:
    net = Net(2, 3, 4)
    node = made(net, net.node("Add", "x", net.constant(np.nan), name="y"))
    with pytest.raises(BadInput, match=r"^tensor c0, read by y, has NaN or infinite values$"):
        node.array(1)
    assert np.isnan(node.array(1, finite=False))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array(3.0), [3, 3]),
        (np.array([[[1.0]], [[2.0]]]), [1, 2]),
        (np.tile(np.array([[[1.0]], [[2.0]]]), (1, 3, 4)), [1, 2]),
        (np.arange(4.0), None),
        (np.ones((5, 1, 1)), None),
    ],
)
def test_one_number_for_each_channel(array: np.ndarray, found: list[int] | None) -> None:
    net = Net(2, 3, 4)
    node = made(net, net.node("Relu", "x", name="y"))
    if found is None:
        with pytest.raises(NotSupportedError, match="^its constant (differs from place to place|has the shape)"):
            node.by_channel(node.data(), array)
        return
    assert node.by_channel(node.data(), array).tolist() == found


def test_axes_from_an_input_or_an_attribute() -> None:
    net = Net(2, 1, 4)
    assert made(net, net.node("Squeeze", "x", net.ints(-2), name="y")).axes(1, 4) == [2]
    net = Net(2, 3, 4)
    assert made(net, net.node("ReduceMean", "x", name="y", axes=[-1, 2], keepdims=1)).axes(1, 4) == [3, 2]
    net = Net(2, 3, 4)
    assert made(net, net.node("Relu", "x", name="y")).axes(1, 4) is None


def test_who_reads_a_node() -> None:
    net = Net(4, 2, 2)
    parts = net.node("Split", "x", outputs=3, axis=1, name="parts")
    y = net.node("Relu", f"{parts}_1", name="y")
    node = made(net, y, parts)
    assert [reader.name for reader in node.readers(1)] == ["y"] and node.readers(0) == []
    assert [node.used(index) for index in range(4)] == [True, True, False, False]
    assert node.is_output(0) and not node.is_output(1) and node.ends


def test_what_the_host_makes_ends_the_network() -> None:
    net = Net(2, 1, 1)
    middle = net.node("Softmax", "x", name="soft")
    node = made(net, net.node("Relu", middle, name="y"))
    node.leave(node.data(), HostOperation("Softmax", (("axis", 1),)))
    assert node.lowering.records[0].fate == "host"
    with pytest.raises(NotSupportedError, match="^reads a Softmax, which is supported at an output only$"):
        Node(node.lowering, node.lowering.graph.node[1], "y", 0).data()


def test_rows_are_no_map() -> None:
    net = Net(5)
    with pytest.raises(
        NotSupportedError, match=r"^its input has the shape \(N, 5\), not \(N, C, H, W\) or \(N, C, W\)$"
    ):
        made(net, net.node("Relu", "x", name="y")).map()
