"""`shiftpoint encode` and `decode`: an ONNX network as a coded file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from host.artefacts import make_folder
from host.terminal import Reporter
from quant import coded
from quant.base.errors import BadInput, VerificationError
from quant.base.files import write_atomic
from quant.coded.table import Row, Table, table
from quant.onnx_file.read import in_one_piece, is_coded

Result = dict[str, Any]


def encode(network: Path, output: Path, reporter: Reporter) -> Result:
    """ONNX file -> coded file, decoded again to see that it holds the same bytes; the table of the paper."""
    _require(network)
    if is_coded(network):
        raise BadInput(f"{network}: is coded already")
    content, _ = in_one_piece(network)
    with reporter.stage(f"encode {network.name}"):
        found = coded.encode(content, reporter.step)
    with reporter.stage("decode it again"):
        if coded.decode(found, output.name) != content:
            raise VerificationError(f"{output}: not written, as it would decode to another network than {network}")
    make_folder(output.parent)
    write_atomic(output, found)
    return {**shown(table(content, found), len(content)), "files": [str(output)]}


def decode(network: Path, output: Path) -> Result:
    """Coded file -> the ONNX file that it was made of, to the byte."""
    _require(network)
    content, _ = in_one_piece(network)
    if not is_coded(network):
        raise BadInput(f"{network}: not a coded network, but an ONNX file")
    make_folder(output.parent)
    write_atomic(output, content)
    return {"bytes": {"coded": network.stat().st_size, "decoded": len(content)}, "files": [str(output)]}


def _require(network: Path) -> None:
    if not network.is_file():
        raise BadInput(f"{network}: no such file")


def shown(found: Table, plain: int) -> Result:
    """The table as the command line shows it.  plain: bytes of the network that was encoded."""
    weights = max(found.weights, 1)
    return {
        "weights: bits a kept weight and an index, before and after Huffman; bytes without tables": [
            _row(row) for row in found.rows
        ],
        "bytes": {
            "network": plain,
            "coded": found.file,
            "weights": sum(row.bytes for row in found.rows),
            "biases, scales": found.others,
            "codebooks, code tables, graph": found.head,
        },
        "ratio": {
            "weights kept": f"{100 * found.kept / weights:.1f} %",
            "32-bit weights / coded file": round(4 * found.weights / found.file, 2),
            "8-bit weights / coded file": round(found.weights / found.file, 2),
        },
    }


def _row(row: Row) -> Result:
    kept = max(row.kept, 1)
    return {
        "layer": row.name,
        "weights": row.weights,
        "kept %": round(100 * row.kept / row.weights, 1),
        "values": row.values or "",
        "bits": row.value_bits,
        "coded": round(8 * row.value_bytes / (kept if row.width else row.weights), 2),
        "index": row.width or "",
        "index coded": round(8 * row.index_bytes / kept, 2) if row.width else "",
        "bytes": row.bytes,
        "x 32 bits": round(4 * row.weights / row.bytes, 2),
        "x 8 bits": round(row.weights / row.bytes, 2),
    }
