"""The ONNX operators that are left to the host where they end the network, as in `quant.onnx_import.operators`."""

from __future__ import annotations

from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.tails import host_operation
from quant.onnx_import.curves import curve
from quant.onnx_import.node import Node


def leave(node: Node) -> None:
    """Softmax, LogSoftmax, ArgMax: noted on the output that they make; the host applies them."""
    value = node.data()
    operation = host_operation(node.op, node.attributes, value.own, node.opset)
    if not node.ends:
        raise NotSupportedError("supported at an output only")
    node.leave(value, operation)


def sigmoid(node: Node) -> None:
    """Left to the host at an output, a table elsewhere."""
    (leave if node.ends else curve)(node)
