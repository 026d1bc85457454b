"""`report --check`: take every leg of the proof again, and hold it against the others and the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host import chain
from host.artefacts import BuildFolder, read_json, reading
from host.legs import legs
from host.pipeline import subject_of
from host.terminal import Reporter
from quant.base.errors import VerificationError
from sim import hazards
from sim.memory import Memory

Result = dict[str, Any]


def check(root: Path, reporter: Reporter, build_dir: Path | None = None) -> Result:
    """Take the whole proof of a build folder again.  build_dir: as `sim.bench.toolchain.build_root`.

    Raises VerificationError at the first break: of the chain, naming layer, channel, row, column, expected and
    got; of the program's tokens, naming two instructions; of the report's digests; of the cycles.
    """
    folder = BuildFolder(root)
    with folder.alone(reading=True):
        return _check(folder, reporter, build_dir)


def _check(folder: BuildFolder, reporter: Reporter, build_dir: Path | None) -> Result:
    recorded = _Recorded.read(folder.report)
    again = [leg for leg in legs(build_dir) if leg.name in recorded.legs]
    for leg in again:
        leg.require()
    subject = subject_of(folder, recorded.memory)
    with reporter.stage("tokens of the program"):
        hazards.check(subject.program)
    cycles: dict[str, int] = {"report": recorded.cycles}
    before: tuple[str, chain.Tensors] | None = None
    for leg in again:
        taken = leg.take(subject, reporter)
        if before is not None:
            found = chain.first_break(subject.order, before[1], taken.tensors, before[0], leg.name)
            if found is not None:
                raise VerificationError(f"chain broken at {found}")
        _against_report(recorded, leg.name, taken)
        if "cycles" in taken.facts:
            cycles[leg.name] = taken.facts["cycles"]
        before = leg.name, taken.tensors
    if len(set(cycles.values())) != 1:
        raise VerificationError("cycles differ: " + ", ".join(f"{who} {count}" for who, count in cycles.items()))
    counts = {"layers": len(subject.order), "images": len(subject.images)}
    return {"check": {**counts, "legs": ", ".join(leg.name for leg in again), "breaks": 0, **cycles}}


@dataclass(frozen=True)
class _Recorded:
    """What a report claims, as far as it is held against the legs."""

    legs: list[str]
    memory: Memory
    cycles: int
    layers: list[tuple[str, str, dict[str, str | None]]]
    """Of each layer its name, the name of its output and the digests of that by leg."""

    @classmethod
    def read(cls, path: Path) -> _Recorded:
        """Raises BadInput where the file lacks any of it."""
        value = read_json(path)
        with reading(path):
            return cls(
                legs=list(value["proof"]["legs"]),
                memory=Memory(**value["memory"]),
                cycles=int(value["totals"]["cycles"]),
                layers=[(layer["name"], layer["output_tensor"], dict(layer["digest"])) for layer in value["layers"]],
            )


def _against_report(recorded: _Recorded, leg: str, taken: chain.Taken) -> None:
    for name, tensor, digests in recorded.layers:
        found = taken.digests.get(tensor)
        if found is not None and digests.get(leg) != found:
            raise VerificationError(
                f"chain broken at layer {name} (tensor {tensor}): the report holds "
                f"{str(digests.get(leg))[:12]} for {leg}, recomputed is {found[:12]}"
            )
