"""What a run says at its end, and what it does not let pass."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from host.artefacts import BuildFolder
from host.summary import require_equal, summary
from quant.base.errors import VerificationError

LEGS = ("onnx", "integers", "program", "rtl")
LAYER = {
    "name": "conv1",
    "op": "conv",
    "fused_into": None,
    "output_signed": False,
    "output_bits": 8,
    "output_frac": 5,
    "sqnr_db": 40.0,
    "cycles": 100,
    "utilization": 0.5,
    "bound": "compute",
    "digest": dict.fromkeys(LEGS, "a"),
}
EQUAL: dict[str, Any] = {
    "layers": [LAYER],
    "batch": 1,
    "accuracy": {"agreement": 1.0},
    "totals": {"cycles": 100},
    "beside": None,
    "tail": {"outputs": [{"name": "class", "sqnr_db": None, "digest": {"onnx": "b", "program": "b"}}]},
    "rtl": {"cycles": 100, "model_cycles": 100, "first_mismatch": None},
    "board": None,
}


def test_rows_say_how_many_legs_are_equal(tmp_path: Path) -> None:
    require_equal(EQUAL)
    shown = summary(EQUAL, BuildFolder(tmp_path))
    assert [(row["output"], row["equal digests"]) for row in shown["layers"]] == [("u8.5", "all 4")]
    assert shown["on the host"] == [{"output": "class", "SQNR dB": None, "equal digests": "all 2"}]
    assert shown["rtl"] == {"cycles": 100, "model_cycles": 100} and "board" not in shown
    assert "float reference" not in shown and "images of a run" not in shown["totals"]


def test_what_was_not_taken_counts_for_no_leg_and_is_said(tmp_path: Path) -> None:
    value = deepcopy(EQUAL) | {"rtl": None, "tail": None, "batch": 4, "accuracy": {"agreement": None}}
    value["layers"][0]["digest"]["rtl"] = None
    require_equal(value)
    shown = summary(value, BuildFolder(tmp_path))
    assert shown["layers"][0]["equal digests"] == "all 3" and "rtl" not in shown
    assert shown["totals"] == {"images of a run": 4, "cycles": 100} and "--float" in shown["float reference"]


@pytest.mark.parametrize(
    "path, value, line",
    [
        (("layers", 0, "digest", "program"), "c", "digests differ at layer conv1: at 1, 2: 3 instead of 4"),
        (("tail", "outputs", 0, "digest", "program"), "c", "digests differ at output class, which the host makes"),
        (("rtl", "cycles"), 101, "the RTL took 101 cycles, the model predicts 100"),
    ],
)
def test_a_difference_ends_a_run(path: tuple[str | int, ...], value: Any, line: str, tmp_path: Path) -> None:
    broken = deepcopy(EQUAL)
    broken["rtl"]["first_mismatch"] = "at 1, 2: 3 instead of 4"
    place: Any = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(VerificationError) as raised:
        require_equal(broken)
    assert str(raised.value) == line


def test_a_difference_is_a_no_in_its_row(tmp_path: Path) -> None:
    broken = deepcopy(EQUAL)
    broken["layers"][0]["digest"]["rtl"] = "c"
    assert summary(broken, BuildFolder(tmp_path))["layers"][0]["equal digests"] == "NO"
