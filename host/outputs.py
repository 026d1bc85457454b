"""What a command reads and writes, seen before its work: no input is lost, and what must fail fails at once.

An option that names a path says in its annotation what becomes of it, a `Use`; `host.options.command` has it checked.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path

from quant.base.errors import BadInput
from quant.base.files import destination
from quant.onnx_file.read import files_of_weights


class Use(Enum):
    """What a command does with a path."""

    READ = "reads it"
    FILE = "writes a file: whole or not at all, in place of one that is there"
    FOLDER = "writes files of its own into a folder"
    CACHE = "builds in it, and removes what it built"


def check(uses: Iterable[tuple[Use, Path]]) -> None:
    """Raise BadInput for an output that is an input, another output, or no regular file, or that cannot be written.

    Folders that are missing are made later, so it is their nearest one that must be there and take files.
    """
    paths: dict[Use, list[Path]] = {use: [] for use in Use}
    for use, path in uses:
        paths[use].append(path)
    for path in paths[Use.FILE]:
        target = destination(path)
        if target.exists() and not os.access(target, os.W_OK):
            raise BadInput(f"{path}: cannot be written: read-only")
        if path.is_symlink() and not target.parent.is_dir():
            raise BadInput(f"{path}: cannot be written: a link to {target}, the folder of which is missing")
        _require_writable(target.parent if path.is_symlink() else path.parent)
    for path in paths[Use.FOLDER]:
        if os.path.lexists(path) and not os.path.isdir(path):
            raise BadInput(f"{path}: is no folder, and is not replaced by one")
        _require_writable(path)
    apart(paths[Use.FILE], paths[Use.READ])
    apart(paths[Use.FILE], _weights(paths[Use.READ], [path for path in paths[Use.FILE] if os.path.exists(path)]))
    distinct([*paths[Use.FILE], *paths[Use.FOLDER]])
    for path in paths[Use.FILE]:
        for folder in paths[Use.FOLDER]:
            if Path(os.path.realpath(path)) in Path(os.path.realpath(folder)).parents:
                raise BadInput(f"{folder}: cannot be a folder in {path}, a file that is written, too")


def apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Raise BadInput for a file to be written that is one of those read, or that a standard stream of this command is,
    by whatever name: links are followed."""
    read = list(read)
    for path in written:
        if any(_same(path, other) for other in read):
            raise BadInput(f"{path}: is read by this command, and is not overwritten; name another output")
        if os.path.exists(path) and any(os.path.samestat(path.stat(), stream) for stream in _streams()):
            raise BadInput(f"{path}: is a standard stream of this command, and is not replaced; name another output")


def distinct(written: Sequence[Path]) -> None:
    """Raise BadInput where two outputs are one file."""
    for number, path in enumerate(written):
        if any(_same(path, other) for other in written[:number]):
            raise BadInput(f"{path}: stands for two outputs of this command; name another for one of them")


def _weights(read: Iterable[Path], present: Sequence[Path]) -> Iterator[Path]:
    """The files in which networks that are read keep weights, where an output that is there can be one of them.

    They lie below the network.
    """
    for network in read:
        folder = os.path.realpath(network.parent)
        if network.suffix == ".onnx" and any(Path(folder) in Path(os.path.realpath(p)).parents for p in present):
            with contextlib.suppress(BadInput):  # what is wrong with it is told by who reads it
                yield from files_of_weights(network)


def _same(one: Path, other: Path) -> bool:
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _streams() -> list[os.stat_result]:
    """Standard input, output and error, those that are files."""
    found = []
    for stream in range(3):
        try:
            status = os.fstat(stream)
        except OSError:  # closed
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(status)
    return found


def _require_writable(folder: Path) -> None:
    """Raise BadInput unless files can be made in a folder, or in the nearest one above it that exists."""
    nearest = Path(os.path.realpath(folder))
    while not os.path.exists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".try."):
            pass
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror}") from None
