"""Logits of whole sets of images, and how far quantized ones are from float."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import onnxruntime_quantizer
from quant import qdq
from quant.compare.measure import decibels
from quant.ir.graph import FloatGraph
from quant.ir.scales import tensor_scales
from quant.run.evaluation import float_outputs
from quant.run.fast_execute import FastExecutor, quantize_images

BATCH = 20
"""Images that ONNX Runtime evaluates at a time."""


def centred_ratio(wanted: np.ndarray, found: np.ndarray) -> float | None:
    """The signal-to-noise ratio in dB of logits (N, classes), each image's mean taken away; None if one has no energy.

    A constant added to all logits of an image changes no answer and no probability.
    """
    signal = wanted - wanted.mean(1, keepdims=True)
    noise = (found - wanted) - (found - wanted).mean(1, keepdims=True)
    return decibels(float(np.vdot(signal, signal)), float(np.vdot(noise, noise)))


def fixed_logits(path: Path, parts: Iterator[np.ndarray]) -> np.ndarray:
    """What this project's quantized file computes, bit for bit: float64 (N, classes), in the float network's scale."""
    network = qdq.load(path)
    executor, output = FastExecutor(network), network.outputs[0]
    step = network.tensors[output].fmt.step / tensor_scales(network)[output][:, None, None]
    found = [executor.run(quantize_images(network, part), [output])[output] * step for part in parts]
    return np.concatenate([part.reshape(len(part), -1) for part in found])


def runtime_logits(path: Path, parts: Iterator[np.ndarray]) -> np.ndarray:
    """What ONNX Runtime computes from its quantized file: float64 (N, classes)."""
    session = onnxruntime_quantizer.open_quantized(path)
    name = session.get_inputs()[0].name
    batches = (part[first : first + BATCH] for part in parts for first in range(0, len(part), BATCH))
    found = [session.run(None, {name: batch})[0] for batch in batches]
    return np.concatenate([batch.reshape(len(batch), -1) for batch in found]).astype(np.float64)


def float_logits(graph: FloatGraph, parts: Iterator[np.ndarray]) -> np.ndarray:
    """What the float network computes: float64 (N, classes)."""
    output = graph.outputs[0]
    found = [array for part in parts for _, array in float_outputs(graph, part, output, BATCH)]
    return np.concatenate([array.reshape(len(array), -1) for array in found]).astype(np.float64)


def figures(wanted: np.ndarray, found: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Top-1, agreement with float as shares, and the logits' signal-to-noise ratio in dB."""
    answers = found.argmax(1)
    return {
        "top1": float((answers == labels).mean()),
        "agreement": float((answers == wanted.argmax(1)).mean()),
        "snr_db": centred_ratio(wanted, found),
    }
