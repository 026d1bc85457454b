"""The search, with a formula in place of the cycle model: what it finds, and that it keeps to its bound."""

from __future__ import annotations

from collections.abc import Sequence

from host.engine_search import Engine, Search, front, time_of
from host.space import Space
from hw.board import catalogue
from hw.contract.config import AcceleratorConfig
from hw.resources.model import needs

SPACE = Space("net", catalogue.part("LFE5U-85F"))


def engine(config: AcceleratorConfig) -> Engine:
    """Faster with more multipliers and activations, hardly slower with fewer results, much with fewer weights."""
    c = config
    work = 4e8 / c.derived.multipliers + 1e9 / c.activation_depth + 1e9 / c.weight_depth + 1e6 / c.output_depth
    return Engine(config, 50.0, round(work + 1e6 / c.axi_bits), 1, needs(config, "ecp5"))


def run(most: int, refused: int = 0) -> tuple[Search, list[AcceleratorConfig]]:
    asked: list[AcceleratorConfig] = []

    def measure(configs: Sequence[AcceleratorConfig]) -> list[Engine | None]:
        asked.extend(configs)
        return [None if one.ic_lanes == refused else engine(one) for one in configs]

    search = Search(SPACE, measure, False, most)
    search.run()
    return search, asked


def test_buffers_that_matter_become_deep() -> None:
    search, asked = run(1000)
    best = min(search.engines, key=time_of)
    start = SPACE.engine(8, 16, best.config.axi_bits, tables=False)
    assert start is not None and (best.config.ic_lanes, best.config.oc_lanes) == (8, 16)
    assert time_of(best) < 0.99 * time_of(engine(start))
    assert best.config.activation_depth * best.config.weight_depth > start.activation_depth * start.weight_depth
    assert len({one.hash for one in asked}) == len(asked) < 300 and all(SPACE.fits(one) for one in asked)
    assert not any(one.tables for one in asked)


def test_the_same_search_twice() -> None:
    assert run(60)[1] == run(60)[1]


def test_no_more_are_measured_than_asked_for() -> None:
    assert [len(run(most)[1]) for most in (1, 7, 20)] == [1, 7, 20]


def test_engines_that_refuse_the_network_are_passed_over() -> None:
    search, _ = run(30, refused=8)
    assert search.engines and all(one.config.ic_lanes != 8 for one in search.engines)


def test_the_front_is_what_no_other_beats() -> None:
    engines = run(40)[0].engines
    found = front(engines)
    assert found and [one.needs.logic for one in found] == sorted(one.needs.logic for one in found)
    for one in engines:
        assert any(
            other.needs.logic <= one.needs.logic and other.frames_per_second >= one.frames_per_second for other in found
        )
