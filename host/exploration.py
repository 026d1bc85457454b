"""`shiftpoint explore`: the engine that runs a network fastest among those that fit a part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from host.artefacts import source_digest, write_json
from host.candidate import Candidate, Problem
from host.compiler import KeepLayers
from host.compiler.refusals import refusal
from host.delivery import delivery
from host.engine_search import Engine, Search, front, time_of
from host.jobs import packed, perform
from host.kept import Kept
from host.options import (
    InputShape,
    Jobs,
    MaybeCalibration,
    MemoryOptions,
    RawPixels,
    Scheduler,
    board_named,
    key,
    one_place,
    require_unnamed,
)
from host.options import Kept as KeptLayers
from host.outputs import Use
from host.quantization import opened
from host.report.frames import picture
from host.space import PORTS, Space
from host.terminal import Reporter
from host.workers import workers
from hw.board import catalogue
from hw.board.catalogue import Board, Part
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.memory import Memory
from hw.resources.blocks import block_rams
from hw.resources.model import clock_mhz, needs
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.network import Network
from quant.ir.stand_in import stand_in
from quant.onnx_file.quantized import is_quantized
from quant.onnx_file.read import read_model
from quant.search import quantize_network

Result = dict[str, Any]
POINTS = "points"
"""Folder in the folder of a search: what its jobs gave."""
CONFIG, FOUND, PICTURE = FILES = ("config.json", "explore.json", "explore.svg")
"""What is delivered in it."""


def _part(name: str) -> Part:
    try:
        return catalogue.part(name)
    except BadInput as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What runs on the engines, and from which memory: all that what a job gives depends on, but the engine."""

    network: Annotated[
        Path,
        Use.READ,
        typer.Argument(help="Network, float, quantized or coded, ONNX.", show_default=False),
    ]
    calibration: MaybeCalibration = None
    keep_layers: KeptLayers = KeepLayers.ALL
    raw_pixels: RawPixels = False
    input_shape: InputShape = None


@dataclass(frozen=True, kw_only=True)
class ExploreOptions(NetworkOptions):
    """What is looked for, and where the work is done."""

    board: Annotated[
        Board | None,
        typer.Option(
            parser=board_named,
            metavar="NAME",
            help="One of `board list`: its part, memory and clock.",
            show_default=False,
        ),
    ] = None
    part: Annotated[
        Part | None,
        typer.Option(
            parser=_part,
            metavar="NAME",
            help=f"In place of the board's, or without a board: {', '.join(catalogue.parts())}.",
            show_default=False,
        ),
    ] = None
    port: Annotated[
        int | None,
        typer.Option(
            "--axi-bits", help=f"Bits of the memory port: {', '.join(map(str, PORTS))}; any by default.",
            show_default=False,
        ),
    ] = None  # fmt: skip
    most: Annotated[int, typer.Option("--points", help="Engines that are measured, at most.", min=1, max=10000)] = 100
    jobs: Jobs = None
    scheduler: Scheduler = None
    memory: MemoryOptions = field(default_factory=MemoryOptions)

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        if self.board is None and self.part is None:
            raise BadInput("where the engine shall fit is to be said: --board, or --part")
        if self.board is not None:
            require_unnamed(self.memory, self.board)
        if self.port is not None and self.port not in PORTS:
            raise BadInput(f"--axi-bits is {', '.join(map(str, PORTS))}, not {self.port}")
        one_place(self.jobs, self.scheduler)

    @property
    def fits_in(self) -> Part:
        """The part."""
        if self.part is not None:
            return self.part
        assert self.board is not None
        return self.board.part

    def memory_of(self, config: AcceleratorConfig) -> Memory:
        """The memory at an engine's port."""
        if self.board is not None:
            return self.board.memory(config)
        return Memory(self.memory.latency, self.memory.beat_every, self.memory.shared)

    def clock_of(self, config: AcceleratorConfig) -> float:
        """MHz: of the board, unless the engine is slower."""
        own = clock_mhz(config)
        return own if self.board is None else min(own, self.board.clock_mhz)


Folder = Annotated[
    Path,
    Use.FOLDER,
    typer.Option(
        "-o",
        "--out",
        help="Folder for the configuration, the picture and what was measured; other files in it stay.",
        show_default=False,
    ),
]


@dataclass(frozen=True, eq=False)
class Explored:
    """What a search found.

    best: most frames a second.  presets: by name those that fit, measured alike.  front: those that no other beats in
    frames a second with as little logic, the least logic first.  measured: all, in the order in which they were.
    files: written.
    """

    best: Engine
    presets: dict[str, Engine]
    front: tuple[Engine, ...]
    measured: tuple[Engine, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def shown(self) -> Result:
        """What the terminal shows of it."""
        buffers = ", ".join(f"{name} {count}" for name, count in block_rams(self.best.config).items())
        found: Result = {"fastest": self.best.row() | {"block RAM by buffer": buffers}}
        if self.presets:
            fastest = min(self.presets, key=lambda name: time_of(self.presets[name]))
            gain = time_of(self.presets[fastest]) / time_of(self.best)
            found["beside presets"] = f"{gain:.3f} times the frames/s of {fastest}, the fastest preset that fits"
            found["presets that fit"] = [{"preset": name, **one.row()} for name, one in self.presets.items()]
        found["most frames/s for the logic"] = [engine.row() for engine in self.front]
        found["engines measured"] = len(self.measured)
        if self.notes:
            found["notes"] = [{"note": note} for note in self.notes]
        return found | {"files": [str(path) for path in self.files]}

    def to_json(self) -> Result:
        """All of it but the files."""
        return {
            "best": self.best.to_json(),
            "presets": {name: engine.to_json() for name, engine in self.presets.items()},
            "front": [engine.to_json() for engine in self.front],
            "measured": [engine.to_json() for engine in self.measured],
            "notes": list(self.notes),
        }


def explore(options: ExploreOptions, out: Path, reporter: Reporter) -> Explored:
    """A network and a part -> the fastest engine that fits, as a configuration.

    Raises BadInput where no engine fits, and where none runs the network.
    """
    options.check()
    space = Space(_name(options), options.fits_in, options.port)
    if not space.arrays():
        raise BadInput(f"no engine fits {space.part.name}")  # what was not measured of its family is told of here, too
    network, notes = the_network(options, reporter)
    made_from = [key(options, NetworkOptions), source_digest()]
    with delivery(out, FILES) as staged:
        with (
            workers(perform, packed(Problem(network, options.keep_layers)), options.jobs, options.scheduler) as taken,
            reporter.stage(f"engines for {options.network.name} on {space.part.name}"),
        ):
            presets, engines = searched(options, space, network, Kept(out / POINTS, made_from, taken, reporter))
        everything = [*presets.values(), *engines]
        best = min(everything, key=time_of)
        best = replace(best, config=replace(best.config, name=space.name, clock_mhz=best.clock_mhz))
        files = tuple(out / name for name in FILES)
        found = Explored(best, presets, tuple(front(everything)), tuple(engines), files, tuple(notes))
        write_json(staged / CONFIG, best.config.to_json())
        write_json(staged / FOUND, found.to_json())
        write_atomic(staged / PICTURE, picture(everything, found.front, presets, best, space.part.name).encode())
    return found


def searched(
    options: ExploreOptions, space: Space, network: Network, kept: Kept
) -> tuple[dict[str, Engine], list[Engine]]:
    """The presets that fit, by name, and all other engines that were measured.

    Raises BadInput where there are none.
    """
    refused: list[str] = []

    def measure(configs: Sequence[AcceleratorConfig]) -> list[Engine | None]:
        jobs = [Candidate(config, options.memory_of(config)) for config in configs]
        found: list[Engine | None] = []
        for config, value in zip(configs, kept.values("engines", jobs), strict=True):
            if "refused" in value:
                refused.append(value["refused"])
                found.append(None)
                continue
            taken = needs(config, space.part.family)
            found.append(Engine(config, options.clock_of(config), value["cycles"], value["bytes"], taken))
        return found

    fit = {name: config for name, config in PRESETS.items() if space.holds(config)}
    presets = dict(zip(fit, measure(list(fit.values())), strict=True))
    search = Search(space, measure, needs_tables(network), options.most)
    search.run()
    if not search.engines:
        raise BadInput(f"no engine that fits {space.part.name} runs the network: {refused[0]}")
    return {name: engine for name, engine in presets.items() if engine is not None}, search.engines


def needs_tables(network: Network) -> bool:
    """Whether an engine without tables refuses a layer that one with tables runs."""
    without = replace(PRESETS["small"], tables=False)
    layers = network.layers
    return any(refusal(network, layer, without) and not refusal(network, layer, PRESETS["small"]) for layer in layers)


def the_network(options: NetworkOptions, reporter: Reporter) -> tuple[Network, list[str]]:
    """The integer network that engines are measured by, and what is to be said of it."""
    model, _ = read_model(options.network)
    if is_quantized(model.graph):
        for name in ("calibration", "raw_pixels", "input_shape"):
            if getattr(options, name):
                raise BadInput(f"{options.network}: is quantized already: leave out --{name.replace('_', '-')}")
        return qdq.load(options.network), []
    if options.calibration is None:
        if options.raw_pixels:
            raise BadInput("--raw-pixels needs --calibration")
        graph = onnx_import.load(options.network, options.input_shape)
        return stand_in(graph), [
            "cycles are those of the network's shapes: blocks of zeros and codebooks are seen with --calibration or in "
            "a quantized network"
        ]
    graph, images = opened(options.network, options.calibration, options.input_shape, options.raw_pixels, reporter)
    with reporter.stage(f"quantize {options.network.name} on {len(images)} images"):
        return quantize_network(graph, images, effort="fast", progress=reporter.step), []


def _name(options: ExploreOptions) -> str:
    """Of the configuration that is written."""
    place = options.fits_in.name if options.board is None else options.board.name
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", options.network.name.removesuffix(".onnx")).lstrip("_.-") or "network"
    return f"{stem[: 63 - len(place)]}-{place}"
