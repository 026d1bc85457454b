"""A model in two parts: the head, which becomes integers, and the tail, which stays as it is (`quant.ir.tail`).

Importer and reader of quantized files cut alike.  Every name of a tail, of nodes and of tensors inside, begins with
PREFIX, so that it stands behind a quantized head in one file, and is found there again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference, version_converter

from quant.base.errors import BadInput
from quant.ir.tail import Tail
from quant.onnx_file import form
from quant.onnx_file.nodes import attributes, kind_of
from quant.onnx_file.read import opset
from quant.onnx_file.valid import asked, names_read
from quant.onnx_file.weights import array_of

PREFIX = "tail::"
"""Of every name in a tail but those of its inputs and outputs."""


def reads(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those within its branches and bodies among them."""
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return [name for name in [*node.input, *(name for graph in inner for name in names_read(graph))] if name]


def crossing(nodes: Sequence[onnx.NodeProto], known: Collection[str], outputs: Iterable[str]) -> list[str]:
    """The tensors that some nodes and a model's outputs take from outside these nodes, in order, but constants.

    known: the tensors of the model that are data.
    """
    made = {name for node in nodes for name in node.output}
    wanted = [name for node in nodes for name in reads(node)] + list(outputs)
    return [name for name in dict.fromkeys(wanted) if name in known and name not in made]


def head_of(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], outputs: Sequence[str]) -> onnx.ModelProto:
    """The model with these nodes alone, which returns these tensors: float32, in the shapes known of them."""
    graph = model.graph
    stated = {value.name: value for value in [*graph.value_info, *graph.output]}
    plain = [stated.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    head = onnx.ModelProto()
    head.CopyFrom(model)
    for field, values in (("node", nodes), ("output", plain)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        head.graph.ClearField(field)
        getattr(head.graph, field).extend(copies)
    return head


def tail_of(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    inputs: Mapping[str, tuple[int, ...]],
) -> Tail:
    """The tail of some nodes of a model, with all outputs of that, in the opset of quantized files.

    constants: those that the nodes read.  inputs: the shapes without the batch of the tensors that they read, in order.
    Raises BadInput where ONNX cannot write them in that opset.
    """
    graph = helper.make_graph(
        [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes],
        "tail",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *own]) for name, own in inputs.items()],
        [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.output],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=form.IR_VERSION)
    if opset(made) != form.OPSET:
        complaint = f"what the host does cannot be written in opset {form.OPSET}"
        made = asked(lambda: version_converter.convert_version(made, form.OPSET), complaint)
    graph = made.graph
    for value, name in zip(graph.output, [value.name for value in model.graph.output], strict=True):
        if value.name != name:  # the converter's doing
            raise BadInput(f"output {name} is called {value.name} in opset {form.OPSET}")
    _rename(graph, {*inputs, *(value.name for value in graph.output), ""})
    return _tail(graph.node, graph.initializer, inputs, graph.output)


def split(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """The head of a quantized file, and the nodes of its tail; none where it has no tail."""
    nodes = [node for node in model.graph.node if node.name.startswith(PREFIX)]
    if not nodes:
        return model, []
    before = [node for node in model.graph.node if not node.name.startswith(PREFIX)]
    data = {value.name for value in model.graph.input} | {name for node in before for name in node.output}
    cut = crossing(nodes, data, (value.name for value in model.graph.output))
    head = head_of(model, before, cut)
    kept = [tensor for tensor in head.graph.initializer if not tensor.name.startswith(PREFIX)]
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    head.graph.ClearField("initializer")
    head.graph.initializer.extend(copies)
    return head, nodes


def rest(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, tuple[int, ...]]) -> Tail:
    """The tail of a quantized file: `nodes` as `split` found them, inputs as of `tail_of`."""
    constants = [
        numpy_helper.from_array(array_of(tensor), tensor.name)
        for tensor in model.graph.initializer
        if tensor.name.startswith(PREFIX)
    ]
    return _tail(nodes, constants, inputs, model.graph.output)


def _tail(
    nodes: Iterable[onnx.NodeProto],
    constants: Iterable[TensorProto],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Iterable[onnx.ValueInfoProto],
) -> Tail:
    """A tail in its one form, so that one that was read has the bytes of the one that was written.

    Raises BadInput for an output that is no tensor of a known type.
    """
    outputs = list(outputs)
    graph = helper.make_graph(
        list(nodes),
        "tail",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *own]) for name, own in inputs.items()],
        outputs,
        list(constants),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", form.OPSET)],
        ir_version=form.IR_VERSION,
        producer_name=form.PRODUCER,
    )
    for value, inferred in zip(model.graph.output, shape_inference.infer_shapes(model).graph.output, strict=True):
        if not value.type.tensor_type.HasField("shape"):  # ONNX Runtime infers what ONNX's checker demands
            value.type.CopyFrom(inferred.type)
        if not value.type.tensor_type.elem_type:
            raise BadInput(f"output {value.name}, which the host makes, is no tensor of a known type")
    content = model.SerializeToString(deterministic=True)
    return Tail(content, tuple(inputs), tuple(value.name for value in outputs), sum(multiplications(model)))


def _rename(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    """Put PREFIX before all names of a graph and of those within its nodes, but those that are kept."""

    def new(name: str) -> str:
        return name if name in kept else PREFIX + name

    for node in graph.node:
        node.name = PREFIX + next(filter(None, node.output))  # no two alike, which ONNX Runtime wants
        node.doc_string = ""
        del node.metadata_props[:]
        node.input[:], node.output[:] = map(new, node.input), map(new, node.output)
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _rename(inner, kept)
                for value in [*inner.input, *inner.output, *inner.value_info]:
                    value.name = new(value.name)
    for tensor in graph.initializer:
        tensor.name = new(tensor.name)


def multiplications(model: onnx.ModelProto) -> Iterator[int]:
    """The multiplications of each node of a model, in order: of those that sum products, padding counted.

    Of a size that is unknown before the data are there none are counted.
    """
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.value_info, *graph.output]
    } | {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in model.graph.node:
        inputs, outputs = ([shapes.get(name, []) for name in names] for names in (node.input, node.output))
        yield _multiplications(node, inputs, outputs)


def _multiplications(node: onnx.NodeProto, inputs: list[list[int]], outputs: list[list[int]]) -> int:
    """Of one node, by the shapes of its inputs and outputs."""
    match kind_of(node):
        case "Conv":
            return prod(outputs[0]) * prod(inputs[1][1:]) if inputs[1] and outputs[0] else 0
        case "ConvTranspose":
            return prod(inputs[0]) * prod(inputs[1][1:]) if inputs[1] and inputs[0] else 0
        case "Gemm":
            inner = inputs[0][:1] if attributes(node).get("transA", 0) else inputs[0][-1:]
            return prod(outputs[0]) * inner[0] if inner and outputs[0] else 0
        case "MatMul":
            return prod(outputs[0]) * inputs[0][-1] if inputs[0] else 0
        case "LSTM" | "GRU" | "RNN":
            steps = inputs[0][1 if attributes(node).get("layout", 0) else 0 :][:1]
            return prod(steps) * (prod(inputs[1]) + prod(inputs[2])) if steps else 0
    return 0
