"""How tensors and weights lie in memory.

One tensor layout: [C / N][H][W][N], planes of N-channel words, each plane rounded up to whole beats.
A tensor of 16 bits has two byte planes for each group of channels, low bytes first.
Where channels stand among the lanes is a property of the tensor (`Placement.lanes`): the parts of a
concatenation start at multiples of N, the lanes between them are unused.  Folding the taps of a first
layer into the lanes is one, too (`Fold`): whoever writes the tensor gathers, the engine sees words.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hw.contract.config import PARAMETER_BYTES, AcceleratorConfig
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window


@dataclass(frozen=True)
class Fold:
    """Taps folded into channels: channel (ky * KW + kx) * C + c of pixel (y, x) is
    input[c, y * stride + ky * dilation - top, x * stride + kx * dilation - left], zero outside."""

    window: Window

    def apply(self, values: np.ndarray) -> np.ndarray:
        """(C, H, W) integers to (KH * KW * C, OH, OW), same dtype."""
        w = self.window
        top, left, bottom, right = w.pads
        padded = np.pad(values, ((0, 0), (top, bottom), (left, right)))
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

    address: byte offset in the window, a multiple of the beat.  shape: (C, H, W) as stored (after
    folding).  fmt: the integers' format, of 8 or 16 bits.  lanes: physical channel of each logical one.
    """

    tensor: str
    address: int
    shape: tuple[int, int, int]
    fmt: QFormat
    lanes: tuple[int, ...]
    fold: Fold | None = None

    def groups(self, config: AcceleratorConfig) -> int:
        """Groups of N channels."""
        return max(self.lanes) // config.ic_lanes + 1

    @property
    def byte_planes(self) -> int:
        """Planes of bytes for each group of channels."""
        return self.fmt.bits // 8

    def plane_bytes(self, config: AcceleratorConfig) -> int:
        """Bytes from one plane to the next."""
        return plane_bytes(config, self.shape[1], self.shape[2])

    def size(self, config: AcceleratorConfig) -> int:
        """Bytes of the whole tensor."""
        return self.groups(config) * self.byte_planes * self.plane_bytes(config)

    def to_json(self) -> dict[str, Any]:
        """Field by field, as JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(v: dict[str, Any]) -> Placement:
        """Inverse of to_json."""
        fold = None
        if v["fold"] is not None:
            fold = Fold(Window(**{k: tuple(n) for k, n in v["fold"]["window"].items()}))
        return Placement(v["tensor"], v["address"], tuple(v["shape"]), QFormat(**v["fmt"]), tuple(v["lanes"]), fold)


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
    n, (_, height, width) = config.ic_lanes, placement.shape
    groups = placement.groups(config)
    physical = np.zeros((groups * n, height * width), np.int64)
    physical[list(placement.lanes)] = values.reshape(values.shape[0], -1)
    words = physical.reshape(groups, n, height * width).transpose(0, 2, 1)
    planes = np.zeros((groups, placement.byte_planes, placement.plane_bytes(config)), np.uint8)
    for byte in range(placement.byte_planes):
        part = (words >> (8 * byte) & 255).astype(np.uint8).reshape(groups, -1)
        planes[:, byte, : part.shape[1]] = part
    return planes.tobytes()


def unpack(data: bytes | np.ndarray, placement: Placement, config: AcceleratorConfig) -> np.ndarray:
    """The bytes of a tensor to its integers, int64 (C, H, W), as stored (folding is not undone)."""
    n, (_, height, width) = config.ic_lanes, placement.shape
    groups, pitch = placement.groups(config), placement.plane_bytes(config)
    planes = np.frombuffer(data, np.uint8).reshape(groups, placement.byte_planes, pitch)
    planes = planes[:, :, : height * width * n].astype(np.int64)
    words = sum(planes[:, byte] << (8 * byte) for byte in range(placement.byte_planes))
    physical = np.asarray(words).reshape(groups, height * width, n).transpose(0, 2, 1)
    physical = physical.reshape(groups * n, height, width)[list(placement.lanes)]
    if placement.fmt.signed:
        sign = 1 << (placement.fmt.bits - 1)
        physical = (physical ^ sign) - sign
    return physical


def parameter_block(bias: np.ndarray, shift: np.ndarray, residual_shift: np.ndarray) -> bytes:
    """Parameters of M output lanes: bias int64 (48 bits are kept), shift and residual_shift, each (M,)."""
    block = np.zeros((len(bias), PARAMETER_BYTES), np.uint8)
    for byte in range(6):
        block[:, byte] = np.asarray(bias, np.int64) >> (8 * byte) & 255
    block[:, 6] = np.asarray(shift) & 255
    block[:, 7] = np.asarray(residual_shift)
    return block.tobytes()


def parameters_of(data: bytes | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of parameter_block: (bias, shift, residual_shift), int64."""
    block = np.frombuffer(data, np.uint8).reshape(-1, PARAMETER_BYTES).astype(np.int64)
    bias = sum(block[:, byte] << (8 * byte) for byte in range(6))
    return (np.asarray(bias) ^ 1 << 47) - (1 << 47), (block[:, 6] ^ 128) - 128, block[:, 7]


def weight_block(weights: np.ndarray) -> bytes:
    """8-bit weights of one tap, (M, N), to the bytes of a weight block: lane m's N weights, then m + 1's."""
    return np.ascontiguousarray(weights, np.int8).tobytes()
