"""The float graph as plain ONNX, every tensor an output: for calibration and comparison in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from quant.ir.graph import FloatGraph
from quant.ir.layer import OPSET, FloatLayer
from quant.ir.writing import FloatNodes
from quant.onnx_file.weights import Beside, constant


def float_model(graph: FloatGraph, beside: Beside | None = None) -> onnx.ModelProto:
    """The graph as an ONNX model of opset 17 (19 where an average pool is dilated).

    Its inputs are float32 (N, C, H, W); its outputs are the tensors of all layers, in execution order, under
    their own names as float32 (N, C, H, W).  Fully connected layers are convolutions; what the host makes of outputs
    is left out.  beside: takes large weights, which are stubs in the model then (`quant.onnx_file.weights`).
    """
    return layers_model(graph, graph.layers, graph.inputs, [layer.output for layer in graph.layers], beside)


def layers_model(
    graph: FloatGraph,
    layers: Sequence[FloatLayer],
    inputs: Sequence[str],
    outputs: Sequence[str],
    beside: Beside | None = None,
) -> onnx.ModelProto:
    """Some layers of a graph, in execution order, as `float_model` has them: from any tensors to any tensors.

    layers: of the graph, or others with the same tensors.  inputs: every tensor that they read and do not write.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for layer in layers:
        writer = LayerNodes(layer, beside)
        writer.write()
        nodes += writer.nodes
        constants += writer.constants
    sources, targets = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *graph.shapes[name]]) for name in names]
        for names in (inputs, outputs)
    )
    opset = max((layer.opset for layer in layers), default=OPSET)
    return helper.make_model(
        helper.make_graph(nodes, graph.name, sources, targets, constants),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
        producer_name="shiftpoint",
    )


class LayerNodes(FloatNodes):
    """The operators of one layer: the first has the layer's name, the last writes its tensor."""

    def __init__(self, layer: FloatLayer, beside: Beside | None = None) -> None:
        self.layer, self.beside = layer, beside
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, role: str, values: Any) -> str:
        """As `FloatNodes.constant`."""
        name = f"{self.layer.output}/{role}"
        self.constants.append(constant(np.asarray(values, np.float32), name, self.beside))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """As `FloatNodes.node`."""
        place = len(self.nodes)
        name, output = f"{self.layer.name}/{place}" if place else self.layer.name, f"{self.layer.output}/{place}"
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def write(self) -> None:
        """What the layer computes, and its clip."""
        result = self.layer.write_float(self)
        low, high = self.layer.clip
        if low == 0 and high is None:
            self.node("Relu", [result])
        elif low is not None or high is not None:
            limits = [
                "" if bound is None else self.constant(role, bound) for role, bound in (("low", low), ("high", high))
            ]
            self.node("Clip", [result, *limits])
        self.nodes[-1].output[0] = self.layer.output
