"""Codebooks as bytes, and the indices of weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.weights.codebook import codebook_block, codebook_of, indices_of

ENTRIES = st.lists(st.integers(-128, 127), min_size=1, max_size=16, unique=True)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
@given(ENTRIES)
def test_a_block_holds_its_entries_then_zeros(config: AcceleratorConfig, entries: list[int]) -> None:
    data = codebook_block(np.array(entries), config)
    assert len(data) == config.derived.codebook_beats * config.axi_bits // 8
    assert codebook_of(np.frombuffer(data, np.uint8)).tolist() == entries + [0] * (16 - len(entries))


@given(ENTRIES, st.data())
def test_an_index_means_its_weight(entries: list[int], data: st.DataObject) -> None:
    weights = np.array(data.draw(st.lists(st.sampled_from(entries), max_size=20)), np.int8)
    assert np.array(entries)[indices_of(weights, np.array(entries))].tolist() == weights.tolist()


def test_what_a_codebook_does_not_hold() -> None:
    with pytest.raises(ValueError, match=r"^weights that are none of \[-3  5\]$"):
        indices_of(np.array([5, 5, 4], np.int8), np.array([-3, 5]))
    with pytest.raises(ValueError, match="^17 entries from 0 to 16, and a codebook has 16 of 8 bits$"):
        codebook_block(np.arange(17), preset("tiny"))
    with pytest.raises(ValueError, match="^2 entries from -129 to 0, and a codebook has 16 of 8 bits$"):
        codebook_block(np.array([0, -129]), preset("tiny"))
