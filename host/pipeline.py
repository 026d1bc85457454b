"""All stages in one command, and the report that they end in."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from host import chain
from host.artefacts import BuildFolder, file_digest, make_folder, read_json, write_json
from host.comparison import SHOWN_IMAGES, CompareOptions, compare_files
from host.quantization import QuantizeOptions, quantize
from host.report.data import build_report
from host.report.page import render
from host.simulation import simulate_model, simulate_rtl
from host.stages import Result, compile_program, verilog
from host.terminal import Reporter
from hw.contract import program as programs
from hw.contract.config import AcceleratorConfig
from hw.contract.program import Program
from quant import qdq
from quant.base.errors import BadInput, VerificationError
from quant.base.files import write_atomic
from quant.ir.network import Network
from quant.run.execute import execute, quantize_input
from quant.run.images import load_images
from sim.memory import Memory


@dataclass(frozen=True)
class RunOptions:
    """What `shiftpoint run` was asked for; `quantize` and the other fields as the options of the command line."""

    quantize: QuantizeOptions
    out: Path
    evaluation: Path | None
    rtl_images: int
    config: AcceleratorConfig
    latency: int
    beat_every: int


def run(options: RunOptions, reporter: Reporter) -> Result:
    """Every stage in order; stages whose artefacts are good already are passed over."""
    o, folder, source = options, BuildFolder(options.out), replace(options.quantize, config=options.config)
    source.check()
    for path in (source.network, source.calibration, o.evaluation):
        if path is not None and not path.is_file():
            raise BadInput(f"{path}: no such file")
    make_folder(folder.root)
    if o.rtl_images:
        from sim.bench import toolchain

        toolchain.require()
    network, config = file_digest(source.network), {"config": o.config.hash, "clock": o.config.clock_mhz}
    original = folder.float / source.network.name
    memory = Memory(latency=o.latency, beat_every=o.beat_every)
    evaluation = o.evaluation or source.calibration

    def stage(name: str, key: dict[str, Any], outputs: list[Path], work: Callable[[], Any]) -> None:
        if folder.is_good(name, key):
            reporter.note(f"kept {name}")
            return
        work()
        folder.mark_good(name, key, outputs)

    def do_quantize() -> None:
        make_folder(folder.float)
        write_atomic(original, source.network.read_bytes())
        quantize(replace(source, network=original), folder.quantized, reporter)

    stage("quantize", {"network": network, "calibration": file_digest(source.calibration), **source.key},
          [original, folder.quantized], do_quantize)  # fmt: skip
    quantized = file_digest(folder.quantized)
    compared = {"network": network, "quantized": quantized, "images": file_digest(evaluation)}

    def do_compare() -> None:
        value = compare_files(CompareOptions(original, folder.quantized, evaluation, source.input_shape), reporter)
        write_json(folder.compare, value)

    stage("compare", compared, [folder.compare], do_compare)
    stage("compile", {"quantized": quantized, **config}, [folder.program],
          lambda: compile_program(folder.quantized, o.config, folder.program))  # fmt: skip
    stage("verilog", config, [folder.verilog], lambda: verilog([o.config], folder.verilog, reporter))
    count = max(o.rtl_images, 1)
    stage("images", {**compared, "count": count}, [folder.images], lambda: _keep_images(folder, evaluation, count))
    key = {"program": file_digest(folder.program), "images": file_digest(folder.images), "memory": asdict(memory)}
    integers = qdq.load(folder.quantized)
    images = quantize_input(integers, kept_images(folder)[0])

    def do_model() -> None:
        write_json(folder.model, simulate_model(programs.load(folder.program), images, memory, reporter)[0])

    def do_rtl() -> None:
        value, tensors = simulate_rtl(programs.load(folder.program), images, memory, reporter)
        write_json(folder.rtl, {**value, **_against_integers(integers, programs.load(folder.program), images, tensors)})

    stage("model", key, [folder.model], do_model)
    if o.rtl_images:
        stage("rtl", key, [folder.rtl], do_rtl)
    elif folder.rtl.exists():
        folder.rtl.unlink()
    return report(o.out, reporter)


def report(root: Path, reporter: Reporter) -> Result:
    """report.json and report.html from what the other stages left in a build folder."""
    folder = BuildFolder(root)
    with reporter.stage("write the report"):
        integers = qdq.load(folder.quantized)
        program = programs.load(folder.program)
        images, shown = kept_images(folder)
        legs = {
            "onnxruntime": chain.digests(qdq.run_layers(folder.quantized, images, wide=qdq.beyond_float32(integers))),
            "integer": chain.digests(execute(integers, quantize_input(integers, images), list(integers.tensors))),
            "program": read_json(folder.model)["digests"],
            "rtl": read_json(folder.rtl)["digests"] if folder.rtl.exists() else {},
        }
        value = build_report(
            integers, program, read_json(folder.compare), read_json(folder.model),
            read_json(folder.rtl) if folder.rtl.exists() else None, legs, len(images), shown,
        )  # fmt: skip
        write_json(folder.report, value)
        write_atomic(folder.page, render(value).encode())
    _raise_on_break(value)
    return summary(value, folder)


def summary(value: Result, folder: BuildFolder) -> Result:
    """The tables that end a run."""
    layers = [
        {
            "layer": layer["name"], "op": layer["op"], "fused into": layer["fused_into"] or "",
            "output": f"{'s' if layer['output_signed'] else 'u'}{layer['output_bits']}.{layer['output_frac']}",
            "SQNR dB": layer["sqnr_db"], "cycles": layer["cycles"], "utilization": layer["utilization"],
            "bound": layer["bound"], "equal digests": _equal(layer["digest"]),
        }
        for layer in value["layers"]
    ]  # fmt: skip
    files = [folder.verilog, folder.quantized, folder.program, folder.report, folder.page]
    result = {"layers": layers, "accuracy": value["accuracy"], "totals": value["totals"]}
    if value["rtl"] is not None:
        result["rtl"] = {k: v for k, v in value["rtl"].items() if k != "first_mismatch"}
    return {**result, "files": [str(path) for path in files]}


def _equal(digests: dict[str, str | None]) -> str:
    present = [d for d in digests.values() if d is not None]
    return f"{len(present)} of {len(digests)}" if len(set(present)) == 1 else "NO"


def _raise_on_break(value: Result) -> None:
    for layer in value["layers"]:
        if _equal(layer["digest"]) == "NO":
            place = (value["rtl"] or {}).get("first_mismatch")
            raise VerificationError(f"digests differ at layer {layer['name']}" + (f": {place}" if place else ""))
    rtl = value["rtl"]
    if rtl is not None and rtl["cycles"] != rtl["model_cycles"]:
        raise VerificationError(f"the RTL took {rtl['cycles']} cycles, the model predicts {rtl['model_cycles']}")


def _against_integers(integers: Network, program: Program, x: np.ndarray, tensors: dict[str, np.ndarray]) -> Result:
    """What the RTL's tensors are, compared element by element with the integer executor's."""
    expected = execute(integers, x, list(program.placements))
    order = [(layer.name, layer.output) for layer in program.layers]
    found = chain.first_break(order, expected, tensors, "integer", "rtl")
    compared = [t for t in dict.fromkeys(tensor for _, tensor in order) if t in tensors]
    return {
        "images": len(x),
        "tensors_compared": len(compared),
        "elements_compared": sum(tensors[t].size for t in compared),
        "mismatches": sum(int((tensors[t] != expected[t]).sum()) for t in compared),
        "first_mismatch": None if found is None else str(found),
    }


def _keep_images(folder: BuildFolder, source: Path, count: int) -> None:
    """Copy the first images, as the network takes them, into the build folder: to simulate, and to show."""
    images, _ = load_images(source, qdq.load(folder.quantized), limit=max(count, SHOWN_IMAGES))
    if len(images) < count:
        raise BadInput(f"{source}: holds {len(images)} images, {count} are needed")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images[:count], shown=images[:SHOWN_IMAGES])
    write_atomic(folder.images, buffer.getvalue())


def kept_images(folder: BuildFolder) -> tuple[np.ndarray, np.ndarray]:
    """The images of a build folder, float32 (N, C, H, W): those simulated, those shown."""
    images, _ = load_images(folder.images, qdq.load(folder.quantized))
    with np.load(folder.images) as file:
        return images, file["shown"]
