"""How fast networks are evaluated bit for bit, and what ONNX Runtime makes of the saved file.

python benchmarks/evaluation.py [--data ../shared/data] [--networks squeezenet1.1 ...] [--images 64] [--limit N]
                                [--json FILE] [--write docs/quantization.md]
python benchmarks/evaluation.py --saved FILE ... [--write docs/quantization.md]     # the table of such files, anew

For each labelled network, quantized with the default effort: images a second of the integer network
(`quant.run.fast_execute`, from the float images to its logits) and of the original ONNX file in ONNX Runtime with its
default optimizations, in one process, on the same images in the same batches and on as many threads, in alternating
runs; the median of the runs' ratios; and that the logits equal those of the NumPy reference.  Then on how many
evaluation images (all, or the first N) the saved QDQ file, run with ONNX Runtime's default optimizations, has the
integer network's top-1, and how many of its logits are the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.datasets import DATA, Labelled, task
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.ir.network import Network
from quant.run.execute import Executor
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.search import quantize_network

REFERENCE_IMAGES = 4
"""Images on which the logits are held against the NumPy reference."""

MARKERS = "evaluation"
"""What is measured, and the name of the place in a document that the table is written to."""


def default_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A file in ONNX Runtime with its default optimizations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_batches(session: onnxruntime.InferenceSession, images: np.ndarray, batch: int) -> np.ndarray:
    """The first output for all images."""
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: images[i : i + batch]})[0] for i in range(0, len(images), batch)]
    return np.concatenate(parts)


def seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def speed(
    network: Network, path: Path, images: np.ndarray, threads: int, repeats: int, in_bytes: bool | None
) -> dict[str, Any]:
    """Images a second of both, and the median ratio of runs that follow each other."""
    executor, session = FastExecutor(network, threads, in_bytes), default_session(path, threads)

    def fixed() -> dict[str, np.ndarray]:
        return executor.run(quantize_images(network, images))

    def real() -> np.ndarray:
        return run_batches(session, images, executor.batch)

    few = quantize_images(network, images[:REFERENCE_IMAGES])
    wanted, found = Executor(network).run(few), executor.run(few)
    fixed(), real()  # prepares both for this batch
    pairs = [(seconds(fixed), seconds(real)) for _ in range(repeats)]
    return {
        "images": len(images),
        "batch": executor.batch,
        "data": "bytes" if executor.in_bytes else "float32",
        "equal": all(np.array_equal(found[name], wanted[name]) for name in wanted),
        "fixed": len(images) / statistics.median(a for a, _ in pairs),
        "float": len(images) / statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
        "ratios": [b / a for a, b in pairs],
    }


def agreement(network: Network, parts: Iterable[np.ndarray], threads: int) -> dict[str, Any]:
    """On how many images the saved file in ONNX Runtime, optimized as that likes, has the network's top-1.

    parts: images as the network takes them, some at a time.
    """
    output = network.outputs[0]
    step, executor = network.tensors[output].fmt.step, FastExecutor(network, threads)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        qdq.save(network, path)
        session = default_session(path, threads)
        for images in parts:
            found = executor.run(quantize_images(network, images), [output])[output]
            ours.append(found.reshape(len(images), -1).astype(np.float64))
            theirs.append(run_batches(session, images, 16).reshape(len(images), -1) / step)
    logits, others = np.concatenate(ours), np.concatenate(theirs)
    differ = np.flatnonzero(logits.argmax(1) != others.argmax(1))
    top = np.sort(logits, 1)
    return {
        "evaluated": len(logits),
        "agreement": 1 - len(differ) / len(logits),
        "equal_logits": float((logits == others).mean()),
        "largest_difference_in_steps": float(np.abs(logits - others).max()),
        "margins_in_steps_where_it_differs": [int(top[k, -1] - top[k, -2]) for k in differ],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All rows as Markdown."""
    head = ["network", "images a second, bit for bit", "ONNX Runtime, float", "ratio (of single runs)",
            "equal to the reference", "saved file's top-1 the same", "its logits equal"]  # fmt: skip
    text = f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for row in rows:
        cells = [
            row["network"],
            f"{row['fixed']:.1f}",
            f"{row['float']:.1f}",
            f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})",
            "yes" if row["equal"] else "NO",
            f"{100 * row['agreement']:.2f} % of {row['evaluated']:,}",
            f"{100 * row['equal_logits']:.2f} %",
        ]
        text += f"| {' | '.join(cells)} |\n"
    return text


def measure(path: Path, labelled: Labelled, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """A row: the figures of one network; None where it has no labelled images."""
    graph = onnx_import.load(path)
    kind = task(graph)
    if kind is None:
        return None
    network = quantize_network(graph, labelled.calibration(path, kind))
    pixels, _ = labelled.evaluation(path, kind, arguments.limit)
    timed = next(labelled.parts(path, pixels[: arguments.images]))
    in_bytes = False if arguments.float32 else None
    found = {"network": path.stem} | speed(network, path, timed, arguments.threads, arguments.repeats, in_bytes)
    found |= agreement(network, labelled.parts(path, pixels), arguments.threads)
    apart = found["margins_in_steps_where_it_differs"]
    print(f"{path.stem}: {found['ratio']:.2f} of float's speed (8-bit data as {found['data']}), saved file: the same "
          f"top-1 on {100 * found['agreement']:.2f} %, logits off by at most {found['largest_difference_in_steps']:g} "
          f"steps, where top-1 differs the two largest lie {apart} steps apart",
          file=sys.stderr, flush=True)  # fmt: skip
    return found


def run(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure, a row at a time."""
    labelled = Labelled(arguments.data)
    for name in arguments.networks or labelled.names():
        found = measure(labelled.network(name), labelled, arguments)
        if found is None and arguments.networks:
            raise BadInput(f"there are no labelled images for {name}")
        if found is not None:
            yield found


def main() -> int:
    """Measure, print, and with --write put the table into a file; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--networks", nargs="+", help="names without .onnx; all labelled ones by default")
    parser.add_argument("--images", type=int, default=64, help="images of a timed run, at most 250")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each kind")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="keep 8-bit data in float32, as without VNNI")
    parser.add_argument("--limit", type=int, help="evaluation images on which the saved file is compared")
    report.add_options(parser)
    arguments = parser.parse_args()
    return report.show(arguments, MARKERS, {MARKERS: table}, run(arguments))


if __name__ == "__main__":
    sys.exit(main())
