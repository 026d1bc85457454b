"""Files that are quantized in another form are told so, by the importer and by the reader of quantized files."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quant import qdq
from quant.base.errors import BadInput, UnsupportedNetwork
from quant.onnx_file.quantized import is_quantized
from tests.quant.onnx_nets import Net, message

QONNX = "qonnx.custom_op.general"


def operator_oriented() -> onnx.ModelProto:
    net = Net(3, 8, 8)
    scale, zero = net.constant(0.5), net.constant(0, np.int8)
    weights = net.constant(np.ones((4, 3, 3, 3)), np.int8)
    y = net.node("QuantizeLinear", "x", scale, zero)
    y = net.node("QLinearConv", y, scale, zero, weights, scale, zero, scale, zero, name="conv")
    return net.model(net.node("DequantizeLinear", y, scale, zero))


def of_qonnx(op: str, of_data: bool) -> onnx.ModelProto:
    net = Net(3, 8, 8)
    weights = net.constant(np.ones((4, 3, 1, 1)))
    scheme = [net.constant(0.1), net.constant(0.0), net.constant(8.0)][: 1 if op == "BipolarQuant" else 3]
    made = net.node(op, "x" if of_data else weights, *scheme, domain=QONNX, name="q")
    return net.model(net.node("Conv", *((made, weights) if of_data else ("x", made))), domain=QONNX)


@pytest.mark.parametrize(
    ("model", "what", "how"),
    [
        (operator_oriented(), "QLinearConv conv takes integers itself", "quant_format=QuantFormat.QDQ)"),
        *(
            (of_qonnx(op, of_data), f"{op} q is QONNX's, of {QONNX}", "(as qonnx-convert writes it)")
            for op, of_data in (("Quant", True), ("Quant", False), ("BipolarQuant", False), ("Trunc", True))
        ),
    ],
)
def test_other_forms(model: onnx.ModelProto, what: str, how: str) -> None:
    assert message(model) == f"net: quantized already ({what}): give the float network it was made of"
    with pytest.raises(UnsupportedNetwork) as caught:
        qdq.load(model)
    export = "export it with QuantizeLinear and DequantizeLinear around float layers"
    assert str(caught.value).startswith(f"net: {what}: {export} (") and str(caught.value).endswith(how)


def test_weights_alone_are_no_quantized_network() -> None:
    net = Net(3, 8, 8)
    weights = net.node("DequantizeLinear", net.constant(np.ones((4, 3, 1, 1)), np.int8), net.constant(0.1))
    model = net.model(net.node("Conv", "x", weights))
    with pytest.raises(BadInput, match=r"only its weights are \(DequantizeLinear\): `quantize` takes it"):
        qdq.load(model)


@pytest.mark.parametrize("weights", [True, False])
def test_data_that_are_rounded_make_it_quantized(weights: bool) -> None:
    net = Net(3, 8, 8)
    scale, zero = net.constant(0.5), net.constant(0, np.int8)
    kernel = net.constant(np.ones((4, 3, 1, 1)))
    rounded = net.node("Identity", kernel) if weights else "x"
    rounded = net.node("DequantizeLinear", net.node("QuantizeLinear", rounded, scale, zero), scale, zero)
    y = net.node("Conv", *(("x", rounded) if weights else (rounded, kernel)))
    assert is_quantized(net.model(y).graph) is not weights
