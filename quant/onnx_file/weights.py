"""Large weights stand beside a model, not in it: every hand that a model goes through would copy them.

In the model each is a stub, a tensor with external data.  Of one that a file holds, the stub names the file and the
place in it, and `array_of` reads it there; of one that was computed, the array stands in a `Beside` under its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.base.wire import GRAPH, INITIALIZER, RAW, field, fields

LARGE = 1 << 20
"""Bytes from which on a weight stands beside its model."""

Beside = dict[str, np.ndarray]
"""Arrays of a model's stubs, by name."""

_FILE = "shiftpoint.file"
"""Key of a stub's external data: the path of the file that holds it.  ONNX knows none of this name."""

PLAIN = {
    kind: helper.tensor_dtype_to_np_dtype(kind)
    for kind in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8)
}
"""Types of weights whose bytes in a file are those of NumPy."""

MOST_OF_FIELD = 1 << 30
"""Most bytes of a field that is kept: a network has far fewer beside its large weights, other files may have any."""

Place = tuple[int, int]
"""Where the data of a tensor begin and end in its file."""


def constant(array: np.ndarray, name: str, beside: Beside | None) -> TensorProto:
    """An array as a tensor of a model: a stub where it is large and may stand beside that."""
    if beside is None or array.nbytes < LARGE:
        return numpy_helper.from_array(array, name)
    beside[name] = np.ascontiguousarray(array)
    tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
    _make_stub(tensor, {"location": "beside"})
    return tensor


def array_of(tensor: TensorProto) -> np.ndarray:
    """What a tensor of a model holds, or the stub of one that a file holds.  Raises BadInput where that is gone."""
    if not is_stub(tensor):
        return numpy_helper.to_array(tensor)
    place = {entry.key: entry.value for entry in tensor.external_data}
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    try:
        found = np.fromfile(place[_FILE], dtype, prod(tensor.dims), offset=int(place["offset"]))
    except OSError as error:
        raise BadInput(f"{place[_FILE]}: cannot be read: {error.strerror}") from error
    if found.size != prod(tensor.dims):
        raise BadInput(f"{place[_FILE]}: was cut while it was read")
    return found.reshape(tuple(tensor.dims))


def is_stub(tensor: TensorProto) -> bool:
    """Whether a tensor's data stand in a file of which `read` made a model."""
    return any(entry.key == _FILE for entry in tensor.external_data)


def all_beside(model: onnx.ModelProto) -> Beside:
    """What the stubs of a model that was read stand for."""
    return {tensor.name: array_of(tensor) for tensor in model.graph.initializer if is_stub(tensor)}


def whole(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its stubs' data in it, in place."""
    for tensor in filter(is_stub, model.graph.initializer):
        tensor.CopyFrom(numpy_helper.from_array(array_of(tensor), tensor.name))
    return model


def without_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """For ONNX's checker, which looks for the files of external data: a copy with no elements where stubs are."""
    if not any(map(is_stub, model.graph.initializer)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in filter(is_stub, copy.graph.initializer):
        tensor.CopyFrom(TensorProto(name=tensor.name, dims=[0], data_type=tensor.data_type))
    return copy


def parse(path: Path) -> tuple[onnx.ModelProto, dict[int, Place]]:
    """The model of a file without the data of its large weights, and where these are, by number of initializer.

    Raises ValueError, OSError or protobuf's own error for what cannot be read or is no model.
    """
    places: dict[int, Place] = {}
    with path.open("rb") as file:
        parts = []
        for number, start, begin, end in fields(file, 0, os.fstat(file.fileno()).st_size):
            if number != GRAPH:
                parts.append(_bytes(file, start, end))
                continue
            graph, count = [], 0
            for inner, tensor_start, tensor_begin, tensor_end in fields(file, begin, end):
                light = None
                if inner == INITIALIZER:
                    light = _light(file, tensor_begin, tensor_end, places, count)
                    count += 1
                graph.append(_bytes(file, tensor_start, tensor_end) if light is None else light)
            parts.append(field(GRAPH, b"".join(graph)))
    return onnx.load_model_from_string(b"".join(parts)), places


def mark(model: onnx.ModelProto, path: Path, places: Mapping[int, Place]) -> None:
    """Make stubs of the weights that `parse` left out."""
    for index, (begin, _) in places.items():
        place = {"location": path.name, "offset": str(begin), _FILE: str(path.absolute())}
        _make_stub(model.graph.initializer[index], place)


def _make_stub(tensor: TensorProto, place: Mapping[str, str]) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)


def _light(file: BinaryIO, begin: int, end: int, places: dict[int, Place], index: int) -> bytes | None:
    """An initializer without its data, as a field of its graph; None for one that stays as it is."""
    if end - begin < LARGE:
        return None
    parts = list(fields(file, begin, end))
    raw = [part for part in parts if part[0] == RAW]
    rest = b"".join(_bytes(file, start, stop) for number, start, _, stop in parts if number != RAW)
    tensor = TensorProto.FromString(rest)
    if len(raw) != 1 or tensor.data_type not in PLAIN or tensor.HasField("data_location"):
        return None
    _, _, first, last = raw[0]
    if last - first < LARGE or last - first != prod(tensor.dims) * PLAIN[tensor.data_type].itemsize:
        return None
    places[index] = first, last
    return field(INITIALIZER, rest)


def _bytes(file: BinaryIO, begin: int, end: int) -> bytes:
    if end - begin > MOST_OF_FIELD:
        raise ValueError(f"a field of more than {MOST_OF_FIELD:,} bytes")
    file.seek(begin)
    return file.read(end - begin)
