"""Which tests see a source, the nearest first."""

from __future__ import annotations

import ast
from collections import deque
from pathlib import Path

ROOMS = ("quant", "hw", "sim", "host", "tests", "benchmarks")
BENCH = 2
"""Steps of distance that a test on Verilator counts for: what runs in Python alone comes first."""
BUILDS = {"tests/hw/gateware/helpers/build.py", "sim/bench/engine_bench.py", "sim/bench/runner.py"}
"""Who imports one of these builds a simulator."""


def imports(root: Path) -> dict[str, set[str]]:
    """The files that each file of the rooms imports, by their paths from the root."""
    files = {str(path.relative_to(root)) for room in ROOMS for path in sorted((root / room).rglob("*.py"))}

    def of(module: str) -> str | None:
        stem = module.replace(".", "/")
        return next((name for name in (f"{stem}.py", f"{stem}/__init__.py") if name in files), None)

    graph: dict[str, set[str]] = {}
    for file in files:
        named: list[str] = []
        for node in ast.walk(ast.parse((root / file).read_text())):
            if isinstance(node, ast.Import):
                named += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                named += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        graph[file] = {found for name in named if (found := of(name)) is not None}
    return graph


def mirrored(file: str) -> str:
    """Where the test of a source is, as tests/test_architecture.py has it."""
    path = Path(file)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return str(Path("tests") / path.parent / f"test_{name}.py")


def levels(graph: dict[str, set[str]], file: str) -> list[list[str]]:
    """Test files that import a source, however indirectly: its own, then those one step away, and so on."""
    readers: dict[str, set[str]] = {}
    for reader, read in graph.items():
        for one in read:
            readers.setdefault(one, set()).add(reader)
    distance, queue = {file: 0}, deque([file])
    while queue:
        at = queue.popleft()
        for reader in sorted(readers.get(at, ())):
            if reader not in distance:
                distance[reader] = distance[at] + 1
                queue.append(reader)
    found: dict[int, list[str]] = {}
    for test in sorted({mirrored(file), *distance}):
        path = Path(test)
        if test in graph and path.name.startswith("test_") and path.parts[1] not in ("mutants", "fuzz"):
            steps = distance.get(test, 1) + (BENCH if graph[test] & BUILDS else 0)
            found.setdefault(0 if test == mirrored(file) else steps, []).append(test)
    home = ("tests", *Path(file).parts)

    def near(test: str) -> int:
        return -sum(one == other for one, other in zip(home, Path(test).parts, strict=False))

    return [sorted(found[steps], key=near) for steps in sorted(found)]
