"""Reading the file: is it coded, is it ONNX, is it valid, which inputs does it take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from math import prod
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper, shape_inference

from quant import coded
from quant.base.errors import BadInput, UnsupportedNetwork, first_line
from quant.ir.tensor import MOST_ELEMENTS
from quant.onnx_file import weights
from quant.onnx_file.nodes import type_name
from quant.onnx_file.valid import asked, check, check_constants, check_names, in_place, names_read

OLDEST_OPSET = 7


def read_model(
    source: str | os.PathLike[str] | onnx.ModelProto, called: str | None = None
) -> tuple[onnx.ModelProto, str]:
    """The checked model, its large weights stubs (`quant.onnx_file.weights`), and the name to use in messages.

    called: that name, where a model was read from a file already; else a file's, or the graph's.
    Outputs may come without type or shape, as ONNX Runtime takes them; inputs that nothing reads are left out.
    Raises BadInput for a missing file, one that is not ONNX or truncated, weights that lie outside it and cannot be
    read, and an invalid model.
    """
    if isinstance(source, onnx.ModelProto):
        model, label = onnx.ModelProto(), called or source.graph.name or "network"
        model.CopyFrom(source)
    else:
        path = Path(source)
        label = path.name
        if not path.is_file():
            raise BadInput(f"{path}: no such file")
        model = read_file(path)
    check(model, label)
    check_names(model, label)
    if opset(model) < OLDEST_OPSET:
        raise UnsupportedNetwork(f"{label}: opset {opset(model)} is too old; {OLDEST_OPSET} is the oldest supported")
    model = in_place(model, label)
    check_constants(model.graph, label)
    drop_unread_inputs(model.graph)
    open_batch(model.graph)
    return model, label


def open_batch(graph: onnx.GraphProto) -> None:
    """Leave a batch open that inputs and outputs give as 0 or -1, by which some exporters mean just that."""
    for value in [*graph.input, *graph.output]:
        for batch in list(value.type.tensor_type.shape.dim)[:1]:
            if batch.WhichOneof("value") == "dim_value" and batch.dim_value < 1:
                batch.Clear()


def drop_unread_inputs(graph: onnx.GraphProto) -> None:
    """Remove the inputs that no node reads, where there are others."""
    read = set(names_read(graph)) | {value.name for value in graph.output}
    kept = [value for value in graph.input if value.name in read]
    if kept and len(kept) < len(graph.input):
        del graph.input[:]
        graph.input.extend(kept)


def read_file(path: Path) -> onnx.ModelProto:
    """The model of a file, with the weights that it keeps in other files.  Raises BadInput as `read_model` does."""
    return _with_outside(path, *_parsed(path)[:2])


def _with_outside(path: Path, model: onnx.ModelProto, large: dict[int, weights.Place]) -> onnx.ModelProto:
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # its C++ raises RuntimeError for a name that is too long, for instance
        where = next((location(tensor) for tensor in outside(model)), "") or "another file"
        raise BadInput(f"{path}: weights in {where} cannot be read: {first_line(error)}") from error
    weights.mark(model, path, large)
    return model


def _parsed(path: Path) -> tuple[onnx.ModelProto, dict[int, weights.Place], bytes | None]:
    """The model of a file, without what it keeps in other files; where its own large weights are; what was coded."""
    try:
        decoded = coded.decode(path.read_bytes(), str(path)) if is_coded(path) else None
        model, large = weights.parse(path) if decoded is None else (onnx.load_model_from_string(decoded), {})
    except BadInput:
        raise
    except (OSError, onnx.checker.ValidationError) as error:
        raise BadInput(f"{path}: cannot be read: {first_line(error)}") from error
    except Exception as error:  # protobuf's own class, for bytes that are no model
        raise BadInput(f"{path}: not an ONNX file, or truncated") from error
    if not model.ir_version or not model.graph.output:
        raise BadInput(f"{path}: not an ONNX file, or truncated")
    return model, large, decoded


def files_of_weights(path: Path) -> set[Path]:
    """The other files in which an ONNX file keeps weights.  Raises BadInput for what is no ONNX file."""
    model, *_ = _parsed(path)
    names = {location(tensor) for tensor in outside(model)}
    return {path.parent / name for name in names if "\0" not in name}


def in_one_piece(path: Path) -> tuple[bytes, onnx.ModelProto]:
    """A file's content, decoded, with the weights that it keeps in other files; and its model, as `read_file`."""
    model, large, decoded = _parsed(path)
    elsewhere = any(outside(model))
    model = _with_outside(path, model, large)
    if decoded is not None:
        return decoded, model
    return weights.whole(model).SerializeToString() if elsewhere else path.read_bytes(), model


def is_coded(path: Path) -> bool:
    """Whether a file is a coded network (`quant.coded`), by its first bytes.  OSError where it cannot be read."""
    with path.open("rb") as file:
        return coded.is_coded(file.read(len(coded.MAGIC)))


def location(tensor: TensorProto) -> str:
    """The file that holds a tensor's data, as the tensor names it."""
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def outside(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """The weights of which the data have not been read from another file."""
    constants = (attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t"))
    for tensor in [*model.graph.initializer, *constants]:
        if tensor.data_location == TensorProto.EXTERNAL:
            yield tensor


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operators that the model uses."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def the_inputs(model: onnx.ModelProto, label: str) -> list[onnx.ValueInfoProto]:
    """The inputs that are no initializers.  Raises UnsupportedNetwork where there is none, or one is not of floats."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if not inputs:
        raise UnsupportedNetwork(f"{label}: a network has an input, this one has none")
    for value in inputs:
        kind = value.type.tensor_type.elem_type
        if kind != onnx.TensorProto.FLOAT:
            text = f"input {value.name} is of type {type_name(kind)}, only float32 is supported"
            raise UnsupportedNetwork(f"{label}: {text}")
    return inputs


def the_batch(inputs: Iterable[onnx.ValueInfoProto], label: str) -> int:
    """The batch of all inputs, 0 where the file leaves it open.  Raises UnsupportedNetwork where they differ."""
    batches = {value.name: _known(dim) or 0 for value in inputs for dim in list(value.type.tensor_type.shape.dim)[:1]}
    if len(set(batches.values())) > 1:
        text = ", ".join(f"{size or 'any'} of {name}" for name, size in batches.items())
        raise UnsupportedNetwork(f"{label}: inputs of different batches: {text}")
    return next(iter(batches.values()), 0)


def _known(dim: onnx.TensorShapeProto.Dimension) -> int | None:
    """A dimension that the file states."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None


def fix_shapes(
    model: onnx.ModelProto, label: str, input_shape: tuple[int, ...] | None
) -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
    """The model with known input shapes and everything inferred from them, and those shapes by name, with the batch.

    input_shape: of a single input, without the batch; gives dimensions that the file leaves open.  A batch left open
    is 1 in the model, and 0 in the shapes.
    Raises BadInput where a dimension stays unknown, `input_shape` contradicts the file, or the shapes of
    the file contradict each other.
    """
    inputs = the_inputs(model, label)
    if input_shape is not None and len(inputs) > 1:
        raise BadInput(f"{label}: has {len(inputs)} inputs, --input-shape is for one: fix their sizes in the file")
    shapes = {value.name: _fixed_shape(value, label, input_shape, len(inputs)) for value in inputs}
    batch = the_batch(inputs, label)
    for value in inputs:
        for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
            dim.dim_value = size
    del model.graph.value_info[:]
    infer = partial(shape_inference.infer_shapes, model, check_type=True, strict_mode=True, data_prop=True)
    inferred = asked(infer, f"{label}: the shapes of the network do not fit")
    return inferred, {name: (batch, *shape[1:]) for name, shape in shapes.items()}


def _fixed_shape(
    value: onnx.ValueInfoProto, label: str, input_shape: tuple[int, ...] | None, inputs: int
) -> tuple[int, ...]:
    """The shape of one input of so many, of a batch of 1 where that is open; otherwise as `fix_shapes`."""
    if not value.type.tensor_type.HasField("shape"):
        raise BadInput(f"{label}: input {value.name} has no shape")
    dims = value.type.tensor_type.shape.dim
    known = [_known(dim) for dim in dims]
    if len(known) not in (2, 3, 4):
        raise UnsupportedNetwork(
            f"{label}: input {value.name} has {len(known)} dimensions; (N, C, H, W), (N, C, W) and (N, C) are supported"
        )
    stated = list(known[1:]) if input_shape is None else list(input_shape)
    if len(stated) != len(known) - 1 or any(k not in (None, s) for k, s in zip(known[1:], stated, strict=True)):
        text = "x".join("?" if size is None else str(size) for size in known[1:])
        without = ", without the batch" if len(stated) == len(known) else ""
        raise BadInput(f"{label}: input {value.name} is {text}{without}, not {'x'.join(map(str, stated))}")
    if any(size is None or size < 1 for size in stated):
        names = [dim.dim_param or str(dim.dim_value or "?") for dim in list(dims)[1:]]
        option = ",".join(f"<{name}>" if size is None else name for name, size in zip(names, known[1:], strict=True))
        how = f"state it with --input-shape {option}" if inputs == 1 else "give it one in the file"
        raise BadInput(f"{label}: input {value.name} has no fixed size ({', '.join(names)}): {how}")
    shape = (known[0] or 1, *(int(size) for size in stated if size is not None))
    if prod(shape) > MOST_ELEMENTS:
        text = f"{'x'.join(map(str, shape if known[0] else shape[1:]))}, more than {MOST_ELEMENTS:,} elements"
        raise BadInput(f"{label}: input {value.name} is {text}, the most that can be worked on")
    return shape
