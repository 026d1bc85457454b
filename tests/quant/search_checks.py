"""What tests of the search ask of a quantized network."""

from __future__ import annotations

import numpy as np

from quant.ir.bounds import prove
from quant.ir.fixedpoint import dequantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.ir.target import Target
from quant.kinds.conv import Conv, FloatConv
from quant.run.execute import Executor, execute, quantize_input
from quant.run.float_run import FloatRunner


def convolutions(network: Network) -> list[Conv]:
    return [layer for layer in network.layers if isinstance(layer, Conv)]


def float_conv(graph: FloatGraph, name: str) -> FloatConv:
    return next(layer for layer in graph.layers if layer.name == name and isinstance(layer, FloatConv))


def respects(network: Network, target: Target | None = None) -> None:
    """Every limit of the hardware, checked on the finished network."""
    target = target or Target()
    prove(network, target.acc_bits)
    Executor(network)
    for conv in convolutions(network):
        right, left = conv.shifts(network.tensors)
        assert target.shifts[0] <= right.min() and right.max() <= target.shifts[-1]
        assert left is None or (left.min() >= 0 and left.max() <= target.residual_shifts[-1])
        assert np.abs(conv.bias).max() < 2**31
        assert np.abs(conv.weight).max() <= 2 ** (conv.weight_bits - 1)


def values(network: Network, x: np.ndarray, tensor: str) -> np.ndarray:
    """A tensor of the integer network in the float network's units, float64 (N, C, H, W)."""
    integers = execute(network, quantize_input(network, x), [tensor])[tensor]
    return dequantize(integers, network.tensors[tensor].fmt.frac) / tensor_scales(network)[tensor].reshape(-1, 1, 1)


def float_values(graph: FloatGraph, x: np.ndarray, tensor: str) -> np.ndarray:
    """The same of the float network, float32."""
    return np.concatenate([tensors[tensor] for _, tensors in FloatRunner(graph).run(x, (tensor,))])


def sqnr(network: Network, graph: FloatGraph, x: np.ndarray) -> float:
    """Signal over noise at the first output, in dB."""
    wanted = float_values(graph, x, graph.outputs[0])
    error = values(network, x, graph.outputs[0]) - wanted
    return float(10 * np.log10(np.square(wanted, dtype=np.float64).mean() / np.square(error).mean()))


def identical(one: Network, other: Network) -> bool:
    """Whether two networks are the same to the last integer."""
    if one.tensors != other.tensors or one.metadata != other.metadata or len(one.layers) != len(other.layers):
        return False
    for a, b in zip(one.layers, other.layers, strict=True):
        fields = vars(a).keys()
        if type(a) is not type(b) or any(not np.array_equal(vars(a)[f], vars(b)[f]) for f in fields):
            return False
    return True
