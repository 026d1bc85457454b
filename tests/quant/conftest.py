"""What tests of the quantizer use of the labelled data that lie outside the repository."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.onnx_import import load
from quant.search import quantize_network


@pytest.fixture(scope="session")
def labelled(shared_data: Path) -> ModuleType:
    """The module that reads the labelled images and prepares them for a network."""
    spec = importlib.util.spec_from_file_location("shiftpoint_data_load", shared_data / "load.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Trained:
    """A trained network, quantized, and test images of its task: float32 (N, C, H, W) and labels (N,)."""

    graph: FloatGraph
    network: Network
    images: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="session")
def resnet8(shared_data: Path, labelled: ModuleType) -> Trained:
    """resnet8 on CIFAR-10, quantized with 50 images; 100 others."""
    path = shared_data / "models" / "resnet8_cifar10.onnx"
    calibration, _ = labelled.load_images("cifar10_train_2000", limit=50)
    pixels, labels = labelled.load_images("cifar10_test", limit=100)
    graph = load(path)
    network = quantize_network(graph, calibration)  # raw pixels: the metadata says what to do with them
    return Trained(graph, network, labelled.preprocess(pixels, str(path)), labels)
