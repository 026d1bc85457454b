"""A convolution in a quantized file: its operators, and numbers that a file cannot hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quant import qdq
from quant.base.errors import BadInput
from quant.ir.window import Window
from quant.kinds.conv import convolution
from quant.kinds.conv.qdq import scales
from tests.quant.integer_nets import S8, Net, check, operators


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_a_residual_is_an_addition_behind_it() -> None:
    net = Net((4, 5, 5), S8)
    one = net.conv("x", 4, S8)
    two = net.conv(one, 4, S8, window=Window((3, 3), pads=(1, 1, 1, 1)), groups=2, residual=one)
    model = check(net.network(two))
    assert operators(model) == ["Conv", "Conv", "Add"]
    last = next(node for node in model.graph.node if node.name == f"conv_{two}")
    assert {a.name: onnx.helper.get_attribute_value(a) for a in last.attribute}["group"] == 2


def test_a_fully_connected_layer_is_of_flattened_maps() -> None:
    net = Net((2, 3, 3), S8)
    y = net.gemm("x", 5, S8)
    model = check(net.network(y))
    assert [op for op in operators(model) if op not in ("Flatten", "Reshape")] == ["Gemm"]
    layer = convolution(net.layers[0])
    assert layer is not None
    held = constants(model)
    np.testing.assert_array_equal(held[f"conv_{y}.weight_quantized"], layer.weight.reshape(5, -1))
    np.testing.assert_array_equal(held[f"conv_{y}.weight_scale"], 2.0**-layer.weight_frac)
    np.testing.assert_array_equal(held[f"conv_{y}.bias_scale"], 2.0 ** -(layer.weight_frac + S8.frac))


@pytest.mark.parametrize(("bias", "fits"), [(2**31 - 1, True), (2**31, False), (-(2**31), True), (-(2**31) - 1, False)])
def test_a_bias_is_of_32_bits(bias: int, fits: bool) -> None:
    net = Net((1, 2, 2), S8)
    y = net.conv("x", 2, S8)
    net.layers[0] = dataclasses.replace(net.layers[0], bias=np.array([0, bias]))  # type: ignore[type-var]
    network = net.network(y)
    if fits:
        assert constants(qdq.to_model(network))[f"conv_{y}.bias_quantized"].tolist() == [0, bias]
        return
    with pytest.raises(
        BadInput, match=rf"^layer conv_{y}: the bias {bias} does not fit the int32 of a quantized file$"
    ):
        qdq.to_model(network)


def test_scales_that_float32_has_not() -> None:
    assert scales(np.array([3, -2]), "it").tolist() == [0.125, 4]
    with pytest.raises(BadInput, match="the weight of layer a"):
        scales(np.array([0, 200]), "the weight of layer a")
