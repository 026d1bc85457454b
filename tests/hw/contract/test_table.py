"""Tables in memory."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.table import TABLE_PORT_BITS, table_block, table_of
from hw.contract.timing import table_cycles

CONFIG = preset("small")


def test_entries_lie_low_byte_first_by_code() -> None:
    entries = np.arange(256) * 257 - 32768
    data = table_block(entries, CONFIG)
    assert [int.from_bytes(data[2 * code : 2 * code + 2], "little", signed=True) for code in (0, 9, 255)] == [
        -32768,
        9 * 257 - 32768,
        32767,
    ]


@pytest.mark.parametrize("low", [0, -(1 << 15)])
def test_back_without_signs(low: int, rng: np.random.Generator) -> None:
    entries = rng.integers(low, low + (1 << 16), 256)
    found = table_of(np.frombuffer(table_block(entries, CONFIG), np.uint8), CONFIG)
    np.testing.assert_array_equal(found, entries & 0xFFFF)


@pytest.mark.parametrize("config", [config for config in PRESETS.values() if config.tables], ids=lambda c: c.name)
def test_a_table_is_whole_beats_and_whole_pieces(config: AcceleratorConfig) -> None:
    size = len(table_block(np.zeros(256, np.int64), config))
    assert size == config.derived.table_beats * config.derived.beat_bytes == config.derived.table_bytes
    assert table_cycles(config) * TABLE_PORT_BITS == 8 * size


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (np.zeros(255, np.int64), "a table has 256 entries, not (255,)"),
        (np.arange(256) + 65300, "entries from 65300 to 65555 do not fit 16 bits"),
        (np.arange(256) * 140 - 1, "entries from -1 to 35699 do not fit 16 bits"),
        (np.arange(256) - 32769, "entries from -32769 to -32514 do not fit 16 bits"),
    ],
)
def test_what_does_not_fit(entries: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        table_block(entries, CONFIG)
    assert str(caught.value) == message
