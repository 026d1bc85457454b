"""The shape of an input as the float file has it: (C, H, W), or (H, W, C), or (C, W) and (C,) without an area."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from quant.base.errors import BadInput

INPUT_SHAPE = "shiftpoint.input_shape"
"""Metadata key: the file's own input shape without the batch, where that is not (C, H, W)."""


def own_shape(metadata: Mapping[str, str], shape: tuple[int, int, int]) -> tuple[int, ...]:
    """The file's shape without the batch, of an input that is kept as `shape`, (C, H, W).

    Raises BadInput for metadata that state none of as many elements.
    """
    stated = metadata.get(INPUT_SHAPE)
    if stated is None:
        return shape
    sizes = tuple(int(size) if size.isdecimal() else 0 for size in stated.split(","))
    if prod(sizes) != prod(shape):
        raise BadInput(f"metadata {INPUT_SHAPE} is {stated!r}, which is no shape of {shape}")
    return sizes
