"""Reading sums of a quantized file: a convolution with what is added to it, or an addition of two tensors.

Between two roundings a file may add up a convolution, constants (parts of its bias) and one tensor (its residual), in
any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx

from quant.base.errors import UnsupportedNetwork
from quant.ir.layer import Layer
from quant.ir.tensor import Tensor
from quant.kinds.add import Add
from quant.kinds.conv.read import OPERATORS, read_convolution
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.view import kind, label


@dataclass
class Terms:
    """What is added up without being rounded: convolutions, constants, and quantized tensors."""

    cores: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    others: list[tuple[Tensor, Own]] = field(default_factory=list)


def read_sum(reading: Reading) -> tuple[Layer, Own]:
    """As `Reader.read`."""
    last, terms = reading.node, Terms()
    collect(reading, last, terms)
    if not terms.cores and len(terms.others) == 2 and not terms.constants:
        (one, own), (other, _) = terms.others
        if one.shape != other.shape:
            raise UnsupportedNetwork(f"{label(last)} adds tensors of two shapes")
        return Add(reading.name, (one.name, other.name), reading.output, reading.clip), own
    if len(terms.cores) != 1 or len(terms.others) > 1:
        raise UnsupportedNetwork(f"{label(last)} adds more than a layer and one quantized tensor")
    [node] = terms.cores
    residual = terms.others[0][0] if terms.others else None
    added = None if residual is None else residual.name
    source, _ = reading.exact(node.input[0])
    layer = read_convolution(reading.view, node, source, reading.output, reading.clip, added, terms.constants)
    shape = (len(layer.weight), *layer.window.output_size(*source.shape[1:]))
    if residual is not None and residual.shape != shape:
        raise UnsupportedNetwork(f"{label(last)} adds tensors of two shapes")
    if residual is not None and source.fmt.frac + int(layer.weight_frac.min()) < residual.fmt.frac:
        raise UnsupportedNetwork(f"{label(last)} adds {residual.name}, which is finer than what it is added to")
    return layer, shape if layer.op == "Conv" else shape[:1]


def collect(reading: Reading, node: onnx.NodeProto, terms: Terms) -> None:
    """Append the terms of which a node's result is the sum."""
    if kind(node) in OPERATORS:
        terms.cores.append(node)
        return
    view = reading.view
    for name in node.input:
        before = view.producer(name)
        held = before is not None and kind(before) == "DequantizeLinear" and view.is_constant(before.input[0])
        if held or view.is_constant(name):
            terms.constants.append(name)
        elif before is not None and kind(before) in READERS:
            view.take(name)
            collect(reading, before, terms)
        else:
            terms.others.append(reading.exact(name))


READERS = {op: Reader(read_sum, sums=True) for op in (*OPERATORS, "Add")}
