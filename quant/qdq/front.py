"""An input of a quantized file: its shape, and the scales that a Mul in front of its QuantizeLinear gives it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.network import Network
from quant.ir.scales import SCALES, tensor_scales, with_scales
from quant.ir.tensor import MOST_ELEMENTS
from quant.onnx_file.nodes import NotSupportedError, attributes
from quant.onnx_file.reshapes import RESHAPING, new_shape
from quant.onnx_file.view import View, kind, label


@dataclass(frozen=True, eq=False)
class Front:
    """What stands before the first rounding.

    source: the input's name; own: its shape without the batch where it is rounded, (C, H, W) or (C,); a row (C, W) is
    reshaped to a map first.  real: the tensor that is rounded, `source` itself or what is made of it.  scales: float64
    (C,), those of a Mul.
    """

    source: str
    own: tuple[int, ...]
    real: str
    scales: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), whatever the file's."""
        channels, *area = self.own
        height, width = area or (1, 1)
        return channels, height, width


def stated(network: Network, fronts: Iterable[Front]) -> Network:
    """The network with the inputs' scales in its metadata.  Raises BadInput where those say something else."""
    known, found = tensor_scales(network), {front.source: front.scales for front in fronts}
    for name, scales in found.items():
        if SCALES in network.metadata and not np.array_equal(known[name].astype(np.float32), scales.astype(np.float32)):
            raise BadInput(f"the metadata {SCALES} contradict what multiplies input {name}")
    return network if SCALES in network.metadata else with_scales(network, {**known, **found})


def read_front(view: View, source: onnx.ValueInfoProto) -> Front:
    """An input of a file.

    Raises BadInput for an input without a fixed shape, UnsupportedNetwork where what multiplies it is not one
    positive number for each channel.
    """
    own, real = tuple(dim.dim_value for dim in source.type.tensor_type.shape.dim)[1:], source.name
    if len(own) not in (1, 2, 3) or min(own) < 1:
        raise BadInput(f"input {source.name} has no fixed shape (N, C, H, W), (N, C, W) or (N, C)")
    if prod(own) > MOST_ELEMENTS:
        text = f"{'x'.join(map(str, own))}, more than {MOST_ELEMENTS:,} elements"
        raise BadInput(f"input {source.name} is {text}, the most that can be worked on")
    readers = view.readers.get(real, [])
    if len(own) == 2:
        own, real = read_row(view, source.name, own)
        readers = view.readers.get(real, [])
    if len(readers) != 1 or kind(readers[0]) != "Mul":
        return Front(source.name, own, real, np.ones(own[0]))
    node = readers[0]
    others = [name for name in node.input if view.origin(name) != real]
    factors = view.array(others[0], f"what {label(node)} multiplies by") if others else np.zeros(0)
    try:
        scales = np.broadcast_to(factors, (1, own[0], *(1 for _ in own[1:]))).reshape(-1).astype(np.float64)
    except ValueError:
        scales = np.zeros(0)
    if not (scales.size and (scales > 0).all() and np.isfinite(scales).all()):
        raise UnsupportedNetwork(f"{label(node)}: an input is multiplied by one positive number for each channel only")
    view.take(node.output[0])
    return Front(source.name, own, node.output[0], scales)


def read_row(view: View, source: str, own: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """The map of one row that an input (C, W) is reshaped to, (C, 1, W), and its name."""
    readers = view.readers.get(source, [])
    if len(readers) == 1 and kind(readers[0]) in RESHAPING:
        node = readers[0]
        try:
            shape = new_shape(kind(node), attributes(node), (1, *own), view.reshaping(node), True)
        except NotSupportedError as error:
            raise UnsupportedNetwork(f"{label(node)}: {error}") from error
        if shape == (1, own[0], 1, own[1]):
            view.take(node.output[0])
            return shape[1:], node.output[0]
    raise UnsupportedNetwork(f"input {source} of one dimension is not reshaped to a map of one row, (N, C, 1, W)")
