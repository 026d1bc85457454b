"""How many values all of `make verify` compared, and how many networks ran under which hardships.

    python -m pytest -m verify --counted build/compared.json
    python benchmarks/compared.py build/compared.json --write docs/verification.md

What the tests counted comes from their file, what whole networks compared from the tables that
benchmarks/verification.py and compressed_legs.py left in the document.  Values that a bench compares inside the
simulator are not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks and tests: not installed

from benchmarks import compressed_legs, marked, verification
from quant.base.errors import BadInput
from tests.counting import VALUES

MARKERS = "compared"
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "verification.md"


TABLES = (
    (verification.MARKERS, verification.HEAD, "elements compared"),
    (compressed_legs.MARKERS, compressed_legs.HEAD, "values compared"),
)
"""Of whole networks: the place in the document, the head, and the column of what was compared."""


def of_networks(document: Path) -> int:
    """Values compared, of all rows of the document's tables of networks."""
    found = 0
    for markers, head, title in TABLES:
        column = head.splitlines()[0].split(" | ").index(title)
        rows = marked.read(document, markers).splitlines()[2:]
        found += sum(int(row.split(" | ")[column].replace(",", "")) for row in rows)
    return found


def table(counted: dict[str, dict[str, int]], networks: int) -> str:
    """What the document says.  counted: by room, by what is counted."""
    rows = {f"`{room}`": found[VALUES] for room, found in counted.items() if found.get(VALUES)}
    rows["whole networks, the tables above"] = networks
    rows["**all**"] = sum(rows.values())
    others: dict[str, int] = {}
    for found in counted.values():
        for what, number in found.items():
            if what != VALUES:
                others[what] = others.get(what, 0) + number
    if others:
        others["all networks under stalls"] = sum(others.values())
    lines = [f"| {what} | {number:,} |" for what, number in (rows | others).items()]
    return "\n".join(["| compared by | values |", "|---|---|", *lines[: len(rows)], "", "| | |", "|---|---|",
                      *lines[len(rows) :], ""])  # fmt: skip


def main() -> int:
    """Print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counted", type=Path, help="what pytest's --counted wrote")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    try:
        counted = json.loads(arguments.counted.read_text())
        text = table(counted, of_networks(arguments.write or DOCUMENT))
        print(text, end="")
        if arguments.write:
            marked.write(arguments.write, MARKERS, text)
    except (BadInput, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
