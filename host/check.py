"""`report --check`: make again all that can be made from a build folder, and hold it against what lies there.

The legs of the proof are taken again, one against the other; program, Verilog, header, report and page are made again
and compared byte by byte.  What needs files that the folder has not is held against the digests that `run` recorded,
and the result says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host import chain
from host.artefacts import STAGES, BuildFolder, Record, file_digest, json_bytes, read_json, source_digest
from host.beside import both_costs, right
from host.boards import SIMULATED, simulated_files
from host.comparison import CompareOptions, answers_alone, compare_files
from host.compiler import KEPT, KeepLayers
from host.difference import first_difference
from host.form import Maybe, require
from host.images import images_to_keep, kept_images
from host.legs import LEGS, Leg, OnBoard, ProgramBytes, Subject, Verilog, legs
from host.pipeline import GIVEN, MADE_BY, report_of, subject_of
from host.report.page import render
from host.report.sources import read_compared, read_costs, read_leg
from host.terminal import Reporter
from host.timed import compile_timed
from hw import verilog
from hw.board import catalogue, system
from hw.contract import board as contract
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from quant import onnx_import, qdq
from quant.base.errors import BadInput, VerificationError
from quant.ir.network import Network
from quant.rewrite.raw_pixels import like
from quant.run.evaluation import accuracy, answers
from sim import hazards
from sim.bench.toolchain import ToolchainError

Result = dict[str, Any]
STAGES_OF_FILES = ("quantize", "compare", "compile", "verilog", "images", "report")
"""The stages that every run has beside the legs."""
MOST_NAMED = 8
"""Files that are not of the run, named one by one."""


def check(root: Path, reporter: Reporter, build_dir: Path | None = None, evaluation: Path | None = None) -> Result:
    """Check a build folder.

    build_dir: as `sim.bench.toolchain.build_root`.  evaluation: the images that the run compared on, with which the
    comparison with float is made again, too.
    Returns what was taken again and what was not.  Raises VerificationError at the first break: of the chain, naming
    layer, channel, row, column, expected and got; of the program's tokens, naming two instructions; of a file, naming
    the first difference.  Raises BadInput for what is no folder of a run, or other images than the run's.
    """
    folder = BuildFolder(root)
    if not folder.report.exists() and not (root / STAGES).is_dir():
        raise BadInput(f"{folder.report}: No such file; not a folder that `run` made")
    with folder.alone(reading=True):
        checked = _Check(folder, reporter)
        try:
            return checked.run(build_dir, evaluation)
        except ToolchainError:
            raise
        except (VerificationError, BadInput) as error:
            raise checked.explained(error) from error


@dataclass
class _Check:
    """One check: what the folder's records say, what was taken again so far, and what was not."""

    folder: BuildFolder
    reporter: Reporter
    records: dict[str, Record | None] = field(init=False)
    changed: list[Path] = field(init=False)
    """Files that are not as their stages left them."""
    again: list[Result] = field(default_factory=list)
    left: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = (*self.stages, *(leg.name for leg in LEGS))
        self.records = {name: self.folder.record(name) for name in names}
        self.changed = [path for record in self.records.values() if record for path in self.folder.changed(record)]

    @property
    def stages(self) -> list[str]:
        """The stages of the run beside the legs."""
        return [*STAGES_OF_FILES, *(stage for stage in ("beside", "tail", "system") if self.folder.began(stage))]

    def explained(self, error: Exception) -> Exception:
        """The error, with what the records know of its reason.  A file that cannot be read any more is a break."""
        reasons = []
        if self.changed:
            reasons.append(f"changed since `run`: {', '.join(self._name(path) for path in self.changed)}")
        if any(record and record.source != source_digest() for record in self.records.values()):
            reasons.append("made by another version of shiftpoint: make it again with `run`")
        if not reasons or (isinstance(error, BadInput) and not self.changed):
            return error
        return VerificationError(f"{error} ({'; '.join(reasons)})")

    def run(self, build_dir: Path | None, evaluation: Path | None) -> Result:
        """All of it."""
        folder = self.folder
        taking = self._legs(build_dir)
        for leg in taking:
            leg.require()
        self._complete(taking)
        memory = read_leg(folder.leg(ProgramBytes.name), ProgramBytes.name)["memory"]
        subject = subject_of(folder, Memory(**memory))
        with self.reporter.stage("tokens of the program"):
            hazards.check(subject.program)
        if "system" in self.stages:
            self._system(subject.program.config)
        cycles = self._take(taking, subject)
        network, program = subject.network, subject.program
        with self.reporter.stage("compile again"):
            kept = KeepLayers.NONE if program.metadata.get(KEPT) == KeepLayers.NONE else KeepLayers.ALL
            again = compile_timed(network, program.config, memory=subject.memory, keep_layers=kept, batch=program.batch)
            self._equal(folder.program, again.to_bytes(), "compiled again")
        if network.tail is not None:
            self._equal(folder.tail, network.tail.content, f"cut off {folder.quantized.name} again")
        with self.reporter.stage("write the Verilog again"):
            for name, text in verilog.contents(program.config).items():
                self._equal(folder.verilog / name, text.encode(), "written again")
        given = isinstance(made_from := self._record("quantize").made_from, dict) and GIVEN in made_from
        self._leave(
            f"{folder.quantized.name} from the {'file that was given' if given else 'float network'}",
            f"held against its digest alone: {'that file is' if given else 'the calibration images are'} not in the "
            f"folder; `run` {'reads it' if given else 'quantizes'} again",
        )
        self._compared(network, evaluation)
        if "beside" in self.stages:
            self._beside(subject, evaluation)
        with self.reporter.stage("write the report again"):
            value = report_of(folder)
            self._equal(folder.report, json_bytes(value), "made again")
            self._equal(folder.page, render(value).encode(), "drawn again")
        self._unchanged(self.changed)
        counts = {"layers": len(subject.order), "images": len(subject.images)}
        facts = {**counts, "legs": ", ".join(leg.name for leg in taking), "breaks": 0, "cycles": cycles}
        return {"check": facts, "taken again": self.again, "not taken again": self.left}

    def _legs(self, build_dir: Path | None) -> list[Leg]:
        """The legs that were taken: report, folder and records must say the same."""
        folder, every = self.folder, legs(build_dir, self.folder.system)
        names = [leg.name for leg in every]
        reported = _reported_legs(folder.report)
        there = [name for name in names if folder.leg(name).exists()]
        kept = [name for name in names if self.records[name] is not None]
        if not reported == there == kept:
            said = [", ".join(found) or "none" for found in (reported, there, kept)]
            raise VerificationError(
                f"{folder.report}: proof.legs names {said[0]}; files in {folder.legs.name}/ have {said[1]}, "
                f"records in {STAGES}/ {said[2]}"
            )
        for leg in every:
            if leg.name not in (*there, Verilog.name, OnBoard.name):
                raise VerificationError(f"{folder.leg(leg.name)}: missing")
            if leg.name not in (*there, OnBoard.name):
                self._leave(f"{leg.title}, the Verilog simulated", "`run` did not take it: --rtl-images")
        return [leg for leg in every if leg.name in there]

    def _complete(self, taking: Sequence[Leg]) -> None:
        """Nothing of the run is missing; what does not belong to it is said."""
        stages = (*self.stages, *(leg.name for leg in taking))
        ours = {self.folder.root / name for stage in stages for name in self._record(stage).outputs}
        for path in sorted(ours):
            if not path.is_file():
                raise VerificationError(f"{path}: {'not a file' if path.exists() else 'missing'}")
        within = {self.folder.root, *(path.parent for path in ours)}
        foreign = sorted(
            path
            for folder in within
            for path in folder.iterdir()
            if path not in ours | within and path != self.folder.root / STAGES
        )
        for path in foreign[:MOST_NAMED]:
            self._leave(self._name(path), "not of this run")
        if len(foreign) > MOST_NAMED:
            self._leave(f"{len(foreign) - MOST_NAMED} more files", "not of this run")

    def _take(self, taking: Sequence[Leg], subject: Subject) -> int:
        """Take the legs, one against the other and each against its record; the cycles that all exact ones count."""
        cycles: dict[str, int] = {}
        taken: dict[str, chain.Taken] = {}
        before: str | None = None
        for leg in taking:
            taken[leg.name] = leg.take(subject, self.reporter)
            if before is not None:
                one, other = taken[before].tensors, taken[leg.name].tensors
                found = chain.first_break(subject.order, one, other, before, leg.name)
                if found is not None:
                    raise VerificationError(f"chain broken at {found}")
                returned = taken[before].returned_digests
                for output, digest in taken[leg.name].returned_digests.items():
                    if returned.get(output) != digest:
                        text = f"{before} and {leg.name} differ"
                        raise VerificationError(f"chain broken at output {output}, which the host makes: {text}")
            if leg.exact and "cycles" in taken[leg.name].facts:
                cycles[leg.name] = taken[leg.name].facts["cycles"]
            before = leg.name
        if len(set(cycles.values())) != 1:
            raise VerificationError("cycles differ: " + ", ".join(f"{who} {count}" for who, count in cycles.items()))
        for leg in taking:
            path, value = self.folder.leg(leg.name), taken[leg.name].to_json()
            recorded = read_leg(path, leg.name)
            if "simulator" in value and value["simulator"] != recorded["simulator"]:
                self._leave(f"{leg.title} by {recorded['simulator']}", f"here is {value['simulator']}")
                value["simulator"] = recorded["simulator"]
            self._equal(path, json_bytes(value), "taken again")
        return next(iter(cycles.values()))

    def _system(self, config: AcceleratorConfig) -> None:
        """The system of the board, before it is built; other versions of LiteX may write another one."""
        folder, record = self.folder, self.folder.root / STAGES / "system.json"
        made_from = self._record("system").made_from
        require(made_from, {MADE_BY: str}, record, "made_from")
        with self.reporter.stage("write the system's engine again"):
            for name, text in verilog.contents(config).items():
                self._equal(folder.system / name, text.encode(), "written again")
        if made_from[MADE_BY] != system.made_by():
            self._unchanged([folder.system / name for name in SIMULATED])
            why = f"here are {system.made_by()}; held against its digest alone"
            self._leave(f"{folder.system.name}/ by {made_from[MADE_BY]}", why)
            return
        with self.reporter.stage("write the system again"):
            board = catalogue.board(contract.load(folder.system / contract.FILE).board)
            for name, content in simulated_files(board, config, folder.system).items():
                self._equal(folder.system / name, content, "written again")

    def _compared(self, network: Network, evaluation: Path | None) -> None:
        """The comparison with float: whole with its images, else the answers to those that are kept.

        Raises BadInput for other images than those that the run compared on.
        """
        folder, made_from = self.folder, _CompareRecord.of(self.folder, self._record("compare"))
        if evaluation is not None:
            if not evaluation.is_file():
                raise BadInput(f"{evaluation}: no such file")
            if file_digest(evaluation) != made_from.digest:
                raise BadInput(f"{evaluation}: not the images that `run` compared on, {made_from.images}")
            if made_from.network is None:
                compared = answers_alone(folder.quantized, evaluation, self.reporter)
            else:
                options = CompareOptions(
                    network=made_from.network,
                    quantized=folder.quantized,
                    images=evaluation,
                    input_shape=made_from.input_shape,
                )
                compared = compare_files(options, self.reporter).to_json()
            self._equal(folder.compare, json_bytes(compared), "made again")
            count = len(kept_images(folder, network)[0])
            self._equal(folder.images, images_to_keep(network, evaluation, count), "made again")
            return
        with self.reporter.stage("answers to the images that are kept"):
            _, shown = kept_images(folder, network)
            made: dict[str, list[int] | None]
            if made_from.network is None:
                made = {"float": None, "fixed": answers(network, shown).tolist()}
            else:
                graph = like(onnx_import.load(made_from.network, made_from.input_shape), network.metadata)
                found = accuracy(network, graph, shown)
                made = {"float": list(found.float_answers), "fixed": list(found.fixed_answers)}
        recorded = read_compared(folder.compare)["answers"]
        difference = first_difference(json_bytes(recorded), json_bytes(made))
        if difference is not None:
            raise VerificationError(f"{folder.compare}: answers.{difference}")
        who = " and ".join(name for name, given in made.items() if given)
        self._say(folder.compare, f"{who} answers to {len(shown)} images, equal")
        self._leave(
            f"{folder.compare.name}: accuracy" + (", errors of layers" if made_from.network is not None else ""),
            f"held against its digest alone: {made_from.images} is not in the folder; give it as --evaluation",
        )

    def _beside(self, subject: Subject, evaluation: Path | None) -> None:
        """What the network and the one beside it cost; the latter's accuracy with the run's images alone."""
        folder, recorded = self.folder, read_costs(self.folder.cost)
        with self.reporter.stage("cost of both networks"):
            share = recorded["beside"]["top1"]
            if evaluation is not None:
                share = right(qdq.load(folder.beside), evaluation, self.reporter)
            shares = read_compared(folder.compare)["accuracy"]["fixed_top1"], share
            config, memory = subject.program.config, subject.memory
            made = both_costs(folder, recorded["name"], config, memory, shares, self.reporter)
            self._equal(folder.cost, json_bytes(made), "counted again")
        self._leave(
            f"{folder.beside.name} from the file that was given", "held against its digest alone: not in the folder"
        )
        if evaluation is None and share is not None:
            self._leave(
                f"{folder.cost.name}: top-1 of {recorded['name']}", "held against its digest alone: --evaluation"
            )

    def _unchanged(self, paths: Sequence[Path]) -> None:
        """Raise VerificationError where one of these is not as its stage left it."""
        for path in paths:
            if path in self.changed:
                raise VerificationError(f"{path}: its digest is not the one that `run` recorded")

    def _equal(self, path: Path, made: bytes, how: str) -> None:
        """Hold a file against what it must be, byte by byte."""
        difference = first_difference(path.read_bytes(), made)
        if difference is not None:
            raise VerificationError(f"{path}: {difference}")
        self._say(path, f"{how}, equal in {len(made):,} bytes")

    def _say(self, path: Path, how: str) -> None:
        self.again.append({"what": self._name(path), "how": how})

    def _leave(self, what: str, why: str) -> None:
        self.left.append({"what": what, "why": why})

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.folder.root))

    def _record(self, stage: str) -> Record:
        """The record of a stage.  Raises VerificationError where it did not end."""
        record = self.records[stage]
        if record is None:
            raise VerificationError(f"{self.folder.root / STAGES / stage}.json: missing, or not of a stage that ended")
        return record


@dataclass(frozen=True)
class _CompareRecord:
    """What the comparison of a run was made from.  images, digest: name and SHA-256 of its images.

    network: the float one; None where the run had none.
    """

    network: Path | None
    input_shape: tuple[int, ...] | None
    images: str
    digest: str

    @staticmethod
    def of(folder: BuildFolder, record: Record) -> _CompareRecord:
        """Raises BadInput for a damaged record."""
        made_from = record.made_from
        form = {"network": Maybe([str]), "images": [str], "input_shape": Maybe([int])}
        require(made_from, form, folder.root / STAGES / "compare.json", "made_from")
        shape = made_from["input_shape"]
        network, (images, digest) = made_from["network"], made_from["images"]
        return _CompareRecord(network and folder.float / network[0], shape and tuple(shape), images, digest)


def _reported_legs(path: Path) -> list[str]:
    """The legs that report.json names."""
    value = read_json(path)
    require(value, {"proof": {"legs": [str]}}, path)
    return list(value["proof"]["legs"])
