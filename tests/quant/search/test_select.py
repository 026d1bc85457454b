"""Settings chosen by images held back."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.scales import SCALES
from quant.ir.window import Window
from quant.run.calibration import Progress
from quant.run.execute import execute, quantize_input
from quant.search import NOTES, Options, quantize_network
from quant.search.judge import relative
from quant.search.select import CORRECTIONS, EXPONENTS, FEWEST, MARGIN, select
from tests.quant.float_graphs import Builder, images
from tests.quant.search_checks import float_values, identical

STARTS = [
    Options(select=True),
    Options(select=True, equalization=0.9, bias_correction="mean"),
    Options(select=True, bias_correction="none", rounding="nearest"),
    Options(select=True, equalization=None),
    Options(select=True, formats="network"),
]


def small(seed: int = 0) -> FloatGraph:
    net = Builder(seed, channels=2, size=6)
    one = net.conv("one", "x", 6, gain=2.0 ** net.random.uniform(-3, 0, 6))
    two = net.conv("two", one, 6, groups=6, clip=(0, 6))
    pooled = net.pool("mean", two, "average", Window((6, 6)))
    return net.graph(net.conv("fc", pooled, 4, Window(), clip=(None, None)))


def searched(
    start: Options, seed: int = 0, count: int = 20, progress: Progress | None = None
) -> tuple[Options, str, dict[tuple[float | None, str, str], float]]:
    """What was selected, the line about it, and the loss on the images held back of every trial."""
    graph, x = small(seed), images(count, 2, 6)
    held = x[3::4]
    wanted = float_values(graph, held, "fc.y")
    losses = {}

    def quantize(part: np.ndarray, trial: Options) -> Network:
        assert len(part) == count - len(held) and not any((image == part).all((1, 2, 3)).any() for image in held)
        assert not trial.select
        network = quantize_network(graph, part, **asdict(trial))
        found = execute(network, quantize_input(network, held))["fc.y"] * network.tensors["fc.y"].fmt.step
        key = key_of(trial)
        assert key not in losses, "tried twice"
        losses[key] = relative(found, wanted)
        return network

    chosen, line = select(graph, x, start, quantize, progress)
    return chosen, line, losses


def key_of(options: Options) -> tuple[float | None, str, str]:
    return options.equalization, options.bias_correction, options.formats


@pytest.mark.parametrize("start", STARTS, ids=range(len(STARTS)))
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_tried_is_much_better_than_what_is_chosen(start, seed):
    chosen, line, losses = searched(start, seed)
    best = losses[key_of(chosen)]
    assert best <= min(losses.values()) / (1 - MARGIN) ** 3  # three choices
    given = [key_of(replace(start, formats="tensor"))]
    assert key_of(chosen) in given or best < (1 - MARGIN) * losses[given[0]]
    settled = replace(start, select=False)
    assert chosen == replace(
        settled,
        equalization=chosen.equalization,
        bias_correction=chosen.bias_correction,
        formats=chosen.formats,
    )
    exponents = {start.equalization, *EXPONENTS, None} if start.free_scales else {None}
    assert {exponent for exponent, _, _ in losses} == exponents
    assert {word for _, word, _ in losses} == {start.bias_correction, *CORRECTIONS}
    by_network = [key for key in losses if key[2] == "network"]
    assert by_network == ([] if start.formats == "tensor" else [(*key_of(chosen)[:2], "network")])
    name = "none" if chosen.equalization is None else chosen.equalization
    assert line == (
        f"settings: equalization {name}, bias correction {chosen.bias_correction}, formats by {chosen.formats}: "
        f"{-10 * np.log10(best):.1f} dB at the outputs on 5 images held back"
    )


@pytest.mark.parametrize("word", ["none", "mean", "active"])
def test_the_correction_given_stays_where_the_others_do_worse(word):
    """Here they get 4-bit weights besides."""
    graph, start = small(), Options(select=True, bias_correction=word)

    def quantize(part: np.ndarray, trial: Options) -> Network:
        bits = 8 if trial.bias_correction == word else 4
        return quantize_network(graph, part, **asdict(replace(trial, weight_bits=bits, rounding="nearest")))

    chosen, _ = select(graph, images(20, 2, 6), start, quantize)
    assert chosen.bias_correction == word


def test_progress_ends_with_its_total():
    steps: list[tuple[str, int, int]] = []
    searched(STARTS[0], progress=lambda *step: steps.append(step))
    assert {stage for stage, _, _ in steps} == {"settings"} and len({total for _, _, total in steps}) == 1
    assert [done for _, done, _ in steps] == list(range(1, steps[-1][2] + 1))


def test_too_few_images_leave_the_settings_as_given():
    start = STARTS[1]
    chosen, line, losses = searched(start, count=FEWEST - 1)
    assert chosen == replace(start, select=False) and line == "" and not losses
    network = quantize_network(small(), images(FEWEST - 1, 2, 6), effort="best", rounding="output")
    assert NOTES not in network.metadata
    assert network.metadata["quantization.equalization"] == str(Options.of("best").equalization)


def test_the_network_says_what_was_chosen_and_uses_all_images():
    graph, x = small(), images(FEWEST, 2, 6)
    network = quantize_network(graph, x, effort="best")
    words = network.metadata[NOTES].splitlines()[0].split()
    assert words[:2] == ["settings:", "equalization"] and words[3:5] == ["bias", "correction"]
    said = words[2].rstrip(","), words[5].rstrip(","), words[8].rstrip(":")
    metadata = network.metadata
    assert said == tuple(metadata[f"quantization.{key}"] for key in ("equalization", "bias_correction", "formats"))
    steps = {"equalization": None if said[0] == "none" else float(said[0]), "bias_correction": said[1]}
    steps["formats"] = said[2]
    again = quantize_network(graph, x, effort="best", select=False, **steps)
    assert identical(replace(network, metadata={}), replace(again, metadata={}))
    assert metadata.get(SCALES) == again.metadata.get(SCALES)
    assert identical(network, quantize_network(graph, x, effort="best"))


def test_wide_data_have_no_scales_to_choose():
    words = quantize_network(small(), images(FEWEST, 2, 6), effort="best", data_bits=16).metadata[NOTES]
    assert words.startswith("settings: equalization none, bias correction ")
