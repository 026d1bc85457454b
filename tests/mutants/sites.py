"""Where a source can be altered by one small slip, and how: each a `Mutant`.

The text is replaced in place, found by position in the syntax tree, so that all else of the file keeps its shape.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = {
    "gateware": ("hw/gateware",),
    "contract": ("hw/contract", "hw/contract/weights"),
    "models": ("sim", "sim/cycles"),
    "compiler": ("host/compiler", "host/compiler/kinds"),
    "search": ("quant/search",),
}
"""Folders whose modules are altered, by the name under which they are counted."""

ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "&",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.Mod: "//",
    ast.Div: "*",
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}

Replacement = tuple[ast.expr | ast.stmt, str]
"""A part of the tree, and the text that takes its place."""


@dataclass(frozen=True)
class Mutant:
    """One alteration of one file.

    start, end: bytes that `new` replaces.  line: number of the first.  before, after: the lines around, without and
    with it.  function: where it stands.  ordinal: how many alike stand above it there.
    """

    room: str
    file: str
    function: str
    line: int
    before: str
    after: str
    start: int
    end: int
    new: str
    ordinal: int = 0

    @property
    def name(self) -> str:
        """What it is, whatever changes elsewhere in the file: 12 hexadecimal digits."""
        facts = (self.file, self.function, self.before, self.after, self.ordinal)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    def apply(self, source: bytes) -> bytes:
        """The altered file."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants(root: Path, room: str) -> list[Mutant]:
    """Every mutant of a room."""
    files = [path for folder in ROOMS[room] for path in sorted((root / folder).glob("*.py"))]
    return [mutant for path in files for mutant in of_file(room, str(path.relative_to(root)), path.read_bytes())]


def of_file(room: str, file: str, source: bytes) -> list[Mutant]:
    """The mutants of one source."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset

    def text(node: ast.expr | ast.stmt) -> str:
        return source[slice(*span(node))].decode()

    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for function, node in _walk(tree, "", _said(tree)):
        for part, new in alternatives(node, text):
            start, end = span(part)
            first, last = starts[part.lineno - 1], starts[part.end_lineno or part.lineno]
            before = _flat(source[first:last])
            after = _flat(source[first:start] + new.encode() + source[end:last])
            alike = (function, before, after)
            mutant = Mutant(room, file, function, part.lineno, before, after, start, end, new, seen[alike])
            seen[alike] += 1
            found.append(mutant)
    return found


def _flat(text: bytes) -> str:
    return " ".join(text.decode().split())


def _said(tree: ast.Module) -> set[ast.AST]:
    """What no test can or should tell: annotations, docstrings, texts, messages of errors, decorators, assertions."""
    said: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Raise() | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                said.add(node)
            case ast.Expr(value=ast.Constant()):
                said.add(node)
            case ast.FunctionDef():
                said.update(node.decorator_list)
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                said.update(argument.annotation for argument in arguments if argument.annotation is not None)
                said.update([node.returns] if node.returns is not None else [])
            case ast.ClassDef():
                said.update(node.decorator_list)
            case ast.AnnAssign():
                said.add(node.annotation)
            case ast.Call(func=ast.Attribute(attr="reshape")):  # NumPy takes any negative size for what is left
                said.update(argument for argument in node.args if isinstance(argument, ast.UnaryOp))
    return said


def _walk(node: ast.AST, function: str, said: set[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every part of the tree that is code, with the name of the function that it stands in."""
    if node in said:
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}" if function else node.name
    yield function, node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, function, said)


def alternatives(node: ast.AST, text: Callable[[ast.expr | ast.stmt], str]) -> Iterator[Replacement]:
    """What could stand in place of a part of the tree, or of a part of it."""
    match node:
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value)):
            yield node, str(value + 1)
            if value > 0:
                yield node, str(value - 1)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield node, f"({text(operand)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield node, f"({text(operand)})"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC and not _is_text(left):
            yield node, f"(({text(left)}) {ARITHMETIC[type(op)]} ({text(right)}))"
            if isinstance(op, ast.BitAnd | ast.BitOr):
                yield node, f"({text(left)})"
                yield node, f"({text(right)})"
        case ast.BoolOp(op=op, values=values):
            word = " and " if isinstance(op, ast.And) else " or "
            for k in range(len(values)):
                yield node, f"({word.join(text(value) for value in values[:k] + values[k + 1 :])})"
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield node, f"({text(left)} {COMPARISONS[type(op)]} {text(right)})"
        case ast.AugAssign(target=target, op=ast.Add() | ast.Sub(), value=ast.expr() as value) if not _is_domain(
            target
        ):
            yield node, f"{text(target)} {'-=' if isinstance(node.op, ast.Add) else '+='} {text(value)}"
        case ast.If(test=test):
            yield test, f"(not ({text(test)}))"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield node, f"(({text(orelse)}) if ({text(test)}) else ({text(body)}))"
        case ast.Call():
            yield from _of_call(node, text)


def _of_call(node: ast.Call, text: Callable[[ast.expr | ast.stmt], str]) -> Iterator[Replacement]:
    match node:
        case ast.Call(func=ast.Name(id="Mux"), args=[test, one, other]):
            yield node, f"Mux({text(test)}, {text(other)}, {text(one)})"
        case ast.Call(func=ast.Name(id="min" | "max" as name) as function, args=[_, _, *_]):
            yield function, "max" if name == "min" else "min"
        case ast.Call(func=ast.Attribute(value=value, attr="all" | "any" as name), args=[]):
            yield node, f"{text(value)}.{'any' if name == 'all' else 'all'}()"
        case ast.Call(func=ast.Attribute(attr="eq"), args=[_]):
            yield node, "[]"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="m"), attr="If" | "Elif"), args=[test]):
            yield test, f"(({text(test)}) == 0)"


def _is_text(node: ast.expr) -> bool:
    """Whether it is no number: only arithmetic is altered."""
    return isinstance(node, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.Dict) and not (
        isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    )


def _is_domain(node: ast.expr) -> bool:
    """Whether it is an Amaranth domain: `m.d.comb += ...` is no sum."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "d"


def draw(root: Path, seed: int, count: int) -> list[Mutant]:
    """The first `count` mutants of a seed, the rooms in turn.

    Each stands or falls by a hash of the seed and its own name: more of them begin with these, and a change of the
    source moves no others.
    """
    ranked = {
        room: sorted(mutants(root, room), key=lambda mutant: hashlib.sha256(f"{seed} {mutant.name}".encode()).digest())
        for room in ROOMS
    }
    rounds = range(max(map(len, ranked.values())))
    drawn = [ranked[room][k] for k in rounds for room in ROOMS if k < len(ranked[room])]
    return drawn[:count]
