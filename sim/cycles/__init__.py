"""The cycle model: start and end of every instruction, stalls, counters, exactly as the engine counts them."""

from sim.cycles.simulate import simulate
from sim.cycles.timeline import Timeline

__all__ = ["Timeline", "simulate"]
