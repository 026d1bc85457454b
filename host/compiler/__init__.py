"""The compiler: from an integer network to a program of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

from host.compiler.apart import pool_apart
from host.compiler.emit import emit
from host.compiler.engine_layer import Lowered
from host.compiler.entries import entries
from host.compiler.errors import CannotCompile
from host.compiler.folding import fold_inputs
from host.compiler.gate import check_lanes
from host.compiler.lower import lower
from host.compiler.memory import ALIGNMENT, MemoryMap, aligned, place
from host.compiler.operation import Base
from host.compiler.residents import Choice, Residents, Willing
from host.compiler.steps import Plan, add_layer
from host.compiler.tokens import schedule
from host.tail import DIGEST
from hw.contract.config import FETCH_BURST, INSTRUCTION_BYTES, PAGE_BYTES, AcceleratorConfig
from hw.contract.isa import HEADER
from hw.contract.layout import Placement
from hw.contract.memory import Memory
from hw.contract.program import LayerEntry, Program
from hw.contract.weights import WeightFormat, gateware_format
from quant.ir.network import Network
from quant.ir.well_formed import well_formed

__all__ = ["KEPT", "MADE_FOR", "CannotCompile", "KeepLayers", "compile_network"]

KEPT = "keep_layers"
"""Key in the metadata of a program: which layers' results it leaves in memory."""
FAR = 4 / 3
"""What is estimated to take so many times as long as the best is not tried: estimates are nearer than that."""
MADE_FOR = "memory"
"""Key in the metadata of a program: the memory that it was made for, as `Memory` says it."""


class KeepLayers(StrEnum):
    """Whose results are left in memory: of all layers, or of none but the last, and memory is used again."""

    ALL = "all"
    NONE = "none"


def compile_network(
    network: Network,
    config: AcceleratorConfig,
    formats: Sequence[WeightFormat] | None = None,
    memory: Memory | None = None,
    keep_layers: KeepLayers = KeepLayers.ALL,
    cycles: Callable[[Program], int] | None = None,
) -> Program:
    """A network as a program for one configuration.  Deterministic: the same network gives the same bytes.

    keep_layers: which layers' results are in memory after a run.
    memory: that it is to be fast with, latency 64 and a beat every cycle when None; it is right with any.
    formats: in which weights may be stored, each layer's in the narrowest that holds them; that of the
    configuration's gateware when None.  Programs with others run on the models alone.
    cycles: how long a program takes, by which the fastest is chosen of those that could be made; by estimates when
    None (the compiler knows no model of time: `host.timed` hands it one).
    Raises CannotCompile, naming layer and reason, for what the engine cannot run; UnsupportedNetwork where a
    layer can overflow the accumulator; ConfigError for a configuration that cannot be built.
    """
    lowered = lower(well_formed(network), config, (gateware_format(config),) if formats is None else formats)
    memory = memory or Memory()
    fold_inputs(lowered, config, memory)
    pool_apart(lowered, config, memory)
    keep = keep_layers is KeepLayers.ALL
    places = place(lowered, config, keep)
    residents = Residents(lowered, config, memory, places, keep)

    def program(choice: Choice) -> Program:
        residents.take(choice)
        said = network.metadata | {MADE_FOR: str(memory), KEPT: keep_layers.value}
        made = _program(network, lowered, config, residents, place(lowered, config, keep, residents.absent))
        return replace(made, metadata=said | ({} if network.tail is None else {DIGEST: network.tail.digest}))

    choices = {choice.maps: choice for choice in map(residents.choose, Willing)}
    if not keep:  # those that would be made if memory held all results, too: so this is never the slower
        choices |= {choice.maps: choice for choice in (residents.choose(willing, True) for willing in Willing)}
    best = min(choices.values(), key=lambda choice: choice.cycles)
    if cycles is None:
        return program(best)
    near = [choice for choice in choices.values() if choice.cycles <= best.cycles * FAR]
    return min(map(program, near), key=cycles)


def _program(
    network: Network, lowered: Lowered, config: AcceleratorConfig, residents: Residents, places: MemoryMap
) -> Program:
    """The program for what stays on the chip; the network's metadata are its own."""
    plan, layers, pool_layers = _plan(lowered, places, residents)
    operations = emit(plan, places, config, pool_layers)
    schedule([operation.task for operation in operations])
    weights_base = aligned(len(operations) * INSTRUCTION_BYTES, FETCH_BURST * INSTRUCTION_BYTES)
    tensors_base = aligned(weights_base + len(plan.weights), ALIGNMENT)
    bases: dict[Base, int] = {"weights": weights_base, "tensors": tensors_base}
    code = b"".join(operation.finished(bases).encode() for operation in operations)
    image = code.ljust(weights_base, b"\0") + bytes(plan.weights)
    placements = _placements(lowered, places, tensors_base)
    left = [name for name in _visible(network, lowered) if name not in places.lost]
    return Program(
        config=config,
        name=network.name,
        input_shapes=network.input_shapes,
        image=image,
        program_base=0,
        instructions=len(operations),
        memory_bytes=aligned(tensors_base + places.size, PAGE_BYTES),
        inputs=tuple(placements[name] for name in lowered.views),
        tensors=tuple(placements[name] for name in left),
        outputs=network.outputs,
        layers=tuple(entry if entry.output in left else replace(entry, output="") for entry in layers),
        metadata=network.metadata,
    )


def _plan(lowered: Lowered, places: MemoryMap, residents: Residents) -> tuple[Plan, list[LayerEntry], dict[int, int]]:
    """Steps of all layers, the manifest's layers, and the indexes of poolings that are layers of their own."""
    plan, layers, pool_layers = Plan(), list[LayerEntry](), dict[int, int]()
    for index, layer in enumerate(lowered.layers):
        placed, way = places.placements, residents.way(index)
        geometry = replace(way.problem.geometry, placement=placed[layer.source])
        if layer.gate is not None:
            check_lanes(layer, placed[layer.gate], placed[layer.source])
        add_layer(plan, replace(way.problem, geometry=geometry), way.tiling, len(layers), placed)
        found = entries(layer, lowered)
        if len(found) > 1:
            pool_layers[len(layers)] = len(layers) + 1
        layers += found
    _check_indexes(layers)
    return plan, layers, pool_layers


def _check_indexes(layers: list[LayerEntry]) -> None:
    bits = next(field.bits for field in HEADER if field.name == "layer")
    if len(layers) > 1 << bits:
        raise CannotCompile(layers[1 << bits].name, f"layer {len(layers)} of the program, {1 << bits} fit")


def _placements(lowered: Lowered, places: MemoryMap, base: int) -> dict[str, Placement]:
    """Placements as the program states them: addresses in the window; views are of the network's inputs."""
    found = {}
    for name, placement in places.placements.items():
        tensor = lowered.views[name].source if name in lowered.views else name
        found[name] = replace(placement, tensor=tensor, address=placement.address + base)
    return found


def _visible(network: Network, lowered: Lowered) -> list[str]:
    """The network's tensors that the engine leaves in memory, in the order of their layers."""
    return [layer.output for layer in network.layers if layer.output in lowered.tensors]
