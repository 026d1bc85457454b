"""How number formats are chosen, one step a file: weights, then data, as Qiu et al. 2016 do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from quant.bounds import prove
from quant.calibration import Progress, calibrate
from quant.errors import BadInput
from quant.graph import FloatConv, FloatGraph
from quant.images import prepare
from quant.network import Network
from quant.search.assemble import restrict_bias
from quant.search.data import DataPhase
from quant.search.evidence import best_static_frac
from quant.search.limits import Limits
from quant.search.weights import Granularity, Objective, weight_fracs

__all__ = ["NOTES", "Granularity", "Limits", "Objective", "Precision", "quantize_network"]

Precision = Literal["dynamic", "static"]

NOTES = "quantization.notes"
"""Metadata key: one line for each decision that a user should know of."""

DATA_BITS = (8, 16)
WEIGHT_BITS = (4, 8, 16)


def quantize_network(
    graph: FloatGraph,
    images: np.ndarray,
    *,
    data_bits: int = 8,
    weight_bits: int = 8,
    layer_weight_bits: Mapping[str, int] | None = None,
    precision: Precision = "dynamic",
    granularity: Granularity = "channel",
    bias_bits: int | None = None,
    bias_correction: bool = True,
    objective: Objective = "square",
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Network:
    """Choose a format for every tensor and every weight, and return the integer network.

    images: calibration images, as `quant.images.prepare` takes them.  data_bits: 8 or 16; the network's
    outputs have 16.  weight_bits: 16, 8 or 4; layer_weight_bits: other widths for some layers, by name.
    precision: dynamic chooses a fractional length for each tensor, static one for all data and one for all
    weights.  granularity: weights have a fractional length for each output channel, or one for each layer.
    bias_bits: width of a format that the biases of each layer share, as published; by default they are as
    fine as the accumulator that they are added to.
    bias_correction: whether each layer's bias takes up the mean error of its channels too (after bias_bits).
    objective: what both phases minimise, squared errors or as published absolute ones.
    As published: granularity layer, objective absolute, bias_bits 8, no bias_correction.
    limits: of the engine; by default those of its configuration for these widths.
    The same graph and images give the same network.
    Raises BadInput for unusable images and options; UnsupportedNetwork where no format respects the limits.
    """
    convolutions = [layer for layer in graph.layers if isinstance(layer, FloatConv)]
    bits = {layer.name: weight_bits for layer in convolutions} | dict(layer_weight_bits or {})
    words = (
        ("precision", precision, Precision),
        ("granularity", granularity, Granularity),
        ("objective", objective, Objective),
    )
    _check_options(graph, data_bits, bits, bias_bits, {layer.name for layer in convolutions}, *words)
    images = prepare(images, graph, "calibration images")
    limits = limits or Limits.of(data_bits, max(bits.values(), default=weight_bits))
    static, uniform = precision == "static", precision == "static" or granularity == "layer"
    if uniform:  # one small channel would make its whole layer coarser
        limits = replace(limits, bias_reach=1 << (limits.acc_bits - 1))
    ranges = calibrate(graph, images, progress)
    fracs = weight_fracs(convolutions, bits, granularity, static, objective, progress)
    phase = DataPhase(
        graph if bias_bits is None else _restrict_biases(graph, bias_bits, objective),
        images,
        ranges,
        bits,
        fracs,
        data_bits,
        limits,
        objective,
        uniform=uniform,
        correct_bias=bias_correction,
        static_frac=best_static_frac(ranges, graph.shapes, data_bits, objective) if static else None,
    )
    network = phase.run(progress)
    prove(network, limits.acc_bits)
    metadata = {
        "quantization.data_bits": str(data_bits),
        "quantization.weight_bits": str(weight_bits),
        "quantization.precision": precision,
        "quantization.granularity": "layer" if uniform else granularity,
        "quantization.objective": objective,
        "quantization.bias_correction": "yes" if bias_correction else "no",
        "quantization.images": str(len(images)),
    }
    if phase.notes:
        metadata[NOTES] = "\n".join(phase.notes)
    return replace(network, metadata=network.metadata | metadata)


def _check_options(
    graph: FloatGraph,
    data_bits: int,
    bits: Mapping[str, int],
    bias_bits: int | None,
    layers: set[str],
    *words: tuple[str, str, object],
) -> None:
    if data_bits not in DATA_BITS:
        raise BadInput(f"data can have 8 or 16 bits, not {data_bits}")
    for name, width in bits.items():
        if name not in layers:
            raise BadInput(f"{graph.name} has no convolution or fully connected layer {name}")
        if width not in WEIGHT_BITS:
            raise BadInput(f"weights can have 4, 8 or 16 bits, not {width}")
    if bias_bits is not None and not 2 <= bias_bits <= 32:
        raise BadInput(f"biases can have 2 to 32 bits, not {bias_bits}")
    for option, value, kind in words:
        if value not in get_args(kind):
            raise BadInput(f"{option} is {' or '.join(get_args(kind))}, not {value}")


def _restrict_biases(graph: FloatGraph, bits: int, objective: Objective) -> FloatGraph:
    layers = tuple(
        replace(layer, bias=restrict_bias(layer.bias, bits, objective)) if isinstance(layer, FloatConv) else layer
        for layer in graph.layers
    )
    return replace(graph, layers=layers)
