"""How number formats are chosen, one step a file: weights, then data, as Qiu et al. 2016 do it, and what goes past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from quant.ir.bounds import prove
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.scales import with_scales
from quant.ir.target import Target
from quant.ir.well_formed import well_formed
from quant.kinds.conv import float_convolution, float_convolutions
from quant.run.calibration import Progress, calibrate
from quant.run.images import Images, prepared
from quant.search.assemble import restrict_bias
from quant.search.caution import cautious
from quant.search.data import DataPhase
from quant.search.equalize import free_scales
from quant.search.evidence import best_static_frac
from quant.search.groups import group_tensors, positive_tensors
from quant.search.mixed import NARROW, Cost, mixed_bits
from quant.search.options import Effort, Options, Precision
from quant.search.select import select
from quant.search.structure import Structure, check_structures
from quant.search.weights import Granularity, Objective, static_fracs

__all__ = [
    "NOTES",
    "Cost",
    "Effort",
    "Granularity",
    "Objective",
    "Options",
    "Precision",
    "Structure",
    "quantize_network",
]

NOTES = "quantization.notes"
"""Metadata key: one line for each decision that a user should know of."""


def quantize_network(
    graph: FloatGraph,
    images: Images,
    *,
    effort: Effort = "default",
    budget: float | None = None,
    cost: Cost | None = None,
    target: Target | None = None,
    structures: Mapping[str, Structure] | None = None,
    progress: Progress | None = None,
    **changes: Any,
) -> Network:
    """Choose a format for every tensor and every weight, and return the integer network.

    images: calibration images, as `quant.run.images.prepare` takes them, or a set of them.  effort: which steps are
    taken, and changes: fields of `quant.search.options.Options` that differ from them.
    budget: what weights may cost; layers are lowered to 4 bits until they do, the least sensitive first.
    cost: widths of weights by layer to what they cost; bytes by default.
    target: what the hardware can do, by default what its presets can; widened where the options are.
    structures: which integers weights may be, by layer, where something is asked of them.
    Where images are few, the effort's steps that are fitted to them are taken only if images held back bear them out.
    The same graph and images give the same network.
    Raises BadInput for unusable images and options; UnsupportedNetwork where no format respects the target.
    """
    options = Options.of(effort, **changes)
    options.check(graph)
    structures = structures or {}
    check_structures(graph, structures)
    if any(structure.settled for structure in structures.values()):
        options = replace(options, equalization=None)  # channels that were scaled would not share values any more
    images = prepared(images, graph, "calibration images")
    notes: list[str] = []
    if budget is not None:
        wide = options.bits(graph)
        bits = mixed_bits(graph, images, wide, budget, cost, progress)
        options = replace(options, layer_weight_bits=bits)
        lowered = sum(bits[name] < wide[name] for name in bits)
        notes.append(f"budget: {lowered} of {len(bits)} layers have {NARROW}-bit weights")

    def quantize(part: Images, trial: Options) -> Network:
        return _quantize(graph, part, trial, target, structures, None)[0]

    line = ""
    if options.select:
        options, line = select(graph, images, options, quantize, progress)
    if not line and not {"rounding", "equalization"}.intersection(changes):  # what is asked for by name is done
        options, line = cautious(graph, images, options, quantize, progress)
    notes += [line] if line else []
    network, more = _quantize(graph, images, options, target, structures, progress)
    metadata = options.described() | {"quantization.effort": effort, "quantization.images": str(len(images))}
    if notes + more:
        metadata[NOTES] = "\n".join(notes + more)
    return well_formed(replace(network, metadata=network.metadata | metadata))


def _quantize(
    graph: FloatGraph,
    images: Images,
    options: Options,
    target: Target | None,
    structures: Mapping[str, Structure],
    progress: Progress | None,
) -> tuple[Network, list[str]]:
    """One pass of the search with settled options: the network, and its notes."""
    bits = options.bits(graph)
    widest = max(bits.values(), default=options.weight_bits)
    target = (target or Target()).widened(options.data_bits, widest)
    static = options.precision == "static"
    if options.uniform:  # one small channel would make its whole layer coarser
        target = replace(target, bias_reach=1 << (target.acc_bits - 1))
    ranges = calibrate(graph, images, progress)
    scales = {name: np.ones(shape[0]) for name, shape in graph.shapes.items()}
    if options.free_scales:
        groups, _ = group_tensors(graph, options.data_bits, positive_tensors(graph, ranges))
        scales = free_scales(graph, ranges, groups, options)
    convolutions = float_convolutions(graph.layers)
    phase = DataPhase(
        graph if options.bias_bits is None else _restrict_biases(graph, options.bias_bits, options.objective),
        images,
        ranges,
        static_fracs(convolutions, bits, options.objective) if static else {},
        scales,
        options,
        target,
        best_static_frac(ranges, graph.shapes, options.data_bits, options.objective) if static else None,
        structures,
    )
    network = phase.run(progress)
    network = with_scales(network, phase.scales)  # of the sums that only the fixed-point network has, too
    prove(network, target.acc_bits)
    return network, phase.notes


def _restrict_biases(graph: FloatGraph, bits: int, objective: Objective) -> FloatGraph:
    layers = tuple(
        replace(conv, bias=restrict_bias(conv.bias, bits, objective)) if (conv := float_convolution(layer)) else layer
        for layer in graph.layers
    )
    return replace(graph, layers=layers)
