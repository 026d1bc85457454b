"""The stages from a float network to a simulated accelerator; each reads what the stage before left on disk.

Every function returns what the command line shows: tables by title, and `files` that were written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from host.artefacts import folder_in_one_piece, make_folder, write_json
from host.compiler import compile_network
from host.simulation import export_bench, simulate_model, simulate_rtl
from host.terminal import Reporter
from hw import verilog as gateware
from hw.contract import program as programs
from hw.contract.config import AcceleratorConfig
from hw.contract.program import Program
from quant import onnx_import, qdq
from quant.errors import BadInput
from quant.fixedpoint import quantize as to_integers
from quant.images import load_images
from quant.search import Precision, quantize_network
from sim.memory import Memory

Result = dict[str, Any]
CHECK_IMAGES = 8
"""Calibration images on which the imported graph is held against the original file."""


def quantize(
    network: Path, calibration: Path, output: Path, data_bits: int, weight_bits: int, precision: Precision,
    input_shape: tuple[int, int, int] | None, reporter: Reporter,
) -> Result:  # fmt: skip
    """float ONNX + calibration images -> quantized QDQ ONNX."""
    check_bits(data_bits, weight_bits)
    make_folder(output.parent)
    graph = onnx_import.load(network, input_shape)
    images, _ = load_images(calibration, graph)
    with reporter.stage(f"quantize {network.name} on {len(images)} images"):
        onnx_import.verify(graph, network, images[:CHECK_IMAGES])
        integers = quantize_network(
            graph, images, data_bits=data_bits, weight_bits=weight_bits, precision=precision, progress=reporter.step
        )
        qdq.save(integers, output)
    rows = [
        {"tensor": t.name, "shape": "x".join(map(str, t.shape)), "format": str(t.fmt)}
        for t in integers.tensors.values()
    ]
    return {"formats (s: signed, u: unsigned; bits.fractional length)": rows, "files": [str(output)]}


def compile_program(quantized: Path, config: AcceleratorConfig, output: Path) -> Result:
    """Quantized ONNX -> program file for one configuration."""
    make_folder(output.parent)
    program = compile_network(qdq.load(quantized), config)
    program.save(output)
    return {
        "program": {
            "configuration": f"{config.name} ({config.hash[:8]})",
            "layers": len(program.layers),
            "instructions": program.instructions,
            "image bytes": len(program.image),
            "memory bytes": program.memory_bytes,
        },
        "files": [str(output)],
    }


def verilog(configs: list[AcceleratorConfig], out: Path, reporter: Reporter) -> Result:
    """The engine's Verilog: into `out`, or a folder each in it when there are several."""
    files = []
    for config in configs:
        target = out if len(configs) == 1 else out / config.name
        with reporter.stage(f"Verilog of {config.name}"), folder_in_one_piece(target) as folder:
            names = [path.name for path in gateware.write(config, folder)]
        files += [str(target / name) for name in names]
    return {"files": files}


def simulate(
    program_path: Path, images_path: Path, engine: str, count: int, config: AcceleratorConfig | None,
    output: Path | None, export: Path | None, waves: Path | None, latency: int, beat_every: int, reporter: Reporter,
) -> Result:  # fmt: skip
    """Run a program on the first `count` images, by the models or by the Verilog."""
    program = programs.load(program_path, config)
    x = program_images(program, images_path, count)
    memory = Memory(latency=latency, beat_every=beat_every)
    if engine == "model":
        value, _ = simulate_model(program, x, memory, reporter)
    else:
        value, _ = simulate_rtl(program, x, memory, reporter, waves)
    if export is not None:
        export_bench(program, x, memory, export, reporter)
    files = [str(path) for path in (export, waves) if path is not None]
    if output is not None:
        make_folder(output.parent)
        write_json(output, value)
        files.append(str(output))
    rows = [
        {"layer": layer.name, "tensor": layer.output, "sha256": value["digests"][layer.output]}
        for layer in program.layers
    ]
    return {"digests": rows, "counters": value["counters"], "files": files}


def check_bits(data_bits: int, weight_bits: int) -> None:
    """Raise BadInput for widths that do not exist."""
    if data_bits not in (8, 16):
        raise BadInput(f"data has 8 or 16 bits, not {data_bits}")
    if weight_bits not in (4, 8, 16):
        raise BadInput(f"weights have 16, 8 or 4 bits, not {weight_bits}")


def program_images(program: Program, path: Path, count: int) -> np.ndarray:
    """The first images of a file as the integers of a program's input, int64 (N, C, H, W)."""
    images, _ = load_images(path, program, limit=count)
    if len(images) < count:
        raise BadInput(f"{path}: holds {len(images)} images, {count} are needed")
    return to_integers(images, program.inputs[0].fmt)
