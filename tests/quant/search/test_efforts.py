"""Every effort on small random networks: within the limits of the hardware, near the float network, repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.graph import FloatGraph
from quant.ir.layer import Clip
from quant.ir.scales import tensor_scales
from quant.ir.target import Target
from quant.ir.window import Window
from quant.run.execute import execute, quantize_input
from quant.run.fast_execute import FastExecutor
from quant.search import quantize_network
from tests.quant.float_graphs import RELU, SAME, Builder, images
from tests.quant.search_checks import convolutions, identical, respects, sqnr

SIZE = 8
CLIPS: tuple[Clip, ...] = (RELU, RELU, (0, 6), (0, 1.0), (None, None), (-1.0, 1.0), (None, 2.0))


def random_graph(seed: int) -> FloatGraph:
    """Grouped, depthwise, dilated, strided and residual convolutions, additions, poolings and concatenations."""
    net = Builder(1000 + seed, size=SIZE)
    random = net.random
    tensors = [net.conv("stem", "x", 8, gain=2.0 ** random.uniform(-3, 1, 8))]

    def pick(sequence):
        return sequence[random.integers(len(sequence))]

    for number in range(6):
        source = pick(tensors[-2:])
        channels, height, _ = net.shapes[source]
        alike = [name for name in tensors if net.shapes[name] == net.shapes[source]]
        name, kind = f"l{number}", random.integers(8)
        if kind == 0:
            gain = 2.0 ** random.uniform(-4, 1, channels)
            made = net.conv(name, source, channels, clip=pick(CLIPS), groups=channels, gain=gain)
        elif kind == 1:
            made = net.conv(name, source, 8, Window((3, 3), pads=(2, 2, 2, 2), dilation=(2, 2)), pick(CLIPS))
        elif kind == 2:
            made = net.conv(name, source, 2 * channels if channels < 16 else 8, clip=pick(CLIPS), groups=4)
        elif kind == 3:
            made = net.add(name, source, pick(alike), pick(CLIPS))
        elif kind == 4 and height > 2:
            window = Window((3, 3), (2, 2), (1, 1, 0, 0))
            made = net.pool(name, source, pick(["max", "average"]), window, pick(CLIPS[:3]))
        elif kind == 5:
            made = net.concat(name, source, pick(alike))
        elif kind == 6:
            made = net.conv(name, source, channels, SAME, pick(CLIPS), residual=pick(alike))
        else:
            made = net.conv(name, source, 8, Window((1, 3), (1, 1), (0, 1, 0, 1)), pick(CLIPS))
        tensors.append(made)
    last = tensors[-1]
    pooled = net.pool("mean", last, "average", Window(net.shapes[last][1:]))
    return net.graph(net.conv("fc", pooled, 5, Window(), clip=(None, None)))


def check(graph: FloatGraph, least: float, target: Target | None = None, **steps) -> None:
    x = images(16, size=SIZE)
    network = quantize_network(graph, x, **steps)
    respects(network, target)
    assert {layer.name for layer in graph.layers} <= {layer.name for layer in network.layers}
    assert all((scale > 0).all() for scale in tensor_scales(network).values())
    assert sqnr(network, graph, x) > least
    wild = quantize_input(network, images(3, size=SIZE, seed=3) * 10)
    exact = execute(network, wild, network.tensors)
    fast = FastExecutor(network).run(wild, list(network.tensors))
    assert all(np.array_equal(exact[name], fast[name]) for name in network.tensors)


@pytest.mark.parametrize("effort", ["fast", "default"])
@pytest.mark.parametrize("number", range(6))
def test_random_networks(seed, number, effort):
    check(random_graph(17 * seed + number), 20, effort=effort)


@pytest.mark.parametrize("number", [6, 7])
def test_random_networks_with_the_best_effort(seed, number):
    check(random_graph(17 * seed + number), 20, effort="best")


@pytest.mark.parametrize(
    ("steps", "least"),
    [
        ({"data_bits": 16, "weight_bits": 8}, 25),
        ({"data_bits": 16, "weight_bits": 16}, 50),
        ({"data_bits": 16, "weight_bits": 16, "precision": "static"}, 25),
        ({"precision": "static"}, 0),
        ({"granularity": "layer"}, 12),
        ({"granularity": "layer", "weight_bits": 4, "formats": "network"}, 0),
        ({"weight_bits": 4, "target_bits": 4}, 5),
        ({"weight_bits": 4, "target_bits": 0}, 5),
        ({"target_bits": 16}, 20),
        ({"equalization": 1.0, "bias_correction": "none"}, 20),
        ({"equalization": None, "rounding": "nearest", "objective": "absolute", "bias_bits": 8}, 12),
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [8, 9])
def test_other_steps_on_random_networks(seed, number, steps, least):
    bits = steps.get("data_bits", 8), steps.get("weight_bits", 8)
    check(random_graph(17 * seed + number), least, Target().widened(*bits), **steps)


@pytest.mark.parametrize("effort", ["fast", "default", "best"])
def test_every_effort_gives_the_same_network_again(seed, effort):
    graph = random_graph(17 * seed + 10)
    one, two = (quantize_network(graph, images(16, size=SIZE), effort=effort) for _ in range(2))
    assert identical(one, two) and one.metadata["quantization.effort"] == effort


def test_one_format_a_layer_rounded_against_the_output_is_one_format(seed):
    network = quantize_network(random_graph(seed), images(8, size=SIZE), granularity="layer")
    assert all(len(set(conv.weight_frac.tolist())) == 1 for conv in convolutions(network))
    assert network.metadata["quantization.rounding"] == "output"
