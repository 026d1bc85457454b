"""The data phase: every format within the limits of the hardware."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.compare import compare_layers
from quant.ir.bounds import accumulator_bound, prove, tensor_bounds
from quant.ir.graph import FloatGraph
from quant.ir.target import Target
from quant.ir.window import Window
from quant.run.execute import execute, quantize_input
from quant.search import quantize_network
from quant.search.formats import Formats
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, respects


@pytest.mark.parametrize("precision", ["dynamic", "static"])
@pytest.mark.parametrize("granularity", ["channel", "layer"])
@pytest.mark.parametrize(("data_bits", "weight_bits"), list(itertools.product((8, 16), (4, 8, 16))))
def test_every_choice_gives_a_network_that_the_hardware_can_run(precision, granularity, data_bits, weight_bits):
    graph = branches()
    network = quantize_network(
        graph, images(6), data_bits=data_bits, weight_bits=weight_bits, precision=precision, granularity=granularity
    )
    respects(network, Target().widened(data_bits, weight_bits))
    assert {conv.weight_bits for conv in convolutions(network)} == {weight_bits}
    assert {t.fmt.bits for name, t in network.tensors.items() if name != "fc.y"} == {data_bits}
    one_each = all(len(set(conv.weight_frac.tolist())) == 1 for conv in convolutions(network))
    assert one_each == (precision == "static" or granularity == "layer")
    if precision == "static":
        assert len({t.fmt.frac for t in network.tensors.values()}) == 1
        assert len({int(conv.weight_frac[0]) for conv in convolutions(network)}) == 1
    if weight_bits >= 8 and precision == "dynamic":
        sqnr = compare_layers(network, graph, images(6))[-1].sqnr_db
        assert sqnr > (50 if (data_bits, weight_bits) == (16, 16) else 20)


def weird(gains: list[float], biases: list[float]) -> FloatGraph:
    """Output channels of very different weights and biases, some dead."""
    net = Builder(4)
    one = net.conv("one", "x", len(gains), gain=np.array(gains))
    net.layers[0] = dataclasses.replace(net.layers[0], bias=np.array(biases, np.float32))
    return net.graph(net.conv("two", one, len(gains), residual=one), name="weird")


@pytest.mark.parametrize("granularity", ["channel", "layer"])
@pytest.mark.parametrize(
    ("gains", "biases"),
    [
        ([1, 0, 1e-4, 1e-12], [0.1, 0.5, 0.5, 0.5]),
        ([1, 1e-30, 1e-38, 0], [0, 1, -1, 1e-20]),
        ([1e6, 1e-6, 1, 1], [1e5, -1e5, 0, 0]),
        ([0, 0, 0, 0], [1, 2, 3, -4]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
        ([1e-9] * 4, [0] * 4),
        ([1e9] * 4, [1e10] * 4),
        ([1, 1, 1, 1], [-1e6, 1, 1, 1]),
    ],
)
def test_extreme_channels_stay_within_the_limits(gains, biases, granularity):
    graph = weird(gains, biases)
    network = quantize_network(graph, images(4), granularity=granularity)
    respects(network)
    output = compare_layers(network, graph, images(4))[-1]
    assert output.sqnr_db is None or output.sqnr_db > 20


def test_dead_channels_do_not_leave_the_exact_integers_of_float32():
    network = quantize_network(weird([1, 0, 1e-4, 1e-12], [0.1, 0.5, 0.5, 0.5]), images(4))
    assert all(accumulator_bound(network, layer).bits <= 25 for layer in network.layers)


def test_narrow_accumulators_make_weights_coarser():
    graph = branches()
    wide, narrow = (quantize_network(graph, images(4), target=Target(acc_bits=bits)) for bits in (32, 18))
    prove(narrow, 18)
    respects(narrow, Target(acc_bits=18))
    pairs = list(zip(convolutions(wide), convolutions(narrow), strict=True))
    assert all((b.weight_frac <= a.weight_frac).all() for a, b in pairs)
    assert any((b.weight_frac < a.weight_frac).any() for a, b in pairs)
    assert compare_layers(narrow, graph, images(4))[-1].sqnr_db > 15


def test_an_accumulator_too_narrow_for_an_average_is_one_clear_line():
    message = r"^layer mean: the accumulator can reach \d+, which needs 15 bits, and has 13$"
    with pytest.raises(UnsupportedNetwork, match=message):
        quantize_network(branches(), images(4), target=Target(acc_bits=13))


def test_bounds_of_what_was_chosen_hold_on_other_images():
    graph = branches()
    network = quantize_network(graph, images(4))
    found = execute(network, quantize_input(network, images(20, seed=11) * 5), network.tensors)
    for name, bound in tensor_bounds(network).items():
        assert bound.low <= found[name].min() and found[name].max() <= bound.high


@pytest.mark.parametrize(("gain", "shift"), [(64, 1), (128, 0), (256, None)])
def test_a_residual_is_shifted_by_nothing_but_not_to_the_right(gain, shift):
    net = Builder(0)
    one = net.conv("one", "x", 4)
    graph = net.graph(net.conv("two", one, 4, residual=one, gain=gain))
    network = quantize_network(graph, images(4), equalization=None, rounding="nearest")
    fused = [layer for layer in convolutions(network) if layer.residual is not None]
    shifts = [int(layer.weight_frac.min()) for layer in fused]  # of the residual: it is the layer's input too
    assert shifts == ([] if shift is None else [shift])
    assert len(network.layers) == (3 if shift is None else 2)


def test_evidence_is_taken_where_a_format_is_open_and_numbers_change(monkeypatch):
    seen, plain = {}, Formats.choose

    def choose(self, tensor, found=(), *rest):
        seen[tensor] = len(found)
        return plain(self, tensor, found, *rest)

    monkeypatch.setattr(Formats, "choose", choose)
    net = Builder(0)
    one = net.conv("one", "x", 4)
    two = net.pool("two", one, "max", Window((2, 2), (2, 2)))
    three = net.pool("three", two, "average", Window((2, 2), (2, 2)))
    graph = net.graph(net.conv("four", three, 4, clip=(None, None)))
    quantize_network(graph, images(4), equalization=None, rounding="nearest")
    assert (seen[one], seen[two], seen[three]) == (1, 0, 1)
