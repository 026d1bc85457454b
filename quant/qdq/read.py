"""Reading a quantized file back into the integer network that was written, or that another tool meant.

Everything is read from the structure; the metadata hold only widths other than 4, 8 and 16 bits.  The form that
`quant.qdq.write` gives a file has a QuantizeLinear and a DequantizeLinear around every layer.  Other tools leave some
out, or add some; whatever lies between two roundings is read where the integers stay exactly those of the file:

- max pooling, concatenation, reshaping, Relu and Clip keep the order of numbers, so rounding may come before them;
- what they do to numbers that are rounded already needs no rounding;
- between two roundings stands a layer that changes the format: an average over one element.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.onnx_file import form
from quant.onnx_file.nodes import attributes
from quant.onnx_file.quantized import other_form
from quant.onnx_file.read import read_model, the_input
from quant.onnx_file.view import View, label
from quant.qdq.front import read_front
from quant.qdq.layers import AVERAGES, MAXIMA, SUMS, LayerReader, safe_frac

RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
CLIPPING = ("Relu", "Clip")
NOTES = "qdq.notes"
"""Metadata key: one line for each number that `complete` changed."""

OUTPUT_BITS = 16
"""Width of an output that a file leaves in float."""

Shape = tuple[int, ...]


def load(source: str | os.PathLike[str] | onnx.ModelProto, complete: bool = False) -> Network:
    """The integer network of a file that `quant.qdq.save` wrote, or of another tool's with power-of-two scales.

    Zero points are 0, or what moves uint8 to int8 (128) and back (-128).  complete: where a bias is no multiple of
    its accumulator's unit, round it, and where an output is left in float, give it 16 bits that cannot saturate;
    each change is a line of the metadata `qdq.notes`.  8-bit weights of another tool that all need no more than
    4 bits are 4-bit weights.  `output_shapes` has an entry for every output.
    Raises BadInput where the file is none, or a number is none of this project's: a scale that is not a
    power of two, another zero point, a bias or an output as above; UnsupportedNetwork for other nodes.
    """
    model, name = read_model(source)
    other = other_form(model.graph)
    if other is not None:
        raise UnsupportedNetwork(f"{name}: {other[0]}: {other[1]}")
    operators = {node.op_type for node in model.graph.node}
    if "QuantizeLinear" not in operators:
        weights = "; only its weights are (DequantizeLinear): `quantize` takes it as a float network"
        text = weights if "DequantizeLinear" in operators else ""
        raise BadInput(f"{name}: not a quantized network: it has no QuantizeLinear nodes{text}")
    try:
        return _Reader(model, the_input(model, name), complete).network()
    except (BadInput, UnsupportedNetwork) as error:
        raise type(error)(f"{name}: {error}") from error


class _Reader:
    """The network being read.

    A tensor comes with the shape that the file gives it, without the batch: that of its map, or flattened.
    names: what each QuantizeLinear's output holds.  rounded: what has been made of a real tensor, a format and a
    clip.  exact: the tensors that hold a real tensor as it is.
    """

    def __init__(self, model: onnx.ModelProto, source: onnx.ValueInfoProto, complete: bool) -> None:
        self.graph = model.graph
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.tensor_bits, weight_bits = form.read_widths(self.metadata.pop(form.WIDTHS, "{}"))
        self.view = View(model)
        self.front = read_front(self.view, source)
        self.parts = LayerReader(self.view, weight_bits, model.producer_name != form.PRODUCER, complete)
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self.names: dict[str, tuple[str, Shape]] = {}
        self.rounded: dict[tuple[str, QFormat, tuple[int, int]], tuple[str, Shape]] = {}
        self.exact: dict[str, tuple[str, Shape]] = {}

    def network(self) -> Network:
        for node in self.view.nodes:
            if node.op_type == "QuantizeLinear" and not self.view.is_constant(node.input[0]):
                self.read_quantize(node)
        outputs = [self.read_output(value.name) for value in self.graph.output]
        for node in list(self.view.unread.values()):
            known = node.input[0] in self.names or self.view.is_constant(node.input[0])
            if node.op_type == "DequantizeLinear" and known:
                self.view.take(node.output[0])  # of a tensor that nothing reads
        if self.view.unread:
            nodes = ", ".join(label(node) for node in self.view.unread.values())
            raise UnsupportedNetwork(f"nodes that belong to no quantized layer: {nodes}")
        network = Network(
            name=self.graph.name,
            tensors=self.tensors,
            layers=tuple(self.layers),
            input=self.front.source,
            outputs=tuple(name for name, _, _ in outputs),
            softmax=frozenset(name for name, _, softmax in outputs if softmax),
            output_shapes={name: own for name, own, _ in outputs},
            metadata=self.metadata | ({NOTES: "\n".join(self.parts.notes)} if self.parts.notes else {}),
        )
        return self.front.stated(network)

    def append(self, layer: Layer, shape: tuple[int, int, int], fmt: QFormat) -> None:
        """A new layer and its tensor, each under a name of its own."""
        if layer.output in self.tensors or any(layer.name == other.name for other in self.layers):
            raise UnsupportedNetwork(f"layer {layer.name} or its output {layer.output} is quantized in two ways")
        self.layers.append(layer)
        self.tensors[layer.output] = Tensor(layer.output, shape, fmt)

    def read_quantize(self, node: onnx.NodeProto) -> None:
        """The layers that end in a QuantizeLinear."""
        integers, real = node.output[0], self.view.origin(node.input[0])
        self.view.take(integers)
        own_form = integers.endswith(form.QUANTIZED)
        name = self.front.source if real == self.front.real else integers.removesuffix(form.QUANTIZED)
        name = name if own_form else real
        fmt = self.view.tensor_format(node, f"tensor {name}", self.tensor_bits.get(name))
        after = self.view.narrowed(integers)
        if after is None:
            self.names[integers] = self.round(real, fmt, (fmt.low, fmt.high), name)
            return
        self.view.take(after.output[0])
        zero = self.view.scheme(node, f"tensor {name}").zero
        clip = self.parts.integer_limits(after, zero, fmt)
        self.names[after.output[0]] = self.round(real, fmt, clip, name)

    def round(self, real: str, fmt: QFormat, clip: tuple[int, int], name: str) -> tuple[str, Shape]:
        """The tensor that holds a real one clipped and rounded; a new one is called `name`."""
        key = (self.view.origin(real), fmt, clip)
        if key not in self.rounded:
            self.rounded[key] = self.read(key[0], fmt, clip, name)
        return self.rounded[key]

    def read(self, real: str, fmt: QFormat, clip: tuple[int, int], name: str) -> tuple[str, Shape]:
        """As `round`, of what has not been read."""
        if real == self.front.real:
            return self.read_input(fmt, clip, name)
        node = self.view.producer(real)
        if node is None:
            raise UnsupportedNetwork(f"tensor {name} is quantized from {real}, which no node computes")
        if node.op_type in CLIPPING:
            self.view.take(real)
            low, high = (min(max(bound, clip[0]), clip[1]) for bound in self.parts.clip(node, fmt))
            return self.round(node.input[0], fmt, (low, high), name)
        if node.op_type == "DequantizeLinear":
            tensor, own = self.tensor(f"tensor {name}", real)
            return self.converted(tensor, fmt, clip, name), own
        if node.op_type in RESHAPING:
            self.view.take(real)
            tensor, own = self.round(node.input[0], fmt, clip, self.view.origin(node.input[0]))
            return tensor, self.parts.reshaped(node, own)
        if node.op_type in MAXIMA:
            self.view.take(real)
            tensor, _ = self.round(node.input[0], fmt, (fmt.low, fmt.high), self.view.origin(node.input[0]))
            return self.read_pool(node, tensor, name, clip, fmt)
        if node.op_type in AVERAGES:
            self.view.take(real)
            tensor, _ = self.tensor(label(node), node.input[0])
            return self.read_pool(node, tensor, name, clip, fmt)
        if node.op_type == "Resize":
            self.view.take(real)
            tensor, _ = self.round(node.input[0], fmt, clip, self.view.origin(node.input[0]))
            return self.read_resize(node, tensor, name, fmt)
        if node.op_type == "Gather":
            return self.read_table(real, name, fmt, clip)
        if node.op_type == "Concat":
            self.view.take(real)
            found = [self.round(part, fmt, clip, self.view.origin(part)) for part in node.input]
            return self.read_concat(node, found, name, fmt)
        if node.op_type in SUMS or node.op_type == "Add":
            layer, shape, own = self.read_sum(real, name, clip)
            self.append(layer, shape, fmt)
            return name, own
        raise UnsupportedNetwork(f"node {label(node)} is no operator of a quantized layer")

    def read_input(self, fmt: QFormat, clip: tuple[int, int], name: str) -> tuple[str, Shape]:
        source, own = self.front.source, self.front.own
        if self.tensors.setdefault(source, Tensor(source, self.front.shape, fmt)).fmt != fmt:
            raise UnsupportedNetwork(f"input {source} is quantized in two formats")
        new = f"{name}_clipped" if name == source else name
        return self.converted(source, fmt, clip, new), own

    def read_sum(self, real: str, output: str, clip: tuple[int, int]) -> tuple[Layer, tuple[int, int, int], Shape]:
        """A convolution or fully connected layer with what is added to it, or an addition of two tensors."""
        last = self.view.producer(real)
        assert last is not None
        cores, constants, others = self.terms(real)
        if not cores and len(others) == 2 and not constants:
            (one, own), (other, _) = others
            if self.tensors[one].shape != self.tensors[other].shape:
                raise UnsupportedNetwork(f"{label(last)} adds tensors of two shapes")
            return Add(last.name or last.output[0], (one, other), output, clip), self.tensors[one].shape, own
        if len(cores) != 1 or len(others) > 1:
            raise UnsupportedNetwork(f"{label(last)} adds more than a layer and one quantized tensor")
        node, residual = cores[0], others[0][0] if others else None
        source = self.tensors[self.tensor(label(node), node.input[0])[0]]
        layer, shape = self.parts.conv(node, source, output, clip, residual, constants)
        if residual is not None:
            added = self.tensors[residual]
            if added.shape != shape:
                raise UnsupportedNetwork(f"{label(last)} adds tensors of two shapes")
            if source.fmt.frac + int(layer.weight_frac.min()) < added.fmt.frac:
                raise UnsupportedNetwork(f"{label(last)} adds {residual}, which is finer than what it is added to")
        return layer, shape, shape if node.op_type == "Conv" else shape[:1]

    def terms(self, real: str) -> tuple[list[onnx.NodeProto], list[str], list[tuple[str, Shape]]]:
        """What is added up without being rounded: convolutions, constants, and quantized tensors."""
        node = self.view.take(real)
        assert node is not None
        if node.op_type in SUMS:
            return [node], [], []
        cores: list[onnx.NodeProto] = []
        constants: list[str] = []
        others: list[tuple[str, Shape]] = []
        for name in node.input:
            before = self.view.producer(name)
            held = (
                before is not None and before.op_type == "DequantizeLinear" and self.view.is_constant(before.input[0])
            )
            if held or self.view.is_constant(name):
                constants.append(name)
            elif before is not None and (before.op_type in SUMS or before.op_type == "Add"):
                inner = self.terms(name)
                cores += inner[0]
                constants += inner[1]
                others += inner[2]
            else:
                others.append(self.tensor(label(node), name))
        return cores, constants, others

    def read_pool(
        self, node: onnx.NodeProto, tensor: str, name: str, clip: tuple[int, int], fmt: QFormat
    ) -> tuple[str, Shape]:
        layer, shape = self.parts.pool(node, self.tensors[tensor], name, clip)
        self.append(layer, shape, fmt)
        flat = node.op_type == "ReduceMean" and not attributes(node).get("keepdims", 1)
        return name, shape[:1] if flat else shape

    def read_resize(self, node: onnx.NodeProto, tensor: str, name: str, fmt: QFormat) -> tuple[str, Shape]:
        layer, shape = self.parts.resize(node, self.tensors[tensor], name)
        self.append(layer, shape, fmt)
        return name, shape

    def read_table(self, real: str, name: str, fmt: QFormat, clip: tuple[int, int]) -> tuple[str, Shape]:
        """A look-up by the stored integers of a tensor."""
        node = self.view.take(real)
        assert node is not None
        cast = self.view.take(node.input[1])
        if cast is None or cast.op_type != "Cast" or cast.input[0] not in self.names:
            raise UnsupportedNetwork(f"{label(node)} looks up by something else than a tensor's stored integers")
        tensor, own = self.names[cast.input[0]]
        self.append(self.parts.table(node, self.tensors[tensor], name, fmt, clip), self.tensors[tensor].shape, fmt)
        return name, own

    def read_concat(
        self, node: onnx.NodeProto, found: list[tuple[str, Shape]], name: str, fmt: QFormat
    ) -> tuple[str, Shape]:
        own = found[0][1]
        if attributes(node)["axis"] % (1 + len(own)) != 1 or any(len(other) != len(own) for _, other in found):
            raise UnsupportedNetwork(f"{label(node)} joins along another axis than the channels")
        shapes = [self.tensors[tensor].shape for tensor, _ in found]
        if len(own) == 1 and any(shape[1:] != (1, 1) for shape in shapes):
            raise UnsupportedNetwork(f"{label(node)} joins flattened maps")
        channels = sum(shape[0] for shape in shapes)
        layer = Concat(node.name or node.output[0], tuple(tensor for tensor, _ in found), name)
        self.append(layer, (channels, *shapes[0][1:]), fmt)
        return name, (channels, *own[1:])

    def converted(self, tensor: str, fmt: QFormat, clip: tuple[int, int], name: str) -> str:
        """A tensor rounded again into a format, and clipped: itself, its layer with another end, or a layer more."""
        old = self.tensors[tensor]
        if old.fmt.frac == fmt.frac and clip[0] <= old.fmt.low and old.fmt.high <= clip[1]:
            return tensor
        place = self.only_use(tensor)
        if place is not None and old.fmt.frac == fmt.frac:
            layer = self.layers[place]
            assert isinstance(layer, Conv | Pool | Add)
            low, high = (min(max(bound, clip[0]), clip[1]) for bound in layer.clip)
            self.layers[place] = replace(layer, output=name, clip=(low, high))
            self.tensors[name] = replace(self.tensors.pop(tensor), name=name, fmt=fmt)
            self.names = {key: value for key, value in self.names.items() if value[0] != tensor}
            self.rounded = {key: value for key, value in self.rounded.items() if value[0] != tensor}
            return name
        kind = "max" if old.fmt == fmt else "average"
        self.append(Pool(f"{name}/requantize", tensor, name, kind, Window(), clip), old.shape, fmt)  # type: ignore[arg-type]
        return name

    def only_use(self, tensor: str) -> int | None:
        """The place of the layer that rounds a tensor which one node reads, and no layer yet."""
        integers = [name for name, (held, _) in self.names.items() if held == tensor]
        if len(integers) != 1 or any(tensor in layer.inputs for layer in self.layers):
            return None
        dequantize = self.view.readers.get(integers[0], [])
        if len(dequantize) != 1 or len(self.view.readers.get(dequantize[0].output[0], [])) != 1:
            return None
        if dequantize[0].output[0] in self.view.outputs:
            return None
        for place, layer in enumerate(self.layers):
            rounds = isinstance(layer, Conv | Add) or (isinstance(layer, Pool) and layer.kind == "average")
            if layer.output == tensor and rounds:
                return place
        return None

    def tensor(self, reader: str, real: str) -> tuple[str, Shape]:
        """The tensor that holds a real one as it is, and the file's shape of it.  reader: who asks, in messages."""
        real = self.view.origin(real)
        if real not in self.exact:
            found, own = self.read_exact(reader, real)
            shape = self.tensors[found].shape
            if own not in (shape, (int(np.prod(shape)),)):
                raise UnsupportedNetwork(f"{reader} reads tensor {found} in the shape {own}")
            self.exact[real] = found, own
        return self.exact[real]

    def read_exact(self, reader: str, real: str) -> tuple[str, Shape]:
        """As `tensor`, in any shape, of what has not been read."""
        node = self.view.take(real)
        if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in self.names:
            tensor, own = self.names[node.input[0]]
            fmt = self.tensors[tensor].fmt
            if self.view.tensor_format(node, f"tensor {tensor}", fmt.bits) != fmt:
                raise BadInput(f"tensor {tensor} is dequantized with another scale than it was quantized with")
            return tensor, own
        if node is not None and node.op_type == "Resize":
            tensor, own = self.read_exact(label(node), self.view.origin(node.input[0]))
            return self.read_resize(node, tensor, real, self.tensors[tensor].fmt)
        if node is not None and node.op_type in (*RESHAPING, *CLIPPING, *MAXIMA):
            tensor, own = self.read_exact(label(node), self.view.origin(node.input[0]))
            fmt = self.tensors[tensor].fmt
            if node.op_type in RESHAPING:
                return tensor, self.parts.reshaped(node, own)
            if node.op_type in MAXIMA:
                return self.read_pool(node, tensor, real, (fmt.low, fmt.high), fmt)
            return self.converted(tensor, fmt, self.parts.exact_clip(node, fmt), real), own
        if node is not None and node.op_type == "Concat":
            found = [self.tensor(label(node), part) for part in node.input]
            formats = {self.tensors[tensor].fmt for tensor, _ in found}
            if len(formats) > 1:
                raise UnsupportedNetwork(f"{label(node)} joins tensors of {len(formats)} formats and is not quantized")
            return self.read_concat(node, found, real, formats.pop())
        raise BadInput(f"{reader} reads {real}, which is not quantized (no QuantizeLinear and DequantizeLinear)")

    def read_output(self, name: str) -> tuple[str, Shape, bool]:
        """Tensor, shape without the batch, and whether a softmax follows, of one output of the file."""
        real = self.view.origin(name)
        node = self.view.producer(real)
        softmax = node is not None and node.op_type == "Softmax"
        if node is not None and softmax:
            self.view.take(real)
            real = self.view.origin(node.input[0])
        reshaping: list[onnx.NodeProto] = []
        node = self.view.producer(real)
        while node is not None and node.op_type in RESHAPING:
            reshaping.append(node)
            real = self.view.origin(node.input[0])
            node = self.view.producer(real)
        if node is not None and node.op_type in (*SUMS, "Add"):
            tensor, own = self.open_output(real)
        else:
            tensor, own = self.exact.get(real) or self.read_exact(f"output {name}", real)
        for step in reversed(reshaping):
            self.view.take(step.output[0])
            own = self.parts.reshaped(step, own)
        return tensor, own, softmax

    def open_output(self, real: str) -> tuple[str, Shape]:
        """A layer whose result the file leaves in float: 16 bits that its accumulator cannot leave."""
        layer, shape, own = self.read_sum(real, real, (0, 0))
        if not isinstance(layer, Conv):
            raise BadInput(f"output {real} is not quantized (no QuantizeLinear and DequantizeLinear)")
        residual = None if layer.residual is None else self.tensors[layer.residual].fmt
        frac, finest = safe_frac(layer, self.tensors[layer.input].fmt, residual, OUTPUT_BITS)
        if frac < finest:
            if not self.parts.complete:
                raise BadInput(
                    f"output {real} is not quantized (no QuantizeLinear and DequantizeLinear); int16 with the scale "
                    f"2**{-frac} cannot saturate: `complete` gives it that"
                )
            self.parts.notes.append(
                f"output {real} is left in float; it is rounded to 16 bits, multiples of 2**{-frac}"
            )
        fmt = QFormat(OUTPUT_BITS, frac)
        self.append(replace(layer, clip=(fmt.low, fmt.high)), shape, fmt)
        return real, own
