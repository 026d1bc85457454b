"""Free scales for weights of few bits: each output channel's row is moved to where a power-of-two step suits it.

With 4 bits the step decides what is lost: half a step too coarse or too much cut off costs more than any rounding
makes good.  A power-of-two step is up to sqrt(2) from the best one, but the channel's scale is free, so
multiplying row and bias by some f in (1/2, 1] lets the step be what a float scale would be.  The data of the channel
pay for it with at most one bit of their eight, whose noise lies far below that of 4-bit weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.kinds.conv import FloatConv, float_convolutions
from quant.run.calibration import TensorRange, positions
from quant.search.assemble import channel_parts
from quant.search.ties import Ties
from quant.search.weights import NEIGHBOURS, overflow_free_fracs

NARROW = 4
"""Bits of weights from which down their rows are fitted."""

FACTORS = 2.0 ** -(np.arange(8) / 8)
"""Tried of each channel; the step does the rest of an octave."""


def fit_to_weights(
    graph: FloatGraph,
    ranges: Mapping[str, TensorRange],
    scales: Mapping[str, np.ndarray],
    ties: Ties,
    free: frozenset[str],
    bits: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """The scales of every tensor, float64 (C,) by name, once rows of few bits are fitted.

    scales: before that; free: the tensors whose channels' scales can still be multiplied, with all that is tied to
    them; bits: of each convolution's weights.  Layers follow each other, so the scales of a row's inputs are settled
    when its turn comes.  Channels that additions tie together have several rows, which no one factor suits: they stay.
    """
    fitted = dict(scales)
    convolutions = float_convolutions(graph.layers)
    rows = np.zeros(ties.count, np.int64)
    for layer in convolutions:
        rows[ties.channels[layer.output]] += 1
    for layer in convolutions:
        if layer.output not in free or bits[layer.name] > NARROW:
            continue
        channels = ties.channels[layer.output]
        losses = row_losses(layer, ranges[layer.input], fitted, graph.shapes[layer.input], bits[layer.name])
        factors = np.ones(ties.count)
        factors[channels] = np.where(rows[channels] == 1, FACTORS[losses.argmin(1)], 1)
        for name in free:
            fitted[name] = fitted[name] * factors[ties.channels[name]]
    return fitted


def row_losses(
    layer: FloatConv, read: TensorRange, scales: Mapping[str, np.ndarray], shape: tuple[int, int, int], bits: int
) -> np.ndarray:
    """What rounding each output channel's weights to the nearest loses in its output, by factor: float64 (O, F).

    read: of the layer's input, shape (C, H, W); errors of a weight count by the mean square of what it meets.
    """
    outputs, inputs = layer.weight.shape[:2]

    def by_output(values: np.ndarray) -> np.ndarray:  # of each channel of the input, for those that read it
        return np.repeat(values.reshape(layer.groups, inputs), outputs // layer.groups, axis=0)[:, :, None]

    into = by_output(scales[layer.input])
    met = by_output(mean_squares(read, shape) * scales[layer.input] ** 2)
    out = scales[layer.output].reshape(-1, 1, 1)
    losses = np.empty((outputs, len(FACTORS)))
    for part in channel_parts(layer.weight):
        rows = layer.weight[part].astype(np.float64)
        rows = rows.reshape(len(rows), inputs, -1) * (out[part] / into[part])
        counts = np.broadcast_to(met[part], rows.shape).reshape(len(rows), -1)
        losses[part] = _losses(rows.reshape(counts.shape), counts, QFormat(bits, 0))
    return losses


def _losses(rows: np.ndarray, counts: np.ndarray, fmt: QFormat) -> np.ndarray:
    """As `row_losses`, of scaled weights float64 (O, K), whose errors count so much."""
    losses = np.empty((len(rows), len(FACTORS)))
    for place, factor in enumerate(FACTORS.tolist()):
        starts = overflow_free_fracs(rows * factor, fmt.bits)
        start = np.array([0 if frac is None else frac for frac in starts])
        tried = []
        for n in NEIGHBOURS:
            units = np.ldexp(rows * factor, (start + n)[:, None])
            error = np.ldexp(np.clip(np.rint(units), fmt.low, fmt.high) - units, -(start + n)[:, None]) / factor
            tried.append(np.einsum("ok,ok,ok->o", error, error, counts))
        losses[:, place] = np.min(tried, axis=0)
    return losses


def mean_squares(found: TensorRange, shape: tuple[int, int, int]) -> np.ndarray:
    """The mean square of each channel's values: float64 (C,).  shape: (C, H, W) of the tensor."""
    size, area = int(np.prod(shape)), shape[1] * shape[2]
    channels = np.concatenate([positions(size, image) // area for image in range(len(found.samples))])
    squares = np.square(found.samples, dtype=np.float64).ravel()
    counts = np.bincount(channels, minlength=shape[0])
    total: np.ndarray = np.bincount(channels, squares, shape[0]) / np.maximum(counts, 1)
    return total
