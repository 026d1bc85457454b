"""Why a layer adds the noise that it adds, in words: each a measured fact, and none where nothing is clear."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quant.compare.accumulated import TensorComparison
from quant.compare.alone import LayerAlone
from quant.compare.quantized import QuantizedLayer
from quant.compare.storage import format_group
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import FloatLayer
from quant.ir.network import Network
from quant.kinds.conv import FloatConv, float_convolution
from quant.search.assemble import channel_parts

MAIN = 0.5
"""Share of a layer's noise from which on a cause is the main one."""

UNEQUAL = 4.0
"""Ratio of two ranges in one format from which on the smaller one lacks bits that matter: two."""

OUTLIER_CHANNEL = 8.0
"""Ratio of one channel's weights to the median channel's: three bits."""

OUTLIER_WEIGHT = 8.0
"""Ratio of a channel's largest weight to their root mean square; of normally distributed ones it is 3 to 4."""

FEW_WEIGHTS = 32
"""Sums of fewer products than this average little of their weights' errors out."""

FEW_BITS = 4
"""Weights of this width and below are few distinct values."""

FILLED = 0.7
"""Share of a format that its largest value fills, below which more than half a bit is unused."""

GROWS = 10.0
"""dB by which an error's share grows on the way to the output, from which on that is what makes it matter."""


def reason(
    network: Network,
    layer: FloatLayer | None,
    quantized: QuantizedLayer | None,
    entry: LayerAlone,
    tensors: Mapping[str, TensorComparison],
) -> str:
    """What explains a layer's noise; empty where nothing does.

    layer, quantized: None for the network's input.  tensors: every compared tensor by name.
    """
    causes = entry.causes
    if causes is None:
        return ""
    words = []
    if causes.mean >= MAIN:
        words.append(
            f"{100 * causes.mean:.0f} % of its error is constant in each channel: its bias does not fit these images"
        )
    if causes.saturation >= MAIN:
        words += _saturation(entry, tensors[entry.tensor])
    elif causes.weights >= MAIN and (conv := float_convolution(layer)) and quantized is not None:
        words += _weights(conv, quantized)
    elif causes.rounding >= MAIN:
        words += _rounding(network, layer, entry, tensors)
    own, output = entry.sqnr_db, entry.output_sqnr_db
    if not words and own is not None and output is not None and own - output >= GROWS:
        words.append(f"what follows lets its error grow by {own - output:.0f} dB")
    return "; ".join(words)


def _saturation(entry: LayerAlone, tensor: TensorComparison) -> list[str]:
    spread, fmt = tensor.spread, parse(entry.format)
    words = [f"{100 * entry.saturated:.2g} % of its values lie beyond the format"]
    over = spread.largest / (fmt.high * fmt.step)
    if spread.percentile and spread.largest >= UNEQUAL * spread.percentile:
        words.append(f"outlier values, {spread.largest / spread.percentile:.1f} times the 99.99th percentile")
    elif over > 1:
        words.append(f"the largest reaches {over:.2f} times its end")
    return words


def _weights(layer: FloatConv, quantized: QuantizedLayer) -> list[str]:
    conv, factor = quantized.conv, quantized.factor
    if conv is None or factor is None:
        return []
    words = []
    largest, strength = np.empty((2, len(layer.weight)))
    for part in channel_parts(layer.weight):
        rows = np.abs((layer.weight[part] * factor[part]).reshape(len(factor[part]), -1))
        largest[part], strength[part] = rows.max(1), np.sqrt(np.square(rows).mean(1))
    median = float(np.median(largest))
    if conv.weight_bits <= FEW_BITS:
        words.append(f"{conv.weight_bits}-bit weights")
    uniform = len(largest) > 1 and bool((conv.weight_frac == conv.weight_frac[0]).all())
    if uniform and median and largest.max() >= OUTLIER_CHANNEL * median:
        place = int(largest.argmax())
        words.append(
            f"outlier channel {place}: its weights reach {largest[place] / median:.0f} times the median channel's, "
            "and all share one format"
        )
    unused = _unused_weight_bits(conv.weight, conv.weight_bits)
    if unused >= 1:
        words.append(f"{_bits(unused)} of the weights unused in the median channel")
    peaks = largest[strength > 0] / strength[strength > 0]
    if peaks.size and float(np.median(peaks)) >= OUTLIER_WEIGHT:
        words.append(f"outlier weights: the largest is {float(np.median(peaks)):.0f} times the root mean square")
    if not words and rows.shape[1] < FEW_WEIGHTS:
        kind = "depthwise, " if layer.groups == len(layer.weight) and layer.groups > 1 else ""
        words.append(f"{kind}{rows.shape[1]} weights an output: their errors do not average out")
    return words


def _unused_weight_bits(weight: np.ndarray, bits: int) -> int:
    """Top bits, without the sign, that the median channel's weights leave unused."""
    rows = weight.reshape(len(weight), -1)
    largest = np.maximum(-rows.min(1).astype(np.int64), rows.max(1))
    return bits - 1 - int(np.median([int(value).bit_length() for value in largest]))


def _rounding(
    network: Network, layer: FloatLayer | None, entry: LayerAlone, tensors: Mapping[str, TensorComparison]
) -> list[str]:
    tensor = tensors[entry.tensor]
    spread, fmt = tensor.spread, parse(entry.format)
    words = []
    others = [tensors[name] for name in format_group(network, entry.tensor) if name in tensors]
    wide = max(others, key=lambda other: other.spread.largest)
    if spread.largest and wide.spread.largest >= UNEQUAL * spread.largest:
        words.append(
            f"shares its format with {wide.tensor}, whose values reach {wide.spread.largest / spread.largest:.1f} "
            "times further"
        )
    elif spread.percentile and spread.largest >= UNEQUAL * spread.percentile:
        times = spread.largest / spread.percentile
        words.append(f"outlier values: the format holds values {times:.1f} times the 99.99th percentile")
    elif tensor.unused_bits:
        words.append(f"{_bits(tensor.unused_bits)} of its format unused")
    elif spread.largest < FILLED * fmt.high * fmt.step:
        words.append(f"its values fill {100 * spread.largest / (fmt.high * fmt.step):.0f} % of the format")
    if fmt.signed and spread.low >= 0:
        words.append("a signed format for values that are never negative")
    if 0 < spread.median_channel <= 1 / UNEQUAL:
        ratio = spread.median_channel
        words.append(
            f"unequal channel ranges: the median channel has {-math.log2(ratio):.1f} bits less than the widest"
        )
    words += _operands(layer, tensor, tensors)
    return words


def _operands(layer: FloatLayer | None, tensor: TensorComparison, tensors: Mapping[str, TensorComparison]) -> list[str]:
    """A sum whose format is made for one operand and rounds the other."""
    names = () if layer is None else layer.added
    found = [tensors[name] for name in names if name in tensors and tensors[name].spread.largest > 0]
    if not found:
        return []
    weak = min(found, key=lambda operand: operand.spread.largest)
    times = tensor.spread.largest / weak.spread.largest
    if times < UNEQUAL:
        return []
    return [f"residual of unequal range: the sum reaches {times:.1f} times {weak.tensor}"]


def _bits(count: int) -> str:
    return f"{count} top bit{'s' if count > 1 else ''}"


def parse(text: str) -> QFormat:
    """A format from what QFormat writes itself as, such as u8.5."""
    bits, frac = text[1:].split(".")
    return QFormat(int(bits), int(frac), text[0] == "s")
