"""Files that are quantized: with QuantizeLinear and DequantizeLinear around float layers, or in other forms."""

from __future__ import annotations

import onnx

from quant.onnx_file.nodes import name_of

QDQ = "QuantizeLinear and DequantizeLinear around float layers"

INTEGER = ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QAttention")
"""Operators on integers beside those whose names begin with QLinear."""


def other_form(graph: onnx.GraphProto) -> tuple[str, str] | None:
    """The node that shows another form, and how to get a file that can be read; None for floats and for QDQ."""
    for node in graph.node:
        name = f"{node.op_type} {name_of(node)}"
        if node.op_type.startswith("QLinear") or node.op_type in INTEGER:
            how = f"export it with {QDQ} (in ONNX Runtime's quantize_static: quant_format=QuantFormat.QDQ)"
            return f"{name} takes integers itself", how
        if node.domain.split(".")[0] in ("qonnx", "finn") or node.domain == "onnx.brevitas":
            return f"{name} is QONNX's, of {node.domain}", f"export it with {QDQ} (as qonnx-convert writes it)"
    return None


def is_quantized(graph: onnx.GraphProto) -> bool:
    """Whether data are rounded by a QuantizeLinear.  Where weights alone are, they fold, and the network is float."""
    constant = {"", *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        if all(name in constant for name in node.input):
            constant.update(node.output)
        elif node.op_type == "QuantizeLinear":
            return True
    return False
