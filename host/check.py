"""`report --check`: recompute every leg of the proof, and hold it against the others and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from host import chain
from host.artefacts import BuildFolder, read_json
from host.pipeline import kept_images
from host.simulation import Result, simulate_model, simulate_rtl
from host.terminal import Reporter
from hw.contract import program as programs
from hw.contract.program import Program
from quant import qdq
from quant.base.errors import VerificationError
from quant.ir.digest import digest
from quant.ir.network import Network
from quant.run.execute import execute, quantize_input
from sim import hazards
from sim.memory import Memory


def check(root: Path, reporter: Reporter) -> Result:
    """Take the whole proof of a build folder again.

    Raises VerificationError at the first break: of the chain, naming layer, channel, row, column, expected and
    got; of the program's tokens, naming two instructions; of the report's digests; of the cycles.
    """
    folder = BuildFolder(root)
    recorded = read_json(folder.report)
    network, program = qdq.load(folder.quantized), programs.load(folder.program)
    images, _ = kept_images(folder)
    with reporter.stage("tokens of the program"):
        hazards.check(program)
    order = [(layer.name, layer.output) for layer in network.layers]
    cycles: dict[str, int] = {"report": recorded["totals"]["cycles"]}
    before: tuple[str, chain.Tensors] | None = None
    legs = []
    for leg, tensors in _legs(folder, network, program, images, recorded, cycles, reporter):
        if before is not None and (found := chain.first_break(order, before[1], tensors, before[0], leg)) is not None:
            raise VerificationError(f"chain broken at {found}")
        _against_report(recorded, leg, tensors)
        before = leg, tensors
        legs.append(leg)
    if len(set(cycles.values())) != 1:
        raise VerificationError("cycles differ: " + ", ".join(f"{who} {count}" for who, count in cycles.items()))
    return {"check": {"layers": len(order), "images": len(images), "legs": ", ".join(legs), "breaks": 0, **cycles}}


def _legs(
    folder: BuildFolder, network: Network, program: Program, images: np.ndarray, recorded: Result,
    cycles: dict[str, int], reporter: Reporter,
) -> Iterator[tuple[str, chain.Tensors]]:  # fmt: skip
    """The legs in order, each taken when it is asked for; counts their cycles as it goes."""
    x = quantize_input(network, images)
    memory = Memory(**recorded["memory"])

    def simulated(leg: str, simulate: Callable[..., tuple[Result, dict[str, np.ndarray]]]) -> chain.Tensors:
        value, tensors = simulate(program, x, memory, reporter)
        cycles[leg] = value["cycles"]
        return tensors

    with reporter.stage("ONNX Runtime on the quantized file"):
        wide = qdq.beyond_float32(network)
        yield "onnxruntime", qdq.run_layers(folder.quantized, images, wide=wide)
    with reporter.stage("integer executor"):
        yield "integer", execute(network, x, list(network.tensors))
    yield "program", simulated("program", simulate_model)
    if recorded["rtl"] is not None:
        yield "rtl", simulated("rtl", simulate_rtl)


def _against_report(recorded: Result, leg: str, tensors: chain.Tensors) -> None:
    for layer in recorded["layers"]:
        values = tensors.get(layer["output_tensor"])
        if values is not None and layer["digest"][leg] != digest(values):
            raise VerificationError(
                f"chain broken at layer {layer['name']} (tensor {layer['output_tensor']}): the report holds "
                f"{str(layer['digest'][leg])[:12]} for {leg}, recomputed is {digest(values)[:12]}"
            )
