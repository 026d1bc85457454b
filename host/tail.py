"""A network's tail beside its program: the file, its share of the work, and what it makes of the program's outputs."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hw.contract.program import Program
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.fixedpoint import dequantize
from quant.ir.network import Network
from quant.ir.tail import Tail
from quant.onnx_file.cut import multiplications
from quant.run.tail import Returned, TailRunner

DIGEST = "tail.sha256"
"""Key in the metadata of a program that needs a tail: SHA-256 of the tail's file."""


def path_of(program: Path) -> Path:
    """Where the tail of a program lies: beside its file."""
    return program.with_suffix(".tail.onnx")


def write(network: Network, program: Path) -> list[Path]:
    """Write a network's tail beside its program; which files that are."""
    if network.tail is None:
        return []
    write_atomic(path_of(program), network.tail.content)
    return [path_of(program)]


def load(program: Program, path: Path) -> Tail | None:
    """The tail that lies beside a program's file; None where the program has none.

    Raises BadInput where it is missing, or is not the one that the program was made with.
    """
    digest = program.metadata.get(DIGEST)
    if digest is None:
        return None
    place = path_of(path)
    if not place.is_file():
        raise BadInput(f"{place}: no such file; {path.name} ends on the host, by what stands there")
    content = place.read_bytes()
    if sha256(content).hexdigest() != digest:
        raise BadInput(f"{place}: not the tail of {path.name} (checksum does not match); compile it again")
    model = onnx.load_model_from_string(content)
    outputs = tuple(value.name for value in model.graph.output)
    return Tail(content, program.outputs, outputs, sum(multiplications(model)))


class Ending:
    """From the integers of a program's outputs to what the network returns.

    tail: of the program; without one the network returns its outputs, as real numbers in the program's shapes.
    Raises BadInput where ONNX Runtime refuses the tail.
    """

    def __init__(self, program: Program, tail: Tail | None) -> None:
        self.program = program
        self._tail = None if tail is None else TailRunner(tail, program.name)

    def of(self, tensors: Mapping[str, np.ndarray]) -> list[Returned]:
        """Of each image.  tensors: integers (N, C, H, W) by name, the program's outputs among them."""
        frac = {name: self.program.placements[name].fmt.frac for name in self.program.outputs}
        real = [dequantize(np.asarray(tensors[name]), frac[name]).astype(np.float32) for name in frac]
        if self._tail is not None:
            return self._tail.run(real)
        return [dict(zip(frac, [array[i : i + 1] for array in real], strict=True)) for i in range(len(real[0]))]


def stored(returned: Sequence[Returned]) -> bytes:
    """The bytes of an .npz file with what a network returns of each image: NAME_0 of the first, NAME_1, and so on."""
    arrays = {f"{name}_{image}": array for image, one in enumerate(returned) for name, array in one.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def facts(tail: Tail, network: Network) -> dict[str, Any]:
    """What the host does and how much of the work that is, as JSON values."""
    operators = Counter(node.op_type for node in onnx.load_model_from_string(tail.content).graph.node)
    return {
        "inputs": list(tail.inputs),
        "operators": dict(sorted(operators.items())),
        "macs": tail.macs,
        "share": share(tail, network),
    }


def share(tail: Tail, network: Network) -> float:
    """A tail's share of all multiplications of one image.  network: what the engine runs."""
    engine = sum(layer.macs(network.tensors[layer.output].shape) for layer in network.layers)
    return tail.macs / (tail.macs + engine) if tail.macs else 0.0
