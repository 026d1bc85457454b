"""The wheel: the rooms of the repository in one package.

In the repository `quant`, `hw`, `sim` and `host` stand at the top, and import one another so.  Installed under these
names they would stand in everybody's site-packages, where others have the same.  So the wheel has them in the package
`shiftpoint`, whose own module is shiftpoint.py, and its imports name them there: `from quant.ir` is
`from shiftpoint.quant.ir`.  Nothing else is changed; an editable install is the repository as it is.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "shiftpoint"
ROOMS = ("quant", "hw", "sim", "host")


def renamed(source: str) -> str:
    """A module's source with its imports of rooms as they are in the package.

    Raises ValueError for `import room.module`, which would bind another name.
    """
    lines = source.splitlines(keepends=True)
    for row, column in sorted(_places(ast.parse(source)), reverse=True):
        line = lines[row].encode()  # columns are bytes
        lines[row] = (line[:column] + f"{PACKAGE}.".encode() + line[column:]).decode()
    return "".join(lines)


def _places(module: ast.Module) -> Iterator[tuple[int, int]]:
    """Where names of rooms begin in imports: index of the line, bytes before."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] in ROOMS:
                    raise ValueError(f"line {node.lineno}: write `from {name.name} import`, not `import {name.name}`")
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in ROOMS:
            yield node.lineno - 1, node.col_offset + len("from ")


class BuildPackage(build_py):
    """Moves the rooms that were built into the package."""

    def run(self) -> None:
        """Build, and but for an editable install move and rename."""
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / PACKAGE
        shutil.rmtree(package, ignore_errors=True)
        package.mkdir()
        (package.with_suffix(".py")).rename(package / "__init__.py")
        for room in ROOMS:
            (package.parent / room).rename(package / room)
        for path in package.rglob("*.py"):
            path.write_text(renamed(path.read_text()))


setup(cmdclass={"build_py": BuildPackage})
