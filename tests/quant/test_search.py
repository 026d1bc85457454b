"""The search of formats: both phases against exhaustive search, sharing, alignment, the limits of the hardware."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from quant import calibration
from quant.bounds import accumulator_bits, prove, shifts, tensor_bounds
from quant.calibration import calibrate
from quant.compare import compare_layers
from quant.errors import BadInput, UnsupportedNetwork
from quant.execute import Executor, execute, quantize_input
from quant.fixedpoint import QFormat, clip_bounds, dequantize, quantize
from quant.float_run import FloatRunner
from quant.graph import FloatConv, FloatGraph
from quant.network import Add, Concat, Conv, Network, Pool, Window
from quant.search import NOTES, Limits, quantize_network
from quant.search.assemble import quantize_bias, restrict_bias
from quant.search.groups import non_negative
from quant.search.weights import best_common_frac, best_fracs, overflow_free_frac
from tests.quant.float_graphs import Builder, branches, images


def convolutions(network: Network) -> list[Conv]:
    return [layer for layer in network.layers if isinstance(layer, Conv)]


def float_conv(graph: FloatGraph, name: str) -> FloatConv:
    return next(layer for layer in graph.layers if layer.name == name and isinstance(layer, FloatConv))


def respects(network: Network, limits: Limits | None = None) -> None:
    """Every limit of the hardware, checked on the finished network."""
    limits = limits or Limits()
    prove(network, limits.acc_bits)
    Executor(network)
    for conv in convolutions(network):
        right, left = shifts(network, conv)
        assert limits.shift_low <= right.min() and right.max() <= limits.shift_high
        assert left is None or (left.min() >= 0 and left.max() <= limits.residual_shift)
        assert np.abs(conv.bias).max() < 2**31
        assert np.abs(conv.weight).max() <= 2 ** (conv.weight_bits - 1)


# the weight phase


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_the_frac_that_avoids_overflow_is_the_largest_that_does(rng, bits, signed):
    fmt = QFormat(bits, 0, signed)
    edges = [fmt.high, fmt.high + 0.5, fmt.high + 0.49, 1e-30]
    special = [*((0.0, edge) for edge in edges), (fmt.low - 0.5, 0.0), (fmt.low - 0.51, 0.0)]
    for low, high in [*special, *(np.sort(rng.normal(size=(300, 2)) * 10.0 ** rng.integers(-9, 9, (300, 1)), 1))]:
        frac = overflow_free_frac(float(low), float(high), bits, signed)
        if frac is None:
            assert high <= 0 and not signed
            continue
        ends = np.array([min(low, 0.0) if signed else 0.0, max(high, 0.0)])

        def holds(frac: int, ends: np.ndarray = ends) -> bool:
            scaled = np.rint(np.ldexp(ends, frac))
            return scaled[0] >= fmt.low and scaled[1] <= fmt.high

        assert holds(frac) and not holds(frac + 1)


def test_zero_needs_no_frac():
    assert overflow_free_frac(0.0, 0.0, 8) is None and overflow_free_frac(-3.0, 0.0, 8, signed=False) is None


def total(values: np.ndarray, bits: int, frac: int, power: int) -> float:
    return float((np.abs(values - dequantize(quantize(values, QFormat(bits, frac)), frac)) ** power).sum())


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize(("objective", "power"), [("square", 2), ("absolute", 1)])
def test_weights_have_the_least_total_error(rng, bits, objective, power):
    """Against every fractional length there is, not only the neighbourhood."""
    weight = rng.standard_t(4, (12, 5, 3, 3)) * 2.0 ** rng.integers(-6, 6, (12, 1, 1, 1))
    fracs = best_fracs(weight, bits, objective)
    for channel, frac in zip(weight, fracs, strict=True):
        assert total(channel, bits, int(frac), power) == min(total(channel, bits, f, power) for f in range(-8, 30))
    common = best_common_frac([weight[:4], weight[4:]], bits, objective)
    assert total(weight, bits, common, power) == min(total(weight, bits, f, power) for f in range(-8, 30))


def test_the_objectives_differ_where_one_weight_is_large():
    weight = np.concatenate([np.full(400, 0.3), [9.0]]).reshape(1, -1, 1, 1)
    square, absolute = (int(best_fracs(weight, 4, objective)[0]) for objective in ("square", "absolute"))
    assert square < absolute and total(weight, 4, square, 2) < total(weight, 4, absolute, 2)
    assert total(weight, 4, absolute, 1) < total(weight, 4, square, 1)


def test_a_channel_of_zeros_takes_the_finest_frac_of_the_others():
    weight = np.stack([np.full((2, 1, 1), 0.9), np.zeros((2, 1, 1)), np.full((2, 1, 1), 0.2)])
    fracs = best_fracs(weight, 8, "square")
    assert fracs[1] == fracs[2] > fracs[0]
    assert best_fracs(weight[1:2] * 0, 8, "square").tolist() == [0] and best_common_frac([weight * 0], 8, "square") == 0


def test_of_equal_fracs_the_one_that_avoids_overflow_wins():
    assert best_fracs(np.full((1, 1, 1, 1), 0.5), 8, "square").tolist() == [7]


def test_biases_are_in_the_units_of_the_accumulator():
    assert quantize_bias(np.array([0.3, -0.3, 1.5]), np.array([10, 10, 0])).tolist() == [307, -307, 2]
    assert abs(int(quantize_bias(np.array([1e30]), np.array([100]))[0])) == 2**62


def test_the_papers_own_bias_format_restricts_the_values():
    bias = np.random.default_rng(0).normal(size=50)
    restricted = restrict_bias(bias, 8, "absolute")
    assert len(np.unique(np.mod(restricted * 2**6, 1))) == 1 and np.abs(restricted - bias).max() < 0.05
    assert min(np.abs(bias - dequantize(quantize(bias, QFormat(8, f)), f)).sum() for f in range(12)) == pytest.approx(
        np.abs(restricted - bias).sum()
    )
    assert (restrict_bias(np.zeros(3), 8, "absolute") == 0).all()


# the data phase


@pytest.mark.parametrize("objective", ["square", "absolute"])
def test_every_format_is_the_best_at_its_turn(objective):
    """Each tensor's format against every other, the layers before it as they were chosen."""
    net = Builder(3)
    one = net.conv("one", "x", 6)
    two = net.conv("two", one, 6, clip=(None, None))
    three = net.pool("three", two, "average", Window((3, 3), (3, 3)))
    four = net.add("four", three, three, clip=(0, 2))
    graph = net.graph(net.conv("five", four, 5, Window((4, 4)), clip=(None, None)))
    x = images(6)
    network = quantize_network(graph, x, objective=objective)
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
    network = quantize_network(graph, images(8))
    shared = {network.tensors[name].fmt for name in (first, "b.y", "c.y", second, third)}
    assert len(shared) == 1 and shared.pop().signed
    respects(network)


def test_relu6_is_bounded_in_its_own_format():
    network = quantize_network(branches(), images(8))
    layer = next(conv for conv in convolutions(network) if conv.name == "left")
    fmt = network.tensors["left.y"].fmt
    assert layer.clip == clip_bounds(fmt, 0, 6)
    assert layer.clip[1] == min(fmt.high, 6 * 2**fmt.frac)


def test_outputs_have_16_bits_and_room_above():
    graph = branches()
    x = images(8)
    network = quantize_network(graph, x)
    assert network.tensors["fc.y"].fmt.bits == 16 and NOTES not in network.metadata
    reach = calibrate(graph, x)["fc.y"].abs_max * 2.0 ** network.tensors["fc.y"].fmt.frac
    assert 2**13 <= reach < 2**14


def test_an_output_that_layers_read_keeps_8_bits_and_says_so():
    net = Builder(1)
    one = net.conv("one", "x", 4)
    two = net.conv("two", one, 4)
    network = quantize_network(net.graph(one, two), images(4))
    assert network.tensors[one].fmt.bits == 8 and network.tensors[two].fmt.bits == 16
    assert network.metadata[NOTES] == "output one.y has 8 bits: it shares the format of what layers read"
    pooled = net.pool("pool", two, "max", Window((2, 2), (2, 2)))
    network = quantize_network(net.graph(one, pooled), images(4))
    assert network.tensors[pooled].fmt.bits == 8 and len(network.metadata[NOTES].splitlines()) == 2


def test_residuals_are_shifted_left_exactly():
    network = quantize_network(branches(), images(8))
    layer = next(conv for conv in convolutions(network) if conv.name == "joined")
    assert layer.residual == "stem.y"
    assert shifts(network, layer)[1].min() >= 0


def coarse_residual(seed: int = 2) -> FloatGraph:
    """A convolution of large weights beside a residual of small values: its accumulator is the coarser."""
    net = Builder(seed)
    small = net.conv("small", "x", 4, gain=1e-3)
    net.layers[0] = dataclasses.replace(net.layers[0], bias=np.zeros(4, np.float32))
    large = net.conv("large", "x", 4, gain=100.0)
    return net.graph(net.conv("sum", large, 4, residual=small, gain=100.0, clip=(None, None)), name="coarse")


def test_a_residual_finer_than_the_accumulator_is_added_separately():
    graph = coarse_residual()
    network = quantize_network(graph, images(6))
    conv, add = network.layers[-2:]
    assert isinstance(conv, Conv) and conv.residual is None and conv.output == "sum.y/conv"
    assert isinstance(add, Add) and add.inputs == ("sum.y/conv", "small.y") and add.output == "sum.y"
    note = "layer sum: residual small.y is finer than the accumulator and is added separately"
    assert network.metadata[NOTES] == note
    assert network.tensors["sum.y"].fmt.bits == 16
    assert network.tensors["sum.y/conv"].fmt.bits == 8 and network.tensors["sum.y/conv"].fmt.signed
    assert compare_layers(network, graph, images(6))[-1].sqnr_db > 25
    respects(network)


@pytest.mark.parametrize("precision", ["dynamic", "static"])
@pytest.mark.parametrize("granularity", ["channel", "layer"])
@pytest.mark.parametrize(("data_bits", "weight_bits"), list(itertools.product((8, 16), (4, 8, 16))))
def test_every_choice_gives_a_network_that_the_hardware_can_run(precision, granularity, data_bits, weight_bits):
    graph = branches()
    network = quantize_network(
        graph, images(6), data_bits=data_bits, weight_bits=weight_bits, precision=precision, granularity=granularity
    )
    respects(network, Limits.of(data_bits, weight_bits))
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


def test_more_bits_and_finer_choices_are_better():
    graph = branches()

    def sqnr(**options) -> float:
        return compare_layers(quantize_network(graph, images(16), **options), graph, images(16, seed=8))[-1].sqnr_db

    assert sqnr(data_bits=16, weight_bits=16) > sqnr() + 20
    assert sqnr() > sqnr(weight_bits=4) + 6
    assert sqnr() > sqnr(precision="static")
    assert sqnr() >= sqnr(granularity="layer") - 0.5


def test_some_layers_may_have_other_widths():
    network = quantize_network(branches(), images(4), layer_weight_bits={"fc": 4, "stem": 16})
    widths = {conv.name: conv.weight_bits for conv in convolutions(network)}
    assert widths["fc"] == 4 and widths["stem"] == 16 and widths["body"] == 8
    respects(network, Limits.of(8, 16))


def test_the_same_input_gives_the_same_network():
    one, two = (quantize_network(branches(), images(5)) for _ in range(2))
    assert one.tensors == two.tensors and one.metadata == two.metadata
    for first, second in zip(convolutions(one), convolutions(two), strict=True):
        assert (first.weight == second.weight).all() and (first.bias == second.bias).all()
        assert (first.weight_frac == second.weight_frac).all() and first.clip == second.clip


def test_what_is_not_a_number_format_is_carried_over():
    graph = branches(
        softmax=frozenset({"fc.y"}), output_shapes={"fc.y": (10,)}, metadata={"source": "here"}, name="named"
    )
    network = quantize_network(graph, images(3))
    assert network.name == "named" and network.outputs == ("fc.y",) and network.softmax == {"fc.y"}
    assert network.output_shapes == {"fc.y": (10,)} and network.metadata["source"] == "here"
    assert network.metadata["quantization.images"] == "3"
    assert [layer.name for layer in network.layers] == [layer.name for layer in graph.layers]


def test_progress_is_reported_to_the_end():
    steps = []
    quantize_network(branches(), images(3), progress=lambda *step: steps.append(step))
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    assert stages == ["calibrate", "weight formats", "data formats"]
    for stage in stages:
        done = [(done, total) for name, done, total in steps if name == stage]
        assert done[-1][0] == done[-1][1] and [d for d, _ in done] == sorted(d for d, _ in done)


# the limits of the hardware


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
    assert all(accumulator_bits(network, layer) <= 25 for layer in network.layers)


def test_narrow_accumulators_make_weights_coarser():
    graph = branches()
    wide, narrow = (quantize_network(graph, images(4), limits=Limits(acc_bits=bits)) for bits in (32, 18))
    prove(narrow, 18)
    respects(narrow, Limits(acc_bits=18))
    pairs = list(zip(convolutions(wide), convolutions(narrow), strict=True))
    assert all((b.weight_frac <= a.weight_frac).all() for a, b in pairs)
    assert any((b.weight_frac < a.weight_frac).any() for a, b in pairs)
    assert compare_layers(narrow, graph, images(4))[-1].sqnr_db > 15


def test_an_accumulator_too_narrow_for_an_average_is_one_clear_line():
    message = r"^layer mean: the accumulator can reach \d+, which needs 15 bits, and has 13$"
    with pytest.raises(UnsupportedNetwork, match=message):
        quantize_network(branches(), images(4), limits=Limits(acc_bits=13))


def test_large_feature_maps_are_judged_by_samples(monkeypatch):
    graph = branches()
    whole = quantize_network(graph, images(16))
    monkeypatch.setattr(calibration, "SAMPLES", 64)
    sampled = quantize_network(graph, images(16))
    moved = [abs(whole.tensors[n].fmt.frac - sampled.tensors[n].fmt.frac) for n in whole.tensors]
    assert max(moved) <= 1 and sum(moved) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_bits": 12}, "data can have 8 or 16 bits, not 12"),
        ({"weight_bits": 3}, "weights can have 4, 8 or 16 bits, not 3"),
        ({"layer_weight_bits": {"fc": 5}}, "weights can have 4, 8 or 16 bits, not 5"),
        ({"layer_weight_bits": {"cat": 8}}, "net has no convolution or fully connected layer cat"),
        ({"precision": "mixed"}, "precision is dynamic or static, not mixed"),
        ({"granularity": "tensor"}, "granularity is channel or layer, not tensor"),
        ({"objective": "cube"}, "objective is square or absolute, not cube"),
        ({"bias_bits": 1}, "biases can have 2 to 32 bits, not 1"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(BadInput) as error:
        quantize_network(branches(), images(2), **options)
    assert str(error.value) == message


def test_unfit_calibration_images_are_refused():
    with pytest.raises(BadInput, match="^calibration images: type float64, but float32 or uint8 is needed$"):
        quantize_network(branches(), images(2).astype(float))


def test_the_papers_own_bias_format():
    graph = branches()
    published = {"objective": "absolute", "granularity": "layer", "bias_bits": 8, "bias_correction": False}
    network = quantize_network(graph, images(6), **published)
    for conv in convolutions(network):
        layer = float_conv(graph, conv.name)
        acc_frac = network.tensors[conv.input].fmt.frac + conv.weight_frac
        assert len(np.unique(conv.bias)) <= 2**8
        assert np.abs(dequantize(conv.bias, acc_frac) - layer.bias).max() <= np.abs(layer.bias).max() / 100
    respects(network)


def channel_means(network: Network, graph: FloatGraph, x: np.ndarray, tensor: str) -> np.ndarray:
    """Mean error of each channel of a tensor: fixed less float."""
    fmt = network.tensors[tensor].fmt
    fixed = dequantize(execute(network, quantize_input(network, x), [tensor])[tensor], fmt.frac)
    wanted = np.concatenate([tensors[tensor] for _, tensors in FloatRunner(graph).run(x)])
    return (fixed - wanted).mean((0, 2, 3))


def test_bias_correction_removes_the_mean_error_of_every_channel():
    """Where nothing is clipped, up to the rounding of the output and of the bias."""
    net = Builder(6)
    one = net.conv("one", "x", 8, clip=(None, None))
    two = net.conv("two", one, 8, groups=8, clip=(None, None), residual=one)
    graph = net.graph(net.conv("three", two, 8, clip=(None, None)))
    x = images(30) + np.float32(0.7)
    corrected, plain = (quantize_network(graph, x, weight_bits=4, bias_correction=on) for on in (True, False))
    for conv in convolutions(corrected):
        step = corrected.tensors[conv.output].fmt.step
        bias_step = 2.0 ** -float((corrected.tensors[conv.input].fmt.frac + conv.weight_frac).min())
        left = np.abs(channel_means(corrected, graph, x, conv.output)).max()
        assert left < 0.02 * step + 0.51 * bias_step
        assert left < np.abs(channel_means(plain, graph, x, conv.output)).max() / 3


def test_bias_correction_moves_nothing_but_biases_and_what_follows_from_them():
    graph = branches()
    corrected, plain = (quantize_network(graph, images(6), bias_correction=on) for on in (True, False))
    for one, two in zip(convolutions(corrected), convolutions(plain), strict=True):
        assert (one.weight == two.weight).all() and (one.bias != two.bias).any()
    respects(corrected)
    assert corrected.metadata["quantization.bias_correction"] == "yes"


def test_bounds_of_what_was_chosen_hold_on_other_images():
    graph = branches()
    network = quantize_network(graph, images(4))
    found = execute(network, quantize_input(network, images(20, seed=11) * 5), network.tensors)
    for name, bound in tensor_bounds(network).items():
        assert bound.low <= found[name].min() and found[name].max() <= bound.high
