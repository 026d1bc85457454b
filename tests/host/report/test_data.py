"""report.json: what stands in it of layers, costs and samples."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.artefacts import BuildFolder
from host.images import kept_images
from host.pipeline import subject_of
from host.report.data import build_report
from hw.contract.memory import Memory
from sim.stored import Stored


@pytest.fixture
def parts(finished: Path) -> list[Any]:
    """What a report is made of."""
    folder = BuildFolder(finished)
    subject = subject_of(folder, Memory())
    taken = {path.stem: json.loads(path.read_text()) for path in folder.legs.iterdir()}
    images, shown = kept_images(folder, subject.network)
    return [subject.network, subject.program, json.loads(folder.compare.read_text()), taken, len(images), shown]


def test_it_is_what_run_wrote(parts: list[Any], finished: Path) -> None:
    assert json.loads(json.dumps(build_report(*parts))) == json.loads((finished / "report.json").read_text())


def test_layers(parts: list[Any]) -> None:
    conv, pool, fc = build_report(*parts)["layers"]
    assert [layer["op"] for layer in (conv, pool, fc)] == ["Conv", "AveragePool", "Gemm"]
    assert [layer["macs"] for layer in (conv, pool, fc)] == [4 * 2 * 9 * 64, 0, 12]
    assert conv["weight_bits"] == 8 and len(conv["weight_frac"]) == 4
    assert pool["weight_bits"] is None and pool["weight_frac"] is None
    assert [layer["weight_format"] for layer in (conv, pool, fc)] == ["int8", None, "int8"]
    assert [layer["weight_blocks"] for layer in (conv, pool, fc)] == [1, None, 1]
    assert pool["fused_into"] == "conv" and pool["cycles"] is None and conv["output_tensor"] == "g"
    assert 0 < conv["utilization"] <= 1.5 and conv["bound"] == "compute"


def test_blocks_of_zeros_take_no_energy_of_multipliers(parts: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build_report(*parts)["layers"][2]
    monkeypatch.setattr(
        "host.report.data.stored_weights", lambda program: dict.fromkeys(range(2), Stored("indices4", 1, 2))
    )
    fc = build_report(*parts)["layers"][2]
    assert (fc["weight_format"], fc["weight_blocks"]) == ("indices4", 0.5)
    assert fc["energy"]["macs"] == pytest.approx(plain["energy"]["macs"] / 2)
    assert fc["energy"]["buffers"] == plain["energy"]["buffers"]


def test_energy_is_of_all_that_layers_do(parts: list[Any]) -> None:
    report = build_report(*parts)
    conv, pool, fc = (layer["energy"] for layer in report["layers"])
    assert pool is None and all(value > 0 for value in (*conv.values(), *fc.values()))
    assert report["totals"]["energy"] == {part: conv[part] + fc[part] for part in conv}
    moved = report["totals"]["bytes_read"] + report["totals"]["bytes_written"]
    assert report["totals"]["energy"]["memory"] == pytest.approx(moved * 1300 / 8 / 1e6)


def test_legs(parts: list[Any]) -> None:
    report = build_report(*parts)
    assert report["proof"] == {"images": 1, "legs": ["onnxruntime", "integer", "program"]} and report["rtl"] is None
    assert all(layer["digest"]["rtl"] is None for layer in report["layers"])
    rtl = dict.fromkeys(("images", "tensors_compared", "elements_compared", "mismatches", "cycles"), 1)
    rtl |= {"simulator": "V", "first_mismatch": None, "digests": {"g": "abc"}}
    parts[3]["rtl"] = rtl
    report = build_report(*parts)
    assert report["proof"]["legs"][-1] == "rtl" and report["layers"][0]["digest"]["rtl"] == "abc"
    assert report["rtl"]["model_cycles"] == report["totals"]["cycles"] and "digests" not in report["rtl"]
    assert report["board"] is None
    parts[3]["board"] = rtl | {"board": "b", "cycles": 2 * report["totals"]["cycles"], "counters": {}}
    report = build_report(*parts)
    assert report["proof"]["legs"][-1] == "board" and report["layers"][0]["digest"]["board"] == "abc"
    assert (report["board"]["board"], report["board"]["ratio"]) == ("b", 0.5)


@pytest.mark.parametrize(("planes", "size", "kept"), [(3, 8, True), (1, 200, True), (2, 8, False), (3, 4, False)])
def test_samples_are_pictures_where_images_are(parts: list[Any], planes: int, size: int, kept: bool) -> None:
    parts[5] = np.random.default_rng(0).normal(0, 3, (2, planes, size, size)).astype(np.float32)
    samples = build_report(*parts)["samples"]
    assert len(samples) == (2 if kept else 0)
    for sample in samples:
        pixels = np.frombuffer(base64.b64decode(sample["pixels"]), np.uint8).reshape(sample["shape"])
        assert max(pixels.shape[1:]) <= 192 and int(pixels.max()) - int(pixels.min()) > 128
