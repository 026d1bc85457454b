"""A float ONNX file and what training made of it, as QDQ ONNX with power-of-two scales.

Written with `onnx` alone: this is the form in which any training framework can hand a network to shiftpoint.  The
nodes and their names stay those of the float file.  Around them,

- each tensor that the engine stores passes through QuantizeLinear and DequantizeLinear with the scale 2**-frac and
  the zero point 0, after the Relu that is fused into its layer;
- each weight is an integer constant with DequantizeLinear, one scale for each output channel;
- each bias is an int32 constant with DequantizeLinear, its scale that of the input times that of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

OPSET, IR_VERSION = 21, 10  # the first with 4- and 16-bit QuantizeLinear
TYPES = {
    (4, True): TensorProto.INT4,
    (8, True): TensorProto.INT8,
    (8, False): TensorProto.UINT8,
    (16, True): TensorProto.INT16,
}
"""ONNX types by width and whether they have a sign."""


@dataclass(frozen=True)
class Stored:
    """The format of a tensor: q stands for q * 2**-frac, q an integer of so many bits, with or without a sign."""

    bits: int
    frac: int
    signed: bool


@dataclass(frozen=True, eq=False)
class Trained:
    """The integers of a layer's weight, (O, ...), and bias, (O,), and the fractional lengths (O,) of each."""

    weight: np.ndarray
    weight_frac: np.ndarray
    weight_bits: int
    bias: np.ndarray
    bias_frac: np.ndarray


def with_qdq(model: onnx.ModelProto, tensors: Mapping[str, Stored], layers: Mapping[str, Trained]) -> onnx.ModelProto:
    """The float model with its tensors rounded and its weights replaced.

    tensors: by the name of the ONNX tensor; layers: by the name of the Conv or Gemm node, both of whose weight and
    bias must be constants, a Gemm's with transB = 1.
    Raises KeyError for a tensor or layer that the model has not, ValueError for a type that ONNX has not.
    """
    model = version_converter.convert_version(model, OPSET)
    model.ir_version, model.producer_name = IR_VERSION, "examples.qat"
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    unknown = set(tensors) - {name for node in graph.node for name in (*node.input, *node.output)}
    unknown |= set(layers) - {node.name for node in graph.node}
    if unknown:
        raise KeyError(f"the model has no {', '.join(sorted(unknown))}")
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    now = {}  # the tensor that stands for one of the float model's from here on

    def constant(name: str, values: np.ndarray, kind: int = TensorProto.FLOAT) -> str:
        constants[name] = helper.make_tensor(name, kind, values.shape, values.flatten().tolist())
        return name

    def scale(name: str, frac: np.ndarray | int) -> str:
        return constant(name, np.exp2(-np.asarray(frac, np.float32)))

    def node(kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def held(name: str, integers: np.ndarray, bits: int, frac: np.ndarray) -> str:
        kind = TensorProto.INT32 if bits == 32 else stored_type(bits, True)
        held = constant(f"{name}_int{bits}", integers.reshape(shapes[name]), kind)
        return node("DequantizeLinear", [held, scale(f"{name}_scale", frac)], f"{name}_dequantized", axis=0)

    def rounded(name: str) -> None:
        stored, real = tensors[name], name
        if name in outputs:  # the file's output is the rounded one
            real = f"{name}_real"
            nodes[-1].output[0] = real
        zero = constant(f"{name}_zero", np.zeros((), np.int64), stored_type(stored.bits, stored.signed))
        scheme = [scale(f"{name}_scale", stored.frac), zero]
        integers = node("QuantizeLinear", [real, *scheme], f"{name}_quantized")
        now[name] = node("DequantizeLinear", [integers, *scheme], name if name in outputs else f"{name}_dequantized")

    for value in graph.input:
        if value.name in tensors:
            rounded(value.name)
    for old in graph.node:
        new = onnx.NodeProto()
        new.CopyFrom(old)
        new.input[:] = [now.get(name, name) for name in old.input]
        if old.name in layers:
            layer = layers[old.name]
            new.input[1] = held(old.input[1], layer.weight, layer.weight_bits, layer.weight_frac)
            new.input[2] = held(old.input[2], layer.bias, 32, layer.bias_frac)
        nodes.append(new)
        for name in old.output:
            if name in tensors:
                rounded(name)
    read = {name for part in nodes for name in part.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *constants.values()])
    onnx.checker.check_model(model, full_check=True)
    return model


def stored_type(bits: int, signed: bool) -> int:
    """The ONNX type of so many bits.  Raises ValueError where there is none."""
    if (bits, signed) not in TYPES:
        raise ValueError(f"no ONNX type has {bits} bits {'with' if signed else 'without'} a sign")
    return TYPES[bits, signed]
