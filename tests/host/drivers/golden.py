"""Golden vectors: programs that lay inputs and outputs in every way there is, and the files that all drivers read.

python -m tests.host.drivers.golden FOLDER      # NAME.program and NAME.vectors of each
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from host.compiler import KeepLayers, compile_network
from host.drivers import vectors
from hw.contract.config import preset
from hw.contract.program import Program
from quant.ir.fixedpoint import QFormat
from quant.ir.inputs import Given, by_run, together
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from sim.executor import ProgramExecutor
from tests.host.networks import Builder

PIXELS = {"preprocess.channels": "BGR", "preprocess.mean": "100,110.5,90", "preprocess.scale": "0.02,0.03,0.025"}


@dataclass(frozen=True, eq=False)
class Golden:
    """A program, and its runs."""

    program: Program
    runs: list[vectors.Run]

    @property
    def data(self) -> bytes:
        """The file of the vectors."""
        return vectors.to_bytes(self.program, self.runs)


def folded(rng: np.random.Generator) -> Program:
    """Taps of the first layer in the lanes, outputs of 16 bits in two groups and of 8; takes pixels, in BGR."""
    b = Builder(rng, (3, 10, 10))
    b.pool(b.conv("x", 20), "max", Window((2, 2), (2, 2)))
    b.conv("x", 12, bits=16)
    return compile_network(dataclasses.replace(b.network("t0"), metadata=PIXELS), preset("small"))


def batch(rng: np.random.Generator) -> Program:
    """Three images of a run, memory used again between layers, an output of all images, one below the other."""
    b = Builder(rng, (3, 10, 10), signed=False)
    b.conv(b.conv("x", 20), 5, Window((10, 10)), bits=16)
    return compile_network(b.network(), preset("small"), keep_layers=KeepLayers.NONE, batch=3)


def once(rng: np.random.Generator) -> Program:
    """Two images of a run that only fully connected layers read: an input of all images."""
    b = Builder(rng, (21, 1, 1))
    b.conv(b.conv("x", 20, Window()), 7, Window(), bits=16)
    return compile_network(b.network(), preset("medium"), batch=2)


def several(rng: np.random.Generator) -> Program:
    """Two inputs of odd sizes; one of them ends a concatenation, which is an output, with lanes that nobody has."""
    b = Builder(rng, (3, 7, 9))
    b.tensors["y"] = Tensor("y", (5, 7, 9), QFormat(8, 4, False))
    joined = b.concat(b.conv("y", 6, fmt=b.tensors["x"].fmt), "x")
    b.conv(joined, 3)
    network = b.network(joined)
    outputs = tuple(name for name in network.outputs if name != "y")
    return compile_network(Network("net", network.tensors, network.layers, ("x", "y"), outputs), preset("tiny"))


def surrounded(rng: np.random.Generator) -> Program:
    """Pixels in a border, of a number for each channel, that whoever writes them adds; planes of no whole beats."""
    b = Builder(rng, (3, 7, 5))
    b.conv(b.constant_pad("x", (1, 1, 1, 1)), 9, Window((3, 3)))
    return compile_network(b.network(), preset("medium"))


def sixteen(rng: np.random.Generator) -> Program:
    """Pixels, in a border, become 16 bits; an output of as many."""
    b = Builder(rng, (3, 7, 5))
    b.tensors["x"] = Tensor("x", (3, 7, 5), QFormat(16, 9))
    b.conv(b.constant_pad("x", (1, 1, 1, 1)), 9, Window((3, 3)), bits=16)
    return compile_network(dataclasses.replace(b.network(), metadata=PIXELS), preset("small16"))


def mixed(rng: np.random.Generator) -> Program:
    """An input and an output of 8 bits, in lanes of 16, and an output of 16; two images of a run."""
    b = Builder(rng, (3, 10, 10))
    b.conv(b.conv("x", 12), 5, Window((10, 10)), bits=16)
    return compile_network(b.network("t0"), preset("small16"), batch=2)


PROGRAMS: dict[str, Callable[[np.random.Generator], Program]] = {
    "folded": folded,
    "batch": batch,
    "once": once,
    "several": several,
    "surrounded": surrounded,
    "sixteen": sixteen,
    "mixed": mixed,
}


def golden(name: str, seed: int = 1) -> Golden:
    """One of them, with one image more than a run takes."""
    rng = np.random.default_rng(seed)
    program = PROGRAMS[name](rng)
    formats = {placed.tensor: placed.fmt for placed in program.inputs}
    images = together(
        {
            name: rng.integers(formats[name].low, formats[name].high + 1, (program.batch + 1, *shape))
            for name, shape in program.input_shapes.items()
        }
    )
    return Golden(program, vectors.runs_of(program, images, outputs(program, images)))


def outputs(program: Program, images: Given) -> dict[str, np.ndarray]:
    """What the executor makes of images."""
    runs = [ProgramExecutor(program).run_batch(given) for given in by_run(images, program.batch)]
    return {name: np.concatenate([run[name] for run in runs]) for name in program.outputs}


if __name__ == "__main__":
    for name in PROGRAMS:
        found = golden(name)
        found.program.save(Path(sys.argv[1]) / f"{name}.program")
        (Path(sys.argv[1]) / f"{name}.vectors").write_bytes(found.data)
