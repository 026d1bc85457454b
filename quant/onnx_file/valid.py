"""Whether a model is ONNX: what ONNX's own checker says, and what that lets through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import filterfalse
from typing import TypeVar

import onnx
from onnx import TensorProto, inliner, numpy_helper

from quant.base.errors import BadInput, UnsupportedNetwork, first_line
from quant.onnx_file.weights import is_stub, without_data

Result = TypeVar("Result")

ASSERTION = re.compile(r"^\S+:\d+: .*Assertion .* failed: ")
"""What its C++ puts before a reason: where in its source that stands."""

MOST_NODES = 100_000
"""Most nodes of a network whose functions are put in place: they may call one another, so that each level doubles."""


def asked(call: Callable[[], Result], complaint: str) -> Result:
    """What one of ONNX's own functions returns.  Raises BadInput, `complaint` and their reason, where they raise."""
    try:
        return call()
    except Exception as error:  # its C++ raises what it likes: ValidationError, InferenceError, RuntimeError and more
        raise BadInput(f"{complaint}: {ASSERTION.sub('', first_line(error))}") from error


def check(model: onnx.ModelProto, label: str) -> None:
    """Raise BadInput for a model that ONNX does not allow."""
    tensors = [value for value in model.graph.output if value.type.WhichOneof("value") in (None, "tensor_type")]
    bare = [value for value in tensors if not value.type.tensor_type.HasField("shape")]
    types = [onnx.TypeProto.FromString(value.type.SerializeToString()) for value in bare]
    for value in bare:  # editors append outputs like this; ONNX Runtime infers what the checker demands
        value.type.tensor_type.elem_type = value.type.tensor_type.elem_type or TensorProto.FLOAT
        value.type.tensor_type.shape.SetInParent()
    asked(partial(onnx.checker.check_model, without_data(model)), f"{label}: not a valid ONNX model")
    for value, stated in zip(bare, types, strict=True):
        value.type.CopyFrom(stated)


def constants(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """The tensors that a graph holds: its initializers, and those of its nodes, their branches and bodies too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from constants(inner)


def check_constants(graph: onnx.GraphProto, label: str) -> None:
    """Raise BadInput for a tensor of other than as many numbers as its shape has.

    Raises UnsupportedNetwork for a sparse one that a node reads.
    """
    for tensor in filterfalse(is_stub, constants(graph)):  # of a stub that is known
        complaint = f"{label}: tensor {tensor.name} holds other data than its shape {list(tensor.dims)} says"
        asked(partial(numpy_helper.to_array, tensor), complaint)
    read = set(names_read(graph))
    for sparse in graph.sparse_initializer:
        if sparse.values.name in read:
            raise UnsupportedNetwork(f"{label}: tensor {sparse.values.name} is sparse; only dense ones are read")


def in_place(model: onnx.ModelProto, label: str) -> onnx.ModelProto:
    """The model with its functions' nodes in place of their calls.  Raises BadInput where that makes too many."""
    if not model.functions:
        return model
    bodies = {(function.domain, function.name, function.overload): function.node for function in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def size(nodes: Iterable[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in bodies and key not in sizes:
                sizes[key] = size(bodies[key])
            total += sizes.get(key, 1)
        return total

    try:
        found = size(model.graph.node)
    except RecursionError as error:
        raise BadInput(f"{label}: its functions call one another too deeply") from error
    if found > MOST_NODES:
        raise BadInput(f"{label}: has {found:,} nodes with its functions in place; {MOST_NODES:,} are the most")
    return asked(partial(inliner.inline_local_functions, model), f"{label}: its functions cannot be put in place")


def check_names(model: onnx.ModelProto, label: str) -> None:
    """Raise BadInput for a name that is no text, or holds the character 0, at which C's texts end."""
    graph = model.graph
    names: list[str | bytes] = [value.name for value in (*graph.input, *graph.initializer, *graph.output)]
    names += [dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim]
    names += [name for node in graph.node for name in (node.name, node.domain, *node.input, *node.output)]
    names += [text for entry in model.metadata_props for text in (entry.key, entry.value)]
    for name in names:
        if isinstance(name, bytes) or "\0" in name:  # protobuf gives bytes for what is no UTF-8
            raise BadInput(f"{label}: name {name!r} is no text")


def names_read(graph: onnx.GraphProto) -> Iterator[str]:
    """The tensors that the nodes of a graph read, those within their branches and bodies too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from names_read(inner)
                yield from (value.name for value in inner.output)
