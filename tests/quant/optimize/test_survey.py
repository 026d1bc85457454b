"""One layer altered alone, against what that is by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.compress.candidate import Candidate
from quant.optimize.survey import entropy, survey
from quant.search.judge import OutputJudge
from quant.search.mixed import narrowed
from tests.quant.float_graphs import Builder, images
from tests.quant.search_checks import float_conv

CANDIDATES = (
    Candidate(),
    Candidate(bits=4),
    Candidate(values=4),
    Candidate(ternary=True),
    Candidate(prune=0.5),
    Candidate(prune=0.5, values=4),
)


def test_what_candidates_do_and_save() -> None:
    net = Builder(3, size=6)
    graph = net.graph(net.conv("two", net.conv("one", "x", 8), 4, clip=(None, None)))
    x = images(24, size=6)
    found = {option.candidate: option for option in survey(graph, x, "two", CANDIDATES)}
    size = float_conv(graph, "two").weight.size
    bits = {candidate: 8 * option.bytes / size for candidate, option in found.items()}
    assert 6 < bits[Candidate()] <= 8 and bits[Candidate(bits=4)] <= 4 and bits[Candidate(values=4)] <= 2
    assert bits[Candidate(ternary=True)] <= np.log2(3) and 1 < bits[Candidate(prune=0.5)] < 5
    noise = {candidate: option.noise for candidate, option in found.items()}
    assert noise[Candidate()] < 1e-3 < noise[Candidate(values=4)] < noise[Candidate(ternary=True)]
    assert noise[Candidate(prune=0.5)] < noise[Candidate(prune=0.5, values=4)]
    judge = OutputJudge(graph, x[3::4])  # those that are held back
    assert noise[Candidate(bits=4)] <= judge.replaced(narrowed(float_conv(graph, "two")))
    weight = float_conv(graph, "two").weight
    small = np.where(np.abs(weight) < np.median(np.abs(weight)), 0, weight)
    assert noise[Candidate(prune=0.5)] < judge.replaced(replace(float_conv(graph, "two"), weight=small))


def test_few_images_do_for_both() -> None:
    net = Builder(3, size=6)
    graph = net.graph(net.conv("one", "x", 8, clip=(None, None)))
    (option,) = survey(graph, images(2, size=6), "one", [Candidate()])
    assert option.noise < 1e-3


@pytest.mark.parametrize(("values", "bits"), [([5, 5, 5], 0.0), ([1, 2, 3, 4], 2.0), ([0, 0, 1, 2], 1.5)])
def test_entropy(values: list[int], bits: float) -> None:
    assert entropy(np.array(values)) == pytest.approx(bits)
