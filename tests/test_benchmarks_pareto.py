"""The benchmark of all methods in one picture: what it keeps, and that the document shows that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import marked
from benchmarks.pareto import DOCUMENT, KEPT, MARKERS, PICTURES, Judge, every, points, searched, table
from host.artefacts import write_json
from host.terminal import Reporter
from quant import onnx_import, qdq
from quant.optimize import BYTES
from quant.run.evaluation import float_answers
from quant.search import quantize_network
from tests.host.onnx_networks import images, small_cnn


def at(origin: str, loss: float | None, cycles: int, size: int, refused: str = "") -> dict[str, Any]:
    return {"origin": origin, "what": origin, "loss": loss, "cycles": cycles, BYTES: size, "refused": refused}


def test_plans_of_a_search_are_judged_anew(tmp_path: Path) -> None:
    """By images that chose nothing: one in four of them has another label than the float network's answer."""
    graph = onnx_import.load(small_cnn(tmp_path / "net.onnx", channels=8))
    x = np.load(images(tmp_path / "images.npz"))["images"].astype(np.float32)
    labels = float_answers(graph, x)
    labels[::4] += 1
    judge = Judge(graph, x, labels)
    assert judge.reference == 0.75
    network = quantize_network(graph, x, effort="fast")
    for number, plan in enumerate(("plain", "cut")):
        write_json(tmp_path / f"{number}.json", {"job": ["plan", [plan]]})
        qdq.save(network, tmp_path / f"{number}.onnx")
    write_json(tmp_path / "survey.json", {"job": ["survey", [], "conv", []]})
    plans = [at("plain", 0.0, 1000, 900), at("channels", 0.75, 500, 800), at("low rank", None, 0, 0, "no")]
    plans = [plan | {"plan": [name]} for plan, name in zip(plans, ("plain", "cut", "none"), strict=True)]
    told = [{"network": "plain"}, {"network": "written", "cycles": 500, BYTES: 800}]
    found = {"all plans": plans, "loss while choosing": 0.75, "on 9 other images": told}
    kept = searched(found, judge, tmp_path, Reporter(quiet=True))
    assert kept["written"] == 1 and [each["loss while choosing"] for each in kept["search"]] == [0.0, 0.75]
    assert {each["loss"] for each in kept["search"]} == {judge.loss(network)}
    assert [each["cycles"] for each in kept["search"]] == [1000, 500]


def test_the_table_has_the_least_within_each_loss() -> None:
    other = [at("blocks", 1.5, 1000, 600), at("blocks", 0.4, 1000, 850)]
    kept = {"search": [at("plain", 0.0, 1000, 900), at("channels", 0.75, 500, 800)], "beside": other}
    assert [point.plan.origin for point in points(kept)] == ["plain", "channels", "blocks", "blocks"]
    assert table(kept).splitlines() == [
        "| method | cycles, loss 0.5 | cycles, loss 1 | cycles, loss 2 "
        "| bytes, loss 0.5 | bytes, loss 1 | bytes, loss 2 |",
        "|---|--:|--:|--:|--:|--:|--:|",
        "| channels |  | 2.00x | 2.00x |  | 1.12x | 1.12x |",
        "| blocks | 1.00x | 1.00x | 1.00x | 1.06x | 1.06x | 1.50x |",
    ]


def test_the_document_shows_what_is_kept() -> None:
    kept = json.loads(KEPT.read_text())
    assert marked.read(DOCUMENT, MARKERS) == table(kept)
    for path in PICTURES.values():
        text = path.read_text()
        assert all(f">{each['origin']}<" in text for each in every(kept))
