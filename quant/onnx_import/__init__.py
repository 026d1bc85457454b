"""ONNX to float graph: constants folded, batch normalisation folded, activations and additions fused.

docs/operators.md has the table of operators and of what each becomes.
`load` reads a file; `verify` compares the result with the file in ONNX Runtime, layer by layer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.ir.inputs import shape_key
from quant.ir.well_formed import Malformed, well_formed
from quant.kinds.conv import float_convolution
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.read import fix_shapes, read_model
from quant.onnx_import.cut import cut
from quant.onnx_import.fuse import fuse
from quant.onnx_import.lower import lower, output_values, refuse
from quant.onnx_import.lowering import Lowering
from quant.onnx_import.operators import HANDLERS
from quant.onnx_import.verify import verify
from quant.onnx_import.views import Value
from quant.run.calibration import LARGEST

__all__ = ["load", "load_whole", "verify"]


def load(source: str | os.PathLike[str] | onnx.ModelProto, input_shape: tuple[int, ...] | None = None) -> FloatGraph:
    """The float graph of an ONNX file or model; where no layer computes its end, with that as its tail.

    input_shape: as the file has it without the batch: (C, H, W), or (C, W), or (C,) for a network of fully connected
    layers; needed where the file leaves more than the batch open.
    Raises BadInput for a file that is missing, damaged or contradicts itself or `input_shape`, and for
    weights that are not finite; UnsupportedNetwork, naming every node with its reason, for the rest.
    """
    model, label, shapes = _read(source, input_shape)
    try:
        return _imported(source, label, model, shapes)
    except UnsupportedNetwork as refusal:
        try:
            head, tail = cut(model, label, shapes)
        except NotSupportedError as reason:
            if not str(reason):
                raise refusal from None
            raise UnsupportedNetwork(f"{refusal}; {reason}") from refusal
    return well_formed(replace(_imported(source, label, head, shapes), tail=tail))


def load_whole(
    source: str | os.PathLike[str] | onnx.ModelProto, input_shape: tuple[int, ...] | None = None
) -> FloatGraph:
    """As `load`, but without a tail: a network that layers do not compute to its end is refused."""
    model, label, shapes = _read(source, input_shape)
    return _imported(source, label, model, shapes)


def _read(
    source: str | os.PathLike[str] | onnx.ModelProto, input_shape: tuple[int, ...] | None
) -> tuple[onnx.ModelProto, str, dict[str, tuple[int, ...]]]:
    model, label = read_model(source)
    model, shapes = fix_shapes(model, label, input_shape)
    return model, label, shapes


def _imported(
    source: str | os.PathLike[str] | onnx.ModelProto,
    label: str,
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
) -> FloatGraph:
    lowering = Lowering(model, shapes)
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
    for tensor, own in lowering.inputs.items():
        if own != lowering.draft.shapes[tensor]:
            metadata[shape_key(tensor, list(lowering.inputs))] = ",".join(map(str, own))
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


def build(name: str, lowering: Lowering, values: list[Value], metadata: dict[str, str]) -> FloatGraph:
    """The graph of a fused draft; output tensors get the names of the file's outputs."""
    draft, elsewhere = lowering.draft, lowering.source
    kept = sorted(values, key=lambda value: value.host is None)
    names = {value.tensor: value.alias for value in kept}  # that of an output as it is, where there is one

    def new(tensor: str) -> str:
        return names.get(tensor, tensor)

    def name_in_file(tensor: str) -> str:
        return elsewhere[tensor][0] if tensor in elsewhere else new(tensor)

    tensors = [*lowering.inputs, *(step.output for step in draft.steps)]
    return FloatGraph(
        name=name,
        layers=tuple(step.renamed(names) for step in draft.steps),
        shapes={new(tensor): draft.shapes[tensor] for tensor in tensors},
        inputs=tuple(lowering.inputs),
        outputs=tuple(dict.fromkeys(new(value.tensor) for value in values)),
        results=tuple((new(value.tensor), value.host) for value in values) if any(v.host for v in values) else (),
        output_shapes={new(value.tensor): value.own for value in values},
        metadata=metadata,
        source={new(tensor): name_in_file(tensor) for tensor in tensors if tensor not in draft.made_up},
        places={new(tensor): elsewhere[tensor][1] for tensor in tensors if tensor in elsewhere},
    )
