"""Which program is taken: what is counted decides, estimates only what is made; bytes among those as fast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from host.compiler import KeepLayers, choice, compile_network
from host.compiler.cost import ESTIMATES
from hw.contract.config import preset
from hw.contract.program import Program
from quant.ir.network import Network
from quant.ir.window import Window
from sim.cycles import simulate
from tests.host.networks import SAME, Builder


def network(rng: np.random.Generator) -> Network:
    """Layers of little work, of which it matters in how many parts each comes."""
    b = Builder(rng, (3, 32, 32))
    made = b.pool(b.conv("x", 16, SAME), "max", Window((2, 2), (2, 2)))
    made = b.conv(b.pool(b.conv(made, 32, SAME), "max", Window((2, 2), (2, 2))), 64, SAME)
    b.conv(b.conv(made, 32, Window((8, 8)), op="Gemm"), 10, Window(), op="Gemm")
    return b.network()


def moved(program: Program) -> int:
    counters = simulate(program).counters
    return counters["BYTES_READ"] + counters["BYTES_WRITTEN"]


def tried(net: Network, cycles: Callable[[Program], int]) -> tuple[Program, list[Program]]:
    """What is taken, and all that was made."""
    made: list[Program] = []

    def counted(program: Program) -> int:
        made.append(program)
        return cycles(program)

    return compile_network(net, preset("medium"), keep_layers=KeepLayers.NONE, cycles=counted), made


def test_other_estimates_are_tried(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the same program twice; and the best of more of them is the faster one here."""
    net = network(rng)
    taken, made = tried(net, lambda program: simulate(program).cycles)
    assert len({program.to_bytes() for program in made}) == len(made)
    monkeypatch.setattr(choice, "ESTIMATES", ESTIMATES[:1])
    usual, fewer = tried(net, lambda program: simulate(program).cycles)
    assert {one.to_bytes() for one in fewer} < {one.to_bytes() for one in made}
    assert simulate(taken).cycles < simulate(usual).cycles


def test_of_programs_as_fast_that_which_moves_least_is_taken(rng: np.random.Generator) -> None:
    taken, made = tried(network(rng), lambda _: choice.ALIKE)
    assert len({moved(program) for program in made}) > 1
    assert moved(taken) == min(map(moved, made))


def test_what_is_counted_decides(rng: np.random.Generator) -> None:
    """The slowest is taken where that is what is asked for, by so much that bytes do not matter."""
    taken, made = tried(network(rng), lambda program: 10**12 // simulate(program).cycles ** 2)
    assert simulate(taken).cycles == max(simulate(program).cycles for program in made)


def test_twice_the_bytes_must_save_a_share_of_the_cycles(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where bytes weigh as much as cycles, of all that are not slower that is taken which moves least for its speed."""
    net = network(rng)
    fast, made = tried(net, lambda program: simulate(program).cycles)
    monkeypatch.setattr(choice, "DOUBLED", 1)
    lean, _ = tried(net, lambda program: simulate(program).cycles)
    assert moved(lean) * simulate(lean).cycles <= moved(fast) * simulate(fast).cycles
    assert lean.to_bytes() in [program.to_bytes() for program in made]
