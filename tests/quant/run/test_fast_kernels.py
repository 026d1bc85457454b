"""Whether the products of bytes are exact on this processor is found out."""

from __future__ import annotations

import numpy as np
import pytest

from quant.run import fast_kernels


@pytest.mark.parametrize("weight", (-128, 127))
def test_the_probe_sees_sums_that_saturate(weight: int, monkeypatch) -> None:
    """What a processor without VNNI gives: pairs of products saturated at 16 bits."""

    class Saturating:
        def run(self, names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            pair = np.clip(2 * 255 * weight, -(1 << 15), (1 << 15) - 1)
            return [np.full((1, 1, 1, 1), 128 + round(pair * 32 / 2**15), np.uint8)]

    monkeypatch.setattr(fast_kernels, "open_session", lambda model, label, threads: Saturating())
    assert not fast_kernels._sums_exactly(64, 32, 1, 1, 9, weight)
