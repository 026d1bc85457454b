"""Free scales: the network computes the same function, and power-of-two formats fit it better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare import compare_layers
from quant.ir.fixedpoint import clip_bounds, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.scales import SCALES, tensor_scales, with_scales
from quant.ir.window import Window
from quant.kinds.add import Add, FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool
from quant.qdq import load, run_layers, to_model
from quant.run.calibration import calibrate
from quant.run.execute import execute, quantize_input
from quant.run.fast_execute import quantize_images
from quant.run.float_run import FloatRunner
from quant.search import NOTES, quantize_network
from quant.search.equalize import MOST, free_scales
from quant.search.groups import group_tensors, positive_tensors
from quant.search.options import Options
from quant.search.ties import Ties
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, identical, respects, sqnr, values

OPEN = (None, None)


def scales_of(graph: FloatGraph, x: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    ranges = calibrate(graph, x)
    groups, _ = group_tensors(graph, 8, positive_tensors(graph, ranges))
    return free_scales(graph, ranges, groups, Options(equalization=alpha))


def rescaled(graph: FloatGraph, scales: dict[str, np.ndarray]) -> FloatGraph:
    """The float graph whose tensors are multiplied by the scales, written out layer by layer."""
    layers = []
    for layer in graph.layers:
        after = scales[layer.output]
        low, high = layer.clip
        clip = (low, None if high is None else high * float(after.min()))
        if isinstance(layer, FloatConv):
            per, inputs = len(after) // layer.groups, layer.weight.shape[1]
            weight = layer.weight.astype(np.float64) * after[:, None, None, None]
            for channel in range(len(after)):
                first = channel // per * inputs
                weight[channel] /= scales[layer.input][first : first + inputs, None, None]
            bias = layer.bias * after
            layer = replace(layer, weight=weight.astype(np.float32), bias=bias.astype(np.float32), clip=clip)
        elif isinstance(layer, FloatPool | FloatAdd):
            layer = replace(layer, clip=clip)
        layers.append(layer)
    return replace(graph, layers=tuple(layers))


def unequal(seed: int = 3, top: float | None = None) -> FloatGraph:
    """Channels of very different ranges, one of them dead; grouped, depthwise, added, pooled and concatenated."""
    net = Builder(seed)
    gains = 2.0 ** net.random.uniform(-5, 1, 8)
    one = net.conv("one", "x", 8, gain=gains, clip=(0, top))
    net.layers[0].bias[:] *= gains
    net.layers[0].weight[2], net.layers[0].bias[2] = 0, -1
    two = net.conv("two", one, 8, groups=8, gain=gains[::-1])
    three = net.conv("three", two, 12, groups=2, gain=np.concatenate([gains, gains[:4]]), clip=OPEN)
    four = net.pool("four", net.conv("mid", three, 8, clip=(0, top)), "max", Window((2, 2), (2, 2)))
    five = net.add("five", four, net.pool("even", two, "average", Window((2, 2), (2, 2))), clip=(0, None))
    six = net.conv("six", five, 8, residual=five, clip=(0, top))
    seven = net.concat("seven", six, net.conv("side", five, 4, gain=gains[:4]))
    pooled = net.pool("mean", seven, "average", Window((6, 6)))
    return net.graph(net.conv("fc", pooled, 5, Window(), clip=OPEN))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("top", [None, 6.0, 1.0])
def test_the_network_computes_the_same_function(alpha, top):
    graph, x = unequal(top=top), images(8)
    scales = scales_of(graph, x, alpha)
    shown = x if top is not None else images(8, seed=1) * 3  # below a clip at the top only where calibration reached
    [(_, before)] = FloatRunner(graph).run(shown)
    [(_, after)] = FloatRunner(rescaled(graph, scales)).run(
        shown * scales[graph.inputs[0]][:, None, None].astype(np.float32)
    )
    for name, scale in scales.items():
        wanted = before[name] * scale[:, None, None]
        assert np.abs(after[name] - wanted).max() <= 1e-4 * np.abs(wanted).max(), name


@pytest.mark.parametrize("make", [unequal, lambda: unequal(top=6.0), branches])
def test_what_meets_has_the_same_scales(make):
    graph = make()
    scales = scales_of(graph, images(8), 0.5)
    assert any((s != s[0]).any() for s in scales.values())
    for layer in graph.layers:
        if isinstance(layer, Concat):
            assert np.array_equal(np.concatenate([scales[name] for name in layer.inputs]), scales[layer.output])
        else:
            for name in layer.inputs[1:] if isinstance(layer, FloatConv) else layer.inputs:
                assert np.array_equal(scales[name], scales[layer.output]), layer.name


def test_outputs_and_what_is_tied_to_them_keep_ones():
    net = Builder(0, channels=4)
    one = net.conv("one", "x", 4, gain=[1, 0.1, 0.1, 0.1])
    two = net.conv("two", one, 4, residual="x")
    three = net.conv("three", two, 4)
    out = net.pool("out", three, "max", Window((2, 2), (2, 2)))
    scales = scales_of(net.graph(out), images(8, 4), 0.5)
    assert {name for name, s in scales.items() if (s == 1).all()} == {three, out}
    assert (scales[one] != 1).any() and np.array_equal(scales["x"], scales[two])


def planes(count: int, seed: int = 0) -> np.ndarray:
    """Images as preprocessing leaves them, a mean and a range to each plane: float32 (count, 3, 12, 12)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 12, 12)).astype(np.float32)
    mean, scale = (np.array(v, np.float32)[:, None, None] for v in ([123.7, 116.3, 103.5], [0.0171, 0.0175, 0.0174]))
    return (pixels - mean) * scale


def test_each_plane_of_a_known_input_fills_its_format():
    graph, x = unequal(), planes(80)
    network = quantize_network(graph, x)
    scales, fmt = tensor_scales(network)["x"], network.tensors["x"].fmt
    assert np.array_equal(scales, scales.astype(np.float32))
    reach = np.abs(x * scales.astype(np.float32)[:, None, None]).max((0, 2, 3)) / fmt.step
    assert ((reach > 120) & (reach < 127.5)).all()
    plain = quantize_network(graph, x, equalization=None)
    noise = {name: np.square(values(net, x, "x") - x).mean() for name, net in (("free", network), ("plain", plain))}
    assert noise["free"] < 0.55 * noise["plain"]
    # of few values, the range is not known: planes are not fitted whole
    few = tensor_scales(quantize_network(graph, x[:4]))["x"]
    ends = np.abs(x[:4]).max((0, 2, 3))
    assert few.max() / few.min() < (ends.max() / ends.min()) ** 0.5


def test_the_input_and_clips_can_be_left_as_they_are():
    graph, x = unequal(top=6.0), planes(80)
    whole = tensor_scales(quantize_network(graph, x))
    clipped = {layer.output for layer in graph.layers if layer.clip[1] is not None} - set(graph.outputs)
    without_input = tensor_scales(quantize_network(graph, x, input_scales=False))
    without_clips = tensor_scales(quantize_network(graph, x, clip_scales=False))
    assert (whole["x"] != 1).all() and (without_input["x"] == 1).all() and (without_clips["x"] != 1).all()
    moved = {name for name in clipped if (whole[name] != 1).any()}
    assert moved and all((without_clips[name] == 1).all() for name in moved)
    assert all((without_input[name] == whole[name]).all() for name in moved)


def test_a_scaled_input_travels_in_the_file_and_runs_there():
    network = quantize_network(unequal(), planes(80))
    x = planes(5, seed=2) * np.float32(1.1)
    model = to_model(network)
    integers = execute(network, quantize_input(network, x), network.tensors)
    for name, found in run_layers(model, x).items():
        assert np.array_equal(found, integers[name]), name
    again = load(model)
    assert identical(again, replace(network, output_shapes=again.output_shapes))
    assert np.array_equal(quantize_images(network, x), integers["x"])
    bare = replace(network, metadata={key: text for key, text in network.metadata.items() if key != SCALES})
    assert np.array_equal(tensor_scales(load(to_model(with_scales(bare, {"x": tensor_scales(network)["x"]}))))["x"],
                          tensor_scales(network)["x"])  # fmt: skip
    for entry in model.metadata_props:
        if entry.key == SCALES:
            entry.value = "{}"
    with pytest.raises(BadInput, match="contradict what multiplies input x"):
        load(model)


def test_exponent_zero_gives_one_factor_to_all_that_is_tied():
    graph = unequal(top=6.0)
    scales = scales_of(graph, images(8), 0.0)
    for names in Ties(graph).components():
        factors = {float(s) for name in names for s in scales[name]}
        assert len(factors) == 1 and 1 <= factors.pop() < 2


def test_channels_are_raised_as_the_exponent_says():
    """Untied and without a clip at the top: by (tensor's / channel's)**alpha, at most so much, a dead one as much."""
    net = Builder(1)
    gains = np.array([1, 0.5, 0.3, 0.01, 0.0])
    one = net.conv("one", "x", 5, gain=gains)
    net.layers[0] = replace(net.layers[0], bias=np.zeros(5, np.float32))
    graph, x = net.graph(net.conv("two", one, 3)), images(8)
    largest = calibrate(graph, x)[one].high.astype(np.float64)
    for alpha in (0.3, 0.6, 1.0):
        relative = scales_of(graph, x, alpha)[one]
        wanted = np.array([min((largest.max() / v) ** alpha, MOST) if v else MOST for v in largest])
        assert relative / relative.min() == pytest.approx(wanted)
    wide = scales_of(graph, x, 1.0)[one] * largest
    assert wide[:3] == pytest.approx(wide[:3].max())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("top", [6.0, 1.0])
def test_a_clip_at_the_top_becomes_saturation(alpha, top):
    graph = unequal(top=top)
    x = images(8)
    network = quantize_network(graph, x, equalization=alpha)
    scales, checked = tensor_scales(network), 0
    for conv in convolutions(network):
        layer = next(other for other in graph.layers if other.name == conv.name)
        if layer.clip[1] is None:
            continue
        fmt, lowest = network.tensors[conv.output].fmt, float(scales[conv.output].min())
        assert conv.clip == clip_bounds(fmt, 0, top * lowest)
        assert conv.clip == (0, fmt.high)
        octaves = np.log2(top * lowest / fmt.high)  # a format's largest value, of this or a coarser format
        assert octaves == pytest.approx(np.rint(octaves), abs=1e-9)
        checked += 1
    assert checked == 3


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("top", [6.0, 1.0])
def test_no_channel_saturates_below_its_clip_on_the_calibration_images(alpha, top):
    """A clip at the top has made channels alike: raising one would bring saturation, at the least of all, nearer."""
    graph, x = unequal(top=top), images(8)
    scales, ranges = scales_of(graph, x, alpha), calibrate(graph, x)
    for layer in graph.layers:
        if layer.clip[1] is not None:
            scale, high = scales[layer.output], ranges[layer.output].high
            assert (high * scale <= top * scale.min() * (1 + 1e-6)).all()
            assert (scale == scale[0]).all()
    assert (scales["five.y"] == scales["six.y"]).all()  # tied to a clip: not raised either


def test_unequal_channels_gain():
    graph, x, other = unequal(), images(16), images(16, seed=5)
    plain, equalized = (sqnr(quantize_network(graph, x, equalization=a), graph, other) for a in (None, 0.5))
    assert equalized > plain + 1  # dB


def test_a_factor_is_judged_by_all_channels_of_a_small_tensor():
    """Here the first half of them, more values than are judged, are always zero and have no best factor."""
    net = Builder(0, channels=2, size=8)
    one = net.conv("one", "x", 40)
    net.layers[0].weight[:20], net.layers[0].bias[:20] = 0, -1
    two = net.conv("two", one, 3, Window((8, 8)))
    factors = set()
    for _ in range(3):
        factors.add(float(scales_of(net.graph(two), images(4, 2, 8), 0.0)[one][0]))
        layer = net.layers[0]
        net.layers[0] = replace(layer, weight=layer.weight * np.float32(1.2), bias=layer.bias * np.float32(1.2))
    assert len(factors) > 1


def test_scales_reach_the_metadata_and_comparisons():
    graph, x = unequal(), images(8)
    network = quantize_network(graph, x, equalization=0.3)
    expected = scales_of(graph, x, 0.3)
    found = tensor_scales(network)
    assert set(found) == set(expected) and all(np.array_equal(found[n], expected[n]) for n in expected)
    [(_, wanted)] = FloatRunner(graph).run(x)
    integers = execute(network, quantize_input(network, x), network.tensors)
    for row in compare_layers(network, graph, x):
        reference = wanted[row.tensor].astype(np.float64)
        real = dequantize(integers[row.tensor], network.tensors[row.tensor].fmt.frac)
        error = real / expected[row.tensor][:, None, None] - reference
        assert row.sqnr_db == pytest.approx(10 * np.log10((reference**2).sum() / (error**2).sum()), abs=0.01)
    bare = replace(network, metadata={key: text for key, text in network.metadata.items() if key != SCALES})
    without = {row.tensor: row.sqnr_db for row in compare_layers(bare, graph, x)}
    assert without["one.y"] < 10 < min(row.sqnr_db for row in compare_layers(network, graph, x))


@pytest.mark.parametrize("steps", [{"equalization": None}, {"data_bits": 16}, {"precision": "static"}])
def test_without_use_for_scales_there_are_none(steps):
    assert SCALES not in quantize_network(branches(), images(4), **steps).metadata


def test_a_residual_added_separately_keeps_its_scales():
    net = Builder(2)
    small = net.conv("small", "x", 4, gain=[1e-3, 2e-4, 1e-3, 1e-3])
    net.layers[0] = replace(net.layers[0], bias=np.zeros(4, np.float32))
    large = net.conv("large", "x", 4, gain=100.0)
    joined = net.conv("sum", large, 4, residual=small, gain=100.0, clip=OPEN)
    graph, x = net.graph(net.conv("end", joined, 4, clip=OPEN)), images(6)
    network = quantize_network(graph, x, equalization=1.0)
    assert "added separately" in network.metadata[NOTES]
    assert any(isinstance(layer, Add) for layer in network.layers)
    scales = tensor_scales(network)
    assert (scales["sum.y"] != 1).any() and np.array_equal(scales["sum.y"], scales["small.y"])
    assert np.array_equal(scales["sum.y/conv"], scales["sum.y"])
    [(_, wanted)] = FloatRunner(graph).run(x)
    product = values(network, x, "sum.y/conv") + values(network, x, "small.y")
    error = product - wanted["sum.y"]
    assert 10 * np.log10(np.square(wanted["sum.y"]).mean() / np.square(error).mean()) > 25
    assert sqnr(network, graph, x) > 25
    respects(network)
