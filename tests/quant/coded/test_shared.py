"""Arrays that share values: they come back, and other heads are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.coded import shared
from quant.coded.head import Reader
from quant.coded.shared import Shared


def again(form: Shared, shape: tuple[int, ...]) -> Shared:
    streams = Reader(b"".join(form.streams))
    found = shared.read(Reader(form.head()), shape, 16, streams)
    assert not streams.rest()
    return found


@pytest.mark.parametrize("shape", [(), (1,), (40,), (7, 5), (12, 1, 9), (4, 6, 3, 2), (2, 2, 2, 2, 2)])
@pytest.mark.parametrize("values", [1, 2, 20])
@pytest.mark.parametrize("density", [0, 0.1, 0.5, 1])
def test_they_come_back(shape: tuple[int, ...], values: int, density: float, rng: np.random.Generator) -> None:
    places = rng.integers(0, values, shape) * (rng.random(shape) < density)
    book = np.arange(values, dtype=np.uint64) * np.uint64(3)
    places = np.asarray(places)
    form = again(shared.share(book, places), shape)
    assert np.array_equal(form.book, book)
    assert np.array_equal(form.places(shape, places.size).reshape(shape), places)


def test_distances_of_other_forms() -> None:
    places = np.zeros((4, 30), np.int64)
    places[::2, ::7] = 1
    form = shared.share(np.arange(2, dtype=np.uint64), places)
    at = form.distances
    assert at is not None
    for changed, reason in [
        (replace(at, width=9), "indices of 9 bits; 1 to 8 are possible"),
        (replace(at, walk=(0, 0)), r"\(0, 0\) is no order of 2 axes"),
        (replace(at, count=999), "cannot hold 999 codes"),
        (replace(at, stream=replace(at.stream, content=at.stream.content + b"\0")), "bytes"),
    ]:
        with pytest.raises(BadInput, match=reason):
            again(replace(form, distances=changed), (4, 30)).places((4, 30), 120)
    with pytest.raises(BadInput, match="are those of no 1000 elements"):
        again(form, (10, 100)).places((10, 100), 1000)
