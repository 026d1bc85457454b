"""The nodes and constants of a quantized file, and what its scales and zero points say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.onnx_file import form
from quant.onnx_file.nodes import attributes, kind_of, name_of, type_name
from quant.onnx_file.read import opset
from quant.onnx_file.valid import names_read
from quant.onnx_file.weights import array_of

PASSING = ("Identity", "Dropout")
"""Operators whose first output is their input."""


@dataclass(frozen=True)
class Scheme:
    """What a QuantizeLinear or DequantizeLinear says of its integers, expressed with the zero point 0.

    fracs: fractional lengths, int64 (), or (O,) for one per channel along `axis`.  bits, signed: the type, after
    `zero` is subtracted: 128 in uint8 is int8 with 0, -128 in int8 is uint8 with 0.
    """

    fracs: np.ndarray
    bits: int
    signed: bool
    zero: int
    axis: int

    def integers(self, stored: np.ndarray) -> np.ndarray:
        """Stored integers as those of the scheme, of a type that holds them."""
        if self.zero:
            stored = stored.astype(np.int64) - self.zero
        return stored.astype(QFormat(self.bits, 0, self.signed).dtype, copy=False)


def kind(node: onnx.NodeProto) -> str:
    """As `kind_of`; ONNX Runtime's own QuantizeLinear and DequantizeLinear, of more types, are those of ONNX."""
    same = node.domain == "com.microsoft" and node.op_type in ("QuantizeLinear", "DequantizeLinear")
    return node.op_type if same else kind_of(node)


def label(node: onnx.NodeProto) -> str:
    """A node in messages."""
    return f"{name_of(node)} ({kind(node)})"


class View:
    """The graph of a model, and how its numbers are taken.

    constants: initializers and Constant nodes.  unread: nodes that no layer has claimed, by first output.
    tensor_bits, weight_bits: widths that the file states beside its types, by tensor and by layer.  foreign: whether
    another tool wrote the file; then 8-bit weights of which none needs more than 4 bits count as 4-bit ones, since it
    may have no other type for them.  complete: whether what is no integer of this project may be
    rounded; notes: one line for each that was.
    """

    def __init__(self, model: onnx.ModelProto, complete: bool = False) -> None:
        self.graph = model.graph
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.tensor_bits, self.weight_bits = form.read_widths(self.metadata.pop(form.WIDTHS, "{}"))
        self.foreign = model.producer_name != form.PRODUCER
        self.opset = opset(model)
        self.complete, self.notes = complete, list[str]()
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producers = {output: node for node in self.graph.node for output in node.output if output}
        self.same = {node.output[0]: node.input[0] for node in self.graph.node if kind(node) in PASSING}
        self.nodes: list[onnx.NodeProto] = []
        read = {*names_read(self.graph), *(value.name for value in self.graph.output)}
        for node in self.graph.node:
            if kind(node) == "Constant":
                if node.output[0] in read or holds_numbers(node):  # what nothing reads may hold anything
                    self.constants[node.output[0]] = as_tensor(node)
            elif kind(node) not in PASSING:
                self.nodes.append(node)
        self.unread = {node.output[0]: node for node in self.nodes}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(self.origin(name), []).append(node)
        self.outputs = {self.origin(value.name) for value in self.graph.output}

    def origin(self, name: str) -> str:
        """The tensor that `name` is, before nodes that only pass it on."""
        while name in self.same:
            name = self.same[name]
        return name

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that computes a tensor; None for constants and inputs."""
        name = self.origin(name)
        return None if name in self.constants else self.producers.get(name)

    def take(self, name: str) -> onnx.NodeProto | None:
        """As `producer`; the node is noted as read."""
        node = self.producer(name)
        if node is not None:
            self.unread.pop(node.output[0], None)
        return node

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is one that the file holds."""
        return self.origin(name) in self.constants

    def array(self, name: str, what: str) -> np.ndarray:
        """The constant of that name.  Raises BadInput, naming `what`, where it is none."""
        if not self.is_constant(name):
            raise BadInput(f"{what} is not a constant")
        return array_of(self.constants[self.origin(name)])

    def has(self, node: onnx.NodeProto, index: int) -> bool:
        """Whether an optional input is there."""
        return len(node.input) > index and bool(node.input[index])

    def reshaping(self, node: onnx.NodeProto) -> list[int] | None:
        """The second input of a reshaping node, a shape or axes; None without one.  Raises BadInput as `array`."""
        if not self.has(node, 1):
            return None
        what = f"the {'shape' if kind(node) == 'Reshape' else 'axes'} of {label(node)}"
        return [int(size) for size in self.array(node.input[1], what).reshape(-1)]

    def narrowed(self, integers: str) -> onnx.NodeProto | None:
        """The Clip through which all readers of a QuantizeLinear's integers see them: a type used in part."""
        readers = self.readers.get(integers, [])
        return readers[0] if len(readers) == 1 and kind(readers[0]) == "Clip" else None

    def scheme(self, node: onnx.NodeProto, what: str) -> Scheme:
        """What a QuantizeLinear or DequantizeLinear says.  Raises BadInput for numbers that no format expresses."""
        scale = self.array(node.input[1], f"the scale of {what}")
        if not scale.size:
            raise BadInput(f"the scale of {what} is no number")
        values = [form.exponent(float(value), what) for value in scale.reshape(-1)]
        fracs = np.array(values, np.int64).reshape(scale.shape if scale.size > 1 else ())
        stored = self.integer_type(node)
        if stored not in form.STORED:
            raise UnsupportedNetwork(f"{what} is of type {type_name(stored)}")
        bits, signed, _ = form.STORED[stored]
        zero = 0
        if self.has(node, 2):
            zeros = self.array(node.input[2], f"the zero point of {what}").astype(np.int64).reshape(-1)
            zero, middle = int(zeros[np.abs(zeros).argmax()]) if zeros.size else 0, 1 << bits - 1
            moved = -middle if signed else middle
            if zero not in (0, moved) or (zeros != zero).any():
                only = f"in {type_name(stored)}, only 0 and {moved} are supported"
                raise BadInput(f"the zero point of {what} is {zero}; {only}")
            signed ^= zero != 0
        return Scheme(fracs, bits, signed, zero, int(attributes(node).get("axis", 1)))

    def integer_type(self, node: onnx.NodeProto) -> int:
        """ONNX type of the integers that a QuantizeLinear writes or a DequantizeLinear reads."""
        if node.op_type == "QuantizeLinear":
            return form.integer_type(node, self.constants)
        if self.has(node, 2) and self.is_constant(node.input[2]):
            return self.constants[self.origin(node.input[2])].data_type
        if self.is_constant(node.input[0]):
            return self.constants[self.origin(node.input[0])].data_type
        quantize = self.producer(node.input[0])
        return TensorProto.UINT8 if quantize is None else form.integer_type(quantize, self.constants)

    def tensor_format(self, node: onnx.NodeProto, what: str, bits: int | None = None) -> QFormat:
        """The format of a tensor by its QuantizeLinear or DequantizeLinear; bits: where narrower than its type."""
        scheme = self.scheme(node, what)
        if scheme.fracs.ndim:
            raise BadInput(f"{what} has {scheme.fracs.size} scales; only weights have one for each channel")
        return QFormat(bits or scheme.bits, int(scheme.fracs), scheme.signed)


def holds_numbers(node: onnx.NodeProto) -> bool:
    """Whether a Constant node holds numbers in a dense tensor."""
    value = next(iter(attributes(node).values()), None)
    return isinstance(value, onnx.TensorProto) or bool(np.asarray(value).dtype.kind in "if" and np.asarray(value).size)


def as_tensor(node: onnx.NodeProto) -> onnx.TensorProto:
    """What a Constant node holds.  Raises UnsupportedNetwork where that is no numbers."""
    if not holds_numbers(node):
        raise UnsupportedNetwork(f"{label(node)} holds no numbers in a dense tensor")
    value = next(iter(attributes(node).values()))
    if isinstance(value, onnx.TensorProto):
        return value
    dtype = np.int64 if np.asarray(value).dtype.kind == "i" else np.float32
    return numpy_helper.from_array(np.asarray(value, dtype), node.output[0])
