"""How fast the whole-engine bench is, beside the same Verilated model without any bench.

python benchmarks/simulation.py NET.onnx [--config small] [--images 4] [--repeat 3] [--json FILE]
                                [--write docs/verification.md]
python benchmarks/simulation.py --saved FILE ... [--write docs/verification.md]     # the table of such files, anew

The network is quantized (QDQ or coded), or float: then it is quantized first, as `benchmarks/engine.py` does.  *bench*:
what `shiftpoint run` and `make verify` use, cocotb with the checkers of both ports, the driver, and all tensors read
after each image; its seconds are those of some more images in one process, so that its start counts no cycle.  *bare*:
`bare_engine.cpp`, the clock and the bytes behind the memory, driven by the same driver through a pipe; it must count
the cycles and leave the tensors that the bench does.  Seconds are the processor's, so others at work on the machine
matter less; both are measured in turn, and the ratio is the median of its repetitions.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import engine, report
from host.compiler import compile_network
from host.configuration import configuration
from host.driver import Driver
from host.transport import run_sync
from hw import verilog
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.base.errors import BadInput, VerificationError
from quant.run.execute import quantize_input
from sim.bench.builds import LINT, SPLIT
from sim.bench.engine_bench import RtlResult, patience, run_rtl, watchdog
from sim.bench.toolchain import environment, require
from sim.cycles import simulate

MODE = "simulation"
"""What is measured, and the name of the place in a document that the table is written to."""
WANTED = 0.6
"""Of the bare model's speed."""
TOP = "bare"
SOURCE = Path(__file__).with_name("bare_engine.cpp")
BASE = 0x4000_0000
MEMORY = Memory()


def wrapper(description: dict[str, Any]) -> str:
    """Verilog of a module around the engine that engine.json describes, with its ports and a register at its reset.

    Verilator evaluates logic behind ports twice a cycle, and the reset stands before every register; so `bench.sv` has
    that register, too.
    """
    outer = {"interrupt": "interrupt_line"}  # a word of POSIX
    declared, wires = [], []
    for port in description["ports"]:
        name = outer.get(port["name"], port["name"])
        declared.append(f"{port['direction']} [{port['width'] - 1}:0] {name}")
        wires.append(f".{port['name']}({'reset' if name == verilog.RESET else name})")
    register = f"reg reset = 1; always @(posedge {verilog.CLOCK}) reset <= {verilog.RESET};"
    instance = f"{verilog.TOP} engine({', '.join(wires)});"
    return f"module {TOP}({', '.join(declared)});\n  {register}\n  {instance}\nendmodule\n"


def build(config: AcceleratorConfig, folder: Path) -> Path:
    """The bare model of a configuration, compiled as the bench is.  Raises VerificationError."""
    require()
    verilog.write(config, folder)
    top, engine = folder / f"{TOP}.v", folder / "engine.v"
    top.write_text(wrapper(json.loads(verilog.contents(config)["engine.json"])))
    flags = f"-DBEAT_BYTES={config.derived.beat_bytes} -std=c++17"
    arguments = [*LINT, *SPLIT, *(f"-Wno-{rule}" for rule in verilog.LINT_WAIVERS)]
    line = ["verilator", "--cc", "--exe", "--build", "-j", "2", *arguments, "-CFLAGS", flags, "--top-module", TOP]
    line += ["--Mdir", str(folder / "made"), "-o", TOP, str(top), str(engine), str(SOURCE)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if "rror" in text] or ["nothing was said"]
        raise VerificationError(f"the bare model does not build: {said[0].strip()}")
    return folder / "made" / TOP


class Pipe:
    """As `host.transport.Transport`: a bare model that obeys its standard input.

    memory: uint8 (bytes,), the file that it has mapped.  patience: cycles to wait for an interrupt.
    seconds: of the processor, that it has run for.
    """

    reads_back = False

    def __init__(self, model: subprocess.Popen[str], memory: np.ndarray, patience: int) -> None:
        self.model, self.memory, self.patience, self.seconds = model, memory, patience, 0.0

    def _say(self, words: str) -> None:
        assert self.model.stdin is not None
        self.model.stdin.write(f"{words}\n")
        self.model.stdin.flush()

    def _answer(self) -> str:
        assert self.model.stdout is not None
        line = self.model.stdout.readline()
        if not line:
            raise VerificationError(f"the bare model ended with exit code {self.model.wait()}")
        return line

    async def write(self, offset: int, value: int) -> None:
        """As of `Transport`."""
        self._say(f"w {offset} {value}")

    async def read(self, offset: int) -> int:
        """As of `Transport`."""
        self._say(f"r {offset}")
        return int(self._answer())

    async def read_memory(self, address: int, size: int) -> bytes:
        """As of `Transport`."""
        return self.memory[address - BASE : address - BASE + size].tobytes()

    async def write_memory(self, address: int, data: bytes) -> None:
        """As of `Transport`."""
        self.memory[address - BASE : address - BASE + len(data)] = np.frombuffer(data, np.uint8)

    async def wait_interrupt(self) -> None:
        """As of `Transport`.  Raises VerificationError where it does not come."""
        self._say(f"i {self.patience}")
        taken = float(self._answer())
        if taken < 0:
            raise VerificationError(f"the bare model gave no interrupt within {self.patience} cycles")
        self.seconds += taken


def run_bare(
    model: Path, program: Program, images: np.ndarray, folder: Path
) -> tuple[list[int], list[np.ndarray], float]:
    """Cycles of each image, all tensors of the last, and seconds of the processor."""
    path = folder / "memory"
    with path.open("wb") as file:
        file.truncate(program.memory_bytes)
    memory = np.memmap(path, np.uint8, "r+")
    words = [str(model), str(path), str(BASE), str(MEMORY.latency), str(MEMORY.beat_every)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        pipe = Pipe(process, memory, patience(simulate(program, MEMORY).cycles, MEMORY))
        driver = Driver(pipe, BASE, len(memory), watchdog(MEMORY))
        run_sync(driver.connect())
        run_sync(driver.load(program))
        cycles = []
        for image in images:
            run_sync(driver.run(image))
            cycles.append(run_sync(driver.counters())["CYCLES"])
        tensors = [run_sync(driver.read_tensor(placed.tensor)) for placed in program.tensors]
        assert process.stdin is not None
        process.stdin.close()
    return cycles, tensors, pipe.seconds


def run_bench(program: Program, images: np.ndarray) -> tuple[RtlResult, float]:
    """What the bench gave, and the processor's seconds of all its processes."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    found = run_rtl(program, images, MEMORY)
    return found, used() - before


def measure(arguments: argparse.Namespace) -> Iterator[report.Row]:
    """The row of a network on a configuration.  Raises VerificationError where bench and bare model differ."""
    if arguments.network is None:
        raise BadInput("a network is needed, or --saved")
    config = configuration(arguments.config)
    network, images = engine.integers(arguments.network, arguments.calibration)
    program = compile_network(network, config)
    if not isinstance(images, np.ndarray):
        raise BadInput("only networks of one input are run without a bench")
    given = np.asarray(quantize_input(network, np.resize(images, (1 + arguments.images, *images.shape[1:]))))
    with tempfile.TemporaryDirectory() as name:
        model = build(config, Path(name))
        run_bench(program, given[:1])  # builds its simulator
        benches, bares, cycles = [], [], 0
        for _ in range(arguments.repeat):
            (_, start), (found, whole) = run_bench(program, given[:1]), run_bench(program, given)
            counted, tensors, seconds = run_bare(model, program, given, Path(name))
            names = [placed.tensor for placed in program.tensors]
            same = all(np.array_equal(found.tensors[k][-1], own) for k, own in zip(names, tensors, strict=True))
            if counted != list(found.cycles) or not same:
                raise VerificationError(f"the bare model counts {counted} cycles, the bench {list(found.cycles)}")
            cycles = sum(counted[1:])
            benches.append(cycles / (whole - start))
            bares.append(sum(counted) / seconds)
    yield {
        "network": arguments.network.stem,
        "config": config.name,
        "cycles": cycles,
        "bench": median(benches),
        "bare": median(bares),
        "ratio": median(bench / bare for bench, bare in zip(benches, bares, strict=True)),
    }


def table(rows: Sequence[report.Row]) -> str:
    """A line for each."""
    lines = [
        "| network | configuration | cycles | bench, cycles a second | bare | ratio | wanted |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = (row["network"], row["config"], f"{row['cycles']:,}", f"{row['bench']:,.0f}", f"{row['bare']:,.0f}")
        lines.append(f"| {' | '.join(cells)} | {row['ratio']:.2f} | {WANTED} |")
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", type=Path)
    parser.add_argument("--config", default="small")
    parser.add_argument("--calibration", type=Path, help=".npz of images, as `shiftpoint quantize` takes it")
    parser.add_argument("--images", type=int, default=4, help="that are timed")
    parser.add_argument("--repeat", type=int, default=3)
    report.add_options(parser)
    arguments = parser.parse_args()
    return report.show(arguments, MODE, {MODE: table}, measure(arguments))


if __name__ == "__main__":
    sys.exit(main())
