"""Maps that are larger than what they are made of: an element becomes a block, of copies or of several channels.

Rows go apart where results are stored (`Spread`).  Columns do not, since a STORE moves neighbours only; so a second
layer sees the map with every word as a row of its own, and makes rows of it that are as long as a block is wide.  Seen
as words, one behind the other, its results are the enlarged map.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import HIDDEN, EngineLayer, Spread, unchanged
from hw.contract.layout import byte_lanes, planes_of
from quant.ir.tensor import Tensor
from quant.ir.window import Window

STANDING = Window((1, 1), (1, 0))
"""Of a map of one column as many columns as a result has: copies of it."""


def enlarge(builder: EngineBuilder, layer: EngineLayer, name: str, out: Tensor, factors: tuple[int, int]) -> None:
    """Append a layer whose every result becomes a block of copies: `factors` of them, (vertical, horizontal)."""
    channels, _, width = layer.result.shape
    rows = out if factors[1] == 1 else _rows(out, channels, width)
    together = width % builder.config.derived.words_per_beat == 0  # else rows begin in a beat where results do not
    every = tuple(range(factors[0]))
    for firsts in [every] if together else [(first,) for first in every]:
        spread = Spread(rows, factors[0], firsts)
        builder.append(dataclasses.replace(layer, spread=spread, keep=True))
        layer = _again(layer)
    if factors[1] > 1:
        enlarge_columns(builder, name, rows.name, out, factors[1])


def enlarge_columns(builder: EngineBuilder, name: str, source: str, out: Tensor, factor: int) -> None:
    """Append the layer that makes of each element of a tensor `factor` copies beside one another."""
    tall, wide = _views(builder, source, out, factor)
    copy = unchanged(name, "Resize", tall.name, wide, builder.weights(name))
    builder.append(dataclasses.replace(copy, window=STANDING, input_elements=int(np.prod(tall.shape))))


def interleave(builder: EngineBuilder, layer: EngineLayer, name: str, out: Tensor, channels: np.ndarray) -> None:
    """Append a layer whose results are blocks of `out`, every place of a block a channel.

    channels: int64 (C, rows, columns), those of the results; each block's in one group of the layer, in its order.
    """
    count, down, across = channels.shape
    rows = _rows(out, count * across, layer.result.shape[2])
    for first in range(down):
        picked = channels[:, first].reshape(-1)
        part = dataclasses.replace(
            layer,
            weight=layer.weight[picked],
            bias=layer.bias[picked],
            shift=layer.shift[picked],
            residual_shift=layer.residual_shift[picked],
            result=dataclasses.replace(layer.result, shape=(len(picked), *layer.result.shape[1:])),
            spread=Spread(rows, down, (first,)),
            keep=True,
            macs=layer.macs // down,
            weight_elements=layer.weight_elements // down,
        )
        builder.append(_trimmed(part if first == 0 else dataclasses.replace(part, input_elements=0)))
    left = across
    for factor in _primes(across):
        left //= factor
        shape = count * left, out.shape[1], rows.shape[2] * factor
        target = out if left == 1 else dataclasses.replace(out, name=f"{out.name}{HIDDEN}{left}", shape=shape)
        _interleave_columns(builder, name, rows.name, target, factor, left)
        rows = target


def _primes(number: int) -> list[int]:
    """Prime factors, falling; 1 alone for 1.  To put columns apart by each of them costs their sum instead of their
    product."""
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found[::-1] or [1]


def _interleave_columns(builder: EngineBuilder, name: str, source: str, out: Tensor, factor: int, inside: int) -> None:
    """Append the layer that makes of `factor` runs of `inside` channels of a tensor as many columns of one run."""
    tall, wide = _views(builder, source, out, factor)
    weight, groups = _phases(builder, out, factor, inside, (tall.shape[0], wide.shape[0]))
    builder.append(
        dataclasses.replace(
            unchanged(name, "DepthToSpace", tall.name, wide, builder.weights(name)),
            weight=weight,
            groups=groups,
            window=Window((1, factor), (1, 1), (0, factor - 1, 0, factor - 1)),
            input_elements=int(np.prod(tall.shape)),
        )
    )


def _trimmed(layer: EngineLayer) -> EngineLayer:
    """A layer without the first and last rows of its kernel where all weights of these are 0: of a ConvTranspose, rows
    that other rows of a block have."""
    window = layer.window
    used = np.flatnonzero(layer.weight.any(axis=(0, 1, 3)))
    if not used.size:
        return layer
    first, end = min(int(used[0]), window.pads[0] // window.dilation[0]), int(used[-1]) + 1
    pads = (window.pads[0] - first * window.dilation[0], *window.pads[1:])
    kernel = (end - first, window.kernel[1])
    return dataclasses.replace(
        layer, weight=layer.weight[:, :, first:end], window=dataclasses.replace(window, kernel=kernel, pads=pads)
    )


def _again(layer: EngineLayer) -> EngineLayer:
    """A layer that reads and computes once more what it has done before: nothing that is needed."""
    return dataclasses.replace(layer, macs=0, input_elements=0, weight_elements=0)


def _rows(out: Tensor, channels: int, width: int) -> Tensor:
    """The map with the rows of `out`, whose columns are not apart yet."""
    return dataclasses.replace(out, name=f"{out.name}{HIDDEN}rows", shape=(channels, out.shape[1], width))


def _views(builder: EngineBuilder, source: str, out: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """A tensor with each word as a row of its own, and `out` as what becomes of these rows."""
    words = out.shape[1] * out.shape[2] // factor
    builder.lowered.tensors[out.name] = out
    return (
        builder.reshape(f"{out.name}{HIDDEN}tall", source, words, 1),
        builder.reshape(f"{out.name}{HIDDEN}wide", out.name, words, factor),
    )


def _phases(
    builder: EngineBuilder, out: Tensor, factor: int, inside: int, channels: tuple[int, int]
) -> tuple[np.ndarray, int]:
    """Weights, int64 (O, I / groups, 1, factor), and groups of `_interleave_columns`.  channels: (I, O).

    Of its windows over a map of one column, all but one tap lie outside; which one does not is the result's column.
    In groups of as many channels as the array has lanes at most, so that no block of weights is read for another's.
    """
    config, count = builder.config, out.shape[0]
    parts = planes_of(out.fmt, config)
    c, j = np.divmod(np.arange(count * factor), factor)
    places = c // inside * inside * factor + j * inside + c % inside
    if parts == 1:
        sizes = range(inside, max(config.oc_lanes, inside) + 1, inside)
        size = max(size for size in sizes if count % size == 0)
        weight = np.zeros((count, size * factor, 1, factor), np.int64)
        weight[c, places - c // size * size * factor, 0, factor - 1 - j] = 1
        return weight, count // size
    weight = np.zeros((channels[1], channels[0], 1, factor), np.int64)
    for part in range(parts):
        to, from_ = (byte_lanes(lanes, part, parts, config.ic_lanes) for lanes in (c, places))
        weight[to, from_, 0, factor - 1 - j] = 1
    return weight, 1
