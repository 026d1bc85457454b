"""Running a quantized file in ONNX Runtime, and reading the integers of every tensor."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper

from quant.base.errors import BadInput
from quant.ir.inputs import Given, by_input
from quant.onnx_file import form
from quant.onnx_file.read import read_model, the_batch, the_inputs
from quant.qdq.wide import widen
from quant.run.session import Session
from quant.run.tail import Returned


def run_layers(
    source: str | os.PathLike[str] | onnx.ModelProto,
    images: Given,
    batch: int = 16,
    wide: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """The integers of every tensor, computed by ONNX Runtime in float32 with graph optimizations disabled.

    source: a file of `quant.qdq.save`, or its model.  images: float32 (N, C, H, W), real values as the
    float network takes them; they run `batch` at a time.  wide: names of layers to run in float64,
    of those that sum; `quant.qdq.beyond_float32` says which need it.
    Returns int64 (N, C, H, W) by tensor name, the inputs among them, in execution order.
    Raises BadInput for images of another shape and for files that ONNX Runtime cannot run.
    """
    model, label, given = _opened(source, images, wide)
    batch = the_batch(the_inputs(model, label), label) or batch
    session, tensors = open_session(model, given, label)
    parts = []
    for first in range(0, len(images), batch):
        parts.append(session.run(list(tensors), {name: array[first : first + batch] for name, array in given.items()}))
    return {
        tensor: as_map(np.concatenate(arrays))
        for tensor, arrays in zip(tensors.values(), zip(*parts, strict=True), strict=True)
    }


def run_returned(
    source: str | os.PathLike[str] | onnx.ModelProto, images: Given, wide: Collection[str] = ()
) -> list[Returned]:
    """What a file returns for each image, as `run_layers` runs it."""
    model, label, given = _opened(source, images, wide)
    session, names = plain_session(model, label), [value.name for value in model.graph.output]
    every = ({name: array[i : i + 1] for name, array in given.items()} for i in range(len(images)))
    return [dict(zip(names, session.run(names, one), strict=True)) for one in every]


def _opened(
    source: str | os.PathLike[str] | onnx.ModelProto, images: Given, wide: Collection[str]
) -> tuple[onnx.ModelProto, str, dict[str, np.ndarray]]:
    """The model, as it is to run, its label, and the images by input, in the shapes that the file has."""
    model, label = read_model(source)
    dims = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        for value in the_inputs(model, label)
    }
    given = {name: _in_file(array, dims[name], label) for name, array in by_input(list(dims), images).items()}
    if wide:
        widen(model, wide)
    return model, label, given


def _in_file(images: np.ndarray, dims: list[int], label: str) -> np.ndarray:
    """The images of one input, float32, in its shape in the file."""
    images = np.asarray(images, np.float32)
    expected = {1: (*dims, 1, 1), 2: (dims[0], 1, dims[-1])}.get(len(dims), tuple(dims))
    if images.ndim != 4 or images.shape[1:] != expected or not len(images):
        raise BadInput(f"{label}: takes images (N, {', '.join(map(str, expected))}), not {images.shape}")
    if not np.isfinite(images).all():
        raise BadInput(f"{label}: the images have NaN or infinite values")
    return images.reshape(len(images), *dims)


def as_map(array: np.ndarray) -> np.ndarray:
    """int64 (N, C, H, W) of any integers (N, C, H, W) or (N, C)."""
    return array.astype(np.int64).reshape(array.shape if array.ndim == 4 else (*array.shape, 1, 1))


def open_session(model: onnx.ModelProto, inputs: Collection[str], label: str) -> tuple[Session, dict[str, str]]:
    """A session that returns every QuantizeLinear's output, and the tensor that each returned name holds.

    NumPy takes no 4-bit integers from ONNX Runtime, so those pass through a Cast.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    before = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Clip"}
    for source in inputs:
        rows = {node.output[0] for node in model.graph.node if node.op_type == "Unsqueeze" and source in node.input}
        scaled = [node for node in model.graph.node if node.op_type == "Mul" and {source, *rows} & {*node.input}]
        before |= dict.fromkeys([*rows, *(node.output[0] for node in scaled)], source)
    reshaped = {node.output[0] for node in model.graph.node if node.op_type in ("Flatten", "Reshape")}
    tensors: dict[str, str] = {}
    for node in [node for node in model.graph.node if node.op_type == "QuantizeLinear"]:
        if node.input[0] in reshaped:  # rounds nothing
            continue
        kind, output = form.integer_type(node, constants), node.output[0]
        real = node.input[0]
        while real in before:
            real = before[real]
        tensor = real if real in inputs else output.removesuffix(form.QUANTIZED)
        if kind in form.STORED and form.stored_bits(kind) == 4:
            wide = f"{output}_as_int32"
            model.graph.node.append(helper.make_node("Cast", [output], [wide], to=TensorProto.INT32))
            output, kind = wide, TensorProto.INT32
        model.graph.output.append(helper.make_tensor_value_info(output, kind, None))
        tensors[output] = tensor
    return plain_session(model, label), tensors


def plain_session(model: onnx.ModelProto, label: str) -> Session:
    """The model in ONNX Runtime, executed node by node as it stands.  Raises BadInput where that refuses it."""
    return Session(model, label, optimized=False)
