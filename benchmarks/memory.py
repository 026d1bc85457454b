"""How much memory the commands take: the peak of each, the bar that it must stay below, and its time.

python benchmarks/memory.py [--data ../shared/data] [--networks vgg16 ...] [--commands compare ...] [--folder DIR]
                            [--json FILE] [--write docs/verification.md]
python benchmarks/memory.py --saved FILE ... [--write docs/verification.md]     # one table of such files

VGG-16 has 553 MB of seeded random weights (make_networks.py of the data folder) and 32 calibration images;
squeezenet1.1 has 1,000, whose maps grow with the set.  Every command is a process of its own, and its peak is that of
its resident memory.  Commands read what those before them wrote: with --folder that is kept, so that they can be
measured one by one.  Of a command that several files have, the last counts.  The exit code is 1 where one is above its
bar or fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.datasets import DATA, Labelled
from quant.base.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent

MARKERS = "memory"
"""What is measured, and the name of the place in a document that the table is written to."""

COUNTED = """
import sys
from host.cli import main
if code := main(sys.argv[1:]):
    sys.exit(code)
from benchmarks.quantizing import peak_mib
print(peak_mib(), file=sys.stderr)
"""
"""A command that says its peak at the end."""


class Case(NamedTuple):
    """A command on a network.  bar: GB (10**9 bytes) that it may take."""

    network: str
    command: str
    bar: float
    arguments: str


CASES = (
    Case("vgg16", "inspect", 1.5, "vgg16.onnx"),
    Case("vgg16", "quantize", 3.0, "vgg16.onnx --calibration 32.npz -o vgg16.q.onnx"),
    Case("vgg16", "compare", 3.0, "vgg16.onnx vgg16.q.onnx --images 32.npz"),
    Case("vgg16", "compile", 3.0, "vgg16.q.onnx --config medium -o vgg16.program"),
    Case("squeezenet1.1", "quantize", 1.5, "squeezenet1.1.onnx --calibration 1000.npz -o squeezenet1.1.q.onnx"),
    Case("squeezenet1.1", "compare", 1.5, "squeezenet1.1.onnx squeezenet1.1.q.onnx --images 1000.npz"),
    Case("squeezenet1.1", "compile", 1.5, "squeezenet1.1.q.onnx --config medium -o squeezenet1.1.program"),
    Case("squeezenet1.1", "simulate", 0.6, "squeezenet1.1.program --images 1000.npz --count 1"),  # the set has 0.6
)
"""In this order: later ones read what earlier ones wrote."""


def prepare(data: Path, folder: Path) -> None:
    """The networks and images in a folder, where they are not there yet.  Raises BadInput for data that hold none."""
    labelled = Labelled(data)
    network = labelled.network("squeezenet1.1")

    def vgg16(path: Path) -> None:
        script = [sys.executable, str(data / "make_networks.py"), "vgg16", "-o", str(path)]
        subprocess.run(script, check=True, stdout=subprocess.DEVNULL)

    def images(count: int, path: Path) -> None:
        pixels, _ = labelled.load.load_images("nips17", count, labelled.load.network_size(str(network)))
        np.savez(path, images=labelled.load.preprocess(pixels, str(network)))

    files: dict[str, Callable[[Path], object]] = {
        "vgg16.onnx": vgg16,
        "squeezenet1.1.onnx": partial(shutil.copyfile, network),
        "32.npz": partial(images, 32),
        "1000.npz": partial(images, 1000),
    }
    for name, make in files.items():
        if not (folder / name).exists():
            begun = folder / f"begun.{name}"
            make(begun)
            begun.replace(folder / name)


def measure(case: Case, folder: Path) -> report.Row:
    """One command run: its peak in GB, None where it fails, and the seconds of its wall and of all cores together."""
    began, before = time.perf_counter(), os.times()
    line = [sys.executable, "-c", COUNTED, case.command, *case.arguments.split()]
    taken = subprocess.run(line, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, os.times()
    row = {
        "network": case.network,
        "command": f"{case.command} {case.arguments}",
        "bar": case.bar,
        "peak": None if taken.returncode else int(taken.stderr.splitlines()[-1]) * 2**20 / 1e9,
        "seconds": wall,
        "cpu_seconds": after.children_user + after.children_system - before.children_user - before.children_system,
    }
    print(table([row]).splitlines()[-1], taken.stderr.strip() if taken.returncode else "", file=sys.stderr, flush=True)
    return row


def held(row: report.Row) -> bool:
    """Whether a command ended, below its bar."""
    return row["peak"] is not None and row["peak"] <= row["bar"]


def united(rows: Sequence[report.Row]) -> list[report.Row]:
    """One row for each command; later ones replace earlier ones."""
    return list({(row["network"], row["command"]): row for row in rows}.values())


def table(rows: Sequence[report.Row]) -> str:
    """What the document says."""
    lines = ["| network | command | peak | bar | time (of all cores together) |", "|---|---|---|---|---|"]
    for row in rows:
        peak = "failed" if row["peak"] is None else f"{row['peak']:.2f} GB{'' if held(row) else ', above'}"
        time_taken = f"{row['seconds']:,.0f} ({row['cpu_seconds']:,.0f}) s"
        lines.append(f"| {row['network']} | `{row['command']}` | {peak} | {row['bar']} GB | {time_taken} |")
    return "".join(f"{line}\n" for line in lines)


def run(arguments: argparse.Namespace) -> Iterator[report.Row]:
    """Measure, a row at a time."""
    given = arguments.folder
    with nullcontext(given) if given else tempfile.TemporaryDirectory(prefix="memory.") as name:
        folder = Path(name)
        if not folder.is_dir():
            raise BadInput(f"{folder}: no folder")
        prepare(arguments.data.resolve(), folder)
        for case in CASES:
            if case.network in arguments.networks and case.command in arguments.commands:
                yield measure(case, folder)


def main() -> int:
    """Measure, print, and with --write put the table into a file; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the networks and images")
    for option, names in (
        ("--networks", [case.network for case in CASES]),
        ("--commands", [case.command for case in CASES]),
    ):
        known = list(dict.fromkeys(names))
        parser.add_argument(option, nargs="+", choices=known, default=known, help="only these")
    parser.add_argument("--folder", type=Path, help="where networks, images and outputs stay; a temporary one else")
    report.add_options(parser)
    arguments = parser.parse_args()
    shown: list[report.Row] = []

    def tables(rows: Sequence[report.Row]) -> str:
        shown.extend(united(rows))
        return table(shown)

    return report.show(arguments, MARKERS, {MARKERS: tables}, run(arguments)) or int(not all(map(held, shown)))


if __name__ == "__main__":
    sys.exit(main())
