"""What each candidate does to a network, one layer altered and all others in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.compress.candidate import Candidate
from quant.compress.moments import Moments
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.tensor import Bound
from quant.kinds.conv import FloatConv, float_convolutions
from quant.run.float_run import FloatRunner
from quant.search.assemble import Operand
from quant.search.judge import OutputJudge
from quant.search.patches import Positions
from quant.search.placed import Placed
from quant.search.rounder import Rounder
from quant.search.rounding import TERMS, correlations
from quant.search.structure import Structure
from quant.search.weights import best_fracs, neighbours

FITTED = 64
"""Images to which weights are fitted, at most."""

HELD_BACK = 4
"""One image in so many judges, and is not fitted to, where there are twice as many."""


@dataclass(frozen=True)
class Option:
    """A candidate.  noise: at the network's outputs, over the signal.  bytes: of the layer's weights, by the entropy of
    their integers.
    """

    candidate: Candidate
    noise: float
    bytes: float


def survey(graph: FloatGraph, images: Given, name: str, candidates: Sequence[Candidate], bits: int = 8) -> list[Option]:
    """What each of some candidates does, of the convolution or fully connected layer of a name.

    images: float32 (N, C, H, W).  bits: of weights to which nothing else is done.
    """
    (layer,) = (each for each in float_convolutions(graph.layers) if each.name == name)
    many = len(images) >= 2 * HELD_BACK
    judging = np.arange(len(images)) % HELD_BACK == HELD_BACK - 1 if many else np.ones(len(images), bool)
    judge = OutputJudge(graph, images[judging])
    placed, known = _placed(graph, images[~judging if many else judging][:FITTED], layer)
    kept: dict[float, np.ndarray | None] = {}  # the same for all that prune as much
    found = []
    for candidate in candidates:
        width, rate = candidate.bits or bits, candidate.prune
        if rate not in kept:
            kept[rate] = candidate.kept(known)
        integers, weight = _rounded(placed, width, candidate.structure(kept[rate]))
        noise = judge.replaced(replace(layer, weight=weight))
        found.append(Option(candidate, noise, entropy(integers) * integers.size / 8))
    return found


def entropy(integers: np.ndarray) -> float:
    """Bits that an integer takes in a code that knows how often each occurs."""
    _, counts = np.unique(integers, return_counts=True)
    shares = counts / integers.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def _placed(graph: FloatGraph, images: Given, layer: FloatConv) -> tuple[Placed, Moments]:
    """The layer between tensors of the float network, and the correlations of its inputs."""
    parts = [tensors for _, tensors in FloatRunner(graph).run(images, (layer.input, layer.output))]
    source, result = (np.concatenate([part[name] for part in parts]) for name in (layer.input, layer.output))
    terms = layer.weight[0].size
    positions = Positions.of(result, layer.groups * terms)
    patches = positions.patches(source, layer.window, layer.groups)
    matrix = None
    if terms <= TERMS:
        matrix = correlations(patches - patches.mean(1, keepdims=True), layer.weight.shape[1] == 1)
    # Of formats and limits, which a rounder does not ask for, nothing is known yet.
    unknown = Operand(QFormat(8, 0), Bound(0, 0))
    placed = Placed(layer, unknown, None, patches, None, positions.take(result), layer.clip, None, None)
    return placed, Moments(layer, matrix)


def _rounded(placed: Placed, bits: int, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """A layer's integers, rounded against its output, and what they stand for: int64 and float32 of its shape."""
    rounder = Rounder(placed, bits, placed.weight[0].size <= TERMS, False, structure)
    tried = neighbours("square")
    if rounder.matrix is None:
        frac = best_fracs(rounder.target.reshape(placed.weight.shape), bits, "square")
    else:
        frac = rounder.best_fracs(False, (0,) if structure.shared else tried)
        frac = rounder.shared_fracs(frac, tried) if structure.shared else frac
    rounder.share(frac)
    integers = rounder.integers(frac, np.arange(len(frac)))
    return integers, dequantize(integers, frac.reshape(-1, 1, 1, 1)).astype(np.float32)
