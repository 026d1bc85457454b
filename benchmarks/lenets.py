"""Deep Compression's small networks (Han et al. 2016, tables 1 to 4): trained, pruned, shared, coded, measured.

python benchmarks/lenets.py [--rows lenet300_mnist ...] [--seeds 5] [--data ../shared/data] [--fashion FOLDER]
                            [--keep FOLDER] [--json FILE] [--write docs/compression.md]
python benchmarks/lenets.py --saved FILE ... [--write docs/compression.md]      # the table of such files, anew

LeNet-300-100 and LeNet-5 (as Caffe has it, 431,080 numbers) from random weights, on MNIST (of the labelled images) or
Fashion-MNIST (of Debian's package dataset-fashion-mnist).  Each is trained in float, pruned and shared while it is
trained on, with its own float answers beside the labels, quantized on 500 training images, encoded; the coded file is
decoded, and its integers answer the 10,000 test images, which decide nothing before.  *loss*: top-1 of the float
network less that of the integers, in points; *ratio*: 32 bits for each weight and bias of the float network over all
bytes of the coded file.  Figures are means over seeds.  Needs PyTorch: pip install 'shiftpoint[train]'.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import logits, report
from benchmarks.datasets import DATA, Labelled
from benchmarks.report import Row
from quant import coded, compress, onnx_import, qdq
from quant.base.errors import BadInput
from quant.coded.table import table as coding_table
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.run.images import prepare
from quant.search import quantize_network
from quant.train.settings import Settings

MARKERS = "lenets"
"""What is measured, and the name of the place in a document that the table is written to."""

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package puts it."""

CALIBRATION = 500
"""Training images to quantize on."""


class Asked(NamedTuple):
    """A row.  prune: share of the weights that go; values: that the others share, by layer; rate: of learning; mix and
    thrift: as of `Settings`; paper, wanted: ratios."""

    network: str
    images: str
    prune: float
    values: int
    epochs: int
    rate: float
    mix: bool
    thrift: float
    paper: float | None
    wanted: float

    def __str__(self) -> str:
        return f"{self.network}_{self.images}"


ROWS = (
    Asked("lenet300", "mnist", 0.928, 16, 60, 0.0015, False, 0.04, 40, 60),
    Asked("lenet5", "mnist", 0.983, 16, 20, 0.002, False, 0.0, 39, 150),
    Asked("lenet300", "fashion", 0.909, 16, 60, 0.0015, False, 0.04, None, 50),
    Asked("lenet5", "fashion", 0.93, 16, 20, 0.002, False, 0.0, None, 50),
)
FLOAT_EPOCHS = {"lenet300": 15, "lenet5": 8}
"""Of the float network, before."""

LOSS = 0.1
"""Points of top-1 that a row may lose."""

TITLES = {"lenet300": "LeNet-300-100", "lenet5": "LeNet-5", "mnist": "MNIST", "fashion": "Fashion-MNIST"}


def lenet(name: str, seed: int, mean: float, scale: float) -> onnx.ModelProto:
    """A network with random weights (He et al. 2015).  name: lenet300 or lenet5; mean, scale: of its preprocessing."""
    random = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def layer(operator: str, source: str, output: str, shape: tuple[int, ...], **attributes: Any) -> str:
        spread = np.sqrt(2 / np.prod(shape[1:]))
        named = (f"{output}.weight", random.normal(0, spread, shape)), (f"{output}.bias", np.zeros(shape[0]))
        weights.extend(numpy_helper.from_array(values.astype(np.float32), title) for title, values in named)
        inputs = [source, f"{output}.weight", f"{output}.bias"]
        nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def then(operator: str, source: str, output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, [source], [output], name=output, **attributes))
        return output

    at, inputs = "input", 784
    if name == "lenet5":
        for number, (outputs, read) in enumerate(((20, 1), (50, 20)), 1):
            at = layer("Conv", at, f"conv{number}", (outputs, read, 5, 5))
            at = then("MaxPool", at, f"pool{number}", kernel_shape=[2, 2], strides=[2, 2])
        inputs = 800
    at = then("Flatten", at, "flat")
    for number, outputs in enumerate((500,) if name == "lenet5" else (300, 100), 1):
        at = then("Relu", layer("Gemm", at, f"fc{number}", (outputs, inputs), transB=1), f"relu{number}")
        inputs = outputs
    layer("Gemm", at, "logits", (10, inputs), transB=1)
    ends = (
        helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, 28, 28]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10]),
    )
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    words = {"preprocess.channels": "gray", "preprocess.mean": f"{mean:.4f}", "preprocess.scale": f"{scale:.8f}"}
    helper.set_model_props(model, words)
    return model


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in a gzipped idx file.  Raises BadInput where there is none."""
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise BadInput(f"{path}: no gzipped file; Debian's package dataset-fashion-mnist has it") from error
    if data[:3] != b"\0\0\x08":
        raise BadInput(f"{path}: not an idx file of unsigned bytes")
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def read(images: str, part: str, data: Path, fashion: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 1, 28, 28), and labels, int64 (N,).  part: train or test."""
    if images == "mnist":
        pixels, labels = Labelled(data).load.load_images(f"mnist_{part}")
        return pixels, labels
    prefix = {"train": "train", "test": "t10k"}[part]
    pixels, labels = (read_idx(fashion / f"{prefix}-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    return pixels[:, None], labels.astype(np.int64)


def numbers(graph: FloatGraph) -> int:
    """Weights and biases."""
    return sum(layer.weight.size + layer.bias.size for layer in float_convolutions(graph.layers))


def measure(asked: Asked, seed: int, data: Path, fashion: Path, folder: Path, keep: Path | None) -> Row:
    """A row of one seed.  folder: for files on the way; keep: where the coded file and the trainings stay."""
    from quant.train.checkpoint import Checkpoint
    from quant.train.data import open_examples
    from quant.train.loop import Stage, Trained, train
    from quant.train.retrain import stages

    began = time.process_time()

    def trained(start: FloatGraph, what: str, steps: Sequence[Stage], settings: Settings, key: object) -> Trained:
        path = None if keep is None else keep / f"{what}-{seed}.training"
        return train(start, examples, steps, settings, Checkpoint(path, f"{what} {key}"))

    (pixels, labels), (tested, answers) = (read(asked.images, part, data, fashion) for part in ("train", "test"))
    np.savez(folder / "train.npz", images=pixels, labels=labels)
    start = folder / "start.onnx"
    onnx.save(lenet(asked.network, seed, float(pixels.mean()), 1 / float(pixels.std())), start)
    graph = onnx_import.load(start)
    examples = open_examples(folder / "train.npz", graph, seed)
    alone = Settings(
        epochs=FLOAT_EPOCHS[asked.network],
        batch=128,
        optimizer="adamw",
        rate=asked.rate,
        distil=0.0,
        bfloat16=True,
        seed=seed,
    )
    whole = trained(graph, f"{asked}-float", stages(alone, compress.Asked()), alone, alone)
    small = replace(alone, epochs=asked.epochs, distil=0.7, mix=asked.mix, thrift=asked.thrift)
    rates = {"prune": asked.prune, "values": asked.values}
    wanted = compress.Asked(prune=asked.prune, values=asked.values)
    found = trained(whole.graph, str(asked), stages(small, wanted), small, (alone, small, rates))
    network = quantize_network(found.graph, prepare(pixels[:CALIBRATION], graph), structures=found.structures)
    qdq.save(network, folder / "quantized.onnx")
    content = (folder / "quantized.onnx").read_bytes()
    file = coded.encode(content)
    (folder / "decoded.onnx").write_bytes(coded.decode(file, "decoded"))
    if keep is not None:
        (keep / f"{asked}-{seed}.coded").write_bytes(file)
    images = prepare(tested, graph)
    theirs = logits.float_logits(whole.graph, iter([images])).argmax(1)
    ours = logits.fixed_logits(folder / "decoded.onnx", iter([images])).argmax(1)
    held = coding_table(content, file)
    return {
        **{"row": str(asked), "seed": seed, "numbers": numbers(graph), "kept": held.kept, "weights": held.weights},
        **{"bytes": len(file), "tables": held.head, "seconds": round(time.process_time() - began)},
        **{"float_top1": float(np.mean(theirs == answers)), "top1": float(np.mean(ours == answers))},
        "held_back": [epoch.accuracy for epoch in (whole.epochs[-1], found.epochs[-1])],
    }


def table(rows: Sequence[Row]) -> str:
    """Means over seeds as Markdown."""
    text = "| network, images | seeds | float | compressed | loss | kept | bytes | ratio | paper | wanted |\n"
    text += f"|---|{'--:|' * 9}\n"
    for asked in ROWS:
        own = [row for row in rows if row["row"] == str(asked)]
        if not own:
            continue
        theirs, ours, size = (100 * np.mean([row[name] for row in own]) for name in ("float_top1", "top1", "bytes"))
        kept = np.mean([row["kept"] / row["weights"] for row in own])
        ratio = np.mean([4 * row["numbers"] / row["bytes"] for row in own])
        cells = [f"{asked.network}, {asked.images}", str(len(own)), f"{theirs:.2f}", f"{ours:.2f}"]
        cells += [f"{theirs - ours:.2f}", f"{kept:.1%}", f"{size / 100:,.0f}", f"{ratio:.1f}x"]
        cells += ["" if asked.paper is None else f"{asked.paper:g}x", f"{asked.wanted:g}x"]
        text += f"| {' | '.join(cells)} |\n"
    return text


def measured(arguments: argparse.Namespace) -> Iterator[Row]:
    """Rows as they come."""
    if importlib.util.find_spec("torch") is None:
        raise BadInput("training needs PyTorch: pip install 'shiftpoint[train]'")
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    for asked in ROWS:
        if str(asked) in arguments.rows:
            for seed in range(1, arguments.seeds + 1):
                with tempfile.TemporaryDirectory() as name:
                    row = measure(asked, seed, arguments.data, arguments.fashion, Path(name), arguments.keep)
                share = 4 * row["numbers"] / row["bytes"]
                words = f"{share:.1f}x, {row['float_top1']:.2%} to {row['top1']:.2%}, {row['seconds']:,} s"
                print(f"{asked}, seed {seed}: {words}", file=sys.stderr, flush=True)
                yield row


def main() -> int:
    """Measure, print, and with --write put the table into a file; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled images")
    parser.add_argument("--fashion", type=Path, default=FASHION, help="folder of Fashion-MNIST's four files")
    known = [str(asked) for asked in ROWS]
    parser.add_argument("--rows", nargs="+", choices=known, default=known, metavar="ROW", help="only these")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--keep", type=Path, help="folder where coded files and trainings stay, to go on from")
    report.add_options(parser)
    arguments = parser.parse_args()
    return report.show(arguments, MARKERS, {MARKERS: table}, measured(arguments))


if __name__ == "__main__":
    sys.exit(main())
