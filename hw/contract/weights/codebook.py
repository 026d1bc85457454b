"""Codebooks: the weights that the indices of `hw.contract.weights.indices` mean.

A codebook has CODEBOOK_ENTRIES weights of the multipliers' width, one after the other, in whole beats.  With
CONV.codebook it lies between the parameters of the CONV and its weight blocks, and holds for the CONVs after it, too,
until another one comes.  Every index is one of an entry, so there is none to be refused.
"""

from __future__ import annotations

import numpy as np

from hw.contract.config import CODEBOOK_ENTRIES, AcceleratorConfig


def codebook_block(entries: np.ndarray, config: AcceleratorConfig) -> bytes:
    """The bytes of a codebook; those behind its last entry are 0.

    entries: integers (n,).  Raises ValueError for more than CODEBOOK_ENTRIES, and for one beyond weight_bits.
    """
    most = 1 << config.weight_bits - 1
    low, high = int(entries.min(initial=0)), int(entries.max(initial=0))
    if len(entries) > CODEBOOK_ENTRIES or low < -most or high >= most:
        raise ValueError(
            f"{len(entries)} entries from {low} to {high}, and a codebook has {CODEBOOK_ENTRIES} of "
            f"{config.weight_bits} bits"
        )
    block = np.zeros(config.derived.codebook_beats * config.derived.beat_bytes, np.int8)
    block[: len(entries)] = entries
    return block.tobytes()


def codebook_of(data: np.ndarray) -> np.ndarray:
    """Inverse of codebook_block: uint8 (bytes of whole beats,) to int8 (CODEBOOK_ENTRIES,)."""
    return data[:CODEBOOK_ENTRIES].view(np.int8)


def indices_of(weights: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Where weights stand in a codebook.  weights: int8, any shape.  entries: integers (n,), n at most 255.  uint8.

    Raises ValueError for a weight that is none of them.
    """
    none = np.iinfo(np.uint8).max
    index = np.full(none + 1, none, np.uint8)
    index[np.asarray(entries).astype(np.int8).view(np.uint8)] = np.arange(len(entries))
    found: np.ndarray = index[np.ascontiguousarray(weights, np.int8).view(np.uint8)]
    if found.max(initial=0) == none:
        raise ValueError(f"weights that are none of {entries}")
    return found
