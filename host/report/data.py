"""report.json: every figure of a run, gathered from the artefacts of its stages.  docs/report.md describes it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from host.legs import LEGS, OnBoard, ProgramBytes, Verilog
from host.report.energy import SOURCE, energy, picojoules, total
from host.report.roofline import roofline
from host.tail import facts
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import LayerEntry, Program
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tail import Tail
from quant.kinds.conv import convolution
from sim.accesses import buffer_bytes
from sim.stored import Stored, stored_weights

SCHEMA = 1
"""Version of report.json's form."""
SAMPLES = 16
"""Images that the report shows."""

Values = dict[str, Any]


def build_report(
    network: Network,
    program: Program,
    compared: Values,
    taken: Mapping[str, Values],
    images: int,
    shown: np.ndarray,
    costs: Values | None = None,
) -> Values:
    """The report.

    compared: what the comparison wrote.  taken: what each leg of the proof gave, by name, over `images` images.
    shown: float images (N, C, H, W) of the first input for pictures, in the order of compared["answers"].  costs: of
    this network and of another one beside it.
    """
    model, rtl, board = taken[ProgramBytes.name], taken.get(Verilog.name), taken.get(OnBoard.name)
    errors = {entry["tensor"]: entry for entry in compared["tensors"]}
    alone = {entry["tensor"]: entry["sqnr_db"] for entry in compared["sensitivity"]["layers"]}
    engine = {name: turn for turn in program.turns for name in (turn[0].name, *turn[0].fused)}
    first = {k: indexes[0] for _, indexes in program.turns for k in indexes}
    memory, buffers, stored = Memory(**model["memory"]), buffer_bytes(program), stored_weights(program)
    layers = []
    for layer in network.layers:
        entry, indexes = engine.get(layer.name, (None, []))
        cost: Values = {}
        if entry is not None and layer.name == entry.name:
            cost = _cost(program.config, memory, entry, _added([model["layers"][k] for k in indexes]))
            weights = stored[indexes[0]] if convolution(layer) else None
            done = entry.macs if weights is None else round(entry.macs * weights.share)
            moved = cost["bytes_read"] + cost["bytes_written"]
            spent = energy(program.config, done, sum(buffers[k] for k in indexes), moved)
            cost |= _stored(weights) | {"energy": spent}
        leaves = layer.output if entry is None else entry.output or layer.output
        layers.append(
            {
                **_describe(network, layer, errors, alone),
                **_NO_COST,
                **cost,
                "fused_into": entry.name if entry is not None and entry.name != layer.name else None,
                "output_tensor": leaves,
                "digest": {
                    leg.name: taken[leg.name]["digests"].get(leaves) if leg.name in taken else None for leg in LEGS
                },
            }
        )
    return {
        "schema": SCHEMA,
        "version": version("shiftpoint"),
        "network": program.name,
        "config": _config(program.config),
        "batch": program.batch,
        "memory": model["memory"],
        "accuracy": compared["accuracy"],
        "layers": layers,
        "sensitivity": [{name: entry[name] for name in _SENSITIVITY} for entry in compared["sensitivity"]["layers"]],
        "proof": {"images": images, "legs": [leg.name for leg in LEGS if leg.name in taken]},
        "rtl": None if rtl is None else _engine(rtl, model["cycles"]),
        "board": None if board is None else _board(board, model["cycles"]),
        "totals": _totals(program, model, layers),
        "energy_table": {"source": SOURCE, "picojoules": picojoules(program.config)},
        "counters": model["counters"],
        "timeline": [{**span, "layer": first[span["layer"]]} for span in model["timeline"]],
        "layer_ends": np.cumsum([layer["cycles"] for layer in model["layers"]]).tolist(),
        "over_time": model["over_time"],
        "samples": _samples(shown, compared["answers"]),
        "beside": costs,
        "tail": None if network.tail is None else _tail(network, network.tail, taken, compared),
    }


def _tail(network: Network, tail: Tail, taken: Mapping[str, Values], compared: Values) -> Values:
    """What the host does, how much of the work that is, and what it returns: how near float, the same by every leg."""
    digests = {leg.name: taken.get(leg.name, {}).get("returned", {}) for leg in LEGS}
    errors = {entry["output"]: entry for entry in compared.get("returned", ())}
    outputs = [
        {
            "name": name,
            **{key: errors[name][key] if name in errors else None for key in ("sqnr_db", "max_abs_error")},
            "digest": {leg: found.get(name) for leg, found in digests.items()},
        }
        for name in tail.outputs
    ]
    return facts(tail, network) | {"outputs": outputs}


_SENSITIVITY = (
    "layer",
    "tensor",
    "sqnr_db",
    "output_sqnr_db",
    "output_noise",
    "noise_share",
    "agreement_lost",
    "agreement_risk",
    "causes",
    "reason",
    "repair",
)

_NO_COST = dict.fromkeys(
    (
        "cycles",
        "roofline_cycles",
        "utilization",
        "bytes_read",
        "bytes_written",
        "compulsory_read",
        "compulsory_written",
        "bound",
        "stalls",
        "energy",
        "weight_format",
        "weight_blocks",
    )
)


def _config(config: AcceleratorConfig) -> Values:
    return {
        "name": config.name,
        "ic_lanes": config.ic_lanes,
        "oc_lanes": config.oc_lanes,
        "data_bits": config.data_bits,
        "weight_bits": config.weight_bits,
        "acc_bits": config.acc_bits,
        "axi_bits": config.axi_bits,
        "multipliers": config.derived.multipliers,
        "clock_mhz": config.clock_mhz,
        "clock_source": config.clock_source,
        "hash": config.hash,
    }


def _describe(
    network: Network, layer: Layer, errors: Mapping[str, Values], alone: Mapping[str, float | None]
) -> Values:
    """What a layer is, and how far it is from float."""
    source, target = network.tensors[layer.inputs[0]].fmt, network.tensors[layer.output].fmt
    error = errors.get(layer.output)
    conv = convolution(layer)
    return {
        "name": layer.name,
        "op": layer.operator,
        "input_bits": source.bits,
        "input_signed": source.signed,
        "input_frac": source.frac,
        "weight_bits": conv and conv.weight_bits,
        "weight_frac": conv and [int(f) for f in conv.weight_frac],
        "output_bits": target.bits,
        "output_signed": target.signed,
        "output_frac": target.frac,
        "sqnr_db": error and error["sqnr_db"],
        "sqnr_alone_db": alone.get(layer.output),
        "max_abs_error": error and error["max_abs_error"],
        "saturated": error and error["saturated"],
        "float_range": error and [error["float_low"], error["float_high"]],
        "scaled_range": error and [error["spread"]["low"], error["spread"]["high"]],
        "macs": layer.macs(network.tensors[layer.output].shape),
    }


def _added(turns: list[Values]) -> Values:
    """What the cycle model says of a layer, of its turns for all images together."""
    found: Values = {key: sum(turn[key] for turn in turns) for key in ("cycles", "bytes_read", "bytes_written")}
    return found | {"stalls": {cause: sum(turn["stalls"][cause] for turn in turns) for cause in turns[0]["stalls"]}}


def _cost(config: AcceleratorConfig, memory: Memory, entry: LayerEntry, simulated: Values) -> Values:
    """What a layer costs on the engine; an engine layer's cost stands with the layer that computes."""
    limit = roofline(config, entry, memory)
    cycles = simulated["cycles"]
    return {
        "cycles": cycles,
        "roofline_cycles": limit.cycles,
        "utilization": entry.macs / (config.derived.multipliers * cycles) if cycles else 0.0,
        "bytes_read": simulated["bytes_read"],
        "bytes_written": simulated["bytes_written"],
        "compulsory_read": entry.read_bytes,
        "compulsory_written": entry.written_bytes,
        "bound": limit.bound,
        "stalls": simulated["stalls"],
    }


def _stored(weights: Stored | None) -> Values:
    """How a layer's weights lie in memory."""
    return {} if weights is None else {"weight_format": weights.format, "weight_blocks": weights.share}


def _engine(taken: Values, model_cycles: int) -> Values:
    """What an engine gave, in its bench or in a system, beside the model's cycles."""
    names = ("simulator", "images", "tensors_compared", "elements_compared", "mismatches", "first_mismatch", "cycles")
    return {**{name: taken[name] for name in names}, "model_cycles": model_cycles}


def _board(taken: Values, model_cycles: int) -> Values:
    found = _engine(taken, model_cycles)
    return {"board": taken["board"], **found, "ratio": model_cycles / found["cycles"]}


def _totals(program: Program, model: Values, layers: list[Values]) -> Values:
    macs = program.batch * sum(layer["macs"] for layer in layers)
    memory = Memory(**model["memory"])
    limit = sum(roofline(program.config, entry, memory).cycles for entry, _ in program.turns)
    return {
        "macs": macs,
        "cycles": model["cycles"],
        "roofline_cycles": limit,
        "roofline_ratio": limit / model["cycles"],
        "utilization": macs / (program.config.derived.multipliers * model["cycles"]),
        "bytes_read": model["counters"]["BYTES_READ"],
        "bytes_written": model["counters"]["BYTES_WRITTEN"],
        "energy": total([layer["energy"] for layer in layers if layer["energy"] is not None]),
        "frames_per_second": 1e6 * program.batch * program.config.clock_mhz / model["cycles"],
    }


def _samples(shown: np.ndarray, answers: Mapping[str, Any]) -> list[Values]:
    """Images as 8-bit pixels (each stretched to its own range) with both networks' answers."""
    if shown.shape[1] not in (1, 3) or min(shown.shape[2:]) < 8:
        return []
    result = []
    by_floats = answers["float"] or [None] * len(answers["fixed"])
    for image, by_float, by_fixed in zip(shown[:SAMPLES], by_floats, answers["fixed"], strict=False):
        low, high = float(image.min()), float(image.max())
        pixels = np.rint((image - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
        step = max(1, max(pixels.shape[1:]) // 96)  # large images are thinned: a page of pictures stays small
        pixels = np.ascontiguousarray(pixels[:, ::step, ::step])
        result.append(
            {
                "shape": list(pixels.shape),
                "pixels": base64.b64encode(pixels.tobytes()).decode(),
                "float": by_float,
                "fixed": by_fixed,
            }
        )
    return result
