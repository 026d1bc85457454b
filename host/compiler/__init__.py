"""The compiler: from an integer network to a program of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

from host.compiler.apart import pool_apart
from host.compiler.batch import Batch, Turn, image_of
from host.compiler.choice import Made, best, fastest
from host.compiler.emit import emit
from host.compiler.engine_layer import Lowered
from host.compiler.entries import entries, of_network
from host.compiler.errors import CannotCompile
from host.compiler.folding import fold_inputs
from host.compiler.grouped import groups_in_lanes
from host.compiler.kinds.multiply import check_lanes
from host.compiler.lower import lower
from host.compiler.memory import ALIGNMENT, MemoryMap, aligned, place
from host.compiler.operation import Base, Operation
from host.compiler.residents import Choice, Residents
from host.compiler.steps import Plan, Tiled, add_layers
from host.compiler.tokens import schedule
from host.tail import DIGEST
from hw.contract.config import FETCH_BURST, INSTRUCTION_BYTES, PAGE_BYTES, AcceleratorConfig
from hw.contract.isa import HEADER, LoadInstruction, StoreInstruction, Target
from hw.contract.layout import Placement
from hw.contract.memory import Memory
from hw.contract.program import LayerEntry, Program
from hw.contract.registers import LARGEST_WINDOW
from quant.ir.network import Network
from quant.ir.well_formed import well_formed

__all__ = ["KEPT", "MADE_FOR", "CannotCompile", "KeepLayers", "compile_network"]

KEPT = "keep_layers"
"""Key in the metadata of a program: which layers' results it leaves in memory."""
MADE_FOR = "memory"
"""Key in the metadata of a program: the memory that it was made for, as `Memory` says it."""

FEWER = "take fewer images in a run"


class KeepLayers(StrEnum):
    """Whose results are left in memory: of all layers, or of none but the last, and memory is used again."""

    ALL = "all"
    NONE = "none"


def compile_network(
    network: Network,
    config: AcceleratorConfig,
    memory: Memory | None = None,
    keep_layers: KeepLayers = KeepLayers.ALL,
    cycles: Callable[[Program], int] | None = None,
    batch: int = 1,
) -> Program:
    """A network as a program for one configuration.  Deterministic: the same network gives the same bytes.

    keep_layers: which layers' results are in memory after a run.
    memory: that it is to be fast with, latency 64 and a beat every cycle when None; it is right with any.
    cycles: how long a program takes, by which the fastest is chosen of those that could be made; by estimates when
    None (the compiler knows no model of time: `host.timed` hands it one).
    batch: images of a run.
    Raises CannotCompile, naming layer and reason, for what the engine cannot run; UnsupportedNetwork where a
    layer can overflow the accumulator; ConfigError for a configuration that cannot be built.
    """
    lowered = lower(well_formed(network), config)
    memory = memory or Memory()
    fold_inputs(lowered, config, memory)
    pool_apart(lowered, config, memory)
    groups_in_lanes(lowered, config, memory)
    keep = keep_layers is KeepLayers.ALL
    images = Batch(lowered, batch, config, memory)
    _check_indexes(network, batch, images.count)
    residents = Residents(images.single, config, memory, place(images.single, config, keep), keep)

    def program(choice: Choice) -> Made:
        residents.take(choice)
        said = network.metadata | {MADE_FOR: str(memory), KEPT: keep_layers.value}
        said |= {} if network.tail is None else {DIGEST: network.tail.digest}
        made = _program(network, images, config, residents, keep)
        return made._replace(program=replace(made.program, metadata=said))

    return best(residents, program) if cycles is None else fastest(residents, program, cycles)


def _program(network: Network, images: Batch, config: AcceleratorConfig, residents: Residents, keep: bool) -> Made:
    """The program for what stays on the chip; the network's metadata are its own."""
    turns = list(images.turns())
    whole = images.whole(turns)
    absent = frozenset(name for one in residents.absent for name in images.names(one))
    alike = {first: last - first for first, last in residents.runs}
    runs = [(at, at + alike[turn.index]) for at, turn in enumerate(turns) if turn.index in alike]
    places = place(whole, config, keep, absent, runs)
    plan, layers, pool_layers = _plan(images, turns, whole, places, residents)
    operations = emit(plan, places, config, pool_layers)
    schedule([operation.task for operation in operations])
    weights_base = aligned(len(operations) * INSTRUCTION_BYTES, FETCH_BURST * INSTRUCTION_BYTES)
    tensors_base = aligned(weights_base + len(plan.weights), ALIGNMENT)
    bases: dict[Base, int] = {"weights": weights_base, "tensors": tensors_base}
    code = b"".join(operation.finished(bases).encode() for operation in operations)
    image = code.ljust(weights_base, b"\0") + bytes(plan.weights)
    placements = _placements(whole, places, tensors_base)
    left = [name for name in _visible(network, images.single) if places.lost.isdisjoint(images.names(name))]
    made = Program(
        config=config,
        name=network.name,
        input_shapes=network.input_shapes,
        image=image,
        program_base=0,
        instructions=len(operations),
        memory_bytes=_reachable(network, images.images, aligned(tensors_base + places.size, PAGE_BYTES)),
        inputs=tuple(placements[name] for name in whole.views),
        tensors=tuple(placements[name] for tensor in left for name in images.names(tensor)),
        outputs=network.outputs,
        layers=tuple(entry if entry.output in left else replace(entry, output="") for entry in layers),
        metadata=network.metadata,
        batch=images.images,
    )
    return Made(made, _moved(operations, config))


def _moved(operations: Sequence[Operation], config: AcceleratorConfig) -> int:
    """Bytes that instructions move to and from memory, and those that they are themselves."""
    d, found = config.derived, len(operations) * INSTRUCTION_BYTES
    for one in (operation.instruction for operation in operations):
        if isinstance(one, LoadInstruction):
            found += one.rows * one.beats * d.beat_bytes
        elif isinstance(one, StoreInstruction) and one.target == Target.MEMORY:
            found += one.planes * one.rows * one.words * d.word_bytes
    return found


def _plan(
    images: Batch, turns: Sequence[Turn], whole: Lowered, places: MemoryMap, residents: Residents
) -> tuple[Plan, list[LayerEntry], dict[int, int]]:
    """Steps of all layers, the manifest's layers, and the indexes of poolings that are layers of their own."""
    plan, layers, pool_layers = Plan(), list[LayerEntry](), dict[int, int]()
    together: list[Tiled] = []
    for turn in turns:
        placed, way, layer = places.placements, residents.way(turn.index), turn.layer
        geometry = replace(way.problem.geometry, placement=placed[layer.source])
        chip = images.chip(way.problem.chip, turn.image)
        if layer.product and layer.residual is not None:
            check_lanes(layer, placed[layer.residual], placed[layer.source])
        layer = replace(layer, weights=way.problem.layer.weights)
        posed = replace(way.problem, layer=layer, geometry=geometry, chip=chip)
        together.append(Tiled(posed, way.tiling, len(layers)))
        if residents.run(turn.index)[1] == turn.index:
            add_layers(plan, together, placed)
            together = []
        found = entries(layer, whole, turn.image)
        if len(found) > 1:
            pool_layers[len(layers)] = len(layers) + 1
        layers += found
    _check_indexes(whole.network, images.images, len(layers))
    return plan, layers, pool_layers


def _check_indexes(network: Network, batch: int, layers: int) -> None:
    bits = next(field.bits for field in HEADER if field.name == "layer")
    if layers > 1 << bits:
        reason = f"the program of {batch} images has {layers} layers, and {1 << bits} fit"
        raise CannotCompile(network.layers[-1].name, reason, FEWER if batch > 1 else "")


def _reachable(network: Network, batch: int, size: int) -> int:
    """Bytes of memory that a program takes.  Raises CannotCompile where no window has as many."""
    if size > LARGEST_WINDOW:
        reason = f"the program of {batch} images takes {size} bytes of memory, and an engine reaches {LARGEST_WINDOW}"
        raise CannotCompile(network.layers[-1].name, reason, FEWER if batch > 1 else "")
    return size


def _placements(lowered: Lowered, places: MemoryMap, base: int) -> dict[str, Placement]:
    """Placements as the program states them: addresses in the window; views are of the network's inputs."""
    found = {}
    for name, placement in places.placements.items():
        tensor = lowered.views[name].source if name in lowered.views else of_network(name)
        found[name] = replace(placement, tensor=tensor, address=placement.address + base, image=image_of(name))
    return found


def _visible(network: Network, lowered: Lowered) -> list[str]:
    """The network's tensors that the engine leaves in memory, in the order of their layers."""
    return [layer.output for layer in network.layers if layer.output in lowered.tensors]
