"""Saved files in ONNX Runtime and the fast executor, on whole sets of images: every value of every tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant import qdq
from quant.onnx_import import load
from quant.qdq.run import run_layers
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.search import quantize_network

PART = 10
"""Images held at a time: all tensors of all of them."""


@pytest.mark.verify
@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet8_cifar10", 1000), ("resnet20_cifar10", 1000), ("mobilenet_v1_0.75", 150), ("squeezenet1.1", 150)],
)
def test_every_value_of_whole_sets(shared_data: Path, labelled: Any, name: str, count: int) -> None:
    path = shared_data / "models" / f"{name}.onnx"

    def images(part: str, number: int) -> np.ndarray:
        pixels, _ = labelled.load_images(part, number, labelled.network_size(str(path)))
        return labelled.preprocess(pixels, str(path))

    cifar = "cifar10" in name
    network = quantize_network(load(path), images("cifar10_train_2000" if cifar else "imagenet_calibration", 20))
    model, executor = qdq.to_model(network), FastExecutor(network)
    for part in np.split(images("cifar10_test" if cifar else "nips17", count), range(PART, count, PART)):
        theirs = run_layers(model, part, wide=qdq.beyond_float32(network))
        ours = executor.run(quantize_images(network, part), keep=list(theirs))
        for tensor, integers in theirs.items():
            np.testing.assert_array_equal(ours[tensor], integers, tensor)
