"""The table of results in README.md, from the report.json of build folders that `shiftpoint run` made.

python benchmarks/results.py [build/fashion_mnist ...]      # prints it, for every folder in build/ if none is named
python benchmarks/results.py ... --write README.md           # and puts it between the markers
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
HEAD = (
    "| network | engine | top-1 float | top-1 8-bit | agreement | cycles an image | RTL | of the roofline "
    "| frames/s | equal digests |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)  # fmt: skip


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.2f} %"


def row(report: dict[str, Any]) -> str:
    """One report as a row."""
    config, totals, rtl, accuracy = report["config"], report["totals"], report["rtl"], report["accuracy"]
    seen = "not run"
    if rtl is not None:
        same = rtl["mismatches"] == 0 and rtl["cycles"] == rtl["model_cycles"]
        seen = f"{'the same' if same else 'DIFFERS'}, {rtl['elements_compared']:,} elements equal"
    legs = len(report["proof"]["legs"])
    equal = all(len({d for d in layer["digest"].values() if d}) == 1 for layer in report["layers"])
    name = report["network"] + (", compressed" if report["beside"] else "")  # of the rows here, what has one is that
    cells = (
        name, f"{config['name']} {config['ic_lanes']}x{config['oc_lanes']}",
        percent(accuracy["float_top1"]), percent(accuracy["fixed_top1"]),
        f"{percent(accuracy['agreement'])} of {accuracy['images']:,}", f"{totals['cycles']:,}", seen,
        f"{totals['roofline_ratio']:.3f}", f"{totals['frames_per_second']:,.0f} at {config['clock_mhz']:.0f} MHz",
        f"{legs} ways, all {len(report['layers'])} layers" if equal else "NO",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |\n"


def table(folders: list[Path]) -> str:
    """The whole table."""
    return HEAD + "".join(row(json.loads((folder / "report.json").read_text())) for folder in folders)


def main() -> None:
    """Print the table; with --write, put it into a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="folder", help="build folder with a report.json")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    text = table(arguments.folders or sorted(path.parent for path in Path("build").glob("*/report.json")))
    print(text, end="")
    if arguments.write:
        before, rest = arguments.write.read_text().split(BEGIN)
        arguments.write.write_text(before + BEGIN + "\n" + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
