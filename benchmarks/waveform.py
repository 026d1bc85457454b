"""A tile on its way through load, compute and store, as the Verilog shows it: docs/waveform.svg.

python benchmarks/waveform.py [--write docs/waveform.svg] [--build-dir DIR]

The first of two convolutions of `KERNEL` x `KERNEL` taps and `CHANNELS` channels, of a map of `SIZE` x `SIZE` pixels,
on `CONFIG` beside the memory `MEMORY`, from the first cycle of the run to the one in which the results of its first
tile are in memory; a STORE before leaves them in the activation buffer, too, for the second convolution.  Drawn is what
the signals of the engine were in the waveform of the run, cycle by cycle; its cycles, and the latency of the results,
are held against the models first.  Prints the spans of each row.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from onnx import TensorProto, helper, numpy_helper
from vcd.reader import TokenKind, tokenize

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from host.compiler import compile_network
from host.report.drawing import BLUE, GREEN, GREY, INK, ORANGE, STYLE, svg
from host.target import engine_target
from hw.contract.config import preset
from hw.contract.isa import ConvInstruction
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.timing import compute_latency
from quant import onnx_import
from quant.base.errors import BadInput, VerificationError
from quant.base.files import write_atomic
from quant.run.execute import quantize_input
from quant.search import quantize_network
from sim.bench.engine_bench import run_rtl
from sim.cycles import simulate

CONFIG, CHANNELS, SIZE, KERNEL = "tiny", 4, 6, 3
LATENCY = compute_latency(preset(CONFIG))
MEMORY = Memory(latency=16)
"""A near one: what waits for it would be most of the picture."""
ENGINE = ("bench", "engine")


class Lane(NamedTuple):
    """A row of the picture: its title, and the signals, by unit, that are all 1 where it is."""

    title: str
    colour: str
    signals: tuple[str, ...]


LANES = (
    Lane("memory: address of a read", GREY, ("m_axi__arvalid", "m_axi__arready")),
    Lane("memory: beat read", GREY, ("m_axi__rvalid", "m_axi__rready")),
    Lane("LOAD starts", BLUE, ("load_unit.front__valid", "load_unit.front__ready")),
    Lane("activation buffer written by LOAD", BLUE, ("load_unit.activation_write__enable",)),
    Lane("weight buffer written", BLUE, ("load_unit.weight_write__enable",)),
    Lane("LOAD done", BLUE, ("load_unit.front__done",)),
    Lane("CONV or SETUP starts", ORANGE, ("compute_unit.front__valid", "compute_unit.front__ready")),
    Lane("weights into shadow registers", ORANGE, ("compute_unit.pipeline.array.shift",)),
    Lane("pixel's address issued", ORANGE, ("compute_unit.pixel_valid",)),
    Lane("output buffer written", ORANGE, ("compute_unit.output_write__enable",)),
    Lane("CONV done", ORANGE, ("compute_unit.front__done",)),
    Lane("STORE starts", GREEN, ("store_unit.front__valid", "store_unit.front__ready")),
    Lane("activation buffer written by STORE", GREEN, ("store_unit.activation_write__enable",)),
    Lane("memory: address of a write", GREY, ("m_axi__awvalid", "m_axi__awready")),
    Lane("memory: beat written", GREY, ("m_axi__wvalid", "m_axi__wready")),
    Lane("memory: response", GREY, ("m_axi__bvalid", "m_axi__bready")),
    Lane("STORE done", GREEN, ("store_unit.front__done",)),
)
ISSUED, RESULTS = "pixel's address issued", "output buffer written"
TOKENS = (("LOAD done", "CONV or SETUP starts"), ("CONV done", "STORE starts"))
"""Who gives a token, and who waits for it."""
BUSY, BEGIN = "control.busy", "compute_unit.begin_"
"""Whether the run goes on; that the next cycle is a pass's first one."""


def program(folder: Path) -> tuple[Program, np.ndarray]:
    """The two convolutions for the engine, and an image for them: int64 (1, C, H, W)."""
    random = np.random.default_rng(5)
    shape: list[int | str | None] = ["N", CHANNELS, SIZE, SIZE]
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["sums"], "first", pads=[1] * 4),
        helper.make_node("Relu", ["sums"], ["between"], "relu"),
        helper.make_node("Conv", ["between", "second"], ["output"], "second", pads=[1] * 4),
    ]
    weights = [
        numpy_helper.from_array(random.normal(0, 0.3, (CHANNELS, CHANNELS, KERNEL, KERNEL)).astype(np.float32), name)
        for name in ("first", "second")
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = helper.make_graph(nodes, "tile", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = folder / "tile.onnx"
    file.write_bytes(model.SerializeToString())
    images = random.normal(0, 1, (8, CHANNELS, SIZE, SIZE)).astype(np.float32)
    config = preset(CONFIG)
    network = quantize_network(onnx_import.load(file), images, target=engine_target(config))
    return compile_network(network, config, memory=MEMORY), np.asarray(quantize_input(network, images[:1]))


def sampled(waveform: bytes, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Signals of one bit in each cycle, as the clock's edge at its end sees them: bool (cycles,) by name.

    names: behind ENGINE, scopes joined by dots.  Raises VerificationError for one that the waveform does not have.
    """
    scope: list[str] = []
    wanted = {(*ENGINE, *name.split(".")): name for name in names} | {("bench", "clk"): "clk"}
    codes: dict[str, list[str]] = {}
    now = dict.fromkeys(wanted.values(), False)
    taken: dict[str, list[bool]] = {name: [] for name in wanted.values()}
    changes: dict[str, bool] = {}

    def pass_on() -> None:
        if changes.get("clk") and not now["clk"]:
            for name, values in taken.items():
                values.append(now[name])
        now.update(changes)
        changes.clear()

    # Verilator's outermost scope begins with a dollar sign, which the reader takes for a keyword.
    for token in tokenize(io.BytesIO(waveform.replace(b"$rootio", b"rootio"))):
        if token.kind is TokenKind.SCOPE:
            scope.append(token.scope.ident)
        elif token.kind is TokenKind.UPSCOPE:
            scope.pop()
        elif token.kind is TokenKind.VAR:
            found = wanted.get((*(each for each in scope if each != "rootio"), token.var.reference))
            if found is not None:
                codes.setdefault(token.var.id_code, []).append(found)
        elif token.kind is TokenKind.CHANGE_TIME:
            pass_on()
        elif token.kind is TokenKind.CHANGE_SCALAR:
            for name in codes.get(token.scalar_change.id_code, ()):
                changes[name] = token.scalar_change.value == "1"
    pass_on()
    missing = set(wanted.values()).difference(*codes.values())
    if missing:
        raise VerificationError(f"the waveform has no {', '.join(sorted(missing))}")
    return {name: np.array(values) for name, values in taken.items()}


class Tile(NamedTuple):
    """What is drawn.

    lanes: of each Lane its cycles, bool (cycles,).  passes: their first cycles.  pixels: of each.  cycles: of the run.
    """

    lanes: dict[str, np.ndarray]
    passes: list[int]
    pixels: int
    cycles: int


def tile(waveform: bytes, conv: ConvInstruction, cycles: int) -> Tile:
    """The first tile of a run of so many cycles; conv: its CONV.

    Raises VerificationError where it is not as documents say.
    """
    found = sampled(waveform, [BUSY, BEGIN, *dict.fromkeys(name for lane in LANES for name in lane.signals)])
    run = np.flatnonzero(found[BUSY])
    if len(run) != cycles:
        raise VerificationError(f"the waveform is of {len(run)} cycles, {cycles} were counted")
    start = int(run[0])
    lanes = {lane.title: np.logical_and.reduce([found[name][start:] for name in lane.signals]) for lane in LANES}
    pixels = conv.out_rows * conv.out_columns
    passes = [int(cycle) + 1 for cycle in np.flatnonzero(found[BEGIN][start:])[: KERNEL**2]]
    written = runs(lanes[RESULTS])[0]
    if (passes[-1] + LATENCY, pixels) != written:
        raise VerificationError(f"the last pass begins in cycle {passes[-1]}, and results are written in {written}")
    in_memory = np.flatnonzero(lanes["memory: response"])[0]
    ended = np.flatnonzero(lanes["STORE done"])
    end = int(ended[ended > in_memory][0]) + 1
    return Tile({name: taken[:end] for name, taken in lanes.items()}, passes, pixels, cycles)


def runs(taken: np.ndarray) -> list[tuple[int, int]]:
    """First cycle and length of each stretch of cycles."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], taken.astype(np.int8), [0]))))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def picture(drawn: Tile) -> str:
    """The lanes over the cycles, as an SVG element.

    Numbers are passes; dotted lines are tokens, from the end of what gives one to the start of what waited for it.
    """
    places = {lane.title: row for row, lane in enumerate(LANES)}
    end = len(next(iter(drawn.lanes.values())))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 0.27 * len(LANES) + 0.9))
        axes = figure.subplots()
        for row, lane in enumerate(LANES):
            stretches = runs(drawn.lanes[lane.title])
            axes.axhline(row + 0.3, color=GREY, linewidth=0.6, zorder=0)
            axes.broken_barh(stretches, (row - 0.3, 0.6), facecolor=lane.colour, edgecolor="none")
        row = places[ISSUED]
        for number, (first, last) in enumerate(zip(drawn.passes, [*drawn.passes[1:], None], strict=True)):
            middle = (first + (first + drawn.pixels if last is None else last)) / 2
            axes.text(middle, row, str(number), color="white", ha="center", va="center", fontsize=7)
            if number:
                axes.plot([first, first], [row - 0.3, row + 0.3], color="white", linewidth=0.8)
        after = drawn.passes[-1] + drawn.pixels  # the next tile's
        axes.plot([after, after], [row - 0.3, row + 0.3], color="white", linewidth=3)
        for giver, taker in TOKENS:
            given, taken = np.flatnonzero(drawn.lanes[giver]), np.flatnonzero(drawn.lanes[taker])
            start = int(taken[0] if taker.startswith("STORE") else taken[taken < drawn.passes[0]][-1])
            ends = given[given < start]
            axes.plot([ends[-1] + 1, start], [places[giver], places[taker]], color=INK, linewidth=0.9, linestyle=":")
        latency = [drawn.passes[-1], drawn.passes[-1] + LATENCY]
        axes.annotate(
            "",
            (latency[1], places[RESULTS]),
            (latency[0], places[RESULTS]),
            arrowprops={"arrowstyle": "<->", "lw": 0.7},
        )
        axes.text(latency[0] - 2, places[RESULTS], f"compute_latency {LATENCY}", ha="right", va="center", fontsize=7)
        axes.set_yticks(range(len(LANES)), [lane.title for lane in LANES])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(LANES) - 0.4, -0.6)
        axes.set_xlim(0, end)
        axes.set_xlabel(f"cycle of the run, of {drawn.cycles} ({CONFIG}, memory latency {MEMORY.latency})")
        return svg(figure)


def main() -> int:
    """Run, check, draw; exit code 2 with one line for bad input, 1 where the waveform is not as documents say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="SVG file to write")
    parser.add_argument("--build-dir", type=Path, help="folder of built simulators, as `shiftpoint simulate` has it")
    arguments = parser.parse_args()
    try:
        drawn = run(arguments.build_dir)
    except (BadInput, VerificationError) as error:
        print(f"waveform: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    if arguments.write is not None:
        write_atomic(arguments.write, picture(drawn).encode())
    for lane in LANES:
        print(f"{lane.title}: {', '.join(f'{a}..{a + n - 1}' for a, n in runs(drawn.lanes[lane.title]))}")
    return 0


def run(build_dir: Path | None = None) -> Tile:
    """The tile of a run of the Verilog.  Raises VerificationError where its cycles are not those of the model."""
    with tempfile.TemporaryDirectory() as name:
        made, image = program(Path(name))
        waveform = Path(name) / "tile.vcd"
        (cycles,) = run_rtl(made, image, MEMORY, waves=waveform, build_dir=build_dir).cycles
        predicted = simulate(made, MEMORY).cycles
        if cycles != predicted:
            raise VerificationError(f"{cycles} cycles counted, {predicted} predicted")
        conv = next(each for each in made.decode() if isinstance(each, ConvInstruction))
        return tile(waveform.read_bytes(), conv, cycles)


if __name__ == "__main__":
    sys.exit(main())
