"""The input of a quantized file: its shape, and the scales that a Mul in front of its QuantizeLinear gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.network import Network
from quant.ir.scales import SCALES, tensor_scales, with_scales
from quant.onnx_file.view import View, kind, label


@dataclass(frozen=True, eq=False)
class Front:
    """What stands before the first rounding.

    source: the input's name; own: its shape in the file without the batch, (C, H, W) or (C,).  real: the tensor that
    is rounded, `source` itself or what the Mul makes of it.  scales: float64 (C,).
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

    def stated(self, network: Network) -> Network:
        """The network with the scales in its metadata.  Raises BadInput where those say something else."""
        known = tensor_scales(network)
        if np.array_equal(known[self.source].astype(np.float32), self.scales.astype(np.float32)):
            return network
        if SCALES in network.metadata:
            raise BadInput(f"the metadata {SCALES} contradict what multiplies input {self.source}")
        return with_scales(network, {**known, self.source: self.scales})


def read_front(view: View, source: onnx.ValueInfoProto) -> Front:
    """The input of a file.

    Raises BadInput for an input without a fixed shape, UnsupportedNetwork where what multiplies it is not one
    positive number for each channel.
    """
    own = tuple(dim.dim_value for dim in source.type.tensor_type.shape.dim)[1:]
    if len(own) not in (1, 3) or min(own) < 1:
        raise BadInput(f"input {source.name} has no fixed shape (N, C, H, W) or (N, C)")
    readers = view.readers.get(source.name, [])
    if len(readers) != 1 or kind(readers[0]) != "Mul":
        return Front(source.name, own, source.name, np.ones(own[0]))
    node = readers[0]
    others = [name for name in node.input if view.origin(name) != source.name]
    factors = view.array(others[0], f"what {label(node)} multiplies by") if others else np.zeros(0)
    try:
        scales = np.broadcast_to(factors, (1, own[0], *(1 for _ in own[1:]))).reshape(-1).astype(np.float64)
    except ValueError:
        scales = np.zeros(0)
    if not (scales.size and (scales > 0).all() and np.isfinite(scales).all()):
        raise UnsupportedNetwork(f"{label(node)}: an input is multiplied by one positive number for each channel only")
    view.take(node.output[0])
    return Front(source.name, own, node.output[0], scales)
