"""What an integer network costs: weights, their bytes plain and coded, MACs, and on an engine cycles and bytes moved.

`compress` shows it before and after, `run --beside` of two networks; both from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.compiler.errors import CannotCompile
from host.form import Maybe
from host.timed import compile_timed
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.widths import bytes_of
from quant import coded, qdq
from quant.ir.network import Network
from quant.kinds.conv import convolution
from quant.run.calibration import Progress
from sim.cycles import simulate
from sim.stored import stored_weights

Values = dict[str, Any]

FORM = {
    "top1": Maybe(float),
    **dict.fromkeys(("weights", "kept", "bytes", "coded_bytes", "macs"), int),
    **dict.fromkeys(("cycles", "bytes_read", "bytes_written"), Maybe(int)),
    "refused": str,
    "layers": [
        {
            "layer": str,
            **dict.fromkeys(("weights", "kept", "values", "bytes", "macs"), int),
            "cycles": Maybe(int),
            "stored": Maybe(str),
        }
    ],
}
"""Of a cost as a JSON value (`host.form`)."""


def cost(
    network: Network,
    config: AcceleratorConfig | None = None,
    memory: Memory | None = None,
    top1: float | None = None,
    progress: Progress | None = None,
) -> Values:
    """The cost of a network as a JSON value, of one image.

    config, memory: the engine, without which there are no cycles; refused: why it cannot run the network.  top1: the
    share of right answers, which takes images and is found elsewhere.  kept: weights that are not zero; values:
    different ones among these; bytes: of all weights at their width; coded_bytes: of the whole coded file.  stored: how
    the engine's memory holds them.
    """
    on_engine: Values = {"cycles": None, "bytes_read": None, "bytes_written": None, "refused": ""}
    cycles: dict[str, int] = {}
    stored: dict[str, str] = {}
    if config is not None:
        try:
            program = compile_timed(network, config, memory=memory)
        except CannotCompile as error:
            on_engine["refused"] = str(error)
        else:
            time = simulate(program, memory)
            moved = {"bytes_read": time.counters["BYTES_READ"], "bytes_written": time.counters["BYTES_WRITTEN"]}
            on_engine |= {"cycles": time.cycles, **moved}
            cycles = {entry.name: int(n) for entry, n in zip(program.layers, time.layer_cycles, strict=True)}
            stored = {program.layers[k].name: str(how) for k, how in stored_weights(program).items()}
    layers = []
    for layer in network.layers:
        conv = convolution(layer)
        weight = np.zeros(0, np.int64) if conv is None else conv.weight
        layers.append(
            {
                "layer": layer.name,
                "weights": weight.size,
                "kept": int(np.count_nonzero(weight)),
                "values": int(np.count_nonzero(np.unique(weight))),
                "bytes": 0 if conv is None else bytes_of(weight.size * conv.weight_bits),
                "macs": layer.macs(network.tensors[layer.output].shape),
                "cycles": cycles.get(layer.name),
                "stored": stored.get(layer.name) if conv else None,
            }
        )
    file = qdq.to_model(network).SerializeToString(deterministic=True)
    return {
        "top1": top1,
        **{key: sum(layer[key] for layer in layers) for key in ("weights", "kept", "bytes")},
        "coded_bytes": len(coded.encode(file, progress or (lambda what, done, total: None))),
        "macs": sum(layer["macs"] for layer in layers),
        **on_engine,
        "layers": layers,
    }


def row(found: Mapping[str, Any]) -> Values:
    """A cost as a row of a table, without what is not known."""
    moved = None if found["cycles"] is None else found["bytes_read"] + found["bytes_written"]
    columns = {
        "weights": found["weights"],
        "not zero": found["kept"],
        "bytes": found["bytes"],
        "coded file": found["coded_bytes"],
        "MACs": found["macs"],
        "cycles": found["cycles"],
        "bytes moved": moved,
        "top-1": found["top1"],
    }
    return {title: value for title, value in columns.items() if value is not None}
