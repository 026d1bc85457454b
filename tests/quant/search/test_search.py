"""The data phase: formats against exhaustive search, sharing, alignment; what else the network carries."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.compare import compare_layers
from quant.ir.fixedpoint import QFormat, clip_bounds, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.host import HostOperation
from quant.ir.network import Network
from quant.ir.target import Target
from quant.ir.window import Window
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.run import calibration
from quant.run.calibration import calibrate
from quant.run.execute import execute, quantize_input
from quant.search import NOTES, data, quantize_network
from quant.search.groups import non_negative
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, identical, respects


@pytest.mark.parametrize("objective", ["square", "absolute"])
def test_every_format_is_the_best_at_its_turn(objective):
    """Each tensor's format against every other, the layers before it as they were chosen, scales of one."""
    net = Builder(3)
    one = net.conv("one", "x", 6)
    two = net.conv("two", one, 6, clip=(None, None))
    three = net.pool("three", two, "average", Window((3, 3), (3, 3)))
    four = net.add("four", three, three, clip=(0, 2))
    graph = net.graph(net.conv("five", four, 5, Window((4, 4)), clip=(None, None)))
    x = images(6)
    network = quantize_network(graph, x, objective=objective, equalization=None, rounding="nearest")
    found = calibrate(graph, x)
    power = 2 if objective == "square" else 1
    for name in ("x", one, two, three, four):
        shape, chosen = graph.shapes[name], network.tensors[name].fmt
        reference = found[name].samples.reshape(6, *shape)  # all elements: these tensors are small
        errors = {}
        for frac in range(chosen.frac - 4, chosen.frac + 5):
            fmt = dataclasses.replace(chosen, frac=frac)
            part = reformat(network, graph, name, fmt)
            integers = execute(part, quantize_input(part, x), [name])[name]
            errors[frac] = float((np.abs(dequantize(integers, frac) - reference) ** power).sum())
        assert errors[chosen.frac] == min(errors.values()), name


def reformat(network: Network, graph: FloatGraph, tensor: str, fmt: QFormat) -> Network:
    """The network up to one tensor, that stored in another format."""
    tensors = network.tensors | {tensor: dataclasses.replace(network.tensors[tensor], fmt=fmt)}
    layers = []
    for layer in () if tensor == network.input else network.layers:
        if layer.output == tensor:
            clip = next(float_layer.clip for float_layer in graph.layers if float_layer.output == tensor)
            layers.append(dataclasses.replace(layer, clip=clip_bounds(fmt, *clip)))
            break
        layers.append(layer)
    return dataclasses.replace(network, tensors=tensors, layers=tuple(layers), outputs=())


def test_formats_are_unsigned_where_nothing_can_be_negative():
    graph = branches()
    network = quantize_network(graph, images(8))
    assert {name for name, tensor in network.tensors.items() if tensor.fmt.signed} == {"x", "signed.y", "fc.y"}
    positive = quantize_network(graph, np.abs(images(8)))
    assert not positive.tensors["x"].fmt.signed


def test_a_convolution_without_negative_terms_stays_unsigned():
    """Such as a shortcut that only selects channels."""
    net = Builder(0)
    one = net.conv("one", "x", 4)
    two = net.conv("two", one, 4, clip=(None, None))
    layer = net.layers[1]
    net.layers[1] = dataclasses.replace(layer, weight=np.abs(layer.weight), bias=np.abs(layer.bias))
    graph = net.graph(two)
    assert non_negative(graph, False) == {one, two} and non_negative(graph, True) == {"x", one, two}
    net.layers[1] = dataclasses.replace(net.layers[1], bias=-net.layers[1].bias)
    assert non_negative(net.graph(two), False) == {one}


def test_tensors_that_meet_share_one_format():
    network = quantize_network(branches(), images(8))
    formats = {network.tensors[name].fmt for name in ("left.y", "right.y", "cat.y", "half.y")}
    assert len(formats) == 1
    for layer in network.layers:
        if isinstance(layer, Concat) or (isinstance(layer, Pool) and layer.kind == "max"):
            assert {network.tensors[name].fmt for name in (*layer.inputs, layer.output)} == formats


def test_a_chain_of_concatenations_shares_one_format():
    """As in DenseNet, where later members depend on earlier ones; one signed member makes all signed."""
    net = Builder(5)
    first = net.conv("a", "x", 4)
    second = net.concat("ab", first, net.conv("b", first, 4))
    third = net.concat("abc", second, net.conv("c", second, 4, clip=(None, None), gain=3.0))
    graph = net.graph(net.conv("fc", third, 3, Window((12, 12)), clip=(None, None)))
    network = quantize_network(graph, images(8), rounding="nearest")
    shared = {network.tensors[name].fmt for name in (first, "b.y", "c.y", second, third)}
    assert len(shared) == 1 and shared.pop().signed
    respects(network)


def test_relu6_without_free_scales_is_bounded_in_its_own_format():
    network = quantize_network(branches(), images(8), equalization=None)
    layer = next(conv for conv in convolutions(network) if conv.name == "left")
    fmt = network.tensors["left.y"].fmt
    assert layer.clip == clip_bounds(fmt, 0, 6)
    assert layer.clip[1] == min(fmt.high, 6 * 2**fmt.frac)


def test_outputs_have_16_bits_and_room_above():
    graph = branches()
    x = images(8)
    network = quantize_network(graph, x, rounding="output")
    assert network.tensors["fc.y"].fmt.bits == 16 and NOTES not in network.metadata
    reach = calibrate(graph, x)["fc.y"].abs_max * 2.0 ** network.tensors["fc.y"].fmt.frac
    assert 2**13 <= reach < 2**14


def test_an_output_that_layers_read_keeps_8_bits_and_says_so():
    net = Builder(1)
    one = net.conv("one", "x", 4)
    two = net.conv("two", one, 4)
    network = quantize_network(net.graph(one, two), images(4), rounding="output")
    assert network.tensors[one].fmt.bits == 8 and network.tensors[two].fmt.bits == 16
    assert network.metadata[NOTES] == "output one.y has 8 bits: it shares the format of what layers read"
    pooled = net.pool("pool", two, "max", Window((2, 2), (2, 2)))
    network = quantize_network(net.graph(one, pooled), images(4), rounding="output")
    assert network.tensors[pooled].fmt.bits == 8 and len(network.metadata[NOTES].splitlines()) == 2


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
