"""A network on an engine, as a job."""

from __future__ import annotations

from dataclasses import replace

from host.candidate import Candidate, Problem
from host.compiler import KeepLayers
from host.jobs import packed, perform
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant.ir.stand_in import stand_in
from sim.cycles import simulate
from tests.quant.float_graphs import Builder

NET = Builder(3, size=6)
NETWORK = stand_in(NET.graph(NET.conv("two", NET.conv("one", "x", 8), 8)))
MEMORY = Memory(20, 3, shared=True)


def test_cycles_are_those_of_the_fastest_program() -> None:
    config = preset("tiny")
    for keep in KeepLayers:
        found = perform(packed(Problem(NETWORK, keep)), Candidate(config, MEMORY))
        time = simulate(compile_timed(NETWORK, config, MEMORY, keep), MEMORY)
        moved = time.counters["BYTES_READ"] + time.counters["BYTES_WRITTEN"]
        assert found.value == {"cycles": time.cycles, "bytes": moved} and not found.network


def test_an_engine_that_refuses_says_why() -> None:
    shallow = replace(preset("tiny"), weight_depth=16, skip_blocks=False, codebooks=False)
    found = Candidate(shallow, MEMORY).perform(Problem(NETWORK, KeepLayers.ALL))
    assert set(found.value) == {"refused"} and found.value["refused"]


def test_name_and_clock_make_no_other_job() -> None:
    config = preset("tiny")
    same = Candidate(replace(config, name="mine", clock_mhz=12.0), MEMORY)
    assert same.key == Candidate(config, MEMORY).key
    assert Candidate(config, Memory()).key != same.key
    assert Candidate(replace(config, pool_depth=512), MEMORY).key != same.key
