"""Free scales: every channel of every tensor may be multiplied by some s > 0 that what reads it divides by.

The network computes the same function (Nagel et al. 2019, cross-layer equalization), so a power-of-two format need
not cost what rounding a scale to a power of two costs:
- channels of small range are raised towards the tensor's: s = (tensor's maximum / channel's)**alpha;
- then one factor for all tensors that additions, pooling and concatenations tie together moves their ranges to where
  a power-of-two format loses least;
- a clip at the top (ReLU6) moves onto the format's largest value, where saturation does it for nothing.  Such tensors
  have one scale for all channels: the clip makes channels alike already, and what raising gives the data of the
  weaker it takes from the weights that read them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.run.calibration import TensorRange, positions
from quant.run.images import RAW
from quant.search.fit_weights import fit_to_weights
from quant.search.groups import Group
from quant.search.options import Options
from quant.search.ties import Ties
from quant.search.weights import neighbours, overflow_free_frac

MOST = 8.0
"""Largest factor by which a channel is raised against its tensor: three bits of its eight."""

STEPS = 12
"""Factors tried within an octave."""

INPUT_STEPS = 96
"""The same for the network's input, all of whose noise goes through every layer: pixels end where they end, and a
white one that saturates costs more than half a step."""

KNOWN = 10_000
"""Values of a channel of the input from which its range counts as known."""


def free_scales(
    graph: FloatGraph, ranges: Mapping[str, TensorRange], groups: Mapping[str, Group], options: Options
) -> dict[str, np.ndarray]:
    """Choose the scales of every tensor: float64 (C,) by name.

    ranges: `calibrate` of the calibration images; groups: the tensors that share a format.  options: with an
    exponent with which channels of small range are raised: ranges found on few images are not fitted whole.
    The network's outputs, an input of raw pixels, and what layers read and write that are not linear, such as tables,
    keep scales of one, and so does what is tied to them.  The scales of the input are float32 numbers: the host
    multiplies by them.
    """
    tops = {layer.output: layer.clip[1] for layer in graph.layers}
    fixed = unscaled(graph)
    alpha = options.equalization or 0.0
    if RAW in graph.metadata or not options.input_scales:
        fixed.update(graph.inputs)
    bounds = {name: top for name, top in tops.items() if top is not None and top > 0}
    clipped_otherwise = {layer.output for layer in graph.layers if layer.clip not in ((None, None), (0, None))}
    ties = Ties(graph)
    raised = np.full(ties.count, np.inf)
    for name in graph.shapes:
        factors = np.ones(graph.shapes[name][0])
        if name not in clipped_otherwise:
            seen = len(ranges[name].samples) * int(np.prod(graph.shapes[name][1:]))
            whole = name in graph.inputs and seen >= KNOWN
            factors = _raise(ranges[name], 1.0 if whole else alpha)
        np.minimum.at(raised, ties.channels[name], factors)
    scales = {name: raised[ties.channels[name]] for name in graph.shapes}
    free: set[str] = set()
    for tensors in ties.components():
        if fixed.intersection(tensors):
            scales |= {name: np.ones(graph.shapes[name][0]) for name in tensors}
            continue
        clipped = [name for name in tensors if name in bounds]
        if clipped and not options.clip_scales:
            factor = 1.0
        elif clipped:
            factor = _onto_the_top(bounds[clipped[0]], groups[clipped[0]])
        else:
            finest = max(neighbours(options.objective))
            outer = any(name in graph.inputs for name in tensors)
            steps = INPUT_STEPS if outer else STEPS
            factor = _best_factor(tensors, scales, ranges, groups, graph, steps, finest)
        scales |= {name: scales[name] * factor for name in tensors}
        if any(name in graph.inputs for name in tensors):  # what is tied to it has the same scales, to the last bit
            scales |= {name: scales[name].astype(np.float32).astype(np.float64) for name in tensors}
        elif not clipped_otherwise.intersection(tensors):
            free.update(tensors)
    if options.weight_scales:
        return fit_to_weights(graph, ranges, scales, ties, frozenset(free), options.bits(graph))
    return scales


def unscaled(graph: FloatGraph) -> set[str]:
    """The network's outputs, and the tensors around what is not linear: with what is tied to them, of scale one."""
    bent = [layer for layer in graph.layers if layer.tied(graph.shapes) is None]
    return {*graph.outputs, *(name for layer in bent for name in (*layer.inputs, layer.output))}


def _raise(found: TensorRange, alpha: float) -> np.ndarray:
    """The factor of each channel, 1 to MOST.  A channel that is always zero has no say: it gets the most.

    (What is tied to it decides then, the least of all.)  With an exponent of 1 every channel would use its format
    whole, and weak ones saturate on images whose ranges are a little larger than those seen.
    """
    largest = np.maximum(-found.low, found.high).astype(np.float64)
    whole = largest.max()
    if whole <= 0 or not alpha:
        return np.ones(len(largest))
    with np.errstate(divide="ignore"):
        return np.minimum((whole / largest) ** alpha, MOST)


def _onto_the_top(bound: float, group: Group) -> float:
    """The factor, 1 to 2, that moves a clip onto the largest value of a power-of-two format."""
    top = QFormat(group.bits, 0, group.signed).high / bound
    return top * 2.0 ** -math.floor(math.log2(top))


def _best_factor(
    tensors: list[str],
    scales: Mapping[str, np.ndarray],
    ranges: Mapping[str, TensorRange],
    groups: Mapping[str, Group],
    graph: FloatGraph,
    steps: int,
    finest: int,
) -> float:
    """The factor in [1, 2), of so many, with which all formats of these tensors together lose least, relative to
    their signals.  finest: how far above the fractional length that avoids overflow a format may be.

    An octave is all there is to try: a factor of two is another fractional length of the same format.
    """
    losses = []
    for group in {groups[name]: None for name in tensors}:
        values, weights = [], []
        for name in group.sources:
            if name in tensors:
                scale = sampled_scales(scales[name], ranges[name].samples, graph.shapes[name])
                values.append((ranges[name].samples * scale).ravel())
                weights.append((np.prod(graph.shapes[name]) / scale.shape[1] / scale**2).ravel())
        if values:
            losses.append(_loss(np.concatenate(values), np.concatenate(weights), group, finest))
    factors = [2.0 ** (step / steps) for step in range(steps)]
    return min(factors, key=lambda factor: sum(loss(factor) for loss in losses))


def _loss(values: np.ndarray, weights: np.ndarray, group: Group, finest: int) -> Callable[[float], float]:
    signal = float(np.vdot(values * weights, values))
    values, weights = values.astype(np.float32), weights.astype(np.float32)

    def loss(factor: float) -> float:
        """The least error of a format, over the signal, once everything is multiplied by the factor."""
        start = overflow_free_frac(float(values.min()) * factor, float(values.max()) * factor, group.bits, group.signed)
        if start is None or not signal:
            return 0.0
        least = np.inf
        for frac in range(start, start + finest + 1):  # finer ones saturate more and more
            fmt = QFormat(group.bits, frac, group.signed)
            error = values * np.float32(factor / fmt.step)
            np.rint(error, out=error)
            np.clip(error, fmt.low, fmt.high, out=error)
            error *= np.float32(fmt.step / factor)
            error -= values
            found = float(np.einsum("i,i,i->", error, error, weights))
            if found >= least:
                break
            least = found
        return least / signal

    return loss


def sampled_scales(scales: np.ndarray, samples: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The scale of each value that `calibrate` kept.  scales: (C,); samples: (N, S) of (C, H, W).  Returns (N, S)."""
    size, area = int(np.prod(shape)), shape[1] * shape[2]
    return np.stack([scales[positions(size, image) // area] for image in range(len(samples))])
