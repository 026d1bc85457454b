"""Networks on a board's simulated system: every layer six ways, and the engine's own cycles against the cycle model.

    python benchmarks/boards.py                                # prints a table as it goes
    python benchmarks/boards.py --write docs/boards.md         # and keeps it there
    python benchmarks/boards.py --only vww96 --config tiny     # a part

Each network is quantized with the default effort on its data, compiled for the memory that stands for the board's,
and its first image runs in ONNX Runtime, as integers, as the program's bytes, as Verilog, and on the system with its
SDRAM, driven in Python and in C.  Seconds are of the wall.  Networks that are not there are left out with a line.
Exit code 1 where a layer
differs, or the cycles by more than `MOST`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from benchmarks.verification import NETWORKS
from host.boards import BuildOptions, build
from host.legs import OnBoard, Subject, legs
from host.onboard import Language
from host.terminal import Reporter
from host.timed import compile_timed
from hw.board import catalogue
from hw.contract.config import PRESETS, preset
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.search import quantize_network

USUAL = ("fashion_mnist", "resnet8_cifar10", "vww96")
MOST = 0.02
"""By how much of the board's cycles the model's may differ."""
MARKERS = "boards"
HEAD = (
    "| network | engine | layers | equal digests | cycles counted | cycles of the model | model / counted "
    "| seconds |\n"
    "|---|---|--:|---|--:|--:|--:|--:|\n"
)


def measured(name: str, config: str, board: str, folder: Path, reporter: Reporter) -> tuple[str, bool]:
    """A network's row, and whether it is as it should be.  folder: of the system."""
    start = time.monotonic()
    case, engine = NETWORKS[name], preset(config)
    graph = onnx_import.load(case.file())
    calibration, images = case.images(graph)
    network = quantize_network(graph, calibration, effort=case.effort)
    memory = catalogue.board(board).memory(engine)
    program = compile_timed(network, engine, memory=memory)
    with tempfile.TemporaryDirectory() as place:
        quantized = Path(place) / "quantized.onnx"
        qdq.save(network, quantized)
        subject = Subject(quantized, qdq.load(quantized), program, images[:1], memory)
        taken = {leg.name: leg.take(subject, reporter) for leg in legs(folder=folder)}
        in_c = OnBoard(folder, driver=Language.C).take(subject, reporter)
    outputs = [layer.output for layer, _ in program.turns if layer.output]
    ways = [*taken.values(), in_c]
    digests = [{one.digests[tensor] for one in ways} for tensor in outputs]
    equal = all(len(found) == 1 for found in digests)
    model, counted = taken["program"].facts["cycles"], taken["board"].facts["cycles"]
    cells = (name, config, len(digests), f"{len(ways)} ways" if equal else "NO", f"{counted:,}", f"{model:,}",
             f"{model / counted:.3f}", f"{time.monotonic() - start:.0f}")  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |\n", equal and abs(model / counted - 1) <= MOST


def renewed(before: list[str], lines: list[str]) -> list[str]:
    """A table's rows, those of the same network and engine anew, new ones at the end."""
    rows = {tuple(line.split("|")[1:3]): line for line in (*before, *lines)}
    return list(rows.values())


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(USUAL), help="networks")
    parser.add_argument("--config", choices=list(PRESETS), default="small", help="preset")
    parser.add_argument("--board", choices=list(catalogue.boards()), default="ulx3s-85")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    parser.add_argument("--work", type=Path, default=Path("build/boards"), help="folder for the system")
    arguments = parser.parse_args()
    if arguments.write:
        marked.check(arguments.write, MARKERS)  # before minutes of running
    reporter, folder = Reporter(quiet=True), arguments.work / f"{arguments.board}-{arguments.config}"
    build(
        BuildOptions(
            board=catalogue.board(arguments.board), config=preset(arguments.config), out=folder, simulate=True
        ),
        reporter,
    )
    print(HEAD, end="")
    lines, good = [], True
    for name in arguments.only:
        try:
            line, right = measured(name, arguments.config, arguments.board, folder, reporter)
        except BadInput as error:
            print(f"{error}; left out", file=sys.stderr)
            continue
        print(line, end="", flush=True)
        lines.append(line)
        good &= right
    if arguments.write:
        before = marked.read(arguments.write, MARKERS).removeprefix(HEAD).splitlines(keepends=True)
        marked.write(arguments.write, MARKERS, HEAD + "".join(renewed(before, lines)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
