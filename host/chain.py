"""The proof of equality, from ONNX to pins: every layer's output by four independent ways.

onnxruntime: the quantized file in ONNX Runtime, in float, optimizations off.  integer: the integer
executor.  program: the program's bytes, instruction by instruction.  rtl: the Verilog, driven through
its pins.  The first is the reference of the second, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from quant.ir.digest import digest

LEGS = ("onnxruntime", "integer", "program", "rtl")

Tensors = Mapping[str, np.ndarray]
"""Integers of each tensor by name, (N, C, H, W)."""


@dataclass(frozen=True)
class Break:
    """Where two legs differ first: image, channel, row and column of one tensor."""

    layer: str
    tensor: str
    image: int
    channel: int
    row: int
    column: int
    expected: int
    got: int
    expected_by: str
    got_by: str
    differing: int
    elements: int

    def __str__(self) -> str:
        return (
            f"layer {self.layer} (tensor {self.tensor}): image {self.image}, channel {self.channel}, row {self.row}, "
            f"column {self.column}: expected {self.expected} ({self.expected_by}), got {self.got} ({self.got_by}); "
            f"{self.differing} of {self.elements} elements differ"
        )


def first_break(
    layers: Iterable[tuple[str, str]], expected: Tensors, got: Tensors, expected_by: str, got_by: str
) -> Break | None:
    """The first difference between two legs, in the order of `layers` (layer name, tensor it leaves).

    Tensors that only one leg has are passed over.  Shapes must agree (ValueError).
    """
    for layer, tensor in layers:
        if tensor not in expected or tensor not in got:
            continue
        a, b = np.asarray(expected[tensor]), np.asarray(got[tensor])
        if a.shape != b.shape:
            raise ValueError(f"{tensor}: {expected_by} has shape {a.shape}, {got_by} {b.shape}")
        different = a != b
        if different.any():
            image, channel, row, column = (int(i) for i in np.argwhere(different)[0])
            at = image, channel, row, column
            return Break(
                layer, tensor, image, channel, row, column, int(a[at]), int(b[at]), expected_by, got_by,
                int(different.sum()), a.size,
            )  # fmt: skip
    return None


def digests(tensors: Tensors) -> dict[str, str]:
    """The digest of each tensor over all its images."""
    return {name: digest(values) for name, values in tensors.items()}
