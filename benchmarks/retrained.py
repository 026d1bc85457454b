"""What retraining makes of two networks for CIFAR-10: pruned, ternary, smaller, as integers on the test images.

python benchmarks/retrained.py [--data ../shared/data] [--rows NAME ...] [--limit N] [--json FILE]
                               [--write docs/compression.md]
python benchmarks/retrained.py --train FOLDER [--rows NAME ...] ...                 # trains them first, for hours
python benchmarks/retrained.py --saved FILE ... [--write docs/compression.md]       # the table of such files, anew

resnet20_cifar10 is of the labelled networks, vgg_cifar10 of `vgg.py`.  Each row is one command, `shiftpoint compress`
or `optimize ... --train` on all of cifar10_train, a tenth of it held back, which is what `optimize` chooses by.  What
came out lies in benchmarks/trained, coded, with its log; that is what is measured, unless --train names a folder to
train in (with PyTorch: pip install 'shiftpoint[train]'); what is there is not trained again, and what was stopped goes
on.  The images of cifar10_test decide nothing.  *loss*: top-1 of the float network less that of the integers, in
points; fewer: of the float network's weights, of their bytes at 8 bits, of the cycles of the same network with nothing
taken away.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report, vgg
from benchmarks.datasets import DATA, TASKS, Labelled
from benchmarks.report import Row
from host.cost import cost
from host.target import engine_target
from hw.contract.config import preset
from quant import coded, onnx_import, qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.run.evaluation import answers, float_answers
from quant.run.images import prepare
from quant.search import quantize_network
from quant.train.data import open_examples
from quant.train.settings import Settings

MARKERS = "retrained"
"""What is measured, and the name of the place in a document that the table is written to."""

RESNET = "resnet20_cifar10"
ENGINE = "small"
"""Whose blocks and cycles."""

ROOT = Path(__file__).resolve().parents[1]
TRAINED = ROOT / "benchmarks" / "trained"
"""What was trained: NAME.coded, and NAME.log, the command and what it printed."""


class Asked(NamedTuple):
    """A row.  options: the command and its own; gain: what is fewer, as the table has it; wanted: points of loss."""

    name: str
    network: str
    title: str
    options: str
    gain: Callable[[Row], str]
    wanted: float

    def __str__(self) -> str:
        return f"{self.network}: {self.title}"


def _times(row: Row, plain: str, own: str) -> str:
    return f"{row[plain] / row[own]:.2f}x"


def fewer_cycles(row: Row) -> str:
    """Of one image, than with nothing taken away."""
    return f"{_times(row, 'plain_cycles', 'cycles')} fewer cycles"


COMMON = "--config small --augment flip --bfloat16"
ADAMW = f"{COMMON} --optimizer adamw --learning-rate 0.001"
ROWS = (
    Asked(
        "blocks",
        RESNET,
        "half of the blocks of `small`",
        f"compress --prune 0.5 --granularity blocks {ADAMW} --epochs 12",
        lambda row: f"{_times(row, 'weights', 'kept')} fewer weights",
        0.8,
    ),
    Asked(
        "channels",
        RESNET,
        "channels removed",
        f"compress --prune 0.375 --granularity channels {ADAMW} --epochs 14",
        fewer_cycles,
        0.8,
    ),
    Asked(
        "weights",
        RESNET,
        "a quarter of the weights",
        f"compress --prune 0.75 {ADAMW} --epochs 24",
        lambda row: f"{_times(row, 'weights', 'kept')} fewer weights",
        0.5,
    ),
    Asked(
        "ternary",
        RESNET,
        "ternary",
        f"compress --ternary {COMMON} --epochs 6",
        lambda row: (
            f"{_times(row, 'weights', 'two_bits')} fewer bytes, {_times(row, 'weights', 'fives')} five in a byte"
        ),
        0.5,
    ),
    Asked(
        "low_rank",
        vgg.NAME,
        "low rank",
        f"compress --low-rank 0.29 --spatial {ADAMW} --epochs 12",
        fewer_cycles,
        1.0,
    ),
    Asked(
        "vgg_channels",
        vgg.NAME,
        "channels removed",
        f"compress --prune 0.375 --granularity channels {ADAMW} --epochs 8",
        fewer_cycles,
        0.8,
    ),
    Asked(
        "optimize",
        vgg.NAME,
        "`optimize`",
        f"optimize --max-loss 0.8 --margin 3.3 --points 1 --survivors 1 --effort fast {ADAMW} --epochs 24",
        fewer_cycles,
        0.8,
    ),
)


def packed(found: Row, together: int) -> int:
    """Bytes of a network's weights where layers of two values besides zero have so many in a byte, and both values.

    found: a cost (`host.cost`); other layers have a byte for each weight.
    """
    sizes = [(layer["weights"], 0 < layer["values"] <= 2) for layer in found["layers"]]
    return sum(-(-weights // together) + 2 if ternary else weights for weights, ternary in sizes)


def float_network(name: str, labelled: Labelled) -> Path:
    """The file of a row's network.  Raises BadInput for one that is not there."""
    return TRAINED / f"{name}.coded" if name == vgg.NAME else labelled.network(name)


def given(asked: Asked, network: Path, labelled: Labelled, folder: Path) -> dict[str, Path]:
    """The images that a row's command takes, written into a folder, by its options."""
    pixels, labels = labelled.load.load_images("cifar10_train")
    few, _ = labelled.load.load_images(TASKS[10].calibration, TASKS[10].images)
    contents = {"--train": {"images": pixels, "labels": labels}, "--calibration": {"images": few}}
    files = {"--train": folder / "cifar10_train.npz", "--calibration": folder / "cifar10_train_200.npz"}
    if asked.options.startswith("optimize"):
        np.savez(files["--train"], **contents["--train"])
        held = open_examples(files["--train"], onnx_import.load(network), Settings().seed).held
        files["--evaluation"] = folder / "cifar10_train_held_back.npz"
        contents["--evaluation"] = {"images": pixels[held], "labels": labels[held]}
    for option, path in files.items():
        np.savez(path, **contents[option])
    return files


def train(asked: Asked, labelled: Labelled, folder: Path) -> None:
    """Make the files of a row that are not there.  Raises BadInput where the command fails, which has said why."""
    file, log = folder / f"{asked.name}.coded", folder / f"{asked.name}.log"
    if file.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    network, output = float_network(asked.network, labelled), folder / f"{asked.name}.onnx"
    verb, _, options = asked.options.partition(" ")
    with tempfile.TemporaryDirectory() as name:
        files = given(asked, network, labelled, Path(name))
        words = [verb, str(network), *options.split()]
        words += [word for option, path in files.items() for word in (option, str(path))]
        began = time.monotonic()
        line = [sys.executable, "-m", "host.cli", *words, "-o", str(output)]
        done = subprocess.run(line, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BadInput(f"{asked.name}: the training ended with exit code {done.returncode}")
    told = " ".join(f"{option} {path.name}" for option, path in files.items())
    head = f"$ shiftpoint {verb} {network.name} {options} {told} -o {output.name}\n"
    printed = "".join(f"{text.rstrip()}\n" for text in done.stdout.replace(str(output), output.name).splitlines())
    write_atomic(log, f"{head}{printed}{time.monotonic() - began:,.0f} s\n".encode())
    write_atomic(file, coded.encode(output.read_bytes()))


class Known(NamedTuple):
    """What all rows of a network have in common.  images: the float network's inputs; theirs: top-1 in float; plain,
    cycles: of 8 bits with nothing asked."""

    images: np.ndarray
    labels: np.ndarray
    theirs: float
    plain: float
    cycles: int


def known(name: str, labelled: Labelled, limit: int | None) -> Known:
    """Of the first so many test images."""
    task, config = TASKS[10], preset(ENGINE)
    graph = onnx_import.load(float_network(name, labelled))
    pixels, labels = labelled.load.load_images(task.evaluation, limit)
    few, _ = labelled.load.load_images(task.calibration, task.images)
    images = prepare(pixels, graph)
    network = quantize_network(graph, prepare(few, graph), target=engine_target(config))
    theirs, plain = (
        float(np.mean(found == labels)) for found in (float_answers(graph, images), answers(network, images))
    )
    return Known(images, labels, theirs, plain, cost(network, config)["cycles"])


def measure(asked: Asked, folder: Path, known: Known) -> Row:
    """A row: of the file, whose integers answer the images."""
    network = qdq.load(folder / f"{asked.name}.coded")
    found = cost(network, preset(ENGINE))
    ours = float(np.mean(answers(network, known.images) == known.labels))
    return {
        **{"row": asked.name, "images": len(known.images), "float": known.theirs, "plain": known.plain, "top1": ours},
        **{name: found[name] for name in ("weights", "kept", "coded_bytes", "cycles")},
        **{"plain_cycles": known.cycles, "two_bits": packed(found, 4), "fives": packed(found, 5)},
    }


def measured(arguments: argparse.Namespace) -> Iterator[Row]:
    """Rows as they come."""
    labelled = Labelled(arguments.data)
    common: dict[str, Known] = {}
    for asked in ROWS:
        if asked.name in arguments.rows:
            if arguments.train is not None:
                train(asked, labelled, arguments.train)
            if asked.network not in common:
                common[asked.network] = known(asked.network, labelled, arguments.limit)
            row = measure(asked, arguments.train or TRAINED, common[asked.network])
            print(f"{asked.name}: {row['top1']:.2%} (float {row['float']:.2%})", file=sys.stderr, flush=True)
            yield row


def table(rows: Sequence[Row]) -> str:
    """All rows as Markdown."""
    text = "| what was asked | images | float | 8 bits | retrained | loss | wanted | fewer | coded |\n"
    text += f"|---|{'--:|' * 6}---|--:|\n"
    for asked in ROWS:
        for row in rows:
            if row["row"] == asked.name:
                cells = [
                    str(asked),
                    f"{row['images']:,}",
                    *(f"{100 * row[k]:.2f}" for k in ("float", "plain", "top1")),
                ]
                cells += [f"{100 * (row['float'] - row['top1']):.2f}", f"{asked.wanted:g}", asked.gain(row)]
                text += f"| {' | '.join(cells)} | {row['coded_bytes']:,} |\n"
    return text


def main() -> int:
    """Measure, print, and with --write put the table into a file; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled networks and images")
    known = [asked.name for asked in ROWS]
    parser.add_argument("--rows", nargs="+", choices=known, default=known, metavar="ROW", help=f"of {', '.join(known)}")
    parser.add_argument("--train", type=Path, metavar="FOLDER", help="train there what is not there")
    parser.add_argument("--limit", type=int, help="test images, all 10,000 by default")
    report.add_options(parser)
    arguments = parser.parse_args()
    return report.show(arguments, MARKERS, {MARKERS: table}, measured(arguments))


if __name__ == "__main__":
    sys.exit(main())
