"""Every mistake a user can make is one clear line and exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from host.cli import main
from host.names import one_line
from tests.host.onnx_networks import images, load, small_cnn


class Cli:
    """Runs the command line in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def ok(self, *arguments: object) -> str:
        code = main([str(a) for a in arguments])
        captured = self._capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    def refused(self, *arguments: object) -> str:
        """The one line of a refusal, with the test's folder taken out of it."""
        before = {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
        code = main([str(a) for a in arguments])
        captured = self._capsys.readouterr()
        assert code == 2, (code, captured.err)
        lines = [line for line in captured.err.splitlines() if line.startswith("shiftpoint: ")]
        assert len(lines) == 1 and captured.out == "", captured
        after = {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
        assert after == before, "a refused command left or changed files"
        return lines[0].removeprefix("shiftpoint: ").replace(f"{self.folder}/", "")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path, capsys)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return small_cnn(tmp_path / "net.onnx")


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    return images(tmp_path / "calibration.npz")


@pytest.fixture
def program(cli: Cli, net: Path, calibration: Path, tmp_path: Path) -> Path:
    cli.ok("quantize", net, "--calibration", calibration, "-o", tmp_path / "q.onnx")
    cli.ok("compile", tmp_path / "q.onnx", "--config", "tiny", "-o", tmp_path / "p.program")
    return tmp_path / "p.program"


def quantize(cli: Cli, network: Path, calibration: Path, *more: object) -> str:
    return cli.refused("quantize", network, "--calibration", calibration, "-o", cli.folder / "out.onnx", *more)


def test_missing_network(cli: Cli, calibration: Path) -> None:
    assert quantize(cli, cli.folder / "no.onnx", calibration) == "no.onnx: no such file"


def test_truncated_network(cli: Cli, net: Path, calibration: Path) -> None:
    net.write_bytes(net.read_bytes()[:300])
    assert quantize(cli, net, calibration) == "net.onnx: not an ONNX file, or truncated"


def test_no_onnx_file(cli: Cli, calibration: Path) -> None:
    (cli.folder / "text.onnx").write_text("hello")
    assert quantize(cli, cli.folder / "text.onnx", calibration) == "text.onnx: not an ONNX file, or truncated"


def test_every_unsupported_operator_is_named(cli: Cli, calibration: Path) -> None:
    network = small_cnn(cli.folder / "u.onnx", size=(1, 1), extra=("Round", "Floor"))
    assert quantize(cli, network, calibration) == (
        "u.onnx: 2 nodes are not supported: round_0 (Round: operator not supported); "
        "floor_1 (Floor: operator not supported); "
        "layers behind it have 14% of the multiplications; the host does at most 5%"
    )


def test_open_shape_needs_a_size(cli: Cli, calibration: Path) -> None:
    network = small_cnn(cli.folder / "open.onnx", size=("H", "W"))
    assert (
        quantize(cli, network, calibration)
        == "open.onnx: input input has no fixed size (2, H, W): state it with --input-shape 2,<H>,<W>"
    )
    cli.ok("quantize", network, "--calibration", calibration, "-o", cli.folder / "q.onnx", "--input-shape", "2,8,8")


def test_data_that_overflow(cli: Cli, net: Path) -> None:
    huge = images(cli.folder / "huge.npz", images=np.full((4, 2, 8, 8), 1e30, np.float32))
    assert quantize(cli, net, huge) == (
        "net: tensor input reaches 1e+30 on the calibration images, at most 1e+18 can be quantized: train the network, "
        "or preprocess the images"
    )


def test_garbage_is_warned_of(cli: Cli, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = images(cli.folder / "same.npz", images=np.full((4, 2, 8, 8), 0.7, np.float32), labels=np.array([0, 1, 2, 7]))
    quantized, constant = cli.folder / "q.onnx", "same.npz: all 4 images are constant; image 0 holds 0.7"
    assert main(["quantize", str(net), "--calibration", str(same), "-o", str(quantized)]) == 0
    assert f"warning: {constant}\n" in capsys.readouterr().err
    found = json.loads(cli.ok("compare", net, quantized, "--images", same, "--json"))
    assert found["warnings"] == [
        constant,
        "same.npz: 1 of 4 labels are outside the 3 classes, 0 to 2; image 3 has label 7",
    ]


def test_weights_that_are_not_finite(cli: Cli, calibration: Path) -> None:
    network = small_cnn(cli.folder / "nan.onnx", nan=True)
    assert quantize(cli, network, calibration) == "nan.onnx: tensor w, read by conv, has NaN or infinite values"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 3, 8, 8), np.float32), "shape (4, 3, 8, 8), but net takes (N, 2, 8, 8)"),
        (np.zeros((4, 2, 8, 8), np.float64), "type float64, but float32 or uint8 is needed"),
        (np.zeros((0, 2, 8, 8), np.float32), "none; at least one is needed"),
        (np.full((4, 2, 8, 8), np.nan, np.float32), "image 0 holds NaN or infinity"),
    ],
)
def test_calibration_images(cli: Cli, net: Path, array: np.ndarray, message: str) -> None:
    bad = images(cli.folder / "bad.npz", images=array)
    assert quantize(cli, net, bad) == f"bad.npz: {message}"


def test_calibration_beyond_any_pixel(cli: Cli) -> None:
    network = small_cnn(cli.folder / "gray.onnx", planes=1)
    model = load(network)
    helper.set_model_props(model, {"preprocess.channels": "gray", "preprocess.mean": "0", "preprocess.scale": "0.01"})
    network.write_bytes(model.SerializeToString())
    bad = images(cli.folder / "bad.npz", images=np.full((4, 1, 8, 8), 255, np.float32))
    assert quantize(cli, network, bad) == (
        "bad.npz: values up to 255, but preprocessed pixels of gray reach 2.55: preprocess them, or give uint8 pixels"
    )


def test_calibration_file(cli: Cli, net: Path) -> None:
    np.savez(cli.folder / "x.npz", pictures=np.zeros(3))
    assert quantize(cli, net, cli.folder / "x.npz") == "x.npz: holds no array `images`"
    assert quantize(cli, net, cli.folder / "none.npz") == "none.npz: no such file"
    (cli.folder / "text.npz").write_text("hello")
    assert quantize(cli, net, cli.folder / "text.npz") == "text.npz: not an .npz file of arrays"


def test_labels(cli: Cli, net: Path, calibration: Path) -> None:
    cli.ok("quantize", net, "--calibration", calibration, "-o", cli.folder / "q.onnx")
    bad = images(cli.folder / "bad.npz", labels=np.zeros(3))
    assert cli.refused("compare", net, cli.folder / "q.onnx", "--images", bad) == (
        "bad.npz: labels are float64 (3,), but integers (12,), one for each image, are needed"
    )


def test_program_truncated(cli: Cli, program: Path, calibration: Path) -> None:
    program.write_bytes(program.read_bytes()[:-5])
    assert cli.refused("simulate", program, "--images", calibration) == (
        "p.program: truncated or corrupted (checksum does not match)"
    )


@pytest.mark.parametrize("place", [0, 9, 20, 60, 100, 500, -1])
def test_program_corrupted_anywhere(cli: Cli, program: Path, calibration: Path, place: int) -> None:
    data = bytearray(program.read_bytes())
    data[place] ^= 1
    program.write_bytes(bytes(data))
    message = cli.refused("simulate", program, "--images", calibration)
    assert message.startswith("p.program: ")
    assert any(word in message for word in ("corrupted", "contract version", "not a shiftpoint program"))


def test_program_for_another_configuration(cli: Cli, program: Path, calibration: Path) -> None:
    message = cli.refused("simulate", program, "--images", calibration, "--config", "small")
    assert message.startswith("p.program: made for configuration 'tiny' (") and "not for 'small' (" in message


def test_something_else_as_a_program(cli: Cli, net: Path, calibration: Path) -> None:
    assert cli.refused("simulate", net, "--images", calibration) == "net.onnx: not a shiftpoint program"


def test_too_few_images(cli: Cli, program: Path, calibration: Path) -> None:
    assert cli.refused("simulate", program, "--images", calibration, "--count", 99) == (
        "calibration.npz: holds 12 images, 99 are needed"
    )


def test_float_network_as_a_quantized_one(cli: Cli, net: Path) -> None:
    assert cli.refused("compile", net, "-o", cli.folder / "p") == (
        "net.onnx: not a quantized network: it has no QuantizeLinear nodes"
    )


def test_unknown_configuration(cli: Cli, program: Path) -> None:
    assert cli.refused("compile", cli.folder / "q.onnx", "--config", "huge", "-o", cli.folder / "p") == (
        "no configuration 'huge'; there are tiny, small, medium, packed, large, small16, zynq-hp"
    )


def test_folder_that_cannot_be_written(cli: Cli, net: Path, calibration: Path) -> None:
    out = net / "below-a-file"
    for arguments in (
        ("quantize", net, "--calibration", calibration, "-o", out / "q.onnx"),
        ("run", net, "--calibration", calibration, "--out", out, "--rtl-images", 0),
        ("verilog", "--config", "tiny", "--out", out / "verilog"),
    ):
        message = cli.refused(*arguments)
        assert message.startswith("cannot write to net.onnx/below-a-file") and message.endswith(": Not a directory")


def test_no_compiler(cli: Cli, net: Path, calibration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cli.folder))
    monkeypatch.delenv("CXX", raising=False)
    message = cli.refused("run", net, "--calibration", calibration, "--out", cli.folder / "build")
    assert "C++ compiler" in message and "apt" in message


def test_usage(cli: Cli, net: Path, calibration: Path) -> None:
    assert cli.refused("run", net, "--out", cli.folder / "o").startswith("Missing option '--calibration'")
    assert cli.refused("frobnicate").startswith("No such command 'frobnicate'")
    assert "'--input-shape': expected C,H,W or C,W or C, not 'a,b'" in quantize(
        cli, net, calibration, "--input-shape", "a,b"
    )
    assert quantize(cli, net, calibration, "--data-bits", 12) == "data can have 8 or 16 bits, not 12"
    assert quantize(cli, net, calibration, "--weight-bits", 3) == "weights can have 4, 8 or 16 bits, not 3"


@pytest.mark.parametrize("text", ["fc", "fc=", "=8", "fc=wide", "fc=-4", "fc:4", "fc=²", f"fc={'9' * 5000}"])
def test_widths_of_layers_that_cannot_be_read(cli: Cli, net: Path, calibration: Path, text: str) -> None:
    message = quantize(cli, net, calibration, "--layer-bits", text)
    assert message == one_line(f"--layer-bits takes NAME=BITS, not {text!r}")


def test_widths_of_layers_that_do_not_exist(cli: Cli, net: Path, calibration: Path) -> None:
    assert quantize(cli, net, calibration, "--layer-bits", "pool=4") == (
        "net has no convolution or fully connected layer pool"
    )
    assert quantize(cli, net, calibration, "--layer-bits", "fc=4", "--layer-bits", "conv=5") == (
        "weights can have 4, 8 or 16 bits, not 5"
    )


def test_budgets(cli: Cli, net: Path, calibration: Path) -> None:
    assert quantize(cli, net, calibration, "--weight-budget", 60, "--cycle-budget", 900) == (
        "one budget at a time: bytes of weights or cycles"
    )
    assert quantize(cli, net, calibration, "--cycle-budget", 900) == (
        "a budget of cycles needs a configuration of the engine: --config"
    )
    assert quantize(cli, net, calibration, "--cycle-budget", 900, "--config", "huge") == (
        "no configuration 'huge'; there are tiny, small, medium, packed, large, small16, zynq-hp"
    )
    least = 4 * 2 * 9 // 2 + 3 * 4 // 2
    assert quantize(cli, net, calibration, "--weight-budget", least - 1) == (
        f"the budget is {least - 1}, and 4-bit weights everywhere cost {least}"
    )
    cli.ok("quantize", net, "--calibration", calibration, "--weight-budget", least, "-o", cli.folder / "q.onnx")
    message = quantize(cli, net, calibration, "--cycle-budget", 1, "--config", "tiny")
    assert re.fullmatch(r"the budget is 1, and 4-bit weights everywhere cost \d+", message)
    assert "Invalid value for '--weight-budget'" in quantize(cli, net, calibration, "--weight-budget", 0)


def test_the_published_method_has_no_effort(cli: Cli, net: Path, calibration: Path) -> None:
    assert quantize(cli, net, calibration, "--published", "--effort", "best") == (
        "the published method has no effort: leave out --effort or --published"
    )
    assert "'most' is not one of" in quantize(cli, net, calibration, "--effort", "most")


def test_raw_pixels(cli: Cli, net: Path, calibration: Path) -> None:
    assert quantize(cli, net, calibration, "--raw-pixels") == (
        "net: its metadata have no preprocess.channels (RGB, BGR or gray), .mean and .scale: nobody knows what to fold"
    )
    network = small_cnn(cli.folder / "gray.onnx", planes=1)
    model = load(network)
    helper.set_model_props(model, {"preprocess.channels": "gray", "preprocess.mean": "100", "preprocess.scale": "0.01"})
    network.write_bytes(model.SerializeToString())
    floats = images(cli.folder / "floats.npz", (4, 1, 8, 8))
    assert quantize(cli, network, floats, "--raw-pixels") == (
        "floats.npz: gray takes raw pixels: give uint8, or whole numbers from 0 to 255"
    )
    wrong = images(cli.folder / "wrong.npz", images=np.full((4, 1, 8, 8), 256, np.float32))
    assert quantize(cli, network, wrong, "--raw-pixels") == (
        "wrong.npz: gray takes raw pixels: give uint8, or whole numbers from 0 to 255"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8))
    for kind in (np.uint8, np.float32):
        given = images(cli.folder / "pixels.npz", images=pixels.astype(kind))
        cli.ok("quantize", network, "--calibration", given, "--raw-pixels", "-o", cli.folder / "q.onnx")


def test_report_of_nothing(cli: Cli) -> None:
    assert cli.refused("report", cli.folder / "nothing").startswith("nothing/quantized.onnx: ")
    assert cli.refused("report", "--check", cli.folder / "nothing").startswith("nothing/report.json: ")
