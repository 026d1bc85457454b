"""How much memory the commands take: peak of each, its time, and the bar that it must stay below.

python benchmarks/memory.py [--data ../shared/data] [--only compare ...] [--json FILE]

VGG-16 has 553 MB of seeded random weights (make_networks.py of the data folder) and 32 calibration images;
squeezenet1.1 has 1,000, whose maps grow with the set.  Every command is a process of its own; the peak is that of its
resident memory.  The exit code is 1 where one is above its bar or fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.datasets import DATA, Labelled
from quant.base.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent

FEW, MANY = 32, 1000
"""Images of VGG-16 and of squeezenet1.1."""

COUNTED = """
import resource, sys
from host.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""A command that says its peak in KiB at the end."""


class Case(NamedTuple):
    """A command on a network; bar: GB (10**9 bytes) that it may take."""

    network: str
    command: str
    bar: float
    arguments: tuple[str, ...]


CASES = (
    Case("vgg16", "inspect", 1.5, ("vgg16.onnx",)),
    Case("vgg16", "quantize", 3.0, ("vgg16.onnx", "--calibration", "few.npz", "-o", "vgg16.q.onnx")),
    Case("vgg16", "compare", 3.0, ("vgg16.onnx", "vgg16.q.onnx", "--images", "few.npz", "-o", "compare.json")),
    Case("vgg16", "compile", 3.0, ("vgg16.q.onnx", "--config", "medium", "-o", "vgg16.program")),
    Case("squeezenet1.1", "quantize", 1.5, ("squeezenet1.1.onnx", "--calibration", "many.npz", "-o", "small.q.onnx")),
    Case("squeezenet1.1", "compare", 1.5, ("squeezenet1.1.onnx", "small.q.onnx", "--images", "many.npz")),
)
"""In this order: later ones read what earlier ones wrote."""


def prepare(data: Path, folder: Path) -> None:
    """The networks and images in a folder.  Raises BadInput for a data folder that holds none."""
    labelled = Labelled(data)
    network = labelled.network("squeezenet1.1")
    (folder / network.name).write_bytes(network.read_bytes())
    script = [sys.executable, str(data / "make_networks.py"), "vgg16", "-o", str(folder / "vgg16.onnx")]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    for name, count in (("few.npz", FEW), ("many.npz", MANY)):
        pixels, labels = labelled.load.load_images("nips17", count, labelled.load.network_size(str(network)))
        np.savez(folder / name, images=labelled.load.preprocess(pixels, str(network)), labels=labels)


def measure(case: Case, folder: Path) -> report.Row:
    """One command run: its peak in GB, and the seconds of its wall and of its processors."""
    began, before = time.perf_counter(), os.times()
    line = [sys.executable, "-c", COUNTED, case.command, *case.arguments]
    taken = subprocess.run(line, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, os.times()
    lines = taken.stderr.strip().splitlines()
    peak = int(lines[-1]) * 1024 / 1e9 if not taken.returncode else float("nan")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    held = peak <= case.bar
    return {
        "network": case.network,
        "command": case.command,
        "peak GB": round(peak, 2),
        "bar GB": case.bar,
        "seconds": round(wall),
        "processor seconds": round(cpu),
        "held": "yes" if held else "no" if not taken.returncode else lines[-1] if lines else "failed",
    }


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the networks and images")
    parser.add_argument("--only", nargs="+", choices=sorted({case.command for case in CASES}), help="these commands")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory.") as name:
        folder = Path(name)
        try:
            prepare(options.data.resolve(), folder)
        except BadInput as error:
            print(f"memory: {error}", file=sys.stderr)
            return 2
        rows: list[report.Row] = []
        for case in CASES:
            if not options.only or case.command in options.only:
                rows.append(measure(case, folder))
                lines = [rows[-1]] if len(rows) > 1 else [dict.fromkeys(rows[0], "---"), rows[0]]
                if len(rows) == 1:
                    print("|", " | ".join(rows[0]), "|")
                for row in lines:
                    print("|", " | ".join(map(str, row.values())), "|", flush=True)
                if options.json:
                    report.save(options.json, "memory", rows)
    return int(any(row["held"] != "yes" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
