"""What the engine cannot run yet, found before anything is compiled."""

from __future__ import annotations

import numpy as np

from host.compiler.errors import CannotCompile
from hw.contract.config import AVERAGE_SUM_BITS, AcceleratorConfig
from hw.contract.isa import FIELDS, Opcode
from hw.contract.shifts import SHIFTS, residual_shifts
from quant.ir.fixedpoint import Reciprocal, reciprocal
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.target import Refusal
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table

_HIGH = {(opcode, field.name): field.high for opcode, fields in FIELDS.items() for field in fields}


MAP_EDIT = "cut the input into parts, or make it smaller before the network"
WINDOW_EDIT = "use a smaller window"
FORMAT_EDIT = "quantize the float network with `shiftpoint quantize`, which keeps to what the engine has"


def refusal(network: Network, layer: Layer, config: AcceleratorConfig) -> Refusal | None:
    """Why an engine cannot run a layer, by its shapes and numbers; None where it can."""
    try:
        check_layer(network, layer, config)
    except CannotCompile as refused:
        return refused.refusal
    return None


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


def check_layer(network: Network, layer: Layer, config: AcceleratorConfig) -> None:
    """Raise CannotCompile for a layer beyond what the instructions can say."""
    for name in (*layer.inputs, layer.output):
        size = max(network.tensors[name].shape[1:])
        _at_most(layer, f"rows or columns of {name}", size, Opcode.CONV, "out_rows", MAP_EDIT)
    if isinstance(layer, Table):
        edit = "retrain with Relu, Clip, LeakyRelu or HardSigmoid in its place"
        raise CannotCompile(layer.name, f"{layer.function} by a table, and the engine has none", edit)
    if isinstance(layer, Resize):
        raise CannotCompile(layer.name, f"enlarges {layer.input}, and the engine cannot", "end the network before it")
    if isinstance(layer, Conv):
        _check_conv(network, layer, config)
    elif isinstance(layer, Add):
        fracs = sorted(network.tensors[name].fmt.frac for name in layer.inputs)
        right, left = fracs[1] - network.tensors[layer.output].fmt.frac, fracs[1] - fracs[0]
        _check_shifts(layer, np.array([right]), np.array([left]), config)
    elif isinstance(layer, Pool):
        _check_pool(network, layer)


def _check_conv(network: Network, layer: Conv, config: AcceleratorConfig) -> None:
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
    _check_shifts(layer, right, left, config)


def _check_shifts(layer: Layer, right: np.ndarray, left: np.ndarray | None, config: AcceleratorConfig) -> None:
    """Shifts of accumulators (O,) to the right, of residuals to the left."""
    sides = [("a shift", right, SHIFTS)]
    if left is not None:
        sides.append(("a residual shift", left, residual_shifts(config.acc_bits)))
    for what, shifts, engine in sides:
        for shift in (int(shifts.min()), int(shifts.max())):
            if shift not in engine:
                limits = f"the engine shifts by {engine[0]} to {engine[-1]}"
                raise CannotCompile(layer.name, f"{what} by {shift} bits, and {limits}", FORMAT_EDIT)


def _check_pool(network: Network, layer: Pool) -> None:
    if layer.window.dilation != (1, 1):
        raise CannotCompile(layer.name, "dilated pooling", "pool without dilation, by a larger kernel or in two layers")
    if layer.kind == "average" and not layer.count_include_pad and any(layer.window.pads):
        edit = "set count_include_pad = 1, or do not pad"
        raise CannotCompile(layer.name, "an average that does not count its padding", edit)
    _check_window(layer, layer.window, Opcode.POOL)
    if layer.kind == "average":
        _check_average(network, layer)


def _check_average(network: Network, layer: Pool) -> None:
    source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
    divisor = pool_divisor(network, layer)
    if divisor.sum_bits > AVERAGE_SUM_BITS:
        elements = layer.window.kernel[0] * layer.window.kernel[1]
        sums = f"sums of {elements} elements have {divisor.sum_bits} bits"
        raise CannotCompile(
            layer.name, f"{sums}, {AVERAGE_SUM_BITS} fit", "average in two layers, one behind the other"
        )
    if divisor.multiplier > _HIGH[Opcode.POOL, "multiplier"] or divisor.shift > _HIGH[Opcode.POOL, "shift"]:
        raise CannotCompile(
            layer.name, f"an average from {source} to {out}, a shift by {source.frac - out.frac} bits", FORMAT_EDIT
        )


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
        raise CannotCompile(
            layer.name, f"{max(window.pads)} rows or columns of padding, at most {limit} fit", WINDOW_EDIT
        )


def _at_most(layer: Layer, what: str, value: int, opcode: Opcode, field: str, edit: str = WINDOW_EDIT) -> None:
    if value > _HIGH[opcode, field]:
        raise CannotCompile(layer.name, f"{value} {what}, at most {_HIGH[opcode, field]} fit", edit)
