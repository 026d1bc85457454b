"""What a search of `optimize` measures: its problem, and the jobs that are functions of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from host.cost import cost, row
from host.jobs import Made
from host.plans import RESHAPES, described
from host.price import cycles
from host.target import engine_target
from hw.contract.config import AcceleratorConfig
from quant import qdq
from quant.base.errors import ShiftpointError
from quant.compress import MACS, Asked, Candidate, Price, structures
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.ir.target import Target
from quant.kinds.conv import float_convolutions
from quant.optimize import PLAIN, Plan, Reshape, survey
from quant.run.evaluation import answers
from quant.search import Effort, quantize_network
from quant.search.structure import Structure

WIDTH = 8
"""Bits of weights that no plan lowers, where the engine's multipliers have as many."""


@dataclass(eq=False)
class Problem:
    """A network and all that plans for it are measured by.

    images: calibration images, float32 (N, C, H, W), of several inputs each.  chosen, labels: what plans are chosen by,
    as they are and int64 (N,).  config: the engine, None for none.
    """

    graph: FloatGraph
    images: Given
    chosen: Given
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
            self._shapes[reshapes] = RESHAPES[last.method](
                before, self.images, last.share, self.price, self.target, None
            )
        return self._shapes[reshapes]


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
            wanted = structures(graph, problem.images, Asked(layers=self.plan.layers))
            network = made(problem, graph, self.plan, wanted)
        except ShiftpointError as error:
            if self.plan.key == PLAIN.key:
                raise
            return Made({"refused": str(error)})
        found = measured(problem, network)
        return Made(
            {**found.value, "layers": [layer.name for layer in float_convolutions(graph.layers)]}, found.network
        )


def measured(problem: Problem, network: Network) -> Made:
    """What counts of a network, and its file."""
    right = float((answers(network, problem.chosen) == problem.labels).mean())
    content = qdq.to_model(network).SerializeToString(deterministic=True)
    return Made({"right": right, "costs": row(cost(network, problem.config))}, content)


def made(
    problem: Problem,
    graph: FloatGraph,
    plan: Plan,
    wanted: Mapping[str, Structure],
    trained: dict[str, str] | None = None,
) -> Network:
    """The integer network of a plan.  graph: in the plan's shape.  wanted: what its layers' integers may be.  trained:
    metadata beside the plan's."""
    network = quantize_network(
        graph,
        problem.images,
        effort=problem.effort,
        target=problem.target,
        structures=wanted,
        weight_bits=problem.bits,
        layer_weight_bits=Asked(layers=plan.layers).bits,
    )
    return replace(network, metadata=network.metadata | described(plan) | (trained or {}))
