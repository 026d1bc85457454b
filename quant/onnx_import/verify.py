"""Comparison of a float graph with the file that it came from."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from quant.base.errors import BadInput, VerificationError
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given, by_input, own_shape, shape_key
from quant.ir.tail import Tail
from quant.onnx_file.nodes import attributes
from quant.onnx_file.read import fix_shapes, read_model, the_batch, the_inputs
from quant.onnx_file.weights import Beside
from quant.onnx_file.windows import state_padding
from quant.run.float_onnx import float_model
from quant.run.images import Preprocess
from quant.run.session import Session
from quant.run.tail import TailRunner

TOLERANCE = 1e-3
"""Largest difference taken for float noise, relative to the largest magnitude of the tensor.

Folding a batch normalisation changes the order of the roundings; the trained networks measured differ by
less than 2e-5, a wrong fold by more than 1e-1.
"""


def verify(graph: FloatGraph, source: str | os.PathLike[str] | onnx.ModelProto, images: Given) -> float:
    """Run the graph and the ONNX file that it came from on the same images, and compare every tensor; a tail too.

    images: float32 (N, C, H, W), N >= 1, as the graph takes them: for one that takes raw pixels
    (`quant.rewrite.raw_pixels`) these, which the file then is given preprocessed.  Returns the largest difference
    found, relative to the largest magnitude in its tensor.
    Raises VerificationError naming the first layer that differs by more than float noise; BadInput for
    images of another shape or on which a tensor of the file overflows, and for a file that ONNX Runtime cannot run.
    """
    arrays = {name: np.asarray(array, np.float32) for name, array in by_input(graph.inputs, images).items()}
    for name, array in arrays.items():
        channels, height, width = graph.shapes[name]
        if array.ndim != 4 or array.shape[1:] != graph.shapes[name] or not len(array):
            raise BadInput(f"{graph.name}: takes images (N, {channels}, {height}, {width}), not {array.shape}")
    names = [layer.output for layer in graph.layers]
    compared = [layer for layer in graph.layers if layer.output in graph.source]
    beside: Beside = {}
    ours = Session(float_model(graph, beside), graph.name, beside=beside)
    model, label = read_model(source)
    batch = the_batch(the_inputs(model, label), label) or 1
    state_dilated_padding(model, label, graph)
    wanted = [graph.source[layer.output] for layer in compared if graph.source[layer.output] not in graph.inputs]
    theirs = Session(with_outputs(model, wanted), label)
    folded = Preprocess.folded(graph.metadata)
    count = len(images)
    numbers = np.arange(-(-count // batch) * batch) % count  # a file of a fixed batch: whole ones
    worst = np.zeros(len(compared))
    for first in range(0, len(numbers), batch):
        part = {name: array[numbers[first : first + batch]] for name, array in arrays.items()}
        mine = dict(zip(names, ours.run(names, part), strict=True))
        feed = fed(graph, part, folded)
        reference = dict(zip(wanted, theirs.run(wanted, feed), strict=True)) | feed
        for place, layer in enumerate(compared):
            left, right = in_file_order(graph, layer.output, mine[layer.output]), reference[graph.source[layer.output]]
            if not np.isfinite(right).all():
                raise BadInput(f"{label}: tensor {graph.source[layer.output]} becomes infinite or NaN on these images")
            shape = (batch, *graph.output_shapes.get(layer.output, right.shape[1:]))
            if right.shape != shape:
                raise VerificationError(f"{label}: output {layer.output} is {right.shape}, not {shape}")
            # np.maximum keeps NaN, max does not
            worst[place] = np.maximum(worst[place], difference(left, np.asarray(right)))
    for layer, value in zip(compared, worst, strict=True):
        if not value <= TOLERANCE:
            raise VerificationError(
                f"{label}: layer {layer.name} differs from the file by {value:.2g} of its largest value"
            )
    if graph.tail is not None:
        one = fed(graph, {name: array[:1] for name, array in arrays.items()}, folded)
        verify_tail(graph.tail, *read_model(source), one, graph)
    return float(worst.max(initial=0.0))


def verify_tail(
    tail: Tail, model: onnx.ModelProto, label: str, feed: Mapping[str, np.ndarray], graph: FloatGraph
) -> None:
    """Hold a tail against the file that it was cut from, on one image, from the file's own numbers at the cut.

    feed: that image, as the file takes it.  Raises VerificationError naming the first output that differs; BadInput as
    `verify`.
    """
    state_dilated_padding(model, label, graph)
    whole = Session(with_outputs(model, list(tail.inputs)), label, optimized=False)
    names = [*tail.inputs, *tail.outputs]
    expected = dict(zip(names, whole.run(names, feed), strict=True))
    found = TailRunner(tail, label).run([expected[name] for name in tail.inputs])[0]
    for name in tail.outputs:
        left, right = np.asarray(found[name]), np.asarray(expected[name])
        alike = left.shape == right.shape and left.dtype == right.dtype
        floats = alike and left.dtype.kind == "f"
        if not alike or not (difference(left, right) <= TOLERANCE if floats else np.array_equal(left, right)):
            raise VerificationError(f"{label}: output {name} of what the host does differs from the file's")


def fed(graph: FloatGraph, images: Mapping[str, np.ndarray], folded: Preprocess | None) -> dict[str, np.ndarray]:
    """What the file is given for images of the graph, float32 (N, C, H, W) each, preprocessed if that was folded."""
    feed = {}
    for name, array in images.items():
        given = folded.apply(array) if folded else array
        feed[name] = in_file_order(graph, name, given, own_of(graph, name))
    return feed


def own_of(graph: FloatGraph, name: str) -> tuple[int, ...]:
    """The file's shape of an input."""
    return own_shape(graph.metadata, graph.shapes[name], shape_key(name, graph.inputs))


def in_file_order(graph: FloatGraph, tensor: str, values: np.ndarray, own: tuple[int, ...] | None = None) -> np.ndarray:
    """A tensor of the graph, (N, C, H, W), with its elements in the order that the file has.

    own: the file's shape without the batch.  Flattened images where it is not given.
    """
    flat = values.reshape(len(values), -1)
    places = graph.places.get(tensor)
    if places is not None:
        flat = np.ascontiguousarray(flat[:, places.reshape(-1)])
    if own is None:
        return flat
    return flat.reshape(len(values), *own)


def difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest absolute difference over the largest magnitude of the reference; the shapes may differ."""
    if ours.size != reference.size:
        return float("inf")
    span = float(np.abs(reference).max(initial=0.0))
    return float(np.abs(ours.reshape(-1) - reference.reshape(-1)).max(initial=0.0)) / (span or 1.0)


def state_dilated_padding(model: onnx.ModelProto, label: str, graph: FloatGraph) -> None:
    """Write the automatic padding of dilated windows as numbers: ONNX Runtime refuses it, or reckons without dilation.

    graph: what was made of the model; it has the shapes of its inputs.
    """
    dilated = [node for node in model.graph.node if max(attributes(node).get("dilations", (1,)), default=1) > 1]
    nodes = [node for node in dilated if attributes(node).get("auto_pad", b"NOTSET").startswith(b"SAME")]
    if not nodes:
        return
    inferred = onnx.ModelProto()
    inferred.CopyFrom(model)
    alone = own_of(graph, graph.inputs[0]) if len(graph.inputs) == 1 else None
    fixed = fix_shapes(inferred, label, alone)[0].graph
    sizes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*fixed.input, *fixed.value_info]
    } | {tensor.name: list(tensor.dims) for tensor in fixed.initializer}
    for node in nodes:
        kernel = attributes(node).get("kernel_shape") or sizes[node.input[1]][2:]
        state_padding(node, sizes[node.input[0]][2:], kernel)


def with_outputs(model: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """The model with more of its tensors as outputs; without node names, which ONNX Runtime wants unique."""
    for node in model.graph.node:
        node.name = ""
    present = {value.name for value in model.graph.output}
    extra = [name for name in dict.fromkeys(tensors) if name not in present]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in extra)
    return model
