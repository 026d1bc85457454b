"""What each layer adds by itself: it alone is quantized, everything before and behind it is float.

A bias that makes good the mean error of the layers before it (bias correction, Nagel et al. 2019) would count here as
an error of its own layer, since those layers are float.  Where a layer's channels have smaller mean errors in the
network than alone, its bias is therefore shifted until they have the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant.compare.loss import OutputLoss
from quant.compare.measure import Errors, ErrorSums
from quant.compare.quantized import QuantizedLayer, Storage, quantized_layer
from quant.compare.walk import Visit, Walk, clipped, outputs_from
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.kinds.conv import FloatConv, float_convolution
from quant.run.calibration import Progress
from quant.run.float_run import LayerRunner, RestRunner

EXPLAINED = 0.5
"""A bias is shifted where its layer's mean errors in the network, in steps of the integers, have less than this share
of their energy alone."""

MEAN_IMAGES = 16
"""Images on which means are taken."""

MEAN_STEPS = 3
"""Newton steps to a bias that gives wanted means behind a clip."""

ACTIVE = 0.05
"""Least share of values that are taken to pass a clip: channels that never do have no bias to find."""


@dataclass(frozen=True)
class Causes:
    """Where the noise that a layer adds comes from; the first three are shares that add up to one.

    weights: rounded weights and bias, measured at the network's outputs with nothing else rounded.  rounding: of
    the output inside its format's range; saturation: of output values beyond it; these two share the rest as their
    errors at the layer's own output do.  mean: the share of all error at its own output that is constant in each
    channel.
    """

    weights: float
    rounding: float
    saturation: float
    mean: float


@dataclass(frozen=True)
class LayerAlone(Errors):
    """The errors at a layer's own output when it alone is quantized, and what they do to the network's outputs.

    layer: empty for the network's input, whose own rounding then is the only error.  causes: None where no noise
    reaches the outputs.
    output_noise: energy of the outputs' error over that of the outputs; output_sqnr_db: the same in dB, None
    without error.  noise_share: of the sum of all layers' output_noise.
    agreement_lost: share of the images that get another class; agreement_risk: the share to be expected where
    noise of this strength meets the float network's margins between classes, which a few images suffice for.
    """

    layer: str
    tensor: str
    format: str
    causes: Causes | None
    output_sqnr_db: float | None
    output_noise: float
    noise_share: float
    agreement_lost: float
    agreement_risk: float


def alone(
    network: Network,
    graph: FloatGraph,
    images: Given,
    shifts: Mapping[str, np.ndarray],
    progress: Progress | None = None,
) -> tuple[LayerAlone, ...]:
    """Quantize each layer by itself, the inputs first, then in execution order.

    images: float32 (N, C, H, W), N >= 1; memory grows with N by the largest tensors that live at one time.
    shifts: of `accumulate`.  Left out are layers that compute nothing (Concat, max pooling): they add no error.
    """
    scales = tensor_scales(network)
    walk = Walk(graph, images)
    found = []
    for name in graph.inputs:
        fmt = network.tensors[name].fmt
        found.append(_input_alone(walk, name, Storage(fmt, (fmt.low, fmt.high), scales[name])))
    for visit in walk.visits():
        quantized = quantized_layer(network, scales, visit.layer)
        if quantized is not None:
            found.append(_layer_alone(walk, visit, own_bias(walk, visit, quantized, shifts)))
        if progress:
            progress("each layer alone", visit.index + 1, len(graph.layers))
    total = sum(entry.output_noise for entry in found)
    return tuple(replace(entry, noise_share=entry.output_noise / total if total else 0.0) for entry in found)


def own_bias(walk: Walk, visit: Visit, quantized: QuantizedLayer, shifts: Mapping[str, np.ndarray]) -> QuantizedLayer:
    """The layer without what its bias makes good for others: its channels' mean errors alone are those of `shifts`."""
    layer, storage = float_convolution(quantized.layer), quantized.storage
    if layer is None or layer.output not in shifts:
        return quantized
    part = slice(0, min(walk.images, MEAN_IMAGES))
    values, _, beside = QuantizedRun(walk.graph, quantized).values(visit, part)
    inherited = shifts[layer.output].mean((1, 2))
    reference = clipped(visit.layer, visit.values[part]).mean((0, 2, 3), dtype=np.float64)

    def mean_errors(bias: np.ndarray) -> np.ndarray:
        codes = quantized.codes(values + bias.astype(np.float32).reshape(-1, 1, 1), beside)
        return reference - storage.values(codes).mean((0, 2, 3), dtype=np.float64)

    bias = np.zeros(len(layer.bias))
    own = mean_errors(bias)
    unit = storage.fmt.step / storage.scales  # in steps of the integers: how a channel is scaled decides nothing
    if np.square(inherited / unit).sum() > EXPLAINED * np.square(own / unit).sum():
        return quantized
    for _ in range(MEAN_STEPS):
        bias += (mean_errors(bias) - inherited) / np.maximum(_passing(layer, values, bias, beside), ACTIVE)
    return replace(quantized, layer=replace(layer, bias=(layer.bias + bias).astype(np.float32)))


def _passing(layer: FloatConv, values: np.ndarray, bias: np.ndarray, beside: np.ndarray | None) -> np.ndarray:
    """The share of each channel's values that the layer's clip leaves as they are: float64 (C,)."""
    sums = values + bias.astype(np.float32).reshape(-1, 1, 1)
    if beside is not None:
        sums += beside
    low, high = layer.clip
    inside = np.ones(sums.shape, bool)
    if low is not None:
        inside &= sums > low
    if high is not None:
        inside &= sums < high
    result: np.ndarray = inside.mean((0, 2, 3))
    return result


def _input_alone(walk: Walk, name: str, storage: Storage) -> LayerAlone:
    rest = RestRunner(walk.graph, 0)
    errors, loss = ErrorSums(storage.fmt, storage.scales), OutputLoss(walk.outputs)
    cut = 0.0
    for part in walk.parts:
        values = walk.inputs[name][part]
        codes = storage.codes(values)
        errors.add(values, codes)
        cut += _cut_off(storage, values, storage.values(codes) - values)
        loss.add(outputs_from(rest, name, storage.values(codes), walk.inputs, part), part)
    return _entry("", name, errors, loss, 0.0, cut / errors.noise if errors.noise else 0.0)


def _layer_alone(walk: Walk, visit: Visit, quantized: QuantizedLayer) -> LayerAlone:
    storage, layer = quantized.storage, visit.layer
    run = QuantizedRun(walk.graph, quantized)
    rest = RestRunner(walk.graph, visit.index + 1)
    errors, loss = ErrorSums(storage.fmt, storage.scales), OutputLoss(walk.outputs)
    unrounded = OutputLoss(walk.outputs)
    stored = cut = 0.0
    for part in walk.parts:
        reference = clipped(layer, visit.values[part])
        values, exact, beside = run.values(visit, part)
        codes = quantized.codes(values, beside)
        errors.add(reference, codes)
        loss.add(outputs_from(rest, layer.output, storage.values(codes), visit.tensors, part), part)
        difference = storage.values(quantized.codes(exact, beside)) - reference  # of the formats alone
        stored += float(np.vdot(difference, difference))
        cut += _cut_off(storage, reference, difference)
        if values is not exact:
            sums = values if beside is None else values + beside
            unrounded.add(outputs_from(rest, layer.output, clipped(layer, sums), visit.tensors, part), part)
    weights = min(unrounded.relative / loss.relative, 1.0) if loss.relative else 0.0
    return _entry(layer.name, layer.output, errors, loss, weights, cut / stored if stored else 0.0)


class QuantizedRun:
    """A quantized layer on the float inputs of a walk."""

    def __init__(self, graph: FloatGraph, quantized: QuantizedLayer) -> None:
        layer = float_convolution(quantized.layer)
        self._runner = self._beside = None
        if layer is not None:
            self._runner = LayerRunner(graph, quantized.bare(layer).with_clip((None, None)))
            self._beside = None if quantized.between is None else layer.residual

    def values(self, visit: Visit, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """What `QuantizedLayer.codes` takes: with these weights, with the float ones, and the residual beside."""
        beside = None if self._beside is None else visit.tensors[self._beside][part]
        exact = visit.values[part] if beside is None else visit.values[part] - beside
        if self._runner is None:
            return exact, exact, None
        return self._runner.run([visit.tensors[name][part] for name in self._runner.inputs]), exact, beside


def _cut_off(storage: Storage, values: np.ndarray, errors: np.ndarray) -> float:
    """The energy of the errors of values that lie beyond the format's range by more than half a unit."""
    unit = (storage.fmt.step / storage.scales).astype(np.float32).reshape(-1, 1, 1)
    beyond = (values < (storage.fmt.low - 0.5) * unit) | (values > (storage.fmt.high + 0.5) * unit)
    found = errors[beyond]
    return float(np.vdot(found, found))


def _entry(layer: str, tensor: str, errors: ErrorSums, loss: OutputLoss, weights: float, cut: float) -> LayerAlone:
    """weights: their share of the noise; cut: the share of the rest that saturation has."""
    causes = Causes(weights, (1 - weights) * (1 - cut), (1 - weights) * cut, errors.mean_share)
    return LayerAlone(
        **vars(errors.errors()),
        layer=layer,
        tensor=tensor,
        format=str(errors.fmt),
        causes=causes if loss.relative else None,
        output_sqnr_db=loss.sqnr_db,
        output_noise=loss.relative,
        noise_share=0.0,
        agreement_lost=loss.agreement_lost,
        agreement_risk=loss.agreement_risk,
    )
