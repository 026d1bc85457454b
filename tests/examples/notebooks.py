"""Executes the notebooks of `examples/notebooks`.

python -m tests.examples.notebooks [NAME ...]      # all, or some: executes them, and keeps their new outputs
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
VARIES = "varies"
"""Tag of a cell whose output is of something trained: another processor gives other weights."""
SECONDS = 600
"""That a cell may take on a busy machine."""


def executed(path: Path) -> Any:
    """A notebook with new outputs.  Raises nbclient's CellExecutionError where a cell fails."""
    book = nbformat.read(path, nbformat.NO_CONVERT)
    NotebookClient(
        book, timeout=SECONDS, coalesce_streams=True, resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    return book


def texts(cell: Any) -> list[str]:
    """What a cell printed and showed, as text."""
    return [
        output["text"] if output["output_type"] == "stream" else output["data"].get("text/plain", "")
        for output in cell.get("outputs", [])
    ]


def keep(path: Path) -> None:
    """Execute a notebook, and keep it without what is of the run alone: times, numbers of cells, the Python."""
    book = executed(path)
    book.metadata = {"kernelspec": book.metadata["kernelspec"]}
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
    nbformat.write(book, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        print(name, flush=True)
        keep(FOLDER / f"{name}.ipynb")
