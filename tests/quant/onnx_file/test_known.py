"""Attributes that a later opset gives an operator are refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import defs, helper

from quant.onnx_file.known import check_attributes, known_attributes
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.inspect import inspect
from tests.quant.onnx_nets import Net, message


def pixels_to_channels(**more: str) -> Net:
    net = Net(3, 8, 8, opset=28)
    net.conv(net.node("SpaceToDepth", "x", blocksize=2, name="blocks", **more), 4, 12, name="out")
    return net


@pytest.mark.skipif(defs.onnx_opset_version() < 28, reason="this ONNX has no such attribute")
def test_an_attribute_of_a_newer_opset_is_named() -> None:
    model = pixels_to_channels(mode="CRD").model("out")
    reason = "its attribute mode is CRD; opset 25, the newest that is read, has none of that name"
    assert message(model) == f"net: 1 node is not supported: blocks (SpaceToDepth: {reason})"
    [verdict] = [v for v in inspect(model).verdicts if v.kind == "unsupported"]
    assert verdict.edit == "export the network with opset 25 or older"
    assert inspect(pixels_to_channels(mode="DCR").model("out")).supported  # what it is without the attribute


def test_attributes_that_are_read() -> None:
    check_attributes(helper.make_node("Conv", ["x"], ["y"], pads=[1] * 4, auto_pad="NOTSET", group=2))
    assert known_attributes("Pad") == {"mode", "pads", "value"}  # of older opsets, too, as far back as files are read
    with pytest.raises(NotSupportedError, match=r"^its attribute sparsity is 0.5; opset 25"):
        check_attributes(helper.make_node("Conv", ["x"], ["y"], sparsity=0.5))


def test_attributes_that_say_nothing() -> None:
    check_attributes(helper.make_node("Clip", ["x"], ["y"], min=-np.inf, max=np.inf))
    for node, reason in (
        (helper.make_node("ReduceMean", ["x"], ["y"], keepdims=7), "keepdims is 7, neither 0 nor 1"),
        (helper.make_node("Clip", ["x"], ["y"], min=np.nan), "min is nan"),
        (helper.make_node("LeakyRelu", ["x"], ["y"], alpha=np.inf), "alpha is inf"),
    ):
        with pytest.raises(NotSupportedError, match=f"^its attribute {reason}$"):
            check_attributes(node)
