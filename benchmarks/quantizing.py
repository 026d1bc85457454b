"""One network quantized in a process of its own, so that its time and its peak memory are its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import onnxruntime_quantizer
from benchmarks.datasets import Labelled, Task
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.search import quantize_network

CHECK_IMAGES = 8
"""Calibration images on which the import is held against the file, as `shiftpoint quantize` does."""


class Cost(NamedTuple):
    """What one quantization took, from the ONNX file to the quantized one.

    seconds: wall clock; cpu_seconds: of all cores together; peak_mib: of the whole process, its images included.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: int


def ours(source: Path, images: np.ndarray, target: Path, options: Mapping[str, Any]) -> None:
    """By this project: what `shiftpoint quantize` does.  options: of `quant.search.quantize_network`."""
    graph = onnx_import.load(source)
    onnx_import.verify(graph, source, images[:CHECK_IMAGES])
    qdq.save(quantize_network(graph, images, **options), target)


def theirs(source: Path, images: np.ndarray, target: Path, options: Mapping[str, Any]) -> None:
    """By ONNX Runtime.  options: of `benchmarks.onnxruntime_quantizer.quantize`."""
    onnxruntime_quantizer.quantize(source, images, target, **options)


Tool = Callable[[Path, np.ndarray, Path, Mapping[str, Any]], None]


def quantize_apart(
    tool: Tool, source: Path, target: Path, options: Mapping[str, Any], data: Path, task: Task, first: int
) -> Cost:
    """Quantize a file into another in a new process, on the calibration images of a task from `first` on.

    Raises what the tool raises; BadInput where the process was ended from outside, as for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        try:
            return pool.submit(_work, tool, source, target, dict(options), data, task, first).result()
        except BrokenProcessPool as error:
            raise BadInput(f"{source.stem}: the process that quantized it was ended, perhaps for its memory") from error


def _work(tool: Tool, source: Path, target: Path, options: dict[str, Any], data: Path, task: Task, first: int) -> Cost:
    images = Labelled(data).calibration(source, task, first)
    start, used = time.perf_counter(), time.process_time()
    tool(source, images, target, options)
    return Cost(time.perf_counter() - start, time.process_time() - used, peak_mib())


def peak_mib() -> int:
    """The largest memory that this process ever had resident, in MiB.

    From Linux's /proc: `getrusage` gives a new process at least what its parent had when it was started.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    raise BadInput("/proc/self/status says nothing of the peak memory")
