"""The legs of the proof of equality, from ONNX to pins: independent ways to the output of every layer.

The first is the reference of the second, and so on.  `run` takes each once and keeps what it gave; `report --check`
takes them again.  A new way to run a network is a class here, an entry of `LEGS`, and what makes it in `legs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from host.chain import Taken, Tensors, compared
from host.driver import EngineError
from host.onboard import Language, run_on_board
from host.simulation import simulate_model, simulate_rtl
from host.tail import Ending
from host.terminal import Reporter
from host.uart import require_serial
from hw.board import system
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant import qdq
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.ir.tail import Tail
from quant.run.execute import execute, quantize_input
from quant.run.tail import Returned


@dataclass(frozen=True, eq=False)
class Subject:
    """What the proof is about, the same for every leg.

    quantized: the file; network: what it holds; program: made from it; tail: what lies beside that, None where nothing
    does.  images: float32 (N, C, H, W) as the network takes them, of several inputs each.  memory: of whatever counts
    cycles.
    """

    quantized: Path
    network: Network
    program: Program
    images: Given
    memory: Memory
    tail: Tail | None = None

    @cached_property
    def x(self) -> Given:
        """The images as the integers of the network's input formats, (N, C, H, W)."""
        return quantize_input(self.network, self.images)

    @cached_property
    def integers(self) -> Tensors:
        """Every tensor by the integer executor."""
        return execute(self.network, self.x, list(self.network.tensors))

    def returned(self, tensors: Tensors) -> list[Returned]:
        """What the tail makes of the outputs' integers; nothing without a tail."""
        return [] if self.tail is None else Ending(self.program, self.tail).of(tensors)

    @property
    def order(self) -> list[tuple[str, str]]:
        """Layers of the network with the tensor that each leaves."""
        return [(layer.name, layer.output) for layer in self.network.layers]


class Leg(ABC):
    """One way.  name: in report.json; title: for people; exact: its cycles, where it has a clock, are the model's."""

    name: ClassVar[str]
    title: ClassVar[str]
    exact: ClassVar[bool] = True

    def require(self) -> None:  # noqa: B027 -- most need nothing
        """Raise ToolchainError, in one line, where it cannot be taken here.  Quick: asked before all the work."""

    @abstractmethod
    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        """Run the subject's images: the tensors that this way shows, and `cycles` where it has a clock."""


class OnnxRuntime(Leg):
    """The quantized file in ONNX Runtime, in float, optimizations off."""

    name, title = "onnxruntime", "ONNX Runtime"

    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        """Every tensor."""
        with reporter.stage("ONNX Runtime on the quantized file"):
            wide = qdq.beyond_float32(subject.network)
            tensors = qdq.run_layers(subject.quantized, subject.images, wide=wide)
            returned = subject.tail and qdq.run_returned(subject.quantized, subject.images, wide)
            return Taken(tensors, returned=returned or ())


class Integers(Leg):
    """The integer executor."""

    name, title = "integer", "integers"

    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        """Every tensor."""
        with reporter.stage("integer executor"):
            return Taken(subject.integers, returned=subject.returned(subject.integers))


class ProgramBytes(Leg):
    """The program's bytes, instruction by instruction; cycles by the cycle model."""

    name, title = "program", "program"

    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        """The tensors that the program leaves in memory; as `simulate_model`."""
        taken = simulate_model(subject.program, subject.x, subject.memory, reporter)
        return replace(taken, returned=subject.returned(taken.tensors))


class Verilog(Leg):
    """The Verilog, driven through its pins.  build_dir: of built simulators, as `sim.bench.toolchain.build_root`."""

    name, title = "rtl", "RTL"

    def __init__(self, build_dir: Path | None = None) -> None:
        self._build_dir = build_dir

    def require(self) -> None:
        """As `Leg.require`."""
        from sim.bench import toolchain  # cocotb and Verilator are for this leg alone

        toolchain.require(self._build_dir)

    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        """The tensors that the program leaves in memory; as `simulate_rtl`, and how they compare with the integers.

        Raises VerificationError where the engine stops.
        """
        try:
            taken = simulate_rtl(subject.program, subject.x, subject.memory, reporter, build_dir=self._build_dir)
        except EngineError as stop:
            raise VerificationError(f"the program's bytes run to their end in the model, not in RTL: {stop}") from stop
        return _held_to_integers(self, subject, taken)


class OnBoard(Leg):
    """A system for a board, on the board or simulated with its SDRAM, whose cycles are near the model's, not the same.

    folder, port, build_dir, driver: as `run_on_board`.
    """

    name, title, exact = "board", "board", False

    def __init__(
        self,
        folder: Path,
        port: str | None = None,
        build_dir: Path | None = None,
        driver: Language = Language.PYTHON,
    ) -> None:
        self._folder, self._port, self._build_dir, self._driver = folder, port, build_dir, driver

    def require(self) -> None:
        """As `Leg.require`: of a simulated system all that it takes to make it, too."""
        from sim.bench import toolchain

        try:
            require_serial()
            if self._port is None:
                system.require()
                toolchain.require(self._build_dir)
        except BadInput as error:
            raise toolchain.ToolchainError(str(error)) from None

    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        """The tensors that the program leaves in memory; as `run_on_board`, and how they compare with the integers."""
        taken = run_on_board(
            self._folder, subject.program, subject.x, reporter, self._port, self._build_dir, self._driver
        )
        return _held_to_integers(self, subject, taken)


def _held_to_integers(leg: Leg, subject: Subject, taken: Taken) -> Taken:
    """What an engine gave, with facts about how it compares with the integers."""
    order = [(layer.name, layer.output) for layer in subject.program.layers]
    found = compared(order, subject.integers, taken.tensors, Integers.name, leg.name)
    facts = {**taken.facts, "images": len(subject.images), **found}
    return Taken(taken.tensors, facts, subject.returned(taken.tensors))


LEGS: tuple[type[Leg], ...] = (OnnxRuntime, Integers, ProgramBytes, Verilog, OnBoard)
"""All there are, in the order of the proof."""


def legs(build_dir: Path | None = None, folder: Path | None = None) -> tuple[Leg, ...]:
    """Those of `LEGS` to take: the last one only with the folder of a system, which is simulated."""
    board = () if folder is None else (OnBoard(folder, build_dir=build_dir),)
    return OnnxRuntime(), Integers(), ProgramBytes(), Verilog(build_dir), *board
