"""The benchmark of retraining: what was trained still is what was asked for, and the table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import retrained, vgg
from host.compiler import compile_network
from hw.contract.config import preset
from quant import qdq
from quant.ir.network import Network
from quant.kinds.conv import Conv, convolution
from sim.cycles import simulate

PLAIN_CYCLES = {"resnet20_cifar10": 643_289, "vgg_cifar10": 1_354_947}
"""Of one image on `small`, in 8 bits with nothing taken away (docs/compression.md, Channels)."""

FEWER = {"channels": 1.6, "vgg_channels": 1.6, "low_rank": 3.4, "optimize": 2.9}
"""Times, of cycles."""


def convolutions(network: Network) -> list[Conv]:
    return [conv for conv in map(convolution, network.layers) if conv is not None]


def kept(network: Network, inputs: int, outputs: int) -> float:
    """The share of the weights in blocks that are not all zero: one tap, so many inputs, so many outputs."""
    left = every = 0
    for conv in convolutions(network):
        o, i, *kernel = conv.weight.shape
        padded = np.zeros((-(-o // outputs) * outputs, -(-i // inputs) * inputs, *kernel), bool)
        padded[:o, :i] = conv.weight != 0
        blocks = padded.reshape(padded.shape[0] // outputs, outputs, -1, inputs, *kernel).any((1, 3), keepdims=True)
        whole = np.broadcast_to(blocks, (blocks.shape[0], outputs, blocks.shape[2], inputs, *kernel))
        left += int(whole.reshape(padded.shape)[:o, :i].sum())
        every += conv.weight.size
    return left / every


def held(asked: retrained.Asked, network: Network) -> bool:
    """Whether a network is what a row asks for."""
    name = asked.name
    if name == "blocks":
        return kept(network, 8, 8) <= 0.501
    if name == "weights":
        return kept(network, 1, 1) <= 0.251
    if name == "ternary":
        return all(len(np.unique(conv.weight)) <= 3 for conv in convolutions(network)[1:-1])
    cycles = simulate(compile_network(network, preset("small"))).cycles
    return cycles * FEWER[name] <= PLAIN_CYCLES[asked.network]


@pytest.mark.parametrize("asked", retrained.ROWS, ids=lambda asked: asked.name)
def test_what_was_trained_is_what_was_asked_for(asked: retrained.Asked) -> None:
    log, (verb, _, options) = (retrained.TRAINED / f"{asked.name}.log").read_text(), asked.options.partition(" ")
    network = f"{asked.network}.{'coded' if asked.network == vgg.NAME else 'onnx'}"
    assert log.startswith(f"$ shiftpoint {verb} {network} {options} --train ")
    assert held(asked, qdq.load(retrained.TRAINED / f"{asked.name}.coded"))


def test_packed_bytes() -> None:
    layers = [{"weights": 100, "values": 60}, {"weights": 101, "values": 2}, {"weights": 3, "values": 0}]
    assert retrained.packed({"layers": layers}, 4) == 100 + (26 + 2) + 3
    assert retrained.packed({"layers": layers}, 5) == 100 + (21 + 2) + 3


def test_the_table() -> None:
    row = {"row": "blocks", "images": 10_000, "float": 0.9173, "plain": 0.917, "top1": 0.91, "weights": 200}
    asked = retrained.ROWS[0]
    line = retrained.table([row | {"kept": 100, "coded_bytes": 123_456}]).splitlines()[2]
    cells = f"{asked} | 10,000 | 91.73 | 91.70 | 91.00 | 0.73 | 0.8 | 2.00x fewer weights | 123,456"
    assert line == f"| {cells} |"
