"""Writing an integer network as standard ONNX.

Every tensor is a QuantizeLinear and a DequantizeLinear with a power-of-two scale and zero point 0; between
them stand the float operators of one layer, so that there is one rounding for each layer's output:

    DequantizeLinear -> Conv | Gemm | MaxPool | AveragePool | Add | Mul | Concat | Resize -> [Add residual]
    -> [Relu | Clip] -> QuantizeLinear

An input's scales (`quant.ir.scales`), where it has any, are a Mul before its QuantizeLinear.
A table is a Gather from its entries by the stored integers, cast to int32, and a QuantizeLinear that rounds nothing.
A layer's operator has the layer's name; the integers of tensor `t` are called `t_quantized`.
A tail (`quant.onnx_file.cut`) stands behind all that as it is, and the file takes one image then.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.base.files import write_atomic
from quant.ir.host import HostOperation
from quant.ir.inputs import own_shape, shape_key
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.ir.well_formed import well_formed
from quant.ir.writing import QdqNodes
from quant.onnx_file import form
from quant.onnx_file.valid import check


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to a file, whole or not at all.  Errors as of `to_model`, and BadInput for the path."""
    write_atomic(path, to_model(network).SerializeToString(deterministic=True))


def to_model(network: Network) -> onnx.ModelProto:
    """The network as an ONNX model: float32 input and outputs with the shapes of the float network.

    Raises BadInput where the file cannot hold a number: more than 16 bits, a bias beyond int32, a scale
    beyond float32.  Raises Malformed for a network that is not well formed.
    """
    writer = _Writer(well_formed(network))
    for name in network.inputs:
        writer.write_input(name)
    for layer in network.layers:
        writer.write_layer(layer)
    outputs = [writer.write_result(*result) for result in network.results or ((name, None) for name in network.outputs)]
    nodes, constants = writer.nodes, list(writer.constants.values())
    if network.tail is not None:
        tail = onnx.load_model_from_string(network.tail.content).graph
        nodes, constants, outputs = [*nodes, *tail.node], [*constants, *tail.initializer], list(tail.output)
    batch = "N" if network.tail is None else 1
    sources = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *input_shape(network, name)])
        for name in network.inputs
    ]
    graph = helper.make_graph(nodes, network.name, sources, outputs, constants)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", form.OPSET)],
        ir_version=form.IR_VERSION,
        producer_name=form.PRODUCER,
    )
    metadata = dict(network.metadata)
    if any(writer.widths.values()):
        metadata[form.WIDTHS] = json.dumps(writer.widths, sort_keys=True)
    helper.set_model_props(model, metadata)
    check(model, network.name)
    return model


def input_shape(network: Network, name: str) -> tuple[int, ...]:
    """The shape of an input in the file without the batch: (C, H, W), or the float network's own (C,) or (C, W)."""
    shape = network.tensors[name].shape
    own = own_shape(network.metadata, shape, shape_key(name, network.inputs))
    channels, height, width = shape
    return own if own in ((channels,), (channels, width)) and height == 1 else shape


class _Writer(QdqNodes):
    """The growing graph.

    ranks: of each tensor in the file.  real: its dequantized ONNX tensor, by rank.  reshaped: outputs in the shape
    of the float network.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.tensors = network, network.tensors
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.real: dict[tuple[str, int], str] = {}
        self.reshaped: dict[str, str] = {}
        self.ranks: dict[str, int] = {}
        self.widths: dict[str, dict[str, int]] = {"tensors": {}, "weights": {}}

    def constant(self, name: str, array: Any) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def node(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def shape(self, tensor: str) -> tuple[int, int, int]:
        return self.tensors[tensor].shape

    def rank(self, tensor: str) -> int:
        return self.ranks[tensor]

    def stored(self, tensor: str) -> str:
        return f"{tensor}{form.QUANTIZED}"

    def state_weight_bits(self, layer: str, bits: int) -> None:
        self.widths["weights"][layer] = bits

    def write_input(self, name: str) -> None:
        fmt = self.tensors[name].fmt
        rank, real = 1 + len(input_shape(self.network, name)), name
        if rank == 3:
            rows = self.constant(f"{name}_rows", np.array([2], np.int64))
            rank, real = 4, self.node("Unsqueeze", [name, rows], f"{name}_map", f"{name}/map")
        real = self.write_clip(name, name, self.write_scales(name, real, rank), (fmt.low, fmt.high))
        self.write_tensor(name, real, rank)

    def write_scales(self, source: str, real: str, rank: int) -> str:
        """The input, in the file `real` of some rank, times its scales."""
        scales = tensor_scales(self.network)[source].astype(np.float32)
        if (scales == 1).all():
            return real
        factors = self.constant(f"{source}_scales", scales.reshape(-1, *[1] * (rank - 2)))
        return self.node("Mul", [real, factors], f"{source}_scaled", f"{source}/scale")

    def write_tensor(self, tensor: str, real: str, rank: int) -> None:
        """Round the float tensor `real` to the integers of `tensor`, and make floats of them again."""
        self.ranks[tensor] = rank
        fmt = self.tensors[tensor].fmt
        kind = form.stored_type(fmt.bits, fmt.signed, f"tensor {tensor}")
        if fmt.bits != form.stored_bits(kind):
            self.widths["tensors"][tensor] = fmt.bits
        scale = self.constant(f"{tensor}_scale", form.power_of_two(fmt.frac, f"tensor {tensor}"))
        dtype = form.STORED[kind][2]
        zero = self.constant(f"zero_{dtype.name}", np.zeros((), dtype))
        quantized = self.node("QuantizeLinear", [real, scale, zero], f"{tensor}{form.QUANTIZED}", f"{tensor}/quantize")
        plain = self.returned(tensor) and self.output_shape(tensor) is None
        name = tensor if plain else f"{tensor}_dequantized"
        self.real[tensor, rank] = self.node("DequantizeLinear", [quantized, scale, zero], name, f"{tensor}/dequantize")

    def output_shape(self, tensor: str) -> tuple[int, ...] | None:
        """Shape that an output has to be given; None where the layer's result has it already."""
        own = self.network.output_shapes.get(tensor, self.shape(tensor))
        layer = self.network.producer(tensor)
        flat = layer is not None and self.ranks[tensor] == 2
        return None if own == (self.shape(tensor)[:1] if flat else self.shape(tensor)) else own

    def returned(self, tensor: str) -> bool:
        """Whether a tensor is an output as it is."""
        return tensor in self.network.outputs if not self.network.results else (tensor, None) in self.network.results

    def write_result(self, tensor: str, operation: HostOperation | None) -> onnx.ValueInfoProto:
        """One output of the file: an output of the network, or what the host makes of one."""
        own = self.network.output_shapes.get(tensor, self.shape(tensor))
        real = self.output(tensor)
        if operation is None:
            return helper.make_tensor_value_info(real, TensorProto.FLOAT, ["N", *own])
        attributes = dict(operation.attributes)
        name = f"{tensor}/{operation.op.lower()}"
        real = self.node(operation.op, [real], f"{tensor}{operation.suffix}", name, **attributes)
        kind = TensorProto.INT64 if operation.op == "ArgMax" else TensorProto.FLOAT
        return helper.make_tensor_value_info(real, kind, ["N", *operation.shape(own)])

    def output(self, tensor: str) -> str:
        """An output of the network in its shape."""
        own = self.output_shape(tensor)
        if own is None:
            return self.real[tensor, self.ranks[tensor]]
        name = tensor if self.returned(tensor) else f"{tensor}_reshaped"
        if tensor not in self.reshaped:
            target = None if len(own) == 1 else self.constant(f"{tensor}_shape", np.array([0, *own], np.int64))
            real = self.real[tensor, self.ranks[tensor]]
            self.reshaped[tensor] = self.reshape(tensor, real, target, name, "output")
        return self.reshaped[tensor]

    def read(self, tensor: str, rank: int) -> str:
        """The dequantized tensor, with the rank that a layer needs."""
        if (tensor, rank) not in self.real:
            real = self.real[tensor, self.ranks[tensor]]
            if rank == 2:
                self.real[tensor, 2] = self.reshape(tensor, real, None, f"{tensor}_flat", "flatten")
            else:
                target = self.constant(f"{tensor}_map_shape", np.array([0, *self.shape(tensor)], np.int64))
                self.real[tensor, 4] = self.reshape(tensor, real, target, f"{tensor}_map", "map")
        return self.real[tensor, rank]

    def reshape(self, tensor: str, real: str, target: str | None, output: str, role: str) -> str:
        """A dequantized tensor in the shape `target`, flattened where that is None.

        ONNX Runtime (1.32) puts a QuantizeLinear with the attribute output_dtype after what reshapes a tensor, then
        makes uint8 of int8 without changing that attribute, and refuses its own graph; none is put where there is one.
        """
        fmt = self.tensors[tensor].fmt
        kind = form.stored_type(fmt.bits, fmt.signed, f"tensor {tensor}")
        before = f"{output}_real" if kind == TensorProto.INT8 else output
        if target is None:
            self.node("Flatten", [real], before, f"{tensor}/{role}", axis=1)
        else:
            self.node("Reshape", [real, target], before, f"{tensor}/{role}")
        if kind != TensorProto.INT8:
            return output
        scheme = [f"{tensor}_scale", "zero_int8"]
        integers = self.node(
            "QuantizeLinear", [before, *scheme], f"{tensor}_{role}{form.QUANTIZED}", f"{tensor}/{role}/quantize"
        )
        return self.node("DequantizeLinear", [integers, *scheme], output, f"{tensor}/{role}/dequantize")

    def write_layer(self, layer: Layer) -> None:
        output = f"{layer.output}_exact"  # before the rounding
        rank = layer.write_qdq(self, output)
        clip = layer.ends(self.tensors[layer.output].fmt)
        self.write_tensor(layer.output, self.write_clip(layer.name, layer.output, output, clip), rank)

    def write_clip(self, name: str, tensor: str, real: str, clip: tuple[int, int]) -> str:
        """Bounds that the stored type does not impose by itself; a bound of zero is written always."""
        fmt = self.tensors[tensor].fmt
        low, high = clip
        least, most = form.full_range(fmt, f"tensor {tensor}")
        above, below = low > least or low == 0, high < most
        if name in self.network.inputs and fmt.low == least:
            above = False  # the input is not rectified, its type just starts at zero
        output = f"{name}_clipped"
        if above and low == 0 and not below:
            return self.node("Relu", [real], output, f"{name}/relu")
        if not above and not below:
            return real
        bounds = [
            self.constant(f"{name}_{side}", np.float32(np.ldexp(float(bound), -fmt.frac))) if needed else ""
            for side, bound, needed in (("low", low, above), ("high", high, below))
        ]
        return self.node("Clip", [real, *bounds], output, f"{name}/clip")
