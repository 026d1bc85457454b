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
from quant import qdq
from quant.base.errors import BadInput
from quant.ir.fixedpoint import quantize as to_integers
from quant.ir.network import Network
from quant.ir.scales import input_scales, scaled
from quant.run.images import load_images
from sim.memory import Memory

Result = dict[str, Any]


def compile_program(quantized: Path, config: AcceleratorConfig, output: Path, complete: bool = False) -> Result:
    """Quantized ONNX -> program file for one configuration.  complete: as `qdq.load`; what it changed is in `notes`."""
    make_folder(output.parent)
    network = qdq.load(quantized, complete)
    program = compile_network(network, config)
    program.save(output)
    return {
        **changed(network),
        "program": {
            "configuration": f"{config.name} ({config.hash[:8]})",
            "layers": len(program.layers),
            "instructions": program.instructions,
            "image bytes": len(program.image),
            "memory bytes": program.memory_bytes,
        },
        "files": [str(output)],
    }


def changed(network: Network) -> Result:
    """What reading a file changed in it, a note each."""
    lines = network.metadata.get(qdq.NOTES, "").splitlines()
    return {"notes": [{"note": line} for line in lines]} if lines else {}


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


def program_images(program: Program, path: Path, count: int) -> np.ndarray:
    """The first images of a file as the integers of a program's input, int64 (N, C, H, W)."""
    images, _ = load_images(path, program, limit=count)
    if len(images) < count:
        raise BadInput(f"{path}: holds {len(images)} images, {count} are needed")
    source = program.inputs[0]
    scales = input_scales(program.metadata, source.tensor, program.input_shape[0])
    return to_integers(scaled(images, scales), source.fmt)
