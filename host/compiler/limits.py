"""What the engine cannot run yet, found before anything is compiled."""

from __future__ import annotations

import numpy as np

from host.compiler.errors import CannotCompile
from hw.contract.config import AVERAGE_SUM_BITS
from hw.contract.isa import FIELDS, Opcode
from quant.ir.fixedpoint import Reciprocal, reciprocal
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table

_HIGH = {(opcode, field.name): field.high for opcode, fields in FIELDS.items() for field in fields}


TABLE_EDIT = "retrain with Relu, Clip, LeakyRelu or HardSigmoid in its place"
RESIZE_EDIT = "end the network before it"


def check_tensors(network: Network) -> None:
    """Raise CannotCompile for a tensor of a width that the engine does not move."""
    for name, tensor in network.tensors.items():
        readers = [layer for layer in network.consumers(name) if not isinstance(layer, Concat)]
        bits = tensor.fmt.bits
        if readers and bits != 8:
            raise CannotCompile(readers[0].name, f"input {name} has {bits} bits, and the engine reads 8")
        producer = network.producer(name)
        if bits not in (8, 16) and producer is not None:
            raise CannotCompile(producer.name, f"output {name} has {bits} bits, and the engine writes 8 or 16")
    for name in network.outputs:
        if name == network.input:
            raise CannotCompile(name, "the network's output is its input")


def check_layer(network: Network, layer: Layer) -> None:
    """Raise CannotCompile for a layer beyond what the instructions can say."""
    for name in (*layer.inputs, layer.output):
        _at_most(layer, f"rows or columns of {name}", max(network.tensors[name].shape[1:]), Opcode.CONV, "out_rows")
    if isinstance(layer, Table):
        raise CannotCompile(layer.name, f"{layer.function} by a table, and the engine has none: {TABLE_EDIT}")
    if isinstance(layer, Resize):
        raise CannotCompile(layer.name, f"enlarges {layer.input}, and the engine cannot: {RESIZE_EDIT}")
    if isinstance(layer, Conv):
        _check_conv(network, layer)
    elif isinstance(layer, Pool):
        _check_pool(network, layer)


def _check_conv(network: Network, layer: Conv) -> None:
    if layer.weight_bits > 8:
        raise CannotCompile(layer.name, f"{layer.weight_bits}-bit weights, and the engine multiplies by 8 bits")
    if layer.weight.size and not -128 <= int(layer.weight.min()) <= int(layer.weight.max()) <= 127:
        raise CannotCompile(layer.name, "weights beyond 8 bits")
    _check_window(layer, layer.window, Opcode.SETUP)
    for axis, name in enumerate(("dilation_rows", "dilation_columns")):
        _at_most(layer, name.replace("_", " "), layer.window.dilation[axis], Opcode.SETUP, name)
    try:
        right, left = layer.shifts(network.tensors)
    except ValueError as error:
        raise CannotCompile(layer.name, str(error).removeprefix(f"layer {layer.name}: ")) from None
    if np.abs(right).max(initial=0) > 127:
        raise CannotCompile(layer.name, f"a shift by {np.abs(right).max()} bits, at most 127 fit")
    if left is not None and left.max(initial=0) > 255:
        raise CannotCompile(layer.name, f"a residual shift by {left.max()} bits, at most 255 fit")


def _check_pool(network: Network, layer: Pool) -> None:
    if layer.window.dilation != (1, 1):
        raise CannotCompile(layer.name, "dilated pooling")
    if layer.kind == "average" and not layer.count_include_pad and any(layer.window.pads):
        raise CannotCompile(layer.name, "an average that does not count its padding")
    _check_window(layer, layer.window, Opcode.POOL)
    if layer.kind == "average":
        _check_average(network, layer)


def _check_average(network: Network, layer: Pool) -> None:
    source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
    divisor = pool_divisor(network, layer)
    if divisor.sum_bits > AVERAGE_SUM_BITS:
        elements = layer.window.kernel[0] * layer.window.kernel[1]
        sums = f"sums of {elements} elements have {divisor.sum_bits} bits"
        raise CannotCompile(layer.name, f"{sums}, {AVERAGE_SUM_BITS} fit")
    if divisor.multiplier > _HIGH[Opcode.POOL, "multiplier"] or divisor.shift > _HIGH[Opcode.POOL, "shift"]:
        raise CannotCompile(layer.name, f"an average from {source} to {out}, a shift by {source.frac - out.frac} bits")


def pool_divisor(network: Network, layer: Pool) -> Reciprocal:
    """The reciprocal of an average, for the largest sum of its input's format."""
    source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
    count = layer.window.kernel[0] * layer.window.kernel[1]
    sum_bits = (count * max(-source.low, source.high)).bit_length()
    return reciprocal(count, source.frac - out.frac, sum_bits)


def _check_window(layer: Conv | Pool, window: Window, opcode: Opcode) -> None:
    for axis, (kernel, stride) in enumerate((("kernel_rows", "stride_rows"), ("kernel_columns", "stride_columns"))):
        whole = isinstance(layer, Conv) and layer.op == "Gemm"
        if not whole:
            _at_most(layer, kernel.replace("_", " "), window.kernel[axis], opcode, kernel)
            _at_most(layer, stride.replace("_", " "), window.stride[axis], opcode, stride)
    limit = 127 if opcode is Opcode.POOL else 2047
    if max(window.pads) > limit:
        raise CannotCompile(layer.name, f"{max(window.pads)} rows or columns of padding, at most {limit} fit")


def _at_most(layer: Layer, what: str, value: int, opcode: Opcode, field: str) -> None:
    if value > _HIGH[opcode, field]:
        raise CannotCompile(layer.name, f"{value} {what}, at most {_HIGH[opcode, field]} fit")
