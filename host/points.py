"""What a search measures, as jobs: each a function of a problem and of itself, wherever it runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from host.artefacts import source_digest
from host.cost import cost, row
from host.price import cycles
from host.target import engine_target
from hw.contract.config import AcceleratorConfig
from quant import qdq
from quant.base.errors import BadInput, ShiftpointError
from quant.compress import MACS, Asked, Candidate, Price, structures, without_channels
from quant.compress.low_rank import low_rank
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.target import Target
from quant.kinds.conv import float_convolutions
from quant.optimize import PLAIN, Plan, Reshape, survey
from quant.run.evaluation import answers
from quant.search import Effort, quantize_network

WIDTH = 8
"""Bits of weights that no plan lowers, where the engine's multipliers have as many."""


@dataclass(eq=False)
class Problem:
    """A network and all that plans for it are measured by.

    images: calibration images, float32 (N, C, H, W).  chosen, labels: what plans are chosen by, as they are and int64
    (N,).  config: the engine, None for none.
    """

    graph: FloatGraph
    images: np.ndarray
    chosen: np.ndarray
    labels: np.ndarray
    config: AcceleratorConfig | None
    effort: Effort
    _shapes: dict[tuple[Reshape, ...], FloatGraph] = field(default_factory=dict)

    @property
    def price(self) -> Price:
        """What of the network counts when its shape is chosen."""
        return MACS if self.config is None else cycles(self.config)

    @property
    def target(self) -> Target:
        """What the quantizer may know of the engine."""
        return Target() if self.config is None else engine_target(self.config)

    @property
    def speed(self) -> str:
        """The cost by name that stands for time."""
        return "MACs" if self.config is None else "cycles"

    @property
    def bits(self) -> int:
        """Of weights that no plan lowers."""
        return min(WIDTH, self.target.weight_bits)

    def shaped(self, reshapes: tuple[Reshape, ...]) -> FloatGraph:
        """The network in another shape.  Raises BadInput for a share that cannot be met."""
        if not reshapes:
            return self.graph
        if reshapes not in self._shapes:
            before, last = self.shaped(reshapes[:-1]), reshapes[-1]
            self._shapes[reshapes] = RESHAPES[last.method](self, before, last.share)
        return self._shapes[reshapes]


def _channels(problem: Problem, graph: FloatGraph, share: float) -> FloatGraph:
    return without_channels(graph, problem.images, share, problem.price)


def _low_rank(problem: Problem, graph: FloatGraph, share: float) -> FloatGraph:
    target = problem.target
    return low_rank(
        graph, problem.images, 1 - share, price=problem.price, lanes=target.lanes, spatial=True
    ).graph  # fmt: skip


RESHAPES: dict[str, Callable[[Problem, FloatGraph, float], FloatGraph]] = {
    "channels": _channels,
    "low rank": _low_rank,
}
"""The methods that make another shape, so that a share of the price goes; each knows by itself which layers pay."""


@dataclass(frozen=True)
class Made:
    """What a job gives: a JSON value, and where it makes a network, the bytes of its ONNX file."""

    value: dict[str, Any]
    network: bytes = b""


class Job(Protocol):
    """Something to be measured."""

    @property
    def key(self) -> list[Any]:
        """What it is, as a JSON value."""

    def perform(self, problem: Problem) -> Made:
        """Measure it; the same for the same problem."""


@dataclass(frozen=True)
class Survey:
    """What each of some candidates does to one layer of a shape."""

    reshapes: tuple[Reshape, ...]
    layer: str
    candidates: tuple[Candidate, ...]

    @property
    def key(self) -> list[Any]:
        """As of `Job`."""
        candidates = [asdict(each) for each in self.candidates]
        return ["survey", [asdict(each) for each in self.reshapes], self.layer, candidates]

    def perform(self, problem: Problem) -> Made:
        """As of `Job`.  The first and the last layer are never ternary, as published (Zhu et al. 2017)."""
        graph = problem.shaped(self.reshapes)
        names = [layer.name for layer in float_convolutions(graph.layers)]
        fit = [each for each in self.candidates if not (each.ternary and self.layer in (names[0], names[-1]))]
        found = survey(graph, problem.images, self.layer, fit, problem.bits)
        return Made({"options": [asdict(option) for option in found]})


@dataclass(frozen=True)
class Measurement:
    """A plan, made and measured."""

    plan: Plan

    @property
    def key(self) -> list[Any]:
        """As of `Job`."""
        return ["plan", self.plan.key]

    def perform(self, problem: Problem) -> Made:
        """Of a plan that cannot be made the value says why; of the plain network that is the user's to mend."""
        try:
            graph = problem.shaped(self.plan.reshapes)
            network = made(problem, graph, self.plan)
        except ShiftpointError as error:
            if self.plan.key == PLAIN.key:
                raise
            return Made({"refused": str(error)})
        right = float((answers(network, problem.chosen) == problem.labels).mean())
        costs = row(cost(network, problem.config))
        names = [layer.name for layer in float_convolutions(graph.layers)]
        content = qdq.to_model(network).SerializeToString(deterministic=True)
        return Made({"right": right, "costs": costs, "layers": names}, content)


def made(problem: Problem, graph: FloatGraph, plan: Plan) -> Network:
    """The integer network of a plan.  graph: in the plan's shape."""
    asked = Asked(layers=plan.layers)
    network = quantize_network(
        graph,
        problem.images,
        effort=problem.effort,
        target=problem.target,
        structures=structures(graph, problem.images, asked),
        weight_bits=problem.bits,
        layer_weight_bits=asked.bits,
    )
    return replace(network, metadata=network.metadata | described(plan))


def described(plan: Plan) -> dict[str, str]:
    """A plan as metadata of its file."""
    words = {"reshapes": ", ".join(map(str, plan.reshapes))}
    words["layers"] = "\n".join(f"{name}: {candidate}" for name, candidate in plan.layers.items())
    return {f"compression.{name}": text for name, text in words.items() if text}


def packed(problem: Problem) -> bytes:
    """A problem for whoever works on it, with the source that asks."""
    return pickle.dumps((source_digest(), problem))


@lru_cache(maxsize=1)
def _unpacked(content: bytes) -> Problem:
    source, problem = pickle.loads(content)
    if source != source_digest():
        raise BadInput("a worker runs another version of shiftpoint than this command: install the same on all")
    assert isinstance(problem, Problem)
    return problem


def perform(content: bytes, job: Job) -> Made:
    """What every worker runs: a job of a packed problem."""
    return job.perform(_unpacked(content))
