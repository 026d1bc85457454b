"""What a network costs: each figure from where it comes from, or counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.cost import FORM, cost, row
from host.form import require
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import coded, onnx_import, qdq
from quant.ir.network import Network
from quant.kinds.conv import Conv
from quant.search import quantize_network
from sim.cycles import simulate
from tests.host.onnx_networks import images, small_cnn


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """conv of 72 weights, of which 20 are zero and three are different others, and fc of 12."""
    graph = onnx_import.load(small_cnn(tmp_path / "net.onnx"))
    found = quantize_network(graph, np.load(images(tmp_path / "i.npz"))["images"], effort="fast")
    conv = found.layers[0]
    assert isinstance(conv, Conv)
    weight = np.repeat(np.array([0, 0, 3, -7, 1]), [10, 10, 12, 20, 20]).reshape(conv.weight.shape)
    return replace(found, layers=(replace(conv, weight=weight), *found.layers[1:]))


def test_every_figure(network: Network) -> None:
    memory, config = Memory(latency=9, beat_every=2), preset("tiny")
    found = cost(network, config, memory, top1=0.25)
    require(json.loads(json.dumps(found)), FORM, Path("cost.json"))
    time = simulate(compile_timed(network, config, memory=memory), memory)
    conv, pool, fc = found["layers"]
    assert conv | {"cycles": 0} == {
        "layer": "conv", "weights": 72, "kept": 52, "values": 3, "bytes": 72, "macs": 4 * 2 * 9 * 64, "cycles": 0,
        "stored": "indices2",
    }  # fmt: skip
    assert pool["cycles"] is None and pool["stored"] is None
    assert pool["weights"] == pool["macs"] == 0 and fc["weights"] == fc["macs"] == 12
    assert [conv["cycles"], fc["cycles"]] == time.layer_cycles.tolist() and found["cycles"] == time.cycles
    assert found["weights"] == found["bytes"] == 84 and found["kept"] == 52 + fc["kept"]
    assert found["coded_bytes"] == len(coded.encode(qdq.to_model(network).SerializeToString(deterministic=True)))
    assert row(found) == {
        "weights": 84, "not zero": 52 + fc["kept"], "bytes": 84, "coded file": found["coded_bytes"],
        "MACs": 4 * 2 * 9 * 64 + 12, "cycles": time.cycles,
        "bytes moved": time.counters["BYTES_READ"] + time.counters["BYTES_WRITTEN"], "top-1": 0.25,
    }  # fmt: skip


def test_without_an_engine_and_on_one_that_refuses(network: Network) -> None:
    found = cost(network)
    assert found["cycles"] is None and not found["refused"] and not {"cycles", "top-1"} & {*row(found)}
    assert [layer["stored"] for layer in found["layers"]] == [None] * 3
    wide = replace(network, layers=(replace(network.layers[0], weight_bits=16), *network.layers[1:]))
    found = cost(wide, preset("tiny"))
    assert found["cycles"] is None and "conv" in found["refused"] and found["bytes"] == 2 * 72 + 12
