"""Tables of functions of one element: how one that the output stage looks results up in lies in memory.

A table has an entry for each code of a result: for each value of its data_bits bits, in the order of these bits as a
number without sign.  An entry is as wide as a wide result, with or without sign, low byte first.
"""

from __future__ import annotations

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.widths import from_bytes, to_bytes

TABLE_PORT_BITS = 32
"""Of a table as many are written in a cycle: what a block RAM of most devices takes at once."""


def table_block(entries: np.ndarray, config: AcceleratorConfig) -> bytes:
    """The bytes of a table.  entries: int64 (table_entries,), by code.

    Raises ValueError for another number of entries, and for one that does not fit.
    """
    bits, count = config.derived.wide_bits, config.derived.table_entries
    if entries.shape != (count,):
        raise ValueError(f"a table has {count} entries, not {entries.shape}")
    low, high = int(entries.min()), int(entries.max())
    if low < -(1 << bits - 1) or high >= 1 << (bits - 1 if low < 0 else bits):
        raise ValueError(f"entries from {low} to {high} do not fit {bits} bits")
    return to_bytes(entries, bits).tobytes()


def table_of(data: np.ndarray, config: AcceleratorConfig) -> np.ndarray:
    """Inverse of table_block, but for signs: uint8 (table_bytes,) to int64 (table_entries,)."""
    return from_bytes(data.reshape(config.derived.table_entries, -1))
