"""Data that are only moved: shuffles, splits, gathers, NHWC, and what becomes of them in weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.ir.inputs import INPUT_SHAPE
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.onnx_import import load
from quant.onnx_import.views import moves
from tests.quant.onnx_nets import Net, checked, conv_at, kinds, message, single


def shuffle(net: Net, x: str, channels: int, groups: int, size: int) -> str:
    """A channel shuffle as PyTorch writes it."""
    y = net.node("Reshape", x, net.ints(0, groups, channels // groups, size, size))
    y = net.node("Transpose", y, perm=[0, 2, 1, 3, 4])
    return net.node("Reshape", y, net.ints(0, channels, size, size))


def test_a_shuffle_behind_a_convolution_is_the_order_of_its_outputs() -> None:
    net = Net(3, 6, 6)
    y = net.node("Relu", net.norm(net.conv("x", 6, 3, name="conv"), 6))
    y = shuffle(net, y, 6, 2, 6)
    graph = checked(net.model(net.conv(y, 6, 1, (3, 3), group=6)))
    assert (kinds(graph), conv_at(graph, 0).clip) == ("cc", (0, None))


def test_a_shuffle_before_a_convolution_is_the_order_of_its_inputs() -> None:
    net = Net(3, 6, 6)
    y = net.node("Concat", "x", net.node("MaxPool", "x", kernel_shape=[1, 1]), axis=1)
    y = shuffle(net, y, 6, 3, 6)
    graph = checked(net.model(net.conv(y, 4, 6, (3, 3)), net.conv(y, 2, 6)))
    assert kinds(graph) == "m|cc"


def test_a_shuffle_between_grouped_convolutions_is_a_permutation() -> None:
    net = Net(4, 6, 6)
    y = net.node("Relu", net.conv("x", 8, 2, group=2))
    y = shuffle(net, y, 8, 2, 6)
    graph = checked(net.model(net.conv(y, 8, 1, (3, 3), group=8)))
    assert kinds(graph) == "ccc"
    order = conv_at(graph, 1).weight[:, :, 0, 0]
    assert (order.sum(0) == 1).all() and (order.sum(1) == 1).all() and conv_at(graph, 1).groups == 1
    assert order.argmax(1).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def shuffle_unit(net: Net, x: str, channels: int, size: int) -> str:
    """The unit of ShuffleNet V2: half of the channels pass, half are convolved, both are shuffled."""
    half = channels // 2
    passed = net.node("Split", x, net.ints(half, half), axis=1, outputs=2)
    y = net.node("Relu", net.norm(net.conv(f"{passed}_1", half, half), half))
    y = net.norm(net.conv(y, half, 1, (3, 3), group=half, pads=[1] * 4), half)
    y = net.node("Relu", net.norm(net.conv(y, half, half), half))
    return shuffle(net, net.node("Concat", passed, y, axis=1), channels, 2, size)


def test_shuffle_net_v2() -> None:
    net = Net(3, 8, 8)
    y = net.node("Relu", net.conv("x", 8, 3, (3, 3), pads=[1] * 4))
    for _ in range(2):
        y = shuffle_unit(net, y, 8, 8)
    graph = checked(net.model(net.conv(y, 5, 8)))
    # the first split divides the stem; then the passed half of a shuffle is picked, the other one folds
    assert kinds(graph) == "cc" + "ccc|" + "cccc|" + "c"


def test_a_split_divides_the_convolution_before_it() -> None:
    net = Net(3, 6, 6)
    y = net.node("Relu", net.conv("x", 6, 3, name="conv"))
    parts = net.node("Split", y, net.ints(1, 2, 3), axis=1, outputs=3, name="part")
    graph = checked(net.model(parts, f"{parts}_1", f"{parts}_2"))
    assert [layer.name for layer in graph.layers] == ["conv", "conv.2", "conv.3"]
    assert [layer.output for layer in graph.layers] == ["part", "part_1", "part_2"]
    assert all(layer.clip == (0, None) for layer in graph.layers if isinstance(layer, FloatConv))


@pytest.mark.parametrize("silu", [True, False])
def test_a_split_behind_a_table_divides_the_convolution_before_it(silu: bool) -> None:
    net = Net(3, 6, 6)
    y = net.conv("x", 6, 3, name="conv")
    y = net.node("Mul", y, net.node("Sigmoid", y, name="s"), name="f") if silu else net.node("Sigmoid", y, name="f")
    parts = net.node("Split", y, net.ints(2, 4), axis=1, outputs=2, name="part")
    own = net.node("Tanh", parts, name="f.2")  # a name that the second table would get
    graph = checked(net.model(own, f"{parts}_1"))
    # what the file's second table does is done by the table of its part
    assert [layer.name for layer in graph.layers] == ["conv", "f.2", "conv.2_", "f.2_"]
    assert [graph.shapes[layer.output][0] for layer in graph.layers] == [2, 2, 4, 4]
    assert kinds(graph) == "ctct" and graph.outputs == ("f.2", "part_1")


def test_a_table_that_something_else_reads_is_not_divided() -> None:
    net = Net(3, 6, 6)
    y = net.node("Tanh", net.conv("x", 6, 3))
    parts = net.node("Split", y, axis=1, outputs=2)
    assert kinds(checked(net.model(parts, f"{parts}_1", y))) == "ctcc"


@given(st.data())
@settings(max_examples=25)
def test_any_parts_behind_anything_done_to_elements(data: st.DataObject) -> None:
    net = Net(3, 5, 5)
    y = net.conv("x", 6, 3, (3, 3))
    operators = st.sampled_from(["Relu", "norm", "Sigmoid", "Tanh", "Neg"])
    for op in data.draw(st.lists(operators, max_size=4)):
        y = net.norm(y, 6) if op == "norm" else net.node(op, y)
    order = data.draw(st.permutations(range(6)))
    ends = sorted(data.draw(st.sets(st.integers(1, 6), min_size=1, max_size=3)))
    parts = [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    graph = checked(net.model(*(net.node("Gather", y, net.ints(*part), axis=1) for part in parts)))
    assert all(graph.shapes[layer.output][0] in map(len, parts) for layer in graph.layers)


def test_a_split_of_what_something_else_reads_picks() -> None:
    net = Net(3, 6, 6)
    y = net.conv("x", 4, 3)
    parts = net.node("Split", y, axis=1, outputs=2)
    graph = checked(net.model(net.node("Add", parts, f"{parts}_1"), y))
    assert kinds(graph) == "ccc"


def test_names_that_the_file_has_already() -> None:
    net = Net(3, 4, 4)
    y = net.node("LeakyRelu", net.conv("x", 4, 3, name="y"), name="leaky")
    net.conv("x", 2, 3, name="leaky.negative")
    parts = net.node("Split", net.node("Relu", net.conv(y, 4, 4, name="conv"), name="r"), axis=1, outputs=2)
    one, other = net.conv(parts, 2, 2, name="conv.1"), net.conv(f"{parts}_1", 2, 2, name="conv.2")
    y = net.node("Transpose", y, perm=[0, 2, 3, 1])
    y = net.node("Flatten", net.node("Relu", net.node("Relu", y, name="relu"), name="relu.map"))
    graph = checked(net.model(one, other, "leaky.negative", net.node("Gemm", y, net.constant(np.ones((64, 2))))))
    assert (
        len({layer.name for layer in graph.layers})
        == len({layer.output for layer in graph.layers})
        == len(graph.layers)
    )


def test_splits_by_attribute_and_by_number() -> None:
    net = Net(5, 4, 4, opset=11)
    parts = net.node("Split", "x", axis=-3, split=[2, 3], outputs=2)
    checked(net.model(parts, f"{parts}_1"))
    net = Net(5, 4, 4, opset=18)
    parts = net.node("Split", "x", axis=1, num_outputs=2, outputs=2)
    checked(net.model(parts, f"{parts}_1"))


def test_gathers_with_constant_indices() -> None:
    net = Net(4, 5, 6)
    y = net.node("Gather", net.conv("x", 4, 4), net.ints(3, 0, 0, -2), axis=1)
    graph = checked(net.model(net.node("MaxPool", y, kernel_shape=[1, 1])))
    assert kinds(graph) == "cm"
    net = Net(4, 5, 6)
    row = net.node("Gather", net.node("Relu", "x"), net.constant(2, np.int64), axis=2)
    graph = checked(net.model(net.conv1d(row, 2, 4, 3)))
    assert graph.shapes[row] == (4, 1, 6)


def test_picking_folds_only_where_it_costs_no_more() -> None:
    net = Net(32, 6, 6)
    y = net.node("Slice", net.node("Relu", "x"), net.ints(3), net.ints(5), net.ints(1))
    graph = checked(net.model(net.conv(y, 16, 2, (3, 3))))
    assert [layer.weight.shape for layer in graph.layers if isinstance(layer, FloatConv)][1] == (2, 32, 1, 1)
    net = Net(32, 6, 6)
    y = net.node("Slice", net.node("Relu", "x"), net.ints(1), net.ints(32), net.ints(1))
    assert kinds(checked(net.model(net.conv(y, 16, 31)))) == "cc"


def test_pixels_of_a_block_become_channels() -> None:
    net = Net(3, 6, 8)
    y = net.node("Reshape", "x", net.ints(0, 3, 3, 2, 4, 2))
    y = net.node("Reshape", net.node("Transpose", y, perm=[0, 1, 3, 5, 2, 4]), net.ints(0, 12, 3, 4))
    graph = checked(net.model(net.conv(y, 2, 12)))
    assert conv_at(graph, 0).window == Window((2, 2), (2, 2))
    assert kinds(checked(single((3, 4, 6), "SpaceToDepth", blocksize=2))) == "c"


# NHWC


def nhwc(net: Net, x: str) -> str:
    return net.node("Transpose", x, perm=[0, 2, 3, 1])


def nchw(net: Net, x: str) -> str:
    return net.node("Transpose", x, perm=[0, 3, 1, 2])


def test_a_network_that_takes_channels_last() -> None:
    net = Net(7, 9, 3)
    y = net.node("Sub", "x", net.constant([0.1, 0.2, 0.3]))
    y = net.node("Pad", y, net.ints(0, 1, 1, 0, 0, 1, 1, 0))
    y = net.conv(nchw(net, y), 4, 3, (3, 3))
    y = net.node("Relu", net.node("Add", nhwc(net, y), net.constant([1.0, 2.0, 3.0, 4.0])))
    graph = checked(net.model(net.node("ReduceMean", y, axes=[1, 2], keepdims=0)))
    assert graph.shapes["x"] == (3, 7, 9)
    assert graph.metadata == {INPUT_SHAPE: "7,9,3"}
    assert kinds(graph) == "cca"
    assert len(graph.places) == 3  # the input, what Sub and what Relu make, which the file has channels last


def test_a_gray_picture_reshaped() -> None:
    net = Net(6, 7, 1)
    graph = checked(net.model(net.conv(net.node("Reshape", "x", net.ints(-1, 1, 6, 7)), 2, 1, (3, 3))))
    assert (graph.shapes["x"], kinds(graph)) == ((1, 6, 7), "c")


def test_maps_joined_and_flattened_channels_last() -> None:
    net = Net(3, 4, 5)
    one = nhwc(net, net.conv("x", 4, 3))
    other = nhwc(net, net.conv("x", 2, 3))
    y = net.node("Relu", net.node("Concat", one, other, axis=3))
    y = net.node("Add", y, y)
    flat = net.node("Reshape", y, net.ints(0, -1))
    graph = checked(net.model(net.node("Gemm", flat, net.constant(net.random.normal(size=(120, 3))))))
    assert kinds(graph) == "cc|+g"


def test_matrices_at_every_place() -> None:
    net = Net(3, 4, 5)
    y = net.node("MatMul", nhwc(net, net.conv("x", 4, 3)), net.constant(net.random.normal(size=(4, 6))))
    y = net.node("Relu", net.node("Add", y, net.constant(net.random.normal(size=6))))
    tokens = net.node("Reshape", y, net.ints(0, 20, 6))
    tokens = net.node("MatMul", tokens, net.constant(net.random.normal(size=(6, 2))))
    graph = checked(net.model(net.node("ReduceMax", tokens, axes=[1], keepdims=0)))
    assert kinds(graph) == "cccm"


def test_flattened_maps_joined() -> None:
    net = Net(3, 4, 4)
    parts = [net.node("Flatten", net.conv("x", out, 3)) for out in (2, 5)]
    y = net.node("Relu", net.node("Concat", *parts, axis=1))
    graph = checked(net.model(net.node("Gemm", y, net.constant(net.random.normal(size=(112, 3))))))
    assert kinds(graph) == "cc|g"
    net = Net(3, 4, 4)
    parts = [net.node("Flatten", net.conv("x", 2, 3)), net.node("Flatten", net.node("GlobalMaxPool", "x"))]
    checked(net.model(net.node("Concat", *parts, axis=1)))


def test_an_activation_of_a_flattened_map() -> None:
    net = Net(3, 4, 4)
    y = net.node("Relu", net.node("Flatten", net.conv("x", 2, 3)))
    y = net.node("Mul", y, net.constant(0.5))
    graph = checked(net.model(net.node("Gemm", y, net.constant(net.random.normal(size=(32, 3))))))
    assert (kinds(graph), conv_at(graph, 1).window) == ("cg", Window((4, 4)))


def test_parts_of_a_flattened_map_fold_into_a_matrix() -> None:
    net = Net(3, 4, 4)
    y = net.node(
        "Slice", net.node("Flatten", net.conv("x", 2, 3)), net.ints(30), net.ints(3), net.ints(1), net.ints(-2)
    )
    graph = checked(net.model(net.node("Gemm", y, net.constant(net.random.normal(size=(14, 3))))))
    assert kinds(graph) == "cg"


def test_two_readers_of_one_view_share_what_moves_it() -> None:
    net = Net(3, 6, 6)
    y = net.node("Slice", net.node("Relu", "x"), net.ints(1), net.ints(5), net.ints(2))
    graph = checked(net.model(net.node("MaxPool", y, kernel_shape=[2, 2]), net.node("Add", y, y)))
    assert kinds(graph) == "ccm+"


def test_a_cropping_pad() -> None:
    net = Net(3, 6, 6)
    y = net.node("Pad", net.conv("x", 3, 3), net.ints(0, -1, -2, 1, 0, 0, 1, -3))
    graph = checked(net.model(net.node("MaxPool", y, kernel_shape=[2, 2])))
    assert graph.shapes[graph.outputs[0]] == (2, 4, 3)


def test_a_view_that_is_the_output() -> None:
    net = Net(4, 5, 5)
    y = shuffle(net, net.conv("x", 4, 2, group=2, name="conv"), 4, 2, 5)
    graph = checked(net.model(y))
    assert (kinds(graph), graph.outputs, graph.layers[1].name) == ("cc", (y,), y)


@given(st.data())
@settings(max_examples=60)
def test_any_chain_of_moves(data: st.DataObject) -> None:
    """Random moves, then a layer: either refused, or equal to the file."""
    net = Net(4, 4, 4, seed=data.draw(st.integers(0, 99)))
    y, shape = net.conv("x", 4, 4), [4, 4, 4]
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["transpose", "reshape", "slice", "pad", "relu", "norm"])):
            case "transpose":
                order = data.draw(st.permutations(range(len(shape))))
                y, shape = net.node("Transpose", y, perm=[0, *(1 + o for o in order)]), [shape[o] for o in order]
            case "reshape":
                size = int(np.prod(shape))
                first = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
                second = data.draw(st.sampled_from([n for n in range(1, size // first + 1) if size // first % n == 0]))
                shape = [first, second, size // first // second]
                y = net.node("Reshape", y, net.ints(0, *shape))
            case "slice":
                axis = data.draw(st.integers(0, len(shape) - 1))
                start, step = data.draw(st.integers(0, shape[axis] - 1)), data.draw(st.integers(1, 2))
                y = net.node("Slice", y, net.ints(start), net.ints(99), net.ints(1 + axis), net.ints(step))
                shape[axis] = len(range(start, shape[axis], step))
            case "pad":
                ends = data.draw(st.lists(st.integers(-1, 1), min_size=6, max_size=6))
                ends = [max(end, 0) if shape[place % 3] < 3 else end for place, end in enumerate(ends)]
                y = net.node("Pad", y, net.ints(0, *ends[:3], 0, *ends[3:]))
                shape = [size + ends[axis] + ends[axis + 3] for axis, size in enumerate(shape)]
            case "relu":
                y = net.node("Relu", y)
            case "norm":
                y = net.norm(y, shape[0])
    y = net.conv(y, 2, shape[0]) if data.draw(st.booleans()) else net.node("MaxPool", y, kernel_shape=[1, 1])
    model = net.model(y)
    try:
        load(model)
    except Exception as error:
        assert "not supported" in str(error), error
        return
    checked(model)


@given(st.data())
@settings(max_examples=60)
def test_moves_put_every_element_where_it_belongs(data: st.DataObject) -> None:
    """What `moves` finds gives back the places that it was found from."""
    shape = tuple(data.draw(st.integers(1, 5)) for _ in range(3))
    channels = np.array(data.draw(st.lists(st.integers(-1, shape[0] - 1), min_size=1, max_size=5)))
    step = [data.draw(st.integers(1, 3)) for _ in range(2)]
    count = [data.draw(st.integers(1, -(-size // s))) for size, s in zip(shape[1:], step, strict=True)]
    first = [
        np.array([data.draw(st.integers(0, size - 1 - (n - 1) * s)) for _ in channels])
        for size, s, n in zip(shape[1:], step, count, strict=True)
    ]
    rows = first[0][:, None, None] + np.arange(count[0])[:, None] * step[0]
    columns = first[1][:, None, None] + np.arange(count[1]) * step[1]
    places = np.where(channels[:, None, None] < 0, -1, (channels[:, None, None] * shape[1] + rows) * shape[2] + columns)
    pads = data.draw(st.tuples(*[st.integers(0, 2)] * 4))
    padded = np.pad(places, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=-1)
    found = moves(padded, shape)  # type: ignore[arg-type]
    if (channels < 0).all():
        assert found is None
        return
    assert found is not None
    assert (found.pads, found.count, found.channels.tolist()) == (pads, tuple(count), channels.tolist())
    again_rows = found.rows[:, None, None] + np.arange(count[0])[:, None] * found.step[0]
    again_columns = found.columns[:, None, None] + np.arange(count[1]) * found.step[1]
    again = (found.channels[:, None, None] * shape[1] + again_rows) * shape[2] + again_columns
    assert np.array_equal(np.where(channels[:, None, None] < 0, -1, again), places)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("Transpose", {"perm": [0, 3, 2, 1]}, "moves data in a way that no layer can"),
]


@pytest.mark.parametrize(("op", "attributes", "reason"), REFUSED)
def test_moves_that_no_layer_does(op: str, attributes: dict[str, Any], reason: str) -> None:
    assert reason in message(single((4, 4, 4), op, **attributes))


def test_the_node_that_moves_is_blamed_not_its_reader() -> None:
    net = Net(3, 4, 4)
    y = net.node("Transpose", net.conv("x", 4, 3), perm=[0, 2, 3, 1], name="swap")
    text = message(net.model(net.conv(y, 2, 4, name="reader"), net.conv(y, 3, 4, name="other")))
    assert text.startswith("net: 1 node is not supported: swap (Transpose: moves data") and "reader" not in text


def test_a_selection_beyond_reason_is_refused() -> None:
    net = Net(64, 16, 16)
    y = net.node("Slice", net.node("Flatten", "x"), net.ints(1), net.ints(16000), net.ints(1))
    text = message(net.model(net.node("Relu", y)))
    assert "takes a convolution of" in text
