"""The benchmark of whole networks on the Verilog: what its rows say, what it leaves out, what --write keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import architectures, verification
from benchmarks.verification import HEAD, NETWORKS, SHIPPED, USUAL
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.base.errors import BadInput
from quant.ir.inputs import each
from sim.cycles import simulate
from sim.executor import run

NAME = "fashion_mnist-raw"


def on_the_models(program: Program, images: np.ndarray, memory: Memory) -> SimpleNamespace:
    """In the Verilog's place, which would take a minute to build."""
    found = [run(program, image) for image in each(images)]
    timeline = simulate(program, memory)
    tensors = {name: np.stack([one[name] for one in found]) for name in found[0]}
    return SimpleNamespace(tensors=tensors, counters=(timeline.counters,), cycles=(timeline.cycles,))


def late(program: Program, images: np.ndarray, memory: Memory) -> SimpleNamespace:
    found = on_the_models(program, images, memory)
    return SimpleNamespace(**vars(found) | {"counters": (found.counters[0] | {"BYTES_READ": 1},)})


def wrong(program: Program, images: np.ndarray, memory: Memory) -> SimpleNamespace:
    found = on_the_models(program, images, memory)
    next(iter(found.tensors.values())).flat[0] += 1
    return found


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["verification.py", *map(str, arguments)])
    return verification.main()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A table with a row of the network that runs here, and one of another."""
    path = tmp_path / "document.md"
    old = f"{HEAD}| {NAME} | small | old |\n| resnet8_cifar10 | small | old |\n| gone | small | old |\n"
    path.write_text(f"before\n<!-- verification: begin -->\n{old}<!-- verification: end -->\nafter\n")
    return path


@pytest.mark.parametrize(("verilog", "code", "columns"), [
    (on_the_models, 0, (0, "0")), (late, 1, (0, "BYTES_READ")), (wrong, 1, (1, "0")),
])  # fmt: skip
def test_rows_are_counted_and_renewed(
    verilog: object, code: int, columns: tuple[int, str], document: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(verification, "run_rtl", verilog)
    monkeypatch.setitem(NETWORKS, NAME, replace_points(USUAL, SHIPPED))
    assert ran(monkeypatch, "--only", NAME, "--images", 1, "--write", document) == code
    mismatches, differing = columns
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"| {NAME} | small |")]
    assert [row.split(" | ")[2:5] for row in rows] == [["64, 1", "all", "1"], ["64, 4", "none", "1"]]
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert cells[7] == str(mismatches) and cells[10] == differing and cells[8] == cells[9]
    table = document.read_text().splitlines()
    assert table[4 : 4 + len(rows)] == rows and table[4 + len(rows)] == "| resnet8_cifar10 | small | old |"
    assert "gone" not in document.read_text() and table[0] == "before" and table[-1] == "after"


def replace_points(*points: verification.Point) -> verification.Case:
    return NETWORKS[NAME]._replace(points=points, effort="fast")


def test_what_is_absent_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(architectures, "DATA", tmp_path / "data")
    monkeypatch.setattr(architectures, "BUILT", tmp_path / "built")
    assert ran(monkeypatch, "--only", "edsr", "resnet50") == 0
    out, err = capsys.readouterr()
    assert out == HEAD
    assert [line.split(":")[0] for line in err.splitlines()] == ["edsr", "resnet50"] and err.count("absent; left") == 2


def test_architectures_are_written_once_or_say_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "DATA", tmp_path / "data")
    monkeypatch.setattr(architectures, "BUILT", tmp_path / "built")
    (tmp_path / "data").mkdir()
    script = tmp_path / "data" / "make_networks.py"
    script.write_text(
        "import sys, pathlib\npathlib.Path(sys.argv[3]).write_text(' '.join(sys.argv[1:2] + sys.argv[4:]))"
    )
    path = architectures.architecture("vgg16", "--features-only")
    assert (path.name, path.read_text()) == ("vgg16_features-only.onnx", "vgg16 --features-only")
    script.write_text("raise SystemExit('no such module')")
    assert architectures.architecture("vgg16", "--features-only") == path
    with pytest.raises(BadInput, match=r"^vgg16: make_networks.py fails: no such module$"):
        architectures.architecture("vgg16")
    assert [file.name for file in (tmp_path / "built").iterdir()] == [path.name]
