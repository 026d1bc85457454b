"""The benchmark of Deep Compression's small networks: the networks, their images, and the table."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import lenets
from quant import onnx_import
from quant.base.errors import BadInput


@pytest.mark.parametrize(("name", "numbers"), [("lenet300", 266_610), ("lenet5", 431_080)])
def test_networks_are_the_papers(tmp_path: Path, name: str, numbers: int) -> None:
    onnx.save(lenets.lenet(name, 1, 33.0, 0.0127), tmp_path / "net.onnx")
    graph = onnx_import.load(tmp_path / "net.onnx")
    assert lenets.numbers(graph) == numbers  # Han et al. 2016, table 1: 1070 kB and 1720 kB at 32 bits
    assert graph.shapes[graph.inputs[0]] == (1, 28, 28) and [graph.shapes[name] for name in graph.outputs] == [
        (10, 1, 1)
    ]


def test_fashion_mnist_is_read_from_idx_files(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels, labels = rng.integers(0, 256, (3, 28, 28), np.uint8), np.array([4, 0, 9], np.uint8)
    for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    found, classes = lenets.read("fashion", "test", tmp_path, tmp_path)
    assert np.array_equal(found[:, 0], pixels) and classes.tolist() == [4, 0, 9] and classes.dtype == np.int64
    with pytest.raises(BadInput, match="dataset-fashion-mnist"):
        lenets.read("fashion", "train", tmp_path, tmp_path)


def test_the_table_has_means() -> None:
    row = {"row": "lenet300_mnist", "seed": 1, "numbers": 1000, "weights": 900, "kept": 90, "bytes": 100}
    other = row | {"seed": 2, "bytes": 50, "float_top1": 0.97, "top1": 0.96}
    text = lenets.table([row | {"float_top1": 0.98, "top1": 0.98}, other])
    cells = "lenet300, mnist | 2 | 97.50 | 97.00 | 0.50 | 10.0% | 75 | 60.0x | 40x | 60x"
    assert text.splitlines()[2:] == [f"| {cells} |"]
