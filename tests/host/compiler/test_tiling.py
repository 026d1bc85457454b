"""Ways to cut a layer."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.tiling import ways
from hw.contract.config import preset
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.compiling import one_pool, refused
from tests.host.networks import Builder


def test_weights_that_exceed_their_buffer() -> None:
    config = dataclasses.replace(preset("small"), weight_depth=64)
    b = Builder(np.random.default_rng(1), (8, 12, 12))
    b.conv(b.conv("x", 8, Window()), 8)
    assert refused(b.network(), config) == (
        "layer layer1: its smallest tile needs 80 beats of the weight buffer, 16 more than it has: "
        "take a configuration with a larger weight buffer"
    )


def test_windows_that_exceed_the_pool_buffer() -> None:
    network = one_pool("average", Window((48, 48)), (8, 48, 48))
    assert refused(network) == (
        "layer layer0: its smallest tile needs 2304 words of the pool buffer, 256 more than it has: "
        "take a configuration with a larger pool buffer"
    )


def test_two_tiles_may_fill_a_buffer() -> None:
    config = dataclasses.replace(preset("small"), partial_sum_depth=32, output_depth=64)
    b = Builder(np.random.default_rng(1), (8, 8, 8))
    b.conv("x", 8)
    found = list(ways(problems(b.network(), config)[0][0]))
    assert found and all(way.loads_ahead and way.stores_behind for way in found)


def test_rows_leave_the_pool_buffer_with_their_pooling() -> None:
    """Five rows of ten words are all that wait in it, though bands of three rows do not end where poolings do."""
    config = dataclasses.replace(preset("small"), partial_sum_depth=32, pool_depth=64)
    b = Builder(np.random.default_rng(1), (8, 20, 10))
    b.pool(b.conv("x", 8), "max", Window((5, 5), (5, 5)))
    found = list(ways(problems(b.network(), config)[0][0]))
    assert found and all(len(way.strips) == 1 for way in found)


def test_rows_that_two_poolings_need_wait_or_are_computed_twice() -> None:
    """Then all output groups of a band can follow each other."""
    b = Builder(np.random.default_rng(1), (8, 20, 10))
    b.pool(b.conv("x", 24), "max", Window((3, 3), (2, 2)))
    found = list(ways(problems(b.network(), dataclasses.replace(preset("small"), partial_sum_depth=64))[0][0]))
    rows = {way.order: sum(band.rows[1] - band.rows[0] for band in way.bands) for way in found if len(way.bands) > 1}
    assert rows["tiles"] > 19 and any(sum(b.rows[1] - b.rows[0] for b in way.bands) == 19 for way in found)


def test_output_groups_share_a_reading_of_what_exceeds_the_buffer() -> None:
    """81 words a group, of which 4096 fit, less than the 64 groups take; and sums of 3 output groups fit 256."""
    config = dataclasses.replace(preset("tiny"), activation_depth=4096)
    b = Builder(np.random.default_rng(1), (256, 9, 9))
    b.conv("x", 40, Window())
    (posed,), _ = problems(b.network(), config)
    found = [way for way in ways(posed) if way.block > 1 and way.tiles == 1]
    assert {way.block for way in found} == {3} and any(way.stay for way in found) and any(not way.stay for way in found)
    for way in found:
        assert [list(block) for block in way.blocks(10)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
        chunks = way.chunks((3, 67))
        assert [first for first, _ in chunks] == [3, *(last for _, last in chunks[:-1])] and chunks[-1][1] == 67
        sizes = [last - first for first, last in chunks]
        assert way.chunk_count((3, 67)) == len(chunks)
        assert [way.reloads(posed, block) for block in way.blocks(10)] == [True, True, True, False]
        assert max(sizes[way.stay > 0 :]) == way.chunk and (not way.stay or sizes[0] == way.stay)
        assert (way.stay + 2 * way.chunk) * 81 <= 4096


def test_no_blocks_where_a_band_of_all_input_fits() -> None:
    b = Builder(np.random.default_rng(1), (64, 9, 9))
    b.conv("x", 40, Window())
    (posed,), _ = problems(b.network(), preset("tiny"))
    assert {way.block for way in ways(posed)} == {1}
