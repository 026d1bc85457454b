"""The legs of the proof: what each takes, gives, and needs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from host.artefacts import BuildFolder
from host.chain import first_break
from host.legs import LEGS, Integers, OnBoard, OnnxRuntime, ProgramBytes, Subject, Verilog, legs
from host.pipeline import subject_of
from host.terminal import Reporter
from hw.contract.memory import Memory
from sim.bench.toolchain import ToolchainError

QUIET = Reporter(quiet=True)


@pytest.fixture
def subject(finished_once: Path) -> Subject:
    return subject_of(BuildFolder(finished_once), Memory())


def test_names_and_order() -> None:
    assert [leg.name for leg in LEGS] == ["onnxruntime", "integer", "program", "rtl", "board"]
    assert len({leg.title for leg in LEGS}) == 5
    assert tuple(type(leg) for leg in legs()) == LEGS[:-1]
    assert tuple(type(leg) for leg in legs(folder=Path("board"))) == LEGS


def test_the_subject_is_the_same_in_float_and_in_integers(subject: Subject) -> None:
    assert subject.images.dtype == np.float32 and subject.x.dtype == np.int8
    assert subject.x.shape == subject.images.shape
    assert subject.order == [("conv", subject.network.layers[0].output), ("pool", "g"), ("fc", "logits")]


def test_all_show_the_same_integers(subject: Subject) -> None:
    taken = {leg.name: leg.take(subject, QUIET) for leg in (OnnxRuntime(), Integers(), ProgramBytes())}
    assert set(taken["integer"].tensors) == set(subject.network.tensors)
    for name in ("onnxruntime", "program"):
        tensors = taken[name].tensors
        assert {"g", "logits"} <= set(tensors)
        assert first_break(subject.order, taken["integer"].tensors, tensors, "integer", name) is None
    assert [name for name in taken if "cycles" in taken[name].facts] == ["program"]


def test_what_is_missing_is_told_before_anything_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("litex", "litedram", "litex_boards", "serial"):
        pytest.importorskip(name, reason="LiteX is part of shiftpoint[boards]")
    for leg in (OnnxRuntime(), Integers(), ProgramBytes()):
        leg.require()
    with pytest.raises(ToolchainError, match="name another, --build-dir"):
        Verilog(tmp_path / "a b").require()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    for leg in (Verilog(tmp_path), OnBoard(tmp_path, build_dir=tmp_path)):
        with pytest.raises(ToolchainError, match=r"no C\+\+ compiler found"):
            leg.require()
    OnBoard(tmp_path, "/dev/ttyUSB0").require()
    monkeypatch.setitem(sys.modules, "litex", None)
    with pytest.raises(ToolchainError, match=r"LiteX is needed for boards, pip install 'shiftpoint\[boards\]'"):
        OnBoard(tmp_path).require()
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(ToolchainError, match="pyserial is needed"):
        OnBoard(tmp_path, "/dev/ttyUSB0").require()
