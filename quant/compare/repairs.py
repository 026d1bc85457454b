"""What would make a layer's own error smaller: changes of one format each, tried, with what they bring and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from quant.compare.alone import LayerAlone, QuantizedRun, own_bias
from quant.compare.loss import OutputLoss
from quant.compare.measure import decibels
from quant.compare.quantized import QuantizedLayer, Storage, quantized_layer
from quant.compare.storage import storage_changes
from quant.compare.walk import Visit, Walk, clipped, outputs_from
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.ir.scales import tensor_scales
from quant.kinds.conv import FloatConv, float_convolution
from quant.run.calibration import Progress
from quant.run.float_run import RestRunner
from quant.search.assemble import channel_parts, quantize_weights, real_weights
from quant.search.weights import best_fracs

WORTH = 1.0
"""dB at the network's outputs below which a change is no repair."""

HALF = 3.0
"""dB that take away half of the noise."""

COVERED = 0.95
"""Layers are repaired, the worst first, until those left add less than the rest of this share of the noise."""

MOST = 12
"""Layers that are repaired at most."""


@dataclass(frozen=True)
class Repair:
    """One change to one layer, measured with that layer alone quantized.

    change: in words.  gain_db: by how much the network's outputs come nearer to float.  bytes: what it costs an
    image, of weights read and of feature maps written and read; 0 where only a format changes.
    """

    change: str
    gain_db: float
    bytes: int


@dataclass(frozen=True, eq=False)
class _Change:
    words: str
    bytes: int
    quantized: QuantizedLayer
    corrects: bool = False


def repairs(
    network: Network,
    graph: FloatGraph,
    images: Given,
    layers: tuple[LayerAlone, ...],
    shifts: Mapping[str, np.ndarray],
    progress: Progress | None = None,
) -> dict[str, tuple[Repair, ...]]:
    """Try changes on the tensors that add most noise: by tensor, every change tried, the largest gain first.

    images, shifts: as of `alone`, which gave `layers`.
    """
    chosen = _worst(layers)
    scales = tensor_scales(network)
    walk = Walk(graph, images)
    found = {}
    for name in graph.inputs:
        if name in chosen:
            found[name] = _repair_input(network, walk, name, scales[name])
    for visit in walk.visits():
        quantized = quantized_layer(network, scales, visit.layer)
        if quantized is None or visit.layer.output not in chosen:
            continue
        quantized = own_bias(walk, visit, quantized, shifts)
        rest = RestRunner(graph, visit.index + 1)
        before = _noise(walk, visit, rest, quantized, corrects=False)
        conv = float_convolution(visit.layer)
        changes = chain(
            (
                _Change(change.words, change.bytes, replace(quantized, storage=change.storage))
                for change in storage_changes(
                    network, visit.layer.output, quantized.storage, *_ends(clipped(visit.layer, visit.values))
                )
            ),
            weight_changes(conv, quantized) if conv else (),
        )
        found[visit.layer.output] = _ranked(
            (change.words, change.bytes, before, _noise(walk, visit, rest, change.quantized, change.corrects))
            for change in changes
        )
        if progress:
            progress("repairs", len(found), len(chosen))
    return found


def _ranked(tried: Iterable[tuple[str, int, float, float]]) -> tuple[Repair, ...]:
    """Words, bytes, noise before and after, as repairs; changes that nothing is known of are left out."""
    found = [(words, decibels(before, after), cost) for words, cost, before, after in tried]
    measured = [Repair(words, gain, cost) for words, gain, cost in found if gain is not None]
    return tuple(sorted(measured, key=lambda repair: -repair.gain_db))


def _repair_input(network: Network, walk: Walk, name: str, scales: np.ndarray) -> tuple[Repair, ...]:
    fmt, given = network.tensors[name].fmt, walk.inputs[name]
    rest = RestRunner(walk.graph, 0)

    def noise(storage: Storage) -> float:
        loss = OutputLoss(walk.outputs)
        for part in walk.parts:
            values = storage.values(storage.codes(given[part]))
            loss.add(outputs_from(rest, name, values, walk.inputs, part), part)
        return loss.relative

    storage = Storage(fmt, (fmt.low, fmt.high), scales)
    before = noise(storage)
    changes = storage_changes(network, name, storage, *_ends(given))
    return _ranked((change.words, change.bytes, before, noise(change.storage)) for change in changes)


def cheapest(tried: tuple[Repair, ...]) -> Repair | None:
    """The change to make: of those that take away half of the noise, the one that costs least.

    Where none does, the one that takes away most for its bytes, if it is worth it at all.
    """
    halves = [repair for repair in tried if repair.gain_db >= HALF]
    if halves:
        return min(halves, key=lambda repair: (repair.bytes, -repair.gain_db))
    worth = [repair for repair in tried if repair.gain_db >= WORTH]
    free = [repair for repair in worth if not repair.bytes]
    if free:
        return max(free, key=lambda repair: repair.gain_db)
    return max(worth, key=lambda repair: (1 - 10 ** (-repair.gain_db / 10)) / repair.bytes, default=None)


def _worst(layers: tuple[LayerAlone, ...]) -> set[str]:
    """The tensors that add most noise."""
    ranked = sorted(layers, key=lambda entry: -entry.noise_share)
    chosen: set[str] = set()
    covered = 0.0
    for entry in ranked[:MOST]:
        if covered < COVERED and entry.output_noise > 0:
            chosen.add(entry.tensor)
            covered += entry.noise_share
    return chosen


def _noise(walk: Walk, visit: Visit, rest: RestRunner, quantized: QuantizedLayer, corrects: bool) -> float:
    """The noise at the network's outputs.  corrects: give the layer float's mean in each channel first."""
    if corrects and (conv := float_convolution(quantized.layer)):
        quantized = _corrected(walk, visit, quantized, conv)
    run, loss = QuantizedRun(walk.graph, quantized), OutputLoss(walk.outputs)
    for part in walk.parts:
        values, _, beside = run.values(visit, part)
        found = quantized.storage.values(quantized.codes(values, beside))
        loss.add(outputs_from(rest, visit.layer.output, found, visit.tensors, part), part)
    return loss.relative


def _corrected(walk: Walk, visit: Visit, quantized: QuantizedLayer, layer: FloatConv) -> QuantizedLayer:
    run = QuantizedRun(walk.graph, quantized)
    missing = np.zeros(len(layer.bias))
    for part in walk.parts:
        values, exact, _ = run.values(visit, part)
        missing += (exact - values).mean((2, 3), dtype=np.float64).sum(0)
    bias = layer.bias + missing / walk.images
    return replace(quantized, layer=replace(layer, bias=bias.astype(np.float32)))


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest value of each channel."""
    return values.min((0, 2, 3)), values.max((0, 2, 3))


def weight_changes(layer: FloatConv, quantized: QuantizedLayer) -> Iterator[_Change]:
    """Other weights of a convolution, each made when its turn comes, from a few channels at a time."""
    conv, factor = quantized.conv, quantized.factor
    assert conv is not None and factor is not None
    yield _Change("bias corrected on images like these", 0, quantized, corrects=True)

    def rounded(bits: int, frac: np.ndarray) -> QuantizedLayer:
        values = np.empty(layer.weight.shape, np.float32)
        for part in channel_parts(layer.weight):
            integers = quantize_weights(layer.weight[part].astype(np.float64) * factor[part], bits, frac[part])
            values[part] = real_weights(integers, frac[part], factor[part])
        # its mean error is corrected anew: the old bias belongs to the old weights
        changed = replace(layer, weight=values)
        return replace(quantized, layer=changed)

    if len(conv.weight) > 1 and (conv.weight_frac == conv.weight_frac[0]).all():
        parts = channel_parts(layer.weight)
        scaled = (layer.weight[part].astype(np.float64) * factor[part] for part in parts)
        frac = np.concatenate([best_fracs(part, conv.weight_bits, "square") for part in scaled])
        yield _Change("weights with a format for each output channel", 0, rounded(conv.weight_bits, frac), True)
    for bits in (8, 16):
        if bits > conv.weight_bits:
            frac = conv.weight_frac + (bits - conv.weight_bits)
            cost = layer.weight.size * (bits - conv.weight_bits) // 8
            yield _Change(f"weights at {bits} bits", cost, rounded(bits, frac), True)
