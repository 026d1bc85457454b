"""How tensors lie in memory.

One tensor layout: [C / N][H][W][N], planes of N-channel words, each plane rounded up to whole beats.
A tensor wider than the engine's data has two planes for each group of channels, that of the low bits first; one
that is narrower is stored as wide as they are, its sign or zeros above its own bits.
Where channels stand among the lanes is a property of the tensor (`Placement.lanes`): the parts of a
concatenation start at multiples of N, the lanes between them are unused.  Folding the taps of a first
layer into the lanes is one, too (`Fold`): whoever writes the tensor gathers, the engine sees words.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hw.contract.config import WIDTHS, AcceleratorConfig
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window

MOST_FRAC = 1000
"""Fractional lengths are at most so far from 0: what they scale stays a float."""


@dataclass(frozen=True)
class Fold:
    """Taps folded into channels: channel (ky * KW + kx) * C + c of pixel (y, x) is
    input[c, y * stride + ky * dilation - top, x * stride + kx * dilation - left], fill[c] outside.

    fill: integers, one for each channel; none: zeros.  A window of one tap only surrounds the map with them.
    """

    window: Window
    fill: tuple[int, ...] = ()

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """(C, H, W) of what `apply` makes of such a tensor."""
        return (self.window.kernel[0] * self.window.kernel[1] * channels, *self.window.output_size(height, width))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """(C, H, W) integers to (KH * KW * C, OH, OW), same dtype."""
        w = self.window
        top, left, bottom, right = w.pads
        channels, height, width = values.shape
        padded = np.zeros((channels, top + height + bottom, left + width + right), values.dtype)
        if self.fill:
            padded[:] = np.array(self.fill).reshape(-1, 1, 1)
        padded[:, top : top + height, left : left + width] = values
        rows, columns = w.output_size(*values.shape[1:])
        (sy, sx), (dy, dx) = w.stride, w.dilation
        taps = [
            padded[:, y : y + (rows - 1) * sy + 1 : sy, x : x + (columns - 1) * sx + 1 : sx]
            for y in range(0, w.kernel[0] * dy, dy)
            for x in range(0, w.kernel[1] * dx, dx)
        ]
        return np.concatenate(taps)


@dataclass(frozen=True)
class Placement:
    """Where and how one tensor lies in memory.

    address: byte offset in the window, a multiple of the beat.  shape: (C, H, W) as stored (after folding).
    fmt: the integers' format, of one of WIDTHS (hw/contract/config.py).  lanes: physical channel of each logical one.
    image: of a run of several the one that it is of; None for all of them, whose rows lie one below the other.
    """

    tensor: str
    address: int
    shape: tuple[int, int, int]
    fmt: QFormat
    lanes: tuple[int, ...]
    fold: Fold | None = None
    image: int | None = None

    def groups(self, config: AcceleratorConfig) -> int:
        """Groups of N channels."""
        return max(self.lanes) // config.ic_lanes + 1

    def parts(self, config: AcceleratorConfig) -> int:
        """Planes for each group of channels: the low data_bits, then those above them."""
        return planes_of(self.fmt, config)

    def plane_bytes(self, config: AcceleratorConfig) -> int:
        """Bytes from one plane to the next."""
        return plane_bytes(config, self.shape[1], self.shape[2])

    def size(self, config: AcceleratorConfig) -> int:
        """Bytes of the whole tensor."""
        return self.groups(config) * self.parts(config) * self.plane_bytes(config)

    def check(self, config: AcceleratorConfig, memory: range) -> None:
        """Raise BadInput where it cannot lie so, inside the bytes `memory` of the window."""
        problem = self._problem(config, memory)
        if problem:
            raise BadInput(f"tensor {self.tensor!r}: {problem}")

    def _problem(self, config: AcceleratorConfig, memory: range) -> str | None:
        d = config.derived
        if min(self.shape) < 1:
            return f"has the shape {self.shape}"
        if self.fmt.bits not in WIDTHS or abs(self.fmt.frac) > MOST_FRAC:
            return f"has the format {self.fmt}"
        if len(self.lanes) != self.shape[0] or len(set(self.lanes)) < len(self.lanes) or min(self.lanes) < 0:
            return f"has {self.shape[0]} channels, and no lane of its own for each"
        if self.address % d.beat_bytes:
            return f"lies at byte {self.address}, no multiple of {d.beat_bytes}"
        end = self.address + self.size(config)
        if self.address < memory.start or end > memory.stop:
            return f"lies in bytes {self.address} to {end}, and tensors lie in {memory.start} to {memory.stop}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Field by field, as JSON values."""
        return asdict(self)


def byte_lanes(lanes: np.ndarray, part: int, parts: int, n: int) -> np.ndarray:
    """Where the planes of a tensor of several parts are taken for those of one that has as many more channels: the lane
    of a part of each lane.  n: lanes of a group.  int64, any shape."""
    return (lanes // n * parts + part) * n + lanes % n


def planes_of(fmt: QFormat, config: AcceleratorConfig) -> int:
    """Planes that integers of a format take for each group of channels: the low data_bits, then those above them."""
    return -(-fmt.bits // config.data_bits)


def plane_bytes(config: AcceleratorConfig, height: int, width: int) -> int:
    """Bytes of one plane of N-channel words, rounded up to whole beats."""
    beat = config.derived.beat_bytes
    return -(-height * width * config.derived.word_bytes // beat) * beat


def pack(values: np.ndarray, placement: Placement, config: AcceleratorConfig) -> bytes:
    """Integers (C, H, W), before folding, to the bytes of the tensor.  Unused lanes are 0."""
    values = np.asarray(values)
    if placement.fold is not None:
        values = placement.fold.apply(values)
    if values.shape != placement.shape:
        raise ValueError(f"{placement.tensor}: expected {placement.shape}, got {values.shape}")
    planes = np.zeros(placement.size(config), np.uint8)
    elements = np.ascontiguousarray(values, _stored_type(placement, config)).view(np.uint8)  # keeps the low bits
    words, where = _words(planes, placement, config)
    words[where] = elements.reshape(placement.shape[0], -1, *words.shape[1::3]).swapaxes(1, 2)
    return planes.tobytes()


def unpack(data: bytes | np.ndarray, placement: Placement, config: AcceleratorConfig) -> np.ndarray:
    """The bytes of a tensor to its integers, int64 (C, H, W), as stored (folding is not undone)."""
    words, where = _words(np.frombuffer(data, np.uint8), placement, config)
    elements = np.ascontiguousarray(words[where].swapaxes(1, 2)).reshape(-1)
    return elements.view(_stored_type(placement, config)).reshape(placement.shape).astype(np.int64)


def _stored_type(placement: Placement, config: AcceleratorConfig) -> np.dtype:
    """Of the integers in memory, whose bytes are those of their planes' lanes."""
    fmt = placement.fmt
    return QFormat(max(fmt.bits, config.data_bits), fmt.frac, fmt.signed).dtype.newbyteorder("<")


def _words(planes: np.ndarray, placement: Placement, config: AcceleratorConfig) -> tuple[np.ndarray, Any]:
    """A tensor's bytes as (groups, parts, pixels, N, bytes of a lane), a view, and the index of its channels.

    By the index it is (C, parts, pixels, bytes of a lane).
    """
    n, lane, (_, height, width) = config.ic_lanes, config.derived.lane_bytes, placement.shape
    planes = planes.reshape(placement.groups(config), placement.parts(config), -1)
    words = planes[:, :, : height * width * n * lane].reshape(*planes.shape[:2], height * width, n, lane)
    group, within = np.divmod(placement.lanes, n)
    return words, (group, slice(None), slice(None), within)


def apart(values: np.ndarray, images: int) -> np.ndarray:
    """Integers (C, H, W) of so many images, one below the other, as (images, C, H / images, W)."""
    channels, rows, columns = values.shape
    return values.reshape(channels, images, rows // images, columns).swapaxes(0, 1)
