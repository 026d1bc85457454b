"""ONNX to float graph: constants folded, batch normalisation folded, activations and additions fused.

docs/operators.md has the table of operators and of what each becomes.
`load` reads a file; `verify` compares the result with the file in ONNX Runtime, layer by layer.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.ir.input_shape import INPUT_SHAPE
from quant.ir.well_formed import Malformed, well_formed
from quant.kinds.conv import float_convolution
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.read import fix_shapes, read_model, the_input
from quant.onnx_import.fuse import fuse
from quant.onnx_import.lower import lower, refuse
from quant.onnx_import.lowering import Lowering
from quant.onnx_import.operators import HANDLERS
from quant.onnx_import.verify import verify
from quant.onnx_import.views import Value
from quant.run.calibration import LARGEST

__all__ = ["load", "verify"]


def load(source: str | os.PathLike[str] | onnx.ModelProto, input_shape: tuple[int, ...] | None = None) -> FloatGraph:
    """The float graph of an ONNX file or model.

    input_shape: as the file has it without the batch: (C, H, W), or (C, W), or (C,) for a network of fully connected
    layers; needed where the file leaves more than the batch open.
    Raises BadInput for a file that is missing, damaged or contradicts itself or `input_shape`, and for
    weights that are not finite; UnsupportedNetwork, naming every node with its reason, for the rest.
    """
    model, label = read_model(source)
    model, shape = fix_shapes(model, label, input_shape)
    lowering = Lowering(model, shape, the_input(model, label).name)
    try:
        lower(lowering, HANDLERS)
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from error
    values = output_values(lowering, label)
    refuse(lowering, label)
    lowering.draft.outputs = tuple(dict.fromkeys(value.tensor for value in values))
    fuse(lowering.draft)
    try:
        return well_formed(graph_of(source, label, model, values, lowering))
    except Malformed as error:  # what ONNX's own checker lets through, such as sizes of 0
        raise UnsupportedNetwork(f"{label}: {error}") from error


def graph_of(
    source: str | os.PathLike[str] | onnx.ModelProto,
    label: str,
    model: onnx.ModelProto,
    values: list[Value],
    lowering: Lowering,
) -> FloatGraph:
    """The graph of a fused draft, with the name and the metadata of the file.

    Raises BadInput for weights that folding made infinite, or that are beyond what can be quantized.
    """
    stem = label if isinstance(source, onnx.ModelProto) else Path(source).stem
    name = stem.encode(errors="backslashreplace").decode()  # files of names that are no text are taken, too
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if lowering.input_shape != lowering.draft.shapes[lowering.input]:
        metadata[INPUT_SHAPE] = ",".join(map(str, lowering.input_shape))
    graph = build(name, lowering, values, metadata)
    for layer in graph.layers:
        if not layer.finite:
            raise BadInput(f"{label}: layer {layer.name} has infinite weights once what follows it is folded in")
        conv = float_convolution(layer)
        largest = 0.0 if conv is None else max(float(np.abs(part).max()) for part in (conv.weight, conv.bias))
        if largest > LARGEST:
            text = f"layer {layer.name} has weights or a bias of {largest:.2g}, at most {LARGEST:.0g} can be quantized"
            raise BadInput(f"{label}: {text}: train the network again, or repair the file")
    return graph


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


def build(name: str, lowering: Lowering, values: list[Value], metadata: dict[str, str]) -> FloatGraph:
    """The graph of a fused draft; output tensors get the names of the file's outputs."""
    draft, elsewhere = lowering.draft, lowering.source
    kept = sorted(values, key=lambda value: value.host is None)
    names = {value.tensor: value.alias for value in kept}  # that of an output as it is, where there is one

    def new(tensor: str) -> str:
        return names.get(tensor, tensor)

    def name_in_file(tensor: str) -> str:
        return elsewhere[tensor][0] if tensor in elsewhere else new(tensor)

    tensors = [lowering.input, *(step.output for step in draft.steps)]
    return FloatGraph(
        name=name,
        layers=tuple(step.renamed(names) for step in draft.steps),
        shapes={new(tensor): draft.shapes[tensor] for tensor in tensors},
        input=lowering.input,
        outputs=tuple(dict.fromkeys(new(value.tensor) for value in values)),
        results=tuple((new(value.tensor), value.host) for value in values) if any(v.host for v in values) else (),
        output_shapes={new(value.tensor): value.own for value in values},
        metadata=metadata,
        source={new(tensor): name_in_file(tensor) for tensor in tensors if tensor not in draft.made_up},
        places={new(tensor): elsewhere[tensor][1] for tensor in tensors if tensor in elsewhere},
    )
