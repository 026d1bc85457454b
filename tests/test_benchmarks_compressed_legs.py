"""The benchmark of compressed networks on every leg: what a row says, and that it finds what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compressed_legs import METHODS, proved, words
from host.chain import Taken
from host.compiler import compile_network
from host.legs import Integers, OnnxRuntime, ProgramBytes, Subject, Verilog
from host.terminal import Reporter
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import onnx_import, qdq
from quant.compress import Asked, structures
from quant.search import quantize_network
from tests.host.onnx_networks import images, small_cnn


class Pins(ProgramBytes):
    """A leg in the Verilog's place, which would take a minute to build: what the models say, altered."""

    name = Verilog.name

    def __init__(self, wrong: int, late: int) -> None:
        self.wrong, self.late = wrong, late

    def take(self, subject: Subject, reporter: Reporter) -> Taken:
        taken = super().take(subject, reporter)
        name = subject.program.layers[-1].output
        values = taken.tensors[name].copy()
        values.reshape(-1)[: self.wrong] += 1
        counters = taken.facts["counters"]
        altered = counters | {"CYCLES": counters["CYCLES"] + self.late}
        return Taken({**taken.tensors, name: values}, taken.facts | {"counters": altered})


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    graph = onnx_import.load(small_cnn(tmp_path / "net.onnx", channels=8))
    x = np.load(images(tmp_path / "images.npz"))["images"].astype(np.float32)
    network = quantize_network(graph, x, effort="fast", structures=structures(graph, x, Asked(values=4)))
    qdq.save(network, tmp_path / "c.onnx")
    return Subject(tmp_path / "c.onnx", network, compile_network(network, preset("tiny")), x[:2], Memory())


def test_a_row_counts_what_was_compared_and_what_differs(subject: Subject) -> None:
    ways = OnnxRuntime(), Integers(), ProgramBytes()
    good, bad = (proved(subject, [*ways, Pins(*slip)]) for slip in ((0, 0), (3, 7)))
    every = sum(values.size for values in subject.integers.values())
    placed = sum(subject.integers[entry.output].size for entry in subject.program.layers)
    inputs = subject.integers[subject.network.inputs[0]].size
    assert good[:2] == [2, 4] and good[2] == f"{every - inputs + 2 * placed:,}"
    assert good[3] == 0 and good[4] == good[5] and good[6] == "0"
    assert bad[2] == good[2] and bad[3] == 3 and bad[6] == "CYCLES"
    other = replace(subject, images=subject.images[:1])
    assert proved(other, [*ways, Pins(0, 0)])[:2] == [1, 4]


def test_options_are_those_of_the_command() -> None:
    told = [words(METHODS[name]) for name in ("blocks", "ternary", "spatial", "trained-values")]
    assert told == [
        "`--prune 0.3 --granularity blocks`",
        "`--ternary`",
        "`--low-rank 0.7 --spatial`",
        "`--share 16 --epochs 1 --train train.npz`",
    ]
