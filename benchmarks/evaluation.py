"""How fast networks are evaluated bit for bit, and what ONNX Runtime makes of the saved file.

python benchmarks/evaluation.py [--data ../shared/data] [--networks ...] [--images 64] [--agreement 0] [--json FILE]

For each network, in one process: images a second of the integer network (`quant.fast_execute`, from the float images
to its logits) and of the original ONNX file in ONNX Runtime with its default optimizations, on the same images in the
same batches and on as many threads, in alternating runs; the median of the runs' ratios; that the logits equal those
of the NumPy reference; the process's peak memory.  With --agreement N: on how many of N evaluation images the saved
QDQ file, run with ONNX Runtime's default optimizations, has the integer network's top-1.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from quant import onnx_import, qdq
from quant.execute import Executor
from quant.fast_execute import FastExecutor, quantize_images
from quant.network import Network
from quant.search import quantize_network

NETWORKS = ("squeezenet1.1", "mobilenet_v1_0.75", "mobilenet_v2_1.0")
REFERENCE_IMAGES = 4
"""Images on which the logits are held against the NumPy reference."""


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


def agreement(network: Network, images: np.ndarray, threads: int) -> dict[str, Any]:
    """On how many images the saved file in ONNX Runtime, optimized as that likes, has the network's top-1."""
    output = network.outputs[0]
    logits = FastExecutor(network, threads).run(quantize_images(network, images), [output])[output]
    logits = logits.reshape(len(images), -1).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        qdq.save(network, path)
        theirs = run_batches(default_session(path, threads), images, 16).reshape(len(images), -1)
    step = network.tensors[output].fmt.step
    differ = np.flatnonzero(logits.argmax(1) != theirs.argmax(1))
    top = np.sort(logits, 1)
    return {
        "agreement_images": len(images),
        "agreement": 1 - len(differ) / len(images),
        "equal_logits": float((logits * step == theirs).mean()),
        "largest_difference_in_steps": float(np.abs(logits - theirs / step).max()),
        "margins_in_steps_where_it_differs": [int(top[k, -1] - top[k, -2]) for k in differ],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--images", type=int, default=64, help="images of a timed run")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each kind")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="keep 8-bit data in float32, as without VNNI")
    parser.add_argument("--agreement", type=int, default=0, help="images on which the saved file is compared")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.data))
    import load as labelled

    rows = {}
    for name in arguments.networks:
        path = arguments.data / "models" / f"{name}.onnx"
        cifar = "cifar10" in name

        def images(part: str, limit: int, path: Path = path) -> np.ndarray:
            pixels, _ = labelled.load_images(part, limit, labelled.network_size(str(path)))
            return labelled.preprocess(pixels, str(path))

        graph = onnx_import.load(path)
        network = quantize_network(graph, images("cifar10_train_2000" if cifar else "imagenet_calibration", 100))
        evaluation = "cifar10_test" if cifar else "nips17"
        found = speed(network, path, images(evaluation, arguments.images), arguments.threads, arguments.repeats,
                      False if arguments.float32 else None)  # fmt: skip
        if arguments.agreement:
            found |= agreement(network, images(evaluation, arguments.agreement), arguments.threads)
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        rows[name] = found
        print(f"{name}: {found['fixed']:.1f} images/s bit for bit ({found['data']}), {found['float']:.1f} in float: "
              f"{found['ratio']:.2f} of float ({min(found['ratios']):.2f} to {max(found['ratios']):.2f}), logits "
              f"{'equal' if found['equal'] else 'NOT EQUAL'} to the reference's, "
              f"peak {found['peak_mib']} MiB", flush=True)  # fmt: skip
        if arguments.agreement:
            print(f"  saved file, default optimizations: the same top-1 on {100 * found['agreement']:.2f} % of "
                  f"{found['agreement_images']}, {100 * found['equal_logits']:.2f} % of the logits equal, others off "
                  f"by at most {found['largest_difference_in_steps']:g} steps; where top-1 differs the two largest lie "
                  f"{found['margins_in_steps_where_it_differs']} steps apart", flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
