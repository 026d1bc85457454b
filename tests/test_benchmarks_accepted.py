"""The benchmark of what is taken: what inspect and run say of networks that are whole, end on the host, are refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from benchmarks import accepted
from quant.base.errors import BadInput
from tests.quant.onnx_nets import Net


def whole(net: Net) -> str:
    return net.conv(net.node("Tanh", net.conv("x", 4, 3, (3, 3))), 2, 4)


def applied(net: Net) -> str:
    return net.node("Softmax", net.node("Flatten", net.conv("x", 2, 3, (6, 6))), axis=1)


def tailed(net: Net) -> str:
    y = net.conv("x", 6, 3, (3, 3), pads=[1] * 4)
    return net.node("Transpose", net.node("Sin", net.node("Transpose", y, perm=[0, 2, 3, 1])), perm=[0, 2, 1, 3])


def refused(net: Net) -> str:
    y = net.node("LpNormalization", net.conv("x", 6, 3, (3, 3), pads=[1] * 4), axis=1)
    return net.conv(y, 6, 6, (3, 3))


MADE = {"edsr": whole, "dscnn_kws": applied, "m5_audio": tailed, "timm:vit_tiny_patch16_224": refused}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    def written(name: str) -> Path:
        if name not in MADE:
            raise BadInput(f"{name}: absent")
        net, path = Net(3, 6, 6), tmp_path / f"{name.replace(':', '_')}.onnx"
        onnx.save(net.model(MADE[name](net)), path)
        return path

    monkeypatch.setattr(accepted, "architecture", written)
    kept = tmp_path / "rows.json"
    monkeypatch.setattr("sys.argv", ["accepted.py", "--config", "tiny", "--only", "none", *MADE, "--json", str(kept)])
    assert accepted.main() == 0
    return {row["network"]: row for row in json.loads(kept.read_text())["rows"]}


def test_what_becomes_of_networks(rows: dict[str, dict[str, str]]) -> None:
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "edsr": "whole",
        "dscnn_kws": "with an operation at the output",
        "m5_audio": "with a tail",
        "timm:vit_tiny_patch16_224": "refused",
    }
    assert rows["dscnn_kws"]["details"] == "Softmax" and "0.0% of the MACs: " in rows["m5_audio"]["details"]
    assert "LpNormalization" in rows["timm:vit_tiny_patch16_224"]["details"]
    for name in ("edsr", "dscnn_kws", "m5_audio"):
        equal, rest = rows[name]["run"].split(" of ")
        assert rest == f"{equal} layers equal, 3 ways" and int(equal) > 0
    assert rows["timm:vit_tiny_patch16_224"]["run"] == ""


@pytest.mark.parametrize(
    ("network", "verdict", "run", "good"),
    [
        ("edsr", "whole", "3 of 3 layers equal, 3 ways", True),
        ("edsr", "whole", "2 of 3 layers equal, 3 ways", False),
        ("edsr", "whole", "exit code 2: error: no", False),
        ("edsr", "refused", "", False),
        ("timm:vit_tiny_patch16_224", "refused", "", True),
        ("timm:vit_tiny_patch16_224", "whole", "3 of 3 layers equal, 3 ways", False),
    ],
)
def test_what_must_be_so(network: str, verdict: str, run: str, good: bool) -> None:
    row = {"network": network, "verdict": verdict, "details": "", "run": run}
    assert accepted.good(row) == good
    assert accepted.table([row]).splitlines()[-1] == f"| {network} | {verdict} |  | {run or '-'} |"
