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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.host import ATTRIBUTES, HostOperation
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import MOST_ELEMENTS, Tensor
from quant.ir.well_formed import Malformed, well_formed
from quant.kinds import QDQ_READERS
from quant.kinds.pool import conversion
from quant.kinds.reading import Own, Reading
from quant.onnx_file import form
from quant.onnx_file.clips import CLIPPING, exact_limits, integer_limits, rounded_limits
from quant.onnx_file.cut import rest, split
from quant.onnx_file.known import check_attributes
from quant.onnx_file.nodes import NotSupportedError, attributes, name_of
from quant.onnx_file.quantized import other_form
from quant.onnx_file.read import read_model, the_batch, the_inputs
from quant.onnx_file.reshapes import RESHAPING, new_shape
from quant.onnx_file.tails import host_operation
from quant.onnx_file.view import View, kind, label
from quant.qdq.front import Front, read_front, stated
from quant.qdq.runnable import check_runs
from quant.run.tail import check_tail

NOTES = "qdq.notes"
"""Metadata key: one line for each number that `complete` changed."""

OUTPUT_BITS = 16
"""Width of an output that a file leaves in float."""


def load(
    source: str | os.PathLike[str] | onnx.ModelProto, complete: bool = False, called: str | None = None
) -> Network:
    """The integer network of a file that `quant.qdq.save` wrote, or of another tool's with power-of-two scales.

    Zero points are 0, or what moves uint8 to int8 (128) and back (-128).  complete: where a bias is no multiple of
    its accumulator's unit, round it, and where an output is left in float, give it 16 bits that cannot saturate;
    each change is a line of the metadata `qdq.notes`.  8-bit weights of another tool that all need no more than
    4 bits are 4-bit weights.  `output_shapes` has an entry for every output.  called: as of
    `quant.onnx_file.read.read_model`.
    Raises BadInput where the file is none, or a number is none of this project's: a scale that is not a
    power of two, another zero point, a bias or an output as above; UnsupportedNetwork for other nodes.
    """
    whole, name = read_model(source, called)
    model, tail = split(whole)
    other = other_form(model.graph)
    if other is not None:
        raise UnsupportedNetwork(f"{name}: {other[0]}: {other[1]}")
    operators = {kind(node) for node in model.graph.node}
    if "QuantizeLinear" not in operators:
        weights = "; only its weights are (DequantizeLinear): `quantize` takes it as a float network"
        text = weights if "DequantizeLinear" in operators else ""
        raise BadInput(f"{name}: not a quantized network: it has no QuantizeLinear nodes{text}")
    sources = the_inputs(model, name)
    batch = the_batch(sources, name)
    try:
        reader = _Reader(View(model, complete), sources, batch)
        network = reader.network()
        if tail:
            if batch != 1:
                raise BadInput("ends on the host, and takes another batch than 1")
            shapes = {output: network.output_shapes[output] for output in network.outputs}
            end = rest(whole, tail, shapes)
            network = well_formed(replace(network, tail=end))
            check_tail(end, name)
    except (BadInput, UnsupportedNetwork) as error:
        raise type(error)(f"{name}: {error}") from error
    except Malformed as error:
        raise UnsupportedNetwork(f"{name}: {error}") from error
    except RecursionError as error:
        raise UnsupportedNetwork(f"{name}: too many nodes between two roundings") from error
    largest = max(network.tensors.values(), key=lambda tensor: prod(tensor.shape))
    if (batch or 1) * prod(largest.shape) > MOST_ELEMENTS:
        text = f"tensor {largest.name} has the shape {(batch or 1, *largest.shape)}"
        raise BadInput(f"{name}: {text}, more than {MOST_ELEMENTS:,} elements: make the batch smaller")
    dims = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:] for value in sources}
    shapes = {source: (batch or 1, *own) for source, own in dims.items()}
    check_runs(model, name, shapes, reader.returned)
    return network


class _Reader:
    """The network being read.

    A tensor comes with the shape that the file gives it, without the batch: that of its map, or flattened.
    fronts: what stands before each input's first rounding, by the tensor that is rounded.
    names: what each QuantizeLinear's output holds.  rounded: what has been made of a real tensor, a format and a
    clip.  exact: the tensors that hold a real tensor as it is.  returned: the shape of each output, by its name in the
    file.
    """

    def __init__(self, view: View, sources: Iterable[onnx.ValueInfoProto], batch: int) -> None:
        self.view, self.graph = view, view.graph
        for node in self.view.nodes:
            with refusing(node):
                if kind(node) != node.op_type:
                    raise NotSupportedError("an operator that is not ONNX's")
                check_attributes(node)
        self.fronts = {front.real: front for front in (read_front(self.view, source) for source in sources)}
        self.batch, self.open_batch = batch or 1, not batch
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self.names: dict[str, tuple[str, Own]] = {}
        self.rounded: dict[tuple[str, QFormat, tuple[int, int]], tuple[str, Own]] = {}
        self.exact: dict[str, tuple[str, Own]] = {}
        self.returned: dict[str, Own] = {}

    def network(self) -> Network:
        for node in self.view.nodes:
            if kind(node) == "QuantizeLinear" and not self.view.is_constant(node.input[0]):
                self.read_quantize(node)
        outputs: list[tuple[str, Own, HostOperation | None]] = []
        for value in self.graph.output:
            tensor, own, host = self.read_output(value.name)
            if any(tensor == front.source for front in self.fronts.values()):
                raise UnsupportedNetwork(f"output {value.name} is the input as it is: no layer computes it")
            if any(tensor == other and (own != theirs or host == at) for other, theirs, at in outputs):
                raise UnsupportedNetwork(f"output {value.name} is another output once more")
            outputs.append((tensor, own, host))
            self.returned[value.name] = own if host is None else host.shape(own)
        for node in list(self.view.unread.values()):
            known = node.input[0] in self.names or self.view.is_constant(node.input[0])
            if kind(node) == "DequantizeLinear" and known:
                self.view.take(node.output[0])  # of a tensor that nothing reads
        if self.view.unread:
            nodes = ", ".join(label(node) for node in self.view.unread.values())
            raise UnsupportedNetwork(f"nodes that belong to no quantized layer: {nodes}")
        network = Network(
            name=self.graph.name,
            tensors=self.tensors,
            layers=tuple(self.layers),
            inputs=tuple(front.source for front in self.fronts.values()),
            outputs=tuple(dict.fromkeys(name for name, _, _ in outputs)),
            results=tuple((name, host) for name, _, host in outputs) if any(host for _, _, host in outputs) else (),
            output_shapes={name: own for name, own, _ in outputs},
            metadata=self.view.metadata | ({NOTES: "\n".join(self.view.notes)} if self.view.notes else {}),
        )
        return well_formed(stated(network, list(self.fronts.values())))

    def append(self, layer: Layer, fmt: QFormat) -> None:
        """A new layer and its tensor, each under a name of its own."""
        if layer.output in self.tensors or any(layer.name == other.name for other in self.layers):
            raise UnsupportedNetwork(f"layer {layer.name} or its output {layer.output} is quantized in two ways")
        try:
            shape = layer.output_shape({name: self.tensors[name].shape for name in layer.inputs})
        except ValueError as error:
            raise UnsupportedNetwork(f"layer {layer.name}: {error}") from error
        self.layers.append(layer)
        self.tensors[layer.output] = Tensor(layer.output, shape, fmt)

    def read_quantize(self, node: onnx.NodeProto) -> None:
        """The layers that end in a QuantizeLinear."""
        integers, real = node.output[0], self.view.origin(node.input[0])
        self.view.take(integers)
        own_form = integers.endswith(form.QUANTIZED)
        front = self.fronts.get(real)
        name = integers.removesuffix(form.QUANTIZED) if front is None else front.source
        name = name if own_form else real
        fmt = self.view.tensor_format(node, f"tensor {name}", self.view.tensor_bits.get(name))
        after = self.view.narrowed(integers)
        if after is None:
            self.names[integers] = self.round(real, fmt, (fmt.low, fmt.high), name)
            return
        self.view.take(after.output[0])
        zero = self.view.scheme(node, f"tensor {name}").zero
        clip = integer_limits(self.view, after, zero, fmt)
        self.names[after.output[0]] = self.round(real, fmt, clip, name)

    def round(self, real: str, fmt: QFormat, clip: tuple[int, int], name: str) -> tuple[str, Own]:
        """The tensor that holds a real one clipped and rounded; a new one is called `name`."""
        key = (self.view.origin(real), fmt, clip)
        if key not in self.rounded:
            self.rounded[key] = self.read(key[0], fmt, clip, name)
        return self.rounded[key]

    def read(self, real: str, fmt: QFormat, clip: tuple[int, int], name: str) -> tuple[str, Own]:
        """As `round`, of what has not been read."""
        if real in self.fronts:
            return self.read_input(self.fronts[real], fmt, clip, name)
        node = self.view.producer(real)
        if node is None:
            raise UnsupportedNetwork(f"tensor {name} is quantized from {real}, which no node computes")
        if kind(node) in CLIPPING:
            self.view.take(real)
            low, high = (min(max(bound, clip[0]), clip[1]) for bound in rounded_limits(self.view, node, fmt))
            return self.round(node.input[0], fmt, (low, high), name)
        if kind(node) == "DequantizeLinear":
            tensor, own = self.tensor(f"tensor {name}", real)
            return self.converted(tensor, fmt, clip, name), own
        if kind(node) in RESHAPING:
            self.view.take(real)
            tensor, own = self.round(node.input[0], fmt, clip, self.view.origin(node.input[0]))
            return tensor, self.reshaped(node, own)
        if kind(node) not in QDQ_READERS:
            raise UnsupportedNetwork(f"node {label(node)} is no operator of a quantized layer")
        self.view.take(real)
        return self.read_layer(_Node(self, node, name, fmt, clip))

    def read_layer(self, reading: _Node) -> tuple[str, Own]:
        """The layer of a node by its kind, appended."""
        with refusing(reading.node):
            layer, own = QDQ_READERS[kind(reading.node)].read(reading)
        self.append(layer, reading.fmt)
        return layer.output, own

    def read_input(self, front: Front, fmt: QFormat, clip: tuple[int, int], name: str) -> tuple[str, Own]:
        source, own = front.source, front.own
        if self.tensors.setdefault(source, Tensor(source, front.shape, fmt)).fmt != fmt:
            raise UnsupportedNetwork(f"input {source} is quantized in two formats")
        new = f"{name}_clipped" if name == source else name
        return self.converted(source, fmt, clip, new), own

    def converted(self, tensor: str, fmt: QFormat, clip: tuple[int, int], name: str) -> str:
        """A tensor rounded again into a format, and clipped: itself, its layer with another end, or a layer more."""
        old = self.tensors[tensor]
        if old.fmt.frac == fmt.frac and clip[0] <= old.fmt.low and old.fmt.high <= clip[1]:
            return tensor
        place = self.only_use(tensor) if old.fmt.frac == fmt.frac else None
        layer = None if place is None else self.layers[place].ending_in(name, clip)
        if place is not None and layer is not None:
            self.layers[place] = layer
            self.tensors[name] = replace(self.tensors.pop(tensor), name=name, fmt=fmt)
            self.names = {key: value for key, value in self.names.items() if value[0] != tensor}
            self.rounded = {key: value for key, value in self.rounded.items() if value[0] != tensor}
            return name
        self.append(conversion(f"{name}/requantize", old, name, fmt, clip), fmt)
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
        return next((place for place, layer in enumerate(self.layers) if layer.output == tensor), None)

    def tensor(self, reader: str, real: str) -> tuple[str, Own]:
        """The tensor that holds a real one as it is, and the file's shape of it.  reader: who asks, in messages."""
        real = self.view.origin(real)
        if real not in self.exact:
            found, own = self.read_exact(reader, real)
            self.check_order(reader, found, own)
            self.exact[real] = found, own
        return self.exact[real]

    def check_order(self, reader: str, tensor: str, own: Own) -> None:
        """Refuses a tensor in a shape that is neither that of its map nor flat: its channels are others there."""
        shape = self.tensors[tensor].shape
        if own not in (shape, (int(np.prod(shape)),)):
            raise UnsupportedNetwork(f"{reader} reads tensor {tensor} in the shape {own}")

    def read_exact(self, reader: str, real: str) -> tuple[str, Own]:
        """As `tensor`, in any shape, of what has not been read."""
        node = self.view.take(real)
        if node is not None and kind(node) == "DequantizeLinear" and node.input[0] in self.names:
            tensor, own = self.names[node.input[0]]
            fmt = self.tensors[tensor].fmt
            if self.view.tensor_format(node, f"tensor {tensor}", fmt.bits) != fmt:
                raise BadInput(f"tensor {tensor} is dequantized with another scale than it was quantized with")
            return tensor, own
        if node is not None and kind(node) in RESHAPING:
            tensor, own = self.read_exact(label(node), self.view.origin(node.input[0]))
            return tensor, self.reshaped(node, own)
        if node is not None and kind(node) in CLIPPING:
            tensor, own = self.read_exact(label(node), self.view.origin(node.input[0]))
            fmt = self.tensors[tensor].fmt
            return self.converted(tensor, fmt, exact_limits(self.view, node, fmt), real), own
        if node is not None and kind(node) in QDQ_READERS and QDQ_READERS[kind(node)].moves:
            return self.read_layer(_Node(self, node, real))
        raise BadInput(f"{reader} reads {real}, which is not quantized (no QuantizeLinear and DequantizeLinear)")

    def read_output(self, name: str) -> tuple[str, Own, HostOperation | None]:
        """Tensor, shape without the batch, and what the host makes of it, of one output of the file."""
        real = self.view.origin(name)
        tail = self.view.producer(real)
        tail = tail if tail is not None and kind(tail) in ATTRIBUTES else None
        if tail is not None:
            self.view.take(real)
            real = self.view.origin(tail.input[0])
        reshaping: list[onnx.NodeProto] = []
        node = self.view.producer(real)
        while node is not None and kind(node) in RESHAPING:
            reshaping.append(node)
            real = self.view.origin(node.input[0])
            node = self.view.producer(real)
        if node is not None and kind(node) in QDQ_READERS and QDQ_READERS[kind(node)].sums:
            tensor, own = self.open_output(node, real)
        else:
            tensor, own = self.exact.get(real) or self.read_exact(f"output {name}", real)
        for step in reversed(reshaping):
            self.view.take(step.output[0])
            own = self.reshaped(step, own)
        if tail is None:
            return tensor, own, None
        with refusing(tail):
            return tensor, own, host_operation(kind(tail), attributes(tail), own, self.view.opset)

    def open_output(self, node: onnx.NodeProto, real: str) -> tuple[str, Own]:
        """A layer whose result the file leaves in float: 16 bits that its accumulator cannot leave."""
        self.view.take(real)
        whole = QFormat(OUTPUT_BITS, 0)
        reading = _Node(self, node, real, whole, (whole.low, whole.high))
        with refusing(node):
            layer, own = QDQ_READERS[kind(node)].read(reading)
        lengths = layer.finest(self.tensors, OUTPUT_BITS)
        if lengths is None:
            raise BadInput(f"output {real} is not quantized (no QuantizeLinear and DequantizeLinear)")
        frac, finest = lengths
        if frac < finest:
            if not self.view.complete:
                raise BadInput(
                    f"output {real} is not quantized (no QuantizeLinear and DequantizeLinear); int16 with the scale "
                    f"2**{-frac} cannot saturate: `complete` gives it that"
                )
            self.view.notes.append(f"output {real} is left in float; it is rounded to 16 bits, multiples of 2**{-frac}")
        self.append(layer, replace(whole, frac=frac))
        return real, own

    def reshaped(self, node: onnx.NodeProto, own: Own) -> Own:
        """What a Flatten, Reshape, Squeeze or Unsqueeze makes of the shape `own`, both without the batch."""
        given, old = self.view.reshaping(node), (self.batch, *own)
        with refusing(node):
            return new_shape(kind(node), attributes(node), old, given, self.open_batch)[1:]


class _Node(Reading):
    """A node as its kind sees it.

    fmt, clip: of its result where that is rounded; None where it is not, and has those of what it moves.
    """

    def __init__(
        self,
        reader: _Reader,
        node: onnx.NodeProto,
        output: str,
        fmt: QFormat | None = None,
        clip: tuple[int, int] | None = None,
    ) -> None:
        self.reader, self.view, self.node = reader, reader.view, node
        self.name, self.output = name_of(node), output
        self._fmt, self._clip = fmt, clip

    @property
    def fmt(self) -> QFormat:
        assert self._fmt is not None  # what moves data asks for them first
        return self._fmt

    @property
    def clip(self) -> tuple[int, int]:
        return self._clip or (self.fmt.low, self.fmt.high)

    @property
    def rounds(self) -> bool:
        return self._clip is not None

    def exact(self, name: str) -> tuple[Tensor, Own]:
        tensor, own = self.reader.tensor(label(self.node), name)
        return self.reader.tensors[tensor], own

    def moved(self, name: str, clipped: bool) -> tuple[Tensor, Own]:
        if self._clip is None:
            tensor, own = self.exact(name)
            self._fmt = self._fmt or tensor.fmt
            if tensor.fmt != self._fmt:
                raise UnsupportedNetwork(f"{label(self.node)} joins tensors of two formats and is not quantized")
            return tensor, own
        clip = self._clip if clipped else (self.fmt.low, self.fmt.high)
        found, own = self.reader.round(name, self.fmt, clip, self.view.origin(name))
        self.reader.check_order(label(self.node), found, own)
        return self.reader.tensors[found], own

    def stored(self, name: str) -> tuple[Tensor, Own] | None:
        if name not in self.reader.names:
            return None
        tensor, own = self.reader.names[name]
        return self.reader.tensors[tensor], own


@contextmanager
def refusing(node: onnx.NodeProto) -> Iterator[None]:
    """The reason for which a node is refused becomes a message that names it."""
    try:
        yield
    except NotSupportedError as error:
        raise UnsupportedNetwork(f"{label(node)}: {error}") from error
