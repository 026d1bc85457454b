"""Ring buffers."""

from __future__ import annotations

import pytest

from host.compiler.buffers import Ring


def test_the_oldest_live_stretch_bounds_what_is_free() -> None:
    ring = Ring(8)
    first, second = ring.take(3), ring.take(3)
    assert (first.start, second.start) == (0, 3) and not ring.fits(3)
    ring.release(second)
    assert not ring.fits(3), "the older one is in use"
    ring.release(first)
    assert ring.fits(8) and ring.take(8).start == 6, "places count on over every turn"


def test_a_stretch_that_does_not_fit_is_refused() -> None:
    ring = Ring(4)
    ring.take(3)
    with pytest.raises(ValueError, match="2 grains do not fit"):
        ring.take(2)
