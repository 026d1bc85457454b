"""Jobs of a small network against the parts that they are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from host import points
from host.jobs import packed, perform
from host.points import Measurement, Problem, Survey
from hw.contract.config import preset
from quant import coded, qdq
from quant.base.errors import BadInput
from quant.compress import Candidate
from quant.kinds.conv import convolution
from quant.optimize import BYTES, PLAIN, Plan, Reshape
from quant.run.evaluation import answers
from tests.quant.float_graphs import Builder, images


@pytest.fixture
def problem() -> Problem:
    net = Builder(3, size=6)
    graph = net.graph(net.conv("three", net.conv("two", net.conv("one", "x", 8), 8), 4, clip=(None, None)))
    return Problem(graph, images(8, size=6), images(6, size=6), np.arange(6) % 3, preset("tiny"), "fast")


def test_a_plan_is_done_to_the_layers_that_it_names(problem: Problem) -> None:
    layers = {"one": Candidate(prune=0.5, values=4), "two": Candidate(bits=4), "three": Candidate(values=3)}
    found = perform(packed(problem), Measurement(Plan((), layers)))
    network = qdq.load(onnx.load_from_string(found.network))
    one, two, three = (conv for layer in network.layers if (conv := convolution(layer)))
    assert np.count_nonzero(one.weight) <= one.weight.size / 2 and len(set(one.weight[one.weight != 0])) <= 4
    assert two.weight_bits == 4 and len(np.unique(three.weight)) <= 3
    assert network.metadata["compression.layers"].splitlines()[0] == "one: prune 0.5, share 4"
    assert found.value["right"] == np.mean(answers(network, problem.chosen) == problem.labels)
    assert found.value["layers"] == ["one", "two", "three"] and problem.target.cycles is not None
    costs = found.value["costs"]
    assert costs[BYTES] == len(coded.encode(found.network)) and costs["MACs"] == 36 * 9 * (24 + 64 + 32)
    assert costs["bytes"] == one.weight.size + two.weight.size / 2 + three.weight.size
    assert costs["cycles"] == problem.target.cycles(network)


@pytest.mark.parametrize("method", sorted(points.RESHAPES))
def test_another_shape_costs_less_and_can_be_surveyed(problem: Problem, method: str) -> None:
    plain = Measurement(PLAIN).perform(problem)
    shape = (Reshape(method, 0.2),)
    other = Measurement(Plan(shape)).perform(problem)
    assert other.value["costs"]["cycles"] < 0.9 * plain.value["costs"]["cycles"]
    options = (
        Survey(shape, other.value["layers"][1], (Candidate(), Candidate(values=4))).perform(problem).value["options"]
    )
    assert options[0]["candidate"] == {"prune": 0.0, "values": None, "ternary": False, "bits": None}
    assert [option["candidate"]["values"] for option in options] == [None, 4]


@pytest.mark.parametrize(("name", "ternary"), [("one", False), ("two", True), ("three", False)])
def test_the_ends_are_not_ternary(problem: Problem, monkeypatch: pytest.MonkeyPatch, name: str, ternary: bool) -> None:
    asked: list[Candidate] = []
    monkeypatch.setattr(points, "survey", lambda graph, images, name, candidates, bits: asked.extend(candidates) or [])
    Survey((), name, (Candidate(), Candidate(ternary=True))).perform(problem)
    assert asked[0] == Candidate() and (Candidate(ternary=True) in asked) == ternary


def test_what_cannot_be_made_says_why(problem: Problem) -> None:
    found = Measurement(Plan((Reshape("channels", 0.999),))).perform(problem)
    assert found.value["refused"].startswith("0.999 of the cycles cannot go with channels") and not found.network
    with pytest.raises(BadInput):  # the plain network is the user's to mend
        Measurement(PLAIN).perform(replace(problem, effort="none"))  # type: ignore[arg-type]


def test_without_an_engine_macs_count(problem: Problem) -> None:
    free = replace(problem, config=None)
    assert free.speed == "MACs" and "cycles" not in Measurement(PLAIN).perform(free).value["costs"]
