"""Quantized files with something else in them: read where that says the same, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant import qdq
from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.host import HostOperation
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.run.execute import execute, quantize_input
from tests.quant.integer_nets import S8, U8, Net, assert_same, images


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
            "(that of the input times that of the weight); `--complete` rounds it",
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


@pytest.mark.parametrize(("name", "op"), [("conv_t0", "Conv"), ("conv_t0/clip", "Clip"), ("pool_t1", "MaxPool")])
def test_operators_of_another_domain(name: str, op: str) -> None:
    model = written()
    node(model, name).domain = "my.custom"
    model.opset_import.append(helper.make_opsetid("my.custom", 1))
    text = message(model)
    assert f"{name} (my.custom.{op})" in text


@pytest.mark.parametrize("op", ["Transpose", "Flatten", "DequantizeLinear"])
def test_other_domains_beside_layers(op: str) -> None:
    """A node that is read for what it does to shapes or weights, not as a layer."""
    model = written()
    where = next(one for one in model.graph.node if one.op_type == "DequantizeLinear")
    model.graph.node.append(helper.make_node(op, [where.output[0]], ["more"], "beside", domain="my.custom"))
    model.opset_import.append(helper.make_opsetid("my.custom", 1))
    assert message(model).startswith(f"net: beside (my.custom.{op}): an operator that is not ONNX's")


def test_quantizers_of_onnx_runtimes_own_domain_are_those_of_onnx() -> None:
    model = written()
    for one in model.graph.node:
        if one.op_type in ("QuantizeLinear", "DequantizeLinear"):
            one.domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert_same(qdq.load(model), qdq.load(written()))


def test_attributes_that_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    # onnx.checker knows no later opset
    monkeypatch.setattr("quant.qdq.read.read_model", lambda model, called: (model, "net"))
    model = written()
    node(model, "pool_t1").attribute.append(helper.make_attribute("norm", "L2"))
    assert message(model).startswith("net: pool_t1 (MaxPool): its attribute norm is L2; opset 25")


def test_other_forms_of_quantized_files() -> None:
    model = written()
    model.graph.node.append(helper.make_node("QLinearAdd", ["t2"], ["more"], "extra", domain="com.microsoft"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert message(model).startswith("net: QLinearAdd extra takes integers itself: export it with QuantizeLinear and")


def head(*nodes: onnx.NodeProto, shape: list[int] | None = None) -> onnx.ModelProto:
    """The network (2, 4, 4) with nodes behind its quantized output, of which the last writes the output `out`."""
    model = written()
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, shape))
    return model


@pytest.mark.parametrize(("axis", "counted"), [(1, 1), (-3, 1), (2, 2), (-1, 3), (None, 3)])
def test_a_softmax_is_over_the_axis_that_it_names(axis: int | None, counted: int) -> None:
    model = head(helper.make_node("Softmax", ["t2"], ["out"], "softmax", **({} if axis is None else {"axis": axis})))
    assert qdq.load(model).results == (("t2", HostOperation("Softmax", (("axis", counted),))),)


def test_a_softmax_over_images_is_refused() -> None:
    model = head(helper.make_node("Softmax", ["t2"], ["out"], "softmax", axis=0))
    assert message(model) == "net: softmax (Softmax): along axis 0, the batch"


def test_maps_in_another_shape_are_not_taken_for_their_own() -> None:
    """A pool of what was reshaped sees other windows than one of the tensor as it is."""
    model = written()
    target = numpy_helper.from_array(np.array([0, 2, 2, 8]), "target")
    model.graph.initializer.append(target)
    at = next(k for k, one in enumerate(model.graph.node) if one.name == "pool_t1")
    turned = helper.make_node("Reshape", [node(model, "pool_t1").input[0], "target"], ["turned"], "turn")
    model.graph.node.insert(at, turned)
    node(model, "pool_t1").input[0] = "turned"
    assert message(model) == "net: pool_t1 (MaxPool) reads tensor t0 in the shape (2, 2, 8)"


def test_maps_of_different_sizes_are_not_joined() -> None:
    model = head(helper.make_node("Concat", ["t2", "t0_dequantized"], ["out"], "join", axis=1))
    before = node(model, "t0/dequantize").output[0]
    node(model, "join").input[1] = before
    scale, zero = node(model, "t2/quantize").input[1:3]
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["out", scale, zero], ["stored"], "last/quantize"),
            helper.make_node("DequantizeLinear", ["stored", scale, zero], ["last"], "last/dequantize"),
        ]
    )
    model.graph.output[0].name = "last"
    assert "joins maps of different sizes" in message(model)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("t0_scale", np.zeros(0, np.float32), "the scale of tensor t0 is no number"),
        ("conv_t0.bias_scale", np.ones(3, np.float32), "the bias of layer conv_t0 has 2 values and 3 scales"),
        ("conv_t0.weight_quantized", np.int8(3), "the weight of layer conv_t0 has the shape ()"),
    ],
)
def test_constants_of_another_shape(name: str, values: np.ndarray, expected: str) -> None:
    model = written()
    constant(model, name).CopyFrom(numpy_helper.from_array(np.asarray(values), name))
    assert message(model) == f"net: {expected}"


@pytest.mark.parametrize(
    ("key", "values"), [("strides", [0, 1]), ("strides", []), ("pads", [0, 0, 0]), ("strides", [1] * 3)]
)
def test_windows_that_are_none(key: str, values: list[int]) -> None:
    model = written()
    pool = node(model, "pool_t1")
    kept = [one for one in pool.attribute if one.name != key]
    del pool.attribute[:]
    pool.attribute.extend([*kept, helper.make_attribute(key, values, attr_type=onnx.AttributeProto.INTS)])
    assert message(model).startswith("net: pool_t1 (MaxPool): no window: ")


def test_more_nodes_between_two_roundings_than_can_be_followed() -> None:
    model = written()
    last = node(model, "t2/quantize")
    place = list(model.graph.node).index(last)
    chain = [
        helper.make_node("Relu", [f"r{k - 1}" if k else last.input[0]], [f"r{k}"], f"relu{k}") for k in range(3000)
    ]
    last.input[0] = "r2999"
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*rest[:place], *chain, *rest[place:]])
    assert message(model) == "net: too many nodes between two roundings"


def test_outputs_that_are_others_once_more() -> None:
    model = written()
    last = node(model, "t2/dequantize")
    model.graph.node.append(helper.make_node("Flatten", [last.output[0]], ["again"], "again"))
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, None))
    assert message(model) == "net: output again is another output once more"


def test_enlargements_beyond_every_memory() -> None:
    how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    model = head(helper.make_node("Resize", ["t2", "", "by"], ["out"], "big", **how))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2.0**61, 1], np.float32), "by"))
    assert message(model) == f"net: tensor out has the shape (2, {3 << 61}, 3), more than 33,554,432 elements"


def test_constants_that_nothing_reads_hold_anything() -> None:
    model = written()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["text"], "text", value_strings=[b"a", b"b"]))
    places, value = numpy_helper.from_array(np.zeros(1, np.int64)), numpy_helper.from_array(np.ones(1, np.float32))
    sparse = helper.make_sparse_tensor(value, places, [4])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["sparse"], "sparse", sparse_value=sparse))
    assert_same(qdq.load(model), qdq.load(written()))
    node(model, "conv_t0").input[2] = "text"
    assert message(model) == "net: text (Constant) holds no numbers in a dense tensor"


def test_batches_beyond_memory() -> None:
    model = written()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1 << 40
    assert message(model) == (
        "net: tensor x has the shape (1099511627776, 2, 4, 4), more than 33,554,432 elements: make the batch smaller"
    )


def test_batches_given_as_minus_one_are_open() -> None:
    model = written()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert_same(qdq.load(model), qdq.load(written()))
