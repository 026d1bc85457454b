"""What a run says at its end, and whether it holds: from what report.json has."""

from __future__ import annotations

from host.artefacts import BuildFolder
from host.legs import OnBoard, Verilog
from host.report.beside import totals
from host.stages import Result
from quant.base.errors import VerificationError


def summary(value: Result, folder: BuildFolder) -> Result:
    """The tables that end a run: of its report.json, and which files in its folder it left."""
    layers = [
        {
            "layer": layer["name"],
            "op": layer["op"],
            "fused into": layer["fused_into"] or "",
            "output": f"{'s' if layer['output_signed'] else 'u'}{layer['output_bits']}.{layer['output_frac']}",
            "SQNR dB": layer["sqnr_db"],
            "cycles": layer["cycles"],
            "utilization": layer["utilization"],
            "bound": layer["bound"],
            "equal digests": _equal(layer["digest"]),
        }
        for layer in value["layers"]
    ]
    files = [folder.verilog, folder.quantized, folder.program, folder.report, folder.page]
    run = {} if value["batch"] == 1 else {"images of a run": value["batch"]}
    result = {"layers": layers, "accuracy": value["accuracy"], "totals": run | value["totals"]}
    if value["beside"] is not None:
        result[f"beside {value['beside']['name']}"] = totals(value["beside"])
    if value["accuracy"]["agreement"] is None:
        result["float reference"] = "none: --float names the network to compare with"
    if value["tail"] is not None:
        result["on the host"] = _host_rows(value["tail"])
        files.append(folder.tail)
    for name in (Verilog.name, OnBoard.name):
        if value[name] is not None:
            result[name] = {k: v for k, v in value[name].items() if k != "first_mismatch"}
    return {**result, "files": [str(path) for path in files]}


def _host_rows(tail: Result) -> list[Result]:
    """What the host returns, a row each."""
    return [
        {"output": output["name"], "SQNR dB": output["sqnr_db"], "equal digests": _equal(output["digest"])}
        for output in tail["outputs"]
    ]


def _equal(digests: dict[str, str | None]) -> str:
    present = [d for d in digests.values() if d is not None]
    return f"all {len(present)}" if len(set(present)) == 1 else "NO"


def require_equal(value: Result) -> None:
    """Raises VerificationError where a layer or an output of the host is not the same on all legs, or the Verilog takes
    other cycles than the model says."""
    for layer in value["layers"]:
        if _equal(layer["digest"]) == "NO":
            found = [value[name]["first_mismatch"] for name in (Verilog.name, OnBoard.name) if value[name] is not None]
            place = next(filter(None, found), None)
            raise VerificationError(f"digests differ at layer {layer['name']}" + (f": {place}" if place else ""))
    for output in (value["tail"] or {"outputs": []})["outputs"]:
        if _equal(output["digest"]) == "NO":
            raise VerificationError(f"digests differ at output {output['name']}, which the host makes")
    rtl = value["rtl"]
    if rtl is not None and rtl["cycles"] != rtl["model_cycles"]:
        raise VerificationError(f"the RTL took {rtl['cycles']} cycles, the model predicts {rtl['model_cycles']}")
