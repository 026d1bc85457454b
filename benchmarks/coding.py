"""What coding takes of a network, beside the figures of Deep Compression (Han et al. 2016).

python benchmarks/coding.py [--data ../shared/data] [--networks resnet20_cifar10 ...] [--limit N]
                            [--json FILE] [--write docs/compression.md]
python benchmarks/coding.py --saved FILE ... [--write docs/compression.md]   # the table of such files, anew

Each network is encoded (Deep Compression's Huffman codes and relative indices), and what is measured is the network
that the coded file decodes to.  The one that the paper's authors pruned and shared is coded as it is, and with
codebooks and biases rounded to 16-bit floats; others are quantized to 8 bits first, on 100 images of
imagenet_calibration or 200 of cifar10_train_2000.  Top-1 and agreement with the float network: on all of nips17 or
cifar10_test, or the first N.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import logits, report
from benchmarks.datasets import DATA, Labelled, Task, task
from benchmarks.report import Row
from quant import coded, onnx_import, qdq
from quant.base.errors import BadInput
from quant.coded.table import table as coding_table
from quant.search import quantize_network

MARKERS = "coding"
"""What is measured, and the name of the place in a document that the table is written to."""

SHARED = "squeezenet1.0_deepcompressed"
"""Pruned, and at most 256 values a layer, by the authors of the paper."""

AS_IT_IS = "float, as published"

PAPER = {SHARED: "660 kB"}
"""What the paper's authors state."""

WANTED = 535_000
"""Bytes of theirs, tables included."""

NETWORKS = (SHARED, "resnet20_cifar10", "squeezenet1.1")


def halved(content: bytes) -> bytes:
    """A network with its float weights and biases rounded to what 16-bit floats hold."""
    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            rounded = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    return model.SerializeToString(deterministic=True)


def variants(path: Path, labelled: Labelled, kind: Task, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The ONNX files that are coded of one network, and what they are."""
    if path.stem == SHARED:
        yield AS_IT_IS, path.read_bytes()
        yield "float, 16-bit codebooks and biases", halved(path.read_bytes())
    else:
        network = quantize_network(onnx_import.load(path), labelled.calibration(path, kind))
        qdq.save(network, folder / "quantized.onnx")
        yield "8 bits", (folder / "quantized.onnx").read_bytes()


def measure(path: Path, labelled: Labelled, limit: int | None) -> Iterator[Row]:
    """The rows of one network.  Raises BadInput for one that has no labelled images."""
    graph = onnx_import.load(path)
    kind = task(graph)
    if kind is None:
        raise BadInput(f"{path}: there are no labelled images for it")
    pixels, labels = labelled.evaluation(path, kind, limit)
    reference = logits.float_logits(graph, labelled.parts(path, pixels)).argmax(1)
    with tempfile.TemporaryDirectory() as folder:
        decoded = Path(folder) / "decoded.onnx"
        for form, content in variants(path, labelled, kind, Path(folder)):
            found = coded.encode(content)
            decoded.write_bytes(coded.decode(found, path.name))
            if path.stem == SHARED:
                ours = logits.float_logits(onnx_import.load(decoded), labelled.parts(path, pixels))
            else:
                ours = logits.fixed_logits(decoded, labelled.parts(path, pixels))
            answers, held = ours.argmax(1), coding_table(content, found)
            yield {
                "network": path.stem, "form": form, "images": len(pixels),
                "weights": held.weights, "kept": held.kept, "bytes": held.file, "tables": held.head,
                "float_top1": float(np.mean(reference == labels)), "top1": float(np.mean(answers == labels)),
                "agreement": float(np.mean(answers == reference)),
            }  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """All rows as Markdown."""
    titles = ["network", "coded", "weights", "kept", "bytes", "of them tables, graph", "of float", "of 8 bits", "paper"]
    titles += ["top-1 float", "top-1", "agreement"]
    text = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n"
    for row in rows:
        cells = [row["network"], row["form"], f"{row['weights']:,}", f"{row['kept'] / row['weights']:.1%}"]
        cells += [f"{row['bytes']:,}", f"{row['tables']:,}"]
        cells += [f"{4 * row['weights'] / row['bytes']:.2f}x", f"{row['weights'] / row['bytes']:.2f}x"]
        cells += [PAPER.get(row["network"], "")]
        cells += [f"{row['float_top1']:.2%}", f"{row['top1']:.2%}", f"{row['agreement']:.2%} of {row['images']:,}"]
        text += f"| {' | '.join(cells)} |\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of labelled networks and images")
    parser.add_argument("--networks", nargs="+", metavar="NAME", default=NETWORKS)
    parser.add_argument("--limit", type=int, metavar="N", help="evaluate on the first N images")
    report.add_options(parser)
    arguments = parser.parse_args()

    def measured() -> Iterator[Row]:
        labelled = Labelled(arguments.data)
        for name in arguments.networks:
            for row in measure(labelled.network(name), labelled, arguments.limit):
                print(f"{name}, {row['form']}: {row['bytes']:,} bytes", file=sys.stderr, flush=True)
                yield row

    return report.show(arguments, MARKERS, {MARKERS: table}, measured())


if __name__ == "__main__":
    sys.exit(main())
