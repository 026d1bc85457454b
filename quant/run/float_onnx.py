"""The float graph as plain ONNX, every tensor an output: for calibration and comparison in ONNX Runtime."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.ir.functions import Function
from quant.ir.graph import FloatGraph
from quant.ir.layer import FloatLayer
from quant.ir.window import Window
from quant.kinds.add import FloatAdd
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable

OPSET = 17
OPSET_DILATED_AVERAGE = 19
"""AveragePool has dilations from here on."""


def float_model(graph: FloatGraph) -> onnx.ModelProto:
    """The graph as an ONNX model of opset 17 (19 where an average pool is dilated).

    Its input is float32 (N, C, H, W); its outputs are the tensors of all layers, in execution order, under
    their own names as float32 (N, C, H, W).  Fully connected layers are convolutions; no softmax is applied.
    """
    return layers_model(graph, graph.layers, [graph.input], [layer.output for layer in graph.layers])


def layers_model(
    graph: FloatGraph, layers: Sequence[FloatLayer], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Some layers of a graph, in execution order, as `float_model` has them: from any tensors to any tensors.

    layers: of the graph, or others with the same tensors.  inputs: every tensor that they read and do not write.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for layer in layers:
        add_layer(layer, nodes, constants)
    sources, targets = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *graph.shapes[name]]) for name in names]
        for names in (inputs, outputs)
    )
    dilated = any(
        isinstance(layer, FloatPool) and layer.kind == "average" and layer.window.dilation != (1, 1) for layer in layers
    )
    return helper.make_model(
        helper.make_graph(nodes, graph.name, sources, targets, constants),
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


Operation = tuple[str, list[str], dict[str, Any]]
"""Operator, inputs, attributes.  Every operation of a layer but the first also takes the result before it."""


def add_layer(layer: FloatLayer, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> None:
    """Append the nodes of one layer: what it computes, its residual, its clip."""

    def constant(role: str, array: np.ndarray | float | list[int]) -> str:
        name = f"{layer.output}/{role}"
        constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    operations: list[Operation] = []
    if isinstance(layer, FloatConv):
        inputs = [layer.input, constant("weight", layer.weight), constant("bias", layer.bias)]
        operations.append(("Conv", inputs, window_attributes(layer.window) | {"group": layer.groups}))
        if layer.residual is not None:
            operations.append(("Add", [layer.residual], {}))
    elif isinstance(layer, FloatPool):
        average = {"count_include_pad": int(layer.count_include_pad)} if layer.kind == "average" else {}
        name = "AveragePool" if layer.kind == "average" else "MaxPool"
        operations.append((name, [layer.input], window_attributes(layer.window) | average))
    elif isinstance(layer, FloatAdd):
        operations.append(("Add", list(layer.inputs), {}))
    elif isinstance(layer, Resize):
        inputs = [layer.input, "", constant("scales", [1, 1, *layer.factors])]
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        operations.append(("Resize", inputs, {"mode": "nearest"} | how))
    elif isinstance(layer, FloatTable):
        add_function(layer, nodes, constant)
        return
    else:
        operations.append(("Concat", list(layer.inputs), {"axis": 1}))
    low, high = layer.clip if isinstance(layer, FloatConv | FloatPool | FloatAdd) else (None, None)
    if low == 0 and high is None:
        operations.append(("Relu", [], {}))
    elif low is not None or high is not None:
        limits = ["" if low is None else constant("low", low), "" if high is None else constant("high", high)]
        operations.append(("Clip", limits, {}))
    chain(layer, operations, nodes)


def add_function(
    layer: FloatTable, nodes: list[onnx.NodeProto], constant: Callable[[str, np.ndarray | float], str]
) -> None:
    """Append a node for each operator of a function; the last has the layer's name and writes its tensor."""

    numbers = itertools.count()

    def add(function: Function, last: bool) -> str:
        if function.op == "x":
            return layer.input
        if function.op == "constant":
            return constant(f"constant{next(numbers)}", dict(function.numbers)["value"])
        inputs = [add(argument, False) for argument in function.arguments]
        place = "" if last else f"/{len(nodes)}"
        attributes: dict[str, Any] = dict(function.numbers)
        nodes.append(helper.make_node(function.op, inputs, [layer.output + place], layer.name + place, **attributes))
        return layer.output + place

    if layer.function.op in ("x", "constant"):
        raise ValueError(f"layer {layer.name}: {layer.function} is no operator")
    add(layer.function, True)


def chain(layer: FloatLayer, operations: list[Operation], nodes: list[onnx.NodeProto]) -> None:
    """Append a node for each operation: the first has the layer's name, the last writes its tensor."""
    before: list[str] = []
    for place, (op, inputs, attributes) in enumerate(operations):
        output = layer.output if place == len(operations) - 1 else f"{layer.output}/{op}"
        name = f"{layer.name}/{op}" if place else layer.name
        nodes.append(helper.make_node(op, before + inputs, [output], name, **attributes))
        before = [output]
