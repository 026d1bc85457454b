"""The driver in Python as a distribution of its own, `shiftpoint_driver`: NumPy and the standard library are enough.

It is made of the modules that the driver imports, as they are but for the names by which they import one another, so
nothing is written twice, and nothing else gets in: what they import is asked of their text.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.util
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions, version
from pathlib import Path

from hw.contract.version import CONTRACT_VERSION
from quant.base.errors import VerificationError

PACKAGE = "shiftpoint_driver"
"""What is imported."""
OFFERED = {
    "host.driver": ("Driver", "EngineError"),
    "host.drivers.vectors": ("check", "from_bytes"),
    "host.feed": ("integers",),
    "host.mapped": ("MappedTransport", "of_pynq", "open_uio"),
    "host.transport": ("NoEnd", "Transport", "run_sync"),
    "host.uart": ("UartTransport", "open_uart"),
    "hw.contract.program": ("Program", "load"),
    "quant.base.errors": ("BadInput", "ShiftpointError", "VerificationError"),
}
"""The modules that it is for, and what of them the package itself hands on."""
_RENAMED = {"check": "check_vectors", "from_bytes": "read_vectors"}
"""What says little without its module."""
_ROOMS = ("host", "hw", "quant", "sim")
_WITHIN = (__package__ or "").removesuffix("host.drivers")
"""What stands before the rooms' names here: nothing in the repository, in an installed wheel the package (setup.py)."""
_NEEDS = {"numpy"}

METADATA = """\
Metadata-Version: 2.1
Name: shiftpoint-driver
Version: {version}
Summary: Runs shiftpoint programs on an engine: driver, preprocessing, transports; contract version {contract}
License: Apache-2.0
Requires-Python: >=3.10
Requires-Dist: numpy>=1.21
Provides-Extra: serial
Requires-Dist: pyserial>=3.5; extra == "serial"
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: shiftpoint
Root-Is-Purelib: true
Tag: py3-none-any
"""
_STAMP = (1980, 1, 1, 0, 0, 0)
"""Of all files in the wheel: the same sources give the same bytes."""


def sources() -> dict[str, Path]:
    """The modules of the distribution by name, with their files.

    Raises VerificationError where one imports what neither is of this project, nor NumPy, nor the standard library.
    """
    found: dict[str, Path] = {}
    waiting = [part for name in OFFERED for part in _with_packages(name)]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        for imported in (absolute.removeprefix(_WITHIN) for absolute in _imports(path)):
            top = imported.partition(".")[0]
            if top in _ROOMS:
                waiting += _with_packages(imported)
            elif top not in _NEEDS | sys.stdlib_module_names:
                raise VerificationError(f"{name} imports {top}, which the driver's distribution must do without")
    return dict(sorted(found.items()))


def _with_packages(name: str) -> list[str]:
    """A name, and those of the packages around it."""
    parts = name.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def _file(name: str) -> Path | None:
    """The file of a module; None for what is none, such as a class in one."""
    parent, _, _ = name.rpartition(".")
    if parent and ((above := _file(parent)) is None or above.name != "__init__.py"):
        return None
    spec = importlib.util.find_spec(_WITHIN + name)
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _imports(path: Path) -> Iterator[str]:
    """What a module imports, but for types alone: modules, and names in them, which may be modules."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


_IMPORT = re.compile(rf"^(\s*(?:from|import) ){re.escape(_WITHIN)}((?:{'|'.join(_ROOMS)})(?:\.| import))", re.MULTILINE)


def wheel_name() -> str:
    """The name of the file, which pip reads."""
    return f"{PACKAGE}-{version('shiftpoint')}-py3-none-any.whl"


def wheel() -> bytes:
    """The distribution as pip installs it, without a network and without building anything.

    Raises VerificationError as `sources`, and where shiftpoint itself was installed without its licence.
    """
    # In a checkout an older form of what is installed lies in the way, which has none.
    licence = next(filter(None, (one.read_text("licenses/LICENSE") for one in distributions(name="shiftpoint"))), None)
    if licence is None:
        raise VerificationError("the installed shiftpoint has no licence to hand on; install it again: make setup")
    info = f"{PACKAGE}-{version('shiftpoint')}.dist-info"
    texts = {f"{PACKAGE}/{place}": text for place, text in _package().items()}
    texts[f"{info}/METADATA"] = METADATA.format(version=version("shiftpoint"), contract=CONTRACT_VERSION)
    texts[f"{info}/WHEEL"] = WHEEL
    texts[f"{info}/licenses/LICENSE"] = licence
    record = [f"{place},sha256={_digest(text.encode())},{len(text.encode())}" for place, text in texts.items()]
    texts[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, text in texts.items():
            archive.writestr(zipfile.ZipInfo(place, _STAMP), text.encode(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    """SHA-256 as a wheel's RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _package() -> dict[str, str]:
    """The files of the package by path; what the modules import of one another is found in the package."""
    found = {"__init__.py": _front()}
    for name, path in sources().items():
        place = name.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        found[place] = _IMPORT.sub(rf"\g<1>{PACKAGE}.\g<2>", path.read_text(encoding="utf-8"))
    return found


def _front() -> str:
    """The package's own module."""
    offered = sorted((_RENAMED.get(name, name), module, name) for module, names in OFFERED.items() for name in names)
    lines = ['"""Runs shiftpoint programs on an engine; what stands here is what there is to use."""', ""]
    lines += [
        f"from {PACKAGE}.{module} import {name}" + (f" as {shown}" if shown != name else "")
        for shown, module, name in offered
    ]
    return "\n".join([*lines, "", f"__all__ = {[shown for shown, _, _ in offered]}", ""])
