"""From ONNX nodes to steps: constants are evaluated, moved data followed, every unsupported node collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from quant.base.errors import BadInput, UnsupportedNetwork, first_line
from quant.onnx_file.known import check_attributes
from quant.onnx_file.nodes import NotSupportedError, attributes, kind_of, name_of
from quant.onnx_file.quantized import other_form
from quant.onnx_import.advice import UNKNOWN, advise
from quant.onnx_import.lowering import Lowering, Record
from quant.onnx_import.node import Handler, Node
from quant.onnx_import.views import Value
from quant.onnx_import.written_out import lower_written_out
from quant.run.session import Session

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
MOST_CONSTANT = 1 << 27
"""Most elements of a constant that is computed: those of VGG's largest weight, at 4 bytes 512 MiB."""
MOST_SIZES = 64
"""Elements of a constant up to which it may state sizes of a result."""
CONTRADICTION = (ArithmeticError, LookupError, MemoryError, TypeError, ValueError)
"""What Python and NumPy raise on what no check foresaw in a node: it is refused by its name all the same."""
QUANTIZED = {"QuantizeLinear", "DynamicQuantizeLinear"}


def live_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the outputs depend on, in order."""
    needed = {value.name for value in graph.output}
    live = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            live.append(node)
            needed.update(node.input)
    return live[::-1]


def lower(lowering: Lowering, handlers: Mapping[str, Handler], tolerant: bool = False) -> None:
    """Lower every node that the outputs need; go on after those that cannot be.

    Raises BadInput for weights that are not finite; where `tolerant`, that node is only refused.
    """
    for node in live_nodes(lowering.graph):
        lowering.records.append(Record(name_of(node), kind_of(node), tuple(node.output)))
        try:
            lower_node(lowering, node, handlers)
        except BadInput as error:
            if not tolerant:
                raise
            refusal = NotSupportedError(str(error), "train it again, or repair the file")
            lowering.note(refusal, len(lowering.records) - 1)
            lowering.skip(node)


def output_values(lowering: Lowering, label: str) -> list[Value]:
    """The network's outputs, each a tensor in order.  One that cannot be is noted in the records.

    Raises UnsupportedNetwork for a constant, the input itself, or one given twice.
    """
    values: list[Value] = []
    for output in lowering.graph.output:
        value = lowering.values.get(output.name)
        if any(record.fate in ("refused", "unreached") for record in lowering.records):
            continue  # what cannot be reached is no mistake of its own
        if value is not None and value.places is not None:
            try:
                value = replace(lowering.arrange(value), host=value.host)
            except NotSupportedError as error:
                lowering.note(error, value.maker)
                continue
        if value is None or lowering.draft.writer(value.tensor) is None:
            raise UnsupportedNetwork(f"{label}: output {output.name} is not computed from the input by any layer")
        op = value.host and value.host.op
        same = [other for other in values if other.tensor == value.tensor]
        if any(other.own != value.own or (other.host and other.host.op) == op for other in same):
            raise UnsupportedNetwork(f"{label}: output {output.name} is another output once more")
        values.append(value)
    return values


def refuse(lowering: Lowering, label: str) -> None:
    """Raise UnsupportedNetwork naming all nodes that cannot be lowered, each with its reason."""
    refuse_quantized(lowering, label)
    refused = [record for record in lowering.records if record.fate == "refused"]
    if refused:
        what = "1 node is" if len(refused) == 1 else f"{len(refused)} nodes are"
        reasons = "; ".join(
            f"{record.name} ({record.op}: {advise(record.op, record.reason, record.edit)[0]})" for record in refused
        )
        raise UnsupportedNetwork(f"{label}: {what} not supported: {reasons}")


def refuse_quantized(lowering: Lowering, label: str) -> None:
    """Raise UnsupportedNetwork for a network that is quantized already."""
    refused = [record for record in lowering.records if record.fate == "refused"]
    other = other_form(lowering.graph) if refused else None
    if other is not None:
        raise UnsupportedNetwork(f"{label}: quantized already ({other[0]}): give the float network it was made of")
    found = [record for record in refused if record.op in QUANTIZED]
    if found:
        text = "give the float network it was made of; `run`, `compare` and `compile` read quantized files"
        raise UnsupportedNetwork(f"{label}: quantized already ({found[0].op} {found[0].name}): {text}")


def lower_node(lowering: Lowering, node: onnx.NodeProto, handlers: Mapping[str, Handler]) -> None:
    """Lower one node; an unsupported one is noted in its record."""
    record, kind = lowering.records[-1], kind_of(node)
    constant = all(lowering.is_constant(name) for name in node.input if name)
    try:
        if fold(lowering, node):
            record.fate = "constant"
            return
        if lower_written_out(lowering, node):
            return
        if kind not in handlers:
            raise NotSupportedError(UNKNOWN)
        check_attributes(node)
        if any(lowering.values.get(tensor, True) is None for tensor in node.input):
            record.fate = "unreached"  # a consequence of a node reported already
            return lowering.skip(node)
        record.layer = lowering.unique(record.name)
        handlers[kind](Node(lowering, node, record.layer, len(lowering.records) - 1))
    except (NotSupportedError, *CONTRADICTION) as error:
        if not isinstance(error, NotSupportedError):
            error = NotSupportedError(f"its attributes, inputs and shapes contradict each other: {first_line(error)}")
        lowering.note(error, len(lowering.records) - 1)
        if constant:  # what reads it is refused for its sake, not for reading data where a constant belongs
            lowering.values.update((name, None) for name in node.output)
        else:
            lowering.skip(node)


def fold(lowering: Lowering, node: onnx.NodeProto) -> bool:
    """Evaluate a node of which every input is known; true where it was."""
    inputs = [name for name in node.input if name]
    if node.op_type in RANDOM or kind_of(node) != node.op_type or loops(node):
        return False
    if node.op_type in ("Shape", "Size") and lowering.values.get(inputs[0]) is not None:
        value = lowering.values[inputs[0]]
        assert value is not None
        lowering.computed[inputs[0] + "\0shape"] = np.zeros((lowering.batch, *value.own), np.bool_)
        lowering.of_batch.add(inputs[0] + "\0shape")
        node = helper.make_node(node.op_type, [inputs[0] + "\0shape"], node.output, **attributes(node))
        inputs = list(node.input)
    if not all(lowering.is_constant(name) for name in inputs) or (not inputs and node.op_type != "Constant"):
        return False
    results = evaluate(node, {name: lowering.constant(name) for name in inputs}, lowering.imports)
    lowering.computed.update(zip([name for name in node.output if name], results, strict=True))
    if lowering.of_batch.intersection(inputs):
        lowering.of_batch.update(node.output)
    return True


def loops(node: onnx.NodeProto) -> bool:
    """Whether a node, or one in its branches, may run without end."""
    inner = [part for attribute in node.attribute for part in [attribute.g, *attribute.graphs]]
    return node.op_type in ("Loop", "Scan") or any(loops(other) for graph in inner for other in graph.node)


def check_results(node: onnx.NodeProto, feeds: Mapping[str, np.ndarray], model: onnx.ModelProto) -> None:
    """Raise NotSupportedError where a node makes too large a constant.  model: it alone, with `feeds` as inputs."""
    stated = onnx.ModelProto()
    stated.CopyFrom(model)
    small = {name: array for name, array in feeds.items() if array.size <= MOST_SIZES and array.dtype.kind in "iuf"}
    stated.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in small.items())
    for value in shape_inference.infer_shapes(stated, data_prop=True).graph.output:
        count = prod(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        if count > MOST_CONSTANT:
            raise NotSupportedError(f"makes a constant of {count:,} numbers; {MOST_CONSTANT:,} are the most")


def evaluate(
    node: onnx.NodeProto, feeds: Mapping[str, np.ndarray], imports: Sequence[onnx.OperatorSetIdProto]
) -> list[np.ndarray]:
    """The outputs of a node whose inputs are known.  Raises NotSupportedError where they cannot be computed.

    By ONNX's own evaluator; that lacks some operators as they were (DequantizeLinear before opset 19, for instance),
    which ONNX Runtime has.
    """
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    model = helper.make_model(
        helper.make_graph([node], "constant", infos, outputs), opset_imports=imports, ir_version=8
    )
    check_results(node, feeds, model)
    try:
        return list(map(np.asarray, ReferenceEvaluator(model).run(None, dict(feeds))))
    except Exception:  # the evaluator raises whatever NumPy raises
        try:
            return list(map(np.asarray, Session(model, node.op_type).run(None, dict(feeds))))
        except BadInput as error:
            raise NotSupportedError(f"constant that cannot be evaluated: {error}") from error
