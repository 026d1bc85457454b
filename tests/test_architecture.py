"""Every file of the source has its test and its place in docs/architecture.md; a kind of layer is one place."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import quant.kinds
from hw.contract import timing
from hw.gateware.accumulator import ACCUMULATOR_LATENCY
from hw.gateware.activation import READ_LATENCY
from hw.gateware.array import ARRAY_LATENCY
from hw.gateware.average import Average
from hw.gateware.requantize import REQUANTIZE_LATENCY
from quant.ir.layer import AnyLayer

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("quant", "hw", "sim", "host")
TEXT = (ROOT / "docs" / "architecture.md").read_text()
WHOLE = ("host/compiler/kinds", "quant/compare", "quant/kinds", "quant/search", "sim/cycles")
"""Folders that the document names as one: a kind, a step or a unit a file."""


def sources() -> list[Path]:
    """Every module with content, and what the bench compiles."""
    found = [
        path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in (".py", ".sv", ".cpp")
    ]
    return [path.relative_to(ROOT) for path in found if path.name != "__init__.py"]


UNTESTED = {
    "quant/ir/writing.py": "protocols; each writer's own test holds it to them",
    "quant/kinds/reading.py": "a protocol and a record; tests of quant/kinds/*.py read through them",
    "sim/bench/cocotb_engine.py": "runs inside the simulator, in test_engine_bench.py",
    "sim/bench/exported.py": "runs inside the simulator, in test_export.py",
}
"""Modules without a test at the mirrored path, and why."""


def computes(path: Path) -> bool:
    """Whether a module has anything of its own; what only hands on the names of others has not."""
    body = ast.parse(path.read_text()).body
    own = [node for node in body if not isinstance(node, ast.Expr | ast.Import | ast.ImportFrom)]
    return any(not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__") for node in own)


def mirrored(path: Path) -> Path:
    """Where a module's test is; a package's own has the package's name, in its folder."""
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return ROOT / "tests" / path.parent / f"test_{name}.py"


def test_every_file_has_its_test() -> None:
    modules = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    missing = [str(path) for path in modules if computes(ROOT / path) and not mirrored(path).exists()]
    assert missing == sorted(UNTESTED)


def test_every_file_is_named() -> None:
    missing = [
        str(path)
        for path in sources()
        if str(path) not in TEXT and f"`{path.name}`" not in TEXT and not str(path).startswith(WHOLE)
    ]
    assert not missing


def test_no_file_is_named_that_is_gone() -> None:
    named = set(re.findall(r"`((?:quant|hw|sim|host)/[\w/]+(?:\.\w+)?)/?`", TEXT))
    assert named and not [name for name in sorted(named) if not (ROOT / name).exists()]


def test_no_document_names_a_file_that_is_gone() -> None:
    roots = "|".join((*ROOMS, "tests", "benchmarks", "examples", "docs"))
    documents = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    named = {
        (path.name, name)
        for path in documents
        for name in re.findall(rf"(?<![\w/.])((?:{roots})/[\w/]+\.(?:py|sv|cpp|md|j2))\b", path.read_text())
    }
    assert len(named) > 20 and not [place for place in sorted(named) if not (ROOT / place[1]).exists()]


def anchors(path: Path) -> set[str]:
    """The names by which links reach the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(path for room in ("docs", "examples") for path in ROOT.glob(f"{room}/**/*.md"))]
    found = [(path, link) for path in documents for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text())]
    broken = []
    for path, link in found:
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        if ":" not in name and not (target.exists() and (not heading or heading in anchors(target))):
            broken.append((path.name, link))
    assert len(found) > 60 and not broken


def kinds() -> set[str]:
    """The names of all classes of layers, integer and float."""
    modules = [
        importlib.import_module(info.name) for info in pkgutil.walk_packages(quant.kinds.__path__, "quant.kinds.")
    ]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {found.__name__ for found in classes if issubclass(found, AnyLayer) and "kinds" in found.__module__}


def asks(path: Path, names: set[str]) -> list[str]:
    """The places of a module that ask whether something is of one of these classes, by whatever name it has them."""
    found, tree = [], ast.parse(path.read_text())
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    names = names | {alias.asname for alias in imported if alias.name in names and alias.asname is not None}
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            asked = node.args[1:]
        elif isinstance(node, ast.MatchClass):
            asked = [node.cls]
        elif isinstance(node, ast.Compare) and any(
            isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id == "type"
            for side in (node.left, *node.comparators)
        ):
            asked = [node.left, *node.comparators]
        met = {part.id for ask in asked for part in ast.walk(ask) if isinstance(part, ast.Name)} & names
        found += [f"{path.relative_to(ROOT)}:{node.lineno}: {', '.join(sorted(met))}"] if met else []
    return found


def test_no_one_asks_a_layer_which_kind_it_is() -> None:
    """A kind answers for itself: a new one must not have to be entered anywhere but in its modules."""
    names = kinds()
    assert {"Conv", "FloatConv", "Pool", "Add", "Concat", "Multiply"} <= names
    homes = [ROOT / "quant" / "kinds", ROOT / "host" / "compiler" / "kinds"]
    found = [
        place
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if not any(home in path.parents for home in homes)
        for place in asks(path, names)
    ]
    assert not found


LATENCIES = {
    "activation buffer": (READ_LATENCY,),
    "array": (ARRAY_LATENCY,),
    "accumulator": (ACCUMULATOR_LATENCY, timing.ACCUMULATE_LATENCY),
    "output stage": (REQUANTIZE_LATENCY,),
    "look-up": (timing.TABLE_LATENCY,),
    "compute": (timing.COMPUTE_LATENCY, timing.COMPUTE_LATENCY + timing.TABLE_LATENCY),
    "pool": (timing.POOL_LATENCY, timing.AVERAGE_LATENCY),
    "average": (Average.LATENCY,),
    "store": (timing.STORE_READ_LATENCY, timing.STORE_WRITE_LATENCY),
    "store walk": (timing.REQUEST_LATENCY, timing.STORE_REQUEST_INTERVAL),
    "fetch": (timing.DISPATCH_LATENCY,),
    "queue": (timing.QUEUE_LATENCY,),
}
"""Cycles that the table of blocks says of one, in their order, before anything else."""


def test_latencies_in_the_table_are_those_of_the_blocks() -> None:
    rows = re.findall(r"^\| ([\w -]+) \| `hw/gateware/\w+\.py` \|[^|]*\|([^|]*)\|$", TEXT, re.MULTILINE)
    told = {block: tuple(map(int, re.findall(r"\b\d+\b", cell))) for block, cell in rows}
    assert len(rows) > 25 and all(cell.strip() for _, cell in rows)
    assert {block: told[block][: len(cycles)] for block, cycles in LATENCIES.items()} == LATENCIES
