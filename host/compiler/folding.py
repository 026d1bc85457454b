"""Folding the taps of a first layer into lanes: three input channels would leave most multipliers idle."""

from __future__ import annotations

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Fold, plane_bytes
from hw.contract.timing import pass_cycles
from quant.network import Tensor, Window


def folds(config: AcceleratorConfig, source: Tensor, weight: np.ndarray, window: Window) -> tuple[Fold | None, Window]:
    """The fold of the network's input that is cheapest for one convolution, and the window that is left.

    Tried are none, the kernel's columns, and the whole kernel; the cost is that of passes or of reading,
    whichever takes longer.
    """
    top, left, bottom, right = window.pads
    options: list[tuple[Fold | None, Window]] = [(None, window)]
    if window.kernel[1] > 1:
        columns = Window((1, window.kernel[1]), (1, window.stride[1]), (0, left, 0, right), (1, window.dilation[1]))
        rows = Window((window.kernel[0], 1), (window.stride[0], 1), (top, 0, bottom, 0), (window.dilation[0], 1))
        options.append((Fold(columns), rows))
    if window.kernel != (1, 1):
        options.append((Fold(window), Window()))
    return min(options, key=lambda option: _cost(config, source, weight.shape[0], window, *option))


def _cost(
    config: AcceleratorConfig, source: Tensor, outputs: int, window: Window, fold: Fold | None, left: Window
) -> tuple[int, int]:
    """(cycles, beats read) of the convolution, by passes or by reading."""
    channels, height, width = source.shape
    rows, columns = window.output_size(height, width)
    if fold is not None:
        channels *= fold.window.kernel[0] * fold.window.kernel[1]
        height, width = fold.window.output_size(height, width)
    groups = -(-channels // config.ic_lanes)
    passes = -(-outputs // config.oc_lanes) * groups * left.kernel[0] * left.kernel[1]
    pixels = min(rows * columns, config.partial_sum_depth)
    compute = passes * pass_cycles(config, pixels) * -(-rows * columns // pixels)
    read = groups * plane_bytes(config, height, width) // config.derived.beat_bytes
    return max(compute, read), read


def fold_weights(weight: np.ndarray, fold: Fold | None) -> np.ndarray:
    """Weights (O, I, KH, KW) over the folded channels (ky * KW + kx) * C + c of `Fold`."""
    if fold is None:
        return weight
    outputs, inputs, rows, columns = weight.shape
    if fold.window.kernel == (rows, columns):
        return weight.transpose(0, 2, 3, 1).reshape(outputs, -1, 1, 1)
    return weight.transpose(0, 3, 1, 2).reshape(outputs, columns * inputs, rows, 1)
