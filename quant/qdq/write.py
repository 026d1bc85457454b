"""Writing an integer network as standard ONNX.

Every tensor is a QuantizeLinear and a DequantizeLinear with a power-of-two scale and zero point 0; between
them stand the float operators of one layer, so that there is one rounding for each layer's output:

    DequantizeLinear -> Conv | Gemm | MaxPool | AveragePool | Add | Concat | Resize -> [Add residual] -> [Relu | Clip]
    -> QuantizeLinear

The input's scales (`quant.ir.scales`), where it has any, are a Mul before its QuantizeLinear.
A table is a Gather from its entries by the stored integers, cast to int32, and a QuantizeLinear that rounds nothing.
A layer's operator has the layer's name; the integers of tensor `t` are called `t_quantized`.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.fixedpoint import QFormat
from quant.ir.input_shape import own_shape
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.kinds.resize import COPIES, Resize
from quant.kinds.table import Table
from quant.qdq import form


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network to a file, whole or not at all.  Errors as of `to_model`, and BadInput for the path."""
    write_atomic(path, to_model(network).SerializeToString(deterministic=True))


def to_model(network: Network) -> onnx.ModelProto:
    """The network as an ONNX model: float32 input and outputs with the shapes of the float network.

    Raises BadInput where the file cannot hold a number: more than 16 bits, a bias beyond int32, a scale
    beyond float32.  Raises ValueError for a network that contradicts itself.
    """
    writer = _Writer(network)
    writer.write_input()
    for layer in network.layers:
        writer.write_layer(layer)
    outputs = [writer.write_output(name) for name in network.outputs]
    source = helper.make_tensor_value_info(network.input, TensorProto.FLOAT, ["N", *writer.input_shape])
    graph = helper.make_graph(writer.nodes, network.name, [source], outputs, list(writer.constants.values()))
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
    onnx.checker.check_model(model)
    return model


def input_shape(network: Network) -> tuple[int, ...]:
    """The float network's own input shape without the batch: (C, H, W), or (C,) where its metadata say so."""
    shape = network.tensors[network.input].shape
    return shape[:1] if own_shape(network.metadata, shape) == shape[:1] and shape[1:] == (1, 1) else shape


class _Writer:
    """The growing graph.  rank: of each tensor in the file.  real: its dequantized ONNX tensor, by rank."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.real: dict[tuple[str, int], str] = {}
        self.rank: dict[str, int] = {}
        self.widths: dict[str, dict[str, int]] = {"tensors": {}, "weights": {}}
        self.input_shape = input_shape(network)

    def constant(self, name: str, array: np.ndarray | np.float32) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def node(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output

    def shape(self, tensor: str) -> tuple[int, int, int]:
        return self.network.tensors[tensor].shape

    def frac(self, tensor: str) -> int:
        return self.network.tensors[tensor].fmt.frac

    def write_input(self) -> None:
        name = self.network.input
        fmt = self.network.tensors[name].fmt
        real = self.write_clip(name, name, self.write_scales(name), (fmt.low, fmt.high))
        self.write_tensor(name, real, 1 + len(self.input_shape))

    def write_scales(self, source: str) -> str:
        """The input times its scales."""
        scales = tensor_scales(self.network)[source].astype(np.float32)
        if (scales == 1).all():
            return source
        factors = self.constant(f"{source}_scales", scales.reshape(-1, *(1 for _ in self.input_shape[1:])))
        return self.node("Mul", [source, factors], f"{source}_scaled", f"{source}/scale")

    def write_tensor(self, tensor: str, real: str, rank: int) -> None:
        """Round the float tensor `real` to the integers of `tensor`, and make floats of them again."""
        fmt = self.network.tensors[tensor].fmt
        kind = form.stored_type(fmt.bits, fmt.signed, f"tensor {tensor}")
        if fmt.bits != form.stored_bits(kind):
            self.widths["tensors"][tensor] = fmt.bits
        scale = self.constant(f"{tensor}_scale", form.power_of_two(fmt.frac, f"tensor {tensor}"))
        dtype = form.STORED[kind][2]
        zero = self.constant(f"zero_{dtype.name}", np.zeros((), dtype))
        quantized = self.node("QuantizeLinear", [real, scale, zero], f"{tensor}{form.QUANTIZED}", f"{tensor}/quantize")
        plain_output = tensor in self.network.outputs and self.output_shape(tensor) is None
        name = tensor if plain_output and tensor not in self.network.softmax else f"{tensor}_dequantized"
        self.rank[tensor] = rank
        self.real[tensor, rank] = self.node("DequantizeLinear", [quantized, scale, zero], name, f"{tensor}/dequantize")

    def output_shape(self, tensor: str) -> tuple[int, ...] | None:
        """Shape that an output has to be given; None where the layer's result has it already."""
        own = self.network.output_shapes.get(tensor, self.shape(tensor))
        layer = self.network.producer(tensor)
        flat = isinstance(layer, Conv) and layer.op == "Gemm"
        return None if own == (self.shape(tensor)[:1] if flat else self.shape(tensor)) else own

    def write_output(self, tensor: str) -> onnx.ValueInfoProto:
        real, own = self.real[tensor, self.rank[tensor]], self.output_shape(tensor)
        softmax = tensor in self.network.softmax
        if own is not None:
            name = f"{tensor}_reshaped" if softmax else tensor
            target = None if len(own) == 1 else self.constant(f"{tensor}_shape", np.array([0, *own], np.int64))
            real = self.reshape(tensor, real, target, name, "output")
        if softmax:
            real = self.node("Softmax", [real], f"{tensor}_softmax", f"{tensor}/softmax", axis=1)
        own = self.network.output_shapes.get(tensor, self.shape(tensor))
        return helper.make_tensor_value_info(real, TensorProto.FLOAT, ["N", *own])

    def read(self, tensor: str, rank: int) -> str:
        """The dequantized tensor, with the rank that a layer needs."""
        if (tensor, rank) not in self.real:
            real = self.real[tensor, self.rank[tensor]]
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
        fmt = self.network.tensors[tensor].fmt
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
        rank = 4
        if isinstance(layer, Conv):
            rank = 2 if layer.op == "Gemm" else 4
            real = self.write_conv(layer, output, rank)
        elif isinstance(layer, Pool):
            real = self.write_pool(layer, output)
        elif isinstance(layer, Add):
            real = self.node("Add", [self.read(tensor, 4) for tensor in layer.inputs], output, layer.name)
        elif isinstance(layer, Table):
            rank = self.rank[layer.input]
            real = self.write_table(layer, output)
        elif isinstance(layer, Resize):
            self.check_one_format(layer)
            scales = self.constant(f"{layer.name}_factors", np.array([1, 1, *layer.factors], np.float32))
            real = self.node("Resize", [self.read(layer.input, 4), "", scales], output, layer.name, **COPIES)
        else:
            self.check_one_format(layer)
            inputs = [self.read(tensor, 4) for tensor in layer.inputs]
            real = self.node("Concat", inputs, output, layer.name, axis=1)
        fmt = self.network.tensors[layer.output].fmt
        clip = layer.clip if isinstance(layer, Conv | Pool | Add) else (fmt.low, fmt.high)
        self.write_tensor(layer.output, self.write_clip(layer.name, layer.output, real, clip), rank)

    def check_one_format(self, layer: Layer) -> None:
        formats = {self.network.tensors[tensor].fmt for tensor in (*layer.inputs, layer.output)}
        if len(formats) != 1:
            what = "a concatenation" if isinstance(layer, Concat) else "a copy"
            raise ValueError(f"layer {layer.name}: {what} has one format, not {sorted(formats)}")

    def write_table(self, layer: Table, output: str) -> str:
        """The entries as real numbers, gathered by the stored integers; a negative index counts from the end."""
        source = self.network.tensors[layer.input].fmt
        if layer.entries.shape != (1 << source.bits,):
            raise ValueError(f"layer {layer.name}: {layer.entries.size} entries for {source.bits} bits of input")
        entries = np.ldexp(np.roll(layer.entries, source.low).astype(np.float64), -self.frac(layer.output))
        table = self.constant(f"{layer.name}_table", entries.astype(np.float32))
        stored = f"{layer.input}{form.QUANTIZED}"
        index = self.node("Cast", [stored], f"{layer.output}_index", f"{layer.name}/index", to=TensorProto.INT32)
        real = self.node("Gather", [table, index], output, layer.name, axis=0)
        self.nodes[-1].doc_string = layer.function
        return real

    def write_conv(self, layer: Conv, output: str, rank: int) -> str:
        weight = layer.weight
        if layer.op == "Gemm":
            if layer.window != Window(self.shape(layer.input)[1:]) or layer.groups != 1:
                raise ValueError(f"layer {layer.name}: the kernel of a Gemm covers the map, {layer.window} does not")
            weight = weight.reshape(len(weight), -1)
        inputs = [self.read(layer.input, rank), self.write_weight(layer, weight), self.write_bias(layer)]
        name = output if layer.residual is None else f"{layer.output}_convolved"
        if layer.op == "Gemm":
            real = self.node("Gemm", inputs, name, layer.name, transB=1)
        else:
            real = self.node("Conv", inputs, name, layer.name, group=layer.groups, **layer.window.attributes)
        if layer.residual is None:
            return real
        return self.node("Add", [real, self.read(layer.residual, rank)], output, f"{layer.name}/add")

    def write_weight(self, layer: Conv, weight: np.ndarray) -> str:
        name = f"{layer.name}.weight"
        kind = form.stored_type(layer.weight_bits, True, f"the weight of layer {layer.name}")
        if layer.weight_bits != form.stored_bits(kind):
            self.widths["weights"][layer.name] = layer.weight_bits
        limits = QFormat(layer.weight_bits, 0)
        if weight.size and not limits.low <= weight.min() <= weight.max() <= limits.high:
            raise ValueError(f"layer {layer.name}: a weight does not fit its {layer.weight_bits} bits")
        integers = self.constant(f"{name}{form.QUANTIZED}", weight.astype(form.STORED[kind][2]))
        scale = self.scales(f"{name}_scale", layer.weight_frac, f"the weight of layer {layer.name}")
        return self.node("DequantizeLinear", [integers, scale], name, f"{name}/dequantize", axis=0)

    def write_bias(self, layer: Conv) -> str:
        name = f"{layer.name}.bias"
        bias = np.asarray(layer.bias, np.int64)
        if bias.size and not (bias.min() >= -(2**31) and bias.max() < 2**31):
            worst = int(bias[np.abs(bias).argmax()])
            raise BadInput(f"layer {layer.name}: the bias {worst} does not fit the int32 of a quantized file")
        integers = self.constant(f"{name}{form.QUANTIZED}", bias.astype(np.int32))
        fracs = self.frac(layer.input) + np.asarray(layer.weight_frac)
        scale = self.scales(f"{name}_scale", fracs, f"the bias of layer {layer.name}")
        return self.node("DequantizeLinear", [integers, scale], name, f"{name}/dequantize", axis=0)

    def scales(self, name: str, fracs: np.ndarray, what: str) -> str:
        return self.constant(name, np.array([form.power_of_two(int(frac), what) for frac in fracs], np.float32))

    def write_pool(self, layer: Pool, output: str) -> str:
        attributes = layer.window.attributes
        if layer.kind == "average":
            attributes["count_include_pad"] = int(layer.count_include_pad)
        op = "MaxPool" if layer.kind == "max" else "AveragePool"
        return self.node(op, [self.read(layer.input, 4)], output, layer.name, **attributes)

    def write_clip(self, name: str, tensor: str, real: str, clip: tuple[int, int]) -> str:
        """Bounds that the stored type does not impose by itself; a bound of zero is written always."""
        fmt = self.network.tensors[tensor].fmt
        low, high = clip
        if not fmt.low <= low <= high <= fmt.high:
            raise ValueError(f"{name}: the bounds {clip} are not within those of {fmt}, {(fmt.low, fmt.high)}")
        least, most = form.full_range(fmt, f"tensor {tensor}")
        above, below = low > least or low == 0, high < most
        if name == self.network.input and fmt.low == least:
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
