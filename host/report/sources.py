"""What report.json is made from: the files that the stages of a run left, read by their forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host import cost
from host.artefacts import BuildFolder, read_json
from host.form import Each, Form, Maybe, require
from host.legs import LEGS, OnBoard, ProgramBytes, Verilog
from hw.contract.program import Program
from quant.base.errors import BadInput

Values = dict[str, Any]

_LEG: dict[str, Form] = {"digests": Each(str)}
_MODEL = {
    **_LEG,
    "memory": {"latency": int, "beat_every": int, "shared": bool},
    "cycles": int,
    "counters": Each(int),
    "layers": [{"cycles": int, "bytes_read": int, "bytes_written": int, "stalls": Each(int)}],
    "timeline": [{"unit": str, "layer": int, "start": int, "end": int}],
    "over_time": {
        "every": int,
        "read": [int],
        "written": [int],
        "buffers": [{"name": str, "words": int, "peak": int, "mean": [int]}],
    },
}
_RTL = {
    **_LEG,
    "simulator": str,
    **dict.fromkeys(("images", "tensors_compared", "elements_compared", "mismatches", "cycles"), int),
    "first_mismatch": Maybe(str),
}
_BOARD = {**_RTL, "board": str, "counters": Each(int)}
_COMPARED = {
    "accuracy": {"images": int, "float_top1": Maybe(float), "fixed_top1": Maybe(float), "agreement": Maybe(float)},
    "tensors": [
        {
            "tensor": str,
            "sqnr_db": Maybe(float),
            **dict.fromkeys(("max_abs_error", "saturated", "float_low", "float_high"), float),
            "spread": {"low": float, "high": float},
        }
    ],
    "sensitivity": {
        "layers": [
            {
                "layer": str,
                "tensor": str,
                **dict.fromkeys(("sqnr_db", "output_sqnr_db"), Maybe(float)),
                **dict.fromkeys(("output_noise", "noise_share", "agreement_lost", "agreement_risk"), float),
                "causes": Maybe(dict.fromkeys(("weights", "rounding", "saturation", "mean"), float)),
                "reason": Maybe(str),
                "repair": Maybe({"change": str, "gain_db": float, "bytes": int}),
            }
        ]
    },
    "answers": {"float": Maybe([int]), "fixed": [int]},
}
_RETURNED: dict[str, Form] = {"returned": [{"output": str, "sqnr_db": Maybe(float), "max_abs_error": float}]}


def read_leg(path: Path, name: str) -> Values:
    """What a leg of the proof gave.  Raises BadInput for a file that is missing or damaged."""
    value = read_json(path)
    require(value, {ProgramBytes.name: _MODEL, Verilog.name: _RTL, OnBoard.name: _BOARD}.get(name, _LEG), path)
    require(value, {"returned": Each(str)} if "returned" in value else {}, path)
    return dict(value)


def read_compared(path: Path) -> Values:
    """What the comparison with float gave.  Raises BadInput for a file that is missing or damaged."""
    value = read_json(path)
    require(value, _COMPARED | (_RETURNED if "returned" in value else {}), path)
    return dict(value)


def read_costs(path: Path) -> Values:
    """What two networks cost.  Raises BadInput for a file that is missing or damaged."""
    value = read_json(path)
    require(value, {"name": str, "network": cost.FORM, "beside": cost.FORM}, path)
    return dict(value)


def read_legs(folder: BuildFolder, program: Program) -> Mapping[str, Values]:
    """What the legs that a run took gave, by name.

    Raises BadInput where a file is damaged, that of the program's bytes is missing, or it is of another program.
    """
    taken = {leg.name: read_leg(path, leg.name) for leg in LEGS if (path := folder.leg(leg.name)).exists()}
    path = folder.leg(ProgramBytes.name)
    model = taken.get(ProgramBytes.name) or read_leg(path, ProgramBytes.name)
    known = range(len(program.layers))
    spans = all(span["layer"] in known for span in model["timeline"])
    if len(model["layers"]) != len(known) or not spans or model["cycles"] < 1:
        raise BadInput(f"{path}: damaged: not of {folder.program.name}; make it again with `run`")
    if OnBoard.name in taken and taken[OnBoard.name]["cycles"] < 1:
        raise BadInput(f"{folder.leg(OnBoard.name)}: damaged: cycles must be 1 at least; make it again with `run`")
    for counter in ("BYTES_READ", "BYTES_WRITTEN"):
        require(model["counters"], {counter: int}, path, "counters")
    return taken
