"""The float graph as plain ONNX, every tensor an output: for calibration and comparison in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.graph import Clip, FloatAdd, FloatConv, FloatGraph, FloatLayer, FloatPool
from quant.network import Window

OPSET = 17
OPSET_DILATED_AVERAGE = 19
"""AveragePool has dilations from here on."""


def float_model(graph: FloatGraph) -> onnx.ModelProto:
    """The graph as an ONNX model of opset 17 (19 where an average pool is dilated).

    Its input is float32 (N, C, H, W); its outputs are the tensors of all layers, in execution order, under
    their own names as float32 (N, C, H, W).  Fully connected layers are convolutions; no softmax is applied.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for layer in graph.layers:
        add_layer(layer, nodes, constants)
    names = [graph.input, *(layer.output for layer in graph.layers)]
    source, *tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *graph.shapes[name]]) for name in names
    ]
    dilated = any(
        isinstance(layer, FloatPool) and layer.kind == "average" and layer.window.dilation != (1, 1)
        for layer in graph.layers
    )
    return helper.make_model(
        helper.make_graph(nodes, graph.name, [source], tensors, constants),
        opset_imports=[helper.make_opsetid("", OPSET_DILATED_AVERAGE if dilated else OPSET)],
        ir_version=8,
        producer_name="shiftpoint",
    )


def window_attributes(window: Window) -> dict[str, Any]:
    """A window as the attributes of an ONNX Conv or pool; dilations only where there are any."""
    attributes = {
        "kernel_shape": list(window.kernel),
        "strides": list(window.stride),
        "pads": list(window.pads),
    }
    return attributes | ({"dilations": list(window.dilation)} if window.dilation != (1, 1) else {})


def add_layer(layer: FloatLayer, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> None:
    """Append the nodes of one layer: what it computes, its residual, its clip."""
    tensor = layer.output

    def node(op: str, inputs: list[str], last: bool, role: str = "", **attributes: Any) -> str:
        output = layer.output if last else f"{layer.output}/{role or op}"
        nodes.append(helper.make_node(op, inputs, [output], f"{layer.name}{role and '/'}{role}", **attributes))
        return output

    def constant(role: str, array: np.ndarray | float) -> str:
        constants.append(numpy_helper.from_array(np.asarray(array, np.float32), f"{layer.output}/{role}"))
        return f"{layer.output}/{role}"

    bounds: Clip = (None, None)
    if isinstance(layer, FloatConv):
        bounds, residual = layer.clip, layer.residual
        unclipped = bounds == (None, None)
        inputs = [layer.input, constant("weight", layer.weight), constant("bias", layer.bias)]
        attributes = window_attributes(layer.window)
        tensor = node("Conv", inputs, unclipped and residual is None, group=layer.groups, **attributes)
        if residual is not None:
            tensor = node("Add", [tensor, residual], unclipped, "add")
    elif isinstance(layer, FloatPool):
        bounds = layer.clip
        attributes = window_attributes(layer.window)
        if layer.kind == "average":
            tensor = node("AveragePool", [layer.input], bounds == (None, None),
                          count_include_pad=int(layer.count_include_pad), **attributes)  # fmt: skip
        else:
            tensor = node("MaxPool", [layer.input], bounds == (None, None), **attributes)
    elif isinstance(layer, FloatAdd):
        bounds = layer.clip
        tensor = node("Add", list(layer.inputs), bounds == (None, None))
    else:
        node("Concat", list(layer.inputs), True, axis=1)
    if bounds == (0, None):
        node("Relu", [tensor], True, "relu")
    elif bounds != (None, None):
        limits = [
            "" if bound is None else constant(role, bound) for role, bound in zip(("low", "high"), bounds, strict=True)
        ]
        node("Clip", [tensor, *limits], True, "clip")
