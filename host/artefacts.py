"""The build folder: what each stage leaves on disk, and which stages are still good.

A stage is good when the record beside its outputs names the same key (inputs, options, source of this
package) and the outputs still have the digests recorded.  That record is written last; before the work stands one
that only claims the outputs, so that an interrupted stage is not good, and what it left is known to be of a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from host.lock import alone
from quant.base.errors import BadInput
from quant.base.files import PREFIX, write_atomic

_ROOMS = ("hw", "quant", "sim", "host")
STAGES = ".stages"
"""Folder in a build folder, with the stages' records; while a command is at work, its lock."""


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file, or of every file of a folder with its relative name.

    Raises BadInput for what is neither: a FIFO would be waited for.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise BadInput(f"{path}: a device, FIFO or socket, no file")
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()


@cache
def source_digest() -> str:
    """SHA-256 of this package's own source: a stage made by other code is not good any more."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".py", ".sv", ".cpp", ".j2"):
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def json_bytes(value: Any) -> bytes:
    """JSON as files of this project hold it."""
    return (json.dumps(value, indent=1) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_atomic(path, json_bytes(value))


def read_json(path: Path) -> Any:
    """Read JSON.  Raises BadInput when the file is missing, no regular file, or no JSON."""
    require_file(path)
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: truncated or not JSON") from None


def require_file(path: Path) -> None:
    """Raise BadInput for what is there and is no regular file: a FIFO would be waited for without end."""
    if path.exists() and not path.is_file():
        raise BadInput(f"{path}: not a file")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around the taking apart of what a file holds: entries that lack or are of another type raise BadInput."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: damaged; make it again with `run`") from error


def make_folder(path: Path) -> Path:
    """Make a folder that can be written to.  Raises BadInput."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".try."):
            pass
    except OSError as error:
        raise BadInput(f"cannot write to {path}: {error.strerror}") from None
    return path


def _unused(path: Path) -> Path:
    """A name beside a path that nothing has."""
    names = (path.with_name(f"{path.name}.old-{number}") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


@dataclass(frozen=True)
class Record:
    """What is kept of a stage that ended.

    made_from: as `BuildFolder.mark_good`.  source: of this package, as `source_digest`.  warnings: what it warned of.
    outputs: digests of what it left, by name in the build folder.
    """

    made_from: Any
    source: str
    warnings: list[str]
    outputs: dict[str, str]


class BuildFolder:
    """The artefacts of one network, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.float = root / "float"
        """Folder of a copy of the float network, under its own name."""
        self.quantized = root / "quantized.onnx"
        self.images = root / "images.npz"
        """`images`: those simulated, float32 as the network takes them; `shown`: those that the report shows."""
        self.compare = root / "compare.json"
        self.beside = root / "beside.onnx"
        """Another quantized network, beside which this one is shown."""
        self.cost = root / "cost.json"
        """What both cost."""
        self.program = root / "network.program"
        self.tail = root / "network.tail.onnx"
        """What the host does behind the program; only of networks that end there."""
        self.verilog = root / "verilog"
        self.system = root / "board"
        """A system for a board, as `board build --simulate` leaves it; only of runs with `--board`."""
        self.legs = root / "legs"
        self.report = root / "report.json"
        self.page = root / "report.html"

    @contextmanager
    def alone(self, reading: bool = False) -> Iterator[None]:
        """Hold the folder against other commands, as `host.lock.alone`; what a killed one was writing is removed."""
        with alone(self.root, STAGES, reading):
            if not reading:
                for folder in (self.root, self.root / STAGES, self.float, self.verilog, self.system, self.legs):
                    for path in folder.glob(f"{PREFIX}????????"):
                        if path.is_file():
                            path.unlink()
            yield

    def leg(self, name: str) -> Path:
        """What a leg of the proof gave."""
        return self.legs / f"{name}.json"

    def _record(self, stage: str) -> Path:
        return self.root / STAGES / f"{stage}.json"

    def require_free(self, outputs: Iterable[Path]) -> None:
        """Raise BadInput where a folder that no run made holds something where a run would write."""
        for path in outputs:
            inside = path.relative_to(self.root).parents
            above = [self.root / part for part in inside if os.path.lexists(self.root / part)]
            for folder in above:
                if not folder.is_dir():
                    raise BadInput(f"{folder}: is no folder, and is not replaced by one; name another --out")
            if os.path.lexists(path) and not (self.root / STAGES).is_dir():
                raise BadInput(f"{path}: is not of a run, and is not overwritten; move it away, or name another --out")

    def claim(self, stage: str, outputs: Sequence[Path]) -> list[tuple[Path, Path]]:
        """Record that a stage is about to write `outputs`.

        What lies in their places and is not as a stage left it is set aside under another name: gives old and new.
        """
        recorded = self._recorded()
        strange = [path for path in outputs if os.path.lexists(path) and not self._is_ours(path, recorded)]
        moved = [(path, path.rename(_unused(path))) for path in strange]
        make_folder(self._record(stage).parent)
        write_json(
            self._record(stage), {"key": None, "outputs": {str(p.relative_to(self.root)): None for p in outputs}}
        )
        return moved

    def began(self, stage: str) -> bool:
        """Whether a stage was taken, to its end or not, and not dropped since."""
        return self._record(stage).exists()

    def drop(self, stage: str, outputs: Sequence[Path]) -> list[tuple[Path, Path]]:
        """Remove what a stage left that was not asked for this time, and a folder that is empty then.  As `claim`."""
        moved = self.claim(stage, outputs)
        for output in outputs:
            output.unlink(missing_ok=True)
        for folder in {output.parent for output in outputs} - {self.root}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        self._record(stage).unlink()
        return moved

    def _recorded(self) -> dict[str, list[str | None]]:
        """By name the digests that records state: None of what a stage that did not end may have written."""
        found: dict[str, list[str | None]] = {}
        for record in sorted((self.root / STAGES).glob("*.json")):
            try:
                with reading(record):
                    for name, digest in read_json(record)["outputs"].items():
                        found.setdefault(name, []).append(digest)
            except BadInput:
                continue  # a record that cannot be read is none
        return found

    def _is_ours(self, path: Path, recorded: dict[str, list[str | None]]) -> bool:
        """Whether a file is as a record states it, by its own name or with a folder that it lies in."""
        inside = path.relative_to(self.root)
        try:
            return any(
                digest is None or ((self.root / part).exists() and file_digest(self.root / part) == digest)
                for part in (inside, *inside.parents)
                for digest in recorded.get(str(part), [])
            )
        except BadInput:
            return False

    def record(self, stage: str) -> Record | None:
        """The record of a stage; None where it did not end, or where that cannot be read."""
        path = self._record(stage)
        try:
            with reading(path):
                held = read_json(path)
                outputs = {str(name): str(digest) for name, digest in held["outputs"].items()}
                complete = held["key"] == self._key(held["made_from"], held["source"])
                warnings = [str(line) for line in held["warnings"]]
                return Record(held["made_from"], held["source"], warnings, outputs) if complete else None
        except (BadInput, OSError):
            return None

    def changed(self, record: Record) -> list[Path]:
        """The outputs of a stage that are missing or not as it left them."""
        paths = {self.root / name: digest for name, digest in record.outputs.items()}
        return [path for path, digest in paths.items() if not _has_digest(path, digest)]

    def kept(self, stage: str, made_from: Any) -> Record | None:
        """The record of a stage whose outputs are there, whole, and were made from `made_from` by this source."""
        record = self.record(stage)
        if record is None or [record.made_from, record.source] != [_as_json(made_from), source_digest()]:
            return None
        return None if self.changed(record) else record

    def mark_good(self, stage: str, made_from: Any, outputs: list[Path], warnings: Sequence[str] = ()) -> None:
        """Record that a stage is done.  made_from: a JSON value of all that its outputs depend on but this package."""
        make_folder(self._record(stage).parent)
        source = source_digest()
        record = {
            "key": self._key(made_from, source),
            "made_from": made_from,
            "source": source,
            "warnings": list(warnings),
            "outputs": {str(path.relative_to(self.root)): file_digest(path) for path in outputs},
        }
        write_json(self._record(stage), record)

    @staticmethod
    def _key(made_from: Any, source: str) -> str:
        text = json.dumps([made_from, source], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _has_digest(path: Path, digest: str) -> bool:
    try:
        return path.exists() and file_digest(path) == digest
    except (BadInput, OSError):
        return False  # what cannot be read is not what was written


def _as_json(value: Any) -> Any:
    """A JSON value as it is read again."""
    return json.loads(json.dumps(value))
