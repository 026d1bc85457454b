"""Small blocks in Amaranth's own simulator: no build, a bench of some hundred cycles takes a second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from amaranth.lib import wiring
from amaranth.sim import Simulator
from amaranth.sim import SimulatorContext as Bench

__all__ = ["Bench", "simulate"]


def simulate(component: wiring.Component, bench: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a bench on a component; the first `tick` ends cycle 0.  Raises what the bench raises."""
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
