"""Which branches and toggles of the engine's Verilog a representative run reaches, by block (Verilator's coverage).

    python benchmarks/coverage.py                                # prints the table
    python benchmarks/coverage.py --write docs/verification.md   # and keeps it there
    python benchmarks/coverage.py --saved coverage.dat --holes   # of a run before; names what was not reached

The run: programs made by hand, random networks, those that the ways to run a layer are tried on, and networks at the
ends of what the compiler accepts, on one configuration, while the memory stalls, after errors of the bus and after
resets (tests/sim/bench/hardships.py).
A branch is one of the Verilog; a toggle is one bit of one signal that rose, or that fell.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks and tests: not installed

from benchmarks import marked
from hw.contract.config import PRESETS, preset
from hw.contract.memory import Memory
from quant.base.errors import BadInput
from tests.sim.bench.hardships import endure
from tests.sim.jobs import (
    banded_jobs,
    blocked_jobs,
    by_channel_jobs,
    depthwise_jobs,
    extreme_jobs,
    handmade_jobs,
    in_part_jobs,
    network_jobs,
)

MARKERS = "coverage"
NETWORKS, EXTREMES, WAYS = 24, 8, 4
"""How many of each kind."""
TOP = "shiftpoint_engine"
KINDS = ("branch", "toggle")
PARTS = re.compile(
    r"(_(raster|splitter|waiting|underway|beats|memory|column|bank|((activation|residual|output|pooled)_)?buffer|\d+))+$"
)
"""Of a module's name, what is a part of the block before it."""


class Point(NamedTuple):
    """Something that can be reached.  block: its module; name: a signal's bit, or the text of a branch."""

    block: str
    kind: str
    name: str
    reached: bool


def run(config: str, seed: int, coverage: Path) -> None:
    """Leave what Verilator counted."""
    made = preset(config)
    jobs = {
        **handmade_jobs(made, [Memory()]),
        **network_jobs(made, seed, NETWORKS),
        **extreme_jobs(made, seed, EXTREMES),
    }
    for way in (depthwise_jobs, banded_jobs, blocked_jobs, by_channel_jobs, in_part_jobs):
        jobs |= way(made, seed, WAYS)
    endure(jobs, seed, coverage)


def points(coverage: Path) -> Iterator[Point]:
    """What the file counts of the engine; the bench is left out, and branches that Yosys writes to be never taken."""
    for line in coverage.read_text(errors="replace").splitlines():
        found = re.fullmatch(r"C '(.*)' (\d+)", line)
        if found is None:
            continue
        fields = dict(part.split("\x02", 1) for part in found[1].split("\x01") if "\x02" in part)
        kind, _, module = fields["page"].partition("/")
        if not module.startswith(TOP):
            continue
        kind, name = ("toggle", fields["o"]) if kind == "v_toggle" else ("branch", branch(fields))
        if "verilog_backend" not in name:
            yield Point(module.removeprefix(TOP).lstrip("._") or "engine", kind, name, int(found[2]) > 0)


def branch(fields: dict[str, str]) -> str:
    """The text of a branch's line."""
    number = int(fields["l"])
    return f"{fields['o']}, line {number}: {source(fields['f'])[number - 1].strip()}"


@cache
def source(path: str) -> list[str]:
    """Lines of the Verilog."""
    return Path(path).read_text().splitlines()


def table(found: list[Point]) -> str:
    """Reached of all, by block; copies of a block, and its memories and queues, are counted with it."""
    counts: dict[str, dict[str, list[bool]]] = defaultdict(lambda: {kind: [] for kind in KINDS})
    for point in found:
        for block in (PARTS.sub("", point.block), "**all**"):
            counts[block][point.kind].append(point.reached)
    rows = ["| block | branches reached | toggles reached |", "|---|---|---|"]
    for block, kinds in sorted(counts.items(), key=lambda item: (item[0] == "**all**", item[0])):
        rows.append(f"| {block} | " + " | ".join(share(kinds[kind]) for kind in KINDS) + " |")
    return "\n".join(rows) + "\n"


def share(reached: list[bool]) -> str:
    """How many of how many."""
    if not reached:
        return "none there"
    return f"{sum(reached):,} of {len(reached):,}, {100 * sum(reached) / len(reached):.1f} %"


def main() -> int:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=list(PRESETS), default="tiny", help="configuration (default tiny)")
    parser.add_argument("--seed", type=int, default=1, help="of networks and stalls (default 1)")
    parser.add_argument("--saved", type=Path, help="take this coverage.dat and run nothing")
    parser.add_argument("--holes", action="store_true", help="name everything that was not reached")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    try:
        if arguments.write:
            marked.check(arguments.write, MARKERS)  # before minutes of running
        with tempfile.TemporaryDirectory(prefix="shiftpoint_") as folder:
            coverage = arguments.saved or Path(folder) / "coverage.dat"
            if not arguments.saved:
                run(arguments.config, arguments.seed, coverage)
            found = list(points(coverage))
        print(table(found), end="")
        if arguments.holes:
            print("\n".join(f"{p.block}: {p.kind} {p.name}" for p in found if not p.reached))
        if arguments.write:
            marked.write(arguments.write, MARKERS, table(found))
    except (BadInput, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
