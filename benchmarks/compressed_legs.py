"""Compressed networks on every leg of the proof: ONNX Runtime, integers, program, Verilog, and the cycle model.

    python benchmarks/compressed_legs.py                                    # prints a table as it goes
    python benchmarks/compressed_legs.py --write docs/verification.md       # and keeps it there
    python benchmarks/compressed_legs.py --only channels ternary            # a part

Each row is what `shiftpoint compress` makes of a trained network: every layer is held against the integers on each leg,
and every counter of the Verilog against the cycle model.  Equality is the question, not accuracy: `--effort fast`, few
images, one or two epochs of training.  Rows that train are left out with a line where there is no PyTorch.  Networks
and images are those of benchmarks/verification.py; without them there is nothing to do, and the document stays.

Exit code 1 on a difference.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from benchmarks.datasets import DATA, Labelled
from host.chain import compared
from host.compression import CompressOptions, CompressOutputs, compress
from host.legs import Integers, Leg, ProgramBytes, Subject, Verilog, legs
from host.low_rank import LowRankOptions
from host.terminal import Reporter
from host.timed import compile_timed
from host.training import TrainOptions
from hw.contract.config import PRESETS, preset
from hw.contract.memory import Memory
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.run.images import prepare

MARKERS = "compressed networks"
"""Name of the place in a document that the table is written to."""
HEAD = (
    "| network | what was asked of `compress` | configuration | images | legs | values compared | mismatches "
    "| cycles counted | cycles predicted | counters that differ |\n|---|---|---|--:|--:|--:|--:|--:|--:|---|\n"
)

METHODS: dict[str, dict[str, Any]] = {
    "weights": {"prune": 0.7},
    "blocks": {"prune": 0.3, "granularity": "blocks"},
    "channels": {"prune": 0.3, "granularity": "channels"},
    "values": {"share": 16},
    "ternary": {"ternary": True},
    "low-rank": {"low_rank": 0.7},
    "spatial": {"low_rank": 0.7, "spatial": True},
    "trained-weights": {"prune": 0.7, "epochs": 1},
    "trained-values": {"share": 16, "epochs": 1},
    "trained-ternary": {"ternary": True, "epochs": 2},
}
"""What is asked, by a name for the row: options of `compress`; what has epochs trains, ternary in two stages."""
IMAGES = {"calibration": 64, "train": 576}
"""How many of each."""


class Photographs:
    """The files of images that commands take, written once to a folder, and images to run."""

    def __init__(self, network: Path, folder: Path, count: int) -> None:
        graph, load = onnx_import.load(network), Labelled(DATA).load.load_images
        pixels, labels = load("cifar10_train_2000", sum(IMAGES.values()))
        ready = prepare(pixels, graph)
        self.calibration, self.train = folder / "calibration.npz", folder / "train.npz"
        np.savez(self.calibration, images=ready[: IMAGES["calibration"]])
        np.savez(self.train, images=ready[IMAGES["calibration"] :], labels=labels[IMAGES["calibration"] :])
        self.run = prepare(load("cifar10_test", count)[0], graph)


def made(network: Path, images: Photographs, asked: dict[str, Any], config: str, output: Path) -> Subject:
    """What `compress` makes, as the subject of the proof."""
    own = dict(asked)
    ranks = LowRankOptions(**{name: own.pop(name) for name in ("low_rank", "spatial") if name in own})
    epochs = own.pop("epochs", 0)
    training = TrainOptions(train=images.train, epochs=epochs) if epochs else TrainOptions()
    options = CompressOptions(
        network=network, calibration=images.calibration, config=preset(config), effort="fast", ranks=ranks,
        training=training, **own,
    )  # fmt: skip
    compress(options, CompressOutputs(output=output), Reporter(quiet=True))
    found = qdq.load(output)
    return Subject(output, found, compile_timed(found, preset(config)), images.run, Memory())


def proved(subject: Subject, ways: Sequence[Leg]) -> list[object]:
    """The cells of a row from the images on.  ways: among them those of the program and of the Verilog."""
    taken = {way.name: way.take(subject, Reporter(quiet=True)) for way in ways}
    held = [
        compared(subject.order, subject.integers, other.tensors, Integers.name, name)
        for name, other in taken.items()
        if name != Integers.name
    ]
    predicted, counted = (taken[name].facts for name in (ProgramBytes.name, Verilog.name))
    differing = [name for name, value in counted["counters"].items() if predicted["counters"][name] != value]
    return [
        len(subject.images), len(taken), f"{sum(each['elements_compared'] for each in held):,}",
        sum(each["mismatches"] for each in held), f"{counted['cycles']:,}", f"{predicted['cycles']:,}",
        ", ".join(differing) or "0",
    ]  # fmt: skip


def words(asked: dict[str, Any]) -> str:
    """Options as they are given to the command."""
    own = {**asked, "train": "train.npz"} if "epochs" in asked else asked
    given = [f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}") for name, value in own.items()]
    return f"`{' '.join(given)}`"


def rows(name: str, methods: Sequence[str], config: str, count: int) -> Iterator[list[object]]:
    """All rows asked for, of one network."""
    network = Labelled(DATA).network(name)
    with tempfile.TemporaryDirectory() as folder:
        images = Photographs(network, Path(folder), count)
        for method in methods:
            asked = METHODS[method]
            if "epochs" in asked and importlib.util.find_spec("torch") is None:
                print(f"{method}: needs PyTorch, left out (pip install 'shiftpoint[train]')", file=sys.stderr)
                continue
            start = time.monotonic()
            subject = made(network, images, asked, config, Path(folder) / f"{method}.onnx")
            yield [name, words(asked), config, *proved(subject, legs())]
            print(f"{name}, {method}: {time.monotonic() - start:.0f} s", file=sys.stderr)


def main() -> int:
    """Run and print; exit code 1 where anything differs, 2 for what cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS), help="rows")
    parser.add_argument("--network", default="resnet8_cifar10", help="one that takes photographs of CIFAR-10")
    parser.add_argument("--config", choices=list(PRESETS), default="small", help="configuration")
    parser.add_argument("--images", type=int, default=1, help="images that run on every leg (default 1)")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"{DATA} is absent: nothing to compress", file=sys.stderr)
        return 0
    text, good = HEAD, True
    try:
        if arguments.write:
            marked.check(arguments.write, MARKERS)  # before minutes of running
        print(HEAD, end="")
        for row in rows(arguments.network, arguments.only, arguments.config, arguments.images):
            line = "| " + " | ".join(str(cell) for cell in row) + " |\n"
            print(line, end="", flush=True)
            text += line
            good &= row[6] == 0 and row[-1] == "0"
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.write:
        marked.write(arguments.write, MARKERS, text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
