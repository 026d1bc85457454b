"""The build folder: what each stage leaves on disk, and which stages are still good.

A stage is good when the record beside its outputs names the same key (inputs, options, source of this
package) and the outputs still have the digests recorded.  The record is written last, so an interrupted
stage leaves none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from quant.base.errors import BadInput
from quant.base.files import write_atomic

_ROOMS = ("hw", "quant", "sim", "host")


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file, or of every file of a folder with its relative name."""
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


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_atomic(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON.  Raises BadInput when the file is missing or no JSON."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"{path}: truncated or not JSON") from None


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


@contextmanager
def folder_in_one_piece(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `path` at the end, and vanishes on an error.

    The old folder is moved aside before and deleted after, so that a kill at any moment leaves one of them whole.
    Raises BadInput where `path` is something else than a folder.
    """
    if path.exists() and not path.is_dir():
        raise BadInput(f"{path}: is no folder, and is not replaced by one")
    path = path.resolve()  # behind a link, the folder that it names is replaced
    make_folder(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            os.replace(path, old)
            try:
                os.replace(temporary, path)
            except OSError:
                os.replace(old, path)
                raise
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class BuildFolder:
    """The artefacts of one network, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.float = root / "float"
        """Folder of a copy of the float network, under its own name."""
        self.quantized = root / "quantized.onnx"
        self.images = root / "images.npz"
        """The images that are simulated: `images` float32 as the network takes them, maybe `labels`."""
        self.compare = root / "compare.json"
        self.program = root / "network.program"
        self.verilog = root / "verilog"
        self.legs = root / "legs"
        self.report = root / "report.json"
        self.page = root / "report.html"

    def leg(self, name: str) -> Path:
        """What a leg of the proof gave."""
        return self.legs / f"{name}.json"

    def _record(self, stage: str) -> Path:
        return self.root / ".stages" / f"{stage}.json"

    def is_good(self, stage: str, key: Any) -> bool:
        """Whether a stage's outputs are there, whole, and were made from `key`, a JSON value."""
        try:
            with reading(self._record(stage)):
                record = read_json(self._record(stage))
                return record["key"] == self._key(key) and all(
                    (self.root / name).exists() and file_digest(self.root / name) == digest
                    for name, digest in record["outputs"].items()
                )
        except (BadInput, OSError):
            return False  # a record that cannot be read is none: the stage is done again

    def mark_good(self, stage: str, key: Any, outputs: list[Path]) -> None:
        """Record that a stage is done."""
        make_folder(self._record(stage).parent)
        digests = {str(path.relative_to(self.root)): file_digest(path) for path in outputs}
        write_json(self._record(stage), {"key": self._key(key), "outputs": digests})

    @staticmethod
    def _key(key: Any) -> str:
        text = json.dumps([key, source_digest()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
