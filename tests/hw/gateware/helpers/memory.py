"""The memory port's far side: the bursts that rows make, and the rules that every burst obeys."""

from __future__ import annotations

from hw.contract.config import AcceleratorConfig


def bursts(config: AcceleratorConfig, address: int, beats: int) -> list[tuple[int, int]]:
    """(byte address, beats) of the bursts of a row: the longest within the row, max_burst and the 4 KiB page."""
    size = config.derived.beat_bytes
    result = []
    while beats:
        length = min(beats, config.max_burst, (4096 - address % 4096) // size)
        result.append((address, length))
        address += length * size
        beats -= length
    return result
