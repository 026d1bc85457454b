"""The functions of `import shiftpoint`: the document's example, and that they say what the commands say."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path

import pytest

import shiftpoint
from host.cli import main
from hw.contract import program as programs
from hw.contract.config import preset
from tests.host.onnx_networks import images, small_cnn

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "fashion_mnist"


def test_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fashion_mnist.onnx", "calibration.npz", "evaluation.npz"):
        shutil.copy(EXAMPLE / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "api.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(compile(example, "docs/api.md", "exec"), found)
    told = capsys.readouterr()
    assert told.err == "" and len(told.out.splitlines()) > 20
    named = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert named and all(callable(getattr(shiftpoint, name)) for name in named)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("api")
    small_cnn(place / "net.onnx")
    images(place / "images.npz")
    return place


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def test_results_are_what_the_commands_print(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, given, q, program = (folder / name for name in ("net.onnx", "images.npz", "q.onnx", "p.program"))
    quantized = shiftpoint.quantize(network=net, calibration=str(given), output=str(q), effort="fast")
    again = printed(capsys, "quantize", net, "--calibration", given, "-o", folder / "again.onnx", "--effort", "fast")
    rows = next(value for key, value in again.items() if key.startswith("formats"))
    assert rows == [
        {"tensor": t.name, "shape": "x".join(map(str, t.shape)), "format": str(t.fmt)}
        for t in quantized.network.tensors.values()
    ]
    assert (folder / "again.onnx").read_bytes() == q.read_bytes() and quantized.files == (q,)

    comparison = shiftpoint.compare(network=net, quantized=q, images=given, alone_images=2)
    told = printed(capsys, "compare", net, q, "--images", given, "--alone-images", 2)
    assert json.loads(json.dumps(comparison.to_json())).items() <= told.items()

    compiled = shiftpoint.compile(quantized=q, output=program, config="tiny")
    printed(capsys, "compile", q, "-o", folder / "again.program", "--config", "tiny")
    assert (folder / "again.program").read_bytes() == program.read_bytes() and compiled.files == (program,)
    assert compiled.program.config == preset("tiny")
    assert list(compiled.program.decode()) == list(programs.load(program).decode())

    simulation = shiftpoint.simulate(program=program, images=given, count=2, config="tiny")
    told = printed(capsys, "simulate", program, "--images", given, "--count", 2)
    assert [vars(digest) for digest in simulation.digests] == told["digests"]
    assert simulation.counters == told["counters"] and simulation.cycles == simulation.counters["CYCLES"]
    assert simulation.files == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"effort": "much"}, "effort must be fast or default or best, not 'much'"),
        ({"output": "net.onnx"}, "net.onnx: is read by this command, and is not overwritten; name another output"),
        ({"config": "huge"}, "no configuration 'huge'; there are "),
        ({"weight_budget": 0}, "weight_budget must be 1 or more, not 0"),
        ({"input_shape": "1,x"}, "input_shape: expected C,H,W or C,W or C, not '1,x'"),
        ({"network": "none.onnx"}, "none.onnx: "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], message: str) -> None:
    monkeypatch.chdir(folder)
    before = (folder / "net.onnx").read_bytes()
    asked = {"network": "net.onnx", "calibration": "images.npz", "output": "bad.onnx", **arguments}
    with pytest.raises(shiftpoint.BadInput) as caught:
        shiftpoint.quantize(**asked)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert (folder / "net.onnx").read_bytes() == before and not (folder / "bad.onnx").exists()


def test_choices_that_are_enumerations(folder: Path) -> None:
    with pytest.raises(shiftpoint.BadInput, match="^engine must be model or rtl, not 'board'$"):
        shiftpoint.simulate(program="p", images="i", engine="board")  # type: ignore[arg-type]


def test_help_names_every_option() -> None:
    known = inspect.signature(shiftpoint.quantize).parameters
    assert {"network", "calibration", "output", "effort", "raw_pixels"} <= {*known}
    assert known["effort"].default == "default"
    for function in (shiftpoint.quantize, shiftpoint.compare, shiftpoint.compile, shiftpoint.simulate):
        assert function.__doc__ and "Raises BadInput" in function.__doc__
    with pytest.raises(TypeError, match="efort"):
        shiftpoint.quantize(network=Path("n"), calibration=Path("c"), output=Path("o"), efort="fast")  # type: ignore
