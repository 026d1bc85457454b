"""What a search for an engine measures: a network on a configuration, as a job."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from host.compiler import KeepLayers
from host.compiler.errors import CannotCompile
from host.jobs import Made
from host.timed import compile_timed
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from quant.ir.network import Network
from sim.cycles import simulate


@dataclass(eq=False)
class Problem:
    """A network that engines are measured by, and which of its layers' results must be in memory."""

    network: Network
    keep_layers: KeepLayers


@dataclass(frozen=True)
class Candidate:
    """A job: an engine, at a memory."""

    config: AcceleratorConfig
    memory: Memory

    @property
    def key(self) -> list[Any]:
        """As of `Job`."""
        facts = {name: value for name, value in self.config.to_json().items() if name not in ("name", "clock_mhz")}
        return ["engine", facts, asdict(self.memory)]

    def perform(self, problem: Problem) -> Made:
        """As of `Job`: the cycles of the network's fastest program, or why there is none."""
        try:
            program = compile_timed(problem.network, self.config, self.memory, problem.keep_layers)
        except CannotCompile as error:
            return Made({"refused": str(error)})
        found = simulate(program, self.memory)
        return Made(
            {"cycles": found.cycles, "bytes": sum(found.counters[f"BYTES_{way}"] for way in ("READ", "WRITTEN"))}
        )
