"""Other formats that a tensor could be stored in, and which tensors must change with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from quant.compare.quantized import Storage
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.kinds.conv import convolution

WIDE = 16
"""The widest data that a network can have."""

MOST_SCALE = 256.0
"""Ratio of channels' ranges beyond which scales go no further: a channel of zeros has no range."""


@dataclass(frozen=True, eq=False)
class StorageChange:
    """Another way to store a tensor, in words; bytes: what it costs an image, written and read."""

    words: str
    bytes: int
    storage: Storage


def storage_changes(
    network: Network, tensor: str, storage: Storage, low: np.ndarray, high: np.ndarray
) -> Iterator[StorageChange]:
    """One fractional bit more, one less, 16 bits; unsigned where no value is negative; free scales where they can be.

    low, high: the least and the greatest float value of each channel, (C,).
    """
    fmt = storage.fmt
    if fmt.bits >= WIDE:
        return
    group = format_group(network, tensor)
    together = _together(len(group) - 1)
    for shift, words in ((1, "one fractional bit more"), (-1, "one fractional bit less")):
        new = QFormat(fmt.bits, fmt.frac + shift, fmt.signed)
        yield StorageChange(f"format {new}, {words}{together}", 0, stored_as(storage, new))
    if fmt.signed and len(group) == 1 and low.min() >= 0:
        new = QFormat(fmt.bits, fmt.frac + 1, signed=False)
        yield StorageChange(f"format {new}, unsigned", 0, stored_as(storage, new))
    if len(group) == 1 and _can_be_scaled(network, tensor):
        yield StorageChange("channels scaled to the format", 0, equalized(storage, np.maximum(-low, high)))
    more = WIDE - fmt.bits
    moved = sum(int(np.prod(network.tensors[name].shape)) * (1 + len(network.consumers(name))) for name in group)
    wide = QFormat(WIDE, fmt.frac + more, fmt.signed)
    yield StorageChange(f"stored at {WIDE} bits{together}", moved * more // 8, stored_as(storage, wide))


def _together(others: int) -> str:
    return f", with {others} other{'s' if others > 1 else ''} that must share it" if others else ""


def equalized(storage: Storage, largest: np.ndarray) -> Storage:
    """Channels of small range raised half-way, as bits go, towards the widest; no value leaves the format for it.

    largest: the greatest float magnitude of each channel, (C,).  A clip at the top, such as ReLU6's, comes to lie at
    the top of the format, where saturation does it.
    """
    fmt, top = storage.fmt, storage.clip[1]
    scales = storage.scales * (fmt.high / top if 0 < top < fmt.high else 1.0)
    channels = largest.astype(np.float64) * scales
    widest = float(channels.max())
    if widest > 0:
        scales = scales * np.sqrt(widest / np.maximum(channels, widest / MOST_SCALE))
    return replace(storage, clip=(storage.clip[0], fmt.high), scales=scales)


def _can_be_scaled(network: Network, tensor: str) -> bool:
    """Whether each channel may be stored times a factor: every reader takes it back, and a lower clip is at zero."""
    producer, fmt = convolution(network.producer(tensor)), network.tensors[tensor].fmt
    readers = network.consumers(tensor)
    if producer is None or producer.residual is not None or tensor in network.outputs or not readers:
        return False
    at_zero = producer.clip[0] in (fmt.low, 0) and (producer.clip[1] == fmt.high or producer.clip[0] == 0)
    return at_zero and all(convolution(reader) and tensor not in reader.added for reader in readers)


def stored_as(storage: Storage, fmt: QFormat) -> Storage:
    """The tensor in another format; a clip within its range stays where it is, to within rounding."""
    old, shift = storage.fmt, fmt.frac - storage.fmt.frac

    def moved(bound: int) -> int:
        there = bound << shift if shift >= 0 else round(bound / (1 << -shift))
        return min(max(there, fmt.low), fmt.high)

    low, high = storage.clip
    clip = fmt.low if low == old.low else moved(low), fmt.high if high == old.high else moved(high)
    return replace(storage, fmt=fmt, clip=clip)


def format_group(network: Network, tensor: str) -> frozenset[str]:
    """The tensors that must have one format with this one: those around a Concat, a Resize or a max pooling."""
    group = {tensor}
    while True:
        more = set(group)
        for layer in network.layers:
            copies = layer.moves
            if copies and group & {*layer.inputs, layer.output}:
                more |= {*layer.inputs, layer.output}
        if more == group:
            return frozenset(group)
        group = more
