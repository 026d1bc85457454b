"""The tables of docs/registers.md and docs/instructions.md, from the tables of the contract.

python -m hw.contract.document            writes them anew, between the markers of the two files
python -m hw.contract.document --check    exits with 1 if that would change anything
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hw.contract.isa import FIELDS, HEADER, LAYOUTS, Field, Opcode
from hw.contract.registers import CAUSES, REGISTERS
from hw.contract.weights import FORMATS
from quant.base.errors import BadInput
from quant.base.files import write_atomic

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _span(low: int, width: int) -> str:
    """Bits as the tables show them."""
    return f"{low + width - 1}:{low}" if width > 1 else f"{low}"


def registers() -> str:
    """Every register: offset, name, access, meaning; the fields of those that have some; the causes of errors."""
    rows = [(f"`0x{r.offset:02X}`", f"`{r.name}`", r.access, r.doc) for r in REGISTERS]
    fields = [(f"`{r.name}`", f"`{f.name}`", _span(f.bit, f.width), f.doc) for r in REGISTERS for f in r.fields]
    causes = [(f"{code}", f"`{code.name}`", cause.meaning, cause.address) for code, cause in CAUSES.items()]
    return "\n\n".join(
        (
            _table(("offset", "name", "access", "meaning"), rows),
            "### Fields\n\nBits that belong to none of a register's fields do not exist and read as 0.",
            _table(("register", "field", "bits", "meaning"), fields),
            "### Causes of errors",
            _table(("ERROR_CAUSE", "name", "meaning", "ERROR_ADDRESS"), causes),
        )
    )


def _fields(fields: tuple[Field, ...], opcode: Opcode) -> str:
    rows = []
    for field in fields:
        _, low = LAYOUTS[opcode][field.name]
        rows.append((f"`{field.name}`", _span(low, field.bits), "signed" if field.signed else "unsigned", field.doc))
    return _table(("field", "bits", "kind", "meaning"), rows)


def instructions() -> str:
    """The header, the fields of every opcode, what SETUP.weight_format means."""
    parts = [f"### Header\n\n{_fields(HEADER, Opcode.LOAD)}"]
    for opcode in Opcode:
        title = f"### {opcode.name}\n\nOpcode {int(opcode)}, run by the {opcode.unit.name.lower()} unit."
        parts.append(f"{title}\n\n{_fields(FIELDS[opcode], opcode)}")
    formats = [(f"{w.number}", f"`{w.name}`", f"{w.bits}", w.doc) for w in FORMATS]
    parts.append(f"### Weight formats\n\n{_table(('SETUP.weight_format', 'name', 'bits', 'meaning'), formats)}")
    return "\n\n".join(parts)


GENERATED = {"registers.md": ("registers", registers), "instructions.md": ("instructions", instructions)}
"""File: name of its marked part, what stands there."""


def renewed(text: str, part: str, content: str) -> str:
    """`text` with `content` between the markers of `part`.  Raises BadInput unless there is one such pair."""
    begin, end = f"<!-- begin {part}: python -m hw.contract.document -->", f"<!-- end {part} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise BadInput(f"no single pair of markers {begin!r} and {end!r}")
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", text)


def main(arguments: list[str] | None = None, docs: Path = DOCS) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hw.contract.document", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not up to date")
    check = parser.parse_args(arguments).check
    stale = False
    for name, (part, make) in GENERATED.items():
        old = (docs / name).read_text()
        new = renewed(old, part, make())
        if new == old:
            continue
        stale = True
        if check:
            print(f"{docs / name} is not up to date; run: python -m hw.contract.document", file=sys.stderr)
        else:
            write_atomic(docs / name, new.encode())
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main())
