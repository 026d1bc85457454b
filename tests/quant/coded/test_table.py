"""The table says what the file holds."""

from __future__ import annotations

import numpy as np

from quant.coded import encode
from quant.coded.table import table
from tests.quant.coded.test_file import network


def test_rows_and_sums(rng: np.random.Generator) -> None:
    content = network(rng, 20)
    coded = encode(content)
    found = table(content, coded)
    sparse, floats = found.rows
    assert (sparse.name, sparse.weights, sparse.values, sparse.value_bits) == ("sparse", 160 * 6 * 9, 6, 3)
    assert 0.12 < sparse.kept / sparse.weights < 0.22 and sparse.width > 2 and sparse.index_bytes > 0
    assert (floats.name, floats.kept, floats.value_bits, floats.width, floats.index_bytes) == ("float", 120, 3, 0, 0)
    assert found.weights == sparse.weights + 120 and found.kept == sparse.kept + 120
    assert found.file == len(coded) == found.head + found.others + sparse.bytes + floats.bytes
    assert found.others == 20 * 11 // 8 + 1 and 300 < found.head < 800
