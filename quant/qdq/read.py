"""Reading a quantized file back into the integer network that was written.

Everything is read from the structure; the metadata hold only widths other than 4, 8 and 16 bits.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from quant.errors import BadInput, UnsupportedNetwork
from quant.fixedpoint import QFormat
from quant.network import Add, Concat, Conv, Layer, Network, Pool, Tensor, Window
from quant.onnx_import.lower import attributes
from quant.onnx_import.read import read_model, the_input
from quant.qdq import form

RESHAPING = ("Flatten", "Reshape")


def load(source: str | os.PathLike[str] | onnx.ModelProto) -> Network:
    """The integer network of a file that `quant.qdq.save` wrote, or of one of the same form.

    `output_shapes` has an entry for every output.
    Raises BadInput where the file is none, or a number is none of this project's: a scale that is not a
    power of two, a zero point that is not 0, a bias at another scale than its products; UnsupportedNetwork
    for other nodes.
    """
    model, label = read_model(source)
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise BadInput(f"{label}: not a quantized network: it has no QuantizeLinear nodes")
    try:
        return _Reader(model, the_input(model, label)).network()
    except (BadInput, UnsupportedNetwork) as error:
        raise type(error)(f"{label}: {error}") from error


def label(node: onnx.NodeProto) -> str:
    """A node in messages."""
    return f"{node.name or node.output[0]} ({node.op_type})"


def window(values: dict[str, Any], kernel: tuple[int, int]) -> Window:
    """The window that the attributes of a Conv or pool state."""
    top, left, bottom, right = values.get("pads", (0, 0, 0, 0))
    down, across = values.get("strides", (1, 1))
    rows, columns = values.get("dilations", (1, 1))
    return Window(kernel, (down, across), (top, left, bottom, right), (rows, columns))


def read_widths(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """Widths of tensors and of layers' weights, by name.  Raises BadInput for text that is not as written."""
    try:
        widths = json.loads(text)
        parts = [{str(name): int(bits) for name, bits in widths.get(key, {}).items()} for key in ("tensors", "weights")]
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"the metadata {form.WIDTHS} are damaged") from error
    if any(not 2 <= bits <= 16 for part in parts for bits in part.values()):
        raise BadInput(f"the metadata {form.WIDTHS} hold a width outside 2 to 16 bits")
    return parts[0], parts[1]


class _Reader:
    """The graph being read.

    tensors: what has been read so far.  names: the tensor that each QuantizeLinear's output holds.
    unread: nodes that no layer has claimed.
    """

    def __init__(self, model: onnx.ModelProto, source: onnx.ValueInfoProto) -> None:
        self.graph, self.source = model.graph, source
        self.producers = {output: node for node in self.graph.node for output in node.output}
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.unread = {node.output[0]: node for node in self.graph.node}
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.tensor_bits, self.weight_bits = read_widths(self.metadata.pop(form.WIDTHS, "{}"))
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[str, str] = {}
        self.flat: set[str] = set()  # tensors that the file keeps as (N, C)

    def network(self) -> Network:
        layers: list[Layer] = []
        for node in self.graph.node:
            if node.op_type == "QuantizeLinear":
                layer = self.read_quantize(node)
                layers.extend([] if layer is None else [layer])
        outputs = [self.read_output(value.name) for value in self.graph.output]
        for node in list(self.unread.values()):
            if node.op_type == "DequantizeLinear" and node.input[0] in self.names:
                self.take(node.output[0])  # of a tensor that nothing reads
        if self.unread:
            nodes = ", ".join(label(node) for node in self.unread.values())
            raise UnsupportedNetwork(f"nodes that belong to no quantized layer: {nodes}")
        return Network(
            name=self.graph.name,
            tensors=self.tensors,
            layers=tuple(layers),
            input=self.source.name,
            outputs=tuple(name for name, _, _ in outputs),
            softmax=frozenset(name for name, _, softmax in outputs if softmax),
            output_shapes={name: own for name, own, _ in outputs},
            metadata=self.metadata,
        )

    def take(self, tensor: str) -> onnx.NodeProto | None:
        """The node that writes a tensor, noted as read; None for constants and the input."""
        node = self.producers.get(tensor)
        if node is not None:
            self.unread.pop(node.output[0], None)
        return node

    def array(self, name: str, what: str) -> np.ndarray:
        if name not in self.constants:
            raise BadInput(f"{what} is not a constant")
        return numpy_helper.to_array(self.constants[name])

    def fracs(self, node: onnx.NodeProto, what: str) -> np.ndarray:
        """Fractional lengths of a QuantizeLinear or DequantizeLinear, int64 (); (O,) for one per channel."""
        scale = self.array(node.input[1], f"the scale of {what}")
        if len(node.input) > 2 and node.input[2]:
            zero = self.array(node.input[2], f"the zero point of {what}").astype(np.int64).reshape(-1)
            if zero.any():
                raise BadInput(f"the zero point of {what} is {zero[np.abs(zero).argmax()]}, only 0 is supported")
        values = [form.exponent(float(value), what) for value in scale.reshape(-1)]
        return np.array(values, np.int64).reshape(scale.shape if scale.size > 1 else ())

    def read_quantize(self, node: onnx.NodeProto) -> Layer | None:
        """The layer that ends in a QuantizeLinear; None where that quantizes the network's input."""
        integers = node.output[0]
        self.take(integers)
        name = integers.removesuffix(form.QUANTIZED)
        fmt = self.format(node, name)
        real, clip = self.read_clip(node.input[0], fmt)
        if real == self.source.name:
            self.names[integers] = real
            self.tensors[real] = Tensor(real, self.input_shape(), fmt)
            return None
        core = self.take(real)
        self.names[integers] = name
        if core is None:
            raise UnsupportedNetwork(f"tensor {name} is quantized from {real}, which no node computes")
        layer, shape = self.read_layer(core, name, clip)
        self.tensors[name] = Tensor(name, shape, fmt)
        if isinstance(layer, Concat) and any(self.tensors[part].fmt != fmt for part in layer.inputs):
            raise UnsupportedNetwork(f"layer {layer.name} joins tensors of other formats than that of its output")
        return layer

    def format(self, node: onnx.NodeProto, name: str) -> QFormat:
        frac = self.fracs(node, f"tensor {name}")
        if frac.ndim:
            raise BadInput(f"tensor {name} has {frac.size} scales; only weights have one for each channel")
        kind = form.integer_type(node, self.constants)
        if kind not in form.STORED:
            raise UnsupportedNetwork(f"tensor {name} is of type {onnx.TensorProto.DataType.Name(kind).lower()}")
        bits, signed, _ = form.STORED[kind]
        return QFormat(self.tensor_bits.get(name, bits), int(frac), signed)

    def input_shape(self) -> tuple[int, int, int]:
        dims = [dim.dim_value for dim in self.source.type.tensor_type.shape.dim][1:]
        if len(dims) not in (1, 3) or min(dims) < 1:
            raise BadInput(f"input {self.source.name} has no fixed shape (N, C, H, W) or (N, C)")
        if len(dims) == 1:
            self.flat.add(self.source.name)
            return (dims[0], 1, 1)
        return (dims[0], dims[1], dims[2])

    def read_clip(self, real: str, fmt: QFormat) -> tuple[str, tuple[int, int]]:
        """What is clipped before the rounding, and the bounds in units of the format."""
        node = self.producers.get(real)
        if node is None or node.op_type not in ("Relu", "Clip"):
            return real, (fmt.low, fmt.high)
        self.take(real)
        low, high = fmt.low, fmt.high
        if node.op_type == "Relu":
            return node.input[0], (max(low, 0), high)
        if len(node.input) > 1 and node.input[1]:
            low = max(low, self.bound(node, 1, fmt))
        if len(node.input) > 2 and node.input[2]:
            high = min(high, self.bound(node, 2, fmt))
        return node.input[0], (low, high)

    def bound(self, node: onnx.NodeProto, index: int, fmt: QFormat) -> int:
        value = float(self.array(node.input[index], f"a bound of {label(node)}").reshape(()))
        units = float(np.ldexp(value, fmt.frac))
        if not units.is_integer():
            raise BadInput(f"the bound {value:g} of {label(node)} is no multiple of its tensor's step {fmt.step:g}")
        return int(units)

    def read_layer(
        self, node: onnx.NodeProto, output: str, clip: tuple[int, int]
    ) -> tuple[Layer, tuple[int, int, int]]:
        """The layer of which `node` is the last operator before clip and rounding, and its output's shape."""
        if node.op_type in ("Conv", "Gemm"):
            return self.read_conv(node, output, clip, None)
        if node.op_type in ("MaxPool", "AveragePool"):
            return self.read_pool(node, output, clip)
        if node.op_type == "Add":
            for place in (0, 1):
                before = self.producers.get(node.input[place])
                if before is not None and before.op_type in ("Conv", "Gemm"):
                    self.take(node.input[place])
                    return self.read_conv(before, output, clip, self.tensor(node, node.input[1 - place]))
            one, other = (self.tensor(node, name) for name in node.input)
            return Add(node.name, (one, other), output, clip), self.tensors[one].shape
        if node.op_type == "Concat" and attributes(node)["axis"] == 1:
            inputs = tuple(self.tensor(node, name) for name in node.input)
            channels = sum(self.tensors[name].shape[0] for name in inputs)
            return Concat(node.name, inputs, output), (channels, *self.tensors[inputs[0]].shape[1:])
        raise UnsupportedNetwork(f"node {label(node)} is no operator of a quantized layer")

    def tensor(self, node: onnx.NodeProto, real: str) -> str:
        """The tensor that `node` reads: a DequantizeLinear of it, reshaped perhaps."""
        name, shape = self.dequantized(real, label(node))
        known = self.tensors[name].shape
        if shape is not None and shape not in (known, (known[0] * known[1] * known[2],)):
            raise UnsupportedNetwork(f"{label(node)} reads tensor {name} in the shape {shape}")
        return name

    def dequantized(self, real: str, reader: str) -> tuple[str, tuple[int, ...] | None]:
        """The tensor behind `real`, and the shape that it was given on the way."""
        node = self.take(real)
        shape: tuple[int, ...] | None = None
        integers = node
        if node is not None and node.op_type in RESHAPING:
            integers = self.take(node.input[0])
        if integers is None or integers.op_type != "DequantizeLinear" or integers.input[0] not in self.names:
            raise BadInput(f"{reader} reads {real}, which is not quantized (no QuantizeLinear and DequantizeLinear)")
        name = self.names[integers.input[0]]
        if self.fracs(integers, f"tensor {name}") != self.tensors[name].fmt.frac:
            raise BadInput(f"tensor {name} is dequantized with another scale than it was quantized with")
        if node is not None and node.op_type == "Flatten":
            shape = (int(np.prod(self.tensors[name].shape)),)
        elif node is not None and node.op_type == "Reshape":
            target = self.array(node.input[1], f"the shape of {label(node)}")
            shape = tuple(int(size) for size in target[1:])
        return name, shape

    def read_conv(
        self, node: onnx.NodeProto, output: str, clip: tuple[int, int], residual: str | None
    ) -> tuple[Layer, tuple[int, int, int]]:
        values = self.padding_stated(node)
        source = self.tensor(node, node.input[0])
        shape = self.tensors[source].shape
        weight, weight_frac, bits = self.read_weight(node)
        if node.op_type == "Gemm":
            self.flat.add(output)
            if values.get("transA", 0) or not values.get("transB", 0) or weight.shape[1] != np.prod(shape):
                raise UnsupportedNetwork(f"{label(node)} is not x times the transpose of its weight")
            weight = weight.reshape(len(weight), *shape)
        kernel = (weight.shape[2], weight.shape[3])
        size = Window(kernel) if node.op_type == "Gemm" else window(values, kernel)
        groups = int(values.get("group", 1))
        if weight.shape[1] * groups != shape[0]:
            raise BadInput(f"{label(node)} has weights for {weight.shape[1] * groups} channels, its input {shape[0]}")
        bias = self.read_bias(node, weight_frac + self.tensors[source].fmt.frac)
        layer = Conv(
            name=node.name,
            input=source,
            output=output,
            weight=weight,
            weight_frac=weight_frac,
            weight_bits=bits,
            bias=bias,
            window=size,
            groups=groups,
            clip=clip,
            residual=residual,
            op="Gemm" if node.op_type == "Gemm" else "Conv",
        )
        return layer, (len(weight), *size.output_size(*shape[1:]))

    def padding_stated(self, node: onnx.NodeProto) -> dict[str, Any]:
        """The attributes of a Conv or pool, of which none leaves the padding to be computed."""
        values = attributes(node)
        if values.get("ceil_mode", 0) or values.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise UnsupportedNetwork(f"{label(node)} has ceil_mode or auto_pad; a quantized file states its padding")
        return values

    def read_weight(self, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray, int]:
        """Integers int64 (O, ...), fractional lengths int64 (O,), and width of a layer's weight."""
        what = f"the weight of layer {node.name}"
        dequantize = self.take(node.input[1])
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            raise BadInput(f"{what} is not quantized (no DequantizeLinear)")
        integers = self.array(dequantize.input[0], what)
        kind = self.constants[dequantize.input[0]].data_type
        if kind not in form.STORED or not form.STORED[kind][1]:
            raise UnsupportedNetwork(f"{what} is of type {onnx.TensorProto.DataType.Name(kind).lower()}")
        fracs = self.fracs(dequantize, what)
        if fracs.ndim and (attributes(dequantize).get("axis", 1) != 0 or fracs.shape != integers.shape[:1]):
            raise UnsupportedNetwork(f"{what} has scales {fracs.shape} that are not one for each output channel")
        bits = self.weight_bits.get(node.name, form.STORED[kind][0])
        return integers.astype(np.int64), np.broadcast_to(fracs, integers.shape[:1]).copy(), bits

    def read_bias(self, node: onnx.NodeProto, expected: np.ndarray) -> np.ndarray:
        """The bias, int64 (O,), at the fractional lengths `expected`; zero where there is none."""
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(len(expected), np.int64)
        what = f"the bias of layer {node.name}"
        dequantize = self.take(node.input[2])
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            raise BadInput(f"{what} is not quantized (no DequantizeLinear)")
        fracs = self.fracs(dequantize, what)
        if (fracs != expected).any():
            raise BadInput(f"{what} has another scale than its products (that of the input times that of the weight)")
        return self.array(dequantize.input[0], what).astype(np.int64)

    def read_pool(self, node: onnx.NodeProto, output: str, clip: tuple[int, int]) -> tuple[Layer, tuple[int, int, int]]:
        values = self.padding_stated(node)
        source = self.tensor(node, node.input[0])
        down, across = values["kernel_shape"]
        size = window(values, (down, across))
        average = node.op_type == "AveragePool"
        include = bool(values.get("count_include_pad", 0)) if average else True
        layer = Pool(node.name, source, output, "average" if average else "max", size, clip, include)
        shape = self.tensors[source].shape
        return layer, (shape[0], *size.output_size(*shape[1:]))

    def read_output(self, name: str) -> tuple[str, tuple[int, ...], bool]:
        """Tensor, shape without the batch, and whether a softmax follows, of one output of the file."""
        node = self.producers.get(name)
        softmax = node is not None and node.op_type == "Softmax"
        if softmax:
            self.take(name)
            name = node.input[0] if node is not None else name
        tensor, own = self.dequantized(name, f"output {name}")
        shape = self.tensors[tensor].shape
        if own is None:
            own = shape[:1] if tensor in self.flat else shape
        return tensor, own, softmax
