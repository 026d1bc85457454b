"""The node that is to blame, why, and what would help: situations in which another node or advice was named before."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from quant.onnx_import.inspect import inspect
from tests.quant.onnx_nets import Net, checked, kinds


def judged(model: onnx.ModelProto) -> dict[str, tuple[str, str]]:
    """Reason and edit of every unsupported node."""
    found = inspect(model)  # where the host can do the rest, these are the reason for that
    return {v.node: (v.text, v.edit) for v in found.because or found.verdicts if v.kind == "unsupported"}


def unknown(model: onnx.ModelProto) -> set[str]:
    return {v.node for v in inspect(model).verdicts if v.kind == "unknown"}


def start(*shape: int) -> tuple[Net, str]:
    net = Net(*(shape or (3, 8, 8)))
    return net, net.conv("x", 4, 3, name="conv")


@pytest.mark.parametrize("op", ["Mul", "Where"])
def test_a_constant_mask_is_no_gate(op: str) -> None:
    net, y = start()
    mask = net.random.random((1, 1, 8, 8)) > 0.5
    if op == "Mul":
        y = net.node("Mul", y, net.constant(mask), name="mask")
    else:
        y = net.node("Where", net.constant(mask, bool), y, net.constant(0.0), name="mask")
    assert judged(net.model(net.node("Relu", y))) == {
        "mask": (
            "its constant differs from place to place within a channel",
            "use one number for each channel; what differs within one can be done to the images, on the host",
        )
    }


@pytest.mark.parametrize("scale", [1.5, 0.75])
def test_a_broken_factor_of_resize_is_named(scale: float) -> None:
    net, y = start()
    y = net.node("Resize", y, "", net.constant([1, 1, scale, scale]), name="up", mode="nearest",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    model = net.model(net.conv(y, 2, 4, name="behind"))
    [(reason, edit)] = judged(model).values()
    assert reason == f"resizes by a factor of {scale:g}; whole factors are supported"
    assert edit.startswith("resize by nearest and whole factors")
    assert unknown(model) == {"behind"}


def test_the_slice_is_to_blame_for_what_it_turns_around() -> None:
    net, y = start()
    y = net.node("Slice", y, net.ints(7), net.ints(-100), net.ints(3), net.ints(-1), name="flip")
    y = net.node("Transpose", net.node("Relu", y, name="relu"), perm=[0, 2, 3, 1], name="last")
    model = net.model(net.conv(net.node("Transpose", y, perm=[0, 3, 1, 2], name="first"), 2, 4))
    assert [*judged(model)] == ["flip"]
    assert "takes axis 3 backwards (step -1)" in judged(model)["flip"][0]


def test_channels_may_be_turned_around() -> None:
    net = Net(3, 8, 8)
    y = net.node("Slice", "x", net.ints(2), net.ints(-100), net.ints(1), net.ints(-1))
    assert kinds(checked(net.model(net.conv(y, 4, 3)))) == "c"


@pytest.mark.parametrize(("last", "axis", "name"), [(False, 2, "rows"), (False, 3, "columns"), (True, 1, "rows")])
def test_rows_joined(last: bool, axis: int, name: str) -> None:
    net, y = start()
    other = net.conv("x", 4, 3, name="conv2")
    if last:
        y, other = (net.node("Transpose", part, perm=[0, 2, 3, 1]) for part in (y, other))
    y = net.node("Concat", y, other, axis=axis, name="join")
    y = net.node("Transpose", y, perm=[0, 3, 1, 2]) if last else y
    assert judged(net.model(net.conv(y, 2, 4))) == {
        "join": (f"along axis {axis}, the {name}; only channels are supported", "join channels, or join on the host")
    }


def test_rows_of_one_channel_joined() -> None:
    net = Net(1, 8, 8)
    y = net.node("Concat", net.conv("x", 1, 1), net.conv("x", 1, 1), axis=2, name="join")
    assert [*judged(net.model(net.conv(y, 2, 1, name="behind")))] == ["join"]


def layer_norm(net: Net, y: str) -> str:
    """LayerNormalization over channels last, and back: as ConvNeXt exports it."""
    ones = net.constant(np.ones(4))
    y = net.node("LayerNormalization", net.node("Transpose", y, perm=[0, 2, 3, 1]), ones, ones, axis=-1, name="norm")
    return net.node("Transpose", y, perm=[0, 3, 1, 2], name="back")


def test_transposes_around_a_layer_normalization_are_no_blockers() -> None:
    net, y = start()
    model = net.model(net.node("Relu", net.conv(layer_norm(net, y), 4, 4, name="behind"), name="relu"))
    assert [*judged(model)] == ["norm"]
    assert unknown(model) == set()
    assert {v.node: v.kind for v in inspect(model).verdicts}["behind"] == "layer"


def test_a_mean_over_channels_last_is_named_itself() -> None:
    net, y = start()
    y = net.node("Transpose", y, perm=[0, 2, 3, 1], name="last")
    y = net.node("ReduceMax", y, axes=[1, 3], keepdims=1, name="mean")
    [(reason, _)] = judged(net.model(y)).values()
    assert reason == "over the axes [1, 3] of (N, 8, 8, 4); rows and columns are supported"


@pytest.mark.parametrize(
    ("kind", "name", "edit"),
    [
        (TensorProto.FLOAT16, "float16", "export the network in float32 throughout"),
        (TensorProto.DOUBLE, "double", "export the network in float32 throughout"),
        (TensorProto.INT32, "int32", "end the network before it"),
    ],
)
def test_casts_name_their_type(kind: int, name: str, edit: str) -> None:
    net, y = start()
    y = net.node("Cast", net.node("Cast", y, to=kind, name="down"), to=TensorProto.FLOAT, name="up")
    [(reason, found)] = judged(net.model(y)).values()
    assert reason == f"casts data to {name}" and found.startswith(edit)


def test_a_matrix_along_rows_is_no_attention() -> None:
    net, y = start()
    y = net.node("MatMul", y, net.constant(net.random.normal(size=(8, 8))), name="rows")
    [(reason, edit)] = judged(net.model(y)).values()
    assert reason == "multiplies along another axis than the channels" and "attention" not in edit


@pytest.mark.parametrize("power", [True, False])
def test_gelu_by_tanh_is_a_table(power: bool) -> None:
    net, y = start()
    cube = net.node("Pow", y, net.constant(3.0)) if power else net.node("Mul", y, net.node("Mul", y, y))
    inner = net.node("Add", y, net.node("Mul", cube, net.constant(0.044715)))
    bell = net.node("Tanh", net.node("Mul", inner, net.constant(0.79788456)))
    y = net.node("Mul", net.node("Mul", y, net.node("Add", bell, net.constant(1.0))), net.constant(0.5))
    assert kinds(checked(net.model(net.conv(y, 2, 4)))) == "ctc"


@pytest.mark.parametrize("opset", [10, 13, 19, 21])
def test_weights_alone_are_quantized(opset: int) -> None:
    net = Net(3, 8, 8, opset=opset)
    weights = net.constant(net.random.integers(-9, 9, (4, 3, 3, 3)), np.int8)
    rows = opset >= 13
    scheme = [net.constant([0.1, 0.2, 0.3, 0.4] if rows else 0.1), net.constant([0] * 4 if rows else 0, np.int8)]
    weights = net.node("DequantizeLinear", weights, *scheme, **({"axis": 0} if rows else {}))
    assert kinds(checked(net.model(net.node("Relu", net.node("Conv", "x", weights))))) == "c"


def test_a_constant_that_cannot_be_evaluated_is_blamed_alone() -> None:
    net = Net(3, 8, 8)
    weights = net.node("Relu", net.constant(np.ones((4, 3, 1, 1))), domain="my.custom", name="made")
    model = net.model(net.node("Conv", "x", weights, name="conv"), domain="my.custom")
    assert [*judged(model)] == ["made"] and unknown(model) == {"conv"}


def test_a_shape_of_another_domain_is_no_constant() -> None:
    net = Net(3, 8, 8)
    size = net.node("Shape", "x", domain="my.custom", name="shape")
    model = net.model(net.node("Reshape", "x", size, name="reshape"), domain="my.custom")
    assert judged(model)["shape"][0] == "operator not supported"
