"""All stages in one command, and the report that they end in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import onnx
import typer

from host import tail as tails
from host.artefacts import BuildFolder, make_folder, require_file, write_json
from host.beside import both_costs, quantized_of, right
from host.boards import SIMULATED, simulated_files
from host.comparison import CompareOptions, answers_alone, compare_files
from host.compiler import KeepLayers
from host.images import images_to_keep, kept_images, require_images
from host.legs import LEGS, Leg, OnBoard, Subject, Verilog, legs
from host.names import printable
from host.options import (
    BatchSize,
    BuildDir,
    Complete,
    Configuration,
    Evaluation,
    Kept,
    MaybeCalibration,
    MemoryOptions,
    board_named,
    key,
    require_unnamed,
)
from host.outputs import Use, apart
from host.quantization import QuantizeOptions, QuantizerOptions, quantize
from host.report.data import build_report
from host.report.page import render
from host.report.sources import read_compared, read_costs, read_legs
from host.stages import Result
from host.summary import require_equal, summary
from host.terminal import Reporter
from host.timed import compile_timed
from hw import verilog as gateware
from hw.board import system
from hw.board.catalogue import Board
from hw.contract import program as programs
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.memory import Memory
from quant import qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.inputs import by_input
from quant.onnx_file.cut import split
from quant.onnx_file.quantized import is_quantized
from quant.onnx_file.read import in_one_piece, read_file

GIVEN = "quantized already"
"""Key in what `quantize` was made from, where the network was given so."""
MADE_BY = "made by"
"""Key in what `system` was made from: the libraries that write it."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(QuantizerOptions):
    """What a run was asked for: what the quantizer is, for one engine, and what to do beyond it."""

    network: Annotated[
        Path, Use.READ, typer.Argument(help="Trained float network, or a quantized one; ONNX.", show_default=False)
    ]
    calibration: MaybeCalibration = None
    float_network: Annotated[
        Path | None,
        Use.READ,
        typer.Option("--float", help="Of a quantized network: the float one, to compare with.", show_default=False),
    ] = None
    complete: Complete = False
    config: Configuration = PRESETS["small"]
    out: Annotated[
        Path,
        Use.FOLDER,
        typer.Option(help="Folder for everything that is made; other files in it stay.", show_default=False),
    ]
    evaluation: Evaluation = None
    beside: Annotated[
        Path | None,
        Use.READ,
        typer.Option(
            help="Another network, a quantized file or a folder that `run` made: the report shows both costs side by "
            "side.",
            show_default=False,
        ),
    ] = None
    rtl_images: Annotated[
        int, typer.Option(help="Images to run through the Verilog, in whole runs (--batch); 0 for none.", min=0)
    ] = 1
    keep_layers: Kept = KeepLayers.ALL
    batch: BatchSize = 1
    board: Annotated[
        Board | None,
        typer.Option(
            parser=board_named,
            metavar="NAME",
            help="One of `board list`: compile for its memory, and run its simulated system, too.",
            show_default=False,
        ),
    ] = None
    build_dir: BuildDir = None

    def on_board(self) -> RunOptions:
        """The same with the memory of the board, where there is one.  Raises BadInput where another is named."""
        if self.board is None:
            return self
        require_unnamed(self.memory, self.board)
        return replace(self, memory=MemoryOptions(**asdict(self.board.memory(self.config))))

    @property
    def count(self) -> int:
        """Images that the legs take: whole runs."""
        return -(-max(self.rtl_images, 1) // self.batch) * self.batch

    @property
    def images(self) -> Path:
        """What is compared, simulated and shown.  Raises BadInput where none are given."""
        path = self.evaluation or self.calibration
        if path is None:
            raise BadInput("no images to run: give --evaluation, or --calibration")
        return path

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        beside = None if self.beside is None else quantized_of(self.beside)
        known = (self.network, self.float_network, self.calibration, self.evaluation, beside)
        return [path for path in known if path is not None]

    def quantizer(self, network: Path) -> QuantizeOptions:
        """What the quantizer is asked for.  Raises BadInput without calibration images."""
        if self.calibration is None:
            raise BadInput(f"Missing option '--calibration': {self.network} is a float network")
        asked: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(QuantizerOptions)}
        return QuantizeOptions(**asked, network=network, calibration=self.calibration)


@dataclass(frozen=True)
class _Origin:
    """What quantized.onnx is made of.

    content: of the file that was given, in one piece; quantized: whether it is so already.  reference: name and content
    of the float network, None where there is none.
    """

    content: bytes
    quantized: bool
    reference: tuple[str, bytes] | None

    @property
    def digests(self) -> list[str]:
        """SHA-256 of all contents."""
        contents = [self.content, *([] if self.reference is None else [self.reference[1]])]
        return [sha256(content).hexdigest() for content in contents]

    @staticmethod
    def of(o: RunOptions) -> _Origin:
        """Raises BadInput where options do not go with the network."""
        content, model = in_one_piece(o.network)
        if not is_quantized(model.graph):
            o.quantizer(o.network)
            for name, given in (("--float", o.float_network is not None), ("--complete", o.complete)):
                if given:
                    raise BadInput(f"{o.network}: is a float network: leave out {name}, which is of quantized ones")
            return _Origin(content, False, (o.network.name, content))
        where = {"config", "memory"} | ({"input_shape"} if o.float_network is not None else set())
        for field in fields(QuantizerOptions):
            if field.name not in where and getattr(o, field.name) != field.default:
                raise BadInput(f"{o.network}: is quantized already: leave out --{field.name.replace('_', '-')}")
        if o.float_network is None:
            return _Origin(content, True, None)
        reference, model = in_one_piece(o.float_network)
        if is_quantized(model.graph):
            raise BadInput(f"{o.float_network}: is quantized itself: --float takes the float network")
        return _Origin(content, True, (o.float_network.name, reference))


def run(o: RunOptions, reporter: Reporter) -> Result:
    """Every stage in order; stages whose artefacts are good already are passed over."""
    folder = BuildFolder(o.out)
    o = o.on_board()
    o.check()
    for path in o.files:
        if not path.is_file():
            raise BadInput(f"{path}: no such file")
    origin = _Origin.of(o)
    require_images(o.images, o.count)
    every = legs(o.build_dir, None if o.board is None else folder.system)
    taken = [leg for leg in every if o.rtl_images or leg.name != Verilog.name]
    for leg in taken:
        leg.require()
    made = [] if origin.reference is None else [folder.float / origin.reference[0]]
    made += [folder.quantized, folder.compare, folder.program, folder.tail, *_verilog_files(folder), folder.images]
    made += [] if o.beside is None else [folder.beside, folder.cost]
    made += [] if o.board is None else _system_files(folder)
    made += [*(folder.leg(leg.name) for leg in LEGS), folder.report, folder.page]
    apart(made, o.files)
    folder.require_free(made)
    with folder.alone():
        _take_stages(o, origin, folder, taken, reporter)
        return _write_report(folder, reporter)


def _take_stages(
    o: RunOptions,
    origin: _Origin,
    folder: BuildFolder,
    taken: Sequence[Leg],
    reporter: Reporter,
) -> None:
    original = None if origin.reference is None else folder.float / origin.reference[0]

    def stage(name: str, made_from: Any, outputs: list[Path], work: Callable[[], Any]) -> None:
        """A stage is kept where its outputs were made from the same: options, files, values.

        The key is taken before the work: a file that changes meanwhile is not what the outputs were made from.
        """
        made = key(made_from)
        if (kept := folder.kept(name, made)) is not None:
            read = name == "quantize" and origin.quantized  # there was nothing to quantize
            reporter.note(f"kept {folder.quantized.name if read else name}")
            for line in kept.warnings:
                reporter.warn(line)
            return
        _say_moved(folder.claim(name, outputs), reporter)
        with reporter.listening() as warnings:
            work()
        folder.mark_good(name, made, outputs, warnings)

    def do_quantize() -> None:
        if original is not None and origin.reference is not None:
            make_folder(folder.float)
            write_atomic(original, origin.reference[1])
        if not origin.quantized:
            assert original is not None
            quantize(o.quantizer(original), folder.quantized, reporter)
            return
        with reporter.stage(f"read {o.network.name}, which is quantized"):
            network = qdq.load(onnx.load_model_from_string(origin.content), o.complete, o.network.name)
            for line in network.metadata.get(qdq.NOTES, "").splitlines():
                reporter.warn(line)
            qdq.save(network, folder.quantized)  # the same bytes, where a command of this project wrote them

    def do_verilog() -> None:
        with reporter.stage(f"Verilog of {o.config.name}"):
            gateware.write(o.config, folder.verilog)

    sources: Any = {GIVEN: origin.digests, "complete": o.complete}
    if not origin.quantized:
        # Without a budget of cycles only the limits of the engine count: one with the same needs no other network.
        asked = o if o.cycle_budget is not None else replace(o, config=PRESETS["small"], memory=MemoryOptions())
        sources = [asked.quantizer(o.network), origin.digests[0], o.target.numbers]
    stage("quantize", sources, [*([] if original is None else [original]), folder.quantized], do_quantize)
    stage("compare", *_comparison(o, folder, original, reporter))
    stage(
        "compile",
        [folder.quantized, o.config, o.memory, o.keep_layers, o.batch],
        [folder.program],
        lambda: compile_timed(
            qdq.load(folder.quantized), o.config, memory=o.memory, keep_layers=o.keep_layers, batch=o.batch
        ).save(folder.program),
    )
    if split(read_file(folder.quantized))[1]:
        work = partial(_write_tail, folder, o.network.name, reporter)
        stage("tail", [folder.quantized], [folder.tail], work)
    elif folder.began("tail"):
        _say_moved(folder.drop("tail", [folder.tail]), reporter)
    stage("verilog", o.config, _verilog_files(folder), do_verilog)
    stage(
        "images",
        [folder.quantized, o.images, o.count],
        [folder.images],
        lambda: write_atomic(folder.images, images_to_keep(qdq.load(folder.quantized), o.images, o.count)),
    )
    if o.beside is not None:
        other = quantized_of(o.beside)
        made_from = [o.beside.name, other, folder.quantized, folder.compare, o.images, o.config, o.memory]
        stage("beside", made_from, [folder.beside, folder.cost], lambda: _put_beside(o, folder, other, reporter))
    elif folder.began("beside"):
        _say_moved(folder.drop("beside", [folder.beside, folder.cost]), reporter)
    if o.board is not None:
        named = {"board": o.board, "config": o.config, MADE_BY: system.made_by()}
        stage("system", named, _system_files(folder), partial(_write_system, o.board, o.config, folder, reporter))
    elif folder.began("system"):
        _say_moved(folder.drop("system", _system_files(folder)), reporter)
    subject = subject_of(folder, o.memory)
    make_folder(folder.legs)
    for name in (leg.name for leg in LEGS):
        path = folder.leg(name)
        leg = next((leg for leg in taken if leg.name == name), None)
        if leg is not None:
            made_from = [folder.quantized, folder.program, folder.images, o.memory]
            made_from += _system_files(folder) if isinstance(leg, OnBoard) else []
            stage(name, made_from, [path], partial(_take, leg, subject, path, reporter))
        else:
            _say_moved(folder.drop(name, [path]), reporter)


def _comparison(
    o: RunOptions, folder: BuildFolder, original: Path | None, reporter: Reporter
) -> tuple[Any, list[Path], Callable[[], None]]:
    """The stage that compares with float, where there is a float network: what it is made from, leaves and does."""
    quantized, images = folder.quantized, o.images
    if original is None:
        return (
            {"network": None, "input_shape": None, "quantized": quantized, "images": images},
            [folder.compare],
            lambda: write_json(folder.compare, answers_alone(quantized, images, reporter)),
        )
    options = CompareOptions(network=original, quantized=quantized, images=images, input_shape=o.input_shape)
    return options, [folder.compare], lambda: write_json(folder.compare, compare_files(options, reporter).to_json())


def _put_beside(o: RunOptions, folder: BuildFolder, other: Path, reporter: Reporter) -> None:
    assert o.beside is not None
    with reporter.stage(f"what {o.network.name} and {o.beside.name} cost"):
        network = qdq.load(other)
        qdq.save(network, folder.beside)
        shares = read_compared(folder.compare)["accuracy"]["fixed_top1"], right(network, o.images, reporter)
        write_json(folder.cost, both_costs(folder, printable(o.beside.name), o.config, o.memory, shares, reporter))


def _write_tail(folder: BuildFolder, name: str, reporter: Reporter) -> None:
    with reporter.stage(f"the end of {name}, which the host does"):
        tails.write(qdq.load(folder.quantized), folder.program)


def _write_system(board: Board, config: AcceleratorConfig, folder: BuildFolder, reporter: Reporter) -> None:
    with reporter.stage(f"system for {board.title}"):
        make_folder(folder.system)
        for path in _verilog_files(folder):
            write_atomic(folder.system / path.name, path.read_bytes())
        for name, content in simulated_files(board, config, folder.verilog).items():
            write_atomic(folder.system / name, content)


def _system_files(folder: BuildFolder) -> list[Path]:
    return [folder.system / name for name in SIMULATED]


def _verilog_files(folder: BuildFolder) -> list[Path]:
    return [folder.verilog / name for name in gateware.FILES]


def _say_moved(moved: Sequence[tuple[Path, Path]], reporter: Reporter) -> None:
    for path, aside in moved:
        reporter.warn(f"{path}: was not as a stage left it, and is kept as {aside.name}")


def _take(leg: Leg, subject: Subject, path: Path, reporter: Reporter) -> None:
    write_json(path, leg.take(subject, reporter).to_json())


def subject_of(folder: BuildFolder, memory: Memory) -> Subject:
    """What the proof of a build folder is about."""
    network, program = qdq.load(folder.quantized), programs.load(folder.program)
    tail, images = tails.load(program, folder.program), kept_images(folder, network)[0]
    return Subject(folder.quantized, network, program, images, memory, tail)


def report(root: Path, reporter: Reporter) -> Result:
    """report.json and report.html from what the other stages left in a build folder."""
    folder = BuildFolder(root)
    with folder.alone(reading=True):
        return _write_report(folder, reporter)


def _write_report(folder: BuildFolder, reporter: Reporter) -> Result:
    with reporter.stage("write the report"):
        value = report_of(folder)
        _say_moved(folder.claim("report", [folder.report, folder.page]), reporter)
        write_json(folder.report, value)
        write_atomic(folder.page, render(value).encode())
        folder.mark_good("report", None, [folder.report, folder.page])
    require_equal(value)
    return summary(value, folder)


def report_of(folder: BuildFolder) -> Result:
    """What report.json holds, from the artefacts of the other stages.  Raises BadInput where one is damaged."""
    for path in (folder.quantized, folder.program, folder.images):
        require_file(path)
    network, program = qdq.load(folder.quantized), programs.load(folder.program)
    images, shown = kept_images(folder, network)
    taken = read_legs(folder, program)
    costs = read_costs(folder.cost) if folder.began("beside") else None
    pictures = by_input(network.inputs, shown)[network.inputs[0]]
    return build_report(network, program, read_compared(folder.compare), taken, len(images), pictures, costs)
