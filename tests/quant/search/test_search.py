"""The data phase: formats against exhaustive search, sharing, alignment; what else the network carries."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.compare import compare_layers
from quant.ir.graph import FloatGraph
from quant.ir.host import HostOperation
from quant.ir.target import Target
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.conv import Conv
from quant.run import calibration
from quant.search import NOTES, data, quantize_network
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, identical, respects


def test_residuals_are_shifted_left_exactly():
    network = quantize_network(branches(), images(8))
    layer = next(conv for conv in convolutions(network) if conv.name == "joined")
    assert layer.residual == "stem.y"
    assert layer.shifts(network.tensors)[1].min() >= 0


def coarse_residual(seed: int = 2) -> FloatGraph:
    """A convolution of large weights beside a residual of small values: its accumulator is the coarser."""
    net = Builder(seed)
    small = net.conv("small", "x", 4, gain=1e-3)
    net.layers[0] = dataclasses.replace(net.layers[0], bias=np.zeros(4, np.float32))
    large = net.conv("large", "x", 4, gain=100.0)
    return net.graph(net.conv("sum", large, 4, residual=small, gain=100.0, clip=(None, None)), name="coarse")


def test_a_residual_finer_than_the_accumulator_is_added_separately():
    graph = coarse_residual()
    network = quantize_network(graph, images(6), rounding="output")
    conv, add = network.layers[-2:]
    assert isinstance(conv, Conv) and conv.residual is None and conv.output == "sum.y/conv"
    assert isinstance(add, Add) and add.inputs == ("sum.y/conv", "small.y") and add.output == "sum.y"
    note = "layer sum: residual small.y is finer than the accumulator and is added separately"
    assert network.metadata[NOTES] == note
    assert network.tensors["sum.y"].fmt.bits == 16
    assert network.tensors["sum.y/conv"].fmt.bits == 8 and network.tensors["sum.y/conv"].fmt.signed
    assert compare_layers(network, graph, images(6))[-1].sqnr_db > 25
    respects(network)


def test_more_bits_and_finer_choices_are_better():
    graph = branches()

    def sqnr(**options) -> float:
        return compare_layers(quantize_network(graph, images(16), **options), graph, images(16, seed=8))[-1].sqnr_db

    default = sqnr()
    assert sqnr(data_bits=16, weight_bits=16) > default + 20
    assert default > sqnr(weight_bits=4) + 6
    assert default > sqnr(precision="static")
    assert default >= sqnr(granularity="layer") - 0.5


def test_some_layers_may_have_other_widths():
    network = quantize_network(branches(), images(4), layer_weight_bits={"fc": 4, "stem": 16})
    widths = {conv.name: conv.weight_bits for conv in convolutions(network)}
    assert widths["fc"] == 4 and widths["stem"] == 16 and widths["body"] == 8
    respects(network, Target().widened(8, 16))


def test_the_same_input_gives_the_same_network():
    one, two = (quantize_network(branches(), images(5)) for _ in range(2))
    assert identical(one, two)
    assert not identical(one, quantize_network(branches(), images(5, seed=8)))


def test_what_is_not_a_number_format_is_carried_over():
    graph = branches(
        results=(("fc.y", HostOperation("Sigmoid")),),
        output_shapes={"fc.y": (10,)},
        metadata={"source": "here"},
        name="named",
    )
    network = quantize_network(graph, images(3))
    assert network.name == "named" and network.outputs == ("fc.y",) and network.results == graph.results
    assert network.output_shapes == {"fc.y": (10,)} and network.metadata["source"] == "here"
    assert network.metadata["quantization.images"] == "3"
    assert [layer.name for layer in network.layers] == [layer.name for layer in graph.layers]


@pytest.mark.parametrize("everything", [False, True])
def test_progress_is_reported_to_the_end(everything):
    net = Builder(0, channels=2, size=4)
    graph = net.graph(net.conv("two", net.conv("one", "x", 4), 4, Window((4, 4))))
    steps = []
    options = {"effort": "best", "budget": 250.0} if everything else {}
    quantize_network(graph, images(16, 2, 4), progress=lambda *step: steps.append(step), **options)
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    before = ["sensitivity of weights", "settings"] if everything else ["images held back"]
    assert stages == [*before, "calibrate", "data formats"]
    for stage in stages:
        done = [(done, total) for name, done, total in steps if name == stage]
        assert done[-1][0] == done[-1][1] and [d for d, _ in done] == sorted(d for d, _ in done)


def test_large_feature_maps_are_judged_by_samples(monkeypatch):
    """Of the float network's values, and of the fixed-point network's at some positions of each layer."""
    graph = branches()
    steps = {"equalization": None, "rounding": "nearest"}
    whole = quantize_network(graph, images(16), **steps)
    monkeypatch.setattr(calibration, "SAMPLES", 64)
    monkeypatch.setattr(data, "MEANS", 400)
    sampled = quantize_network(graph, images(16), **steps)
    moved = [abs(whole.tensors[n].fmt.frac - sampled.tensors[n].fmt.frac) for n in whole.tensors]
    assert max(moved) <= 1 and sum(moved) <= 2
